//! Calls of Python's `pickle`.

use std::ptr;

use pyo3::ffi::{self, PyMethodDef, PyObject};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyList};

use crate::detached::PyObject_Vectorcall;
use crate::made::{Make, list, tuple};

/// Buffers of fewer bytes are copied into the pickle: apart they would cost a slot and some objects.
const LARGE: isize = 1024;

/// What the calls need, found once.
struct Pickle {
    dumps: Py<PyAny>,
    loads: Py<PyAny>,
    protocol: Py<PyAny>,
    /// Names of the last arguments.
    buffer_callback: Py<PyAny>,
    buffers: Py<PyAny>,
}

impl Pickle {
    #[inline(always)]
    fn get(py: Python<'_>) -> PyResult<&Self> {
        static PICKLE: PyOnceLock<Pickle> = PyOnceLock::new();
        PICKLE.get_or_try_init(py, || {
            let pickle = py.import("pickle")?;
            Ok(Self {
                dumps: pickle.getattr("dumps")?.unbind(),
                loads: pickle.getattr("loads")?.unbind(),
                protocol: 5.make(py)?.unbind(),
                buffer_callback: tuple(py, ["buffer_callback".make(py)?])?.unbind(),
                buffers: tuple(py, ["buffers".make(py)?])?.unbind(),
            })
        })
    }
}

/// A pickle of `object`, without its large buffers, which come apart.
pub(super) fn dumps<'py>(object: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyList>)> {
    let py = object.py();
    let pickle = Pickle::get(py)?;
    let buffers = list(py, 0, [])?;
    // SAFETY: the definition is static, and CPython does not write to it.
    let callback = unsafe {
        let definition = (&raw const COLLECT.0).cast_mut();
        Bound::from_owned_ptr_or_err(py, ffi::PyCFunction_New(definition, buffers.as_ptr()))?
    };
    let arguments = [object.as_ptr(), pickle.protocol.as_ptr(), callback.as_ptr()];
    // SAFETY: two arguments by position, and one for the name.
    let pickled = unsafe { call(py, &pickle.dumps, &arguments, 2, pickle.buffer_callback.as_ptr())? };
    Ok((pickled.cast_into::<PyBytes>()?, buffers))
}

/// What a pickle is of, with the buffers that it came without.
pub(super) fn loads<'py>(
    pickled: &Bound<'py, PyBytes>,
    buffers: Option<&Bound<'py, PyList>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = pickled.py();
    let pickle = Pickle::get(py)?;
    // SAFETY: one argument by position, and perhaps one for the name.
    unsafe {
        match buffers {
            None => call(py, &pickle.loads, &[pickled.as_ptr()], 1, ptr::null_mut()),
            Some(buffers) => {
                let arguments = [pickled.as_ptr(), buffers.as_ptr()];
                call(py, &pickle.loads, &arguments, 1, pickle.buffers.as_ptr())
            }
        }
    }
}

/// # Safety
/// As `PyObject_Vectorcall`.
unsafe fn call<'py>(
    py: Python<'py>,
    function: &Py<PyAny>,
    arguments: &[*mut PyObject],
    positional: usize,
    names: *mut PyObject,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: as the caller says; null means an exception was set.
    unsafe {
        let result = PyObject_Vectorcall(function.as_ptr(), arguments.as_ptr(), positional, names);
        Bound::from_owned_ptr_or_err(py, result)
    }
}

/// A definition, which CPython wants to stay where it is.
struct Definition(PyMethodDef);

// SAFETY: nobody writes to it.
unsafe impl Sync for Definition {}

static COLLECT: Definition = Definition(PyMethodDef {
    ml_name: c"collect".as_ptr(),
    ml_meth: ffi::PyMethodDefPointer { PyCFunction: collect },
    ml_flags: ffi::METH_O,
    ml_doc: ptr::null(),
});

/// Called for each buffer: adds it to the list if it is large and in one piece, and then gives something
/// false; what is true has `pickle` copy it, or say why it can't.
unsafe extern "C" fn collect(list: *mut PyObject, buffer: *mut PyObject) -> *mut PyObject {
    let mut view = ffi::Py_buffer::new();
    // SAFETY: CPython calls it attached, with the list and an object; the view is released at once.
    unsafe {
        if ffi::PyObject_GetBuffer(buffer, &raw mut view, ffi::PyBUF_ANY_CONTIGUOUS) != 0 {
            ffi::PyErr_Clear();
            return ffi::Py_NewRef(ffi::Py_True());
        }
        let is_large = view.len >= LARGE;
        ffi::PyBuffer_Release(&raw mut view);
        match is_large {
            false => ffi::Py_NewRef(ffi::Py_True()),
            true if ffi::PyList_Append(list, buffer) != 0 => ptr::null_mut(),
            true => ffi::Py_NewRef(ffi::Py_None()),
        }
    }
}
