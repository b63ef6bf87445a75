//! The consumer: goes round the lanes that have something, and finds out when it is over.

use super::ready_list::{ReadyList, TURN};
use crate::channel::cases::Case;
use crate::channel::ends::ReceiveSlots;
use crate::channel::frames::ReceivingFrames;
use crate::channel::items::Receiving;
use crate::channel::message::{Frames, Items, Message, Word};
use crate::channel::registry_slots::{Place, keep_watch};
use crate::channel::{ChannelState, Plain};
use crate::error::{HandleError, ReceiveError};
use crate::layout::Bell;
use crate::process::kill_point;
use crate::ring::lane::Reader;
use crate::sync::{Arc, Ordering};
use crate::wait::{Barrier, Deadline, Look, Point, Spin, Waiter, arm_until, park_until, wait_until};

/// The consumer's handle.
///
/// # Which lanes are looked at
/// Each lane is in at least one of three states, and never hides a message:
/// * in the ready list: the consumer looks at its tail by itself;
/// * rung: its producer has set the lane's bit in the bitmap, or is in the call that does;
/// * armed: neither, and the lane's SILENT flag is clear, so its next commit rings.
///
/// A lane goes from the ready list to armed in `look_again`: flag, heavy barrier, another look. Forbidden
/// outcome: that look misses a message, and its sender missed the flag.
#[derive(Debug)]
pub(in crate::channel) struct Consumer<M: Message> {
    /// Lanes that were ever looked at.
    readers: Vec<Reader>,
    /// For each lane, its place in `readers`.
    places: Box<[Option<usize>]>,
    ready_list: ReadyList,
    /// The reader whose turn it is.
    current: usize,
    /// Messages left in its turn; 0 also while nobody has one.
    turn: usize,
    barrier: Barrier,
    spin: Spin,
    item_size: usize,
    shared: Arc<ChannelState>,
    /// Of the message that is claimed.
    open: M::Open,
    pub(in crate::channel) place: Place,
}

