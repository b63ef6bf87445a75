//! Frames: messages of any length, each in slots that follow each other.
//!
//! A frame's length stands in a word apart from the data, that of its first slot: so payloads begin at
//! slot boundaries, and 64 bytes fit one slot. The words have no order of their own: what publishes the
//! frame (a lane's tail, the state of its first slot) publishes its word, too.
//!
//! A word is read from memory that others may write. A length is cut to what the ring can hold before
//! anyone uses it.

use std::ptr::NonNull;

use crate::layout::{FRAME_SLOT, FrameCounters};
use crate::memory::Memory;
use crate::sync::{AtomicU64, Ordering};

/// What a message is, apart from its bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Frame {
    /// Bytes of the message.
    pub len: usize,
    /// What they are to whoever sends and receives them; 0 for just bytes.
    pub kind: u8,
}

/// Bits of a word that are the length; the kind is in the uppermost eight.
const LEN: u64 = (1 << 48) - 1;
const KIND_SHIFT: u32 = 56;
/// The eight between: how much of the frame its reader is done with. See
/// [`progress`](crate::ReceivingFrames::progress).
const PROGRESS_SHIFT: u32 = 48;
const PROGRESS: u64 = 0xFF << PROGRESS_SHIFT;

impl Frame {
    /// Slots that it takes: one at least.
    #[inline(always)]
    pub(crate) fn slots(self) -> usize {
        slots_for(self.len)
    }

    #[inline(always)]
    fn word(self) -> u64 {
        self.len as u64 | u64::from(self.kind) << KIND_SHIFT
    }

    /// The frame of a word, at most `slots` long.
    #[inline(always)]
    fn of(word: u64, slots: usize) -> Self {
        Self { len: (word & LEN) as usize, kind: (word >> KIND_SHIFT) as u8 }.within(slots)
    }

    /// The same, cut to `slots`.
    #[inline(always)]
    pub(crate) fn within(self, slots: usize) -> Self {
        Self { len: self.len.min(slots * FRAME_SLOT), ..self }
    }
}

/// Slots that a message of `len` bytes takes.
#[inline(always)]
pub(crate) fn slots_for(len: usize) -> usize {
    len.div_ceil(FRAME_SLOT).max(1)
}

/// The lengths of one ring, and how many frames there were. Valid while the `Memory` lives that it came
/// from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lengths {
    counters: NonNull<FrameCounters>,
    mask: u64,
}

// SAFETY: they are atomics.
unsafe impl Send for Lengths {}
// SAFETY: as above.
unsafe impl Sync for Lengths {}

impl Lengths {
    /// Those of a ring, if it is one of frames.
    pub(crate) fn new(memory: &Memory, ring: usize) -> Option<Self> {
        let geometry = memory.geometry();
        (geometry.framed == 1).then(|| Self { counters: memory.lengths(ring), mask: geometry.lap - 1 })
    }

    #[inline(always)]
    fn word(&self, sequence: u64) -> &AtomicU64 {
        // SAFETY: masked, so less than `capacity`, and that many words follow the counters.
        unsafe { self.counters.add(1).cast::<AtomicU64>().add((sequence & self.mask) as usize).as_ref() }
    }

    #[inline(always)]
    pub(crate) fn counters(&self) -> &FrameCounters {
        // SAFETY: they are there as long as the memory.
        unsafe { self.counters.as_ref() }
    }

    /// Says what the frame is whose first slot is that of `sequence`, before it is published.
    #[inline(always)]
    pub(crate) fn say(&self, sequence: u64, frame: Frame) {
        self.word(sequence).store(frame.word(), Ordering::Relaxed);
    }

    /// What the frame is whose first slot is that of `sequence`, once that was seen published. It fits
    /// the ring, whatever was written there.
    #[inline(always)]
    pub(crate) fn get(&self, sequence: u64) -> Frame {
        Frame::of(self.word(sequence).load(Ordering::Relaxed), self.mask as usize + 1)
    }

    /// How much of that frame its readers have said to be done with.
    #[inline(always)]
    pub(crate) fn progress(&self, sequence: u64) -> u8 {
        (self.word(sequence).load(Ordering::Relaxed) >> PROGRESS_SHIFT) as u8
    }

    /// Says so, for the next reader. Only who has claimed the frame may.
    #[inline(always)]
    pub(crate) fn say_progress(&self, sequence: u64, progress: u8) {
        let word = self.word(sequence);
        let others = word.load(Ordering::Relaxed) & !PROGRESS;
        word.store(others | u64::from(progress) << PROGRESS_SHIFT, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self) -> u64 {
        self.counters().sent.tally.get()
    }

    pub(crate) fn received(&self) -> u64 {
        self.counters().received.tally.get()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn frames_take_a_slot_for_each_64_bytes_and_one_at_least() {
        let slots = [0, 1, 63, 64, 65, 128, 129].map(slots_for);
        assert_eq!(slots, [1, 1, 1, 1, 2, 2, 3]);
    }

    #[test]
    fn words_tell_length_and_kind() {
        for (len, kind) in [(0, 0), (65, 7), (1 << 20, 255)] {
            let frame = Frame { len, kind };
            assert_eq!(Frame::of(frame.word(), 1 << 14), frame);
        }
    }

    #[test]
    fn progress_is_no_part_of_the_frame() {
        let frame = Frame { len: 65, kind: 7 };
        assert_eq!(Frame::of(frame.word() | PROGRESS, 1 << 14), frame);
    }

    #[test]
    fn lengths_beyond_the_ring_are_cut() {
        assert_eq!(Frame::of(u64::MAX, 4), Frame { len: 256, kind: 255 });
        assert_eq!(Frame { len: 300, kind: 1 }.within(2).slots(), 2);
    }
}
