//! What the sending calls do, of a producer and of a channel that needs none.

use bchan::{SendError, Sending};
use pyo3::prelude::*;
use pyo3::{Borrowed, ffi};

use crate::arguments::Timeout;
use crate::array::{Items, batch_to_send};
use crate::call::{Call, CallDeadline, wait};
use crate::detached::{MUCH, Shared, detached};
use crate::errors::{Unmet, with_sent};
use crate::guard::Entry;
use crate::item::{Encoded, ItemType};
use crate::methods::boolean;
use crate::{objects, references};

/// Sends a number or an object if there is space; tells whether. If not, nothing was done.
#[inline(always)]
pub(crate) fn send_bits(tx: &mut impl Sending, item: &ItemType, bits: u64) -> bool {
    if item.is_object() {
        return references::send(tx, bits as *mut ffi::PyObject, || ());
    }
    if tx.claim(1) == 0 {
        return false;
    }
    // SAFETY: the slot is ours, and the channel's items are of this type.
    unsafe { item.write_bits(bits, tx.slots(1)) };
    tx.commit(1).is_ok()
}

impl<H: Sending + Send, E: Entry> Call<'_, H, E> {
    /// Sends one item if there is space; tells whether.
    #[cold]
    pub(crate) fn try_send(&mut self, encoded: &Encoded<'_>) -> PyResult<bool> {
        let tx = &mut *self.handle;
        let sent = match encoded {
            Encoded::Bits(bits) => send_bits(tx, self.item, *bits),
            Encoded::Array(_) if tx.claim(1) == 0 => false,
            Encoded::Array(_) => {
                // SAFETY: the slot is ours, and the channel's items are of this type.
                unsafe { self.item.write(encoded, tx.slots(1)) };
                tx.commit(1).is_ok()
            }
        };
        if !sent && tx.is_closed() { Err(tx.send_error().refusal()) } else { Ok(sent) }
    }

    /// Sends one item, waiting while there is no space.
    #[cold]
    pub(crate) fn send(&mut self, py: Python<'_>, encoded: &Encoded<'_>, timeout: Timeout) -> PyResult<()> {
        let mut deadline_of_call = CallDeadline::new(timeout);
        while !self.try_send(encoded)? {
            self.wait_for_space(py, "send", &mut deadline_of_call)?;
        }
        Ok(())
    }

    /// Waits until there is space, or was a moment ago.
    #[cold]
    pub(crate) fn wait_for_space(
        &mut self,
        py: Python<'_>,
        call: &str,
        deadline_of_call: &mut CallDeadline,
    ) -> PyResult<()> {
        let tx = &mut *self.handle;
        let capacity = tx.capacity();
        let full = || format!("all {capacity} slots are full");
        wait(py, &mut self.entry, call, deadline_of_call, full, |deadline| tx.wait_for_space(deadline))
    }

    /// Sends what there is space for; tells how many.
    #[inline(always)]
    pub(crate) fn try_send_batch<'py>(
        &mut self,
        py: Python<'py>,
        items: &Items<'_, 'py>,
    ) -> Result<usize, SendError> {
        let (data, len) = (Shared(items.data), items.len);
        if len * self.item.size() < MUCH {
            // SAFETY: `items` has that many items of the channel's size.
            return unsafe { self.handle.try_send_from(data.get(), len) };
        }
        self.entry.mark();
        let _held = items.hold(py);
        let tx = &mut *self.handle;
        // SAFETY: as above; `items` keeps them there.
        detached(py, || unsafe { tx.try_send_from(data.get(), len) })
    }

    /// Sends all of a batch, waiting while there is no space. What it raises has `sent`.
    #[inline(always)]
    pub(crate) fn send_batch<'py>(
        &mut self,
        py: Python<'py>,
        items: &Items<'_, 'py>,
        timeout: Timeout,
    ) -> PyResult<()> {
        match self.try_send_batch(py, items) {
            Ok(sent) if sent == items.len => Ok(()),
            outcome => self.send_batch_contended(py, items, outcome, timeout),
        }
    }

    #[cold]
    fn send_batch_contended<'py>(
        &mut self,
        py: Python<'py>,
        items: &Items<'_, 'py>,
        outcome: Result<usize, SendError>,
        timeout: Timeout,
    ) -> PyResult<()> {
        self.entry.mark();
        let mut sent = 0;
        let outcome = outcome.map_err(SendError::refusal).and_then(|first| {
            sent = first;
            self.send_rest(py, items, &mut sent, timeout)
        });
        outcome.map_err(|error| with_sent(py, error, sent))
    }

    /// Sends `items[sent..]` without the GIL, and counts.
    fn send_rest<'py>(
        &mut self,
        py: Python<'py>,
        items: &Items<'_, 'py>,
        sent: &mut usize,
        timeout: Timeout,
    ) -> PyResult<()> {
        let mut deadline_of_call = CallDeadline::new(timeout);
        let (data, len, size) = (Shared(items.data), items.len, self.item.size());
        let _held = items.hold(py);
        let tx = &mut *self.handle;
        let capacity = tx.capacity();
        let full = || format!("all {capacity} slots are full");
        wait(py, &mut self.entry, "send_batch", &mut deadline_of_call, full, |deadline| {
            while *sent < len {
                tx.wait_for_space(deadline)?;
                // SAFETY: `items` has `len` items of this size, and keeps them there.
                *sent += unsafe { tx.try_send_from(data.get().add(*sent * size), len - *sent)? };
            }
            Ok::<_, SendError>(())
        })
    }
}

