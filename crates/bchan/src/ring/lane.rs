//! The lane: a ring with one writer and one reader.
//!
//! Source: the single-producer queue of L. Lamport (1983) with cached peer indices (J. Giacomoni
//! et al., FastForward, 2008; E. Rigtorp, SPSCQueue). Sequences are 64-bit and only grow, so a
//! full ring and an empty one are never confused. Both sides are wait-free.
//!
//! # Memory ordering
//! `tail` publishes slots: the writer's Release store pairs with the reader's Acquire load in
//! `refresh`, so slots below a tail that was read are written. `head` gives them back: the
//! reader's Release store pairs with the writer's Acquire load, so slots below `head` are no
//! longer read when they are written again. Each side caches the other's index and looks at the
//! shared word only when the cached one does not suffice. Neither trusts it: an index that claims
//! more than `capacity` messages is cut to that, so no index can lead outside the ring.

use std::ptr::NonNull;

use super::frames::{Frame, Lengths};
use crate::layout::LaneHeader;
use crate::memory::{Memory, Slots};
use crate::sync::{Arc, Ordering};

/// A lane's words and slots, with what keeps them mapped.
#[derive(Debug)]
pub(crate) struct Lane {
    header: NonNull<LaneHeader>,
    pub(crate) slots: Slots,
    /// Of a lane of frames.
    lengths: Option<Lengths>,
    _memory: Arc<Memory>,
}

impl Lane {
    pub(crate) fn new(memory: &Arc<Memory>, index: usize) -> Self {
        Self {
            header: NonNull::from(memory.lane_header(index)),
            slots: memory.slots(index),
            lengths: Lengths::new(memory, index),
            _memory: memory.clone(),
        }
    }
}

impl Lane {
    /// The lengths of the frames; to be asked only of a lane of them.
    #[inline(always)]
    pub(crate) fn lengths(&self) -> &Lengths {
        self.lengths.as_ref().expect("a lane of frames")
    }
}

impl std::ops::Deref for Lane {
    type Target = LaneHeader;

    #[inline]
    fn deref(&self) -> &LaneHeader {
        // SAFETY: `_memory` keeps the header where it is.
        unsafe { self.header.as_ref() }
    }
}

// SAFETY: the header is atomics, and slots are touched by the one owner of a `Writer` or `Reader`.
unsafe impl Send for Lane {}
// SAFETY: as above; `&Lane` reads indices and addresses.
unsafe impl Sync for Lane {}

/// The producer's end of a lane. There is one at a time.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) lane: Lane,
    capacity: u64,
    /// Next sequence to write; `lane.tail` lags behind it by nothing but the current call.
    tail: u64,
    /// The last `lane.head` seen: at most that far behind, so free slots are never overstated.
    cached_head: u64,
    /// How many slots from `tail` on are claimed, of those that are free.
    claimed: u64,
}

impl Writer {
    /// Goes on where the lane's last writer stopped.
    pub(crate) fn new(lane: Lane, capacity: u64) -> Self {
        // Relaxed: whoever took the lane's bit in the registry synchronised with who left it.
        let tail = lane.tail.load(Ordering::Relaxed);
        let cached_head = tail.wrapping_sub(capacity);
        Self { lane, capacity, tail, cached_head, claimed: 0 }
    }

    /// How many slots can be written now, of the `wanted` (at least 1).
    #[inline]
    pub(crate) fn free(&mut self, wanted: usize) -> usize {
        let mut free = self.cached_free();
        if free < wanted as u64 {
            self.refresh();
            free = self.cached_free();
        }
        free.min(wanted as u64) as usize
    }

    /// How many slots can be written without another look at the head.
    #[inline]
    pub(crate) fn cached_free(&self) -> u64 {
        self.capacity - self.tail.wrapping_sub(self.cached_head)
    }

    #[inline]
    fn refresh(&mut self) {
        // Acquire: the slots below it are no longer read; pairs with the Release in `release`.
        let head = self.lane.head.load(Ordering::Acquire);
        let used = self.tail.wrapping_sub(head).min(self.capacity);
        self.cached_head = self.tail.wrapping_sub(used);
    }

    /// How many of the next `n` free slots lie in one piece.
    #[inline]
    pub(crate) fn contiguous(&self, n: usize) -> usize {
        self.lane.slots.contiguous(self.tail, n)
    }

    /// Claims the next `n` slots, which must be free.
    #[inline]
    pub(crate) fn claim(&mut self, n: usize) {
        debug_assert!(n as u64 <= self.cached_free());
        self.claimed = self.claimed.max(n as u64);
    }

    /// How many slots are claimed.
    #[inline]
    pub(crate) fn claimed(&self) -> usize {
        self.claimed as usize
    }

    /// Gives up what is claimed.
    #[inline]
    pub(crate) fn give_up(&mut self) {
        self.claimed = 0;
    }

    /// The next `n` slots, which must be claimed and contiguous.
    #[inline]
    pub(crate) fn slots(&self, n: usize) -> *mut u8 {
        debug_assert!(n as u64 <= self.claimed && n <= self.contiguous(n));
        self.lane.slots.to_write(self.tail, n)
    }

