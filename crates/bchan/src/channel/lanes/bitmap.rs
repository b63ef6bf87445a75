//! A set of lanes in two levels, so that one member among thousands is found in two steps.

use crate::layout::LaneBitmap;
use crate::sync::Ordering;

impl LaneBitmap {
    /// Adds `lane`; false if it was in the set before.
    ///
    /// Acquire pairs with the Release in [`remove`](Self::remove): who adds a lane sees what who
    /// removed it did there. Release pairs with the Acquire in [`drain`](Self::drain).
    pub(crate) fn insert(&self, lane: usize) -> bool {
        let (word, bit) = (lane / 64, 1 << (lane % 64));
        let added = self.words[word].fetch_or(bit, Ordering::AcqRel) & bit == 0;
        self.summary.fetch_or(1 << word, Ordering::AcqRel);
        added
    }

    /// Takes `lane` out of the set. The summary keeps its bit: it says "may be".
    pub(crate) fn remove(&self, lane: usize) {
        self.words[lane / 64].fetch_and(!(1 << (lane % 64)), Ordering::AcqRel);
    }

    pub(crate) fn contains(&self, lane: usize) -> bool {
        self.words[lane / 64].load(Ordering::Relaxed) & (1 << (lane % 64)) != 0
    }

    /// Whether nothing was added since the last [`drain`](Self::drain): one load.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.summary.load(Ordering::Relaxed) == 0
    }

    /// Takes all lanes out and hands them to `visit`.
    pub(crate) fn drain(&self, mut visit: impl FnMut(usize)) {
        // The summary goes first: a lane added after it was taken sets it again.
        for word in ones(self.summary.swap(0, Ordering::AcqRel)) {
            let lanes = self.words[word].swap(0, Ordering::AcqRel);
            ones(lanes).for_each(|bit| visit(word * 64 + bit));
        }
    }
}

/// The places of the bits set in `word`, lowest first.
fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (word != 0).then(|| {
            let place = word.trailing_zeros() as usize;
            word &= word - 1;
            place
        })
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn drain_visits_each_member_once_in_order() {
        let set = LaneBitmap::new();
        for lane in [4095, 0, 63, 64, 1000] {
            assert!(set.insert(lane));
            assert!(!set.insert(lane));
        }
        let mut seen = Vec::new();
        set.drain(|lane| seen.push(lane));
        assert_eq!(seen, [0, 63, 64, 1000, 4095]);
        assert!(set.is_empty());
        set.drain(|lane| panic!("{lane} is not a member"));
    }

    #[test]
    fn removed_lane_can_be_added_again() {
        let set = LaneBitmap::new();
        set.insert(70);
        set.remove(70);
        assert!(!set.contains(70));
        assert!(set.insert(70));
    }
}
