//! The producer's handle.

mod claim;
mod threads;

use std::cell::UnsafeCell;
use std::sync::atomic::AtomicU64;

use bchan::Sending;
use pyo3::Borrowed;
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

pub(crate) use self::claim::no_reservation;
pub(crate) use self::threads::{Reserves, remember, this_thread};
use crate::array;
use crate::call::Call;
use crate::channel::Channel;
use crate::contents::Contents;
use crate::errors::Closed;
use crate::gate::{Gate, Pass};
use crate::item::ItemType;
use crate::passing::{self, Passed};
use crate::sending::{Outlet, send_bits};

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
    /// The thread that made the open reservation; 0 if none is open. Written by who holds the gate's pass,
    /// read by a thread that ends.
    reserved_by: AtomicU64,
    item: ItemType,
    /// Whether a reservation of this producer holds others up.
    shares_its_ring: bool,
    /// Owner of the views, and of messages that are objects.
    contents: Py<Contents>,
}

// SAFETY: `inner` is touched only by a call that holds the gate's pass.
unsafe impl Sync for Producer {}

impl Producer {
    /// Lets a call in, or says why it can't.
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

    /// Lets a call in that sends, or says why it can't.
    #[inline(always)]
    pub(crate) fn enter_to_send(&self) -> PyResult<(Pass<'_>, &mut bchan::Producer)> {
        let (pass, inner) = self.enter()?;
        match (&mut inner.tx, &inner.reserved) {
            (Some(tx), None) => Ok((pass, tx)),
            (_, reserved) => Err(refusal(reserved.is_some())),
        }
    }
}

impl Outlet for Producer {
    type Handle<'a> = bchan::Producer;
    type Entry<'a> = Pass<'a>;

    #[inline(always)]
    fn item(&self) -> &ItemType {
        &self.item
    }

    #[inline(always)]
    fn send_with<T>(
        &self,
        _py: Python<'_>,
        work: impl FnOnce(&mut Call<'_, bchan::Producer, Pass<'_>>) -> PyResult<T>,
    ) -> PyResult<T> {
        let (entry, handle) = self.enter_to_send()?;
        work(&mut Call { handle, entry, item: &self.item })
    }

    #[inline(always)]
    fn send_quickly(&self, item: Borrowed<'_, '_, PyAny>) -> bool {
        let Some(bits) = self.item.quick_bits(item) else { return false };
        let Some((_pass, inner)) = self.enter_quickly() else { return false };
        let (Some(tx), None) = (&mut inner.tx, &inner.reserved) else { return false };
        send_bits(tx, &self.item, bits)
    }
}

#[cold]
pub(crate) fn refusal(is_reserved: bool) -> PyErr {
    if is_reserved {
        PyRuntimeError::new_err("a reservation is open: commit() or abort() it first")
    } else {
        Closed::new_err("this producer is closed")
    }
}

#[pymethods]
impl Producer {
    #[new]
    #[pyo3(signature = (channel, ticket=None))]
    fn new(py: Python<'_>, channel: &Channel, ticket: Option<Passed>) -> PyResult<Self> {
        let (core, item) = (channel.core_of_items()?, ItemType::new(channel.descr().bind(py))?);
        let contents = channel.contents().clone_ref(py);
        // Registered last: a producer that comes and fails would be one that has left.
        let handle = passing::registered(ticket, || core.producer(), |ticket| core.producer_of(ticket))?;
        Ok(Self {
            gate: passing::gate(channel, "producer"),
            inner: UnsafeCell::new(Inner { tx: Some(handle), reserved: None }),
            reserved_by: AtomicU64::new(0),
            item,
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
    fn close(&self) -> PyResult<()> {
        if self.gate.close_fresh() {
            // SAFETY: the gate is closed, and nobody is inside.
            drop(unsafe { &mut *self.inner.get() }.tx.take());
        }
        if self.gate.is_closed() {
            return Ok(());
        }
        let (pass, inner) = self.enter()?;
        let (slots, tx) = (self.end_reservation(inner), inner.tx.take());
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

    /// Has an eventfd written once there may be space for the item, unless there may be now: then true.
    #[pyo3(signature = (alarm, item=None))]
    fn _arm_send(&self, alarm: i32, item: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
        // All items need the same.
        let _ = item;
        let (_pass, inner) = self.enter()?;
        Ok(inner.tx.as_mut().is_none_or(|tx| tx.arm(alarm)))
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
