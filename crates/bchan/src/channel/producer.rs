//! A registered producer: its lane's writer, and how it waits for space.

use std::ptr;
use std::time::Instant;

use super::{Plain, Shared};
use crate::error::{HandleError, Stop};
use crate::lane::Writer;
use crate::layout::Bell;
use crate::sync::{Arc, Ordering, fence};
use crate::wait::{Barrier, Deadline, Event, Spin, Waking};

/// A producer's handle. Dropping it gives its place back; what it sent stays.
#[derive(Debug)]
pub struct Producer {
    writer: Writer,
    barrier: Barrier,
    spin: Spin,
    index: usize,
    shared: Arc<Shared>,
}

impl Producer {
    /// Pauses of a producer that gathers space at most; fewer where the consumer has less to do.
    const MOST_PAUSES: usize = 128;

    pub(super) fn register(shared: &Arc<Shared>) -> Result<Self, HandleError> {
        let index = shared.take_lane()?;
        Ok(Self {
            writer: Writer::new(shared.lane(index), shared.memory.geometry().capacity),
            barrier: shared.barrier,
            spin: Spin::new(),
            index,
            shared: shared.clone(),
        })
    }

    /// How many slots can be claimed now in one piece, of the `wanted`; 0 when full.
    #[inline]
    pub fn free(&mut self, wanted: usize) -> usize {
        let free = self.writer.free(wanted);
        self.writer.contiguous(free)
    }

    /// The next `n` slots, to write before [`commit`](Self::commit). `n` must be at most what
    /// [`free`](Self::free) said. The memory lives as long as this channel.
    #[inline]
    pub fn claim(&self, n: usize) -> *mut u8 {
        self.writer.claim(n)
    }

    /// Sends the next `n` slots, with one release store. `n` must be at most what
    /// [`free`](Self::free) said.
    ///
    /// # Errors
    /// [`Stop::Closed`]: the channel was closed, and none of them is sent.
    #[inline]
    pub fn commit(&mut self, n: usize) -> Result<(), Stop> {
        if self.is_closed() {
            return Err(Stop::Closed);
        }
        self.writer.publish(n);
        // Forbids: the consumer misses the messages, and we miss that it stopped watching.
        self.barrier.light();
        if self.writer.lane.bell.flags.load(Ordering::Relaxed) == Bell::SILENT {
            Ok(())
        } else {
            self.ring(n)
        }
    }

    /// Tells a consumer that doesn't watch this lane; settles a commit that met `close`.
    #[cold]
    fn ring(&mut self, n: usize) -> Result<(), Stop> {
        // SILENT before the bitmap: the consumer may answer, watch and rest again right after
        // the bit is there, and what it then takes away must not be set afterwards.
        let flags = self.writer.lane.bell.flags.fetch_or(Bell::SILENT, Ordering::Relaxed);
        if flags & Bell::SILENT == 0 {
            self.shared.memory.header().rung.insert(self.index);
            // Forbids: the consumer misses the bit, and we miss that it sleeps.
            fence(Ordering::SeqCst);
            self.shared.arrivals().notify();
        }
        if flags & Bell::CLOSED == 0 { Ok(()) } else { self.settle(n) }
    }

    /// Decides with the consumer whether the last `n` messages, published while the channel was
    /// being closed, count: they do unless the consumer has found the lane drained without them.
    fn settle(&mut self, n: usize) -> Result<(), Stop> {
        let end = self.writer.tail() + 1;
        // AcqRel: publishes the tail that was accepted; pairs with the consumer in `seal_lane`.
        let verdict =
            self.writer.lane.bell.verdict.compare_exchange(0, end, Ordering::AcqRel, Ordering::Acquire);
        match verdict {
            Ok(_) => Ok(()),
            Err(sealed) if sealed >= end => Ok(()),
            Err(_) => {
                self.writer.retract(n);
                Err(Stop::Closed)
            }
        }
    }

