//! The ring that all producers and consumers share: D. Vyukov's bounded queue with claims of n slots.
//!
//! Source: D. Vyukov, "Bounded MPMC queue" (1024cores). Producers claim sequences by moving `tail`,
//! consumers by moving `head`, n at a time with one atomic operation. A slot belongs to whoever claimed
//! its sequence, until he says so in the slot's *state*, which lies apart from the data, so that a
//! claim is one piece:
//!
//! | state of sequence s | meaning | next |
//! |---|---|---|
//! | FREE | to be claimed, or claimed and being written | FULL, SKIP |
//! | FULL | to be claimed, or claimed and being read | FREE of s + lap, BACK |
//! | SKIP | the producer gave its claim up | FREE of s + lap |
//! | BACK | the consumer gave its claim back; any consumer may take it again | FULL |
//!
//! A state is a byte: two bits for the above, six for the lap, that is how often the ring has turned.
//! Six are enough: who claims s has found its state right and `tail` (or `head`) unmoved since before
//! he looked, and then the state can be that of s or of its neighbours in time, no other. A byte, because
//! 64 messages then cost one line between cores where Vyukov's 64-bit sequences cost eight.
//!
//! # Capacity
//! A lap is a power of two, the capacity any number up to that. Sequence s may be claimed if its slot is FREE
//! and that of s - capacity was released, that is, s - capacity + lap is FREE, too: then at most `capacity`
//! messages are in flight, however the releases were ordered. Where the capacity is a lap that is the same.
//!
//! # Taking turns
//! Where there is one producer (spmc), its claims need no compare-and-swap. Where a lock as the GIL sees to
//! it that one call ends before the next begins, none does: nobody ever sees a slot that is claimed and not
//! yet written or read, so `tail` and `head` say all, and the states are left alone. See [`Turns`].
//!
//! # Closing
//! A bit in `tail`, SEALED, says that no claim will be made any more. What was claimed before counts.
//!
//! # Memory ordering
//! The states carry the slots: FULL is stored with Release after writing and loaded with Acquire before
//! reading; FREE is stored with Release after reading and loaded with Acquire before writing. `tail`
//! and `head` only deal out sequences, and need no order.

mod contention;
mod counts;
mod frames;
mod recovery;
mod requeue;
mod words;

use std::ptr::NonNull;
use std::slice;

use self::contention::Contention;
pub(crate) use self::counts::Counts;
use super::claim_log::ClaimLog;
use super::frames::Lengths;
use crate::layout::{Geometry, SharedHeader};
use crate::memory::{Memory, Slots};
use crate::process::kill_point;
use crate::sync::{Arc, AtomicU8, AtomicU64, Ordering};

const FREE: u8 = 0;
const FULL: u8 = 1;
const SKIP: u8 = 2;
const BACK: u8 = 3;

/// In `tail`: no more claims.
const SEALED: u64 = 1 << 63;
/// In `returned`: there may be some.
const SOME: u64 = 1;

/// Who must expect to be disturbed between looking and claiming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turns {
    /// Anyone.
    Nobodys,
    /// Not the one producer, but for `seal`.
    TheProducers,
    /// Nobody: all callers hold the same lock.
    Everybodys,
}

/// Claimed sequences, contiguous in memory. They are to be published or abandoned, released or handed
/// back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(super) start: u64,
    pub(crate) len: usize,
}

impl Claim {
    /// The first `n`, and the rest.
    pub(crate) fn split(self, n: usize) -> (Self, Self) {
        assert!(n <= self.len, "more slots than were claimed");
        (Self { len: n, ..self }, Self { start: self.start.wrapping_add(n as u64), len: self.len - n })
    }

    /// The first sequence.
    pub(crate) fn start(self) -> u64 {
        self.start
    }

    /// The sequence after the last.
    fn end(self) -> u64 {
        self.start.wrapping_add(self.len as u64)
    }
}

/// Why nothing could be claimed to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSlot {
    Full,
    Sealed,
}

/// The shared ring's words and slots, with what keeps them mapped.
#[derive(Debug)]
pub(crate) struct Ring {
    header: NonNull<SharedHeader>,
    states: NonNull<AtomicU8>,
    slots: Slots,
    /// Of a ring of frames.
    lengths: Option<Lengths>,
    mask: u64,
    /// By how many sequences a lap is longer than the capacity; less than half a lap.
    spare: u64,
    /// Bits of a sequence that say which slot; those above say which lap.
    lap_shift: u32,
    turns: Turns,
    _memory: Arc<Memory>,
}

// SAFETY: header and states are atomics, and slots are touched by those who claimed them.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

impl std::ops::Deref for Ring {
    type Target = SharedHeader;

    #[inline]
    fn deref(&self) -> &SharedHeader {
        // SAFETY: `_memory` keeps the header where it is.
        unsafe { self.header.as_ref() }
    }
}