impl<M: Message> Consumer<M> {
    /// Goes on where the last consumer stopped. All that it will ever need for its lanes is allocated here.
    pub(in crate::channel) fn at(place: Place, shared: &Arc<ChannelState>) -> Result<Self, HandleError> {
        let lanes = shared.lanes().len();
        let out_of_memory = |_| HandleError::OutOfMemory;
        let (mut readers, mut places) = (Vec::new(), Vec::new());
        readers.try_reserve_exact(lanes).map_err(out_of_memory)?;
        places.try_reserve_exact(lanes).map_err(out_of_memory)?;
        places.resize(lanes, None);
        let mut consumer = Self {
            readers,
            places: places.into(),
            ready_list: ReadyList::of(lanes).map_err(out_of_memory)?,
            current: 0,
            turn: 0,
            barrier: shared.barrier,
            spin: Spin::new(),
            item_size: shared.memory.geometry().item_size as usize,
            shared: shared.clone(),
            open: M::Open::default(),
            place,
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
        let Self { readers, places, ready_list, shared, .. } = self;
        let reader = *places[lane].get_or_insert_with(|| {
            readers.push(Reader::new(shared.lane(lane), shared.memory.geometry().capacity));
            readers.len() - 1
        });
        ready_list.join(reader);
    }

    #[inline(never)]
    fn poll_others(&mut self, wanted: usize) -> usize {
        self.turn = 0;
        if self.ready_list.is_sweep_due() && self.ready_list.sweep() {
            self.look_again();
        }
        self.answer();
        for _ in 0..self.ready_list.len() {
            let next = self.ready_list.advance();
            let claimed = self.readers[next].claim_some(wanted);
            if claimed > 0 {
                self.ready_list.serve();
                (self.current, self.turn) = (next, TURN);
                return claimed;
            }
        }
        keep_watch(&self.shared);
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
        let lanes = shared.lanes();
        // What others write is not believed.
        shared.memory.header().rung.drain(|lane| {
            if lanes.contains(&lane) {
                self.watch(lane);
            }
        });
        kill_point!("lane.answered");
    }

    /// Arms the doorbells of the lanes that left the ready list, and looks there once more; those that
    /// have something come back. Tells whether any has.
    fn look_again(&mut self) -> bool {
        self.arm_doorbells();
        self.barrier.heavy();
        self.look_at_left()
    }

    fn arm_doorbells(&mut self) {
        for &reader in self.ready_list.left() {
            self.readers[reader].lane.bell.flags.fetch_and(!Bell::SILENT, Ordering::Relaxed);
            kill_point!("lane.armed");
        }
    }

    fn look_at_left(&mut self) -> bool {
        let mut found = false;
        while let Some(reader) = self.ready_list.take_left() {
            if self.readers[reader].available(1) > 0 {
                self.ready_list.join(reader);
                found = true;
            }
        }
        found
    }

    /// Stops watching all lanes, once it was said that we wait. Then come the heavy barrier and the look.
    fn stop_watching(&mut self) {
        self.ready_list.clear();
        self.arm_doorbells();
    }

    fn look_after_barrier(&mut self) -> Look<ReceiveError> {
        self.look_at_left();
        match self.message_or_end() {
            Some(outcome) => Look::Over(outcome),
            // A bell that rang since then, for a message long received, put its lane back into the
            // ready list: the lane is watched, so it would not ring again.
            None if self.ready_list.len() > 0 => Look::Again,
            // The next message will ring.
            None => Look::Nothing,
        }
    }

    fn message_or_end(&mut self) -> Option<Result<(), ReceiveError>> {
        if self.claim(1) > 0 {
            return Some(Ok(()));
        }
        match self.has_ended() {
            true => Some(Err(ReceiveError::Ended)),
            // Closing may have brought lanes to light that had not rung.
            false => (self.claim(1) > 0).then_some(Ok(())),
        }
    }

    /// Ends a closed channel if all is drained: after that no commit counts. Tells whether.
    fn seal(&mut self) -> bool {
        let shared = self.shared.clone();
        for lane in shared.lanes() {
            // `close` does the same, but may still be at it.
            shared.memory.lane_header(lane).bell.flags.fetch_or(Bell::CLOSED, Ordering::Relaxed);
            kill_point!("lane.seal.flagged");
        }
        // Forbids: a producer publishes and misses CLOSED, and we miss its message.
        self.barrier.heavy();
        let open = shared.lanes().filter(|&lane| !self.seal_lane(lane)).count();
        kill_point!("lane.seal.sealed");
        if open == 0 {
            shared.registry().end_closed();
        }
        open == 0
    }

    /// Seals one lane if it is drained; watches it if it isn't.
    fn seal_lane(&mut self, lane: usize) -> bool {
        let header = self.shared.memory.lane_header(lane);
        let head = header.head.load(Ordering::Relaxed);
        // The final tail goes before the tail: a tail beyond it will be taken back.
        let mut final_tail = header.bell.final_tail.load(Ordering::Acquire);
        if final_tail == 0 && header.tail.load(Ordering::Relaxed) == head {
            let sealed = head.wrapping_add(1);
            // AcqRel: orders this with a producer's last commit; pairs with `Producer::settle`.
            let decided =
                header.bell.final_tail.compare_exchange(0, sealed, Ordering::AcqRel, Ordering::Acquire);
            final_tail = decided.err().unwrap_or(sealed);
        }
        let is_sealed = final_tail == head.wrapping_add(1);
        match self.places[lane] {
            Some(reader) if is_sealed => self.readers[reader].seal(),
            None if is_sealed => {}
            _ => self.watch(lane),
        }
        is_sealed
    }

    /// Claims up to `wanted` messages of the lane whose turn it is, or the next that has any.
    #[inline(always)]
    fn claim(&mut self, wanted: usize) -> usize {
        if self.turn > 0 {
            let claimed = self.readers[self.current].claim_some(wanted);
            if claimed > 0 {
                return claimed;
            }
        }
        self.poll_others(wanted)
    }

    #[cold]
    fn has_ended(&mut self) -> bool {
        let shared = self.shared.clone();
        keep_watch(&shared);
        let registry = shared.registry();
        if registry.is_ended() {
            return true;
        }
        if registry.is_closed() {
            return self.seal();
        }
        // Once all producers have left, all that was sent is visible, in a lane that we watch or that rang.
        let Some(left) = registry.left() else { return false };
        self.claim(1) == 0 && registry.end(left)
    }
}

/// A consumer that waits for a message, or the end, while it watches no lane.
struct ForMessage<'a, M: Message>(&'a mut Consumer<M>);

impl<M: Message> Waiter for ForMessage<'_, M> {
    type Error = ReceiveError;

    fn point(&self) -> Point<'_> {
        Point::Event(self.0.shared.arrivals())
    }

    fn prepared(&mut self) {
        kill_point!("lane.rest.prepared");
        self.0.stop_watching();
    }

    fn look(&mut self) -> Look<ReceiveError> {
        if M::is_open(self.0.open) { Look::Over(Ok(())) } else { self.0.look_after_barrier() }
    }

    fn is_due(&mut self) -> bool {
        let Consumer { readers, ready_list, shared, .. } = &mut *self.0;
        let registry = shared.registry();
        !shared.memory.header().rung.is_empty()
            || registry.is_closed()
            || registry.left().is_some()
            || ready_list.readers().any(|reader| readers[reader].available(1) > 0)
    }

    /// What has changed may be no message. Who never parks comes again.
    fn look_after_spin(&mut self) -> Look<ReceiveError> {
        match self.0.message_or_end() {
            Some(outcome) => Look::Over(outcome),
            None if self.0.shared.tuning.parks => Look::Nothing,
            None => Look::Over(Ok(())),
        }
    }

    /// The look has done so.
    fn keep_watch(&self) -> bool {
        false
    }

    fn barrier(&self) -> Barrier {
        self.0.barrier
    }
}

impl<M: Message> ReceiveSlots for Consumer<M> {
    type Message = M;

