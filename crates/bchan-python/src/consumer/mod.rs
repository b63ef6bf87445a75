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
use crate::errors::{Closed, from_handle};
use crate::gate::{Gate, Pass};
use crate::item::ItemType;
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
        let (entry, inner) = self.enter()?;
        match (&mut inner.rx, &inner.peeked) {
            (Some(rx), None) => work(&mut Call { handle: rx, entry, item: &self.item }),
            (_, peeked) => Err(refusal(peeked.is_some())),
        }
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
fn refusal(is_peeked: bool) -> PyErr {
    if is_peeked {
        PyRuntimeError::new_err("a view is open: release() it first")
    } else {
        Closed::new_err("this consumer is closed")
    }
}

#[pymethods]
impl Consumer {
    #[new]
    fn new(py: Python<'_>, channel: &Channel) -> PyResult<Self> {
        let core = channel.core()?;
        let (item, contents) = (ItemType::new(channel.descr().bind(py))?, channel.contents().clone_ref(py));
        let rx = core.consumer().map_err(from_handle)?;
        Ok(Self {
            gate: Gate::new("consumer"),
            inner: UnsafeCell::new(Inner { rx: Some(rx), peeked: None }),
            item,
            contents,
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
        self.contents.get().channel.disarm(alarm);
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
