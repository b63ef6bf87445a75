//! The consumer's handle.

pub(crate) mod batches;
mod view;

use std::cell::UnsafeCell;
use std::ptr;

use bchan::Receiving;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use self::view::end_view;
use crate::call::Call;
use crate::channel::Channel;
use crate::contents::Contents;
use crate::errors::Closed;
use crate::gate::{Gate, Pass};
use crate::item::ItemType;
use crate::passing::{self, Passed};
use crate::receiving::{Inlet, receive_bits};

/// What a call works on, once the gate has let it in.
struct Inner {
    /// `None` once closed.
    rx: Option<bchan::Consumer>,
    /// The view that `peek` gave, and its length, until released.
    peeked: Option<(Py<PyAny>, usize)>,
}

/// The consumer of a channel. Its hot methods are set by `methods`.
#[pyclass(frozen, subclass, weakref, module = "bchan._core")]
pub(crate) struct Consumer {
    gate: Gate,
    inner: UnsafeCell<Inner>,
    item: ItemType,
    /// Owner of the views, and of messages that are objects.
    contents: Py<Contents>,
}

// SAFETY: `inner` is touched only by a call that holds the gate's pass.
unsafe impl Sync for Consumer {}

impl Consumer {
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

    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "the pass makes it the only reference")]
    fn enter_quickly(&self) -> Option<(Pass<'_>, &mut Inner)> {
        let pass = self.gate.enter_quickly()?;
        // SAFETY: the pass keeps every other call out while this reference is used.
        Some((pass, unsafe { &mut *self.inner.get() }))
    }

    /// Lets a call in that receives, or says why it can't.
    #[inline(always)]
    pub(crate) fn enter_to_receive(&self) -> PyResult<(Pass<'_>, &mut bchan::Consumer)> {
        let (pass, inner) = self.enter()?;
        match (&mut inner.rx, &inner.peeked) {
            (Some(rx), None) => Ok((pass, rx)),
            (_, peeked) => Err(refusal(peeked.is_some())),
        }
    }
}

impl Inlet for Consumer {
    type Handle<'a> = bchan::Consumer;
    type Entry<'a> = Pass<'a>;

    #[inline(always)]
    fn item(&self) -> &ItemType {
        &self.item
    }

    #[inline(always)]
    fn receive_with<T>(
        &self,
        _py: Python<'_>,
        work: impl FnOnce(&mut Call<'_, bchan::Consumer, Pass<'_>>) -> PyResult<T>,
    ) -> PyResult<T> {
        let (entry, handle) = self.enter_to_receive()?;
        work(&mut Call { handle, entry, item: &self.item })
    }

    #[inline(always)]
    fn receive_quickly(&self, py: Python<'_>) -> *mut ffi::PyObject {
        let Some((_pass, inner)) = self.enter_quickly() else { return ptr::null_mut() };
        let (Some(rx), None) = (&mut inner.rx, &inner.peeked) else { return ptr::null_mut() };
        if self.item.is_foreign() {
            return ptr::null_mut();
        }
        let object = receive_bits(py, rx, &self.item);
        if object.is_null() {
            // SAFETY: this thread is attached. If something failed, the long way will fail again.
            unsafe { ffi::PyErr_Clear() };
        }
        object
    }
}

#[cold]
pub(crate) fn refusal(is_peeked: bool) -> PyErr {
    if is_peeked {
        PyRuntimeError::new_err("a view is open: release() it first")
    } else {
        Closed::new_err("this consumer is closed")
    }
}

#[pymethods]
impl Consumer {
    #[new]
    #[pyo3(signature = (channel, ticket=None))]
    fn new(py: Python<'_>, channel: &Channel, ticket: Option<Passed>) -> PyResult<Self> {
        let (core, item) = (channel.core_of_items()?, ItemType::new(channel.descr().bind(py))?);
        let contents = channel.contents().clone_ref(py);
        // Registered last: a consumer that comes and fails would be one that has left.
        let handle = passing::registered(ticket, || core.consumer(), |ticket| core.consumer_of(ticket))?;
        Ok(Self {
            gate: passing::gate(channel, "consumer"),
            inner: UnsafeCell::new(Inner { rx: Some(handle), peeked: None }),
            item,
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
        Ok(inner.peeked.as_ref().is_some_and(|(open, _)| open.is(view)))
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

impl Drop for Consumer {
    fn drop(&mut self) {
        if !self.gate.is_home() {
            // The parent process still uses what we would give back.
            std::mem::forget(self.inner.get_mut().rx.take());
        }
    }
}
