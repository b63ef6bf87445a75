//! Counts that stay exact whoever dies: each has one writer, which says first what the count will be, does what is
//! counted, and then says that it has done it.
//!
//! Whoever clears up after the writer finds a tally under way at most once, and whether the deed was done shows
//! elsewhere: in the state of a slot, or in a lane's tail. It can be settled any number of times.

use crate::layout::{LaneTally, Tally};
use crate::sync::Ordering;

impl Tally {
    /// So far, with what is under way.
    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts `n` that are about to be done.
    #[inline(always)]
    pub(crate) fn begin(&self, n: u64) {
        self.count.store(self.sure.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// What was begun is done, or undone.
    #[inline(always)]
    pub(crate) fn end(&self, is_done: bool) {
        let (from, to) = if is_done { (&self.count, &self.sure) } else { (&self.sure, &self.count) };
        to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Counts one that nobody has to settle, where this thread alone counts.
    #[inline(always)]
    pub(crate) fn count_alone(&self) {
        self.count.store(self.get().wrapping_add(1), Ordering::Relaxed);
    }

    /// The same where others count as well.
    #[inline(always)]
    pub(crate) fn count_beside_others(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn is_under_way(&self) -> bool {
        self.count.load(Ordering::Relaxed) != self.sure.load(Ordering::Relaxed)
    }
}

impl LaneTally {
    /// Counts one that is about to be done, after which the lane's index is `index`.
    #[inline(always)]
    pub(crate) fn begin(&self, index: u64) {
        self.index.store(index, Ordering::Relaxed);
        self.tally.begin(1);
    }

    /// Settles it for a writer that died, whose lane's index is `index`.
    pub(crate) fn settle(&self, index: u64) {
        if self.tally.is_under_way() {
            self.tally.end(self.index.load(Ordering::Relaxed) == index);
        }
    }
}
