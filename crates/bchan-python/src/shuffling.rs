//! The order in which `select` tries its cases.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::made::list;
use crate::memory::collected;

/// A list of the same objects in random order, each as likely as the others.
///
/// Fisher and Yates' shuffle. In Python it would take longer than the cases.
#[pyfunction]
pub(crate) fn shuffled<'py>(cases: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyList>> {
    let mut order = collected(cases.py(), cases.len(), cases.iter().map(Ok))?;
    for left in (2..=order.len()).rev() {
        order.swap(left - 1, below(left));
    }
    list(cases.py(), order.len(), order.into_iter().map(Ok))
}

/// A random number below `bound`; the least likely is less so by one in 2^64 / `bound`.
fn below(bound: usize) -> usize {
    ((u128::from(random()) * bound as u128) >> 64) as usize
}

/// The next number of SplitMix64, which all threads share.
/// Source: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators" (2014).
fn random() -> u64 {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    static STATE: AtomicU64 = AtomicU64::new(0);
    if STATE.load(Ordering::Relaxed) == 0 {
        STATE.fetch_add(seed(), Ordering::Relaxed);
    }
    let mut z = STATE.fetch_add(GOLDEN, Ordering::Relaxed);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Another number in each process.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id()) | 1
}
