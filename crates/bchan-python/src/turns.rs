//! Turns of an event loop: a task whose calls never have to wait must let others run now and then.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Calls in a row that need not wait, before the other tasks get their turn.
pub(crate) const IN_A_ROW: u32 = 64;

/// Calls left, over all channels and tasks: the loop does not care which it was. Two threads that count
/// at once may lose one; it is a courtesy, not a promise.
static LEFT: AtomicU32 = AtomicU32::new(IN_A_ROW);

/// What a ready call gives that has nothing, or must let others run first.
static NOTHING: AtomicPtr<ffi::PyObject> = AtomicPtr::new(ptr::null_mut());

/// Whether the next call may go on without letting others run. After it may not, the count begins anew.
#[pyfunction]
#[inline(always)]
pub(crate) fn may_go_on() -> bool {
    let left = LEFT.load(Ordering::Relaxed);
    LEFT.store(if left == 0 { IN_A_ROW } else { left - 1 }, Ordering::Relaxed);
    left > 0
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
