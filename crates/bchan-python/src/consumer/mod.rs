//! The consumer's handle. How its calls go is told in `producer`.

pub(crate) mod batches;
mod view;

use std::cell::UnsafeCell;
use std::ptr;
use std::time::{Duration, Instant};

use bchan::{Deadline, Stop};
use pyo3::exceptions::{PyRuntimeError, PyTimeoutError};
use pyo3::prelude::*;
use pyo3::{Borrowed, ffi};

use self::view::end_view;
use crate::arguments::{Timeout, count};
use crate::array::{self, Items, Mapping, buffer_to_fill};
use crate::channel::Channel;
use crate::detached::{MUCH, Shared, detached};
use crate::errors::{Closed, end_of_channel, from_handle, from_stop};
use crate::gate::{Gate, Pass};
use crate::item::ItemType;

/// What a call works on, once the gate has let it in.
struct Inner {
    /// `None` once closed.
    rx: Option<bchan::Consumer>,
    /// The view that `peek` gave, and its length, until released.
    peeked: Option<(Py<PyAny>, usize)>,
}

/// The consumer of a channel. Its hot methods are set by `methods`.
#[pyclass(frozen, subclass, weakref, module = "bchan._core")]
pub(crate) struct Consumer {
    gate: Gate,
    inner: UnsafeCell<Inner>,
    item: ItemType,
    /// Owner of the views.
    mapping: Py<PyAny>,
}

// SAFETY: `inner` is touched only by a call that holds the gate's pass.
unsafe impl Sync for Consumer {}

