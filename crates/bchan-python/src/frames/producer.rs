//! The handle of a producer of bytes.

use bchan::{FrameProducer, SendingFrames};
use pyo3::Borrowed;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::buffer::{Payload, too_long};
use super::lease;
use super::sending::{FrameCall, FrameOutlet};
use crate::arguments::{Timeout, count_from};
use crate::channel::Channel;
use crate::gate::Pass;
use crate::made::Made;
use crate::passing::{Handover, Passed, registered};
use crate::reserving::{Reserving, ReservingClass};

/// A registered producer of bytes. Its hot methods are set by `methods`.
#[pyclass(frozen, subclass, weakref, module = "bchan._core")]
pub(crate) struct BytesProducer {
    pub(crate) reserving: Reserving<FrameProducer>,
    /// Bytes of the longest message.
    most: usize,
}

impl BytesProducer {
    fn room_wanted(&self, nbytes: Borrowed<'_, '_, PyAny>) -> PyResult<usize> {
        let len = count_from(nbytes, "nbytes", 0)?;
        if len <= self.most { Ok(len) } else { Err(too_long(len, self.most)) }
    }

    /// A view of room for a message of `len` bytes, if there is that much.
    fn claim<'py>(
        &self,
        py: Python<'py>,
        tx: &mut FrameProducer,
        len: usize,
    ) -> PyResult<Option<(Bound<'py, PyAny>, usize)>> {
        if !tx.reserve(len) {
            return Ok(None);
        }
        let contents = self.reserving.handle.contents.bind(py);
        // SAFETY: the room is ours until committed; `contents` keeps it mapped.
        let view = unsafe { lease::view(contents, tx.room(), len, true) };
        Ok(Some((view.inspect_err(|_| tx.abort())?, len)))
    }
}

impl ReservingClass for BytesProducer {
    type Core = FrameProducer;

    fn reserving(&self) -> &Reserving<FrameProducer> {
        &self.reserving
    }

    /// Claims room for a message of `nbytes`, waiting for it.
    fn reserve<'py>(
        &self,
        nbytes: Borrowed<'_, 'py, PyAny>,
        timeout: Timeout,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, len) = (nbytes.py(), self.room_wanted(nbytes)?);
        let claim = |tx: &mut _| self.claim(py, tx, len);
        self.reserving.reserve(timeout, claim, |handle, entry, patience| {
            FrameCall { handle, entry }.wait_for_room(py, "reserve", len, patience)
        })
    }

    /// Claims room for a message of `nbytes`; `None` when there is none.
    fn try_reserve<'py>(&self, nbytes: Borrowed<'_, 'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (py, len) = (nbytes.py(), self.room_wanted(nbytes)?);
        self.reserving.try_reserve(|tx| self.claim(py, tx, len))
    }
}

impl FrameOutlet for BytesProducer {
    type Handle<'a> = FrameProducer;
    type Entry<'a> = Pass<'a>;

    #[inline(always)]
    fn send_with<T>(
        &self,
        _py: Python<'_>,
        work: impl FnOnce(&mut FrameCall<'_, FrameProducer, Pass<'_>>) -> PyResult<T>,
    ) -> PyResult<T> {
        let (entry, handle) = self.reserving.handle.enter_idle()?;
        work(&mut FrameCall { handle, entry })
    }

    #[inline(always)]
    fn send_quickly(&self, message: &impl Payload) -> bool {
        let Some((_pass, inner)) = self.reserving.handle.enter_quickly() else { return false };
        let Some(tx) = inner.quickly() else { return false };
        message.frame().len <= self.most && message.put(tx) == Ok(true)
    }

    fn most(&self) -> usize {
        self.most
    }
}

#[pymethods]
impl BytesProducer {
    #[new]
    #[pyo3(signature = (channel, ticket=None))]
    fn new(py: Python<'_>, channel: &Channel, ticket: Option<Passed>) -> PyResult<Self> {
        let core = channel.framed_core()?;
        let take = |ticket| core.frame_producer_of(ticket);
        let register = || registered(ticket, || core.frame_producer(), take);
        Ok(Self { reserving: Reserving::new(py, channel, register)?, most: core.max_len() })
    }

    /// `(seat, word)`, with which another process takes this handle over that was never used.
    #[pyo3(signature = (child=None, is_lent=false))]
    fn _ticket(&self, child: Option<&Handover>, is_lent: bool) -> PyResult<Made<Passed>> {
        self.reserving.handle.ticket(child, is_lent).map(Made)
    }

    /// In the child of a fork: makes a handle that was never used its own now, or says that it was made for it.
    fn _adopt(&self, now: bool) -> PyResult<()> {
        self.reserving.handle.adopt(now)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.reserving.handle.traverse(visit)
    }

    /// Closes this handle and gives its place back; what it sent stays. Closing twice is harmless.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.reserving.close(py)
    }

    /// Whether this is the room of the open reservation.
    fn _is_open(&self, room: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.reserving.is_open(room)
    }

    /// Has an eventfd written once there may be room for the message, unless there may be now: then true.
    #[pyo3(signature = (alarm, item=None))]
    fn _arm_send(&self, alarm: i32, item: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
        let len = self.len_of(item.as_ref().map(Bound::as_borrowed))?;
        self.reserving.handle.arm(|tx| tx.arm(len, alarm))
    }

    /// Whether others must look who wait with this handle, for what the channel tells nobody.
    fn _must_look(&self) -> bool {
        self.reserving.handle.must_look(|tx, _| tx.must_look())
    }

    /// Takes back what `_arm_send` did; harmless if there is nothing to take back.
    fn _disarm_send(&self, alarm: i32) {
        self.reserving.handle.disarm(alarm);
    }

    /// Whether this handle was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.reserving.handle.is_closed()
    }
}
