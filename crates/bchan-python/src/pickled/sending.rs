//! What the sending calls do with objects for any process, of a producer and of a channel that needs none.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::{Borrowed, ffi};

use super::MOST_OBJECTS;
use super::encoding::Encoded;
use crate::arguments::Timeout;
use crate::call::CallDeadline;
use crate::detached::MUCH;
use crate::frames::buffer::too_long;
use crate::frames::sending::FrameOutlet;
use crate::made::Make;
use crate::memory::{collected, push};
use crate::methods::boolean;
use crate::objects::{listed_to_try, send_all};

/// Sends a small built-in if nothing is out of the ordinary. Tells whether; if not, nothing was done.
#[inline(always)]
fn send_fast(outlet: &impl FrameOutlet, object: Borrowed<'_, '_, PyAny>) -> bool {
    Encoded::quick(object).is_some_and(|message| message.len() < MUCH && outlet.send_fast(&message))
}

#[inline(always)]
pub(crate) fn try_send(outlet: &impl FrameOutlet, object: Borrowed<'_, '_, PyAny>) -> PyResult<bool> {
    if send_fast(outlet, object) {
        return Ok(true);
    }
    if let Ok(encoding) = object.cast_exact::<Encoding>() {
        return encoding.get().try_send(object.py(), outlet);
    }
    let message = Encoded::of(object, outlet.most())?;
    outlet.send_with(object.py(), |call| call.try_send(object.py(), &message))
}

/// The same for a task of an event loop: true, false, or the object's [`Encoding`] for the next attempts.
#[inline(always)]
pub(crate) fn send_ready(
    outlet: &impl FrameOutlet,
    object: Borrowed<'_, '_, PyAny>,
) -> PyResult<*mut ffi::PyObject> {
    if send_fast(outlet, object) {
        return Ok(boolean(true));
    }
    let (py, encoding) = (object.py(), Encoding::of(object, outlet.most())?);
    match encoding.try_send(py, outlet)? {
        true => Ok(boolean(true)),
        false => encoding.make(py).map(Bound::into_ptr),
    }
}

/// An object on its way out, which stays encoded while its sender waits: what its pickling runs, runs once.
/// Opaque to Python; the sending calls take it in place of the object.
#[pyclass(frozen, module = "bchan._core")]
pub(crate) struct Encoding {
    message: Encoded<'static>,
    /// What lends the message its bytes.
    object: Py<PyAny>,
}

impl Encoding {
    pub(crate) fn of(object: Borrowed<'_, '_, PyAny>, most: usize) -> PyResult<Self> {
        let owner = object.to_owned().unbind();
        // SAFETY: the object that lends the bytes is kept with them.
        let object = unsafe { Borrowed::from_ptr(object.py(), owner.as_ptr()) };
        Ok(Self { message: Encoded::of(object, most)?.kept(), object: owner })
    }

    /// The same as an object.
    pub(crate) fn made<'py>(object: &Bound<'py, PyAny>, most: usize) -> PyResult<Bound<'py, PyAny>> {
        Self::of(object.as_borrowed(), most)?.make(object.py())
    }

    fn try_send(&self, py: Python<'_>, outlet: &impl FrameOutlet) -> PyResult<bool> {
        let (len, most) = (self.message.len(), outlet.most());
        if len > most {
            return Err(too_long(len, most));
        }
        outlet.send_with(py, |call| call.try_send(py, &self.message))
    }
}

#[pymethods]
impl Encoding {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.object)
    }
}

impl Make for Encoding {
    fn make(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        Bound::new(py, self).map(Bound::into_any)
    }
}

/// Messages, and how many objects each has.
pub(crate) type Encodings = Vec<(Encoding, usize)>;

/// A batch as messages, with how many objects each has. All are pickled before the first is sent.
pub(crate) fn encode_batch<'py>(
    outlet: &impl FrameOutlet,
    batch: Borrowed<'_, 'py, PyAny>,
) -> PyResult<Encodings> {
    let objects = listed_to_try(batch)?;
    let mut messages = Vec::new();
    chunks(&objects, outlet.most(), &mut messages)?;
    let mut rest = &objects[..];
    let keep = |(message, n): Chunk<'_>| {
        let (some, others) = rest.split_at(n);
        rest = others;
        // Only one that is alone lends its bytes.
        (Encoding { message: message.kept(), object: some[0].clone().unbind() }, n)
    };
    let n = messages.len();
    collected(batch.py(), n, messages.into_iter().map(keep).map(Ok))
}

