//! A set of lanes, or of registry slots, in two levels, so that one member among thousands is found in two
//! steps.

use crate::layout::Bitmap;
use crate::sync::Ordering;

impl Bitmap {
    /// Adds `lane`; false if it was in the set before.
    ///
    /// Release pairs with the Acquire in [`drain`](Self::drain) and [`has_none`](Self::has_none).
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

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.words().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there is none.
    ///
    /// Acquire pairs with the Release in [`remove`](Self::remove).
    pub(crate) fn has_none(&self) -> bool {
        self.words().all(|word| word == 0)
    }

    fn words(&self) -> impl Iterator<Item = u64> {
        ones(self.summary.load(Ordering::Acquire)).map(|word| self.words[word].load(Ordering::Acquire))
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
        let set = Bitmap::new();
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
        let set = Bitmap::new();
        set.insert(70);
        assert!(!set.has_none());
        set.remove(70);
        assert!(set.has_none());
        assert!(set.insert(70));
        assert_eq!(set.len(), 1);
    }
}
