//! Waiting for another process in the midst of something short: it will be through soon, or is being killed,
//! or stopped. So this ends, after a tenth of a second or so.

use std::time::Duration;

/// How long somebody may still take.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    rounds: u32,
}

impl RetryBudget {
    /// Rounds in which the other only gets this thread's turn, before those in which it gets a while.
    const SHORT: u32 = 50;
    const LONG: u32 = 500;
    const WHILE: Duration = Duration::from_micros(200);

    pub(crate) fn new() -> Self {
        Self { rounds: 0 }
    }

    /// Whether to look again; after the first time that was called, the other was given time.
    pub(crate) fn is_left(&mut self) -> bool {
        match self.rounds {
            0 => {}
            _ if cfg!(loom) => crate::sync::spin_hint(),
            1..=Self::SHORT => std::thread::yield_now(),
            _ => std::thread::sleep(Self::WHILE),
        }
        self.rounds += 1;
        cfg!(loom) || self.rounds <= Self::SHORT + Self::LONG
    }
}