    #[inline(always)]
    fn claim_next(&mut self, wanted: usize) -> M::Claimed {
        if M::is_open(self.open) {
            return M::claimed(wanted, self.open);
        }
        let n = self.claim(wanted);
        if n > 0 {
            self.open = M::open(&mut self.readers[self.current]);
        }
        M::claimed(n, self.open)
    }

    #[inline]
    fn peek_next(&mut self, wanted: usize) -> M::Claimed {
        self.claim_next(wanted)
    }

    #[inline(always)]
    fn open_slots(&self) -> usize {
        if M::is_open(self.open) { self.readers[self.current].claimed() } else { 0 }
    }

    #[inline(always)]
    fn front_slots(&self, n: usize) -> *const u8 {
        self.readers[self.current].front(n)
    }

    #[inline(always)]
    fn release_slots(&mut self, n: usize) {
        self.open = M::Open::default();
        self.turn = self.turn.saturating_sub(n);
        let reader = &mut self.readers[self.current];
        M::begin_to_release(reader, n);
        release(&self.shared, reader, self.barrier, n);
        M::end_to_release(reader, n);
    }

    #[inline(always)]
    fn word(&self) -> Word<'_> {
        let reader = &self.readers[self.current];
        Word { lengths: reader.lane.lengths(), sequence: reader.head() }
    }

    fn is_ended(&mut self) -> bool {
        !M::is_open(self.open) && self.has_ended()
    }

    fn wait_for_message(&mut self, deadline: Deadline) -> Result<(), ReceiveError> {
        if M::is_open(self.open) {
            return Ok(());
        }
        let (mut spin, tuning) = (std::mem::take(&mut self.spin), self.shared.tuning);
        let outcome = wait_until(&mut ForMessage(self), &mut spin, &tuning, deadline, park_until);
        self.spin = spin;
        outcome
    }

    fn arm(&mut self, waker: i32) -> bool {
        M::is_open(self.open) || arm_until(&mut ForMessage(self), waker)
    }

    /// The one that leaves has had lanes watched, which do not ring then.
    fn must_look(&mut self) -> bool {
        while !M::is_open(self.open) {
            self.stop_watching();
            // Forbids: a sender misses that its lane is not watched, and we miss what it did.
            self.barrier.heavy();
            match self.look_after_barrier() {
                Look::Nothing => return false,
                Look::Again => {}
                Look::Over(_) => return true,
            }
        }
        true
    }

    fn case(&mut self) -> Case<'_> {
        let shared = self.shared.clone();
        Case::new(&shared, ForMessage(self))
    }

    #[inline(always)]
    fn item_size(&self) -> usize {
        self.item_size
    }
}

impl Consumer<Items> {
    #[cold]
    fn try_receive_from_others<T: Plain>(&mut self) -> Option<T> {
        if self.poll_others(1) == 0 {
            return None;
        }
        self.turn -= 1;
        // SAFETY: the lane whose turn it is now has a message, of the size of a `T`.
        Some(unsafe { take(&self.shared, &mut self.readers[self.current], self.barrier) })
    }
}

impl Receiving for Consumer<Items> {
    fn available(&mut self, most: usize) -> usize {
        self.answer();
        let Self { readers, ready_list, .. } = self;
        let mut add = |sum: usize, reader: usize| sum + readers[reader].available(most - sum);
        ready_list.readers().fold(0, |sum, reader| if sum < most { add(sum, reader) } else { sum })
    }

    #[inline(always)]
    fn try_receive<T: Plain>(&mut self) -> Option<T> {
        assert_eq!(size_of::<T>(), self.item_size, "the channel's item size");
        if self.turn > 0 {
            // Looked up once: `claim`, `front` and `release` would take half as long again.
            let reader = &mut self.readers[self.current];
            if reader.available(1) > 0 {
                self.turn -= 1;
                // SAFETY: it has a message, of the size of a `T`.
                return Some(unsafe { take(&self.shared, reader, self.barrier) });
            }
        }
        self.try_receive_from_others()
    }
}

impl ReceivingFrames for Consumer<Frames> {}

/// Takes the next message of a lane.
///
/// # Safety
/// There must be one, and `T` must have its size.
#[inline]
unsafe fn take<T: Plain>(shared: &ChannelState, reader: &mut Reader, barrier: Barrier) -> T {
    // SAFETY: the caller's promise, and any bytes are a `T`.
    let item = unsafe { reader.front(1).cast::<T>().read_unaligned() };
    reader.claim(1);
    release(shared, reader, barrier, 1);
    item
}

/// Gives slots back; wakes the producer if it waits for them, and has no patience or much to do.
#[inline]
fn release(shared: &ChannelState, reader: &mut Reader, barrier: Barrier, n: usize) {
    kill_point!("lane.release.begun");
    reader.release(n);
    kill_point!("lane.release.released");
    // Forbids: the producer misses the space, and we miss that it waits.
    barrier.light();
    if reader.lane.space.has_waiters() && (!reader.lane.space.is_patient() || reader.is_half_drained()) {
        shared.event(&reader.lane.space).notify();
        kill_point!("lane.release.notified");
    }
}
