//! Messages in Python's memory: bytes, or anything with a contiguous buffer.

use std::ffi::CStr;
use std::marker::PhantomData;

use bchan::{Frame, SendError, SendingFrames};
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyBufferError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::{Borrowed, ffi};

use crate::arguments::describe;
use crate::detached::Shared;
use crate::errors::{Raise, must_be};

/// What a frame is made of.
pub(crate) trait Payload: Sync {
    fn frame(&self) -> Frame;

    /// Writes all of it to the room for it; runs no Python code.
    ///
    /// # Safety
    /// `room` must be writable for the frame's length.
    unsafe fn write_to(&self, room: *mut u8);

    /// Copies it into the ring if there is room; tells whether.
    fn put(&self, tx: &mut impl SendingFrames) -> Result<bool, SendError>;
}

/// A message on its way out. Its bytes stay where they are while it lives; others may write them.
pub(crate) struct Message<'a> {
    data: *const u8,
    pub(crate) len: usize,
    /// What keeps them there, unless the caller's `bytes` do.
    _held: Option<Held>,
    _lent: PhantomData<&'a ()>,
}

impl<'a> Message<'a> {
    /// The bytes of `object` if it is just a `bytes`; runs no Python code.
    #[inline(always)]
    pub(crate) fn quick(object: Borrowed<'a, '_, PyAny>) -> Option<Self> {
        let object = object.as_ptr();
        // SAFETY: asked for the fields of `bytes` once it is one.
        unsafe {
            (ffi::PyBytes_CheckExact(object) != 0).then(|| Self {
                data: ffi::PyBytes_AS_STRING(object).cast(),
                len: ffi::Py_SIZE(object) as usize,
                _held: None,
                _lent: PhantomData,
            })
        }
    }

    /// The bytes of any contiguous buffer, at most `most`. May run Python code, so it comes before any
    /// claim, and goes after it.
    #[inline(always)]
    pub(crate) fn of(object: Borrowed<'a, '_, PyAny>, most: usize) -> PyResult<Self> {
        let message = match Self::quick(object) {
            Some(message) => message,
            None => Self::of_buffer(object)?,
        };
        if message.len <= most { Ok(message) } else { Err(too_long(message.len, most)) }
    }

    #[cold]
    fn of_buffer(object: Borrowed<'a, '_, PyAny>) -> PyResult<Self> {
        let held = Held::new(object, ffi::PyBUF_SIMPLE, "message", "a contiguous buffer, as bytes are")?;
        let (data, len) = (held.data(), held.len());
        Ok(Self { data, len, _held: Some(held), _lent: PhantomData })
    }
}

// SAFETY: its bytes are held, and what holds them is dropped by an attached thread.
unsafe impl Sync for Message<'_> {}

impl Payload for Message<'_> {
    #[inline(always)]
    fn frame(&self) -> Frame {
        Frame { len: self.len, kind: 0 }
    }

    #[inline(always)]
    unsafe fn write_to(&self, room: *mut u8) {
        // SAFETY: as the caller says; the message has that many bytes, which are held.
        unsafe { room.copy_from_nonoverlapping(self.data, self.len) };
    }

    #[inline(always)]
    fn put(&self, tx: &mut impl SendingFrames) -> Result<bool, SendError> {
        // SAFETY: the message has that many bytes.
        unsafe { tx.try_send_from(self.data, self.frame()) }
    }
}

#[cold]
pub(crate) fn too_long(len: usize, most: usize) -> PyErr {
    must_be("message", format_args!("at most {most} bytes (max_message_size) long"), len)
}

/// Where a message is to go: a writable buffer.
pub(crate) struct Target(Held);

impl Target {
    pub(crate) fn of(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        Held::new(object, ffi::PyBUF_WRITABLE, "buffer", "a writable, contiguous buffer").map(Self)
    }

    pub(crate) fn data(&self) -> Shared {
        Shared(self.0.0.buf.cast())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A buffer that its owner may not move or resize meanwhile. Boxed, because it may point to itself.
pub(crate) struct Held(Box<ffi::Py_buffer>);

impl Held {
    pub(crate) fn data(&self) -> *const u8 {
        self.0.buf.cast()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len as usize
    }

    pub(crate) fn new(
        object: Borrowed<'_, '_, PyAny>,
        flags: i32,
        name: &str,
        limit: &str,
    ) -> PyResult<Self> {
        let py = object.py();
        // SAFETY: `object` is an object.
        if unsafe { ffi::PyObject_CheckBuffer(object.as_ptr()) } == 0 {
            return Err(PyTypeError::error(format!("{name} must be {limit}, got {}", describe(object))));
        }
        let held = Self::get(object, flags).map_err(|error| match is_refusal(&error, py) {
            true => PyValueError::error(format!("{name} must be {limit}: {}", error.value(py))),
            false => error,
        })?;
        match held.is_of_objects(object) {
            true => Err(PyTypeError::error(format!(
                "{name} must be {limit}, without references to objects, got {}",
                describe(object)
            ))),
            false => Ok(held),
        }
    }

    /// The buffer, with its format if it isn't an array's and its owner can tell it.
    fn get(object: Borrowed<'_, '_, PyAny>, flags: i32) -> PyResult<Self> {
        let with_flags = |flags| {
            let mut held = Box::new(ffi::Py_buffer::new());
            // SAFETY: an object with buffers; a failure leaves an exception.
            match unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), &raw mut *held, flags) } {
                0 => Ok(Self(held)),
                _ => Err(PyErr::fetch(object.py())),
            }
        };
        if object.cast::<PyUntypedArray>().is_ok() {
            return with_flags(flags);
        }
        with_flags(flags | ffi::PyBUF_ND | ffi::PyBUF_FORMAT).or_else(|error| {
            match is_refusal(&error, object.py()) {
                true => with_flags(flags),
                false => Err(error),
            }
        })
    }

    /// Whether it has references to objects: their bytes are nothing that may be sent or overwritten.
    fn is_of_objects(&self, object: Borrowed<'_, '_, PyAny>) -> bool {
        match object.cast::<PyUntypedArray>() {
            Ok(array) => array.dtype().has_object(),
            Err(_) if self.0.format.is_null() => false,
            // SAFETY: a string that the buffer keeps.
            Err(_) => has_objects(unsafe { CStr::from_ptr(self.0.format) }.to_bytes()),
        }
    }
}

/// Whether an owner says that it has no such buffer.
fn is_refusal(error: &PyErr, py: Python<'_>) -> bool {
    error.is_instance_of::<PyBufferError>(py) || error.is_instance_of::<PyValueError>(py)
}

/// Whether a format, as that of `struct` with names between colons, has the code of objects.
fn has_objects(format: &[u8]) -> bool {
    format.split(|&byte| byte == b':').step_by(2).any(|codes| codes.contains(&b'O'))
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: it is held, and methods run attached.
        unsafe { ffi::PyBuffer_Release(&raw mut *self.0) };
    }
}
