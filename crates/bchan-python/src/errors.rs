//! The exceptions, and how the core's reasons become them.

use std::ffi::CStr;
use std::fmt::Display;
use std::io;

use bchan::{ConfigError, HandleError, ReceiveError, SendError, WaitError};
use pyo3::exceptions::{PyMemoryError, PyNotImplementedError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::{PyErrArguments, PyTypeInfo, ffi};

use crate::made::Make;

pyo3::create_exception!(
    bchan,
    ChannelError,
    pyo3::exceptions::PyException,
    "The channel or a handle can't do what was asked."
);
pyo3::create_exception!(bchan, Closed, ChannelError, "Refused: the channel, or this handle, was closed.");
pyo3::create_exception!(
    bchan,
    EndOfChannel,
    ChannelError,
    "Nothing more will come: the channel was closed, or its last producer was, and all is received."
);

/// An exception class, of which errors are made. PyO3's own way panics where there is no memory for the text,
/// and ends the process if that is in a method of its own.
pub(crate) trait Raise: PyTypeInfo {
    /// An error with this text, or of these arguments; with none if there is no memory for them.
    fn error(arguments: impl Make + Send + Sync + 'static) -> PyErr {
        PyErr::new::<Self, _>(Arguments(arguments))
    }
}

impl<T: PyTypeInfo> Raise for T {}

struct Arguments<T>(T);

impl<T: Make + Send + Sync> PyErrArguments for Arguments<T> {
    fn arguments(self, py: Python<'_>) -> Py<PyAny> {
        self.0.make(py).map_or_else(|_| py.None(), Bound::unbind)
    }
}

pub(crate) fn from_config(error: &ConfigError) -> PyErr {
    match error {
        ConfigError::Memory { .. } | ConfigError::Map { .. } | ConfigError::OutOfMemory => {
            PyMemoryError::error(error.to_string())
        }
        ConfigError::File { number, .. } => PyOSError::error((*number, error.to_string())),
        ConfigError::NotShareable => PyNotImplementedError::error(error.to_string()),
        ConfigError::Unwatchable(_) => PyOSError::error(error.to_string()),
        _ => PyValueError::error(error.to_string()),
    }
}

/// The system's error, with its number, which PyO3 drops.
pub(crate) fn from_system(error: &io::Error) -> PyErr {
    let text = error.to_string();
    match error.raw_os_error() {
        // Python says the number itself.
        Some(number) => {
            PyOSError::error((number, text.split(" (os error").next().unwrap_or_default().to_owned()))
        }
        None => PyOSError::error(text),
    }
}

pub(crate) fn from_handle(error: HandleError) -> PyErr {
    match error {
        HandleError::Closed
        | HandleError::Deserted
        | HandleError::Ended
        | HandleError::TakenBack
        | HandleError::Elsewhere { pid: 0 } => Closed::error(error.to_string()),
        HandleError::Unwatchable(_) => PyOSError::error(error.to_string()),
        HandleError::OutOfMemory => PyMemoryError::error(error.to_string()),
        _ => PyRuntimeError::error(error.to_string()),
    }
}

/// Why a wait of the core ended without what it waited for.
pub(crate) trait Unmet: Copy + PartialEq + From<WaitError> {
    /// What is raised if it will not come.
    fn refusal(self) -> PyErr;

    fn is_interrupted(self) -> bool {
        self == WaitError::Interrupted.into()
    }

    fn is_late(self) -> bool {
        self == WaitError::TimedOut.into()
    }
}

impl Unmet for WaitError {
    /// It may always come.
    fn refusal(self) -> PyErr {
        PyRuntimeError::error(self.to_string())
    }
}

impl Unmet for SendError {
    fn refusal(self) -> PyErr {
        Closed::error(self.to_string())
    }
}

impl Unmet for ReceiveError {
    fn refusal(self) -> PyErr {
        end_of_channel()
    }
}

/// What `arm` told of a waker, if it is not in vain.
pub(crate) fn checked_waker(is_ready: bool) -> PyResult<bool> {
    if !is_ready {
        bchan::wait::check_wakers().map_err(|error| match error.kind() {
            io::ErrorKind::OutOfMemory => PyMemoryError::error("no memory for one more task that waits"),
            _ => PyRuntimeError::error(format!(
                "can't start the thread that waits for other processes on behalf of event loops: {error}"
            )),
        })?;
    }
    Ok(is_ready)
}

pub(crate) fn end_of_channel() -> PyErr {
    EndOfChannel::error("nothing more will come: all producers are closed and all is received")
}

/// `error` with the attribute `sent`: how many items of the batch went.
#[cold]
pub(crate) fn with_sent(py: Python<'_>, error: PyErr, sent: usize) -> PyErr {
    with_attribute(py, error, c"sent", sent)
}

/// `error` with an attribute more, unless there is no memory for it.
pub(crate) fn with_attribute(py: Python<'_>, error: PyErr, name: &CStr, value: impl Make) -> PyErr {
    // Made by CPython right here. PyO3 would let go of the GIL for it, and come back unguarded.
    error.restore(py);
    let error = PyErr::fetch(py);
    let set = value.make(py).map(|value| {
        // SAFETY: two objects and a name; a failure leaves an exception.
        match unsafe { ffi::PyObject_SetAttrString(error.value(py).as_ptr(), name.as_ptr(), value.as_ptr()) }
        {
            0 => None,
            _ => PyErr::take(py),
        }
    });
    match set {
        Ok(None) => error,
        Ok(Some(worse)) | Err(worse) => worse,
    }
}

/// `ValueError: {name} must be {limit}, got {value}`.
pub(crate) fn must_be(name: &str, limit: impl Display, value: impl Display) -> PyErr {
    PyValueError::error(format!("{name} must be {limit}, got {value}"))
}
