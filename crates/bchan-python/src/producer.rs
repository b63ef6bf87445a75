//! The class of producers, of whatever messages.

use bchan::{SendSlots, Sending, SendingFrames};
use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::channel::{Channel, Messages};
use crate::errors::Raise;
use crate::made::Made;
use crate::passing::{Handover, Passed};
use crate::pickled::sending::{Encoding, Encodings, encode_batch};
use crate::{frames, items};

/// A registered producer. Its hot methods are set by `methods`.
#[pyclass(frozen, subclass, weakref, module = "bchan._core")]
pub(crate) struct Producer {
    pub(crate) end: End,
}

pub(crate) enum End {
    Items(items::Producer),
    Frames(frames::ends::Producer),
}

/// Does the same with whichever end it is.
macro_rules! each {
    ($producer:expr, $end:ident => $body:expr) => {
        match &$producer.end {
            End::Items($end) => $body,
            End::Frames($end) => $body,
        }
    };
}

impl Producer {
    #[inline(always)]
    pub(crate) fn items(&self) -> PyResult<&items::Producer> {
        if let End::Items(end) = &self.end { Ok(end) } else { Err(other_messages()) }
    }

    #[inline(always)]
    pub(crate) fn frames(&self) -> PyResult<&frames::ends::Producer> {
        if let End::Frames(end) = &self.end { Ok(end) } else { Err(other_messages()) }
    }

    /// Gives the reservation back if this thread made it, which ends.
    pub(crate) fn abandon(&self, py: Python<'_>, thread: u64) {
        each!(self, end => end.reserving.abandon(py, thread));
    }

    /// How many bytes a message of any length has, as which `item` is sent.
    pub(crate) fn size_of(&self, item: Option<&Bound<'_, PyAny>>) -> PyResult<usize> {
        if let End::Frames(end) = &self.end { end.size_of(item) } else { Ok(0) }
    }
}

/// A hot method of a class for other messages.
#[cold]
pub(crate) fn other_messages() -> PyErr {
    PyTypeError::error("this handle is of a channel of other messages")
}

#[pymethods]
impl Producer {
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
            Messages::Items => End::Items(items::Producer::new(py, channel, token)?),
            _ => End::Frames(frames::ends::Producer::new(py, channel, token)?),
        };
        Ok(Self { end })
    }

    /// `(registry_slot, word)`, with which another process takes this handle over that was never used.
    #[pyo3(signature = (child=None, is_lent=false))]
    fn _token(&self, child: Option<&Handover>, is_lent: bool) -> PyResult<Made<Passed>> {
        each!(self, end => end.reserving.handle.token(child, is_lent)).map(Made)
    }

    /// In the child of a fork: makes a handle that was never used its own now, or says that it was made for
    /// it.
    fn _adopt(&self, now: bool) -> PyResult<()> {
        each!(self, end => end.reserving.handle.adopt(now))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        each!(self, end => end.reserving.handle.traverse(visit))
    }

    /// Closes this handle and gives its place back; what it sent stays. Closing twice is harmless.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        each!(self, end => end.reserving.close(py))
    }

    /// Whether these are the slots, or the room, of the open reservation.
    fn _is_open(&self, reserved: &Bound<'_, PyAny>) -> PyResult<bool> {
        each!(self, end => end.reserving.is_open(reserved))
    }

    /// Has an eventfd written once there may be space for the item, unless there may be now: then true.
    #[pyo3(signature = (waker, item=None))]
    fn _arm_send(&self, waker: i32, item: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
        match &self.end {
            // All items need the same.
            End::Items(end) => end.reserving.handle.arm(|tx| tx.arm(waker)),
            End::Frames(end) => {
                let len = end.size_of(item.as_ref())?;
                end.reserving.handle.arm(|tx| tx.arm(len, waker))
            }
        }
    }

    /// What stands for the item in the calls that send: an object for any process is encoded once.
    fn _encode<'py>(&self, item: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match &self.end {
            End::Frames(end) if end.is_pickled => Encoding::made(&item, end.most),
            _ => Ok(item),
        }
    }

    /// The same for a batch of such objects: messages, and how many objects each has. None of others.
    fn _encode_batch(&self, batch: &Bound<'_, PyAny>) -> PyResult<Made<Option<Encodings>>> {
        match &self.end {
            End::Frames(end) if end.is_pickled => encode_batch(end, batch.as_borrowed()).map(Some).map(Made),
            _ => Ok(Made(None)),
        }
    }

    /// Whether others must look who wait with this handle, for what the channel tells nobody.
    fn _must_look(&self) -> bool {
        each!(self, end => end.reserving.handle.must_look(|tx, _| tx.must_look()))
    }

    /// Takes back what `_arm_send` did; harmless if there is nothing to take back.
    fn _disarm_send(&self, waker: i32) {
        each!(self, end => end.reserving.handle.disarm(waker));
    }

    /// Whether this handle was closed.
    #[getter]
    fn closed(&self) -> bool {
        each!(self, end => end.reserving.handle.is_closed())
    }
}
