//! Zero-copy sending: room in the ring that is reserved, written through a view, and committed.

pub(crate) mod threads;

use std::sync::atomic::{AtomicU64, Ordering};

use bchan::{Frame, FrameProducer, SendError, SendSlots, Sending, SendingFrames};
use pyo3::Borrowed;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use self::threads::{remember, this_thread};
use crate::arguments::{Timeout, count_from};
use crate::array;
use crate::call::CallDeadline;
use crate::channel::Channel;
use crate::detached::{Attached, detached};
use crate::errors::{Raise, Unmet, must_be};
use crate::frames::lease;
use crate::guard::{Entry, InUse};
use crate::handle::{Handle, Inner, Open};
use crate::passing::Passable;

/// The view of an open reservation, and its length.
pub(crate) struct Reserved(Option<(Py<PyAny>, usize)>);

impl Open for Reserved {
    const REFUSAL: &'static str = "a reservation is open: commit() or abort() it first";

    #[inline(always)]
    fn is_open(&self) -> bool {
        self.0.is_some()
    }
}

/// A handle of the core that reserves.
pub(crate) trait Reserves: Passable + Send {
    fn is_closed(&self) -> bool;

    /// Why a closed channel takes no message.
    fn send_error(&self) -> SendError;

    /// Sends the first `n` of what was reserved, and gives the rest back.
    fn send_first(&mut self, n: usize) -> Result<(), SendError>;

    /// Sends nothing of what was reserved.
    fn give_back(&mut self);

    /// Takes the right to write away from a view that is no longer the caller's.
    fn freeze(py: Python<'_>, view: &Py<PyAny>);
}

impl Reserves for bchan::Producer {
    fn is_closed(&self) -> bool {
        SendSlots::is_closed(self)
    }

    fn send_error(&self) -> SendError {
        SendSlots::send_error(self)
    }

    fn send_first(&mut self, n: usize) -> Result<(), SendError> {
        if n > 0 {
            return self.commit(n);
        }
        self.give_back();
        Ok(())
    }

    fn give_back(&mut self) {
        // A closed channel refuses, but what is refused is none.
        let _ = self.commit(0);
    }

    fn freeze(_py: Python<'_>, view: &Py<PyAny>) {
        array::freeze(view);
    }
}

impl Reserves for FrameProducer {
    fn is_closed(&self) -> bool {
        SendSlots::is_closed(self)
    }

    fn send_error(&self) -> SendError {
        SendSlots::send_error(self)
    }

    fn send_first(&mut self, n: usize) -> Result<(), SendError> {
        self.commit(Frame { len: n, kind: 0 })
    }

    fn give_back(&mut self) {
        self.abort();
    }

    fn freeze(py: Python<'_>, view: &Py<PyAny>) {
        lease::freeze(py, view);
    }
}

/// A producer's handle, with its reservation.
pub(crate) struct Reserving<H: Reserves> {
    pub(crate) handle: Handle<H, Reserved>,
    /// The thread that made the open reservation; 0 if none is open. Written by who holds the guard's pass,
    /// read by a thread that ends.
    reserved_by: AtomicU64,
    /// Whether a reservation of this producer holds others up.
    shares_its_ring: bool,
}

/// A new view, and its length.
type View<'py> = (Bound<'py, PyAny>, usize);

impl<H: Reserves> Reserving<H> {
    pub(crate) fn new(
        py: Python<'_>,
        channel: &Channel,
        register: impl FnOnce() -> PyResult<H>,
    ) -> PyResult<Self> {
        Ok(Self {
            handle: Handle::new(py, channel, Reserved(None), register)?,
            reserved_by: AtomicU64::new(0),
            shares_its_ring: channel.is_mpmc(),
        })
    }

    /// The view that `claim` makes, waiting by `wait` until it makes one.
    pub(crate) fn reserve<'py>(
        &self,
        timeout: Timeout,
        claim: impl Fn(&mut H) -> PyResult<Option<View<'py>>>,
        wait: impl Fn(&mut H, &mut InUse<'_>, &mut CallDeadline) -> PyResult<()>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (mut pass, inner) = self.handle.enter()?;
        let mut deadline_of_call = CallDeadline::new(timeout);
        loop {
            if let Some(view) = self.claim(inner, &mut pass, &claim)? {
                return Ok(view);
            }
            wait(inner.idle()?, &mut pass, &mut deadline_of_call)?;
        }
    }

