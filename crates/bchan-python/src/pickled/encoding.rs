//! Objects on their way out.

use std::marker::PhantomData;
use std::ptr;

use bchan::{Frame, SendError, SendingFrames};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3::{Borrowed, ffi};

use super::packed::Parts;
use super::pickle::dumps;
use super::{BYTES, FALSE, FLOAT, INT, NONE, PACKED, PICKLE, PLAIN, PLAINS, STR, TRUE, plain};
use crate::detached::Attached;
use crate::frames::buffer::{Held, Payload, too_long};
use crate::made;

/// What a frame of this channel is made of: one object, or several. Its bytes stay where they are while
/// it lives.
pub(crate) struct Encoded<'a> {
    kind: u8,
    len: usize,
    body: Body,
    _lent: PhantomData<&'a ()>,
}

enum Body {
    Bits([u8; 8]),
    /// The insides of the caller's object, which does not change.
    Lent(*const u8),
    Pickle(Pickled),
    Plain(Vec<u8>),
    Parts {
        parts: Parts,
        buffers: Vec<Held>,
        pickle: Pickled,
    },
}

/// A pickle, whose bytes can be read without the GIL.
struct Pickled {
    data: *const u8,
    len: usize,
    _bytes: Attached,
}

impl Pickled {
    fn new(pickle: Bound<'_, PyBytes>) -> Self {
        let (data, len) = (pickle.as_bytes().as_ptr(), pickle.as_bytes().len());
        Self { data, len, _bytes: Attached::new(pickle.into_any().unbind()) }
    }
}

// SAFETY: its bytes are held, and what holds them is dropped by an attached thread.
unsafe impl Send for Encoded<'_> {}
// SAFETY: as above.
unsafe impl Sync for Encoded<'_> {}

impl<'a> Encoded<'a> {
    /// `object` if it is a built-in that needs no pickle; runs no Python code.
    #[inline(always)]
    pub(crate) fn quick(object: Borrowed<'a, '_, PyAny>) -> Option<Self> {
        let object = object.as_ptr();
        // SAFETY: asked for the insides of a class once it is just that.
        unsafe {
            if ffi::PyLong_CheckExact(object) != 0 {
                let mut overflow = 0;
                let value = ffi::PyLong_AsLongLongAndOverflow(object, &raw mut overflow);
                return (overflow == 0).then(|| Self::bits(INT, value.to_ne_bytes()));
            }
            if ffi::PyFloat_CheckExact(object) != 0 {
                return Some(Self::bits(FLOAT, ffi::PyFloat_AS_DOUBLE(object).to_ne_bytes()));
            }
            if ffi::PyUnicode_CheckExact(object) != 0 {
                return Self::text(object);
            }
            if ffi::PyBytes_CheckExact(object) != 0 {
                let data = ffi::PyBytes_AS_STRING(object).cast();
                return Some(Self::new(BYTES, ffi::Py_SIZE(object) as usize, Body::Lent(data)));
            }
            let kind = match object {
                none if none == ffi::Py_None() => NONE,
                no if no == ffi::Py_False() => FALSE,
                yes if yes == ffi::Py_True() => TRUE,
                _ => return None,
            };
            Some(Self::new(kind, 0, Body::Bits([0; 8])))
        }
    }

    #[inline(always)]
    fn new(kind: u8, len: usize, body: Body) -> Self {
        Self { kind, len, body, _lent: PhantomData }
    }

    #[inline(always)]
    fn bits(kind: u8, bits: [u8; 8]) -> Self {
        Self::new(kind, 8, Body::Bits(bits))
    }

    /// A string, if it is one of characters: with halves of some it is left to `pickle`.
    ///
    /// # Safety
    /// `object` must be a `str`.
    #[inline(always)]
    unsafe fn text(object: *mut ffi::PyObject) -> Option<Self> {
        let mut len = 0;
        // SAFETY: as the caller says. The bytes are the string's own; null means an exception was set.
        unsafe {
            let data = ffi::PyUnicode_AsUTF8AndSize(object, &raw mut len);
            if data.is_null() {
                ffi::PyErr_Clear();
                return None;
            }
            Some(Self::new(STR, len as usize, Body::Lent(data.cast())))
        }
    }

    /// Any object, at most `most` long. May run Python code, so it comes before any claim, and goes after it.
    #[inline(always)]
    pub(crate) fn of(object: Borrowed<'a, 'a, PyAny>, most: usize) -> PyResult<Self> {
        let encoded = match Self::quick(object) {
            Some(encoded) => encoded,
            None => match Self::plain(&object) {
                Some(encoded) => encoded,
                None => Self::pickled(&object, 0, most)?,
            },
        };
        if encoded.len <= most { Ok(encoded) } else { Err(too_long(encoded.len, most)) }
    }