#[inline(always)]
pub(crate) fn send(
    outlet: &impl FrameOutlet,
    object: Borrowed<'_, '_, PyAny>,
    timeout: Timeout,
) -> PyResult<()> {
    if send_fast(outlet, object) { Ok(()) } else { send_any(outlet, object, timeout) }
}

fn send_any(outlet: &impl FrameOutlet, object: Borrowed<'_, '_, PyAny>, timeout: Timeout) -> PyResult<()> {
    let message = Encoded::of(object, outlet.most())?;
    if message.len() < MUCH && outlet.send_fast(&message) {
        return Ok(());
    }
    let py = object.py();
    outlet.send_with(py, |call| call.send(py, "send", &message, &mut CallDeadline::new(timeout)))
}

/// A frame's worth of a batch, and how many objects that is.
type Chunk<'a> = (Encoded<'a>, usize);

/// Objects as frames: up to 255 in each, fewer if that is longer than a quarter of the longest message, so
/// that several are under way at once; but any object may be as long as that.
fn chunks<'a>(objects: &'a [Bound<'a, PyAny>], most: usize, into: &mut Vec<Chunk<'a>>) -> PyResult<()> {
    for some in objects.chunks(MOST_OBJECTS) {
        chunk(some, most, into)?;
    }
    Ok(())
}

fn chunk<'a>(objects: &'a [Bound<'a, PyAny>], most: usize, into: &mut Vec<Chunk<'a>>) -> PyResult<()> {
    if let [object] = objects {
        return push(object.py(), into, (Encoded::of(object.as_borrowed(), most)?, 1));
    }
    if let Some(encoded) = Encoded::batch(objects, most / 4)? {
        return push(objects[0].py(), into, (encoded, objects.len()));
    }
    let (some, others) = objects.split_at(objects.len() / 2);
    chunk(some, most, into)?;
    chunk(others, most, into)
}

/// Sends the first objects of a list, a tuple or an array, as many as there is room for; tells how many.
pub(crate) fn try_send_batch(outlet: &impl FrameOutlet, batch: Borrowed<'_, '_, PyAny>) -> PyResult<usize> {
    let objects = listed_to_try(batch)?;
    let mut messages = Vec::new();
    chunks(&objects, outlet.most(), &mut messages)?;
    let mut sent = 0;
    // An empty batch, too, is refused by a channel that is closed.
    outlet.send_with(batch.py(), |_| Ok(()))?;
    for (message, n) in &messages {
        match outlet.send_with(batch.py(), |call| call.try_send(batch.py(), message)) {
            Ok(true) => sent += n,
            Ok(false) => return fill_up(outlet, &objects[sent..sent + n]).map(|more| sent + more),
            Err(error) if sent == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(sent)
}

/// Sends as many of the objects as there is room for, where there is none for all of them at once.
fn fill_up(outlet: &impl FrameOutlet, objects: &[Bound<'_, PyAny>]) -> PyResult<usize> {
    let (mut sent, mut n) = (0, objects.len() / 2);
    while n > 0 && sent + n <= objects.len() {
        let some = &objects[sent..sent + n];
        let mut messages = Vec::new();
        chunk(some, outlet.most(), &mut messages)?;
        let py = some[0].py();
        let is_sent = match &messages[..] {
            [(message, _)] => outlet.send_with(py, |call| call.try_send(py, message))?,
            _ => false,
        };
        if is_sent {
            sent += n;
        } else {
            n /= 2;
        }
    }
    Ok(sent)
}

/// Sends all objects of an iterable, waiting while there is no room. Of a list, a tuple or an array, all are
/// pickled before the first is sent.
pub(crate) fn send_batch(
    outlet: &impl FrameOutlet,
    batch: Borrowed<'_, '_, PyAny>,
    timeout: Timeout,
) -> PyResult<()> {
    let (py, mut deadline_of_call) = (batch.py(), CallDeadline::new(timeout));
    send_all(batch, |objects, sent| {
        let mut messages = Vec::new();
        chunks(objects, outlet.most(), &mut messages)?;
        outlet.send_with(py, |call| {
            for (message, n) in &messages {
                call.send(py, "send_batch", message, &mut deadline_of_call)?;
                *sent += n;
            }
            Ok(())
        })
    })
}

/// How many bytes an event loop waits to send.
pub(crate) fn len_of(outlet: &impl FrameOutlet, object: Option<Borrowed<'_, '_, PyAny>>) -> PyResult<usize> {
    let Some(object) = object else { return Ok(0) };
    if let Ok(encoding) = object.cast_exact::<Encoding>() {
        return Ok(encoding.get().message.len());
    }
    Encoded::of(object, outlet.most()).map(|message| message.len())
}