/// Something whose calls send: a producer, or a channel that needs none.
pub(crate) trait Outlet {
    fn item(&self) -> &ItemType;

    /// Lets a call in, or says why it can't, and runs it.
    fn send_with<T>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut Call<'_, Self::Handle<'_>, Self::Entry<'_>>) -> PyResult<T>,
    ) -> PyResult<T>;

    type Handle<'a>: Sending + Send
    where
        Self: 'a;
    type Entry<'a>: Entry
    where
        Self: 'a;

    /// Sends a number or an object if nothing is out of the ordinary. Tells whether; if not, nothing was
    /// done.
    fn send_fast(&self, item: Borrowed<'_, '_, PyAny>) -> bool;

    /// The same for a task of an event loop.
    #[inline(always)]
    fn send_ready(&self, item: Borrowed<'_, '_, PyAny>) -> PyResult<*mut ffi::PyObject> {
        Ok(boolean(self.send_fast(item)))
    }

    #[inline(always)]
    fn try_send(&self, item: Borrowed<'_, '_, PyAny>) -> PyResult<bool> {
        if self.send_fast(item) { Ok(true) } else { self.try_send_any(item) }
    }

    #[cold]
    fn try_send_any(&self, item: Borrowed<'_, '_, PyAny>) -> PyResult<bool> {
        let encoded = self.item().encode(item)?;
        self.send_with(item.py(), |call| call.try_send(&encoded))
    }

    #[inline(always)]
    fn send(&self, item: Borrowed<'_, '_, PyAny>, timeout: Timeout) -> PyResult<()> {
        if self.send_fast(item) { Ok(()) } else { self.send_any(item, timeout) }
    }

    #[cold]
    fn send_any(&self, item: Borrowed<'_, '_, PyAny>, timeout: Timeout) -> PyResult<()> {
        let encoded = self.item().encode(item)?;
        self.send_with(item.py(), |call| call.send(item.py(), &encoded, timeout))
    }

    #[inline(always)]
    fn try_send_batch(&self, batch: Borrowed<'_, '_, PyAny>) -> PyResult<usize> {
        if self.item().is_object() {
            return objects::try_send_batch(self, batch);
        }
        let items = batch_to_send(batch, self.item())?;
        let py = batch.py();
        self.send_with(py, |call| call.try_send_batch(py, &items).map_err(SendError::refusal))
    }

    #[inline(always)]
    fn send_batch(&self, batch: Borrowed<'_, '_, PyAny>, timeout: Timeout) -> PyResult<()> {
        if self.item().is_object() {
            return objects::send_batch(self, batch, timeout);
        }
        let items = batch_to_send(batch, self.item())?;
        let py = batch.py();
        self.send_with(py, |call| call.send_batch(py, &items, timeout))
    }
}
