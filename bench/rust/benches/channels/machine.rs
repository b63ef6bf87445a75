//! The machine: what it is, and which thread runs where.

use std::env::consts::{ARCH, OS};
use std::fmt;

use core_affinity::{CoreId, get_core_ids, set_for_current};

use crate::harness::Case;

/// The two CPUs that are used; none where there are not two to be had.
pub struct Places(Option<[CoreId; 2]>);

impl Places {
    /// The first two CPUs that this process may use.
    pub fn choose() -> Self {
        match get_core_ids().unwrap_or_default()[..] {
            [first, second, ..] if set_for_current(second) && set_for_current(first) => {
                Self(Some([first, second]))
            }
            _ => Self(None),
        }
    }

    /// One consumer has the first CPU to itself; several are spread over both, and so are producers.
    pub fn take_consumer(&self, case: &Case, consumer: usize) {
        self.take(if case.consumers == 1 { 0 } else { consumer });
    }

    /// The producers of one consumer have the second CPU.
    pub fn take_producer(&self, case: &Case, producer: usize) {
        self.take(if case.consumers == 1 { 1 } else { producer });
    }

    fn take(&self, place: usize) {
        self.0.map(|cpus| set_for_current(cpus[place % cpus.len()]));
    }
}

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some([CoreId { id: first }, CoreId { id: second }]) => write!(
                f,
                "one consumer on CPU {first}, its producers on CPU {second}; \
                 of several consumers and their producers half on each"
            ),
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
