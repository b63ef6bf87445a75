//! The consumer: goes round the lanes that have something, and finds out when it is over.

use std::ptr;
use std::time::Instant;

use super::rota::{Rota, TURN};
use super::{Plain, Shared};
use crate::error::{HandleError, Stop};
use crate::lane::Reader;
use crate::layout::Bell;
use crate::sync::{Arc, Ordering};
use crate::wait::{Barrier, Deadline, Event, Spin, Waking};

/// The consumer's handle. Dropping it gives the place to the next one, who goes on where it was.
///
/// # Which lanes are looked at
/// Each lane is in at least one of three states, and never hides a message:
/// * in the rota: the consumer looks at its tail by itself;
/// * rung: its producer has set the lane's bit in the bitmap, or is in the call that does;
/// * armed: neither, and the lane's SILENT flag is clear, so its next commit rings.
///
/// A lane goes from the rota to armed in `look_again`: flag, heavy barrier, another look. Forbidden
/// outcome: that look misses a message, and its sender missed the flag.
#[derive(Debug)]
pub struct Consumer {
    /// Lanes that were ever looked at.
    readers: Vec<Reader>,
    /// For each lane, its place in `readers`.
    places: Box<[Option<usize>]>,
    rota: Rota,
    /// The reader whose turn it is.
    current: usize,
    /// Messages left in its turn; 0 also while nobody has one.
    turn: usize,
    barrier: Barrier,
    spin: Spin,
    item_size: usize,
    shared: Arc<Shared>,
}

