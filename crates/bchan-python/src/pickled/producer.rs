//! The handle of a producer of objects for any process.

use bchan::{FrameProducer, SendingFrames};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::sending::{Encoding, Encodings, encode_batch, len_of};
use crate::channel::Channel;
use crate::frames::buffer::Payload;
use crate::frames::sending::{FrameCall, FrameOutlet};
use crate::gate::Pass;
use crate::handle::Handle;
use crate::made::Made;
use crate::passing::{Handover, Passed, registered};

/// A registered producer of pickled objects. Its hot methods are set by `methods`.
#[pyclass(frozen, subclass, weakref, module = "bchan._core")]
pub(crate) struct PickledProducer {
    pub(crate) handle: Handle<FrameProducer, ()>,
    /// Bytes of the longest message.
    most: usize,
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
        let (entry, handle) = self.handle.enter_idle()?;
        work(&mut FrameCall { handle, entry })
    }

    #[inline(always)]
    fn send_quickly(&self, message: &impl Payload) -> bool {
        let Some((_pass, inner)) = self.handle.enter_quickly() else { return false };
        let Some(tx) = inner.quickly() else { return false };
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
        let take = |ticket| core.frame_producer_of(ticket);
        let register = || registered(ticket, || core.frame_producer(), take);
        Ok(Self { handle: Handle::new(py, channel, (), register)?, most: core.max_len() })
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

    /// Closes this handle and gives its place back; what it sent stays. Closing twice is harmless.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.close(py, |()| ())
    }

    /// Has an eventfd written once there may be room for the object, unless there may be now: then true.
    #[pyo3(signature = (alarm, item=None))]
    fn _arm_send(&self, alarm: i32, item: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
        let len = len_of(self, item.as_ref().map(Bound::as_borrowed))?;
        self.handle.arm(|tx| tx.arm(len, alarm))
    }

    /// What stands for the object in the calls that send, so that it is encoded once.
    fn _encode(&self, item: &Bound<'_, PyAny>) -> PyResult<Encoding> {
        Encoding::of(item.as_borrowed(), self.most)
    }

    /// The same for a batch: messages, and how many objects each has.
    fn _encode_batch(&self, batch: &Bound<'_, PyAny>) -> PyResult<Made<Encodings>> {
        encode_batch(self, batch.as_borrowed()).map(Made)
    }

    /// Whether others must look who wait with this handle, for what the channel tells nobody.
    fn _must_look(&self) -> bool {
        self.handle.must_look(|tx, ()| tx.must_look())
    }

    /// Takes back what `_arm_send` did; harmless if there is nothing to take back.
    fn _disarm_send(&self, alarm: i32) {
        self.handle.disarm(alarm);
    }

    /// Whether this handle was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.handle.is_closed()
    }
}
