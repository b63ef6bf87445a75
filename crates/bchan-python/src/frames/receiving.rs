//! What the receiving calls do with messages of any length, of a consumer and of a channel that needs none.

use std::ptr;

use bchan::{Frame, ReceivingFrames};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;
use pyo3::{Borrowed, ffi};

use super::buffer::Target;
use super::sending::FrameCall;
use crate::arguments::{Timeout, count};
use crate::call::{CallDeadline, wait};
use crate::detached::{MUCH, Shared, detached};
use crate::errors::{Raise, end_of_channel};
use crate::guard::Entry;
use crate::memory::NewList;
use crate::receiving::EMPTY;

/// Copies the claimed message to `to` and takes it off the channel.
///
/// # Safety
/// `to` must be writable for `len` bytes, the message's length.
#[inline(always)]
pub(crate) unsafe fn copy(
    py: Python<'_>,
    rx: &mut (impl ReceivingFrames + Send),
    entry: &mut impl Entry,
    to: *mut u8,
    len: usize,
) {
    if len < MUCH {
        // SAFETY: as the caller says; the message is ours.
        unsafe { to.copy_from_nonoverlapping(rx.front(), len) };
        return rx.release();
    }
    entry.mark();
    let to = Shared(to);
    detached(py, || {
        // SAFETY: as above.
        unsafe { to.get().copy_from_nonoverlapping(rx.front(), len) };
        rx.release();
    });
}

/// Receives a message as `bytes`, if there is one; null if not, and also, with an exception, if it could not
/// be made: then the message stays.
#[inline(always)]
pub(crate) fn take(
    py: Python<'_>,
    rx: &mut (impl ReceivingFrames + Send),
    entry: &mut impl Entry,
) -> *mut ffi::PyObject {
    let Some(Frame { len, .. }) = rx.claim() else { return ptr::null_mut() };
    // SAFETY: makes bytes not yet written, or sets an exception.
    let bytes = unsafe { ffi::PyBytes_FromStringAndSize(ptr::null(), len as isize) };
    if bytes.is_null() {
        rx.hand_back();
        return bytes;
    }
    // SAFETY: nobody else knows these bytes, unless there are none of them.
    unsafe { copy(py, rx, entry, ffi::PyBytes_AS_STRING(bytes).cast_mut().cast(), len) };
    bytes
}

/// Copies a message into a buffer, if there is one; tells how long it is.
fn fill(
    py: Python<'_>,
    rx: &mut (impl ReceivingFrames + Send),
    entry: &mut impl Entry,
    target: &Target,
) -> PyResult<Option<usize>> {
    let Some(Frame { len, .. }) = rx.claim() else { return Ok(None) };
    if len > target.len() {
        rx.hand_back();
        return Err(too_small(len, target.len()));
    }
    // SAFETY: the buffer has room for the message, and is held.
    unsafe { copy(py, rx, entry, target.data().get(), len) };
    Ok(Some(len))
}

#[cold]
fn too_small(len: usize, room: usize) -> PyErr {
    PyValueError::error(format!(
        "buffer must have room for the next message of {len} bytes, got {room} bytes"
    ))
}

impl<H: ReceivingFrames + Send, E: Entry> FrameCall<'_, H, E> {
    /// Receives a message; null when there is none just now.
    #[inline(always)]
    fn take(&mut self, py: Python<'_>) -> PyResult<*mut ffi::PyObject> {
        let object = take(py, self.handle, &mut self.entry);
        match object.is_null().then(|| PyErr::take(py)).flatten() {
            Some(error) => Err(error),
            None => Ok(object),
        }
    }

    /// Waits until there is a message, or was a moment ago.
    #[cold]
    pub(crate) fn wait_for_message(
        &mut self,
        py: Python<'_>,
        call: &str,
        deadline_of_call: &mut CallDeadline,
    ) -> PyResult<()> {
        let rx = &mut *self.handle;
        if rx.is_ended() {
            return Err(end_of_channel());
        }
        let empty = || EMPTY.to_owned();
        wait(py, &mut self.entry, call, deadline_of_call, empty, |deadline| rx.wait_for_message(deadline))
    }

    /// What `attempt` gives, waiting until it gives something.
    fn receive_by<T>(
        &mut self,
        py: Python<'_>,
        call: &str,
        timeout: Timeout,
        mut attempt: impl FnMut(&mut Self) -> PyResult<Option<T>>,
    ) -> PyResult<T> {
        let mut deadline_of_call = CallDeadline::new(timeout);
        loop {
            match attempt(self)? {
                Some(received) => return Ok(received),
                None => self.wait_for_message(py, call, &mut deadline_of_call)?,
            }
        }
    }

    /// What `attempt` gives, unless the channel has ended.
    fn try_receive_by<T>(
        &mut self,
        attempt: impl FnOnce(&mut Self) -> PyResult<Option<T>>,
    ) -> PyResult<Option<T>> {
        match attempt(self)? {
            None if self.handle.is_ended() => Err(end_of_channel()),
            received => Ok(received),
        }
    }

    fn take_one(&mut self, py: Python<'_>) -> PyResult<Option<*mut ffi::PyObject>> {
        self.take(py).map(|object| (!object.is_null()).then_some(object))
    }

    /// Up to `wanted` messages; `None` when there are none.
    fn take_batch<'py>(&mut self, py: Python<'py>, wanted: usize) -> PyResult<Option<Bound<'py, PyList>>> {
        // To make room may run Python code.
        self.entry.mark();
        let mut messages = NewList::with_room(py, 0)?;
        while messages.len() < wanted {
            match messages.reserve(1).and_then(|()| self.take_one(py)) {
                // SAFETY: a new reference.
                Ok(Some(object)) => messages.push(unsafe { Bound::from_owned_ptr(py, object) }),
                Err(error) if messages.len() == 0 => return Err(error),
                // What could not be made stays, and will fail again.
                _ => break,
            }
        }
        Ok((messages.len() > 0).then(|| messages.into_list()))
    }
}

