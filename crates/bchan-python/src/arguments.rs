//! What the hot methods are called with: seconds, counts, and where each argument is.

use std::time::Duration;

use bchan::Deadline;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::{Borrowed, ffi};

use crate::detached::PyFloat_AsDouble;
use crate::errors::{Raise, must_be};

/// How long a call may wait.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Timeout {
    Never,
    Seconds(f64),
}

impl Timeout {
    /// `None` and infinity are for ever; anything else is seconds, at least 0.
    #[cold]
    pub(crate) fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        if value.is_none() {
            return Ok(Self::Never);
        }
        // SAFETY: `value` is an object; a failure leaves an exception.
        let seconds = unsafe { PyFloat_AsDouble(value.as_ptr()) };
        let seconds = match PyErr::take(value.py()) {
            None => seconds,
            // An integer too long for a float is longer than anyone will wait, or negative.
            Some(error) if error.is_instance_of::<PyOverflowError>(value.py()) => {
                if value.lt(0)? {
                    f64::NEG_INFINITY
                } else {
                    f64::INFINITY
                }
            }
            Some(error) if error.is_instance_of::<PyTypeError>(value.py()) => {
                let value = describe(value);
                return Err(PyTypeError::error(format!("timeout must be seconds or None, got {value}")));
            }
            Some(error) => return Err(error),
        };
        match seconds {
            f64::INFINITY => Ok(Self::Never),
            seconds if seconds >= 0.0 => Ok(Self::Seconds(seconds)),
            _ => Err(must_be("timeout", "at least 0 seconds", seconds)),
        }
    }

    /// Whether the call may not wait at all.
    pub(crate) fn is_zero(self) -> bool {
        self == Self::Seconds(0.0)
    }

    pub(crate) fn deadline(self) -> Deadline {
        match self {
            Self::Never => Deadline::NEVER,
            // What a Duration can't hold is longer than anyone will wait.
            Self::Seconds(seconds) => {
                Duration::try_from_secs_f64(seconds).map_or(Deadline::NEVER, Deadline::after)
            }
        }
    }
}

impl std::fmt::Display for Timeout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Never => write!(f, "no limit"),
            Self::Seconds(seconds) => write!(f, "{seconds} s"),
        }
    }
}

/// `repr(value)`, or its type if that fails.
pub(crate) fn describe(value: Borrowed<'_, '_, PyAny>) -> String {
    value.repr().map_or_else(|_| value.get_type().to_string(), |repr| repr.to_string())
}

/// How many items a call asks for, at least 1.
pub(crate) fn count(value: Borrowed<'_, '_, PyAny>, name: &str) -> PyResult<usize> {
    count_from(value, name, 1)
}

/// A number of items that is at least `least`.
pub(crate) fn count_from(value: Borrowed<'_, '_, PyAny>, name: &str, least: isize) -> PyResult<usize> {
    let py = value.py();
    match value.extract::<isize>() {
        Ok(count) if count >= least => Ok(count as usize),
        Ok(count) => Err(must_be(name, format_args!("at least {least}"), count)),
        Err(error) if error.is_instance_of::<PyOverflowError>(py) => {
            Err(must_be(name, format_args!("at least {least} and at most {}", isize::MAX), describe(value)))
        }
        Err(error) if error.is_instance_of::<PyTypeError>(py) => {
            Err(PyTypeError::error(format!("{name} must be an integer, got {}", describe(value))))
        }
        Err(error) => Err(error),
    }
}

/// The arguments of a `METH_FASTCALL | METH_KEYWORDS` call.
#[derive(Clone, Copy)]
pub(crate) struct Arguments<'a, 'py> {
    py: Python<'py>,
    values: &'a [*mut ffi::PyObject],
    positional: usize,
    /// A tuple of names for what follows the positional ones, or null.
    names: *mut ffi::PyObject,
}

impl<'a, 'py> Arguments<'a, 'py> {
    /// # Safety
    /// The arguments must be those of such a call, and live as long as it.
    #[inline(always)]
    pub(crate) unsafe fn new(
        py: Python<'py>,
        values: *const *mut ffi::PyObject,
        positional: ffi::Py_ssize_t,
        names: *mut ffi::PyObject,
    ) -> Self {
        // SAFETY: a tuple or null, by the calling convention.
        let named = if names.is_null() { 0 } else { unsafe { ffi::PyTuple_GET_SIZE(names) } };
        let count = (positional + named) as usize;
        // SAFETY: that many objects, by the calling convention; none may mean no array.
        let values = if count == 0 { &[] } else { unsafe { std::slice::from_raw_parts(values, count) } };
        Self { py, values, positional: positional as usize, names }
    }

