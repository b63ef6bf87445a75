//! The handle of a consumer of bytes.

use std::cell::UnsafeCell;
use std::ptr;

use bchan::{FrameConsumer, ReceivingFrames};
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::{Borrowed, ffi};

use super::lease;
use super::receiving::{FrameInlet, take};
use super::sending::FrameCall;
use crate::arguments::{Timeout, count_from};
use crate::call::Patience;
use crate::channel::Channel;
use crate::consumer::refusal;
use crate::contents::Contents;
use crate::detached::Attached;
use crate::errors::{end_of_channel, must_be};
use crate::gate::{Gate, Pass};
use crate::passing::{self, Passed};
use crate::receiving::unless_ended;

/// What a call works on, once the gate has let it in.
struct Inner {
    /// `None` once closed.
    rx: Option<FrameConsumer>,
    /// The view that `peek` gave, until released.
    peeked: Option<Py<PyAny>>,
}

/// The consumer of a channel of bytes. Its hot methods are set by `methods`.
#[pyclass(frozen, subclass, weakref, module = "bchan._core")]
pub(crate) struct BytesConsumer {
    gate: Gate,
    inner: UnsafeCell<Inner>,
    /// Owner of the views.
    contents: Py<Contents>,
}

// SAFETY: `inner` is touched only by a call that holds the gate's pass.
unsafe impl Sync for BytesConsumer {}

impl BytesConsumer {
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "the pass makes it the only reference")]
    fn enter(&self) -> PyResult<(Pass<'_>, &mut Inner)> {
        if self.gate.is_fresh() {
            passing::begin(&self.gate, || {
                // SAFETY: the gate keeps every other call out meanwhile.
                unsafe { &mut *self.inner.get() }.rx.as_mut().expect("it is open")
            })?;
        }
        let pass = self.gate.enter()?;
        // SAFETY: the pass keeps every other call out while this reference is used.
        Ok((pass, unsafe { &mut *self.inner.get() }))
    }

    /// A read-only view of the next message, waiting for it.
    pub(crate) fn peek<'py>(&self, py: Python<'py>, timeout: Timeout) -> PyResult<Bound<'py, PyAny>> {
        let (mut pass, inner) = self.enter()?;
        let mut patience = Patience::new(timeout);
        loop {
            if let Some(view) = self.look(py, inner)? {
                return Ok(view);
            }
            let Some(handle) = &mut inner.rx else { return Err(refusal(false)) };
            let mut call = FrameCall { handle, entry: pass };
            call.wait_for_message(py, "peek", &mut patience)?;
            pass = call.entry;
        }
    }

    /// A read-only view of the next message; `None` when there is none.
    pub(crate) fn try_peek<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (_pass, inner) = self.enter()?;
        let view = self.look(py, inner)?;
        let is_ended = view.is_none() && inner.rx.as_mut().is_some_and(ReceivingFrames::is_ended);
        if is_ended { Err(end_of_channel()) } else { Ok(view) }
    }

    fn look<'py>(&self, py: Python<'py>, inner: &mut Inner) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (Some(rx), None) = (&mut inner.rx, &inner.peeked) else {
            return Err(refusal(inner.peeked.is_some()));
        };
        let Some(frame) = rx.peek() else { return Ok(None) };
        // SAFETY: the message stays until released; `contents` keeps it mapped; it is read-only.
        let view = unsafe { lease::view(self.contents.bind(py), rx.front().cast_mut(), frame.len, false) };
        let view = view.inspect_err(|_| rx.hand_back())?;
        inner.peeked = Some(view.clone().unbind());
        Ok(Some(view))
    }

    /// Ends the view of `peek` and lets go of its message, unless `n` is 0: then it comes again.
    pub(crate) fn release(&self, n: Option<Borrowed<'_, '_, PyAny>>) -> PyResult<()> {
        let n = n.map_or(Ok(1), |n| count_from(n, "n", 0))?;
        let (pass, inner) = self.enter()?;
        let (Some(rx), Some(_)) = (&mut inner.rx, &inner.peeked) else {
            return Err(PyRuntimeError::new_err("release() needs an open view: call peek() first"));
        };
        match n {
            0 => rx.hand_back(),
            1 => rx.release(),
            _ => return Err(must_be("n", "at most 1, the message that is looked at", n)),
        }
        let view = end_view(inner);
        // The view goes last: that may run Python code, which then meets a handle at rest.
        drop(pass);
        drop(view);
        Ok(())
    }
}

/// Ends the view, if there is one, and gives it.
fn end_view(inner: &mut Inner) -> Option<Attached> {
    inner.peeked.take().map(Attached::new)
}

impl FrameInlet for BytesConsumer {
    type Handle<'a> = FrameConsumer;
    type Entry<'a> = Pass<'a>;

