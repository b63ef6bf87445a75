//! What the receiving calls do, of a consumer and of a channel that needs none.

use std::time::{Duration, Instant};

use bchan::{ReceiveSlots, Receiving};
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::types::PyList;
use pyo3::{Borrowed, ffi};

use crate::arguments::{Timeout, count};
use crate::array::{self, Items, buffer_to_fill};
use crate::call::{Call, CallDeadline, wait};
use crate::detached::{MUCH, Shared, detached};
use crate::errors::{Raise, end_of_channel};
use crate::guard::Entry;
use crate::item::ItemType;
use crate::made::slice;
use crate::memory::NewList;
use crate::references;

/// What an empty channel is called.
pub(crate) const EMPTY: &str = "the channel is empty";

/// Receives an item that is not foreign, if there is one; null if not, and then nothing was done.
#[inline(always)]
pub(crate) fn receive_bits(py: Python<'_>, rx: &mut impl Receiving, item: &ItemType) -> *mut ffi::PyObject {
    if item.is_object() {
        return references::receive(rx);
    }
    if rx.claim(1) == 0 {
        return std::ptr::null_mut();
    }
    // SAFETY: there is a message, and the channel's items are of this type.
    let object = unsafe { item.decode(py, rx.front(1)) };
    // It can't be made for want of memory alone: then the message stays, and comes again.
    rx.release(usize::from(!object.is_null()));
    object
}

