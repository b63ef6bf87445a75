//! Batches of objects: out of any iterable, and into lists.
//!
//! Iterating runs Python code, and so may waiting. Neither happens while slots are claimed, so whoever
//! uses the same channel from there meets it at rest.

use numpy::PyUntypedArray;
use pyo3::Borrowed;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::arguments::{Timeout, describe};
use crate::call::CallDeadline;
use crate::detached::{PyIter_Next, PyObject_GetIter};
use crate::errors::{Raise, with_attribute, with_sent};
use crate::made;
use crate::memory::collected;
use crate::references::send_some;
use crate::sending::Outlet;

/// Sends the first objects of a list, a tuple or an array, as many as there is space for; tells how many.
pub(crate) fn try_send_batch(
    outlet: &(impl Outlet + ?Sized),
    batch: Borrowed<'_, '_, PyAny>,
) -> PyResult<usize> {
    let objects = listed_to_try(batch)?;
    outlet.send_with(batch.py(), |call| {
        let mut sent = 0;
        while sent < objects.len() {
            match send_some(call.handle, &objects[sent..]) {
                Ok(0) => break,
                Ok(n) => sent += n,
                Err(error) if sent == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(sent)
    })
}

/// The objects of a list, a tuple or an array, as they are now.
pub(crate) fn listed<'py>(batch: Borrowed<'_, 'py, PyAny>) -> PyResult<Option<Vec<Bound<'py, PyAny>>>> {
    let py = batch.py();
    if let Ok(list) = batch.cast::<PyList>() {
        return collected(py, list.len(), list.iter().map(Ok)).map(Some);
    }
    if let Ok(tuple) = batch.cast::<PyTuple>() {
        return collected(py, tuple.len(), tuple.iter().map(Ok)).map(Some);
    }
    if batch.cast::<PyUntypedArray>().is_err() {
        return Ok(None);
    }
    // One of no dimensions is none: the iterator will say so.
    let Ok(items) = drawn(batch, "an array") else { return Ok(None) };
    collected(py, batch.len()?, items).map(Some)
}

/// The same, of a batch of which only the first may be sent.
pub(crate) fn listed_to_try<'py>(batch: Borrowed<'_, 'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    listed(batch)?.ok_or_else(|| {
        PyTypeError::error(format!(
            "batch must be a list, a tuple or an array, so that what is not sent stays yours, got {}",
            describe(batch)
        ))
    })
}

/// What a batch gives when it is iterated over. PyO3's own iterator takes it that this never unwinds.
pub(crate) struct Drawn<'py>(Bound<'py, PyAny>);

/// The iterator of a batch, which must be `what`.
pub(crate) fn drawn<'py>(batch: Borrowed<'_, 'py, PyAny>, what: &str) -> PyResult<Drawn<'py>> {
    let py = batch.py();
    // SAFETY: an object; null means an exception was set.
    let iterator = unsafe { Bound::from_owned_ptr_or_err(py, PyObject_GetIter(batch.as_ptr())) };
    iterator.map(Drawn).map_err(|error| match error.is_instance_of::<PyTypeError>(py) {
        true => PyTypeError::error(format!("batch must be {what}, got {}", describe(batch))),
        false => error,
    })
}

impl<'py> Iterator for Drawn<'py> {
    type Item = PyResult<Bound<'py, PyAny>>;

    fn next(&mut self) -> Option<Self::Item> {
        let py = self.0.py();
        // SAFETY: an iterator; null means an exception was set, or the end.
        let object = unsafe { Bound::from_owned_ptr_or_opt(py, PyIter_Next(self.0.as_ptr())) };
        object.map(Ok).or_else(|| PyErr::take(py).map(Err))
    }
}

/// Sends all objects of an iterable by `send`, which sends some of them and counts those that went.
///
/// What it raises has `sent`, how many went, and `unsent`, a list of those that were drawn from the iterable
/// and did not go.
pub(crate) fn send_all<'py>(
    batch: Borrowed<'_, 'py, PyAny>,
    mut send: impl FnMut(&[Bound<'py, PyAny>], &mut usize) -> PyResult<()>,
) -> PyResult<()> {
    let (py, mut sent) = (batch.py(), 0);
    let mut send = |objects: &[Bound<'py, PyAny>]| {
        let mut gone = 0;
        let outcome = send(objects, &mut gone);
        sent += gone;
        outcome.map_err(|error| with_unsent(py, error, sent, &objects[gone..]))?;
        Ok(sent)
    };
    if let Some(objects) = listed(batch)? {
        return send(&objects).map(drop);
    }
    // One by one: what an iterator gives shall not wait for what it gives next.
    let mut sent = 0;
    for object in drawn(batch, "an iterable")? {
        let object = object.map_err(|error| with_unsent(py, error, sent, &[]))?;
        sent = send(&[object])?;
    }
    Ok(())
}

/// `error`, saying how many objects were sent, and which were drawn and not sent.
#[cold]
fn with_unsent(py: Python<'_>, error: PyErr, sent: usize, unsent: &[Bound<'_, PyAny>]) -> PyErr {
    let unsent = made::list(py, unsent.len(), unsent.iter().cloned().map(Ok));
    unsent.map_or_else(
        |worse| worse,
        |unsent| with_attribute(py, with_sent(py, error, sent), c"unsent", unsent),
    )
}

/// Sends all objects of an iterable, waiting while there is no space.
pub(crate) fn send_batch(
    outlet: &(impl Outlet + ?Sized),
    batch: Borrowed<'_, '_, PyAny>,
    timeout: Timeout,
) -> PyResult<()> {
    let (py, mut deadline_of_call) = (batch.py(), CallDeadline::new(timeout));
    send_all(batch, |objects, sent| {
        outlet.send_with(py, |call| {
            while *sent < objects.len() {
                match send_some(call.handle, &objects[*sent..])? {
                    0 => call.wait_for_space(py, "send_batch", &mut deadline_of_call)?,
                    n => *sent += n,
                }
            }
            Ok(())
        })
    })
}
