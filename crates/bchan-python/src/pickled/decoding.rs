//! Objects on their way in: out of a claimed frame first, and unpickled when nothing need be claimed.

use std::ops::Range;

use bchan::{Frame, ReceivingFrames};
use pyo3::exceptions::PyMemoryError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyList};

use super::packed::{Parts, broken};
use super::pickle::loads;
use super::plain::Reader;
use super::{BYTES, FALSE, FLOAT, INT, NONE, PACKED, PICKLE, PLAIN, PLAINS, STR, TRUE};
use crate::detached::{MUCH, Shared, detached};
use crate::guard::Entry;
use crate::made::{list, slice};

/// What came out of a frame.
pub(crate) enum Taken<'py> {
    Object(Bound<'py, PyAny>),
    Pickle(Pickled<'py>),
}

/// A pickle, copied out of its frame, or what it has in place of one.
pub(crate) struct Pickled<'py> {
    pickle: Bound<'py, PyBytes>,
    pub(super) is_plain: bool,
    /// One piece of memory for all buffers, and where each of them is.
    buffers: Option<(Bound<'py, PyByteArray>, Vec<Range<usize>>)>,
    /// Objects of the list that it is; 0 if it is one object.
    pub(super) objects: usize,
    /// Of which of them it is the turn.
    pub(super) place: usize,
}

impl<'py> Taken<'py> {
    /// The object. May run any Python code.
    #[inline(always)]
    pub(crate) fn load(self) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Object(object) => Ok(object),
            Self::Pickle(pickled) => pickled.load(),
        }
    }
}

impl<'py> Pickled<'py> {
    pub(super) fn load(&self) -> PyResult<Bound<'py, PyAny>> {
        if self.is_plain {
            let mut plain = self.plain();
            for _ in 0..self.place {
                plain.read()?;
            }
            return plain.read();
        }
        match self.objects {
            0 => self.loaded(),
            objects => list_of(self.loaded()?, objects)?.get_item(self.place),
        }
    }

    /// The objects of the list that it is, from the one on whose turn it is.
    pub(super) fn load_rest(&self) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let all: Vec<_> = if self.is_plain {
            let mut plain = self.plain();
            (0..self.objects).map(|_| plain.read()).collect::<PyResult<_>>()?
        } else {
            list_of(self.loaded()?, self.objects)?.iter().collect()
        };
        Ok(all.into_iter().skip(self.place).collect())
    }

    fn plain(&self) -> Reader<'py, '_> {
        Reader::new(self.pickle.py(), self.pickle.as_bytes())
    }

    fn loaded(&self) -> PyResult<Bound<'py, PyAny>> {
        let Some((memory, places)) = &self.buffers else { return loads(&self.pickle, None) };
        let py = memory.py();
        // SAFETY: an object with a buffer; null means an exception was set.
        let all = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyMemoryView_FromObject(memory.as_ptr()))? };
        let buffers = list(py, 0, [])?;
        for place in places {
            buffers.append(slice(&all, place.start, place.end)?)?;
        }
        loads(&self.pickle, Some(&buffers))
    }
}

/// `loaded`, which should be a list of so many.
pub(super) fn list_of(loaded: Bound<'_, PyAny>, objects: usize) -> PyResult<Bound<'_, PyList>> {
    let list = loaded.cast_into_exact::<PyList>().map_err(|_| broken())?;
    if list.len() == objects { Ok(list) } else { Err(broken()) }
}

/// What the claimed frame holds; runs no Python code, and leaves it claimed.
#[inline(always)]
pub(super) fn out<'py>(
    py: Python<'py>,
    rx: &impl ReceivingFrames,
    entry: &mut impl Entry,
    frame: Frame,
) -> PyResult<Taken<'py>> {
    let Frame { len, kind } = frame;
    if !matches!(kind, PICKLE | PACKED | PLAIN | PLAINS) {
        return built_in(py, rx.front(), entry, frame).map(Taken::Object);
    }
    let is_plain = matches!(kind, PLAIN | PLAINS);
    if matches!(kind, PICKLE | PLAIN) {
        let pickle = bytes(py, entry, rx.front(), len)?;
        return Ok(Taken::Pickle(Pickled { pickle, is_plain, buffers: None, objects: 0, place: 0 }));
    }
    let parts = parts(rx, len)?;
    let (pickle, all) = (pickle(py, rx, entry, &parts, len)?, parts.all_buffers());
    let relative = |place: Range<usize>| place.start - all.start..place.end - all.start;
    let buffers = match parts.buffers.is_empty() {
        true => None,
        false => {
            // SAFETY: the frame is claimed, and the parts are within it.
            let memory = unsafe { bytearray(py, entry, rx.front().add(all.start), all.len())? };
            Some((memory, parts.buffers.into_iter().map(relative).collect()))
        }
    };
    let place = usize::from(rx.progress());
    Ok(Taken::Pickle(Pickled { pickle, is_plain, buffers, objects: parts.objects, place }))
}

