//! Spinning before parking: back-off, with a budget that learns.
//!
//! To park and be woken takes tens of microseconds; a wait that ends sooner is better spent
//! spinning, any other better parked at once. Which kind comes next is guessed from the last one:
//! after a short wait, parked or not, the budget doubles, after a long one it halves. (Guessing
//! from whether spinning succeeded would be wrong: two sides that park in turn wait for nothing
//! but each other's wake-up, and must be led out of it.)
//!
//! The pauses double up to a limit, so that the line which the other side writes is seldom read.

use std::time::{Duration, Instant};

use crate::sync::spin_hint;

/// The spinning budget of one handle.
#[derive(Debug)]
pub struct Spin {
    /// How long to spin, in `LEAST ..= MOST`.
    budget: Duration,
}

impl Spin {
    const LEAST: Duration = Duration::from_micros(2);
    /// About what parking and being woken takes.
    const MOST: Duration = Duration::from_micros(50);
    /// Pauses between two looks at most.
    const MOST_PAUSES: u32 = 64;

    /// Spins shortly at first.
    pub fn new() -> Self {
        Self { budget: Self::LEAST }
    }

    /// Looks until `ready` says yes or the budget is spent; tells which.
    pub(crate) fn until(&self, start: Instant, mut ready: impl FnMut() -> bool) -> bool {
        let mut pauses = 1;
        loop {
            if ready() {
                return true;
            }
            if cfg!(loom) || start.elapsed() >= self.budget {
                return false;
            }
            (0..pauses).for_each(|_| spin_hint());
            pauses = (pauses * 2).min(Self::MOST_PAUSES);
        }
    }

    /// Lets the other side get ahead, for who could go on but had better wait a little.
    pub(crate) fn pause(pauses: usize) {
        if !cfg!(loom) {
            (0..pauses).for_each(|_| spin_hint());
        }
    }

    /// Takes in how long a whole wait took.
    pub(crate) fn learn(&mut self, waited: Duration) {
        self.budget = if waited <= Self::MOST * 2 {
            (self.budget * 2).min(Self::MOST)
        } else {
            (self.budget / 2).max(Self::LEAST)
        };
    }
}

impl Default for Spin {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn long_waits_shorten_the_spin_and_short_ones_lengthen_it() {
        let mut spin = Spin::new();
        (0..10).for_each(|_| spin.learn(Duration::from_secs(1)));
        assert_eq!(spin.budget, Spin::LEAST);
        (0..10).for_each(|_| spin.learn(Duration::from_micros(60)));
        assert_eq!(spin.budget, Spin::MOST);
    }

    #[test]
    fn spinning_ends_when_the_budget_is_spent() {
        let start = Instant::now();
        assert!(!Spin::new().until(start, || false));
        assert!(start.elapsed() >= Spin::LEAST);
    }
}