impl Ring {
    pub(crate) fn new(memory: &Arc<Memory>, turns: Turns) -> Self {
        let &Geometry { capacity, lap, .. } = memory.geometry();
        Self {
            header: NonNull::from(memory.shared_header()),
            states: memory.states(),
            slots: memory.slots(0),
            lengths: Lengths::new(memory, 0),
            mask: lap - 1,
            spare: lap - capacity,
            lap_shift: lap.trailing_zeros(),
            turns,
            _memory: memory.clone(),
        }
    }

    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Messages that may be in flight.
    pub(crate) fn capacity(&self) -> u64 {
        self.lap() - self.spare
    }

    /// Sequences, and states, of one lap.
    #[inline(always)]
    fn lap(&self) -> u64 {
        self.mask + 1
    }

    #[inline(always)]
    fn state(&self, sequence: u64) -> &AtomicU8 {
        // SAFETY: masked, so less than `lap`, and there are that many.
        unsafe { self.states.add((sequence & self.mask) as usize).as_ref() }
    }

    /// The byte that says `what` of a sequence.
    #[inline(always)]
    fn code(&self, sequence: u64, what: u8) -> u8 {
        // In two steps: a ring of one slot turns at each sequence, one of 2^40 has few laps.
        ((sequence >> self.lap_shift) as u8) << 2 | what
    }

    #[inline(always)]
    fn is(&self, sequence: u64, what: u8) -> bool {
        // Acquire: pairs with the Release of whoever said so.
        self.state(sequence).load(Ordering::Acquire) == self.code(sequence, what)
    }

    /// How many slots from `start`, the tail, on can be claimed to send, at most `most`.
    #[inline(always)]
    fn free(&self, start: u64, most: usize) -> usize {
        if self.turns == Turns::Everybodys {
            return most;
        }
        let free = self.run(start, most, FREE);
        // What is `spare` sequences further on is free once the message a capacity before `start` is gone.
        if self.spare == 0 || free == 0 { free } else { self.run(start.wrapping_add(self.spare), free, FREE) }
    }

    /// How many messages from `start`, the head, on can be claimed to receive, at most `most`.
    #[inline(always)]
    fn full(&self, start: u64, most: usize) -> usize {
        if self.turns == Turns::Everybodys {
            return (self.tail.load(Ordering::Relaxed) & !SEALED).saturating_sub(start).min(most as u64)
                as usize;
        }
        self.run(start, most, FULL)
    }

    /// The states of `n` sequences from `start` on, at most `lap`: up to the ring's end, and from
    /// its start. Each piece comes with its first sequence, and all of it is in one lap.
    ///
    /// So a batch compares bytes with bytes. `bench/rust`, mpmc, batches of 64: twice as fast as
    /// finding each sequence's slot and lap.
    #[inline(always)]
    fn pieces(&self, start: u64, n: usize) -> [(u64, &[AtomicU8]); 2] {
        let place = (start & self.mask) as usize;
        let first = n.min(self.lap() as usize - place);
        let piece = |place: usize, len: usize| {
            // SAFETY: `place + len` is at most `lap`, and there are that many.
            unsafe { slice::from_raw_parts(self.states.add(place).as_ptr(), len) }
        };
        [(start, piece(place, first)), (start.wrapping_add(first as u64), piece(0, n - first))]
    }

    /// How many sequences from `start` on, at most `most`, are in one state.
    #[inline(always)]
    fn run(&self, start: u64, most: usize, what: u8) -> usize {
        if most == 1 {
            return self.is(start, what).into();
        }
        let mut run = 0;
        for (first, states) in self.pieces(start, most) {
            let len = leading(states, self.code(first, what));
            run += len;
            if len < states.len() {
                break;
            }
        }
        run
    }

    #[inline(always)]
    fn say(&self, claim: Claim, what: u8) {
        if self.turns == Turns::Everybodys {
            return;
        }
        // Release, in both: done with the slot; pairs with the Acquire in `is` and `leading`.
        if claim.len == 1 {
            return self.state(claim.start).store(self.code(claim.start, what), Ordering::Release);
        }
        for (first, states) in self.pieces(claim.start, claim.len) {
            let code = self.code(first, what);
            for state in states {
                state.store(code, Ordering::Release);
                kill_point!("ring.said_one");
            }
        }
    }

