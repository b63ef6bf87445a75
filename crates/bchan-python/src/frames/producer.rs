//! The handle of a producer of bytes.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU64, Ordering};

use bchan::{FrameProducer, SendingFrames};
use pyo3::Borrowed;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::buffer::{Payload, too_long};
use super::lease;
use super::sending::{FrameCall, FrameOutlet};
use crate::arguments::{Timeout, count_from};
use crate::call::Patience;
use crate::channel::Channel;
use crate::contents::Contents;
use crate::detached::Attached;
use crate::errors::{closed, must_be};
use crate::gate::{Gate, Pass};
use crate::passing::{self, Passed};
use crate::producer::{Reserves, no_reservation, refusal, this_thread};

/// What a call works on, once the gate has let it in.
struct Inner {
    /// `None` once closed.
    tx: Option<FrameProducer>,
    /// The view of an open reservation, and its length.
    reserved: Option<(Py<PyAny>, usize)>,
}

/// A registered producer of bytes. Its hot methods are set by `methods`.
#[pyclass(frozen, subclass, weakref, module = "bchan._core")]
pub(crate) struct BytesProducer {
    gate: Gate,
    inner: UnsafeCell<Inner>,
    /// The thread that made the open reservation; 0 if none is open. See `Producer`.
    reserved_by: AtomicU64,
    /// Bytes of the longest message.
    most: usize,
    /// Whether a reservation of this producer holds others up.
    shares_its_ring: bool,
    /// Owner of the views.
    contents: Py<Contents>,
}

// SAFETY: `inner` is touched only by a call that holds the gate's pass.
unsafe impl Sync for BytesProducer {}

impl BytesProducer {
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "the pass makes it the only reference")]
    fn enter(&self) -> PyResult<(Pass<'_>, &mut Inner)> {
        if self.gate.is_fresh() {
            passing::begin(&self.gate, || {
                // SAFETY: the gate keeps every other call out meanwhile.
                unsafe { &mut *self.inner.get() }.tx.as_mut().expect("it is open")
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

    fn room_wanted(&self, nbytes: Borrowed<'_, '_, PyAny>) -> PyResult<usize> {
        let len = count_from(nbytes, "nbytes", 0)?;
        if len <= self.most { Ok(len) } else { Err(too_long(len, self.most)) }
    }

    /// Claims room for a message of `nbytes`, waiting for it.
    pub(crate) fn reserve<'py>(
        &self,
        nbytes: Borrowed<'_, 'py, PyAny>,
        timeout: Timeout,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, len) = (nbytes.py(), self.room_wanted(nbytes)?);
        let (mut pass, inner) = self.enter()?;
        let mut patience = Patience::new(timeout);
        loop {
            if let Some(view) = self.claim(py, inner, len)? {
                return Ok(view);
            }
            let Some(handle) = &mut inner.tx else { return Err(refusal(false)) };
            let mut call = FrameCall { handle, entry: pass };
            call.wait_for_room(py, "reserve", len, &mut patience)?;
            pass = call.entry;
        }
    }

    /// Claims room for a message of `nbytes`; `None` when there is none.
    pub(crate) fn try_reserve<'py>(
        &self,
        nbytes: Borrowed<'_, 'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let len = self.room_wanted(nbytes)?;
        let (_pass, inner) = self.enter()?;
        self.claim(nbytes.py(), inner, len)
    }

    fn claim<'py>(
        &self,
        py: Python<'py>,
        inner: &mut Inner,
        len: usize,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (Some(tx), None) = (&mut inner.tx, &inner.reserved) else {
            return Err(refusal(inner.reserved.is_some()));
        };
        if tx.is_closed() {
            return Err(closed());
        }
        if !tx.reserve(len) {
            return Ok(None);
        }
        // SAFETY: the room is ours until committed; `contents` keeps it mapped.
        let view = unsafe { lease::view(self.contents.bind(py), tx.room(), len, true) };
        let view = view.inspect_err(|_| tx.abort())?;
        inner.reserved = Some((view.clone().unbind(), len));
        self.reserved_by.store(this_thread(), Ordering::Relaxed);
        Ok(Some(view))
    }

    /// Sends the first `n` bytes of the reservation, or all of it.
    pub(crate) fn commit(&self, py: Python<'_>, n: Option<Borrowed<'_, '_, PyAny>>) -> PyResult<()> {
        let n = n.filter(|n| !n.is_none()).map(|n| count_from(n, "n", 0)).transpose()?;
        let (pass, inner) = self.enter()?;
        let Some((_, most)) = &inner.reserved else {
            return Err(no_reservation("commit"));
        };
        let len = n.unwrap_or(*most);
        if len > *most {
            return Err(must_be("n", format_args!("at most {most}, the length of the reservation"), len));
        }
        let view = self.end_reservation(py, inner);
        let sent = match &mut inner.tx {
            Some(tx) => tx.commit(bchan::Frame { len, kind: 0 }).map_err(|_| closed()),
            None => Err(refusal(false)),
        };
        // The view goes last: that may run Python code, which then meets a handle at rest.
        drop(pass);
        drop(view);
        sent
    }

    /// Gives the reservation back.
    pub(crate) fn abort(&self, py: Python<'_>) -> PyResult<()> {
        let (pass, inner) = self.enter()?;
        let view = self.give_back(py, inner);
        drop(pass);
        view.map(drop).ok_or_else(|| no_reservation("abort"))
    }
}

