//! Turns of an event loop: a task whose calls never have to wait must let others run now and then, and at
//! once while one of them is in a hurry.

use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Calls in a row that need not wait, before the other tasks get their turn.
pub(crate) const IN_A_ROW: u32 = 64;

/// Calls left, over all channels and tasks: the loop does not care which it was. Two threads that count
/// at once may lose one; it is a courtesy, not a promise.
static LEFT: AtomicU32 = AtomicU32::new(IN_A_ROW);

/// How long a hurry lasts: the first in line is woken again by then, or waits for the other side.
///
/// A heuristic. Meanwhile each call of each task, on whatever channel, takes a turn of its event loop though it need not
/// wait: some microseconds. If the first in line is not woken by then, a newcomer may be served before it.
const HURRY: Duration = Duration::from_millis(20);

/// Until when there is a hurry, in nanoseconds since the first question.
static IN_A_HURRY: AtomicU64 = AtomicU64::new(0);

/// What a ready call gives that has nothing, or must let others run first.
static NOTHING: AtomicPtr<ffi::PyObject> = AtomicPtr::new(ptr::null_mut());

/// Whether the next call may go on without letting others run. After it may not, the count begins anew, unless
/// somebody is in a hurry.
#[pyfunction]
#[inline(always)]
pub(crate) fn may_go_on() -> bool {
    let left = LEFT.load(Ordering::Relaxed);
    if left == 0 {
        begin_anew();
        return false;
    }
    LEFT.store(left - 1, Ordering::Relaxed);
    true
}

#[cold]
fn begin_anew() {
    if !is_in_a_hurry() {
        LEFT.store(IN_A_ROW, Ordering::Relaxed);
    }
}

/// Has newcomers line up for a while, behind a task that was woken in vain because one of them was faster.
#[pyfunction]
pub(crate) fn hurry() {
    IN_A_HURRY.store(now() + HURRY.as_nanos() as u64, Ordering::Relaxed);
    LEFT.store(0, Ordering::Relaxed);
}

/// Whether newcomers are to line up.
#[pyfunction]
pub(crate) fn is_in_a_hurry() -> bool {
    let until = IN_A_HURRY.load(Ordering::Relaxed);
    until > 0 && now() < until
}

/// Nanoseconds since the first question.
fn now() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// The object that stands for nothing; made once, for whoever imports the module a second time, and lives
/// as long as the process.
pub(crate) fn make_nothing(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static MADE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let nothing =
        MADE.get_or_try_init(py, || py.import("builtins")?.getattr("object")?.call0().map(Bound::unbind))?;
    NOTHING.store(nothing.as_ptr(), Ordering::Release);
    Ok(nothing.bind(py))
}

/// A new reference to it.
#[inline(always)]
pub(crate) fn nothing() -> *mut ffi::PyObject {
    // SAFETY: made when the module was, and never dropped.
    unsafe { ffi::Py_NewRef(NOTHING.load(Ordering::Relaxed)) }
}
