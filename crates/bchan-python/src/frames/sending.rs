//! What the sending calls do with messages of any length, of a producer and of a channel that needs none.

use bchan::{SendError, SendingFrames};
use pyo3::prelude::*;
use pyo3::{Borrowed, ffi};

use super::buffer::{Message, Payload};
use crate::arguments::Timeout;
use crate::call::{CallDeadline, wait};
use crate::detached::{MUCH, detached};
use crate::errors::Unmet;
use crate::guard::Entry;
use crate::memory::collected;
use crate::methods::boolean;
use crate::objects::{listed_to_try, send_all};

/// What a call works with: a handle of the core, and the right to use it.
pub(crate) struct FrameCall<'a, H, E: Entry> {
    pub(crate) handle: &'a mut H,
    pub(crate) entry: E,
}

impl<H: SendingFrames + Send, E: Entry> FrameCall<'_, H, E> {
    /// Sends a message if there is room; tells whether.
    #[inline(always)]
    pub(crate) fn try_send(&mut self, py: Python<'_>, message: &impl Payload) -> PyResult<bool> {
        let frame = message.frame();
        if frame.len < MUCH {
            return message.put(self.handle).map_err(SendError::refusal);
        }
        if !self.handle.claim(frame.len) {
            return if self.handle.is_closed() { Err(self.handle.send_error().refusal()) } else { Ok(false) };
        }
        self.entry.mark();
        let tx = &mut *self.handle;
        let sent = detached(py, || {
            // SAFETY: the room is ours, and large enough.
            unsafe { message.write_to(tx.room()) };
            tx.commit(frame)
        });
        sent.map(|()| true).map_err(SendError::refusal)
    }

    /// Waits until there is room for a message, and sends it, without the GIL.
    #[cold]
    fn wait_and_send(
        &mut self,
        py: Python<'_>,
        call: &str,
        message: &impl Payload,
        deadline_of_call: &mut CallDeadline,
    ) -> PyResult<()> {
        let (tx, len) = (&mut *self.handle, message.frame().len);
        let full = || format!("no room for {len} bytes");
        wait(py, &mut self.entry, call, deadline_of_call, full, |deadline| {
            loop {
                tx.wait_for_room(len, deadline)?;
                if message.put(tx)? {
                    return Ok::<_, SendError>(());
                }
            }
        })
    }

    /// Sends a message, waiting while there is no room.
    #[cold]
    pub(crate) fn send(
        &mut self,
        py: Python<'_>,
        call: &str,
        message: &impl Payload,
        deadline_of_call: &mut CallDeadline,
    ) -> PyResult<()> {
        match self.try_send(py, message)? {
            true => Ok(()),
            false => self.wait_and_send(py, call, message, deadline_of_call),
        }
    }

    /// Waits until there is room for `len` bytes, or was a moment ago.
    #[cold]
    pub(crate) fn wait_for_room(
        &mut self,
        py: Python<'_>,
        call: &str,
        len: usize,
        deadline_of_call: &mut CallDeadline,
    ) -> PyResult<()> {
        let tx = &mut *self.handle;
        let full = || format!("no room for {len} bytes");
        wait(py, &mut self.entry, call, deadline_of_call, full, |deadline| tx.wait_for_room(len, deadline))
    }
}

/// Something whose calls send messages of any length: a producer, or a channel that needs none.
pub(crate) trait FrameOutlet {
    type Handle<'a>: SendingFrames + Send
    where
        Self: 'a;
    type Entry<'a>: Entry
    where
        Self: 'a;

    /// Lets a call in, or says why it can't, and runs it.
    fn send_with<T>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut FrameCall<'_, Self::Handle<'_>, Self::Entry<'_>>) -> PyResult<T>,
    ) -> PyResult<T>;

    /// Sends a message of a few bytes if nothing is out of the ordinary. Tells whether; if not, nothing was
    /// done.
    fn send_fast(&self, message: &impl Payload) -> bool;

    /// Bytes of the longest message.
    fn most(&self) -> usize;

    #[inline(always)]
    fn send_object_fast(&self, object: Borrowed<'_, '_, PyAny>) -> bool {
        Message::quick(object).is_some_and(|message| message.len < MUCH && self.send_fast(&message))
    }

    /// The same for a task of an event loop.
    #[inline(always)]
    fn send_ready(&self, object: Borrowed<'_, '_, PyAny>) -> PyResult<*mut ffi::PyObject> {
        Ok(boolean(self.send_object_fast(object)))
    }

    #[inline(always)]
    fn try_send(&self, object: Borrowed<'_, '_, PyAny>) -> PyResult<bool> {
        if self.send_object_fast(object) {
            return Ok(true);
        }
        let message = Message::of(object, self.most())?;
        self.send_with(object.py(), |call| call.try_send(object.py(), &message))
    }

    #[inline(always)]
    fn send(&self, object: Borrowed<'_, '_, PyAny>, timeout: Timeout) -> PyResult<()> {
        if self.send_object_fast(object) { Ok(()) } else { self.send_any(object, timeout) }
    }

    #[cold]
    fn send_any(&self, object: Borrowed<'_, '_, PyAny>, timeout: Timeout) -> PyResult<()> {
        let message = Message::of(object, self.most())?;
        let py = object.py();
        self.send_with(py, |call| call.send(py, "send", &message, &mut CallDeadline::new(timeout)))
    }

    /// Sends the first messages of a list, a tuple or an array, as many as there is room for; tells how many.
    fn try_send_batch(&self, batch: Borrowed<'_, '_, PyAny>) -> PyResult<usize> {
        let objects = listed_to_try(batch)?;
        let messages = self.messages(&objects)?;
        self.send_with(batch.py(), |call| {
            let mut sent = 0;
            for message in &messages {
                match call.try_send(batch.py(), message) {
                    Ok(true) => sent += 1,
                    Err(error) if sent == 0 => return Err(error),
                    _ => break,
                }
            }
            Ok(sent)
        })
    }

    /// Sends all messages of an iterable, waiting while there is no room.
    fn send_batch(&self, batch: Borrowed<'_, '_, PyAny>, timeout: Timeout) -> PyResult<()> {
        let (py, mut deadline_of_call) = (batch.py(), CallDeadline::new(timeout));
        send_all(batch, |objects, sent| {
            let messages = self.messages(objects)?;
            self.send_with(py, |call| {
                for message in &messages {
                    call.send(py, "send_batch", message, &mut deadline_of_call)?;
                    *sent += 1;
                }
                Ok(())
            })
        })
    }

    /// The messages that `objects` are, none of them too long.
    fn messages<'a>(&self, objects: &'a [Bound<'_, PyAny>]) -> PyResult<Vec<Message<'a>>> {
        let Some(first) = objects.first() else { return Ok(Vec::new()) };
        let messages = objects.iter().map(|object| Message::of(object.as_borrowed(), self.most()));
        collected(first.py(), objects.len(), messages)
    }

    /// How many bytes an event loop waits to send.
    fn len_of(&self, object: Option<Borrowed<'_, '_, PyAny>>) -> PyResult<usize> {
        object.map_or(Ok(0), |object| Message::of(object, self.most()).map(|message| message.len))
    }
}
