//! The exceptions, and how the core's reasons become them.

use std::fmt::Display;
use std::io;

use bchan::{ConfigError, HandleError, ReceiveError, SendError, WaitError};
use pyo3::exceptions::{PyMemoryError, PyNotImplementedError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

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

pub(crate) fn from_config(error: &ConfigError) -> PyErr {
    match error {
        ConfigError::Memory { .. } | ConfigError::Map { .. } | ConfigError::OutOfMemory => {
            PyMemoryError::new_err(error.to_string())
        }
        ConfigError::File { number, .. } => PyOSError::new_err((*number, error.to_string())),
        ConfigError::NotShareable => PyNotImplementedError::new_err(error.to_string()),
        ConfigError::Unwatchable(_) => PyOSError::new_err(error.to_string()),
        _ => PyValueError::new_err(error.to_string()),
    }
}

/// The system's error, with its number, which PyO3 drops.
pub(crate) fn from_system(error: &io::Error) -> PyErr {
    let text = error.to_string();
    match error.raw_os_error() {
        // Python says the number itself.
        Some(number) => {
            PyOSError::new_err((number, text.split(" (os error").next().unwrap_or_default().to_owned()))
        }
        None => PyOSError::new_err(text),
    }
}

pub(crate) fn from_handle(error: HandleError) -> PyErr {
    match error {
        HandleError::Closed
        | HandleError::Ended
        | HandleError::TakenBack
        | HandleError::Elsewhere { pid: 0 } => Closed::new_err(error.to_string()),
        HandleError::Unwatchable(_) => PyOSError::new_err(error.to_string()),
        HandleError::OutOfMemory => PyMemoryError::new_err(error.to_string()),
        _ => PyRuntimeError::new_err(error.to_string()),
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
        PyRuntimeError::new_err(self.to_string())
    }
}

impl Unmet for SendError {
    fn refusal(self) -> PyErr {
        closed()
    }
}

impl Unmet for ReceiveError {
    fn refusal(self) -> PyErr {
        end_of_channel()
    }
}

/// What `arm` told of an alarm, if it is not in vain.
pub(crate) fn checked_alarm(is_ready: bool) -> PyResult<bool> {
    if !is_ready {
        bchan::wait::check_alarms().map_err(|error| {
            PyRuntimeError::new_err(format!(
                "can't start the thread that waits for other processes on behalf of event loops: {error}"
            ))
        })?;
    }
    Ok(is_ready)
}

pub(crate) fn end_of_channel() -> PyErr {
    EndOfChannel::new_err("nothing more will come: all producers are closed and all is received")
}

#[cold]
pub(crate) fn closed() -> PyErr {
    Closed::new_err("the channel is closed")
}

/// `error` with the attribute `sent`: how many items of the batch went.
#[cold]
pub(crate) fn with_sent(py: Python<'_>, error: PyErr, sent: usize) -> PyErr {
    with_attribute(py, error, pyo3::intern!(py, "sent"), sent)
}

/// `error` with an attribute more.
pub(crate) fn with_attribute<'py>(
    py: Python<'py>,
    error: PyErr,
    name: &Bound<'py, PyString>,
    value: impl IntoPyObject<'py>,
) -> PyErr {
    // Made by CPython right here. PyO3 would let go of the GIL for it, and come back unguarded.
    error.restore(py);
    let error = PyErr::fetch(py);
    match error.value(py).setattr(name, value) {
        Ok(()) => error,
        Err(worse) => worse,
    }
}

/// `ValueError: {name} must be {limit}, got {value}`.
pub(crate) fn must_be(name: &str, limit: impl Display, value: impl Display) -> PyErr {
    PyValueError::new_err(format!("{name} must be {limit}, got {value}"))
}