impl<H: Receiving + Send, E: Entry> Call<'_, H, E> {
    /// Receives one item; null when there is none.
    #[inline(always)]
    fn take(&mut self, py: Python<'_>) -> PyResult<*mut ffi::PyObject> {
        if self.item.is_foreign() {
            return self.take_copy(py);
        }
        let object = receive_bits(py, self.handle, self.item);
        match PyErr::take(py) {
            Some(error) if object.is_null() => Err(error),
            _ => Ok(object),
        }
    }

    /// Receives one foreign item: a copy is converted once the message was taken, as that may run Python
    /// code, or fail for what the item is.
    #[cold]
    fn take_copy(&mut self, py: Python<'_>) -> PyResult<*mut ffi::PyObject> {
        let (rx, size) = (&mut *self.handle, self.item.size());
        if rx.claim(1) == 0 {
            return Ok(std::ptr::null_mut());
        }
        let mut copy = Vec::new();
        if copy.try_reserve_exact(size).is_err() {
            rx.release(0);
            return Err(PyMemoryError::error(format!("no memory for a message of {size} bytes")));
        }
        // SAFETY: there is a message of that size, and room for it.
        unsafe {
            rx.front(1).copy_to_nonoverlapping(copy.as_mut_ptr(), size);
            copy.set_len(size);
        }
        rx.release(1);
        self.entry.mark();
        self.item.decode_copy(py, &copy)
    }

    /// Receives one item; null when there is none just now.
    #[cold]
    pub(crate) fn try_receive(&mut self, py: Python<'_>) -> PyResult<*mut ffi::PyObject> {
        let object = self.take(py)?;
        if object.is_null() && self.handle.is_ended() { Err(end_of_channel()) } else { Ok(object) }
    }

    /// Receives one item, waiting for it.
    #[cold]
    pub(crate) fn receive(&mut self, py: Python<'_>, timeout: Timeout) -> PyResult<*mut ffi::PyObject> {
        let mut deadline_of_call = CallDeadline::new(timeout);
        loop {
            let object = self.take(py)?;
            if !object.is_null() {
                return Ok(object);
            }
            self.wait_for_message(py, "receive", &mut deadline_of_call)?;
        }
    }

    /// Waits until there is a message, or was a moment ago.
    #[cold]
    pub(crate) fn wait_for_message(
        &mut self,
        py: Python<'_>,
        call: &str,
        deadline_of_call: &mut CallDeadline,
    ) -> PyResult<()> {
        self.wait_and(py, call, deadline_of_call, |_| ())
    }

    /// Waits until there is a message, or was a moment ago, and then does what needs no Python before
    /// the GIL is back.
    #[cold]
    fn wait_and<T: Send>(
        &mut self,
        py: Python<'_>,
        call: &str,
        deadline_of_call: &mut CallDeadline,
        then: impl Fn(&mut H) -> T + Sync,
    ) -> PyResult<T> {
        let rx = &mut *self.handle;
        if rx.is_ended() {
            return Err(end_of_channel());
        }
        let empty = || EMPTY.to_owned();
        wait(py, &mut self.entry, call, deadline_of_call, empty, |deadline| {
            rx.wait_for_message(deadline).map(|()| then(rx))
        })
    }

    /// Fills a buffer with what is there; tells how many.
    #[inline(always)]
    pub(crate) fn fill<'py>(&mut self, py: Python<'py>, items: &Items<'_, 'py>) -> usize {
        let (data, len, size) = (Shared(items.data), items.len, self.item.size());
        let rx = &mut *self.handle;
        if len * size < MUCH || rx.available(len) * size < MUCH {
            // SAFETY: `items` has room for that many items of the channel's size.
            return unsafe { rx.try_receive_to(data.get(), len) };
        }
        self.entry.mark();
        let _held = items.hold(py);
        // SAFETY: as above; `items` keeps the memory there.
        detached(py, || unsafe { gather(rx, data.get(), len, size) })
    }

    /// Fills a buffer with what is there, waiting for the first; tells how many.
    #[inline(always)]
    pub(crate) fn receive_into<'py>(
        &mut self,
        py: Python<'py>,
        items: &Items<'_, 'py>,
        timeout: Timeout,
    ) -> PyResult<usize> {
        match self.fill(py, items) {
            0 => self.receive_into_contended(py, items, timeout),
            received => Ok(received),
        }
    }

    #[cold]
    fn receive_into_contended<'py>(
        &mut self,
        py: Python<'py>,
        items: &Items<'_, 'py>,
        timeout: Timeout,
    ) -> PyResult<usize> {
        let (data, len, size) = (Shared(items.data), items.len, self.item.size());
        let mut deadline_of_call = CallDeadline::new(timeout);
        let _held = items.hold(py);
        loop {
            // SAFETY: `items` has room for `len` items of the channel's size, and keeps it there.
            let gather = |rx: &mut H| unsafe { gather(rx, data.get(), len, size) };
            let received = self.wait_and(py, "receive_into", &mut deadline_of_call, gather)?;
            if received > 0 {
                return Ok(received);
            }
        }
    }

    /// Up to `wanted` items; `None` when there are none.
    fn take_batch<'py>(&mut self, py: Python<'py>, wanted: usize) -> PyResult<Option<Batch<'py>>> {
        if self.item.is_object() {
            self.entry.mark();
            let objects = references::receive_some(py, self.handle, wanted)?;
            return Ok((!objects.is_empty()).then_some(Batch::Objects(objects)));
        }
        let len = self.handle.available(wanted);
        if len == 0 {
            return Ok(None);
        }
        let array = array::new_array(py, self.item, len).inspect_err(|_| self.handle.release(0))?;
        let received = self.fill(py, &Items::whole(array.as_borrowed()));
        match received == len {
            true => Ok(Some(Batch::Array(array))),
            // It came in two pieces, and another consumer was faster with the second.
            false => Ok(Some(Batch::Front(array, received))),
        }
    }

    /// A new batch of 1 to `wanted` items, waiting for the first.
    pub(crate) fn receive_batch<'py>(
        &mut self,
        py: Python<'py>,
        wanted: usize,
        timeout: Timeout,
    ) -> PyResult<Batch<'py>> {
        let mut deadline_of_call = CallDeadline::new(timeout);
        loop {
            if let Some(batch) = self.take_batch(py, wanted)? {
                return Ok(batch);
            }
            self.wait_for_message(py, "receive_batch", &mut deadline_of_call)?;
        }
    }

    /// A new batch of 0 to `wanted` items.
    pub(crate) fn try_receive_batch<'py>(&mut self, py: Python<'py>, wanted: usize) -> PyResult<Batch<'py>> {
        match self.take_batch(py, wanted)? {
            Some(batch) => Ok(batch),
            None if self.handle.is_ended() => Err(end_of_channel()),
            None if self.item.is_object() => {
                NewList::with_room(py, 0).map(|none| Batch::Objects(none.into_list()))
            }
            None => array::new_array(py, self.item, 0).map(Batch::Array),
        }
    }
}

/// What was received at once.
pub(crate) enum Batch<'py> {
    Array(Bound<'py, PyAny>),
    /// The first so many items of an array.
    Front(Bound<'py, PyAny>, usize),
    Objects(Bound<'py, PyList>),
}

impl<'py> Batch<'py> {
    /// An array, or a list. To make a list or a slice may run the garbage collector, and so any Python code:
    /// it comes when the call on the handle is over.
    fn into_python(self) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Array(array) => Ok(array),
            Self::Front(array, n) => slice(&array, 0, n),
            Self::Objects(objects) => Ok(objects.into_any()),
        }
    }
}

