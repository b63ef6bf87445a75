//! Zero-copy sending: slots reserved, written through a view, and committed.

use std::sync::atomic::Ordering;

use bchan::Sending;
use pyo3::Borrowed;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::threads::{Reserves, this_thread};
use super::{Inner, Producer, refusal};
use crate::arguments::{Timeout, count, count_from};
use crate::array;
use crate::call::{Call, Patience};
use crate::detached::Attached;
use crate::errors::{closed, must_be};

impl Producer {
    /// Claims up to `n` free slots, waiting for the first one.
    pub(crate) fn reserve<'py>(
        &self,
        n: Borrowed<'_, 'py, PyAny>,
        timeout: Timeout,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.item.as_array("reserve")?;
        let (py, wanted) = (n.py(), count(n, "n")?);
        let (mut pass, inner) = self.enter()?;
        let mut patience = Patience::new(timeout);
        loop {
            if let Some(slots) = self.claim(py, inner, wanted)? {
                return Ok(slots);
            }
            let Some(handle) = &mut inner.tx else { return Err(refusal(false)) };
            let mut call = Call { handle, entry: pass, item: &self.item };
            call.wait_for_space(py, "reserve", &mut patience)?;
            pass = call.entry;
        }
    }

    /// Claims up to `n` free slots; `None` when full.
    pub(crate) fn try_reserve<'py>(
        &self,
        n: Borrowed<'_, 'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.item.as_array("try_reserve")?;
        let wanted = count(n, "n")?;
        let (_pass, inner) = self.enter()?;
        self.claim(n.py(), inner, wanted)
    }

    fn claim<'py>(
        &self,
        py: Python<'py>,
        inner: &mut Inner,
        wanted: usize,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (Some(tx), None) = (&mut inner.tx, &inner.reserved) else {
            return Err(refusal(inner.reserved.is_some()));
        };
        if tx.is_closed() {
            return Err(closed());
        }
        let n = tx.reserve(wanted);
        if n == 0 {
            return Ok(None);
        }
        // SAFETY: the slots are ours until committed; `contents` keeps them mapped.
        let slots = unsafe {
            let (owner, data) = (self.contents.bind(py).as_any(), tx.slots(n));
            array::view(owner, &self.item, data, n, true).inspect_err(|_| give_back(tx))?
        };
        inner.reserved = Some((slots.clone().unbind(), n));
        self.reserved_by.store(this_thread(), Ordering::Relaxed);
        Ok(Some(slots))
    }

    /// Sends the first `n` slots of the reservation.
    pub(crate) fn commit(&self, n: Borrowed<'_, '_, PyAny>) -> PyResult<()> {
        let n = count_from(n, "n", 0)?;
        let (pass, inner) = self.enter()?;
        let Some((_, most)) = &inner.reserved else {
            return Err(no_reservation("commit"));
        };
        if n > *most {
            return Err(must_be("n", format_args!("at most {most}, the length of the reservation"), n));
        }
        let slots = self.end_reservation(inner);
        let sent = match (&mut inner.tx, n) {
            (Some(tx), 0) => {
                give_back(tx);
                Ok(())
            }
            (Some(tx), n) => tx.commit(n).map_err(|_| closed()),
            (None, _) => Err(refusal(false)),
        };
        // The view goes last: that may run Python code, which then meets a handle at rest.
        drop(pass);
        drop(slots);
        sent
    }

    /// Ends the reservation, if there is one; gives its view, which is read-only from now on.
    pub(super) fn end_reservation(&self, inner: &mut Inner) -> Option<Attached> {
        let (slots, _) = inner.reserved.take()?;
        self.reserved_by.store(0, Ordering::Relaxed);
        array::freeze(&slots);
        Some(Attached::new(slots))
    }

    /// Gives the reservation back.
    pub(crate) fn abort(&self) -> PyResult<()> {
        let (pass, inner) = self.enter()?;
        let slots = self.end_reservation(inner);
        if let (Some(_), Some(tx)) = (&slots, &mut inner.tx) {
            give_back(tx);
        }
        drop(pass);
        slots.map(drop).ok_or_else(|| no_reservation("abort"))
    }
}

impl Reserves for Producer {
    fn holds_others_up(&self) -> bool {
        self.shares_its_ring
    }

    fn has_reserved(&self, thread: u64) -> bool {
        // Relaxed: who made the reservation sees his own mark, or one that came after.
        self.reserved_by.load(Ordering::Relaxed) == thread && self.gate.is_home()
    }

    fn try_abandon(&self, _py: Python<'_>, thread: u64) -> bool {
        let Some((pass, inner)) = self.enter_quickly() else { return false };
        if self.has_reserved(thread) {
            let slots = self.end_reservation(inner);
            if let Some(tx) = &mut inner.tx {
                give_back(tx);
            }
            drop(pass);
            drop(slots);
        }
        true
    }
}

/// Sends nothing of what was reserved.
fn give_back(tx: &mut bchan::Producer) {
    // A closed channel refuses, but what is refused is none.
    let _ = tx.commit(0);
}

#[cold]
pub(crate) fn no_reservation(call: &str) -> PyErr {
    PyRuntimeError::new_err(format!("{call}() needs an open reservation: call reserve() first"))
}