/// The parts of the claimed frame, one of several.
pub(super) fn parts(rx: &impl ReceivingFrames, len: usize) -> PyResult<Parts> {
    // SAFETY: the frame is claimed, and that long.
    let parts = unsafe { Parts::read(rx.front(), len)? };
    let is_over = parts.objects > 0 && usize::from(rx.progress()) >= parts.objects;
    if is_over { Err(broken()) } else { Ok(parts) }
}

/// The pickle of the claimed frame of these parts.
pub(super) fn pickle<'py>(
    py: Python<'py>,
    rx: &impl ReceivingFrames,
    entry: &mut impl Entry,
    parts: &Parts,
    len: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    // SAFETY: the frame is claimed, and the parts are within it.
    bytes(py, entry, unsafe { rx.front().add(parts.pickle) }, len - parts.pickle)
}

/// An object that came without a pickle.
#[inline(always)]
fn built_in<'py>(
    py: Python<'py>,
    front: *const u8,
    entry: &mut impl Entry,
    frame: Frame,
) -> PyResult<Bound<'py, PyAny>> {
    let Frame { len, kind } = frame;
    // SAFETY: the frame is claimed and that long. Each call makes an object, or sets an exception.
    unsafe {
        let object = match (kind, len) {
            (INT, 8) => ffi::PyLong_FromLongLong(front.cast::<i64>().read_unaligned()),
            (FLOAT, 8) => ffi::PyFloat_FromDouble(front.cast::<f64>().read_unaligned()),
            (STR, _) => {
                // What is no UTF-8 is an exception: to make it may run the garbage collector.
                entry.mark();
                ffi::PyUnicode_DecodeUTF8(front.cast(), len as isize, c"strict".as_ptr())
            }
            (BYTES, _) => return bytes(py, entry, front, len).map(Bound::into_any),
            (NONE, 0) => ffi::Py_NewRef(ffi::Py_None()),
            (FALSE, 0) => ffi::Py_NewRef(ffi::Py_False()),
            (TRUE, 0) => ffi::Py_NewRef(ffi::Py_True()),
            _ => return Err(broken()),
        };
        Bound::from_owned_ptr_or_err(py, object)
    }
}

/// A copy of claimed bytes.
#[inline(always)]
fn bytes<'py>(
    py: Python<'py>,
    entry: &mut impl Entry,
    from: *const u8,
    len: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    // SAFETY: makes bytes not yet written, or sets an exception. Nobody else knows them, unless there are
    // none, and they were claimed to be read.
    unsafe {
        let new = ffi::PyBytes_FromStringAndSize(std::ptr::null(), len as isize);
        let new = Bound::from_owned_ptr_or_err(py, new)?;
        copy(py, entry, from, ffi::PyBytes_AS_STRING(new.as_ptr()).cast_mut().cast(), len);
        Ok(new.cast_into_unchecked())
    }
}

/// The same, in memory that can be written to.
///
/// # Safety
/// As [`copy`], of `from`.
unsafe fn bytearray<'py>(
    py: Python<'py>,
    entry: &mut impl Entry,
    from: *const u8,
    len: usize,
) -> PyResult<Bound<'py, PyByteArray>> {
    // SAFETY: as for bytes.
    unsafe {
        let new = ffi::PyByteArray_FromStringAndSize(std::ptr::null(), len as isize);
        let new = Bound::from_owned_ptr_or_err(py, new)?;
        copy(py, entry, from, ffi::PyByteArray_AsString(new.as_ptr()).cast(), len);
        Ok(new.cast_into_unchecked())
    }
}

/// Copies claimed bytes; much of them without the GIL.
///
/// # Safety
/// `from` must be readable and `to` writable for `len` bytes.
#[inline(always)]
unsafe fn copy(py: Python<'_>, entry: &mut impl Entry, from: *const u8, to: *mut u8, len: usize) {
    if len < MUCH {
        // SAFETY: as the caller says.
        return unsafe { to.copy_from_nonoverlapping(from, len) };
    }
    entry.mark();
    let (from, to) = (Shared(from.cast_mut()), Shared(to));
    // SAFETY: as above.
    detached(py, || unsafe { to.get().copy_from_nonoverlapping(from.get(), len) });
}

/// Takes the message whose turn it was off the channel, and the frame with it if that was its last.
pub(super) fn step(rx: &mut impl ReceivingFrames, objects: usize) -> bool {
    let done = usize::from(rx.progress()) + 1;
    if done >= objects {
        rx.release();
        return true;
    }
    rx.say_progress(done as u8);
    false
}

/// What becomes of a claimed frame that could not be read: for want of memory it stays, else it goes.
#[cold]
pub(super) fn failed(py: Python<'_>, rx: &mut impl ReceivingFrames, error: PyErr) -> PyErr {
    match error.is_instance_of::<PyMemoryError>(py) {
        true => rx.hand_back(),
        false => rx.release(),
    }
    error
}
