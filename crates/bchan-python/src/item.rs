//! One item between Python and a slot.
//!
//! The common numbers have a way of their own: a Python int or float to a register and back. Every
//! other dtype goes through NumPy, which knows how to assign and to make its scalars.

use std::ffi::c_void;
use std::ops::Range;
use std::ptr;

use numpy::npyffi::{
    NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_ENSUREARRAY, NPY_ARRAY_ENSURECOPY, PY_ARRAY_API, PyArray_Descr,
    PyArrayObject,
};
use numpy::{PyArrayDescr, PyArrayDescrMethods};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::{Borrowed, ffi};

use crate::arguments::describe;
use crate::detached::{PyFloat_AsDouble, PyNumber_Index};
use crate::dtype::{check_dtype, makes_scalars_natively};
use crate::errors::Raise;
use crate::gaps::gaps;

/// How an item is converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Signed,
    Unsigned,
    Float,
    /// A reference to a Python object, which the message owns.
    Object,
    /// Through NumPy, which runs no Python code for it.
    Other,
    /// Through NumPy, which may run Python code for it, or fail.
    Foreign,
}

/// The item type of a channel.
#[derive(Debug)]
pub(crate) struct ItemType {
    kind: Kind,
    size: usize,
    descr: Py<PyArrayDescr>,
    /// The bytes of an item that are of no field.
    gaps: Box<[Range<usize>]>,
}

/// An item on its way into a slot.
pub(crate) enum Encoded<'py> {
    /// A number, in the low bytes.
    Bits(u64),
    /// A NumPy array without dimensions that holds it.
    Array(Bound<'py, PyAny>),
}

impl ItemType {
    /// The type for `descr`, if its items are objects or plain bytes.
    pub(crate) fn new(descr: &Bound<'_, PyArrayDescr>) -> PyResult<Self> {
        check_dtype(descr)?;
        let (size, native) = (descr.itemsize(), descr.is_native_byteorder() != Some(false));
        let kind = match descr.kind() {
            b'O' => Kind::Object,
            b'b' => Kind::Bool,
            b'i' if native => Kind::Signed,
            b'u' if native => Kind::Unsigned,
            b'f' if native && (size == 4 || size == 8) => Kind::Float,
            _ if makes_scalars_natively(descr) => Kind::Other,
            _ => Kind::Foreign,
        };
        let gaps = if kind == Kind::Object { Box::default() } else { gaps(descr)?.into() };
        Ok(Self { kind, size, descr: descr.clone().unbind(), gaps })
    }

    /// Whether messages are references to Python objects.
    #[inline(always)]
    pub(crate) fn is_object(&self) -> bool {
        self.kind == Kind::Object
    }