/// Receives what is there and, without the GIL, what pours in meanwhile.
///
/// To come back means to queue for the GIL, and a sender that pours has it: it gives it up when its
/// ring is full, and the hand-over takes longer than filling the ring did. So as long as there are
/// [`POUR`] more messages at each look, about every microsecond, it pays to stay; the sender then
/// finds room and need not stop. `bchan bench mpsc` shows it: without this, half as many a second.
///
/// # Safety
/// `data` must be writable for `len` items of `size` bytes, the channel's.
unsafe fn gather(rx: &mut impl Receiving, data: *mut u8, len: usize, size: usize) -> usize {
    /// Only a sender that does nothing else is this fast.
    const POUR: usize = 16;
    /// The first message is kept waiting no longer than this.
    const MOST: Duration = Duration::from_millis(1);

    let start = Instant::now();
    // SAFETY: as the caller says.
    let mut received = unsafe { rx.try_receive_to(data, len) };
    while cfg!(not(Py_GIL_DISABLED)) && (1..len).contains(&received) && start.elapsed() < MOST {
        (0..64).for_each(|_| std::hint::spin_loop());
        // SAFETY: there is room for `len - received` more.
        let more = unsafe { rx.try_receive_to(data.add(received * size), len - received) };
        received += more;
        if more < POUR {
            break;
        }
    }
    received
}

/// What a timeout stands for when it is the end that matters: nothing, once it has come.
pub(crate) fn unless_ended<T>(py: Python<'_>, outcome: PyResult<T>) -> PyResult<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_instance_of::<crate::errors::EndOfChannel>(py) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What an iterator gives for what a call received: nothing at the end of the channel.
pub(crate) fn next(py: Python<'_>, received: PyResult<*mut ffi::PyObject>) -> PyResult<Option<Py<PyAny>>> {
    let object = unless_ended(py, received)?;
    // SAFETY: what was received is a new reference.
    Ok(object.map(|object| unsafe { Bound::from_owned_ptr(py, object) }.unbind()))
}

/// What a quick call received, or null: if something failed, the long way will fail again.
#[inline(always)]
pub(crate) fn quietly(_py: Python<'_>, object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    if object.is_null() {
        // SAFETY: this thread is attached.
        unsafe { ffi::PyErr_Clear() };
    }
    object
}

/// Something whose calls receive: a consumer, or a channel that needs none.
pub(crate) trait Inlet {
    fn item(&self) -> &ItemType;

    /// Lets a call in, or says why it can't, and runs it.
    fn receive_with<T>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut Call<'_, Self::Handle<'_>, Self::Entry<'_>>) -> PyResult<T>,
    ) -> PyResult<T>;

    type Handle<'a>: Receiving + Send
    where
        Self: 'a;
    type Entry<'a>: Entry
    where
        Self: 'a;

    /// Receives a number or an object if nothing is out of the ordinary; null if something is, and then
    /// nothing was done.
    fn receive_fast(&self, py: Python<'_>) -> *mut ffi::PyObject;

    /// The same for a task of an event loop.
    #[inline(always)]
    fn receive_ready(&self, py: Python<'_>) -> PyResult<*mut ffi::PyObject> {
        Ok(self.receive_fast(py))
    }

    #[inline(always)]
    fn try_receive(&self, py: Python<'_>) -> PyResult<*mut ffi::PyObject> {
        let object = self.receive_fast(py);
        if object.is_null() { self.receive_with(py, |call| call.try_receive(py)) } else { Ok(object) }
    }

    #[inline(always)]
    fn receive(&self, py: Python<'_>, timeout: Timeout) -> PyResult<*mut ffi::PyObject> {
        let object = self.receive_fast(py);
        if object.is_null() { self.receive_with(py, |call| call.receive(py, timeout)) } else { Ok(object) }
    }

    #[inline(always)]
    fn try_receive_into(&self, buffer: Borrowed<'_, '_, PyAny>) -> PyResult<Option<usize>> {
        self.item().as_array("try_receive_into")?;
        let (py, items) = (buffer.py(), buffer_to_fill(buffer, self.item())?);
        self.receive_with(py, |call| match call.fill(py, &items) {
            0 if call.handle.is_ended() => Err(end_of_channel()),
            received => Ok(Some(received)),
        })
    }

    #[inline(always)]
    fn receive_into(&self, buffer: Borrowed<'_, '_, PyAny>, timeout: Timeout) -> PyResult<usize> {
        self.item().as_array("receive_into")?;
        let (py, items) = (buffer.py(), buffer_to_fill(buffer, self.item())?);
        self.receive_with(py, |call| call.receive_into(py, &items, timeout))
    }

    fn receive_batch<'py>(
        &self,
        n: Borrowed<'_, 'py, PyAny>,
        timeout: Timeout,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, wanted) = (n.py(), count(n, "n")?);
        self.receive_with(py, |call| call.receive_batch(py, wanted, timeout))?.into_python()
    }

    fn try_receive_batch<'py>(&self, n: Borrowed<'_, 'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (py, wanted) = (n.py(), count(n, "n")?);
        self.receive_with(py, |call| call.try_receive_batch(py, wanted))?.into_python()
    }
}
