//! Reservations whose thread has ended: nobody will commit them, and in a shared ring all that was sent
//! after them waits. Each thread's dictionary holds the list of producers that reserved there; CPython
//! drops it with the thread.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyWeakrefMethods, PyWeakrefReference};
use pyo3::{Borrowed, ffi};

use crate::producer::Producer;

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
            }
        }
    }
}

/// The thread that runs.
pub(super) fn this_thread() -> u64 {
    // SAFETY: it asks the system.
    unsafe { libc::pthread_self() as u64 }
}

/// By what the list is found in a thread's dictionary; made at the first question.
pub(crate) fn key(py: Python<'_>) -> &Bound<'_, PyString> {
    pyo3::intern!(py, "bchan._core.Reserving")
}

/// Has the reservations of a producer in this thread given up if the thread ends.
pub(super) fn remember(producer: Borrowed<'_, '_, PyAny>) -> PyResult<()> {
    let py = producer.py();
    let key = key(py);
    // SAFETY: the running thread's dictionary, or null when it has none to give.
    let Some(dict) = (unsafe { Borrowed::from_ptr_or_opt(py, ffi::PyThreadState_GetDict()) }) else {
        return Ok(());
    };
    let dict = dict.cast::<PyDict>()?;
    let reserving = match dict.get_item(key)? {
        Some(reserving) => reserving,
        None => {
            let new = Bound::new(py, Reserving { thread: this_thread(), producers: Mutex::default() })?;
            // To make it may have run Python code, which was here first: its list is the one that stays.
            match dict.get_item(key)? {
                Some(first) => first,
                None => dict.set_item(key, &new).map(|()| new.into_any())?,
            }
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
