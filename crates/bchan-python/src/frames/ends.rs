//! The ends of a channel whose messages have any length.

use std::ptr;

use bchan::{FrameConsumer, FrameProducer, ReceivingFrames, SendSlots, SendingFrames};
use pyo3::prelude::*;
use pyo3::{Borrowed, ffi};

use super::buffer::{Payload, too_long};
use super::lease;
use super::receiving::{FrameInlet, take};
use super::sending::{FrameCall, FrameOutlet};
use crate::arguments::{Timeout, count_from};
use crate::channel::Channel;
use crate::guard::InUse;
use crate::handle::{Handle, Open};
use crate::passing::{Passed, registered};
use crate::peeking::Peeked;
use crate::pickled::sending as pickled;
use crate::receiving::quietly;
use crate::reserving::Reserving;

/// What a producer of bytes, or of objects for any process, is made of.
pub(crate) struct Producer {
    pub(crate) reserving: Reserving<FrameProducer>,
    /// Bytes of the longest message.
    pub(crate) most: usize,
    /// Whether messages are objects, which never are reserved for.
    pub(crate) is_pickled: bool,
}

impl Producer {
    pub(crate) fn new(py: Python<'_>, channel: &Channel, token: Option<Passed>) -> PyResult<Self> {
        let core = channel.core()?;
        let take = |token| core.tx_of(token);
        let register = || registered(token, || core.frame_producer(), take);
        let reserving = Reserving::new(py, channel, register)?;
        Ok(Self { reserving, most: core.max_len(), is_pickled: channel.is_pickled() })
    }

    /// How many bytes a message has, as which `item` is sent.
    pub(crate) fn size_of(&self, item: Option<&Bound<'_, PyAny>>) -> PyResult<usize> {
        let item = item.map(Bound::as_borrowed);
        if self.is_pickled { pickled::len_of(self, item) } else { self.len_of(item) }
    }

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

    /// Claims room for a message of `nbytes`, waiting for it.
    pub(crate) fn reserve<'py>(
        &self,
        nbytes: Borrowed<'_, 'py, PyAny>,
        timeout: Timeout,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, len) = (nbytes.py(), self.room_wanted(nbytes)?);
        let claim = |tx: &mut _| self.claim(py, tx, len);
        self.reserving.reserve(timeout, claim, |handle, entry, deadline_of_call| {
            FrameCall { handle, entry }.wait_for_room(py, "reserve", len, deadline_of_call)
        })
    }

    /// Claims room for a message of `nbytes`; `None` when there is none.
    pub(crate) fn try_reserve<'py>(
        &self,
        nbytes: Borrowed<'_, 'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (py, len) = (nbytes.py(), self.room_wanted(nbytes)?);
        self.reserving.try_reserve(|tx| self.claim(py, tx, len))
    }
}

impl FrameOutlet for Producer {
    type Handle<'a> = FrameProducer;
    type Entry<'a> = InUse<'a>;

    #[inline(always)]
    fn send_with<T>(
        &self,
        _py: Python<'_>,
        work: impl FnOnce(&mut FrameCall<'_, FrameProducer, InUse<'_>>) -> PyResult<T>,
    ) -> PyResult<T> {
        let (entry, handle) = self.reserving.handle.enter_idle()?;
        work(&mut FrameCall { handle, entry })
    }

    #[inline(always)]
    fn send_fast(&self, message: &impl Payload) -> bool {
        let Some((_pass, inner)) = self.reserving.handle.try_acquire() else { return false };
        let Some(tx) = inner.fast() else { return false };
        message.frame().len <= self.most && message.put(tx) == Ok(true)
    }

    fn most(&self) -> usize {
        self.most
    }
}

/// A handle of such a channel; `open` is what it has open between two calls.
pub(crate) fn consumer_of<O: Open>(
    py: Python<'_>,
    channel: &Channel,
    token: Option<Passed>,
    open: O,
) -> PyResult<Handle<FrameConsumer, O>> {
    let core = channel.core()?;
    let take = |token| core.rx_of(token);
    Handle::new(py, channel, open, || registered(token, || core.rx(), take))
}

/// What a consumer of bytes is made of.
pub(crate) struct Consumer {
    pub(crate) handle: Handle<FrameConsumer, Peeked>,
}

impl Consumer {
    pub(crate) fn new(py: Python<'_>, channel: &Channel, token: Option<Passed>) -> PyResult<Self> {
        Ok(Self { handle: consumer_of(py, channel, token, Peeked::default())? })
    }

    /// A read-only view of the next message, waiting for it.
    pub(crate) fn peek<'py>(&self, py: Python<'py>, timeout: Timeout) -> PyResult<Bound<'py, PyAny>> {
        let look = |rx: &mut _| self.look(py, rx);
        self.handle.peek(timeout, look, |handle, entry, deadline_of_call| {
            FrameCall { handle, entry }.wait_for_message(py, "peek", deadline_of_call)
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

impl FrameInlet for Consumer {
    type Handle<'a> = FrameConsumer;
    type Entry<'a> = InUse<'a>;

    #[inline(always)]
    fn receive_with<T>(
        &self,
        _py: Python<'_>,
        work: impl FnOnce(&mut FrameCall<'_, FrameConsumer, InUse<'_>>) -> PyResult<T>,
    ) -> PyResult<T> {
        let (entry, handle) = self.handle.enter_idle()?;
        work(&mut FrameCall { handle, entry })
    }

    #[inline(always)]
    fn receive_fast(&self, py: Python<'_>) -> *mut ffi::PyObject {
        let Some((mut pass, inner)) = self.handle.try_acquire() else { return ptr::null_mut() };
        inner.fast().map_or(ptr::null_mut(), |rx| quietly(py, take(py, rx, &mut pass)))
    }
}