    /// Hands the next `n` slots, which must be claimed and written, to the reader, and gives up the others.
    #[inline]
    pub(crate) fn publish(&mut self, n: usize) {
        assert!(n as u64 <= self.claimed, "more slots than were claimed");
        self.claimed = 0;
        self.tail = self.tail.wrapping_add(n as u64);
        // Release: publishes the slots; pairs with the Acquire in the reader's `refresh`.
        self.lane.tail.store(self.tail, Ordering::Release);
    }

    /// Takes back the last `n` messages, which no reader will ever look at: the lane is closed.
    pub(crate) fn retract(&mut self, n: usize) {
        self.tail = self.tail.wrapping_sub(n as u64);
        self.lane.tail.store(self.tail, Ordering::Relaxed);
    }

    /// Items that may be in flight.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// The sequence after the last message published.
    pub(crate) fn tail(&self) -> u64 {
        self.tail
    }
}

/// The consumer's end of a lane. There is one at a time.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) lane: Lane,
    /// 0 once the lane is sealed.
    capacity: u64,
    /// Next sequence to read.
    head: u64,
    /// The last `lane.tail` seen: at most that far behind, so messages are never overstated.
    cached_tail: u64,
    /// How many messages from `head` on are claimed, of those that are available.
    claimed: u64,
}

impl Reader {
    /// Goes on where the lane's last reader stopped.
    pub(crate) fn new(lane: Lane, capacity: u64) -> Self {
        // Relaxed: whoever took the consumer's place synchronised with who left it.
        let head = lane.head.load(Ordering::Relaxed);
        let is_sealed = lane.bell.final_tail.load(Ordering::Relaxed) == head.wrapping_add(1);
        Self { lane, capacity: if is_sealed { 0 } else { capacity }, head, cached_tail: head, claimed: 0 }
    }

    /// Reads no more: what the producer may still publish here, it will take back.
    pub(crate) fn seal(&mut self) {
        self.cached_tail = self.head;
        (self.capacity, self.claimed) = (0, 0);
    }

    /// How many messages can be read now, of the `wanted` (at least 1).
    #[inline]
    pub(crate) fn available(&mut self, wanted: usize) -> usize {
        let mut available = self.cached_tail.wrapping_sub(self.head);
        if available < wanted as u64 {
            self.refresh();
            available = self.cached_tail.wrapping_sub(self.head);
        }
        available.min(wanted as u64) as usize
    }

    /// Whether at most half the ring has messages.
    pub(crate) fn is_half_drained(&mut self) -> bool {
        let half = self.capacity as usize / 2;
        self.available(half + 1) <= half
    }

    #[inline]
    fn refresh(&mut self) {
        // Acquire: the slots below it are written; pairs with the Release in `publish`.
        let tail = self.lane.tail.load(Ordering::Acquire);
        let available = tail.wrapping_sub(self.head).min(self.capacity);
        self.cached_tail = self.head.wrapping_add(available);
    }

    /// How many of the next `n` messages lie in one piece.
    #[inline]
    pub(crate) fn contiguous(&self, n: usize) -> usize {
        self.lane.slots.contiguous(self.head, n)
    }

    /// Claims the next `n` messages, which must be available.
    #[inline]
    pub(crate) fn claim(&mut self, n: usize) {
        debug_assert!(n as u64 <= self.cached_tail.wrapping_sub(self.head));
        self.claimed = self.claimed.max(n as u64);
    }

    /// How many messages, or slots of a frame, are claimed.
    #[inline]
    pub(crate) fn claimed(&self) -> usize {
        self.claimed as usize
    }

    /// Claims up to `wanted` messages, as many as there are in one piece; tells how many.
    #[inline]
    pub(crate) fn claim_some(&mut self, wanted: usize) -> usize {
        let available = self.available(wanted);
        if available == 0 {
            return 0;
        }
        let n = self.contiguous(available);
        self.claim(n);
        n
    }

    /// The next `n` messages, which must be available and contiguous.
    #[inline]
    pub(crate) fn front(&self, n: usize) -> *const u8 {
        debug_assert!(n as u64 <= self.cached_tail.wrapping_sub(self.head));
        self.lane.slots.to_read(self.head, n)
    }

    /// The next frame, of a lane that has one. A length beyond what was sent is cut off.
    #[inline]
    pub(crate) fn frame(&mut self) -> Frame {
        let frame = self.lane.lengths().get(self.head);
        frame.within(self.available(frame.slots()))
    }

    /// The sequence of the next message.
    #[inline]
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// Gives the next `n` slots, which must be claimed, back to the writer, and keeps the others.
    #[inline]
    pub(crate) fn release(&mut self, n: usize) {
        assert!(n as u64 <= self.claimed, "more messages than were claimed");
        self.claimed = 0;
        self.head = self.head.wrapping_add(n as u64);
        // Release: done reading them; pairs with the Acquire in the writer's `refresh`.
        self.lane.head.store(self.head, Ordering::Release);
    }
}