    /// Several objects, as one list, if they are no longer than `most`.
    pub(super) fn batch(objects: &[Bound<'a, PyAny>], most: usize) -> PyResult<Option<Self>> {
        let [first, ..] = objects else { return Ok(None) };
        if let Some(encoded) = Self::plains(objects) {
            return Ok((encoded.len <= most).then_some(encoded));
        }
        let list = made::list(first.py(), objects.len(), objects.iter().cloned().map(Ok))?;
        let encoded = Self::pickled(list.as_any(), objects.len(), most)?;
        Ok((encoded.len <= most).then_some(encoded))
    }

    /// A small tree of built-ins; runs no Python code.
    fn plain(object: &Bound<'a, PyAny>) -> Option<Self> {
        let mut bytes = Vec::new();
        plain::write(object, &mut bytes).then(|| Self::new(PLAIN, bytes.len(), Body::Plain(bytes)))
    }

    /// Several of them.
    fn plains(objects: &[Bound<'a, PyAny>]) -> Option<Self> {
        let parts = Parts::of(objects.len(), std::iter::empty())?;
        let mut bytes: Vec<u8> = parts.head().flatten().collect();
        let is_plain = objects.iter().all(|object| plain::write(object, &mut bytes));
        is_plain.then(|| Self::new(PLAINS, bytes.len(), Body::Plain(bytes)))
    }

    fn pickled(object: &Bound<'a, PyAny>, objects: usize, most: usize) -> PyResult<Self> {
        let (pickle, apart) = dumps(object)?;
        let bytes = pickle.as_bytes().len();
        if objects == 0 && apart.is_empty() {
            return Ok(Self::new(PICKLE, bytes, Body::Pickle(Pickled::new(pickle))));
        }
        let hold = |buffer: Bound<'a, PyAny>| {
            let flags = ffi::PyBUF_ANY_CONTIGUOUS;
            Held::new(buffer.as_borrowed(), flags, "buffer of a message", "contiguous")
        };
        let buffers = apart.iter().map(hold).collect::<PyResult<Vec<_>>>()?;
        let parts = Parts::of(objects, buffers.iter().map(Held::len));
        let parts = parts.ok_or_else(|| too_long(usize::MAX, most))?;
        let len = parts.pickle.saturating_add(bytes);
        Ok(Self::new(PACKED, len, Body::Parts { parts, buffers, pickle: Pickled::new(pickle) }))
    }

    /// The same, for one who keeps the object that it was made of.
    pub(super) fn kept(self) -> Encoded<'static> {
        Encoded { kind: self.kind, len: self.len, body: self.body, _lent: PhantomData }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Its bytes, if they are in one piece.
    #[inline(always)]
    fn piece(&self) -> Option<*const u8> {
        match &self.body {
            Body::Bits(bits) => Some(bits.as_ptr()),
            Body::Lent(data) => Some(*data),
            Body::Pickle(pickle) => Some(pickle.data),
            Body::Plain(bytes) => Some(bytes.as_ptr()),
            Body::Parts { .. } => None,
        }
    }
}

impl Payload for Encoded<'_> {
    #[inline(always)]
    fn frame(&self) -> Frame {
        Frame { len: self.len, kind: self.kind }
    }

    unsafe fn write_to(&self, room: *mut u8) {
        if let Some(piece) = self.piece() {
            // SAFETY: as the caller says; there are that many bytes, which are held.
            return unsafe { room.copy_from_nonoverlapping(piece, self.len) };
        }
        let Body::Parts { parts, buffers, pickle } = &self.body else { return };
        // SAFETY: the parts lie one after the other, and end with the frame, for which there is room.
        unsafe {
            for (n, word) in parts.head().enumerate() {
                ptr::copy_nonoverlapping(word.as_ptr(), room.add(n * word.len()), word.len());
            }
            for (place, buffer) in parts.buffers.iter().zip(buffers) {
                ptr::copy_nonoverlapping(buffer.data(), room.add(place.start), place.len());
            }
            ptr::copy_nonoverlapping(pickle.data, room.add(parts.pickle), pickle.len);
        }
    }

    #[inline(always)]
    fn put(&self, tx: &mut impl SendingFrames) -> Result<bool, SendError> {
        if let Some(piece) = self.piece() {
            // SAFETY: there are that many bytes, which are held.
            return unsafe { tx.try_send_from(piece, self.frame()) };
        }
        if !tx.claim(self.len) {
            return if tx.is_closed() { Err(tx.send_error()) } else { Ok(false) };
        }
        // SAFETY: the room is ours alone, and large enough.
        unsafe { self.write_to(tx.room()) };
        tx.commit(self.frame()).map(|()| true)
    }
}
