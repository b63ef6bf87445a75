//! Which dtypes the messages of a channel can have.

use std::collections::HashMap;

use numpy::{PyArrayDescr, PyArrayDescrMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;

use crate::errors::Raise;

/// Levels of records in records at most: NumPy and Python walk through them by recursion, and a metadata has
/// to be a literal that Python can parse.
const DEEPEST: usize = 32;

/// Refuses a dtype whose items are neither objects nor plain bytes.
#[pyfunction]
pub(crate) fn check_dtype(descr: &Bound<'_, PyArrayDescr>) -> PyResult<()> {
    if descr.kind() == b'O' {
        return Ok(());
    }
    // Before anything that writes the dtype down, which is done by recursion, too.
    let mut fields = Fields::default();
    fields.height(descr, 0)?;
    let name = || descr.str().map_or_else(|_| "?".to_owned(), |name| name.to_string());
    if descr.has_object() || !b"biufcmMSUV".contains(&descr.kind()) {
        return Err(PyTypeError::error(format!(
            "dtype must be object, or have items of plain bytes (numbers, times, fixed strings, records of them), got {}",
            name()
        )));
    }
    if descr.has_subarray() {
        return Err(PyTypeError::error(format!(
            "dtype must not be a subarray, got {}; make it the field of a record",
            name()
        )));
    }
    if fields.have_time_without_unit {
        return Err(PyValueError::error(format!(
            "dtype must have a unit for its times, as m8[s] and M8[s] have, got {}",
            name()
        )));
    }
    if descr.itemsize() == 0 {
        return Err(PyValueError::error(format!(
            "dtype must have items of at least 1 byte, got {} of 0",
            name()
        )));
    }
    Ok(())
}

/// Whether NumPy makes the scalars of this dtype without running Python code, and without failing but for
/// want of memory. Strings of characters may be of none; a class made in Python has objects that the garbage
/// collector tracks, so that making one may run it.
pub(crate) fn makes_scalars_natively(descr: &Bound<'_, PyArrayDescr>) -> bool {
    let made_in_python = ffi::Py_TPFLAGS_HEAPTYPE | ffi::Py_TPFLAGS_HAVE_GC;
    // SAFETY: a type, whose flags never change.
    let flags = unsafe { ffi::PyType_GetFlags(descr.typeobj().as_type_ptr()) };
    descr.kind() != b'U' && flags & made_in_python == 0
}

/// What was found out about the fields of a record, each dtype looked at once.
#[derive(Default)]
struct Fields {
    heights: HashMap<usize, usize>,
    have_time_without_unit: bool,
}

impl Fields {
    /// Levels of records below a dtype at this depth.
    fn height(&mut self, descr: &Bound<'_, PyArrayDescr>, depth: usize) -> PyResult<usize> {
        let key = descr.as_ptr() as usize;
        let known = self.heights.get(&key).copied();
        if depth + known.unwrap_or(0) > DEEPEST {
            return Err(PyValueError::error(format!(
                "dtype must be nested at most {DEEPEST} deep, got records that are deeper"
            )));
        }
        if let Some(height) = known {
            return Ok(height);
        }
        if descr.kind() == b'm' || descr.kind() == b'M' {
            // NumPy takes times without a unit in any, and forgets which.
            self.have_time_without_unit |= !descr.getattr("str")?.extract::<String>()?.contains('[');
        }
        let mut height = 0;
        for name in descr.names().unwrap_or_default() {
            let field = descr.get_field(&name)?.0.base();
            height = height.max(1 + self.height(&field, depth + 1)?);
        }
        self.heights.insert(key, height);
        Ok(height)
    }
}