    /// The view that `claim` makes; `None` when it makes none.
    pub(crate) fn try_reserve<'py>(
        &self,
        claim: impl Fn(&mut H) -> PyResult<Option<View<'py>>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (mut pass, inner) = self.handle.enter()?;
        self.claim(inner, &mut pass, &claim)
    }

    fn claim<'py>(
        &self,
        inner: &mut Inner<H, Reserved>,
        pass: &mut InUse<'_>,
        claim: impl Fn(&mut H) -> PyResult<Option<View<'py>>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let tx = inner.idle()?;
        if tx.is_closed() {
            return Err(tx.send_error().refusal());
        }
        // To make a view may run the garbage collector, and so any Python code, while its slots are claimed.
        pass.mark();
        let Some((view, len)) = claim(tx)? else { return Ok(None) };
        inner.open = Reserved(Some((view.clone().unbind(), len)));
        self.reserved_by.store(this_thread(), Ordering::Relaxed);
        Ok(Some(view))
    }

    /// Sends the first `n` of the reservation, or all of it.
    pub(crate) fn commit(&self, py: Python<'_>, n: Option<Borrowed<'_, '_, PyAny>>) -> PyResult<()> {
        let n = n.filter(|n| !n.is_none()).map(|n| count_from(n, "n", 0)).transpose()?;
        let (pass, inner) = self.handle.enter()?;
        let Some((_, most)) = &inner.open.0 else {
            return Err(no_reservation("commit"));
        };
        let n = n.unwrap_or(*most);
        if n > *most {
            return Err(must_be("n", format_args!("at most {most}, the length of the reservation"), n));
        }
        let view = self.end(py, &mut inner.open);
        let sent = inner.idle().and_then(|tx| tx.send_first(n).map_err(SendError::refusal));
        // The view goes last: that may run Python code, which then meets a handle at rest.
        drop(pass);
        drop(view);
        sent
    }

    /// Gives the reservation back.
    pub(crate) fn abort(&self, py: Python<'_>) -> PyResult<()> {
        let (pass, inner) = self.handle.enter()?;
        let view = self.give_back(py, inner);
        drop(pass);
        view.map(drop).ok_or_else(|| no_reservation("abort"))
    }

    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.close(py, |reserved| self.end(py, reserved))
    }

    /// Whether this is the view of the open reservation.
    pub(crate) fn is_open(&self, view: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.handle.has_open(|Reserved(reserved)| reserved.as_ref().is_some_and(|(open, _)| open.is(view)))
    }

    /// Ends the reservation, if there is one; gives its view, which is read-only from now on.
    fn end(&self, py: Python<'_>, reserved: &mut Reserved) -> Option<Attached> {
        let (view, _) = reserved.0.take()?;
        self.reserved_by.store(0, Ordering::Relaxed);
        H::freeze(py, &view);
        Some(Attached::new(view))
    }

    /// Ends the reservation, if there is one, and sends nothing.
    fn give_back(&self, py: Python<'_>, inner: &mut Inner<H, Reserved>) -> Option<Attached> {
        let view = self.end(py, &mut inner.open)?;
        if let Some(tx) = &mut inner.core {
            tx.give_back();
        }
        Some(view)
    }

    /// Whether the open reservation was made by this thread.
    fn has_reserved(&self, thread: u64) -> bool {
        // Relaxed: who made the reservation sees his own mark, or one that came after.
        self.reserved_by.load(Ordering::Relaxed) == thread && self.handle.guard.is_home()
    }

    /// Gives the reservation back if this thread made it, which ends.
    pub(crate) fn abandon(&self, py: Python<'_>, thread: u64) {
        while self.has_reserved(thread) && !self.try_abandon(py, thread) {
            // Another thread is inside, for a moment: while a reservation is open no call waits.
            detached(py, std::thread::yield_now);
        }
    }

    /// Gives the reservation of this thread back; false if another thread is inside.
    fn try_abandon(&self, py: Python<'_>, thread: u64) -> bool {
        let Some((pass, inner)) = self.handle.try_acquire() else { return false };
        if self.has_reserved(thread) {
            let view = self.give_back(py, inner);
            drop(pass);
            drop(view);
        }
        true
    }
}

impl<H: Reserves> Drop for Reserving<H> {
    fn drop(&mut self) {
        // Its slots are another producer's soon.
        if let Reserved(Some((view, _))) = self.handle.open_mut() {
            // SAFETY: objects are dropped by attached threads.
            H::freeze(unsafe { Python::assume_attached() }, view);
        }
    }
}

/// The view that a producer just made, after seeing to it that its reservation is given up if this thread
/// ends.
pub(crate) fn remembered<'py, H: Reserves>(
    producer: Borrowed<'_, 'py, PyAny>,
    reserving: &Reserving<H>,
    view: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    if reserving.shares_its_ring
        && let Err(error) = remember(producer)
    {
        reserving.abandon(producer.py(), this_thread());
        return Err(error);
    }
    Ok(view)
}

#[cold]
fn no_reservation(call: &str) -> PyErr {
    PyRuntimeError::error(format!("{call}() needs an open reservation: call reserve() first"))
}
