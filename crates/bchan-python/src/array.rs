//! NumPy arrays, read field by field where a call is hot, and made over the ring's own memory.

use std::ptr;

use numpy::npyffi::{
    NPY_ARRAY_ALIGNED, NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_ENSUREARRAY, NPY_ARRAY_ENSURECOPY,
    NPY_ARRAY_WRITEABLE, NpyTypes, PY_ARRAY_API, PyArray_Check, PyArray_CheckExact, PyArrayObject,
};
use pyo3::Borrowed;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;

use crate::errors::Raise;
use crate::item::ItemType;
use crate::objects::drawn;

/// Items in memory, and the array that keeps them there.
pub(crate) struct Items<'a, 'py> {
    pub(crate) data: *mut u8,
    pub(crate) len: usize,
    array: *mut ffi::PyObject,
    _keep: Option<Bound<'py, PyAny>>,
    _lent: std::marker::PhantomData<&'a ()>,
}

impl<'a, 'py> Items<'a, 'py> {
    /// All items of what `new_array` made.
    pub(crate) fn whole(array: Borrowed<'a, 'py, PyAny>) -> Self {
        // SAFETY: it is an array, which the caller keeps.
        Self::lent(unsafe { &*array.as_ptr().cast::<PyArrayObject>() })
    }

    fn lent(array: &'a PyArrayObject) -> Self {
        Self::of(array, None)
    }

    fn owned(array: Bound<'py, PyAny>) -> Self {
        // SAFETY: only arrays come here; `_keep` keeps it alive.
        let fields = unsafe { &*array.as_ptr().cast::<PyArrayObject>() };
        Self::of(fields, Some(array))
    }

    fn of(array: &PyArrayObject, keep: Option<Bound<'py, PyAny>>) -> Self {
        // SAFETY: every array that comes here has one dimension.
        let len = unsafe { *array.dimensions } as usize;
        let object = ptr::from_ref(array).cast_mut().cast();
        Self { data: array.data.cast(), len, array: object, _keep: keep, _lent: std::marker::PhantomData }
    }

    /// A reference of the call's own, for while it lets go of the GIL: NumPy resizes an array to which only
    /// two know.
    pub(crate) fn hold(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        // SAFETY: the caller's arguments, or `_keep`, keep it alive.
        unsafe { Bound::from_borrowed_ptr(py, self.array) }
    }
}

/// The fields of `object` if it is a contiguous one-dimensional array of just this dtype.
#[inline(always)]
fn plain_array<'a>(object: Borrowed<'a, '_, PyAny>, item: &ItemType) -> Option<&'a PyArrayObject> {
    // SAFETY: the fields are read only once the type says that it is an array.
    unsafe {
        if PyArray_CheckExact(object.py(), object.as_ptr()) == 0 {
            return None;
        }
        let array = &*object.as_ptr().cast::<PyArrayObject>();
        let is_plain =
            array.descr == item.descr_ptr() && array.nd == 1 && array.flags & NPY_ARRAY_C_CONTIGUOUS != 0;
        is_plain.then_some(array)
    }
}

/// The items of a batch to send: an array of the channel's dtype, or anything to iterate over.
#[inline(always)]
pub(crate) fn batch_to_send<'a, 'py>(
    object: Borrowed<'a, 'py, PyAny>,
    item: &ItemType,
) -> PyResult<Items<'a, 'py>> {
    match plain_array(object, item) {
        Some(array) => Ok(Items::lent(array)),
        None => any_batch(object, item),
    }
}

#[cold]
fn any_batch<'a, 'py>(object: Borrowed<'a, 'py, PyAny>, item: &ItemType) -> PyResult<Items<'a, 'py>> {
    let py = object.py();
    // SAFETY: `object` is an object.
    if unsafe { PyArray_Check(py, object.as_ptr()) } == 0 {
        return batch_of_objects(object, item);
    }
    let array = checked_array(object, item)?;
    if array.flags & NPY_ARRAY_C_CONTIGUOUS != 0 {
        return Ok(Items::lent(array));
    }
    // Never a subclass, which could change the copy as it is made.
    let flags = NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ENSUREARRAY | NPY_ARRAY_ENSURECOPY;
    // SAFETY: an array, and a reference to a dtype, which the call takes over.
    let copy = unsafe {
        let (array, descr) = (object.as_ptr().cast(), item.descr_owned(py));
        Bound::from_owned_ptr_or_err(py, PY_ARRAY_API.PyArray_FromArray(py, array, descr, flags))?
    };
    let items = Items::owned(copy);
    // SAFETY: the copy has that many items, and nobody else knows it yet.
    unsafe { item.clear_gaps(items.data, items.len) };
    Ok(items)
}

