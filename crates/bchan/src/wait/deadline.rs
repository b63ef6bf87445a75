//! Until when to wait.

use std::time::{Duration, Instant};

/// A point in time, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// Wait for ever.
    pub const NEVER: Self = Self(None);

    /// `timeout` from now; never, if that lies beyond what the clock can tell.
    pub fn after(timeout: Duration) -> Self {
        Self(Instant::now().checked_add(timeout))
    }

    /// This, or `timeout` from now if that is sooner.
    pub(crate) fn within(self, timeout: Duration) -> Self {
        let soon = Self::after(timeout);
        Self(self.0.map_or(soon.0, |at| soon.0.map(|soon| soon.min(at))))
    }

    /// How a wait ends that could not sleep: with the deadline, if it has passed.
    pub(crate) fn passed(self) -> super::Waking {
        if self.remaining() == Some(Duration::ZERO) { super::Waking::TimedOut } else { super::Waking::Woken }
    }

    /// What is left: `None` for ever, zero when it has passed.
    pub fn remaining(self) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(Instant::now()))
    }
}
