//! The handle of a consumer of bytes.

use std::ptr;

use bchan::{FrameConsumer, ReceivingFrames};
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::lease;
use super::receiving::{FrameInlet, take};
use super::sending::FrameCall;
use crate::arguments::Timeout;
use crate::channel::Channel;
use crate::gate::Pass;
use crate::handle::Handle;
use crate::made::Made;
use crate::passing::{Handover, Passed, registered};
use crate::peeking::Peeked;
use crate::receiving::{next, quietly};

/// The consumer of a channel of bytes. Its hot methods are set by `methods`.
#[pyclass(frozen, subclass, weakref, module = "bchan._core")]
pub(crate) struct BytesConsumer {
    pub(crate) handle: Handle<FrameConsumer, Peeked>,
}

impl BytesConsumer {
    /// A read-only view of the next message, waiting for it.
    pub(crate) fn peek<'py>(&self, py: Python<'py>, timeout: Timeout) -> PyResult<Bound<'py, PyAny>> {
        let look = |rx: &mut _| self.look(py, rx);
        self.handle.peek(timeout, look, |handle, entry, patience| {
            FrameCall { handle, entry }.wait_for_message(py, "peek", patience)
        })
    }

    /// A read-only view of the next message; `None` when there is none.
    pub(crate) fn try_peek<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.handle.try_peek(|rx| self.look(py, rx))
    }

    /// The view for `peek`, if there is anything to see.
    fn look<'py>(
        &self,
        py: Python<'py>,
        rx: &mut FrameConsumer,
    ) -> PyResult<Option<(Bound<'py, PyAny>, usize)>> {
        let Some(frame) = rx.peek() else { return Ok(None) };
        let (contents, data) = (self.handle.contents.bind(py), rx.front().cast_mut());
        // SAFETY: the message stays until released; `contents` keeps it mapped; it is read-only.
        let view = unsafe { lease::view(contents, data, frame.len, false) };
        Ok(Some((view.inspect_err(|_| rx.hand_back())?, 1)))
    }
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
        let (entry, handle) = self.handle.enter_idle()?;
        work(&mut FrameCall { handle, entry })
    }

    #[inline(always)]
    fn receive_quickly(&self, py: Python<'_>) -> *mut ffi::PyObject {
        let Some((mut pass, inner)) = self.handle.enter_quickly() else { return ptr::null_mut() };
        inner.quickly().map_or(ptr::null_mut(), |rx| quietly(py, take(py, rx, &mut pass)))
    }
}

#[pymethods]
impl BytesConsumer {
    #[new]
    #[pyo3(signature = (channel, ticket=None))]
    fn new(py: Python<'_>, channel: &Channel, ticket: Option<Passed>) -> PyResult<Self> {
        let core = channel.framed_core()?;
        let take = |ticket| core.frame_consumer_of(ticket);
        let register = || registered(ticket, || core.frame_consumer(), take);
        Ok(Self { handle: Handle::new(py, channel, Peeked::default(), register)? })
    }

    /// `(seat, word)`, with which another process takes this handle over that was never used.
    #[pyo3(signature = (child=None, is_lent=false))]
    fn _ticket(&self, child: Option<&Handover>, is_lent: bool) -> PyResult<Made<Passed>> {
        self.handle.ticket(child, is_lent).map(Made)
    }

    /// In the child of a fork: makes a handle that was never used its own now, or says that it was made for it.
    fn _adopt(&self, now: bool) -> PyResult<()> {
        self.handle.adopt(now)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.handle.traverse(visit)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        next(py, self.receive(py, Timeout::Never))
    }

    /// Closes this handle; the next consumer goes on where it was. Closing twice is harmless.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.close_view(py)
    }

    /// Whether this is the open view.
    fn _is_open(&self, view: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.handle.is_view(view)
    }

    /// Has an eventfd written once there may be a message, unless there may be now: then true.
    fn _arm_receive(&self, alarm: i32) -> PyResult<bool> {
        self.handle.arm(|rx| rx.arm(alarm))
    }

    /// Whether others must look who wait with this handle, for what the channel tells nobody.
    fn _must_look(&self) -> bool {
        self.handle.must_look(|rx, _| rx.must_look())
    }

    /// Takes back what `_arm_receive` did; harmless if there is nothing to take back.
    fn _disarm_receive(&self, alarm: i32) {
        self.handle.disarm(alarm);
    }

    /// Whether this handle was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.handle.is_closed()
    }
}