/// Something whose calls receive messages of any length: a consumer, or a channel that needs none.
pub(crate) trait FrameInlet {
    type Handle<'a>: ReceivingFrames + Send
    where
        Self: 'a;
    type Entry<'a>: Entry
    where
        Self: 'a;

    /// Lets a call in, or says why it can't, and runs it.
    fn receive_with<T>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut FrameCall<'_, Self::Handle<'_>, Self::Entry<'_>>) -> PyResult<T>,
    ) -> PyResult<T>;

    /// Receives a message if nothing is out of the ordinary; null if something is, and then nothing was
    /// done.
    fn receive_fast(&self, py: Python<'_>) -> *mut ffi::PyObject;

    /// The same for a task of an event loop.
    #[inline(always)]
    fn receive_ready(&self, py: Python<'_>) -> PyResult<*mut ffi::PyObject> {
        Ok(self.receive_fast(py))
    }

    #[inline(always)]
    fn try_receive(&self, py: Python<'_>) -> PyResult<*mut ffi::PyObject> {
        let object = self.receive_fast(py);
        if !object.is_null() {
            return Ok(object);
        }
        let received = self.receive_with(py, |call| call.try_receive_by(|call| call.take_one(py)))?;
        Ok(received.unwrap_or(ptr::null_mut()))
    }

    #[inline(always)]
    fn receive(&self, py: Python<'_>, timeout: Timeout) -> PyResult<*mut ffi::PyObject> {
        let object = self.receive_fast(py);
        if object.is_null() { self.receive_any(py, timeout) } else { Ok(object) }
    }

    #[cold]
    fn receive_any(&self, py: Python<'_>, timeout: Timeout) -> PyResult<*mut ffi::PyObject> {
        self.receive_with(py, |call| call.receive_by(py, "receive", timeout, |call| call.take_one(py)))
    }

    fn try_receive_into(&self, buffer: Borrowed<'_, '_, PyAny>) -> PyResult<Option<usize>> {
        let (py, target) = (buffer.py(), Target::of(buffer)?);
        self.receive_with(py, |call| {
            call.try_receive_by(|call| fill(py, call.handle, &mut call.entry, &target))
        })
    }

    fn receive_into(&self, buffer: Borrowed<'_, '_, PyAny>, timeout: Timeout) -> PyResult<usize> {
        let (py, target) = (buffer.py(), Target::of(buffer)?);
        self.receive_with(py, |call| {
            call.receive_by(py, "receive_into", timeout, |call| {
                fill(py, call.handle, &mut call.entry, &target)
            })
        })
    }

    fn receive_batch<'py>(
        &self,
        n: Borrowed<'_, 'py, PyAny>,
        timeout: Timeout,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, wanted) = (n.py(), count(n, "n")?);
        let messages = self.receive_with(py, |call| {
            call.receive_by(py, "receive_batch", timeout, |call| call.take_batch(py, wanted))
        })?;
        Ok(messages.into_any())
    }

    fn try_receive_batch<'py>(&self, n: Borrowed<'_, 'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (py, wanted) = (n.py(), count(n, "n")?);
        let messages =
            self.receive_with(py, |call| call.try_receive_by(|call| call.take_batch(py, wanted)))?;
        match messages {
            Some(messages) => Ok(messages.into_any()),
            None => NewList::with_room(py, 0).map(|none| none.into_list().into_any()),
        }
    }
}
