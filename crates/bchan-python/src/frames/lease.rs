//! Views of the ring's own memory, for messages that are written or read in place.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::contents::Contents;
use crate::detached::Shared;
use crate::errors::Raise;

/// Bytes of a ring, which stay mapped while any view of them lives. Opaque to Python, but for its buffer.
#[pyclass(frozen, module = "bchan._core")]
pub(crate) struct Lease {
    data: Shared,
    len: usize,
    is_writable: AtomicBool,
    _contents: Py<Contents>,
}

#[pymethods]
impl Lease {
    #[new]
    fn refuse() -> PyResult<Self> {
        Err(PyRuntimeError::error("reserve room with a bchan.BytesProducer"))
    }

    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let Self { data, len, is_writable, .. } = slf.get();
        let is_readonly = !is_writable.load(Ordering::Relaxed);
        // SAFETY: the bytes are there as long as `slf`, to which the buffer holds a reference.
        let outcome = unsafe {
            let (data, len) = (data.get().cast(), *len as isize);
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), data, len, is_readonly.into(), flags)
        };
        if outcome == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

/// A memoryview of `len` bytes at `data`.
///
/// # Safety
/// They must live as long as `contents`, and nothing else must need them to be unshared while the view is in
/// use.
pub(crate) unsafe fn view<'py>(
    contents: &Bound<'py, Contents>,
    data: *mut u8,
    len: usize,
    is_writable: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let py = contents.py();
    let is_writable = AtomicBool::new(is_writable);
    let lease = Lease { data: Shared(data), len, is_writable, _contents: contents.clone().unbind() };
    let lease = Bound::new(py, lease)?;
    // SAFETY: an object with a buffer; null means an exception was set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyMemoryView_FromObject(lease.as_ptr())) }
}

/// What `PyMemoryView_GET_BUFFER` knows of a memoryview.
#[repr(C)]
struct MemoryView {
    head: ffi::PyVarObject,
    managed: *mut ffi::PyObject,
    hash: ffi::Py_hash_t,
    flags: c_int,
    exports: ffi::Py_ssize_t,
    view: ffi::Py_buffer,
}

/// CPython's `_Py_MEMORYVIEW_RELEASED`.
const RELEASED: c_int = 1;

/// Takes the right to write away from a view whose slots are no longer the caller's, and from those that
/// will yet be made of its lease.
pub(crate) fn freeze(py: Python<'_>, view: &Py<PyAny>) {
    // SAFETY: only called on what `view` made; these are CPython's macros, written out.
    let view = unsafe { &mut *view.as_ptr().cast::<MemoryView>() };
    view.view.readonly = 1;
    if view.flags & RELEASED != 0 {
        // Its pointer to the lease is left over: the lease may be gone.
        return;
    }
    // SAFETY: a view that is not released holds its lease.
    let lease = unsafe { Bound::from_borrowed_ptr_or_opt(py, view.view.obj) };
    if let Some(lease) = lease.as_ref().and_then(|object| object.cast::<Lease>().ok()) {
        lease.get().is_writable.store(false, Ordering::Relaxed);
    }
}
