//! The exceptions, and how the core's reasons become them.

use std::fmt::Display;

use bchan::{ConfigError, HandleError, Stop};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyTimeoutError, PyValueError};
use pyo3::prelude::*;

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
        ConfigError::Memory { .. } | ConfigError::Map { .. } => PyMemoryError::new_err(error.to_string()),
        _ => PyValueError::new_err(error.to_string()),
    }
}

pub(crate) fn from_handle(error: HandleError) -> PyErr {
    match error {
        HandleError::Closed | HandleError::Ended => Closed::new_err(error.to_string()),
        HandleError::ProducersTaken { .. } | HandleError::ConsumerTaken => {
            PyRuntimeError::new_err(error.to_string())
        }
    }
}

/// What a wait that stopped raises; `late` says what was waited for in vain.
pub(crate) fn from_stop(stop: Stop, late: impl FnOnce() -> String) -> PyErr {
    match stop {
        Stop::Closed => Closed::new_err("the channel is closed"),
        Stop::Ended => end_of_channel(),
        Stop::TimedOut => PyTimeoutError::new_err(late()),
        Stop::Interrupted => PyRuntimeError::new_err("a signal arrived"),
    }
}

pub(crate) fn end_of_channel() -> PyErr {
    EndOfChannel::new_err("nothing more will come: all producers are closed and all is received")
}

/// `ValueError: {name} must be {limit}, got {value}`.
pub(crate) fn must_be(name: &str, limit: impl Display, value: impl Display) -> PyErr {
    PyValueError::new_err(format!("{name} must be {limit}, got {value}"))
}
