//! Channels between processes, any of which may be killed at any instruction.
//!
//! The processes are this test's own program, run again with `BCHAN_ROLE` set; they open the channel's memory
//! through `/proc`. What each tries, has sent and has seen they write into a [`ledger`], a map of its own
//! that outlives them, so every message is accounted for, by producer and sequence:
//!
//! * what was sent arrives, and of what was tried a first part;
//! * nothing comes twice, but what a consumer had seen who was killed;
//! * each producer's messages come in order, but those that come again.
//!
//! `kill_points` has processes die at each labelled place of the core (`--features kill-points`), `soak`
//! kills them from outside at random moments (`BCHAN_SEED` repeats a run, `BCHAN_STRESS` makes it longer),
//! `forks` passes handles between processes.

#![cfg(all(target_os = "linux", not(loom), not(feature = "portable")))]

#[path = "../common/mod.rs"]
mod common;

mod accounts;
mod child;
mod forks;
mod handles;
#[cfg(feature = "kill-points")]
mod kill_points;
mod ledger;
mod observers;
mod programs;
mod soak;
mod starved;

use bchan::{Channel, Config, Mode};

/// What a channel is like, as far as death is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One lane.
    Spsc,
    /// Several.
    Mpsc,
    /// A ring with one producer.
    Spmc,
    /// A ring for all.
    Mpmc,
    /// The same, with frames of one slot to four.
    SpscFrames,
    MpscFrames,
    SpmcFrames,
    MpmcFrames,
}

impl Kind {
    pub(crate) const ITEMS: [Self; 4] = [Self::Spsc, Self::Mpsc, Self::Spmc, Self::Mpmc];
    pub(crate) const FRAMES: [Self; 4] =
        [Self::SpscFrames, Self::MpscFrames, Self::SpmcFrames, Self::MpmcFrames];

    /// A channel for so many messages.
    pub(crate) fn channel(self, capacity: usize) -> Channel {
        let mode = match self {
            Self::Spsc | Self::Mpsc | Self::SpscFrames | Self::MpscFrames => Mode::Mpsc,
            Self::Spmc | Self::SpmcFrames => Mode::Spmc,
            Self::Mpmc | Self::MpmcFrames => Mode::Mpmc,
        };
        let max_producers = if self.has_many_producers() { 6 } else { 1 };
        let config =
            Config { mode, item_size: 8, capacity, max_producers, is_shared: true, ..Config::default() };
        match self.is_framed() {
            true => Channel::of_frames(&Config { capacity: capacity * 2, ..config }).unwrap(),
            false => Channel::new(&config).unwrap(),
        }
    }

    pub(crate) fn is_framed(self) -> bool {
        Self::FRAMES.contains(&self)
    }

    pub(crate) fn has_many_producers(self) -> bool {
        matches!(self, Self::Mpsc | Self::Mpmc | Self::MpscFrames | Self::MpmcFrames)
    }

    pub(crate) fn has_many_consumers(self) -> bool {
        matches!(self, Self::Spmc | Self::Mpmc | Self::SpmcFrames | Self::MpmcFrames)
    }
}

/// What a process does whose environment names a role; nothing in the test's own process.
#[test]
fn role() {
    child::play();
}
