//! A producer of its own lane: the lane's writer, and how it waits for space.

use std::marker::PhantomData;
use std::time::Duration;

use crate::channel::ChannelState;
use crate::channel::cases::Case;
use crate::channel::ends::SendSlots;
use crate::channel::frames::SendingFrames;
use crate::channel::items::Sending;
use crate::channel::message::{Frames, Items, Message};
use crate::channel::registry_slots::{Place, keep_watch};
use crate::error::SendError;
use crate::layout::Bell;
use crate::process::kill_point;
use crate::ring::lane::Writer;
use crate::sync::{Arc, Ordering, fence};
use crate::wait::{
    Barrier, Deadline, Look, Point, Spin, Waiter, WakePolicy, Waking, arm_until, park_until, wait_until,
};

/// A producer's handle.
#[derive(Debug)]
pub(in crate::channel) struct Producer<M: Message> {
    writer: Writer,
    barrier: Barrier,
    spin: Spin,
    index: usize,
    shared: Arc<ChannelState>,
    pub(in crate::channel) place: Place,
    messages: PhantomData<fn() -> M>,
}

impl<M: Message> Producer<M> {
    /// Pauses of a producer that gathers space at most; fewer where the consumer has less to do.
    const MOST_PAUSES: usize = 128;
    /// How long a producer sleeps beside free space at most, while half the ring is not yet free.
    const PATIENCE: Duration = Duration::from_micros(500);

    /// Goes on where the last producer at this place stopped.
    pub(in crate::channel) fn at(place: Place, shared: &Arc<ChannelState>) -> Self {
        let index = place.index();
        Self {
            writer: Writer::new(shared.lane(index), shared.memory.geometry().capacity),
            barrier: shared.barrier,
            spin: Spin::new(),
            index,
            shared: shared.clone(),
            place,
            messages: PhantomData,
        }
    }

    /// Tells a consumer that doesn't watch this lane; settles a commit that met `close`.
    #[cold]
    fn ring(&mut self, n: usize) -> Result<(), SendError> {
        // SILENT before the bitmap: the consumer may answer, watch and rest again right after
        // the bit is there, and what it then takes away must not be set afterwards.
        let flags = self.writer.lane.bell.flags.fetch_or(Bell::SILENT, Ordering::Relaxed);
        kill_point!("lane.ring.silent");
        if flags & Bell::SILENT == 0 {
            self.shared.memory.header().rung.insert(self.index);
            kill_point!("lane.ring.rung");
            // Forbids: the consumer misses the bit, and we miss that it sleeps.
            fence(Ordering::SeqCst);
            self.shared.arrivals().notify();
            kill_point!("lane.ring.notified");
        }
        if flags & Bell::CLOSED == 0 { Ok(()) } else { self.settle(n) }
    }

    /// Decides with the consumer whether the last `n` messages, published while the channel was
    /// being closed, count: they do unless the consumer has found the lane drained without them.
    fn settle(&mut self, n: usize) -> Result<(), SendError> {
        let end = self.writer.tail().wrapping_add(1);
        // AcqRel: publishes the tail that was accepted; pairs with the consumer in `seal_lane`.
        let final_tail =
            self.writer.lane.bell.final_tail.compare_exchange(0, end, Ordering::AcqRel, Ordering::Acquire);
        match final_tail {
            Ok(_) => Ok(()),
            Err(sealed) if sealed >= end => Ok(()),
            Err(_) => {
                kill_point!("lane.retract");
                self.writer.retract(n);
                Err(self.send_error())
            }
        }
    }

    fn space_or_closed(&mut self, n: usize) -> Option<Result<(), SendError>> {
        match self.is_closed() {
            true => Some(Err(self.send_error())),
            false => (self.writer.free(n) >= n).then_some(Ok(())),
        }
    }

    /// Looks for space, after a pause if there is little of it.
    ///
    /// A producer that is faster than its consumer would else run after the head by a few slots at
    /// a time, and each look takes the head's cache line from the consumer, which then stalls. In
    /// the pause, a microsecond or so, the consumer has more than enough to go on with.
    /// `bench/rust`, one message a call: 200 M/s without it, 430 M/s with it.
    #[cold]
    fn gather_space(&mut self) {
        // 0 in a ring of a few slots, where there is nothing to gather.
        let plenty = self.writer.capacity() / 4;
        if self.writer.free(plenty) < plenty {
            Spin::pause((plenty / 8).min(Self::MOST_PAUSES));
            self.writer.free(plenty);
        }
    }
}

/// A producer that waits for `n` slots.
struct ForSpace<'a, M: Message> {
    tx: &'a mut Producer<M>,
    n: usize,
    /// Whether it need not be woken before half the ring is free.
    is_patient: bool,
}

