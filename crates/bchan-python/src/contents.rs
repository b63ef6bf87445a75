//! What a channel holds, as Python's memory management sees it.
//!
//! A channel, its handles and the views of its ring share one of these. It keeps the memory mapped while
//! any of them lives. Where messages are objects, it owns those in flight: the garbage collector finds
//! them here, and here they are let go when the last of them all is gone.

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::errors::Raise;
use crate::guard::{ANYWHERE, generation, is_home};

/// A channel's memory and the messages in it. Opaque to Python.
#[pyclass(frozen, module = "bchan._core")]
pub(crate) struct Contents {
    channel: bchan::Channel,
    is_object: bool,
    /// The process that made it.
    made_in: u32,
}

impl Contents {
    pub(crate) fn new(py: Python<'_>, channel: bchan::Channel, is_object: bool) -> PyResult<Py<Self>> {
        let made_in = if channel.fd().is_some() { ANYWHERE } else { generation() };
        Py::new(py, Self { channel, is_object, made_in })
    }

    /// Takes a waker back, in the process that armed it: in the child of a fork the wakers may be locked
    /// by a thread that is not there, and whom it would wake is another process's.
    pub(crate) fn disarm(&self, waker: i32) {
        if is_home(self.made_in) {
            self.channel.disarm(waker);
        }
    }

    /// Visits the objects in flight; those of another process's channel are not ours.
    fn for_each(&self, mut visit: impl FnMut(*mut *mut ffi::PyObject)) {
        if self.is_object && self.made_in == generation() {
            // SAFETY: messages that are objects are sent and received in attached threads, in one go: with
            // the GIL none is under way now; without it the collector has stopped all threads, and whoever
            // drops the last reference is alone.
            unsafe { self.channel.for_each_in_flight(|slot| visit(slot.cast())) };
        }
    }
}

#[pymethods]
impl Contents {
    #[new]
    fn refuse() -> PyResult<Self> {
        Err(PyRuntimeError::error("make a bchan.Channel"))
    }

    #[allow(clippy::unnecessary_wraps, reason = "as PyO3 wants it")]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let mut outcome = Ok(());
        self.for_each(|slot| {
            if outcome.is_ok() {
                // SAFETY: the slot holds a reference, which stays the message's.
                let object = unsafe { Bound::from_owned_ptr(visit_py(), *slot) }.unbind();
                outcome = visit.call(&object);
                std::mem::forget(object);
            }
        });
        outcome
    }

    /// Breaks a cycle through the channel: `None` takes the place of each message.
    fn __clear__(&self, py: Python<'_>) {
        let mut objects = Vec::new();
        self.for_each(|slot| {
            // What there is no memory for stays until the next time.
            if objects.try_reserve(1).is_err() {
                return;
            }
            // SAFETY: the slot holds a reference, which we take, and give it another.
            unsafe {
                objects.push(Bound::from_owned_ptr(py, *slot));
                *slot = ffi::Py_NewRef(ffi::Py_None());
            }
        });
        // Only now may Python code run.
        drop(objects);
    }
}

/// The collector runs in an attached thread, though PyO3 does not say so.
fn visit_py() -> Python<'static> {
    // SAFETY: as above; the token is used to make a pointer of another type, and no more.
    unsafe { Python::assume_attached() }
}

impl Drop for Contents {
    fn drop(&mut self) {
        // SAFETY: objects are dropped by attached threads.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: the slot holds a reference, which nobody else will ever take.
        self.for_each(|slot| drop(unsafe { Bound::from_owned_ptr(py, *slot) }));
    }
}
