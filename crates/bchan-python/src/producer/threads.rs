//! Reservations whose thread has ended: nobody will commit them, and in a shared ring all that was sent
//! after them waits. Each thread's dictionary holds the list of producers that reserved there; CPython
//! drops it with the thread.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyWeakrefMethods, PyWeakrefReference};
use pyo3::{Borrowed, PyClass, ffi};

use super::Producer;
use crate::detached::detached;
use crate::frames::producer::BytesProducer;

/// A producer that reserves.
pub(crate) trait Reserves {
    /// Whether a reservation of it holds others up.
    fn holds_others_up(&self) -> bool;

    /// Whether its open reservation was made by this thread.
    fn has_reserved(&self, thread: u64) -> bool;

    /// Gives the reservation of this thread back; false if another thread is inside.
    fn try_abandon(&self, py: Python<'_>, thread: u64) -> bool;

    /// Gives the reservation back if this thread made it, which ends.
    fn abandon(&self, py: Python<'_>, thread: u64) {
        while self.has_reserved(thread) && !self.try_abandon(py, thread) {
            // Another thread is inside, for a moment: while a reservation is open no call waits.
            detached(py, std::thread::yield_now);
        }
    }
}

/// The producers that have reserved slots in one thread. Opaque to Python.
#[pyclass(frozen, module = "bchan._core")]
struct Reserving {
    thread: u64,
    producers: Mutex<Vec<Py<PyWeakrefReference>>>,
}

/// Producers in a list that is looked through for those that are gone.
const MANY: usize = 64;

impl Reserving {
    fn lock(&self) -> MutexGuard<'_, Vec<Py<PyWeakrefReference>>> {
        self.producers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reserving {
    fn drop(&mut self) {
        // SAFETY: objects are dropped by attached threads.
        let py = unsafe { Python::assume_attached() };
        let producers = self.producers.get_mut().unwrap_or_else(PoisonError::into_inner);
        for producer in producers.drain(..) {
            let Some(producer) = producer.into_bound(py).upgrade() else { continue };
            if let Ok(producer) = producer.cast::<Producer>() {
                producer.get().abandon(py, self.thread);
            } else if let Ok(producer) = producer.cast::<BytesProducer>() {
                producer.get().abandon(py, self.thread);
            }
        }
    }
}

/// The thread that runs.
pub(crate) fn this_thread() -> u64 {
    // SAFETY: it asks the system.
    unsafe { libc::pthread_self() as u64 }
}

/// Has the reservation that a producer just made given up if this thread ends; gives its slots.
pub(crate) fn remember<'py, P>(
    producer: Borrowed<'_, 'py, P>,
    slots: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>>
where
    P: PyClass<Frozen = pyo3::pyclass::boolean_struct::True> + Reserves + Sync,
{
    if !producer.get().holds_others_up() {
        return Ok(slots);
    }
    match note(producer.as_any().as_borrowed()) {
        Ok(()) => Ok(slots),
        Err(error) => {
            producer.get().abandon(producer.py(), this_thread());
            Err(error)
        }
    }
}

fn note(producer: Borrowed<'_, '_, PyAny>) -> PyResult<()> {
    let py = producer.py();
    let key = pyo3::intern!(py, "bchan._core.Reserving");
    // SAFETY: the running thread's dictionary, or null when it has none to give.
    let Some(dict) = (unsafe { Borrowed::from_ptr_or_opt(py, ffi::PyThreadState_GetDict()) }) else {
        return Ok(());
    };
    let dict = dict.cast::<PyDict>()?;
    let reserving = match dict.get_item(key)? {
        Some(reserving) => reserving,
        None => {
            // To make it may run Python code, which may be here first: its list is the one that stays.
            let new = Bound::new(py, Reserving { thread: this_thread(), producers: Mutex::default() })?;
            dict.call_method1("setdefault", (key, new))?
        }
    };
    let reserving = reserving.cast_into::<Reserving>()?;
    // A producer has one weak reference, which is made once. Nothing that may run Python code happens
    // under the lock.
    let known = PyWeakrefReference::new(&producer)?.unbind();
    let is_it = |other: &Py<PyWeakrefReference>| other.as_ptr() == known.as_ptr();
    let mut producers = reserving.get().lock();
    if !producers.iter().rev().any(is_it) {
        let others = if producers.len() >= MANY { std::mem::take(&mut *producers) } else { Vec::new() };
        producers.push(known);
        drop(producers);
        let is_alive = |other: &Py<PyWeakrefReference>| other.bind(py).upgrade().is_some();
        let alive: Vec<_> = others.into_iter().filter(is_alive).collect();
        reserving.get().lock().splice(0..0, alive);
    }
    Ok(())
}