impl<'a, M: Message> ForSpace<'a, M> {
    fn new(tx: &'a mut Producer<M>, n: usize) -> Self {
        Self { tx, n, is_patient: false }
    }

    fn park(&mut self, deadline: Deadline) -> Result<(), SendError> {
        let is_half_enough = self.n <= self.tx.writer.capacity() / 2;
        if self.tx.shared.tuning.wake == WakePolicy::HalfDrained && is_half_enough {
            self.is_patient = true;
            match park_until(self, deadline.within(Producer::<M>::PATIENCE)) {
                Err(SendError::TimedOut) if deadline.passed() == Waking::Woken => {}
                outcome => return outcome,
            }
            self.is_patient = false;
        }
        park_until(self, deadline)
    }
}

impl<M: Message> Waiter for ForSpace<'_, M> {
    type Error = SendError;

    fn point(&self) -> Point<'_> {
        let space = self.tx.shared.event(&self.tx.writer.lane.space);
        if self.is_patient { Point::Patient(space) } else { Point::Event(space) }
    }

    fn look(&mut self) -> Look<SendError> {
        self.tx.space_or_closed(self.n).map_or(Look::Nothing, Look::Over)
    }

    fn keep_watch(&self) -> bool {
        keep_watch(&self.tx.shared)
    }

    fn barrier(&self) -> Barrier {
        self.tx.barrier
    }
}

impl<M: Message> Producer<M> {
    /// Hands the next `n` slots, which are claimed and written, to the consumer.
    #[inline(always)]
    fn publish(&mut self, n: usize) -> Result<(), SendError> {
        if self.is_closed() {
            self.writer.give_up();
            return Err(self.send_error());
        }
        kill_point!("lane.commit.begun");
        self.writer.publish(n);
        kill_point!("lane.commit.published");
        // Forbids: the consumer misses the messages, and we miss that it stopped watching.
        self.barrier.light();
        if self.writer.lane.bell.flags.load(Ordering::Relaxed) == Bell::SILENT {
            Ok(())
        } else {
            self.ring(n)
        }
    }
}

impl<M: Message> SendSlots for Producer<M> {
    type Message = M;

    #[inline(always)]
    fn claim_slots(&mut self, wanted: usize) -> usize {
        let free = self.writer.free(wanted);
        let n = M::claimable(&self.writer, wanted, free);
        if n == 0 {
            // The consumer may have died, and the caller may never wait.
            keep_watch(&self.shared);
        }
        self.writer.claim(n);
        n
    }

    #[inline]
    fn reserve_slots(&mut self, wanted: usize) -> usize {
        self.claim_slots(wanted)
    }

    #[inline(always)]
    fn slots(&self, n: usize) -> *mut u8 {
        self.writer.slots(n)
    }

    #[inline(always)]
    fn commit_slots(&mut self, sent: M::Sent) -> Result<(), SendError> {
        let n = M::slots(sent);
        assert!(n <= self.writer.claimed(), "more slots than were claimed");
        M::begin_to_send(&self.writer, sent);
        let outcome = self.publish(n);
        M::end_to_send(&self.writer, outcome.is_ok());
        outcome
    }

    fn abort(&mut self) {
        self.writer.give_up();
    }

    #[inline(always)]
    fn is_closed(&self) -> bool {
        self.writer.lane.bell.flags.load(Ordering::Relaxed) & Bell::CLOSED != 0
    }

    fn send_error(&self) -> SendError {
        self.shared.registry().send_error()
    }

    fn wait_for_slots(&mut self, n: usize, deadline: Deadline) -> Result<(), SendError> {
        let (mut spin, tuning) = (std::mem::take(&mut self.spin), self.shared.tuning);
        let outcome = wait_until(&mut ForSpace::new(self, n), &mut spin, &tuning, deadline, ForSpace::park);
        self.spin = spin;
        outcome
    }

    fn arm_for_slots(&mut self, n: usize, waker: i32) -> bool {
        arm_until(&mut ForSpace::new(self, n), waker)
    }

    fn must_look(&mut self) -> bool {
        self.space_or_closed(1).is_some()
    }

    fn case_for_slots(&mut self, n: usize) -> Case<'_> {
        let shared = self.shared.clone();
        Case::new(&shared, ForSpace::new(self, n))
    }

    #[inline(always)]
    fn item_size(&self) -> usize {
        self.writer.lane.slots.item_size()
    }

    fn capacity(&self) -> usize {
        self.writer.capacity()
    }
}

impl Sending for Producer<Items> {
    #[inline(always)]
    fn gather(&mut self, wanted: usize) {
        if self.writer.cached_free() < wanted as u64 {
            self.gather_space();
        }
    }
}

impl SendingFrames for Producer<Frames> {}