impl Consumer {
    pub(super) fn register(shared: &Arc<Shared>) -> Result<Self, HandleError> {
        let place = &shared.memory.header().consumers;
        // Acquire: sees where the last consumer stopped; pairs with the Release in `drop`.
        if place.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return Err(HandleError::ConsumerTaken);
        }
        let mut consumer = Self {
            readers: Vec::new(),
            places: shared.lanes().map(|_| None).collect(),
            rota: Rota::default(),
            current: 0,
            turn: 0,
            barrier: shared.barrier,
            spin: Spin::new(),
            item_size: shared.memory.geometry().item_size as usize,
            shared: shared.clone(),
        };
        // Lanes that don't ring are those that the last consumer watched.
        let is_silent = |lane: &usize| {
            shared.memory.lane_header(*lane).bell.flags.load(Ordering::Relaxed) & Bell::SILENT != 0
        };
        let is_due = |lane: &usize| is_silent(lane) || shared.len_of(*lane) > 0;
        shared.lanes().filter(is_due).for_each(|lane| consumer.watch(lane));
        Ok(consumer)
    }

    /// Looks at `lane` from now on.
    fn watch(&mut self, lane: usize) {
        let Self { readers, places, rota, shared, .. } = self;
        let reader = *places[lane].get_or_insert_with(|| {
            readers.push(Reader::new(shared.lane(lane), shared.memory.geometry().capacity));
            readers.len() - 1
        });
        rota.join(reader);
    }

    /// How many messages can be read now in one piece, of the `wanted` (at least 1); 0 when all
    /// lanes are empty.
    #[inline]
    pub fn poll(&mut self, wanted: usize) -> usize {
        if self.turn > 0 {
            let reader = &mut self.readers[self.current];
            let available = reader.available(wanted);
            if available > 0 {
                return reader.contiguous(available);
            }
        }
        self.poll_others(wanted)
    }

    /// How many messages can be read now in all lanes, up to `most`.
    pub fn available(&mut self, most: usize) -> usize {
        self.answer();
        let Self { readers, rota, .. } = self;
        let mut add = |sum: usize, reader: usize| sum + readers[reader].available(most - sum);
        rota.readers().fold(0, |sum, reader| if sum < most { add(sum, reader) } else { sum })
    }

    #[inline(never)]
    fn poll_others(&mut self, wanted: usize) -> usize {
        self.turn = 0;
        if self.rota.is_sweep_due() && self.rota.sweep() {
            self.look_again();
        }
        self.answer();
        for _ in 0..self.rota.len() {
            let next = self.rota.advance();
            let reader = &mut self.readers[next];
            let available = reader.available(wanted);
            if available > 0 {
                self.rota.serve();
                (self.current, self.turn) = (next, TURN);
                return reader.contiguous(available);
            }
        }
        0
    }

    /// Watches the lanes whose doorbell rang.
    #[inline]
    fn answer(&mut self) {
        if !self.shared.memory.header().rung.is_empty() {
            self.answer_rung();
        }
    }

    #[cold]
    fn answer_rung(&mut self) {
        let shared = self.shared.clone();
        shared.memory.header().rung.drain(|lane| self.watch(lane));
    }

    /// Arms the doorbells of the lanes that left the rota, and looks there once more; those that
    /// have something come back. Tells whether any has.
    fn look_again(&mut self) -> bool {
        for &reader in self.rota.left() {
            self.readers[reader].lane.bell.flags.fetch_and(!Bell::SILENT, Ordering::Relaxed);
        }
        self.barrier.heavy();
        let mut found = false;
        while let Some(reader) = self.rota.take_left() {
            if self.readers[reader].available(1) > 0 {
                self.rota.join(reader);
                found = true;
            }
        }
        found
    }

    /// The next `n` messages, to read before [`release`](Self::release). `n` must be at most what
    /// [`poll`](Self::poll) said last. The memory lives as long as this channel.
    #[inline]
    pub fn front(&self, n: usize) -> *const u8 {
        self.readers[self.current].front(n)
    }

    /// Gives the slots of the next `n` messages back. `n` must be at most what
    /// [`poll`](Self::poll) said last.
    #[inline]
    pub fn release(&mut self, n: usize) {
        self.turn = self.turn.saturating_sub(n);
        release(&mut self.readers[self.current], self.barrier, n);
    }

    /// Waits until there is a message.
    ///
    /// # Errors
    /// [`Stop::Ended`], [`Stop::TimedOut`] or [`Stop::Interrupted`].
    pub fn wait_for_message(&mut self, deadline: Deadline) -> Result<(), Stop> {
        let start = Instant::now();
        let outcome = self.spin_for_message(start).unwrap_or_else(|| self.park_for_message(deadline));
        self.spin.learn(start.elapsed());
        outcome
    }

    fn spin_for_message(&mut self, start: Instant) -> Option<Result<(), Stop>> {
        let Self { readers, rota, spin, shared, .. } = self;
        let (rung, registry) = (&shared.memory.header().rung, shared.registry());
        let changed = || {
            !rung.is_empty()
                || registry.is_closed()
                || registry.deserted().is_some()
                || rota.readers().any(|reader| readers[reader].available(1) > 0)
        };
        if spin.until(start, changed) {
            shared.arrivals().count_spin();
        }
        self.message_or_end()
    }

    fn park_for_message(&mut self, deadline: Deadline) -> Result<(), Stop> {
        let shared = self.shared.clone();
        loop {
            let ticket = shared.arrivals().prepare();
            self.rota.clear();
            // Its heavy barrier forbids: a sender misses that we wait, and we miss what it did.
            self.look_again();
            if let Some(outcome) = self.message_or_end() {
                return outcome;
            }
            // A bell that rang since then, for a message long received, put its lane back into the
            // rota: the lane is watched, so it would not ring again.
            if self.rota.len() > 0 {
                continue;
            }
            match shared.arrivals().park(ticket, deadline) {
                Waking::Woken => {}
                Waking::TimedOut => return self.message_or_end().unwrap_or(Err(Stop::TimedOut)),
                Waking::Interrupted => return Err(Stop::Interrupted),
            }
        }
    }

    fn message_or_end(&mut self) -> Option<Result<(), Stop>> {
        if self.poll(1) > 0 {
            return Some(Ok(()));
        }
        match self.is_ended() {
            true => Some(Err(Stop::Ended)),
            // Closing may have brought lanes to light that had not rung.
            false => (self.poll(1) > 0).then_some(Ok(())),
        }
    }

    /// Whether nothing more will ever come. Call it when `poll` has found nothing.
    #[cold]
    pub fn is_ended(&mut self) -> bool {
        let shared = self.shared.clone();
        let registry = shared.registry();
        if registry.is_ended() {
            return true;
        }
        if registry.is_closed() {
            return self.seal();
        }
        // Once it is deserted, all that was sent is visible, in a lane that we watch or that rang.
        let Some(deserted) = registry.deserted() else { return false };
        self.poll(1) == 0 && registry.end(deserted)
    }

    /// Ends a closed channel if all is drained: after that no commit counts. Tells whether.
    fn seal(&mut self) -> bool {
        let shared = self.shared.clone();
        for lane in shared.lanes() {
            // `close` does the same, but may still be at it.
            shared.memory.lane_header(lane).bell.flags.fetch_or(Bell::CLOSED, Ordering::Relaxed);
        }
        // Forbids: a producer publishes and misses CLOSED, and we miss its message.
        self.barrier.heavy();
        let open = shared.lanes().filter(|&lane| !self.seal_lane(lane)).count();
        if open == 0 {
            shared.registry().end_closed();
        }
        open == 0
    }

    /// Seals one lane if it is drained; watches it if it isn't.
    fn seal_lane(&mut self, lane: usize) -> bool {
        let header = self.shared.memory.lane_header(lane);
        let head = header.head.load(Ordering::Relaxed);
        // The verdict goes before the tail: a tail beyond it will be taken back.
        let mut verdict = header.bell.verdict.load(Ordering::Acquire);
        if verdict == 0 && header.tail.load(Ordering::Relaxed) == head {
            let sealed = head + 1;
            // AcqRel: orders this with a producer's last commit; pairs with `Producer::settle`.
            let decided =
                header.bell.verdict.compare_exchange(0, sealed, Ordering::AcqRel, Ordering::Acquire);
            verdict = decided.err().unwrap_or(sealed);
        }
        let is_sealed = verdict == head + 1;
        match self.places[lane] {
            Some(reader) if is_sealed => self.readers[reader].seal(),
            None if is_sealed => {}
            _ => self.watch(lane),
        }
        is_sealed
    }

    /// Copies up to `n` messages to `buffer`; tells how many, 0 when all lanes are empty.
    ///
    /// # Safety
    /// `buffer` must be writable for `n` items of this channel's size.
    #[inline]
    pub unsafe fn try_receive_to(&mut self, buffer: *mut u8, n: usize) -> usize {
        let item_size = self.item_size;
        let mut received = 0;
        while received < n {
            let piece = self.poll(n - received);
            if piece == 0 {
                break;
            }
            // SAFETY: `poll` found `piece` messages, `buffer` has room for `n - received` more.
            unsafe {
                ptr::copy_nonoverlapping(
                    self.front(piece),
                    buffer.add(received * item_size),
                    piece * item_size,
                );
            }
            self.release(piece);
            received += piece;
        }
        received
    }

    /// Receives a message if there is one.
    ///
    /// # Panics
    /// If `T` has not the channel's item size.
    #[inline]
    pub fn try_receive<T: Plain>(&mut self) -> Option<T> {
        assert_eq!(size_of::<T>(), self.item_size, "the channel's item size");
        if self.turn > 0 {
            // Looked up once: `poll`, `front` and `release` would take half as long again.
            let reader = &mut self.readers[self.current];
            if reader.available(1) > 0 {
                self.turn -= 1;
                // SAFETY: it has a message, of the size of a `T`.
                return Some(unsafe { take(reader, self.barrier) });
            }
        }
        self.try_receive_from_others()
    }

    #[cold]
    fn try_receive_from_others<T: Plain>(&mut self) -> Option<T> {
        if self.poll_others(1) == 0 {
            return None;
        }
        self.turn -= 1;
        // SAFETY: the lane whose turn it is now has a message, of the size of a `T`.
        Some(unsafe { take(&mut self.readers[self.current], self.barrier) })
    }

    /// Receives a message, waiting for it.
    ///
    /// # Errors
    /// [`Stop::Ended`].
    ///
    /// # Panics
    /// If `T` has not the channel's item size.
    #[inline]
    pub fn receive<T: Plain>(&mut self) -> Result<T, Stop> {
        loop {
            if let Some(item) = self.try_receive() {
                return Ok(item);
            }
            self.wait_through_signals()?;
        }
    }

    /// Receives into `buffer` what is there; tells how many.
    ///
    /// # Panics
    /// If `T` has not the channel's item size.
    #[inline]
    pub fn try_receive_into<T: Plain>(&mut self, buffer: &mut [T]) -> usize {
        assert_eq!(size_of::<T>(), self.item_size, "the channel's item size");
        // SAFETY: `buffer` has room for that many items of this size, and any bytes are a `T`.
        unsafe { self.try_receive_to(buffer.as_mut_ptr().cast(), buffer.len()) }
    }

    /// Receives into `buffer`, waiting for at least one message; tells how many.
    ///
    /// # Errors
    /// [`Stop::Ended`].
    ///
    /// # Panics
    /// If `T` has not the channel's item size, or `buffer` has no room.
    #[inline]
    pub fn receive_into<T: Plain>(&mut self, buffer: &mut [T]) -> Result<usize, Stop> {
        assert!(!buffer.is_empty(), "the buffer has no room");
        loop {
            match self.try_receive_into(buffer) {
                0 => self.wait_through_signals()?,
                received => return Ok(received),
            }
        }
    }

    #[cold]
    fn wait_through_signals(&mut self) -> Result<(), Stop> {
        match self.wait_for_message(Deadline::NEVER) {
            Err(Stop::Interrupted) => Ok(()),
            outcome => outcome,
        }
    }
}

/// Takes the next message of a lane.
///
/// # Safety
/// There must be one, and `T` must have its size.
#[inline]
unsafe fn take<T: Plain>(reader: &mut Reader, barrier: Barrier) -> T {
    // SAFETY: the caller's promise, and any bytes are a `T`.
    let item = unsafe { reader.front(1).cast::<T>().read_unaligned() };
    release(reader, barrier, 1);
    item
}

/// Gives slots back; wakes the producer if it waits for them.
#[inline]
fn release(reader: &mut Reader, barrier: Barrier, n: usize) {
    reader.release(n);
    // Forbids: the producer misses the space, and we miss that it waits.
    barrier.light();
    let space = Event(&reader.lane.space);
    if space.has_waiters() {
        space.notify();
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // Release: where we stopped; pairs with the Acquire in `register`.
        self.shared.memory.header().consumers.store(0, Ordering::Release);
    }
}