    #[inline(always)]
    fn receive_with<T>(
        &self,
        _py: Python<'_>,
        work: impl FnOnce(&mut FrameCall<'_, FrameConsumer, Pass<'_>>) -> PyResult<T>,
    ) -> PyResult<T> {
        let (entry, inner) = self.enter()?;
        match (&mut inner.rx, &inner.peeked) {
            (Some(handle), None) => work(&mut FrameCall { handle, entry }),
            (_, peeked) => Err(refusal(peeked.is_some())),
        }
    }

    #[inline(always)]
    fn receive_quickly(&self, py: Python<'_>) -> *mut ffi::PyObject {
        let Some(mut pass) = self.gate.enter_quickly() else { return ptr::null_mut() };
        // SAFETY: the pass keeps every other call out while this reference is used.
        let inner = unsafe { &mut *self.inner.get() };
        let (Some(rx), None) = (&mut inner.rx, &inner.peeked) else { return ptr::null_mut() };
        let object = take(py, rx, &mut pass);
        if object.is_null() {
            // SAFETY: this thread is attached. If something failed, the long way will fail again.
            unsafe { ffi::PyErr_Clear() };
        }
        object
    }
}

#[pymethods]
impl BytesConsumer {
    #[new]
    #[pyo3(signature = (channel, ticket=None))]
    fn new(py: Python<'_>, channel: &Channel, ticket: Option<Passed>) -> PyResult<Self> {
        let core = channel.framed_core()?;
        let contents = channel.contents().clone_ref(py);
        // Registered last: a consumer that comes and fails would be one that has left.
        let take = |ticket| core.frame_consumer_of(ticket);
        let handle = passing::registered(ticket, || core.frame_consumer(), take)?;
        Ok(Self {
            gate: passing::gate(channel, "consumer"),
            inner: UnsafeCell::new(Inner { rx: Some(handle), peeked: None }),
            contents,
        })
    }

    /// `(seat, word)`, with which another process takes this handle over that was never used.
    fn _ticket(&self) -> PyResult<Passed> {
        passing::ticket(&self.gate, || {
            // SAFETY: the gate keeps every other call out meanwhile.
            unsafe { &mut *self.inner.get() }.rx.as_mut().expect("it is open")
        })
    }

    #[allow(clippy::unnecessary_wraps, reason = "as PyO3 wants it")]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.contents)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let object = self.receive_or_end(py)?;
        // SAFETY: a new reference, or null.
        Ok(unsafe { Bound::from_owned_ptr_or_opt(py, object) }.map(Bound::unbind))
    }

    /// Closes this handle; the next consumer goes on where it was. Closing twice is harmless.
    fn close(&self) -> PyResult<()> {
        if self.gate.close_fresh() {
            // SAFETY: the gate is closed, and nobody is inside.
            drop(unsafe { &mut *self.inner.get() }.rx.take());
        }
        if self.gate.is_closed() {
            return Ok(());
        }
        let (pass, inner) = self.enter()?;
        let (view, rx) = (end_view(inner), inner.rx.take());
        pass.close();
        drop(rx);
        drop(view);
        Ok(())
    }

    /// Whether this is the open view.
    fn _is_open(&self, view: &Bound<'_, PyAny>) -> PyResult<bool> {
        if self.gate.is_closed() {
            return Ok(false);
        }
        let (_pass, inner) = self.enter()?;
        Ok(inner.peeked.as_ref().is_some_and(|open| open.is(view)))
    }

    /// Has an eventfd written once there may be a message, unless there may be now: then true.
    fn _arm_receive(&self, alarm: i32) -> PyResult<bool> {
        let (_pass, inner) = self.enter()?;
        Ok(inner.rx.as_mut().is_none_or(|rx| rx.arm(alarm)))
    }

    /// Takes back what `_arm_receive` did; harmless if there is nothing to take back.
    fn _disarm_receive(&self, alarm: i32) {
        self.contents.get().disarm(alarm);
    }

    /// Whether this handle was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.gate.is_closed()
    }
}

impl Drop for BytesConsumer {
    fn drop(&mut self) {
        if !self.gate.is_home() {
            // The parent process still uses what we would give back.
            std::mem::forget(self.inner.get_mut().rx.take());
        }
    }
}

/// Iterator over new lists of what is there, until the end of the channel.
#[pyclass(frozen, module = "bchan._core")]
pub(crate) struct BytesBatches {
    consumer: Py<BytesConsumer>,
    n: Py<PyAny>,
}

#[pymethods]
impl BytesBatches {
    #[new]
    fn new(consumer: Py<BytesConsumer>, n: Py<PyAny>) -> Self {
        Self { consumer, n }
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let batch = self.consumer.get().receive_batch(self.n.bind_borrowed(py), Timeout::Never);
        unless_ended(py, batch)
    }
}