impl Consumer {
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "the pass makes it the only reference")]
    fn enter(&self) -> PyResult<(Pass<'_>, &mut Inner)> {
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

    /// Lets a call in that receives, or says why it can't.
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "the pass makes it the only reference")]
    fn enter_to_receive(&self) -> PyResult<(Pass<'_>, &mut bchan::Consumer)> {
        let (pass, inner) = self.enter()?;
        match (&mut inner.rx, &inner.peeked) {
            (Some(rx), None) => Ok((pass, rx)),
            (_, peeked) => Err(refusal(peeked.is_some())),
        }
    }

    /// Receives a number if nothing is out of the ordinary; null if something is, and then nothing
    /// was done.
    #[inline(always)]
    fn receive_quickly(&self, py: Python<'_>) -> *mut ffi::PyObject {
        let Some((_pass, inner)) = self.enter_quickly() else { return ptr::null_mut() };
        let (Some(rx), None) = (&mut inner.rx, &inner.peeked) else { return ptr::null_mut() };
        if self.item.is_foreign() || rx.poll(1) == 0 {
            return ptr::null_mut();
        }
        // SAFETY: there is a message, and the channel's items are of this type.
        let object = unsafe { self.item.decode(py, rx.front(1)) };
        if object.is_null() {
            // SAFETY: this thread is attached. The long way will fail again, and say so.
            unsafe { ffi::PyErr_Clear() };
        } else {
            rx.release(1);
        }
        object
    }

    /// Receives one item; `Ok(null)` when there is none.
    #[inline(always)]
    pub(crate) fn try_receive(&self, py: Python<'_>) -> PyResult<*mut ffi::PyObject> {
        let object = self.receive_quickly(py);
        if object.is_null() { self.try_receive_any(py) } else { Ok(object) }
    }

    #[cold]
    fn try_receive_any(&self, py: Python<'_>) -> PyResult<*mut ffi::PyObject> {
        let (mut pass, rx) = self.enter_to_receive()?;
        if rx.poll(1) == 0 {
            return if rx.is_ended() { Err(end_of_channel()) } else { Ok(ptr::null_mut()) };
        }
        self.take(py, &mut pass, rx)
    }

    /// Makes an object of the next message, which must be there, and only then lets go of it.
    #[inline(always)]
    fn take(
        &self,
        py: Python<'_>,
        pass: &mut Pass<'_>,
        rx: &mut bchan::Consumer,
    ) -> PyResult<*mut ffi::PyObject> {
        if self.item.is_foreign() {
            pass.mark();
        }
        // SAFETY: there is a message, and the channel's item size is this type's.
        let object = unsafe { self.item.decode(py, rx.front(1)) };
        if object.is_null() {
            return Err(PyErr::fetch(py));
        }
        rx.release(1);
        Ok(object)
    }

    /// Receives one item, waiting for it.
    #[inline(always)]
    pub(crate) fn receive(&self, py: Python<'_>, timeout: Timeout) -> PyResult<*mut ffi::PyObject> {
        let object = self.receive_quickly(py);
        if object.is_null() { self.receive_any(py, timeout) } else { Ok(object) }
    }

    #[cold]
    fn receive_any(&self, py: Python<'_>, timeout: Timeout) -> PyResult<*mut ffi::PyObject> {
        let (mut pass, rx) = self.enter_to_receive()?;
        if rx.poll(1) == 0 {
            self.wait(py, &mut pass, rx, "receive", timeout)?;
        }
        self.take(py, &mut pass, rx)
    }

    /// The next batch of up to `n`, a new array; `None` at the end of the channel.
    fn next_batch<'py>(&self, n: Borrowed<'_, 'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (py, wanted) = (n.py(), count(n, "n")?);
        let (mut pass, rx) = self.enter_to_receive()?;
        if rx.poll(1) == 0 && !self.wait_or_end(py, &mut pass, rx)? {
            return Ok(None);
        }
        self.take_batch(py, &mut pass, rx, wanted).map(Some)
    }

    /// Receives one item for an iterator: null at the end of the channel.
    fn receive_or_end(&self, py: Python<'_>) -> PyResult<*mut ffi::PyObject> {
        let object = self.receive_quickly(py);
        if !object.is_null() {
            return Ok(object);
        }
        let (mut pass, rx) = self.enter_to_receive()?;
        if rx.poll(1) == 0 && !self.wait_or_end(py, &mut pass, rx)? {
            return Ok(ptr::null_mut());
        }
        self.take(py, &mut pass, rx)
    }

    /// Waits until there is a message; false at the end of the channel.
    #[cold]
    fn wait_or_end(&self, py: Python<'_>, pass: &mut Pass<'_>, rx: &mut bchan::Consumer) -> PyResult<bool> {
        pass.mark();
        loop {
            match detached(py, || rx.wait_for_message(Deadline::NEVER)) {
                Ok(()) => return Ok(true),
                Err(Stop::Ended) => return Ok(false),
                Err(Stop::Interrupted) => pass.check_signals(py)?,
                Err(stop) => return Err(from_stop(stop, String::new)),
            }
        }
    }

    /// Waits until there is a message, and leaves it there.
    #[cold]
    fn wait(
        &self,
        py: Python<'_>,
        pass: &mut Pass<'_>,
        rx: &mut bchan::Consumer,
        call: &str,
        timeout: Timeout,
    ) -> PyResult<()> {
        self.wait_and(py, pass, rx, call, timeout, |_| ())
    }

    /// Waits until there is a message, and then does what needs no Python before the GIL is back.
    #[cold]
    fn wait_and<T: Send>(
        &self,
        py: Python<'_>,
        pass: &mut Pass<'_>,
        rx: &mut bchan::Consumer,
        call: &str,
        timeout: Timeout,
        then: impl Fn(&mut bchan::Consumer) -> T + Sync,
    ) -> PyResult<T> {
        pass.mark();
        let late = || format!("{call} timed out after {timeout}: the channel is empty");
        if timeout.is_zero() {
            return Err(if rx.is_ended() { end_of_channel() } else { PyTimeoutError::new_err(late()) });
        }
        let deadline = timeout.deadline();
        loop {
            match detached(py, || rx.wait_for_message(deadline).map(|()| then(rx))) {
                Ok(done) => return Ok(done),
                Err(Stop::Interrupted) => pass.check_signals(py)?,
                Err(stop) => return Err(from_stop(stop, late)),
            }
        }
    }

    /// Fills a buffer with what is there; tells how many.
    #[inline(always)]
    pub(crate) fn try_receive_into(&self, buffer: Borrowed<'_, '_, PyAny>) -> PyResult<usize> {
        let items = buffer_to_fill(buffer, &self.item)?;
        let (mut pass, rx) = self.enter_to_receive()?;
        match self.fill(buffer.py(), &mut pass, rx, &items) {
            0 if rx.is_ended() => Err(end_of_channel()),
            received => Ok(received),
        }
    }

    #[inline(always)]
    fn fill(
        &self,
        py: Python<'_>,
        pass: &mut Pass<'_>,
        rx: &mut bchan::Consumer,
        items: &Items<'_, '_>,
    ) -> usize {
        let (data, len) = (Shared(items.data), items.len);
        if len * self.item.size() < MUCH || rx.poll(len) * self.item.size() < MUCH {
            // SAFETY: `items` has room for that many items of the channel's size.
            return unsafe { rx.try_receive_to(data.get(), len) };
        }
        pass.mark();
        // SAFETY: as above; `items` keeps the memory there.
        detached(py, || unsafe { gather(rx, data.get(), len, self.item.size()) })
    }

    /// Fills a buffer with what is there, waiting for the first; tells how many.
    #[inline(always)]
    pub(crate) fn receive_into(&self, buffer: Borrowed<'_, '_, PyAny>, timeout: Timeout) -> PyResult<usize> {
        let items = buffer_to_fill(buffer, &self.item)?;
        let (mut pass, rx) = self.enter_to_receive()?;
        match self.fill(buffer.py(), &mut pass, rx, &items) {
            0 => self.receive_into_contended(buffer.py(), pass, rx, &items, timeout),
            received => Ok(received),
        }
    }

    #[cold]
    fn receive_into_contended(
        &self,
        py: Python<'_>,
        mut pass: Pass<'_>,
        rx: &mut bchan::Consumer,
        items: &Items<'_, '_>,
        timeout: Timeout,
    ) -> PyResult<usize> {
        let (data, len) = (Shared(items.data), items.len);
        // SAFETY: `items` has room for `len` items of the channel's size, and keeps it there.
        self.wait_and(py, &mut pass, rx, "receive_into", timeout, |rx| unsafe {
            gather(rx, data.get(), len, self.item.size())
        })
    }

    /// A new array of 1 to `n` items, waiting for the first.
    pub(crate) fn receive_batch<'py>(
        &self,
        n: Borrowed<'_, 'py, PyAny>,
        timeout: Timeout,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, wanted) = (n.py(), count(n, "n")?);
        let (mut pass, rx) = self.enter_to_receive()?;
        if rx.poll(1) == 0 {
            self.wait(py, &mut pass, rx, "receive_batch", timeout)?;
        }
        self.take_batch(py, &mut pass, rx, wanted)
    }

    /// A new array of 0 to `n` items.
    pub(crate) fn try_receive_batch<'py>(&self, n: Borrowed<'_, 'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (py, wanted) = (n.py(), count(n, "n")?);
        let (mut pass, rx) = self.enter_to_receive()?;
        if rx.poll(1) == 0 && rx.is_ended() {
            return Err(end_of_channel());
        }
        self.take_batch(py, &mut pass, rx, wanted)
    }

    fn take_batch<'py>(
        &self,
        py: Python<'py>,
        pass: &mut Pass<'_>,
        rx: &mut bchan::Consumer,
        wanted: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let len = rx.available(wanted);
        let array = array::new_array(py, &self.item, len)?;
        if len > 0 {
            let items = Items::whole(array.as_borrowed());
            let received = self.fill(py, pass, rx, &items);
            debug_assert_eq!(received, len);
        }
        Ok(array)
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
unsafe fn gather(rx: &mut bchan::Consumer, data: *mut u8, len: usize, size: usize) -> usize {
    /// Only a sender that does nothing else is this fast.
    const POUR: usize = 16;
    /// The first message is kept waiting no longer than this.
    const MOST: Duration = Duration::from_millis(1);

    let start = Instant::now();
    // SAFETY: as the caller says.
    let mut received = unsafe { rx.try_receive_to(data, len) };
    while cfg!(not(Py_GIL_DISABLED)) && received < len && start.elapsed() < MOST {
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

#[cold]
fn refusal(is_peeked: bool) -> PyErr {
    if is_peeked {
        PyRuntimeError::new_err("a view is open: release() it first")
    } else {
        Closed::new_err("this consumer is closed")
    }
}

#[pymethods]
impl Consumer {
    #[new]
    fn new(py: Python<'_>, channel: &Channel) -> PyResult<Self> {
        let core = channel.core()?;
        let (item, mapping) = (ItemType::new(channel.descr().bind(py))?, Mapping::of(py, core.clone())?);
        let rx = core.consumer().map_err(from_handle)?;
        Ok(Self {
            gate: Gate::new("consumer"),
            inner: UnsafeCell::new(Inner { rx: Some(rx), peeked: None }),
            item,
            mapping,
        })
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let object = self.receive_or_end(py)?;
        // SAFETY: a new reference, or null.
        Ok(unsafe { Bound::from_owned_ptr_or_opt(py, object) }.map(Bound::unbind))
    }

    /// Closes this handle; the next consumer goes on where it was. Closing twice is harmless.
    fn close(&self) -> PyResult<()> {
        if self.gate.is_closed() {
            return Ok(());
        }
        let (pass, inner) = self.enter()?;
        let (view, rx) = (end_view(inner), inner.rx.take());
        pass.close();
        drop(rx);
        drop(view);
        Ok(())
    }

    /// Whether this is the open view.
    fn _is_open(&self, view: &Bound<'_, PyAny>) -> PyResult<bool> {
        if self.gate.is_closed() {
            return Ok(false);
        }
        let (_pass, inner) = self.enter()?;
        Ok(inner.peeked.as_ref().is_some_and(|(open, _)| open.is(view)))
    }

    /// Whether this handle was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.gate.is_closed()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if !self.gate.is_home() {
            // The parent process still uses what we would give back.
            std::mem::forget(self.inner.get_mut().rx.take());
        }
    }
}
