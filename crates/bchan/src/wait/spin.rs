//! Spinning before parking: back-off, with a budget that learns.
//!
//! To park and be woken takes microseconds; a wait that ends sooner is better spent spinning, any other
//! better parked at once. Which kind comes next is guessed from the last one: after a short wait, parked
//! or not, the budget doubles, after a long one it halves. (Guessing from whether spinning succeeded would
//! be wrong: two sides that park in turn wait for nothing but each other's wake-up, and must be led out of
//! it.) Where even the full budget was spent in vain, the other side has no processor of its own: then
//! there is hardly any spinning for some waits, and for twice as many each time that it happens again.
//!
//! The pauses double up to a limit, so that the line which the other side writes is seldom read.

use std::time::{Duration, Instant};

use super::{Deadline, Tuning, Waking};
use crate::error::WaitError;
use crate::sync::spin_hint;

/// The spinning budget of one handle.
#[derive(Debug)]
pub struct Spin {
    /// How long to spin where the tuning says neither less nor always as long, from `LEAST`.
    budget: Duration,
    /// Whether the last spinning ended the wait.
    has_found: bool,
    /// Short waits to come for which the budget does not grow.
    rest: u32,
    /// How often in a row the full budget was spent in vain.
    failures: u32,
}

impl Spin {
    const LEAST: Duration = Duration::from_micros(2);
    /// How often who never parks returns as if a signal had come: then its caller looks whether one has.
    const SLICE: Duration = Duration::from_millis(10);
    /// Pauses between two looks at most.
    const MOST_PAUSES: u32 = 64;

    /// Short waits without much spinning after the full budget was spent in vain, the first time and at
    /// most: doubled so often.
    const REST: u32 = 16;
    const MOST_DOUBLINGS: u32 = 8;

    /// Spins shortly at first.
    pub fn new() -> Self {
        Self { budget: Self::LEAST, has_found: false, rest: 0, failures: 0 }
    }

    /// Looks until `ready` says yes: then `Some(Ok(()))`. `None` is for one who parks now.
    pub(crate) fn until(
        &mut self,
        tuning: &Tuning,
        start: Instant,
        deadline: Deadline,
        mut ready: impl FnMut() -> bool,
    ) -> Option<Result<(), WaitError>> {
        let budget = if tuning.is_adaptive { self.budget.min(tuning.spin) } else { tuning.spin };
        let mut pauses = 1;
        loop {
            self.has_found = ready();
            if self.has_found {
                return Some(Ok(()));
            }
            if cfg!(loom) || start.elapsed() >= budget {
                return if tuning.parks { None } else { Some(Self::go_on(deadline, ready)) };
            }
            (0..pauses).for_each(|_| spin_hint());
            pauses = (pauses * 2).min(Self::MOST_PAUSES);
        }
    }

    /// Looks again and again, and lets others have the processor in between.
    fn go_on(deadline: Deadline, mut ready: impl FnMut() -> bool) -> Result<(), WaitError> {
        let start = Instant::now();
        while !ready() {
            if deadline.passed() == Waking::TimedOut {
                return Err(WaitError::TimedOut);
            }
            if start.elapsed() >= Self::SLICE {
                return Err(WaitError::Interrupted);
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Lets the other side get ahead, for who could go on but had better wait a little.
    pub(crate) fn pause(pauses: usize) {
        if !cfg!(loom) {
            (0..pauses).for_each(|_| spin_hint());
        }
    }

    /// Takes in how long a whole wait took.
    pub(crate) fn learn(&mut self, tuning: &Tuning, waited: Duration) {
        let most = tuning.spin.max(Self::LEAST);
        if waited > most * 2 {
            self.budget = (self.budget / 2).max(Self::LEAST);
        } else if self.has_found {
            self.budget = (self.budget * 2).min(most);
            self.failures = 0;
        } else if self.rest > 0 {
            self.rest -= 1;
        } else if self.budget < most {
            self.budget = (self.budget * 2).min(most);
        } else {
            self.budget = Self::LEAST;
            self.rest = Self::REST << self.failures;
            self.failures = (self.failures + 1).min(Self::MOST_DOUBLINGS);
        }
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

    const MOST: Duration = Duration::from_micros(50);

    fn tuning() -> Tuning {
        Tuning { spin: MOST, ..Tuning::default() }
    }

    #[test]
    fn long_waits_shorten_the_spin_and_short_ones_lengthen_it() {
        let mut spin = Spin::new();
        (0..10).for_each(|_| spin.learn(&tuning(), Duration::from_secs(1)));
        assert_eq!(spin.budget, Spin::LEAST);
        (0..5).for_each(|_| spin.learn(&tuning(), Duration::from_micros(60)));
        assert_eq!(spin.budget, MOST);
    }

    #[test]
    fn spinning_in_vain_ends_for_longer_each_time() {
        let mut spin = Spin::new();
        let mut waits_until_full = || {
            (1..).find(|_| {
                spin.learn(&tuning(), Duration::from_micros(60));
                spin.budget == MOST
            })
        };
        let growing = 5;
        assert_eq!(waits_until_full(), Some(growing));
        assert_eq!(waits_until_full(), Some(1 + Spin::REST + growing));
        assert_eq!(waits_until_full(), Some(1 + 2 * Spin::REST + growing));
        // It helped: the next failure begins anew.
        spin.has_found = true;
        spin.learn(&tuning(), Duration::from_micros(10));
        spin.has_found = false;
        spin.learn(&tuning(), Duration::from_micros(60));
        assert_eq!((spin.budget, spin.rest), (Spin::LEAST, Spin::REST));
    }

    #[test]
    fn spinning_ends_when_the_budget_is_spent() {
        let spin_in_vain = || {
            let start = Instant::now();
            assert_eq!(Spin::new().until(&tuning(), start, Deadline::NEVER, || false), None);
            start.elapsed()
        };
        // The shortest: the others may have lost the processor meanwhile.
        let shortest = (0..100).map(|_| spin_in_vain()).min().unwrap();
        assert!((Spin::LEAST..MOST).contains(&shortest), "{shortest:?}");
    }

    #[test]
    fn fixed_spinning_always_takes_all_its_time() {
        let tuning = Tuning { spin: Duration::from_millis(2), is_adaptive: false, ..tuning() };
        let mut spin = Spin::new();
        spin.learn(&tuning, Duration::from_secs(1));
        let start = Instant::now();
        assert_eq!(spin.until(&tuning, start, Deadline::NEVER, || false), None);
        assert!(start.elapsed() >= tuning.spin);
    }

    #[test]
    fn who_never_parks_looks_until_it_is_ready_or_time_or_there_may_be_a_signal() {
        let tuning = Tuning { parks: false, ..tuning() };
        let until = |deadline, ready: &dyn Fn(Instant) -> bool| {
            let start = Instant::now();
            (Spin::new().until(&tuning, start, deadline, || ready(start)), start.elapsed())
        };
        let (soon, long) = (Duration::from_millis(3), Duration::from_secs(9));
        let (outcome, after) = until(Deadline::after(long), &|start| start.elapsed() > soon);
        assert!(outcome == Some(Ok(())) && after > soon);
        let (outcome, after) = until(Deadline::after(soon), &|_| false);
        assert!(outcome == Some(Err(WaitError::TimedOut)) && after >= soon);
        let (outcome, after) = until(Deadline::NEVER, &|_| false);
        assert!(outcome == Some(Err(WaitError::Interrupted)) && after >= Spin::SLICE);
    }
}
