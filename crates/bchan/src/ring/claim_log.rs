//! What a user of a shared ring is claiming, written down so that another process can finish it.
//!
//! A claim is one compare-and-swap, after which nothing in the ring says whose it is. So where the users
//! are processes, which may be killed at any instruction, each writes before it tries which sequences
//! (BEGUN), afterwards that it has them (HELD), and wipes it out once their states say the rest. Before it
//! gives some back, so that others may claim them, it takes HELD back. Who clears up after a dead one finds:
//!
//! | claim log of the dead | sequences not yet claimed by anyone | claimed, and in the state of a claim |
//! |---|---|---|
//! | HELD | | his: finish them |
//! | BEGUN | not his | his, unless somebody else has or tries them |
//!
//! Somebody else who lives and tries the same will soon have it or not. Where both are dead, the first
//! who is cleared up after leaves it to the second. A sequence that is given back while he looks could pass
//! from one whom he has yet to look at to one whom he has: `given_back` counts, and then he looks again.

use std::ptr::NonNull;

use super::vyukov::Claim;
use crate::layout::{ClaimWords, Tally};
use crate::process::kill_point;
use crate::sync::Ordering;

const HELD: u64 = 1 << 63;
/// Its slots are counted as reserved, or its messages as peeked.
const COUNTED: u64 = 1 << 62;

/// Where to write, if anybody has to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClaimLog(Option<NonNull<ClaimWords>>);

// SAFETY: it points to atomics.
unsafe impl Send for ClaimLog {}
// SAFETY: as above.
unsafe impl Sync for ClaimLog {}

impl ClaimLog {
    /// Nobody has to know.
    pub(crate) const NONE: Self = Self(None);

    /// # Safety
    /// The claim log must stay where it is as long as this is used.
    pub(crate) unsafe fn new(claim_words: &ClaimWords) -> Self {
        Self(Some(claim_words.into()))
    }

    #[inline(always)]
    fn claim_words(&self) -> Option<&ClaimWords> {
        // SAFETY: as promised to `new`.
        self.0.map(|claim_words| unsafe { claim_words.as_ref() })
    }

    /// Is about to claim.
    #[inline(always)]
    pub(crate) fn begin(&self, claim: Claim) {
        if let Some(claim_words) = self.claim_words() {
            // What it has from the same start on is never left out: a claim may grow.
            if claim_words.start.load(Ordering::Relaxed) != claim.start {
                // Nothing in between: the start of one claim with the length of another.
                claim_words.span.store(0, Ordering::Release);
                claim_words.start.store(claim.start, Ordering::Release);
                kill_point!("claim_words.between");
            }
            // Release: pairs with the Acquire in `read`. The claim's own operation comes after it.
            claim_words.span.store(claim.len as u64, Ordering::Release);
        }
    }

    /// Has claimed what it tried.
    #[inline(always)]
    pub(crate) fn held(&self, claim: Claim) {
        if let Some(claim_words) = self.claim_words() {
            claim_words.span.store(claim.len as u64 | HELD, Ordering::Release);
        }
    }

    /// What it has is counted as reserved, or peeked; or no longer. False if somebody else has to count it.
    pub(crate) fn counts(&self, is_counted: bool) -> bool {
        if let Some(claim_words) = self.claim_words() {
            let span = claim_words.span.load(Ordering::Relaxed) & !COUNTED;
            claim_words.span.store(if is_counted { span | COUNTED } else { span }, Ordering::Release);
        }
        self.0.is_some()
    }

    /// Where it counts the frames that it has sent, or received.
    #[inline(always)]
    pub(super) fn frames(&self) -> Option<&Tally> {
        self.claim_words().map(|claim_words| &claim_words.frames)
    }

    /// Where it counts the slots that it has given up, or passed.
    pub(super) fn slots(&self) -> Option<&Tally> {
        self.claim_words().map(|claim_words| &claim_words.slots)
    }

    /// Is about to give back what it has, or some of it: others may have it from then on.
    pub(crate) fn releasing(&self) {
        if let Some(claim_words) = self.claim_words() {
            let span = claim_words.span.load(Ordering::Relaxed);
            claim_words.span.store(span & !HELD, Ordering::Release);
        }
    }

    /// Could not give them back: it still has what it has.
    pub(crate) fn keeps(&self) {
        if let Some(claim_words) = self.claim_words() {
            let span = claim_words.span.load(Ordering::Relaxed);
            claim_words.span.store(span | HELD, Ordering::Release);
        }
    }

    /// Has done with its claim, whose states were set before.
    #[inline(always)]
    pub(crate) fn clear(&self) {
        if let Some(claim_words) = self.claim_words() {
            claim_words.span.store(0, Ordering::Release);
        }
    }
}

/// A claim log that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) is_held: bool,
}

impl Written {
    pub(super) fn covers(self, sequence: u64) -> bool {
        sequence.wrapping_sub(self.start) < self.len
    }

    /// Whether there are sequences that both cover.
    pub(super) fn meets(self, other: Self) -> bool {
        self.len > 0 && other.len > 0 && (self.covers(other.start) || other.covers(self.start))
    }
}

impl ClaimWords {
    /// Looks that find it changing, after which it is taken as it is: nobody changes it so often in so short
    /// a time but who writes where it has no business.
    const LOOKS: usize = 1000;

    /// What is written, as one.
    pub(super) fn read(&self) -> Written {
        let mut span = self.span.load(Ordering::Acquire);
        let mut start = 0;
        for _ in 0..Self::LOOKS {
            start = self.start.load(Ordering::Acquire);
            let before = std::mem::replace(&mut span, self.span.load(Ordering::Acquire));
            if before == span {
                break;
            }
            crate::sync::spin_hint();
        }
        let len = span & !(HELD | COUNTED);
        Written { start, len, is_held: span & HELD != 0 }
    }

    /// As [`ClaimLog::doubts`], for one that died.
    pub(super) fn doubt(&self) {
        self.span.fetch_and(!HELD, Ordering::Release);
    }

    /// How many are counted as reserved, or peeked.
    pub(super) fn counted(&self) -> u64 {
        let span = self.span.load(Ordering::Relaxed);
        if span & COUNTED == 0 { 0 } else { span & !(HELD | COUNTED) }
    }

    pub(super) fn wipe(&self) {
        self.span.store(0, Ordering::Release);
    }
}
