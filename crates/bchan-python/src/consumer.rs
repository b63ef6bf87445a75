//! The class of consumers, of whatever messages.

use bchan::{ReceiveSlots, Rx};
use pyo3::Borrowed;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::arguments::Timeout;
use crate::channel::{Channel, Messages};
use crate::frames::receiving::FrameInlet;
use crate::made::Made;
use crate::passing::{Handover, Passed};
use crate::pickled::receiving::PickledInlet;
use crate::producer::other_messages;
use crate::receiving::{Inlet, next, unless_ended};
use crate::{frames, items, pickled};

/// The consumer of a channel. Its hot methods are set by `methods`.
///
/// With CPython's head, producers and consumers are whole cache lines long (448 bytes): so all instances lie
/// alike. At some places a call takes longer.
#[pyclass(frozen, subclass, weakref, module = "bchan._core")]
pub(crate) struct Consumer {
    pub(crate) end: End,
}

pub(crate) enum End {
    Items(items::Consumer),
    Bytes(frames::ends::Consumer),
    Pickled(pickled::consumer::Consumer),
}

/// Does the same with whichever end it is.
macro_rules! each {
    ($consumer:expr, $end:ident => $body:expr) => {
        match &$consumer.end {
            End::Items($end) => $body,
            End::Bytes($end) => $body,
            End::Pickled($end) => $body,
        }
    };
}

impl Consumer {
    #[inline(always)]
    pub(crate) fn items(&self) -> PyResult<&items::Consumer> {
        if let End::Items(end) = &self.end { Ok(end) } else { Err(other_messages()) }
    }

    #[inline(always)]
    pub(crate) fn bytes(&self) -> PyResult<&frames::ends::Consumer> {
        if let End::Bytes(end) = &self.end { Ok(end) } else { Err(other_messages()) }
    }

    #[inline(always)]
    pub(crate) fn pickled(&self) -> PyResult<&pickled::consumer::Consumer> {
        if let End::Pickled(end) = &self.end { Ok(end) } else { Err(other_messages()) }
    }

    /// Ends the view and lets go of its first `n` messages, or of all.
    pub(crate) fn release(&self, n: Option<Borrowed<'_, '_, PyAny>>) -> PyResult<()> {
        match &self.end {
            End::Items(end) => end.handle.release(n),
            End::Bytes(end) => end.handle.release(n),
            End::Pickled(_) => Err(other_messages()),
        }
    }

    /// The next batch of up to `n`; none at the end.
    pub(crate) fn next_batch<'py>(&self, n: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let batch = each!(self, end => end.receive_batch(n.as_borrowed(), Timeout::Never));
        unless_ended(n.py(), batch)
    }
}

#[pymethods]
impl Consumer {
    #[new]
    #[pyo3(signature = (channel, token=None, messages=None))]
    fn new(
        py: Python<'_>,
        channel: &Channel,
        token: Option<Passed>,
        messages: Option<Messages>,
    ) -> PyResult<Self> {
        channel.check_messages(messages)?;
        let end = match channel.messages() {
            Messages::Items => End::Items(items::Consumer::new(py, channel, token)?),
            Messages::Bytes => End::Bytes(frames::ends::Consumer::new(py, channel, token)?),
            Messages::Pickled => End::Pickled(pickled::consumer::Consumer::new(py, channel, token)?),
        };
        Ok(Self { end })
    }

    /// `(registry_slot, word)`, with which another process takes this handle over that was never used.
    #[pyo3(signature = (child=None, is_lent=false))]
    fn _token(&self, child: Option<&Handover>, is_lent: bool) -> PyResult<Made<Passed>> {
        each!(self, end => end.handle.token(child, is_lent)).map(Made)
    }

    /// Counts it in: the last consumer that leaves closes the channel. Not before there is an object, which may be
    /// refused for want of memory.
    fn _join(&self) -> PyResult<()> {
        each!(self, end => end.handle.join(Rx::join))
    }

    /// In the child of a fork: makes a handle that was never used its own now, or says that it was made for
    /// it.
    fn _adopt(&self, now: bool) -> PyResult<()> {
        each!(self, end => end.handle.adopt(now))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        each!(self, end => end.handle.traverse(visit))
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        next(py, each!(self, end => end.receive(py, Timeout::Never)))
    }

    /// Closes this handle; the next consumer goes on where it was. Closing twice is harmless.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match &self.end {
            End::Items(end) => end.handle.close_view(py),
            End::Bytes(end) => end.handle.close_view(py),
            End::Pickled(end) => end.handle.close(py, std::mem::take),
        }
    }

    /// Whether this is the open view.
    fn _is_open(&self, view: &Bound<'_, PyAny>) -> PyResult<bool> {
        match &self.end {
            End::Items(end) => end.handle.is_view(view),
            End::Bytes(end) => end.handle.is_view(view),
            End::Pickled(_) => Err(other_messages()),
        }
    }

    /// Shows the next object, waiting for it; it stays in the channel until `_end_view`.
    fn _view<'py>(&self, py: Python<'py>, timeout: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.pickled()?.await_look(py, Timeout::extract(timeout.as_borrowed())?)
    }

    /// Ends the view, if one is open, and takes its object off the channel, or leaves it.
    fn _end_view(&self, is_done: bool) -> PyResult<()> {
        self.pickled()?.end_view(is_done)
    }

    /// Waits for the next object, and keeps it for the next call that receives. If that never comes, as
    /// when this process is killed, another consumer gets it.
    fn _hold(&self, py: Python<'_>, timeout: &Bound<'_, PyAny>) -> PyResult<()> {
        self.pickled()?.await_hold(py, Timeout::extract(timeout.as_borrowed())?)
    }

    /// Has an eventfd written once there may be a message, unless there may be now: then true.
    fn _arm_receive(&self, waker: i32) -> PyResult<bool> {
        match &self.end {
            End::Items(end) => end.handle.arm(|rx| rx.arm(waker)),
            End::Bytes(end) => end.handle.arm(|rx| rx.arm(waker)),
            End::Pickled(end) => end.arm(waker),
        }
    }

    /// Whether others must look who wait with this handle, for what the channel tells nobody.
    fn _must_look(&self) -> bool {
        match &self.end {
            End::Items(end) => end.handle.must_look(|rx, _| rx.must_look()),
            End::Bytes(end) => end.handle.must_look(|rx, _| rx.must_look()),
            End::Pickled(end) => end.must_look(),
        }
    }

    /// Takes back what `_arm_receive` did; harmless if there is nothing to take back.
    fn _disarm_receive(&self, waker: i32) {
        each!(self, end => end.handle.disarm(waker));
    }

    /// Whether this handle was closed.
    #[getter]
    fn closed(&self) -> bool {
        each!(self, end => end.handle.is_closed())
    }
}
