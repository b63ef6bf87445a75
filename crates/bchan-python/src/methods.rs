//! The hot methods, as CPython's own C methods are made.
//!
//! PyO3's wrappers take about three times as long as these calls themselves, so the methods that a
//! program calls for every message or batch are method descriptors made here and set on the
//! classes. CPython calls them without a tuple or a dictionary, and checks that `self` is of the
//! class. Its fastest path wants the very class of `self`, so subclasses get descriptors of their own.

use std::any::Any;
use std::ffi::{CStr, CString, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::exceptions::{PySystemError, PyTypeError};
use pyo3::ffi::{self, PyMethodDef, PyMethodDefPointer, PyObject};
use pyo3::prelude::*;
use pyo3::types::PyType;
use pyo3::{Borrowed, PyClass};

use crate::channel::{Channel, Messages};
use crate::consumer::Consumer;
use crate::detached::HangUnlessPanicking;
use crate::errors::Raise;
use crate::memory::out_of_memory;
use crate::producer::Producer;
use crate::queue::Queue;

/// Calls `body` with the Rust value of `slf`, and turns what comes of it into CPython's terms.
///
/// # Safety
/// To be called by CPython on an instance of `T`'s class, in an attached thread.
#[inline(always)]
unsafe fn call<T: PyClass<Frozen = pyo3::pyclass::boolean_struct::True> + Sync>(
    slf: *mut PyObject,
    body: impl FnOnce(Python<'_>, Borrowed<'_, '_, T>) -> PyResult<*mut PyObject>,
) -> *mut PyObject {
    // SAFETY: CPython calls methods in attached threads.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: the descriptor has checked the class.
    let slf = unsafe { Borrowed::from_ptr(py, slf).cast_unchecked::<T>() };
    let guarded = || {
        let guard = HangUnlessPanicking;
        let outcome = body(py, slf);
        std::mem::forget(guard);
        outcome
    };
    match catch_unwind(AssertUnwindSafe(guarded)) {
        Ok(Ok(object)) => object,
        Ok(Err(error)) => raise(py, error),
        Err(panic) => raise(py, panicked(py, panic.as_ref())),
    }
}

/// What a panic is to Python. PyO3 panics where CPython could not make an object.
#[cold]
fn panicked(py: Python<'_>, panic: &(dyn Any + Send)) -> PyErr {
    match panic.downcast_ref::<&str>() {
        Some(&"Python API call failed") => out_of_memory(py),
        _ => PySystemError::error("bchan failed; this is a bug in bchan"),
    }
}

/// Sets the exception. PyO3 has to know for this that the thread is attached: it would put the
/// release of what errors hold off, and a loop over errors would never give it back. Its own errors panic
/// where there is no memory for their text.
#[cold]
fn raise(py: Python<'_>, error: PyErr) -> *mut PyObject {
    let set = || {
        let mut error = Some(error);
        Python::try_attach(|py| error.take().map(|error| error.restore(py)));
        if let Some(error) = error {
            error.restore(py);
        }
    };
    if catch_unwind(AssertUnwindSafe(set)).is_err() {
        // SAFETY: attached; sets the exception.
        unsafe { ffi::PyErr_NoMemory() };
    }
    ptr::null_mut()
}

#[inline(always)]
fn none() -> *mut PyObject {
    // SAFETY: `None` is always there; the reference is new.
    unsafe { ffi::Py_NewRef(ffi::Py_None()) }
}

#[inline(always)]
pub(crate) fn boolean(value: bool) -> *mut PyObject {
    // SAFETY: both are always there; the reference is new.
    unsafe { ffi::Py_NewRef(if value { ffi::Py_True() } else { ffi::Py_False() }) }
}

#[inline(always)]
fn number(value: usize) -> *mut PyObject {
    // SAFETY: makes a new object or sets an exception.
    unsafe { ffi::PyLong_FromSize_t(value) }
}

fn or_none(object: Option<Bound<'_, PyAny>>) -> *mut PyObject {
    object.map_or_else(none, Bound::into_ptr)
}

/// A method of one positional argument.
macro_rules! method_o {
    ($class:ty, |$py:ident, $this:ident, $argument:ident| $body:expr) => {{
        unsafe extern "C" fn method(slf: *mut PyObject, argument: *mut PyObject) -> *mut PyObject {
            // SAFETY: called by CPython through the descriptor of this class.
            unsafe {
                call::<$class>(slf, |$py, $this| {
                    let $argument = Borrowed::from_ptr($py, argument);
                    $body
                })
            }
        }
        (PyMethodDefPointer { PyCFunction: method }, ffi::METH_O)
    }};
}

/// A method of several arguments, by position or name.
macro_rules! method_kw {
    ($class:ty, |$py:ident, $this:ident, $arguments:ident| $body:expr) => {{
        unsafe extern "C" fn method(
            slf: *mut PyObject,
            values: *const *mut PyObject,
            positional: ffi::Py_ssize_t,
            names: *mut PyObject,
        ) -> *mut PyObject {
            // SAFETY: called by CPython through the descriptor of this class.
            unsafe {
                call::<$class>(slf, |$py, $this| {
                    let $arguments = Arguments::new($py, values, positional, names);
                    $body
                })
            }
        }
        (PyMethodDefPointer { PyCFunctionFastWithKeywords: method }, ffi::METH_FASTCALL | ffi::METH_KEYWORDS)
    }};
}

/// A method without arguments.
macro_rules! method_noargs {
    ($class:ty, |$py:ident, $this:ident| $body:expr) => {{
        unsafe extern "C" fn method(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
            // SAFETY: called by CPython through the descriptor of this class.
            unsafe { call::<$class>(slf, |$py, $this| $body) }
        }
        (PyMethodDefPointer { PyCFunction: method }, ffi::METH_NOARGS)
    }};
}

/// A method: what CPython calls. Its signature and its docstring stand in the Python class that gets it.
struct Method {
    name: &'static CStr,
    function: PyMethodDefPointer,
    flags: c_int,
}

// SAFETY: it is never changed, and what it points to is code.
unsafe impl Sync for Method {}

const fn definition(name: &'static CStr, (function, flags): (PyMethodDefPointer, c_int)) -> Method {
    Method { name, function, flags }
}

type Methods<const N: usize> = [Method; N];

mod tables;

/// Sets the hot methods of a class of producers, consumers, channels or queues on it, those for such messages.
/// `text_of` gives the signature and the docstring of a name.
#[pyfunction]
pub(crate) fn hot_methods(
    class: &Bound<'_, PyType>,
    messages: Messages,
    text_of: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let of_messages = messages as usize;
    let tables = match () {
        () if class.is_subclass_of::<Producer>()? => tables::OF_PRODUCERS[of_messages],
        () if class.is_subclass_of::<Consumer>()? => tables::OF_CONSUMERS[of_messages],
        () if class.is_subclass_of::<Channel>()? => tables::OF_CHANNELS[of_messages],
        () if class.is_subclass_of::<Queue>()? => tables::OF_QUEUES,
        () => {
            return Err(PyTypeError::error(format!(
                "class must be of producers, consumers, channels or queues, got {class}"
            )));
        }
    };
    for method in tables.iter().copied().flatten() {
        let name = method.name.to_string_lossy();
        let text = CString::new(text_of.call1((&*name,))?.extract::<String>()?)?;
        // Both stay for ever, as a class may.
        let definition: &'static mut PyMethodDef = Box::leak(Box::new(PyMethodDef {
            ml_name: method.name.as_ptr(),
            ml_meth: method.function,
            ml_flags: method.flags,
            ml_doc: text.into_raw(),
        }));
        // SAFETY: nobody else has the definition, and it stays where it is.
        let descriptor = unsafe { ffi::PyDescr_NewMethod(class.as_type_ptr(), definition) };
        // SAFETY: a new reference, or null and an exception.
        let descriptor = unsafe { Bound::from_owned_ptr_or_err(class.py(), descriptor)? };
        class.setattr(&*name, descriptor)?;
    }
    Ok(())
}