    /// Refuses a call that shows messages as arrays, where they are objects.
    #[inline(always)]
    pub(crate) fn as_array(&self, call: &str) -> PyResult<()> {
        if self.is_object() { Err(no_array(call)) } else { Ok(()) }
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    pub(crate) fn descr(&self) -> &Py<PyArrayDescr> {
        &self.descr
    }

    /// The dtype, as NumPy's C functions take it.
    #[inline(always)]
    pub(crate) fn descr_ptr(&self) -> *mut PyArray_Descr {
        self.descr.as_ptr().cast()
    }

    /// A new reference to the dtype, for those of NumPy's functions that keep it.
    pub(crate) fn descr_owned(&self, py: Python<'_>) -> *mut PyArray_Descr {
        self.descr.clone_ref(py).into_ptr().cast()
    }

    /// Whether a Python object for an item is made by NumPy.
    #[inline(always)]
    pub(crate) fn is_numpys(&self) -> bool {
        matches!(self.kind, Kind::Other | Kind::Foreign)
    }

    /// Whether making a Python object for an item may run Python code, or fail for what the item is.
    #[inline(always)]
    pub(crate) fn is_foreign(&self) -> bool {
        self.kind == Kind::Foreign
    }

    /// The bits of a number that is just what the dtype wants; `None` for all that needs a closer
    /// look. Runs no Python code and sets no exception.
    #[inline(always)]
    pub(crate) fn quick_bits(&self, item: Borrowed<'_, '_, PyAny>) -> Option<u64> {
        let item = item.as_ptr();
        // SAFETY: `item` is an object, and the conversions are for its exact type.
        unsafe {
            match self.kind {
                Kind::Object => Some(item as u64),
                Kind::Unsigned if ffi::PyLong_CheckExact(item) != 0 => {
                    let value = ffi::PyLong_AsUnsignedLongLong(item);
                    // The largest value also stands for failure, so it goes the long way.
                    if value >= u64::MAX >> (64 - 8 * self.size) {
                        ffi::PyErr_Clear();
                        return None;
                    }
                    Some(value)
                }
                Kind::Signed if ffi::PyLong_CheckExact(item) != 0 => {
                    let value = ffi::PyLong_AsLongLong(item);
                    let most = i64::MAX >> (64 - 8 * self.size);
                    if value == -1 || !(-most - 1..=most).contains(&value) {
                        ffi::PyErr_Clear();
                        return None;
                    }
                    Some(value as u64)
                }
                Kind::Float if ffi::PyFloat_CheckExact(item) != 0 => {
                    Some(self.float_bits(ffi::PyFloat_AS_DOUBLE(item)))
                }
                _ => None,
            }
        }
    }

    #[inline(always)]
    fn float_bits(&self, value: f64) -> u64 {
        if self.size == 8 { value.to_bits() } else { u64::from((value as f32).to_bits()) }
    }

    /// Takes a Python object apart. May run Python code, so it comes before any claim.
    #[cold]
    pub(crate) fn encode<'py>(&self, item: Borrowed<'_, 'py, PyAny>) -> PyResult<Encoded<'py>> {
        match self.kind {
            Kind::Signed => {
                let most = i128::from(i64::MAX >> (64 - 8 * self.size));
                self.encode_integer(item, -most - 1, most)
            }
            Kind::Unsigned => self.encode_integer(item, 0, (u64::MAX >> (64 - 8 * self.size)).into()),
            Kind::Float => self.encode_float(item),
            Kind::Bool => self.encode_bool(item),
            Kind::Object => Ok(Encoded::Bits(item.as_ptr() as u64)),
            Kind::Other | Kind::Foreign => self.encode_other(item),
        }
    }

    /// Whatever is an integer in Python's eyes and within the limits.
    fn encode_integer<'py>(
        &self,
        item: Borrowed<'_, 'py, PyAny>,
        least: i128,
        most: i128,
    ) -> PyResult<Encoded<'py>> {
        let py = item.py();
        // SAFETY: `item` is an object; null means an exception was set.
        let index = unsafe { Bound::from_owned_ptr_or_err(py, PyNumber_Index(item.as_ptr())) };
        let index = index.map_err(|error| self.in_our_words(error, "an integer", item))?;
        match index.extract::<i128>() {
            Ok(value) if (least..=most).contains(&value) => Ok(Encoded::Bits(value as u64)),
            _ => Err(PyOverflowError::error(format!(
                "item of dtype {} must be at least {least} and at most {most}, got {}",
                self.descr.bind(py),
                describe(item)
            ))),
        }
    }

    fn encode_float<'py>(&self, item: Borrowed<'_, 'py, PyAny>) -> PyResult<Encoded<'py>> {
        // SAFETY: `item` is an object; a failure leaves an exception.
        let value = unsafe { PyFloat_AsDouble(item.as_ptr()) };
        match PyErr::take(item.py()) {
            Some(error) => Err(self.in_our_words(error, "a number", item)),
            None => Ok(Encoded::Bits(self.float_bits(value))),
        }
    }

    /// A `TypeError` said with dtype and value; any other exception as it is.
    fn in_our_words(&self, error: PyErr, wanted: &str, item: Borrowed<'_, '_, PyAny>) -> PyErr {
        if error.is_instance_of::<PyTypeError>(item.py()) { self.wrong_type(wanted, item) } else { error }
    }

    fn encode_bool<'py>(&self, item: Borrowed<'_, 'py, PyAny>) -> PyResult<Encoded<'py>> {
        let value = item.extract::<bool>().map_err(|_| self.wrong_type("a bool", item))?;
        Ok(Encoded::Bits(value.into()))
    }

    fn encode_other<'py>(&self, item: Borrowed<'_, 'py, PyAny>) -> PyResult<Encoded<'py>> {
        let py = item.py();
        // A copy of its own, and never a subclass, which could change it as it is made.
        let flags = NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ENSUREARRAY | NPY_ARRAY_ENSURECOPY;
        // SAFETY: an object and a reference to a dtype, which the call takes over.
        let array = unsafe {
            let (item, descr) = (item.as_ptr(), self.descr_owned(py));
            let array = PY_ARRAY_API.PyArray_FromAny(py, item, descr, 0, 0, flags, ptr::null_mut());
            Bound::from_owned_ptr_or_err(py, array)?
        };
        // SAFETY: `PyArray_FromAny` makes arrays.
        if unsafe { (*array.as_ptr().cast::<PyArrayObject>()).nd } != 0 {
            return Err(self.wrong_type("a single one", item));
        }
        Ok(Encoded::Array(array))
    }

    fn wrong_type(&self, wanted: &str, item: Borrowed<'_, '_, PyAny>) -> PyErr {
        let (dtype, value) = (self.descr.bind(item.py()), describe(item));
        PyTypeError::error(format!("item of dtype {dtype} must be {wanted}, got {value}"))
    }

    /// Writes an encoded item.
    ///
    /// # Safety
    /// `slot` must be writable for one item of this type.
    pub(crate) unsafe fn write(&self, item: &Encoded<'_>, slot: *mut u8) {
        match item {
            // SAFETY: as the caller says.
            Encoded::Bits(bits) => unsafe { self.write_bits(*bits, slot) },
            // SAFETY: `encode_other` made an array of one item of this type.
            Encoded::Array(array) => unsafe {
                let data = (*array.as_ptr().cast::<PyArrayObject>()).data;
                ptr::copy_nonoverlapping(data.cast_const().cast(), slot, self.size);
                self.clear_gaps(slot, 1);
            },
        }
    }

    /// Makes zeros of what NumPy left between the fields of `n` items that it copied.
    ///
    /// # Safety
    /// `items` must be writable for that many items of this type.
    pub(crate) unsafe fn clear_gaps(&self, items: *mut u8, n: usize) {
        if self.gaps.is_empty() {
            return;
        }
        for index in 0..n {
            for gap in &self.gaps {
                // SAFETY: as the caller says; a gap lies within an item.
                unsafe { items.add(index * self.size + gap.start).write_bytes(0, gap.len()) };
            }
        }
    }

    /// Writes a number.
    ///
    /// # Safety
    /// `slot` must be writable for one item of this type, which must be a number.
    #[inline(always)]
    pub(crate) unsafe fn write_bits(&self, bits: u64, slot: *mut u8) {
        // SAFETY: as the caller says; numbers have 1, 2, 4 or 8 bytes.
        unsafe {
            match self.size {
                8 => slot.cast::<u64>().write_unaligned(bits),
                4 => slot.cast::<u32>().write_unaligned(bits as u32),
                2 => slot.cast::<u16>().write_unaligned(bits as u16),
                _ => slot.write(bits as u8),
            }
        }
    }

    /// A new Python object for the item at `slot`; null with an exception set if that fails. May run Python
    /// code if the item is foreign, and then nothing must be claimed.
    ///
    /// # Safety
    /// `slot` must be readable for one item of this type.
    #[inline(always)]
    pub(crate) unsafe fn decode(&self, py: Python<'_>, slot: *const u8) -> *mut ffi::PyObject {
        // SAFETY: as the caller says; numbers have 1, 2, 4 or 8 bytes.
        unsafe {
            match (self.kind, self.size) {
                (Kind::Unsigned, 8) => ffi::PyLong_FromUnsignedLongLong(slot.cast::<u64>().read_unaligned()),
                (Kind::Unsigned, 4) => {
                    ffi::PyLong_FromUnsignedLongLong(slot.cast::<u32>().read_unaligned().into())
                }
                (Kind::Unsigned, 2) => ffi::PyLong_FromLong(slot.cast::<u16>().read_unaligned().into()),
                (Kind::Unsigned, _) => ffi::PyLong_FromLong(slot.read().into()),
                (Kind::Signed, 8) => ffi::PyLong_FromLongLong(slot.cast::<i64>().read_unaligned()),
                (Kind::Signed, 4) => ffi::PyLong_FromLongLong(slot.cast::<i32>().read_unaligned().into()),
                (Kind::Signed, 2) => ffi::PyLong_FromLong(slot.cast::<i16>().read_unaligned().into()),
                (Kind::Signed, _) => ffi::PyLong_FromLong(slot.cast::<i8>().read().into()),
                (Kind::Float, 8) => ffi::PyFloat_FromDouble(slot.cast::<f64>().read_unaligned()),
                (Kind::Float, _) => ffi::PyFloat_FromDouble(slot.cast::<f32>().read_unaligned().into()),
                (Kind::Bool, _) => ffi::PyBool_FromLong(slot.read().into()),
                (Kind::Object, _) => unreachable!("references are received elsewhere"),
                (Kind::Other | Kind::Foreign, _) => self.decode_other(py, slot),
            }
        }
    }

    /// A new Python object for a foreign item, which was copied out of its slot.
    #[cold]
    pub(crate) fn decode_copy(&self, py: Python<'_>, copy: &[u8]) -> PyResult<*mut ffi::PyObject> {
        assert_eq!(copy.len(), self.size);
        let dtype = self.descr.bind(py);
        if dtype.kind() == b'U' {
            check_text(dtype, copy)?;
        }
        // SAFETY: the copy is one item long.
        let object = unsafe { self.decode_other(py, copy.as_ptr()) };
        if object.is_null() { Err(PyErr::fetch(py)) } else { Ok(object) }
    }

    /// # Safety
    /// As for `decode`.
    #[cold]
    unsafe fn decode_other(&self, py: Python<'_>, slot: *const u8) -> *mut ffi::PyObject {
        // SAFETY: NumPy copies one item of this dtype; without a base it makes a scalar of its own.
        unsafe {
            PY_ARRAY_API.PyArray_Scalar(
                py,
                slot.cast_mut().cast::<c_void>(),
                self.descr_ptr(),
                ptr::null_mut(),
            )
        }
    }
}

/// Refuses text of code points that are none: CPython makes strings of them that it can't cope with.
fn check_text(dtype: &Bound<'_, PyArrayDescr>, text: &[u8]) -> PyResult<()> {
    let most = u32::from(char::MAX);
    let is_swapped = dtype.is_native_byteorder() == Some(false);
    for point in text.chunks_exact(size_of::<u32>()) {
        let point = u32::from_ne_bytes(point.try_into().expect("four bytes"));
        let point = if is_swapped { point.swap_bytes() } else { point };
        if point > most {
            return Err(PyValueError::error(format!(
                "message of dtype {dtype} must be of code points up to {most:#x}, got {point:#x}; it was taken off the channel"
            )));
        }
    }
    Ok(())
}

#[cold]
fn no_array(call: &str) -> PyErr {
    PyTypeError::error(format!("{call}() needs a channel of plain bytes, this one's dtype is object"))
}