    fn get(&self, index: usize) -> Borrowed<'a, 'py, PyAny> {
        // SAFETY: an object that the caller keeps alive during the call.
        unsafe { Borrowed::from_ptr(self.py, self.values[index]) }
    }

    /// The one argument `name` that must be there, by position, and `timeout`, which may be.
    #[inline(always)]
    pub(crate) fn item_and_timeout(
        &self,
        function: &str,
        name: &str,
    ) -> PyResult<(Borrowed<'a, 'py, PyAny>, Timeout)> {
        if self.values.len() == 1 && self.positional == 1 {
            return Ok((self.get(0), Timeout::Never));
        }
        if self.positional == 0 {
            return Err(PyTypeError::error(format!("{function}() needs {name} by position")));
        }
        Ok((
            self.get(0),
            self.optional(function, 1, "timeout")?.map_or(Ok(Timeout::Never), Timeout::extract)?,
        ))
    }

    /// The timeout alone.
    #[inline(always)]
    pub(crate) fn timeout(&self, function: &str) -> PyResult<Timeout> {
        match self.values.len() {
            0 => Ok(Timeout::Never),
            _ => self.optional(function, 0, "timeout")?.map_or(Ok(Timeout::Never), Timeout::extract),
        }
    }

    /// The one argument `name`, which may be left out.
    #[inline(always)]
    pub(crate) fn one(&self, function: &str, name: &str) -> PyResult<Option<Borrowed<'a, 'py, PyAny>>> {
        match self.alone() {
            None => self.optional(function, 0, name),
            alone => Ok(alone),
        }
    }

    /// The argument at `place`, by position or name; there must be none after it.
    #[cold]
    pub(crate) fn optional(
        &self,
        function: &str,
        place: usize,
        name: &str,
    ) -> PyResult<Option<Borrowed<'a, 'py, PyAny>>> {
        if self.values.len() > place + 1 {
            let (most, got) = (place + 1, self.values.len());
            return Err(PyTypeError::error(format!(
                "{function}() takes at most {most} arguments, got {got}"
            )));
        }
        if self.values.len() <= place {
            return Ok(None);
        }
        if self.positional <= place {
            // SAFETY: a tuple of names, by the calling convention: there are more values than positions.
            let keyword = unsafe { Borrowed::from_ptr(self.py, ffi::PyTuple_GET_ITEM(self.names, 0)) };
            if keyword.extract::<&str>()? != name {
                return Err(PyTypeError::error(format!(
                    "{function}() got an unexpected keyword argument {keyword:?}"
                )));
            }
        }
        Ok(Some(self.get(place)))
    }

    /// Whether there are none.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The one argument, if there is one alone, by position.
    #[inline(always)]
    pub(crate) fn alone(&self) -> Option<Borrowed<'a, 'py, PyAny>> {
        (self.values.len() == 1 && self.positional == 1).then(|| self.get(0))
    }

    /// The arguments of these names, each by position or by name, or not there.
    #[cold]
    pub(crate) fn named<const N: usize>(
        &self,
        function: &str,
        names: [&str; N],
    ) -> PyResult<[Option<Borrowed<'a, 'py, PyAny>>; N]> {
        if self.positional > N {
            let got = self.positional;
            return Err(PyTypeError::error(format!("{function}() takes at most {N} arguments, got {got}")));
        }
        let mut found = [None; N];
        (0..self.positional).for_each(|place| found[place] = Some(self.get(place)));
        for place in self.positional..self.values.len() {
            let index = (place - self.positional) as ffi::Py_ssize_t;
            // SAFETY: a tuple of as many names, by the calling convention.
            let keyword = unsafe { Borrowed::from_ptr(self.py, ffi::PyTuple_GET_ITEM(self.names, index)) };
            let keyword: &str = keyword.extract()?;
            let Some(name) = names.iter().position(|name| *name == keyword) else {
                return Err(PyTypeError::error(format!(
                    "{function}() got an unexpected keyword argument {keyword:?}"
                )));
            };
            if found[name].replace(self.get(place)).is_some() {
                return Err(PyTypeError::error(format!("{function}() got two values for {keyword:?}")));
            }
        }
        Ok(found)
    }
}
