//! Frames in the shared ring: claims of just so many slots, or none.
//!
//! A producer claims all slots of a frame at once, and says FULL from the last to the first: that of the
//! first slot counts. A consumer looks there alone, reads the length, and claims the frame's slots at once,
//! too. By then another may have taken that frame, and a producer written the word anew; but then `head`
//! has moved for good, and the claim fails. So of a frame that is handed back, only the first slot says
//! BACK.

use super::{Claim, Contention, FREE, FULL, NoSlot, Ring, SEALED, SKIP, SOME, Turns};
use crate::process::kill_point;
use crate::ring::claim_log::ClaimLog;
use crate::ring::frames::{Frame, Lengths};
use crate::sync::Ordering;

impl Ring {
    /// The lengths of the frames; to be asked only of a ring of them.
    #[inline(always)]
    pub(crate) fn lengths(&self) -> &Lengths {
        self.lengths.as_ref().expect("a ring of frames")
    }

    /// Whether `slots` could be claimed just now.
    #[inline]
    pub(crate) fn has_room(&self, slots: usize) -> bool {
        let tail = self.tail.load(Ordering::Relaxed);
        tail & SEALED == 0 && self.room(tail) >= slots && self.is_room(tail, slots)
    }

    #[inline(always)]
    fn is_room(&self, tail: u64, slots: usize) -> bool {
        // The last one first: most often the slots become free in order.
        (slots == 1 || self.is(tail + slots as u64 - 1, FREE)) && self.free(tail, slots) == slots
    }

    /// Claims `slots`, at most `capacity`, to write.
    #[inline(always)]
    pub(crate) fn claim_frame_to_send(&self, slots: usize, claim_log: ClaimLog) -> Result<Claim, NoSlot> {
        debug_assert!(self.turns != Turns::Everybodys && slots as u64 <= self.capacity());
        let mut contention = Contention::new();
        loop {
            let start = self.tail.load(Ordering::Relaxed);
            if start & SEALED != 0 {
                claim_log.clear();
                return Err(NoSlot::Sealed);
            }
            let claim = Claim { start, len: slots };
            if !self.is_room(start, slots) {
                // Unmoved: these were the states of the slots from `start` on that we saw.
                if self.turns == Turns::TheProducers || self.tail.load(Ordering::Relaxed) == start {
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

    /// Hands a frame to the consumers whose claimed slots are written.
    #[inline(always)]
    pub(crate) fn publish_frame(&self, claim: Claim, frame: Frame, claim_log: ClaimLog) {
        debug_assert_eq!(claim.len, frame.slots());
        let lengths = self.lengths();
        let sent = &lengths.counters().sent.tally;
        // Before it can be received: never more received than sent.
        match claim_log.frames() {
            Some(sent) => sent.begin(1),
            None if self.turns == Turns::TheProducers => sent.count_alone(),
            None => sent.count_beside_others(),
        }
        kill_point!("frame.publish.counted");
        lengths.say(claim.start, frame);
        kill_point!("frame.publish.worded");
        let (first, rest) = claim.split(1);
        if rest.len > 0 {
            self.publish(rest);
            kill_point!("frame.publish.rest");
        }
        // Its Release publishes word and slots.
        self.publish(first);
        if let Some(sent) = claim_log.frames() {
            kill_point!("frame.publish.first");
            sent.end(true);
        }
    }

    /// Claims the next frame to read. Calls `passed` when it has passed slots that their producers gave up.
    #[inline(always)]
    pub(crate) fn claim_frame(&self, claim_log: ClaimLog, passed: impl Fn()) -> Option<(Claim, Frame)> {
        if self.returned.load(Ordering::Relaxed) == SOME
            && let Some(claimed) = self.claim_returned_frame(claim_log)
        {
            return Some(claimed);
        }
        let mut contention = Contention::new();
        loop {
            let start = self.head.load(Ordering::Relaxed);
            if self.is(start, FULL) {
                let (claim, frame) = self.frame_at(start);
                claim_log.begin(claim);
                kill_point!("ring.receive.tries");
                if self.advance(&self.head, start, claim.len) {
                    kill_point!("ring.receive.claimed");
                    claim_log.held(claim);
                    kill_point!("ring.receive.holds");
                    return Some((claim, frame));
                }
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

    #[inline(always)]
    fn frame_at(&self, start: u64) -> (Claim, Frame) {
        let frame = self.lengths().get(start);
        (Claim { start, len: frame.slots() }, frame)
    }

    /// Claims a frame that another consumer gave back.
    #[cold]
    fn claim_returned_frame(&self, claim_log: ClaimLog) -> Option<(Claim, Frame)> {
        let (one, frame) = self.take_frame_back(claim_log).or_else(|| {
            // As for items: what is not seen after this is said after it.
            self.returned.fetch_and(!SOME, Ordering::AcqRel);
            kill_point!("ring.take_back.cleared");
            let taken = self.take_frame_back(claim_log)?;
            self.returned.fetch_or(SOME, Ordering::Release);
            Some(taken)
        })?;
        let claim = Claim { len: frame.slots(), ..one };
        claim_log.held(claim);
        kill_point!("ring.take_back.holds");
        Some((claim, frame))
    }

    fn take_frame_back(&self, claim_log: ClaimLog) -> Option<(Claim, Frame)> {
        let head = self.head.load(Ordering::Relaxed);
        let first = head.saturating_sub(self.lap());
        let claim = (first..head)
            .map(|start| Claim { start, len: 1 })
            .find(|&claim| self.take_back(claim, claim_log))?;
        Some((claim, self.lengths().get(claim.start)))
    }

    /// Gives the slots of a received frame back to the producers.
    #[inline(always)]
    pub(crate) fn release_frame(&self, claim: Claim, claim_log: ClaimLog) {
        match claim_log.frames() {
            Some(received) => received.begin(1),
            None => self.lengths().counters().received.tally.count_beside_others(),
        }
        kill_point!("frame.release.counted");
        self.release(claim);
        if let Some(received) = claim_log.frames() {
            received.end(true);
        }
    }

    /// Gives a claimed frame back to the consumers: as if it had not been claimed if it was the last, else
    /// it is taken again before any other.
    #[cold]
    pub(crate) fn hand_frame_back(&self, claim: Claim, claim_log: ClaimLog) {
        // Its first slot decides.
        self.requeue(claim, claim.split(1).0, claim_log);
    }
}
