//! The producer's handle.
//!
//! Each call converts its arguments first (that may run Python code), then passes the gate, and
//! then works on the ring in one go. A call that has to wait marks the gate, lets go of the GIL,
//! and does there whatever needs no Python: it waits, and copies the rest of a batch.

mod claim;

use std::cell::UnsafeCell;

use bchan::Stop;
use pyo3::Borrowed;
use pyo3::exceptions::{PyRuntimeError, PyTimeoutError};
use pyo3::prelude::*;

use self::claim::end_reservation;
use crate::arguments::Timeout;
use crate::array::{self, Items, Mapping, batch_to_send};
use crate::channel::Channel;
use crate::detached::{MUCH, Shared, detached};
use crate::errors::{Closed, from_handle, from_stop};
use crate::gate::{Gate, Pass};
use crate::item::{Encoded, ItemType};

/// What a call works on, once the gate has let it in.
struct Inner {
    /// `None` once closed.
    tx: Option<bchan::Producer>,
    /// The view of an open reservation, and its length.
    reserved: Option<(Py<PyAny>, usize)>,
}

/// A registered producer. Its hot methods are set by `methods`.
#[pyclass(frozen, subclass, weakref, module = "bchan._core")]
pub(crate) struct Producer {
    gate: Gate,
    inner: UnsafeCell<Inner>,
    item: ItemType,
    capacity: usize,
    /// Owner of the views.
    mapping: Py<PyAny>,
}

// SAFETY: `inner` is touched only by a call that holds the gate's pass.
unsafe impl Sync for Producer {}

