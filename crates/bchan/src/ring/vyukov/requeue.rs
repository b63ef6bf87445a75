//! Messages that a consumer gives back, and that come again.

use super::{BACK, Claim, FULL, Ring, SOME};
use crate::process::kill_point;
use crate::ring::claim_log::ClaimLog;
use crate::sync::Ordering;

impl Ring {
    /// Gives claimed messages back to the consumers: as if they had not been claimed if they are the
    /// last, else they are taken again before any other.
    #[cold]
    pub(crate) fn hand_back(&self, claim: Claim, claim_log: ClaimLog) {
        if claim.len > 0 {
            self.requeue(claim, claim, claim_log);
        }
    }

    /// Gives a claim back by `head` if it was the last; else the states of `what` say so.
    pub(super) fn requeue(&self, claim: Claim, what: Claim, claim_log: ClaimLog) {
        claim_log.releasing();
        kill_point!("ring.hand_back.doubts");
        // Release: done with the slots, which have no state to say so, and with the claim log; pairs with
        // `advance`.
        let moved =
            self.head.compare_exchange(claim.end(), claim.start, Ordering::Release, Ordering::Relaxed);
        kill_point!("ring.hand_back.moved");
        if moved.is_err() {
            // The states first: who sees SOME will find them.
            self.say(what, BACK);
            kill_point!("ring.hand_back.back");
            self.say_returned();
        }
        self.say_given_back();
    }

    /// Says that there are messages to be taken again.
    pub(super) fn say_returned(&self) {
        // Release: pairs with the Acquire in `claim_returned`.
        self.returned.fetch_or(SOME, Ordering::Release);
    }

    /// Claims messages that another consumer gave back, of which there are few, seldom.
    #[cold]
    pub(super) fn claim_returned(&self, wanted: usize, claim_log: ClaimLog) -> Option<Claim> {
        let claim = self.take_some_back(wanted, claim_log).or_else(|| {
            // Whoever gives some back says so afterwards: what is not seen after this is said after it.
            // AcqRel: sees those of which it was said before.
            self.returned.fetch_and(!SOME, Ordering::AcqRel);
            kill_point!("ring.take_back.cleared");
            let claim = self.take_some_back(wanted, claim_log)?;
            self.returned.fetch_or(SOME, Ordering::Release);
            Some(claim)
        })?;
        claim_log.held(claim);
        kill_point!("ring.take_back.holds");
        Some(claim)
    }

    /// Claims the first messages that were given back and lie in a row.
    fn take_some_back(&self, wanted: usize, claim_log: ClaimLog) -> Option<Claim> {
        let head = self.head.load(Ordering::Relaxed);
        let first = head.saturating_sub(self.lap());
        let start = (first..head).find(|&start| self.take_back(Claim { start, len: 1 }, claim_log))?;
        let most = self.slots.contiguous(start, wanted.min((head - start) as usize));
        let more = (2..=most).take_while(|&len| self.take_back(Claim { start, len }, claim_log));
        Some(Claim { start, len: 1 + more.count() })
    }

    /// Claims the last message of `claim`, if it was given back.
    pub(super) fn take_back(&self, claim: Claim, claim_log: ClaimLog) -> bool {
        let sequence = claim.end().wrapping_sub(1);
        let (back, full) = (self.code(sequence, BACK), self.code(sequence, FULL));
        if self.state(sequence).load(Ordering::Relaxed) != back {
            return false;
        }
        claim_log.begin(claim);
        kill_point!("ring.take_back.tries");
        // Acquire: pairs with the Release of whoever gave it back. Release: as in `advance`.
        let is_ours =
            self.state(sequence).compare_exchange(back, full, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        kill_point!("ring.take_back.claimed");
        if !is_ours {
            // What was claimed before stays so.
            claim_log.begin(Claim { len: claim.len - 1, ..claim });
        }
        is_ours
    }
}