    /// Whether the channel was closed.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.writer.lane.bell.flags.load(Ordering::Relaxed) & Bell::CLOSED != 0
    }

    /// Waits until a slot is free.
    ///
    /// # Errors
    /// [`Stop::Closed`], [`Stop::TimedOut`] or [`Stop::Interrupted`].
    pub fn wait_for_space(&mut self, deadline: Deadline) -> Result<(), Stop> {
        let start = Instant::now();
        let outcome = self.spin_for_space(start).unwrap_or_else(|| self.park_for_space(deadline));
        self.spin.learn(start.elapsed());
        outcome
    }

    fn spin_for_space(&mut self, start: Instant) -> Option<Result<(), Stop>> {
        let Self { writer, spin, .. } = self;
        let flags = |writer: &Writer| writer.lane.bell.flags.load(Ordering::Relaxed);
        if spin.until(start, || writer.free(1) > 0 || flags(writer) & Bell::CLOSED != 0) {
            Event(&self.writer.lane.space).count_spin();
        }
        self.space_or_closed()
    }

    fn park_for_space(&mut self, deadline: Deadline) -> Result<(), Stop> {
        loop {
            let ticket = Event(&self.writer.lane.space).prepare();
            // Forbids: the consumer misses that we wait, and we miss its release.
            self.barrier.heavy();
            if let Some(outcome) = self.space_or_closed() {
                return outcome;
            }
            match Event(&self.writer.lane.space).park(ticket, deadline) {
                Waking::Woken => {}
                Waking::TimedOut => return self.space_or_closed().unwrap_or(Err(Stop::TimedOut)),
                Waking::Interrupted => return Err(Stop::Interrupted),
            }
        }
    }

    fn space_or_closed(&mut self) -> Option<Result<(), Stop>> {
        match self.is_closed() {
            true => Some(Err(Stop::Closed)),
            false => (self.writer.free(1) > 0).then_some(Ok(())),
        }
    }

    /// Copies as many of the `n` items at `items` as there is space for; tells how many.
    ///
    /// # Safety
    /// `items` must be readable for `n` items of this channel's size.
    ///
    /// # Errors
    /// [`Stop::Closed`]: none of them is sent.
    #[inline]
    pub unsafe fn try_send_from(&mut self, items: *const u8, n: usize) -> Result<usize, Stop> {
        let item_size = self.writer.lane.slots.item_size();
        let mut sent = 0;
        while sent < n {
            let piece = self.free(n - sent);
            if piece == 0 {
                break;
            }
            // SAFETY: `items` has `n` items, `claim` gives `piece` slots that are ours alone.
            unsafe {
                ptr::copy_nonoverlapping(items.add(sent * item_size), self.claim(piece), piece * item_size)
            };
            match self.commit(piece) {
                Ok(()) => sent += piece,
                Err(stop) if sent == 0 => return Err(stop),
                Err(_) => break,
            }
        }
        if sent == 0 && self.is_closed() { Err(Stop::Closed) } else { Ok(sent) }
    }

    /// Sends `item` if there is space; tells whether.
    ///
    /// # Errors
    /// [`Stop::Closed`].
    ///
    /// # Panics
    /// If `T` has not the channel's item size.
    #[inline]
    pub fn try_send<T: Plain>(&mut self, item: T) -> Result<bool, Stop> {
        assert_eq!(size_of::<T>(), self.writer.lane.slots.item_size(), "the channel's item size");
        if self.free(1) == 0 {
            return if self.is_closed() { Err(Stop::Closed) } else { Ok(false) };
        }
        // SAFETY: the slot is ours alone and has the size of a `T`.
        unsafe { self.claim(1).cast::<T>().write_unaligned(item) };
        self.commit(1).map(|()| true)
    }

    /// Sends `item`, waiting while the lane is full.
    ///
    /// # Errors
    /// [`Stop::Closed`].
    ///
    /// # Panics
    /// If `T` has not the channel's item size.
    #[inline]
    pub fn send<T: Plain>(&mut self, item: T) -> Result<(), Stop> {
        if self.writer.cached_free() == 0 {
            self.gather();
        }
        while !self.try_send(item)? {
            self.wait_through_signals()?;
        }
        Ok(())
    }

    /// Sends as many of `items` as there is space for; tells how many.
    ///
    /// # Errors
    /// [`Stop::Closed`]: none of them is sent.
    ///
    /// # Panics
    /// If `T` has not the channel's item size.
    #[inline]
    pub fn try_send_all<T: Plain>(&mut self, items: &[T]) -> Result<usize, Stop> {
        assert_eq!(size_of::<T>(), self.writer.lane.slots.item_size(), "the channel's item size");
        // SAFETY: `items` has that many items of this size.
        unsafe { self.try_send_from(items.as_ptr().cast(), items.len()) }
    }

    /// Sends all of `items`, waiting while the lane is full.
    ///
    /// # Errors
    /// [`Stop::Closed`]: the channel was closed before all were sent.
    ///
    /// # Panics
    /// If `T` has not the channel's item size.
    #[inline]
    pub fn send_all<T: Plain>(&mut self, items: &[T]) -> Result<(), Stop> {
        if self.writer.cached_free() < items.len() as u64 {
            self.gather();
        }
        let mut sent = self.try_send_all(items)?;
        while sent < items.len() {
            self.wait_through_signals()?;
            sent += self.try_send_all(&items[sent..])?;
        }
        Ok(())
    }

    /// Looks for space, after a pause if there is little of it.
    ///
    /// A producer that is faster than its consumer would else run after the head by a few slots at
    /// a time, and each look takes the head's cache line from the consumer, which then stalls. In
    /// the pause, a microsecond or so, the consumer has more than enough to go on with.
    /// `benchmarks/rust`, one message a call: 200 M/s without it, 430 M/s with it.
    #[cold]
    fn gather(&mut self) {
        // 0 in a ring of a few slots, where there is nothing to gather.
        let plenty = self.writer.capacity() / 4;
        if self.writer.free(plenty) < plenty {
            Spin::pause((plenty / 8).min(Self::MOST_PAUSES));
            self.writer.free(plenty);
        }
    }

    #[cold]
    fn wait_through_signals(&mut self) -> Result<(), Stop> {
        match self.wait_for_space(Deadline::NEVER) {
            Err(Stop::Interrupted) => Ok(()),
            outcome => outcome,
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.shared.leave_lane(self.index);
    }
}
