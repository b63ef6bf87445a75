//! How the handles of a channel wait: for latency, for throughput, or for little power.

use std::time::Duration;

/// When a producer is woken that found its ring full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WakePolicy {
    /// As soon as there is space.
    AtOnce,
    /// Once half the ring is free, or after half a millisecond: so it is woken once for much space rather
    /// than for every slot. For lanes; in a shared ring the next one to send may be another one.
    HalfDrained,
}

/// How waiting is done. Each process that uses a channel has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Time to spin before parking, at most.
    pub spin: Duration,
    /// Whether to spin less where that was in vain; if not, each wait spins for all that time.
    pub is_adaptive: bool,
    /// Whether to park at last, rather than to look again and again.
    pub parks: bool,
    /// When a producer is woken that found its ring full.
    pub wake: WakePolicy,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            // About what parking and being woken takes.
            spin: Duration::from_micros(50),
            is_adaptive: true,
            parks: true,
            wake: if cfg!(loom) { WakePolicy::AtOnce } else { WakePolicy::HalfDrained },
        }
    }
}
