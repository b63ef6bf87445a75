//! The machine: what it is, and which thread runs where.

use std::env::consts::{ARCH, OS};
use std::fmt;

use core_affinity::{CoreId, get_core_ids, set_for_current};

/// The CPUs of the consumer and of the producers; none where there are not two to be had.
pub struct Places(Option<(CoreId, CoreId)>);

impl Places {
    /// The consumer's is the first CPU that this process may use, the producers' the second.
    pub fn choose() -> Self {
        match get_core_ids().unwrap_or_default()[..] {
            [consumer, producers, ..] if set_for_current(producers) && set_for_current(consumer) => {
                Self(Some((consumer, producers)))
            }
            _ => Self(None),
        }
    }

    pub fn take_consumer(&self) {
        self.0.map(|(consumer, _)| set_for_current(consumer));
    }

    pub fn take_producers(&self) {
        self.0.map(|(_, producers)| set_for_current(producers));
    }
}

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((consumer, producers)) => {
                write!(f, "consumer on CPU {}, producers on CPU {}", consumer.id, producers.id)
            }
            None => write!(f, "threads NOT pinned: there are no two CPUs to pin them to"),
        }
    }
}

/// The machine in a line.
pub fn describe() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {cpus} CPUs, {OS} {ARCH}", model().unwrap_or_else(|| "unknown CPU".to_owned()))
}

/// What Linux calls the CPU.
fn model() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(": ")?.1.trim().to_owned())
}

/// The build in a line.
pub fn build() -> String {
    let profile =
        if cfg!(debug_assertions) { "DEBUG: figures mean nothing" } else { "LTO fat, one codegen unit" };
    let target = if cfg!(target_feature = "avx2") { "with AVX2 or more" } else { "portable" };
    format!("{profile}, {target} {ARCH}")
}