    /// Moves `word` from `from` on by `n`; false if somebody else has.
    #[inline(always)]
    fn advance(&self, word: &AtomicU64, from: u64, n: usize) -> bool {
        let to = from.wrapping_add(n as u64);
        if self.turns == Turns::Everybodys {
            word.store(to, Ordering::Relaxed);
            return true;
        }
        // Acquire: pairs with the Release in `abandon` and `hand_back`, whose slots these may be. Release:
        // what the claim log said is seen by who sees it claimed.
        word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Claims up to `wanted` slots to write, as many as are free in one piece.
    #[inline(always)]
    pub(crate) fn claim_to_send(&self, wanted: usize, claim_log: ClaimLog) -> Result<Claim, NoSlot> {
        let mut contention = Contention::new();
        loop {
            let start = self.tail.load(Ordering::Relaxed);
            if start & SEALED != 0 {
                claim_log.clear();
                return Err(NoSlot::Sealed);
            }
            let most = self.slots.contiguous(start, wanted.min(self.room(start)));
            let claim = Claim { start, len: self.free(start, most) };
            if claim.len == 0 {
                // Unmoved: it was the state of `start` that we saw.
                if self.turns != Turns::Nobodys || self.tail.load(Ordering::Relaxed) == start {
                    claim_log.clear();
                    return Err(NoSlot::Full);
                }
            } else if self.try_claim_to_send(claim, claim_log) {
                claim_log.held(claim);
                kill_point!("ring.send.holds");
                return Ok(claim);
            }
            if !contention.back_off() {
                claim_log.clear();
                return Err(NoSlot::Full);
            }
        }
    }

    #[inline(always)]
    fn try_claim_to_send(&self, claim: Claim, claim_log: ClaimLog) -> bool {
        let Claim { start, len } = claim;
        claim_log.begin(claim);
        kill_point!("ring.send.tries");
        if self.turns != Turns::TheProducers {
            let is_ours = self.advance(&self.tail, start, len);
            kill_point!("ring.send.claimed");
            return is_ours;
        }
        // Release: as in `advance`.
        if self.tail.fetch_add(len as u64, Ordering::Release) & SEALED == 0 {
            kill_point!("ring.send.claimed");
            return true;
        }
        kill_point!("ring.send.claimed_sealed");
        self.tail.fetch_sub(len as u64, Ordering::Relaxed);
        false
    }

    /// How many messages may be sent from `tail` on, if the head tells and not the slots' states: the head
    /// that we see may have moved on since, and then there is more room.
    #[inline(always)]
    fn room(&self, tail: u64) -> usize {
        let withheld = self.withheld.load(Ordering::Relaxed);
        if withheld == 0 && self.turns != Turns::Everybodys {
            return self.capacity() as usize;
        }
        let in_flight = tail.saturating_sub(self.head.load(Ordering::Relaxed));
        self.capacity().saturating_sub(withheld).saturating_sub(in_flight) as usize
    }

    /// The claimed slots, to write.
    #[inline(always)]
    pub(crate) fn to_write(&self, claim: Claim) -> *mut u8 {
        self.slots.to_write(claim.start, claim.len)
    }

    /// Hands claimed and written slots to the consumers.
    #[inline(always)]
    pub(crate) fn publish(&self, claim: Claim) {
        self.say(claim, FULL);
    }

    /// Gives a claim up: as if it had not been made if it is the last, else consumers will pass it.
    #[cold]
    pub(crate) fn abandon(&self, claim: Claim, claim_log: ClaimLog) {
        if claim.len == 0 {
            return;
        }
        claim_log.releasing();
        kill_point!("ring.abandon.doubts");
        // Release: done with the slots, which have no state to say so, and with the claim log; pairs with
        // `advance`.
        let moved =
            self.tail.compare_exchange(claim.end(), claim.start, Ordering::Release, Ordering::Relaxed);
        if moved.is_ok() {
            kill_point!("ring.abandon.moved");
            return self.say_given_back();
        }
        claim_log.keeps();
        kill_point!("ring.abandon.keeps");
        match claim_log.slots() {
            Some(given_up) => given_up.begin(claim.len as u64),
            None => drop(self.abandoned.fetch_add(claim.len as u64, Ordering::Relaxed)),
        }
        kill_point!("ring.abandon.counted");
        self.say(claim, SKIP);
        kill_point!("ring.abandon.skipped");
        if let Some(given_up) = claim_log.slots() {
            given_up.end(true);
        }
    }

    /// To be called before the claim log rests: who sees it at rest sees this.
    fn say_given_back(&self) {
        // Release: pairs with the Acquire in `claims_of`.
        self.given_back.fetch_add(1, Ordering::Release);
    }

    /// Claims up to `wanted` messages to read, as many as there are in one piece. Calls `passed` when it
    /// has passed slots that their producers gave up.
    #[inline(always)]
    pub(crate) fn claim_to_receive(
        &self,
        wanted: usize,
        claim_log: ClaimLog,
        passed: impl Fn(),
    ) -> Option<Claim> {
        if self.returned.load(Ordering::Relaxed) == SOME
            && let Some(claim) = self.claim_returned(wanted, claim_log)
        {
            return Some(claim);
        }
        let mut contention = Contention::new();
        loop {
            let start = self.head.load(Ordering::Relaxed);
            let most = self.slots.contiguous(start, wanted.min(self.lap() as usize));
            let claim = Claim { start, len: self.full(start, most) };
            if claim.len > 0 {
                claim_log.begin(claim);
                kill_point!("ring.receive.tries");
                if self.advance(&self.head, start, claim.len) {
                    kill_point!("ring.receive.claimed");
                    claim_log.held(claim);
                    kill_point!("ring.receive.holds");
                    return Some(claim);
                }
            } else if self.turns == Turns::Everybodys {
                return None;
            } else if self.is(start, SKIP) {
                self.pass(start, claim_log);
                passed();
                if contention.go_round() {
                    continue;
                }
            } else if self.head.load(Ordering::Relaxed) == start {
                claim_log.clear();
                return None;
            }
            if !contention.back_off() {
                claim_log.clear();
                return None;
            }
        }
    }

    /// Passes the slots from `start` on that their producers gave up.
    #[cold]
    fn pass(&self, start: u64, claim_log: ClaimLog) {
        let claim = Claim { start, len: self.run(start, self.lap() as usize, SKIP) };
        if claim.len > 0 {
            claim_log.begin(claim);
            kill_point!("ring.pass.tries");
            if self.advance(&self.head, start, claim.len) {
                kill_point!("ring.pass.claimed");
                claim_log.held(claim);
                match claim_log.slots() {
                    Some(passed) => passed.begin(claim.len as u64),
                    None => drop(self.passed.fetch_add(claim.len as u64, Ordering::Relaxed)),
                }
                self.release(claim);
                kill_point!("ring.pass.released");
                if let Some(passed) = claim_log.slots() {
                    passed.end(true);
                }
            }
            claim_log.clear();
        }
    }

    /// The claimed messages, to read.
    #[inline(always)]
    pub(crate) fn to_read(&self, claim: Claim) -> *const u8 {
        self.slots.to_read(claim.start, claim.len)
    }

    /// Gives the slots of claimed messages back to the producers.
    #[inline(always)]
    pub(crate) fn release(&self, claim: Claim) {
        let next_lap = Claim { start: claim.start.wrapping_add(self.lap()), ..claim };
        self.say(next_lap, FREE);
    }

    /// Visits the slots of all messages that nobody has claimed to receive.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(*mut u8)) {
        let (head, tail) = (self.head.load(Ordering::Acquire), self.tail.load(Ordering::Acquire) & !SEALED);
        for start in head..tail.min(head.saturating_add(self.lap())) {
            if self.full(start, 1) > 0 {
                visit(self.to_write(Claim { start, len: 1 }));
            }
        }
    }

