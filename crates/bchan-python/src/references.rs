//! References to objects, where they enter a ring and leave it.
//!
//! A message owns its reference: that is taken before anyone can receive the message, and given back if it was not
//! sent. Whoever receives it has the reference.

use std::ptr::null_mut;

use bchan::{Port, Receiving, Sending};
use pyo3::ffi::{self, PyObject};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::errors::Unmet;
use crate::memory::NewList;

/// Sends an object if there is space; tells whether. `count` runs before anyone can receive it.
#[inline(always)]
pub(crate) fn send(tx: &mut impl Sending, object: *mut PyObject, count: impl FnOnce()) -> bool {
    if tx.claim(1) == 0 {
        return false;
    }
    count();
    // SAFETY: the slot is ours and has room for a reference; the object is in the caller's arguments.
    unsafe {
        ffi::Py_INCREF(object);
        tx.slots(1).cast::<*mut PyObject>().write(object);
    }
    if tx.commit(1).is_ok() {
        return true;
    }
    // SAFETY: as above, so this is not the last reference.
    unsafe { ffi::Py_DECREF(object) };
    false
}

/// The same through a port that is only used under the GIL.
#[inline(always)]
pub(crate) fn send_under_the_gil(port: &Port, object: *mut PyObject) -> bool {
    // SAFETY: the GIL is the lock, and nobody receives before it is let go.
    let sent = unsafe { port.send_word(object as u64) };
    if sent {
        // SAFETY: the object is in the caller's arguments.
        unsafe { ffi::Py_INCREF(object) };
    }
    sent
}

/// Receives an object, if there is one; null if not.
#[inline(always)]
pub(crate) fn receive(rx: &mut impl Receiving) -> *mut PyObject {
    if rx.claim(1) == 0 {
        return null_mut();
    }
    // SAFETY: a message is ours, a reference.
    let object = unsafe { rx.front(1).cast::<*mut PyObject>().read() };
    rx.release(1);
    object
}

/// The same through a port that is only used under the GIL.
#[inline(always)]
pub(crate) fn receive_under_the_gil(port: &Port) -> *mut PyObject {
    // SAFETY: the GIL is the lock.
    let word = unsafe { port.receive_word() };
    word.map_or(null_mut(), |object| object as *mut PyObject)
}

/// Sends as many of `objects` as there is space for, in one claim; tells how many.
pub(crate) fn send_some(tx: &mut impl Sending, objects: &[Bound<'_, PyAny>]) -> PyResult<usize> {
    let n = tx.claim(objects.len());
    if n == 0 {
        return if tx.is_closed() { Err(tx.send_error().refusal()) } else { Ok(0) };
    }
    // SAFETY: `n` slots are ours, each with room for a reference.
    let slots = unsafe { std::slice::from_raw_parts_mut(tx.slots(n).cast::<*mut PyObject>(), n) };
    for (slot, object) in slots.iter_mut().zip(objects) {
        *slot = object.clone().into_ptr();
    }
    tx.commit(n).map(|()| n).map_err(|refusal| {
        // SAFETY: the references that were not sent; the caller has others.
        objects[..n].iter().for_each(|object| unsafe { ffi::Py_DECREF(object.as_ptr()) });
        refusal.refusal()
    })
}

/// Up to `wanted` objects. May run Python code, which then finds the call under way.
pub(crate) fn receive_some<'py>(
    py: Python<'py>,
    rx: &mut impl Receiving,
    wanted: usize,
) -> PyResult<Bound<'py, PyList>> {
    let mut objects = NewList::with_room(py, 0)?;
    while objects.len() < wanted {
        let most = rx.available(wanted - objects.len());
        // Before they are taken off the channel.
        if let Err(error) = objects.reserve(most) {
            rx.release(0);
            return if objects.len() == 0 { Err(error) } else { Ok(objects.into_list()) };
        }
        let n = if most == 0 { 0 } else { rx.claim(most) };
        if n == 0 {
            break;
        }
        // SAFETY: `n` messages are ours, each a reference that we take over.
        let slots = unsafe { std::slice::from_raw_parts(rx.front(n).cast::<*mut PyObject>(), n) };
        // SAFETY: as above.
        slots.iter().for_each(|object| objects.push(unsafe { Bound::from_owned_ptr(py, *object) }));
        rx.release(n);
    }
    Ok(objects.into_list())
}
