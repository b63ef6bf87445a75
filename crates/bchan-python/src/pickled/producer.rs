//! The handle of a producer of objects for any process.

use std::cell::UnsafeCell;

use bchan::{FrameProducer, SendingFrames};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::sending::len_of;
use crate::channel::Channel;
use crate::contents::Contents;
use crate::frames::buffer::Payload;
use crate::frames::sending::{FrameCall, FrameOutlet};
use crate::gate::{Gate, Pass};
use crate::passing::{self, Passed};
use crate::producer::refusal;

/// A registered producer of pickled objects. Its hot methods are set by `methods`.
#[pyclass(frozen, subclass, weakref, module = "bchan._core")]
pub(crate) struct PickledProducer {
    gate: Gate,
    /// `None` once closed.
    tx: UnsafeCell<Option<FrameProducer>>,
    /// Bytes of the longest message.
    most: usize,
    contents: Py<Contents>,
}

// SAFETY: `tx` is touched only by a call that holds the gate's pass.
unsafe impl Sync for PickledProducer {}

impl PickledProducer {
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "the pass makes it the only reference")]
    fn enter(&self) -> PyResult<(Pass<'_>, &mut Option<FrameProducer>)> {
        if self.gate.is_fresh() {
            passing::begin(&self.gate, || {
                // SAFETY: the gate keeps every other call out meanwhile.
                unsafe { &mut *self.tx.get() }.as_mut().expect("it is open")
            })?;
        }
        let pass = self.gate.enter()?;
        // SAFETY: the pass keeps every other call out while this reference is used.
        Ok((pass, unsafe { &mut *self.tx.get() }))
    }
}

impl FrameOutlet for PickledProducer {
    type Handle<'a> = FrameProducer;
    type Entry<'a> = Pass<'a>;

    #[inline(always)]
    fn send_with<T>(
        &self,
        _py: Python<'_>,
        work: impl FnOnce(&mut FrameCall<'_, FrameProducer, Pass<'_>>) -> PyResult<T>,
    ) -> PyResult<T> {
        let (entry, tx) = self.enter()?;
        let handle = tx.as_mut().ok_or_else(|| refusal(false))?;
        work(&mut FrameCall { handle, entry })
    }

    #[inline(always)]
    fn send_quickly(&self, message: &impl Payload) -> bool {
        let Some(_pass) = self.gate.enter_quickly() else { return false };
        // SAFETY: the pass keeps every other call out while this reference is used.
        let tx = unsafe { &mut *self.tx.get() };
        let Some(tx) = tx else { return false };
        message.frame().len <= self.most && message.put(tx) == Ok(true)
    }

    fn most(&self) -> usize {
        self.most
    }
}

#[pymethods]
impl PickledProducer {
    #[new]
    #[pyo3(signature = (channel, ticket=None))]
    fn new(py: Python<'_>, channel: &Channel, ticket: Option<Passed>) -> PyResult<Self> {
        let core = channel.pickled_core()?;
        let contents = channel.contents().clone_ref(py);
        // Registered last: a producer that comes and fails would be one that has left.
        let take = |ticket| core.frame_producer_of(ticket);
        let handle = passing::registered(ticket, || core.frame_producer(), take)?;
        Ok(Self {
            gate: passing::gate(channel, "producer"),
            tx: UnsafeCell::new(Some(handle)),
            most: core.max_len(),
            contents,
        })
    }

    /// `(seat, word)`, with which another process takes this handle over that was never used.
    fn _ticket(&self) -> PyResult<Passed> {
        passing::ticket(&self.gate, || {
            // SAFETY: the gate keeps every other call out meanwhile.
            unsafe { &mut *self.tx.get() }.as_mut().expect("it is open")
        })
    }

    #[allow(clippy::unnecessary_wraps, reason = "as PyO3 wants it")]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.contents)
    }

    /// Closes this handle and gives its place back; what it sent stays. Closing twice is harmless.
    fn close(&self) -> PyResult<()> {
        if self.gate.close_fresh() {
            // SAFETY: the gate is closed, and nobody is inside.
            drop(unsafe { &mut *self.tx.get() }.take());
        }
        if self.gate.is_closed() {
            return Ok(());
        }
        let (pass, tx) = self.enter()?;
        let tx = tx.take();
        pass.close();
        drop(tx);
        Ok(())
    }

    /// Has an eventfd written once there may be room for the object, unless there may be now: then true.
    #[pyo3(signature = (alarm, item=None))]
    fn _arm_send(&self, alarm: i32, item: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
        let len = len_of(self, item.as_ref().map(Bound::as_borrowed))?;
        let (_pass, tx) = self.enter()?;
        Ok(tx.as_mut().is_none_or(|tx| tx.arm(len, alarm)))
    }

    /// Takes back what `_arm_send` did; harmless if there is nothing to take back.
    fn _disarm_send(&self, alarm: i32) {
        self.contents.get().disarm(alarm);
    }

    /// Whether this handle was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.gate.is_closed()
    }
}

impl Drop for PickledProducer {
    fn drop(&mut self) {
        if !self.gate.is_home() {
            // The parent process still uses what we would give back.
            std::mem::forget(self.tx.get_mut().take());
        }
    }
}
