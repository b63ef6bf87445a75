//! Objects made for Python. Each may fail for want of memory, where PyO3's own conversions panic: what PyO3's
//! methods give is a [`Made`], and so becomes `MemoryError`.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::memory::NewList;

/// What a method gives, as Python sees it.
pub(crate) struct Made<T>(pub(crate) T);

impl<'py, T: Make> IntoPyObject<'py> for Made<T> {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.make(py)
    }
}

/// A value of which a Python object can be made.
pub(crate) trait Make {
    fn make(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>>;
}

macro_rules! make_by {
    ($($kind:ty: |$value:ident| $new:expr;)*) => { $(
        impl Make for $kind {
            fn make(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
                let $value = self;
                // SAFETY: makes an object, or sets an exception.
                unsafe { Bound::from_owned_ptr_or_err(py, $new) }
            }
        }
    )* };
}
make_by! {
    bool: |value| ffi::PyBool_FromLong(value.into());
    i32: |value| ffi::PyLong_FromLongLong(value.into());
    i64: |value| ffi::PyLong_FromLongLong(value);
    u32: |value| ffi::PyLong_FromUnsignedLongLong(value.into());
    u64: |value| ffi::PyLong_FromUnsignedLongLong(value);
    usize: |value| ffi::PyLong_FromSize_t(value);
    f64: |value| ffi::PyFloat_FromDouble(value);
    &str: |value| ffi::PyUnicode_FromStringAndSize(value.as_ptr().cast(), value.len() as isize);
}

impl Make for String {
    fn make(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        self.as_str().make(py)
    }
}

impl<T> Make for Bound<'_, T> {
    fn make(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        Ok(self.unbind().into_bound(py).into_any())
    }
}

impl<T: Make> Make for Option<T> {
    fn make(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        self.map_or_else(|| Ok(py.None().into_bound(py)), |value| value.make(py))
    }
}

impl<T: Make> Make for Vec<T> {
    fn make(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        list(py, self.len(), self.into_iter().map(|value| value.make(py))).map(Bound::into_any)
    }
}

macro_rules! make_tuples {
    ($($($kind:ident)*;)*) => { $(
        impl<$($kind: Make),*> Make for ($($kind,)*) {
            #[allow(non_snake_case, reason = "the values are named by their types")]
            fn make(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
                let ($($kind,)*) = self;
                tuple(py, [$($kind.make(py)?),*])
            }
        }
    )* };
}
make_tuples! { A B; A B C; A B C D E F G H I J K; }

/// A list of these, of which there are `n`, unless one of them is an error.
pub(crate) fn list<'py>(
    py: Python<'py>,
    n: usize,
    items: impl IntoIterator<Item = PyResult<Bound<'py, PyAny>>>,
) -> PyResult<Bound<'py, PyList>> {
    let mut list = NewList::with_room(py, n)?;
    items.into_iter().try_for_each(|item| item.map(|item| list.push(item)))?;
    Ok(list.into_list())
}

/// A tuple of these.
pub(crate) fn tuple<'py, const N: usize>(
    py: Python<'py>,
    items: [Bound<'py, PyAny>; N],
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: makes a tuple, or sets an exception.
    let tuple = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyTuple_New(N as isize))? };
    for (place, item) in items.into_iter().enumerate() {
        // SAFETY: an empty place of a tuple that nobody else has yet.
        unsafe { ffi::PyTuple_SET_ITEM(tuple.as_ptr(), place as isize, item.into_ptr()) };
    }
    Ok(tuple)
}

pub(crate) fn bytes<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    // SAFETY: makes bytes of so many that can be read, or sets an exception.
    unsafe {
        let new = ffi::PyBytes_FromStringAndSize(bytes.as_ptr().cast(), bytes.len() as isize);
        Ok(Bound::from_owned_ptr_or_err(py, new)?.cast_into_unchecked())
    }
}

/// `object[start:end]`.
pub(crate) fn slice<'py>(
    object: &Bound<'py, PyAny>,
    start: usize,
    end: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let (start, end) = (start.make(py)?, end.make(py)?);
    // SAFETY: makes a slice, or sets an exception.
    let slice = unsafe {
        let slice = ffi::PySlice_New(start.as_ptr(), end.as_ptr(), std::ptr::null_mut());
        Bound::from_owned_ptr_or_err(py, slice)?
    };
    object.get_item(slice)
}