/// Items from any other iterable, each converted as `send` would.
fn batch_of_objects<'a, 'py>(object: Borrowed<'a, 'py, PyAny>, item: &ItemType) -> PyResult<Items<'a, 'py>> {
    let py = object.py();
    let objects = drawn(object, "an array or an iterable")?;
    let objects = objects.collect::<PyResult<Vec<_>>>()?;
    let array = new_array(py, item, objects.len())?;
    let items = Items::owned(array);
    for (index, object) in objects.iter().enumerate() {
        let encoded = item.encode(object.as_borrowed())?;
        // SAFETY: the array has room for all the objects, and nobody else knows it yet.
        unsafe { item.write(&encoded, items.data.add(index * item.size())) };
    }
    Ok(items)
}

/// The buffer to receive into: a writable, contiguous array of the channel's dtype with room.
#[inline(always)]
pub(crate) fn buffer_to_fill<'a, 'py>(
    object: Borrowed<'a, 'py, PyAny>,
    item: &ItemType,
) -> PyResult<Items<'a, 'py>> {
    match plain_array(object, item) {
        Some(array) if array.flags & NPY_ARRAY_WRITEABLE != 0 => with_room(Items::lent(array)),
        _ => any_buffer(object, item),
    }
}

#[cold]
fn any_buffer<'a, 'py>(object: Borrowed<'a, 'py, PyAny>, item: &ItemType) -> PyResult<Items<'a, 'py>> {
    // SAFETY: `object` is an object.
    if unsafe { PyArray_Check(object.py(), object.as_ptr()) } == 0 {
        let value = crate::arguments::describe(object);
        return Err(PyTypeError::error(format!("buffer must be a NumPy array, got {value}")));
    }
    let array = checked_array(object, item)?;
    if array.flags & NPY_ARRAY_WRITEABLE == 0 {
        return Err(PyValueError::error("buffer must be writable, got a read-only array"));
    }
    if array.flags & NPY_ARRAY_C_CONTIGUOUS == 0 {
        return Err(PyValueError::error("buffer must be contiguous, got an array with gaps"));
    }
    with_room(Items::lent(array))
}

#[inline(always)]
fn with_room<'a, 'py>(items: Items<'a, 'py>) -> PyResult<Items<'a, 'py>> {
    if items.len == 0 { Err(crate::errors::must_be("buffer length", "at least 1", 0)) } else { Ok(items) }
}

/// The fields of an array after checking its dtype and dimensions.
fn checked_array<'a>(object: Borrowed<'a, '_, PyAny>, item: &ItemType) -> PyResult<&'a PyArrayObject> {
    let py = object.py();
    // SAFETY: the caller checked that it is an array.
    let array = unsafe { &*object.as_ptr().cast::<PyArrayObject>() };
    // SAFETY: two dtypes.
    if unsafe { PY_ARRAY_API.PyArray_EquivTypes(py, array.descr, item.descr_ptr()) } == 0 {
        let (theirs, ours) = (object.getattr("dtype")?, item.descr().bind(py));
        return Err(PyTypeError::error(format!("array must have the channel's dtype {ours}, got {theirs}")));
    }
    match array.nd {
        1 => Ok(array),
        nd => Err(crate::errors::must_be("array", "of 1 dimension", nd)),
    }
}

/// A new array of `len` items, not yet written.
pub(crate) fn new_array<'py>(py: Python<'py>, item: &ItemType, len: usize) -> PyResult<Bound<'py, PyAny>> {
    let mut len = len as isize;
    // SAFETY: one dimension, and a reference to a dtype, which the call takes over.
    unsafe {
        let array = PY_ARRAY_API.PyArray_Empty(py, 1, &raw mut len, item.descr_owned(py), 0);
        Bound::from_owned_ptr_or_err(py, array)
    }
}

/// An array over `len` items at `data`, which live as long as `owner`.
///
/// # Safety
/// That they do, and that nothing else needs them to be unshared while the view is in use.
pub(crate) unsafe fn view<'py>(
    owner: &Bound<'py, PyAny>,
    item: &ItemType,
    data: *mut u8,
    len: usize,
    is_writable: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, mut len) = (owner.py(), len as isize);
    let flags = NPY_ARRAY_C_CONTIGUOUS | if is_writable { NPY_ARRAY_WRITEABLE } else { 0 };
    // SAFETY: one dimension, contiguous, memory that outlives the array, a reference to a dtype.
    unsafe {
        let kind = PY_ARRAY_API.get_type_object(py, NpyTypes::PyArray_Type);
        let array = PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            kind,
            item.descr_owned(py),
            1,
            &raw mut len,
            ptr::null_mut(),
            data.cast(),
            flags | NPY_ARRAY_ALIGNED,
            ptr::null_mut(),
        );
        let array = Bound::from_owned_ptr_or_err(py, array)?;
        // The array takes over a reference to its owner, also when this fails.
        if PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_ptr().cast(), owner.clone().into_ptr()) < 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(array)
    }
}

/// Takes the right to write away from a view whose slots are no longer the caller's.
pub(crate) fn freeze(view: &Py<PyAny>) {
    // SAFETY: only called on what `view` made.
    unsafe { (*view.as_ptr().cast::<PyArrayObject>()).flags &= !NPY_ARRAY_WRITEABLE };
}
