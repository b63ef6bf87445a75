//! What becomes of the claims of those who died; see [`claim_log`](crate::ring::claim_log).

use super::{BACK, FREE, FULL, Ring, SEALED, SKIP};
use crate::layout::{ClaimWords, RegistrySlot};
use crate::process::kill_point;
use crate::ring::claim_log::Written;
use crate::sync::{AtomicU64, Ordering};
use crate::wait::RetryBudget;

/// For those who died; see `claim_words`.
impl Ring {
    /// Finishes what the owner of the registry slot `dead` had claimed: slots to write are given up, messages
    /// go back to the consumers. False if somebody hinders it, and it is to be tried again. To be called by
    /// one at a time.
    pub(crate) fn recover<'a>(
        &self,
        dead: &RegistrySlot,
        others: impl Fn() -> Vec<&'a RegistrySlot>,
        is_alive: impl Fn(&RegistrySlot) -> bool,
    ) -> bool {
        let sending = Side { word: &self.tail, claim_words: |registry_slot| &registry_slot.sending };
        let receiving = Side { word: &self.head, claim_words: |registry_slot| &registry_slot.receiving };
        let claims = |what, side| self.claims_of(dead, what, side, &others, &is_alive);
        let Some(unsent) = claims(FREE, sending) else { return false };
        self.give_up(&dead.sending, unsent);
        kill_point!("recover.sending");
        dead.sending.wipe();
        let (Some(unread), Some(unpassed)) = (claims(FULL, receiving), claims(SKIP, receiving)) else {
            return false;
        };
        self.put_back(&dead.receiving, unread);
        kill_point!("recover.receiving");
        self.pass_for(&dead.receiving, unpassed);
        kill_point!("recover.passed");
        dead.receiving.wipe();
        true
    }

    /// Gives up the slots that the dead had claimed and not sent.
    fn give_up(&self, dead: &ClaimWords, unsent: Vec<u64>) {
        let mut hidden = Vec::new();
        if self.lengths.is_some() {
            let written = dead.read();
            if dead.frames.is_under_way() {
                dead.frames.end(!self.is(written.start, FREE));
            }
            if unsent.first() == Some(&written.start) {
                // A frame is published from behind: without its first slot, the others must not look like
                // frames of their own.
                hidden = self.in_flight(written, &self.tail).filter(|&seq| self.is(seq, FULL)).collect();
            }
        }
        if !dead.slots.is_under_way() {
            dead.slots.begin((hidden.len() + unsent.len()) as u64);
        }
        kill_point!("recover.counted");
        for sequence in hidden {
            self.settle(sequence, FULL, sequence, SKIP);
            kill_point!("recover.hidden");
        }
        for sequence in unsent {
            self.settle(sequence, FREE, sequence, SKIP);
            kill_point!("recover.given_up");
        }
        dead.slots.end(true);
    }

    /// Has the messages come again that the dead had claimed and not released.
    fn put_back(&self, dead: &ClaimWords, mut unread: Vec<u64>) {
        if self.lengths.is_some() {
            let written = dead.read();
            if dead.frames.is_under_way() {
                dead.frames.end(!self.is(written.start, FULL));
            }
            unread = self.finish_frame(written, unread);
        }
        // Others may claim them again from now on, and whoever clears up next looks who has.
        dead.doubt();
        for sequence in unread {
            self.settle(sequence, FULL, sequence, BACK);
            kill_point!("recover.put_back");
        }
        // Also if there was none: it may have been about to say so.
        self.say_returned();
    }

    /// Frees the slots that the dead had claimed to pass.
    fn pass_for(&self, dead: &ClaimWords, unpassed: Vec<u64>) {
        if !dead.slots.is_under_way() {
            dead.slots.begin(unpassed.len() as u64);
        }
        for sequence in unpassed {
            self.settle(sequence, SKIP, sequence.wrapping_add(self.lap()), FREE);
        }
        dead.slots.end(true);
    }

    /// The sequences in the state `what` that the dead had claimed.
    fn claims_of<'a>(
        &self,
        dead: &RegistrySlot,
        what: u8,
        side: Side<'_>,
        others: impl Fn() -> Vec<&'a RegistrySlot>,
        is_alive: impl Fn(&RegistrySlot) -> bool,
    ) -> Option<Vec<u64>> {
        let written = (side.claim_words)(dead).read();
        let mut budget = RetryBudget::new();
        while budget.is_left() {
            // Acquire: before the looks that follow; pairs with the Release in `say_given_back`.
            let given_back = self.given_back.load(Ordering::Acquire);
            let mut claims: Vec<u64> = self.in_flight(written, side.word).collect();
            claims.retain(|&sequence| self.is(sequence, what));
            if written.is_held || claims.is_empty() {
                return Some(claims);
            }
            let others = others()
                .into_iter()
                .map(|registry_slot| (registry_slot, (side.claim_words)(registry_slot).read()));
            let rivals: Vec<_> = others.filter(|(_, other)| other.meets(written)).collect();
            if rivals.iter().any(|(registry_slot, other)| !other.is_held && is_alive(registry_slot)) {
                // It will soon have it, or not.
                continue;
            }
            let is_anothers = |sequence| rivals.iter().any(|(_, other)| other.covers(sequence));
            // Nobody who had it was seen: who had it at the first look has said so in its state by now, or
            // given it back.
            claims.retain(|&sequence| !is_anothers(sequence) && self.is(sequence, what));
            if self.given_back.load(Ordering::Acquire) == given_back {
                return Some(claims);
            }
        }
        None
    }

    /// Of a frame, only the first slot says that it comes again: gives that. If the first was released, the
    /// frame was received, and the others are released, too.
    fn finish_frame(&self, written: Written, unread: Vec<u64>) -> Vec<u64> {
        if unread.first() == Some(&written.start) {
            return vec![written.start];
        }
        // Only what is held is released. Of a frame that was handed back, or that was tried and that another
        // handed back, the slots behind the first are still FULL, and in use.
        for sequence in unread.into_iter().filter(|_| written.is_held) {
            self.settle(sequence, FULL, sequence.wrapping_add(self.lap()), FREE);
        }
        Vec::new()
    }

    /// The sequences of a claim log that were claimed, by whomever, and whose slots are not used anew.
    fn in_flight(&self, written: Written, word: &AtomicU64) -> std::ops::Range<u64> {
        let end = word.load(Ordering::Acquire) & !SEALED;
        let last = written.start.saturating_add(written.len.min(self.lap())).min(end);
        written.start.max(end.saturating_sub(self.lap())).min(last)..last
    }

    /// Has the state of a slot say something else; false if it was no longer what it was.
    fn settle(&self, sequence: u64, from: u8, then: u64, to: u8) -> bool {
        let (from, to) = (self.code(sequence, from), self.code(then, to));
        self.state(sequence).compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

/// One end of the ring: where it is claimed, and where a registry slot's owner writes that.
#[derive(Clone, Copy)]
struct Side<'a> {
    word: &'a AtomicU64,
    claim_words: fn(&RegistrySlot) -> &ClaimWords,
}