    /// Allows no more claims to send.
    pub(crate) fn seal(&self) {
        self.tail.fetch_or(SEALED, Ordering::AcqRel);
    }

    /// Whether there are no messages, and no claims of either side that may become some: every slot
    /// waits for its next lap. Once the ring is sealed, this stays so.
    #[cold]
    pub(crate) fn is_drained(&self) -> bool {
        // Acquire: who saw the ring sealed sees what was claimed before.
        let tail = self.tail.load(Ordering::Acquire) & !SEALED;
        if self.turns == Turns::Everybodys {
            return self.head.load(Ordering::Relaxed) == tail;
        }
        let lap = self.lap() as usize;
        self.run(tail, lap, FREE) == lap
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.tail.load(Ordering::Acquire) & SEALED != 0
    }

    /// Whether there are `n` messages, at a glance: those in between may be claimed and not yet sent.
    /// Where all callers take turns there is nobody to get ahead: always.
    pub(crate) fn has_messages(&self, n: u64) -> bool {
        let head = self.head.load(Ordering::Relaxed);
        self.turns == Turns::Everybodys || self.is(head.wrapping_add(n - 1), FULL)
    }

    /// Whether a message could be claimed just now, or slots given up could be passed.
    #[inline]
    pub(crate) fn has_message(&self) -> bool {
        let head = self.head.load(Ordering::Relaxed);
        if self.turns == Turns::Everybodys {
            return self.full(head, 1) > 0;
        }
        self.is(head, FULL) || self.is(head, SKIP) || self.returned.load(Ordering::Relaxed) == SOME
    }
}

/// How many of `states`, from the first on, are `code`.
#[inline(always)]
fn leading(states: &[AtomicU8], code: u8) -> usize {
    // Acquire: pairs with the Release of whoever said so.
    let is_so = |state: &AtomicU8| state.load(Ordering::Acquire) == code;
    // By eights, which the compiler writes out: a third faster.
    let (eights, _) = states.as_chunks::<8>();
    let len = eights.iter().take_while(|eight| eight.iter().all(is_so)).count() * 8;
    len + states[len..].iter().take_while(|state| is_so(state)).count()
}