impl Producer {
    /// Lets a call in, or says why it can't.
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "the pass makes it the only reference")]
    fn enter(&self) -> PyResult<(Pass<'_>, &mut Inner)> {
        let pass = self.gate.enter()?;
        // SAFETY: the pass keeps every other call out while this reference is used.
        Ok((pass, unsafe { &mut *self.inner.get() }))
    }

    /// Lets a call in unless something is out of the ordinary.
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "the pass makes it the only reference")]
    fn enter_quickly(&self) -> Option<(Pass<'_>, &mut Inner)> {
        let pass = self.gate.enter_quickly()?;
        // SAFETY: the pass keeps every other call out while this reference is used.
        Some((pass, unsafe { &mut *self.inner.get() }))
    }

    /// Lets a call in that sends, or says why it can't.
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "the pass makes it the only reference")]
    fn enter_to_send(&self) -> PyResult<(Pass<'_>, &mut bchan::Producer)> {
        let (pass, inner) = self.enter()?;
        match (&mut inner.tx, &inner.reserved) {
            (Some(tx), None) => Ok((pass, tx)),
            (_, reserved) => Err(refusal(reserved.is_some())),
        }
    }

    /// Sends a number if nothing is out of the ordinary. Tells whether; if not, nothing was done.
    #[inline(always)]
    fn send_quickly(&self, item: Borrowed<'_, '_, PyAny>) -> bool {
        let Some(bits) = self.item.quick_bits(item) else { return false };
        let Some((_pass, inner)) = self.enter_quickly() else { return false };
        let (Some(tx), None) = (&mut inner.tx, &inner.reserved) else { return false };
        if tx.free(1) == 0 {
            return false;
        }
        // SAFETY: the slot is free, and the channel's items are these numbers.
        unsafe { self.item.write_bits(bits, tx.claim(1)) };
        tx.commit(1).is_ok()
    }

    /// Sends one item if there is space; tells whether.
    #[inline(always)]
    pub(crate) fn try_send(&self, item: Borrowed<'_, '_, PyAny>) -> PyResult<bool> {
        if self.send_quickly(item) { Ok(true) } else { self.try_send_any(item) }
    }

    #[cold]
    fn try_send_any(&self, item: Borrowed<'_, '_, PyAny>) -> PyResult<bool> {
        let encoded = self.item.encode(item)?;
        let (_pass, tx) = self.enter_to_send()?;
        self.put(tx, &encoded)
    }

    fn put(&self, tx: &mut bchan::Producer, encoded: &Encoded<'_>) -> PyResult<bool> {
        if tx.free(1) == 0 {
            return if tx.is_closed() { Err(closed()) } else { Ok(false) };
        }
        // SAFETY: the slot is free, and the channel's item size is this type's.
        unsafe { self.item.write(encoded, tx.claim(1)) };
        tx.commit(1).map(|()| true).map_err(|_| closed())
    }

    /// Sends one item, waiting while the lane is full.
    #[inline(always)]
    pub(crate) fn send(&self, item: Borrowed<'_, '_, PyAny>, timeout: Timeout) -> PyResult<()> {
        if self.send_quickly(item) { Ok(()) } else { self.send_any(item, timeout) }
    }

    #[cold]
    fn send_any(&self, item: Borrowed<'_, '_, PyAny>, timeout: Timeout) -> PyResult<()> {
        let encoded = self.item.encode(item)?;
        let (mut pass, tx) = self.enter_to_send()?;
        if self.put(tx, &encoded)? {
            return Ok(());
        }
        self.wait(item.py(), &mut pass, tx, "send", timeout)?;
        // The lane's only producer has waited for this slot.
        self.put(tx, &encoded).map(drop)
    }

    /// Waits until a slot is free.
    #[cold]
    fn wait(
        &self,
        py: Python<'_>,
        pass: &mut Pass<'_>,
        tx: &mut bchan::Producer,
        call: &str,
        timeout: Timeout,
    ) -> PyResult<()> {
        pass.mark();
        let late = || self.late(call, timeout);
        if timeout.is_zero() {
            return Err(PyTimeoutError::new_err(late()));
        }
        let deadline = timeout.deadline();
        loop {
            match detached(py, || tx.wait_for_space(deadline)) {
                Ok(()) => return Ok(()),
                Err(Stop::Interrupted) => pass.check_signals(py)?,
                Err(stop) => return Err(from_stop(stop, late)),
            }
        }
    }

    fn late(&self, call: &str, timeout: Timeout) -> String {
        format!("{call} timed out after {timeout}: all {} slots are full", self.capacity)
    }

    /// Sends what there is space for; tells how many.
    #[inline(always)]
    pub(crate) fn try_send_batch(&self, batch: Borrowed<'_, '_, PyAny>) -> PyResult<usize> {
        let items = batch_to_send(batch, &self.item)?;
        let (mut pass, tx) = self.enter_to_send()?;
        self.put_all(batch.py(), &mut pass, tx, &items).map_err(|_| closed())
    }

    #[inline(always)]
    fn put_all(
        &self,
        py: Python<'_>,
        pass: &mut Pass<'_>,
        tx: &mut bchan::Producer,
        items: &Items<'_, '_>,
    ) -> Result<usize, Stop> {
        let (data, len) = (Shared(items.data), items.len);
        if len * self.item.size() < MUCH {
            // SAFETY: `items` has that many items of the channel's size.
            return unsafe { tx.try_send_from(data.get(), len) };
        }
        pass.mark();
        // SAFETY: as above; `items` keeps them there.
        detached(py, || unsafe { tx.try_send_from(data.get(), len) })
    }

    /// Sends all of a batch, waiting while the lane is full. What it raises has `sent`.
    #[inline(always)]
    pub(crate) fn send_batch(&self, batch: Borrowed<'_, '_, PyAny>, timeout: Timeout) -> PyResult<()> {
        let items = batch_to_send(batch, &self.item)?;
        let (mut pass, tx) = self.enter_to_send()?;
        match self.put_all(batch.py(), &mut pass, tx, &items) {
            Ok(sent) if sent == items.len => Ok(()),
            outcome => self.send_batch_contended(batch.py(), pass, tx, &items, outcome, timeout),
        }
    }

    #[cold]
    fn send_batch_contended(
        &self,
        py: Python<'_>,
        mut pass: Pass<'_>,
        tx: &mut bchan::Producer,
        items: &Items<'_, '_>,
        outcome: Result<usize, Stop>,
        timeout: Timeout,
    ) -> PyResult<()> {
        pass.mark();
        let mut sent = 0;
        let outcome = outcome.map_err(|_| closed()).and_then(|first| {
            sent = first;
            self.send_rest(py, &pass, tx, items, &mut sent, timeout)
        });
        outcome.map_err(|error| with_sent(py, error, sent))
    }

    /// Sends `items[sent..]` without the GIL, and counts.
    fn send_rest(
        &self,
        py: Python<'_>,
        pass: &Pass<'_>,
        tx: &mut bchan::Producer,
        items: &Items<'_, '_>,
        sent: &mut usize,
        timeout: Timeout,
    ) -> PyResult<()> {
        let late = || self.late("send_batch", timeout);
        if timeout.is_zero() {
            return Err(PyTimeoutError::new_err(late()));
        }
        let (deadline, data, len, size) =
            (timeout.deadline(), Shared(items.data), items.len, self.item.size());
        loop {
            let outcome = detached(py, || {
                while *sent < len {
                    tx.wait_for_space(deadline)?;
                    // SAFETY: `items` has `len` items of this size, and keeps them there.
                    *sent += unsafe { tx.try_send_from(data.get().add(*sent * size), len - *sent)? };
                }
                Ok(())
            });
            match outcome {
                Ok(()) => return Ok(()),
                Err(Stop::Interrupted) => pass.check_signals(py)?,
                Err(stop) => return Err(from_stop(stop, late)),
            }
        }
    }
}