impl Reserves for BytesProducer {
    fn holds_others_up(&self) -> bool {
        self.shares_its_ring
    }

    fn has_reserved(&self, thread: u64) -> bool {
        // Relaxed: as for `Producer`.
        self.reserved_by.load(Ordering::Relaxed) == thread && self.gate.is_home()
    }

    fn try_abandon(&self, py: Python<'_>, thread: u64) -> bool {
        let Some((pass, inner)) = self.enter_quickly() else { return false };
        if self.has_reserved(thread) {
            let view = self.give_back(py, inner);
            drop(pass);
            drop(view);
        }
        true
    }
}

impl BytesProducer {
    /// Ends the reservation, if there is one; gives its view, which is read-only from now on.
    fn end_reservation(&self, py: Python<'_>, inner: &mut Inner) -> Option<Attached> {
        let (view, _) = inner.reserved.take()?;
        self.reserved_by.store(0, Ordering::Relaxed);
        lease::freeze(py, &view);
        Some(Attached::new(view))
    }

    /// Ends the reservation, if there is one, and sends nothing.
    fn give_back(&self, py: Python<'_>, inner: &mut Inner) -> Option<Attached> {
        let view = self.end_reservation(py, inner)?;
        if let Some(tx) = &mut inner.tx {
            tx.abort();
        }
        Some(view)
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
        let (entry, inner) = self.enter()?;
        match (&mut inner.tx, &inner.reserved) {
            (Some(handle), None) => work(&mut FrameCall { handle, entry }),
            (_, reserved) => Err(refusal(reserved.is_some())),
        }
    }

    #[inline(always)]
    fn send_quickly(&self, message: &impl Payload) -> bool {
        let Some((_pass, inner)) = self.enter_quickly() else { return false };
        let (Some(tx), None) = (&mut inner.tx, &inner.reserved) else { return false };
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
        let contents = channel.contents().clone_ref(py);
        // Registered last: a producer that comes and fails would be one that has left.
        let take = |ticket| core.frame_producer_of(ticket);
        let handle = passing::registered(ticket, || core.frame_producer(), take)?;
        Ok(Self {
            gate: passing::gate(channel, "producer"),
            inner: UnsafeCell::new(Inner { tx: Some(handle), reserved: None }),
            reserved_by: AtomicU64::new(0),
            most: core.max_len(),
            shares_its_ring: channel.is_mpmc(),
            contents,
        })
    }

    /// `(seat, word)`, with which another process takes this handle over that was never used.
    fn _ticket(&self) -> PyResult<Passed> {
        passing::ticket(&self.gate, || {
            // SAFETY: the gate keeps every other call out meanwhile.
            unsafe { &mut *self.inner.get() }.tx.as_mut().expect("it is open")
        })
    }

    #[allow(clippy::unnecessary_wraps, reason = "as PyO3 wants it")]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.contents)
    }

    /// Closes this handle and gives its place back; what it sent stays. Closing twice is harmless.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.gate.close_fresh() {
            // SAFETY: the gate is closed, and nobody is inside.
            drop(unsafe { &mut *self.inner.get() }.tx.take());
        }
        if self.gate.is_closed() {
            return Ok(());
        }
        let (pass, inner) = self.enter()?;
        let (view, tx) = (self.end_reservation(py, inner), inner.tx.take());
        pass.close();
        drop(tx);
        drop(view);
        Ok(())
    }

    /// Whether this is the room of the open reservation.
    fn _is_open(&self, room: &Bound<'_, PyAny>) -> PyResult<bool> {
        if self.gate.is_closed() {
            return Ok(false);
        }
        let (_pass, inner) = self.enter()?;
        Ok(inner.reserved.as_ref().is_some_and(|(open, _)| open.is(room)))
    }

    /// Has an eventfd written once there may be room for the message, unless there may be now: then true.
    #[pyo3(signature = (alarm, item=None))]
    fn _arm_send(&self, alarm: i32, item: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
        let len = self.len_of(item.as_ref().map(Bound::as_borrowed))?;
        let (_pass, inner) = self.enter()?;
        Ok(inner.tx.as_mut().is_none_or(|tx| tx.arm(len, alarm)))
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

impl Drop for BytesProducer {
    fn drop(&mut self) {
        let inner = self.inner.get_mut();
        // Its slots are another producer's soon.
        if let Some((view, _)) = &inner.reserved {
            // SAFETY: objects are dropped by attached threads.
            lease::freeze(unsafe { Python::assume_attached() }, view);
        }
        if !self.gate.is_home() {
            // The parent process still uses what we would give back.
            std::mem::forget(inner.tx.take());
        }
    }
}