#[cold]
fn closed() -> PyErr {
    Closed::new_err("the channel is closed")
}

#[cold]
fn refusal(is_reserved: bool) -> PyErr {
    if is_reserved {
        PyRuntimeError::new_err("a reservation is open: commit() or abort() it first")
    } else {
        Closed::new_err("this producer is closed")
    }
}

/// `error` with the attribute `sent`: how many items of the batch went.
#[cold]
fn with_sent(py: Python<'_>, error: PyErr, sent: usize) -> PyErr {
    // Made by CPython right here. PyO3 would let go of the GIL for it, and come back unguarded.
    error.restore(py);
    let error = PyErr::fetch(py);
    match error.value(py).setattr(pyo3::intern!(py, "sent"), sent) {
        Ok(()) => error,
        Err(worse) => worse,
    }
}

#[pymethods]
impl Producer {
    #[new]
    fn new(py: Python<'_>, channel: &Channel) -> PyResult<Self> {
        let core = channel.core()?;
        let (item, mapping) = (ItemType::new(channel.descr().bind(py))?, Mapping::of(py, core.clone())?);
        // Registered last: a producer that comes and fails would be one that has left.
        let tx = core.producer().map_err(from_handle)?;
        Ok(Self {
            gate: Gate::new("producer"),
            inner: UnsafeCell::new(Inner { tx: Some(tx), reserved: None }),
            item,
            capacity: core.capacity(),
            mapping,
        })
    }

    /// Closes this handle and gives its place back; what it sent stays. Closing twice is harmless.
    fn close(&self) -> PyResult<()> {
        if self.gate.is_closed() {
            return Ok(());
        }
        let (pass, inner) = self.enter()?;
        let (slots, tx) = (end_reservation(inner), inner.tx.take());
        pass.close();
        drop(tx);
        drop(slots);
        Ok(())
    }

    /// Whether these are the slots of the open reservation.
    fn _is_open(&self, slots: &Bound<'_, PyAny>) -> PyResult<bool> {
        if self.gate.is_closed() {
            return Ok(false);
        }
        let (_pass, inner) = self.enter()?;
        Ok(inner.reserved.as_ref().is_some_and(|(open, _)| open.is(slots)))
    }

    /// Whether this handle was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.gate.is_closed()
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let inner = self.inner.get_mut();
        // Its slots are another producer's soon.
        if let Some((slots, _)) = &inner.reserved {
            array::freeze(slots);
        }
        if !self.gate.is_home() {
            // The parent process still uses what we would give back.
            std::mem::forget(inner.tx.take());
        }
    }
}
