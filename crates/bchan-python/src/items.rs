//! The ends of a channel whose messages are items: numbers, records, or objects of this process.

use std::ptr;

use bchan::{Receiving, SendSlots, Sending};
use pyo3::prelude::*;
use pyo3::{Borrowed, ffi};

use crate::arguments::{Timeout, count};
use crate::array;
use crate::call::Call;
use crate::channel::Channel;
use crate::guard::InUse;
use crate::handle::Handle;
use crate::item::ItemType;
use crate::passing::{Passed, registered};
use crate::peeking::Peeked;
use crate::receiving::{Inlet, quietly, receive_bits};
use crate::reserving::{Reserves, Reserving};
use crate::sending::{Outlet, send_bits};

/// What a producer of items is made of.
pub(crate) struct Producer {
    pub(crate) reserving: Reserving<bchan::Producer>,
    item: ItemType,
}

impl Producer {
    pub(crate) fn new(py: Python<'_>, channel: &Channel, token: Option<Passed>) -> PyResult<Self> {
        let (core, item) = (channel.core()?, ItemType::new(channel.descr().bind(py))?);
        let register = || registered(token, || core.producer(), |token| core.tx_of(token));
        Ok(Self { reserving: Reserving::new(py, channel, register)?, item })
    }

    /// A view of up to `wanted` free slots, if there are any.
    fn claim<'py>(
        &self,
        py: Python<'py>,
        tx: &mut bchan::Producer,
        wanted: usize,
    ) -> PyResult<Option<(Bound<'py, PyAny>, usize)>> {
        let n = tx.reserve(wanted);
        if n == 0 {
            return Ok(None);
        }
        let owner = self.reserving.handle.contents.bind(py).as_any();
        // SAFETY: the slots are ours until committed; their owner keeps them mapped.
        let slots = unsafe { array::view(owner, &self.item, tx.slots(n), n, true) };
        Ok(Some((slots.inspect_err(|_| tx.give_back())?, n)))
    }

    /// Claims up to `n` free slots, waiting for the first one.
    pub(crate) fn reserve<'py>(
        &self,
        n: Borrowed<'_, 'py, PyAny>,
        timeout: Timeout,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.item.as_array("reserve")?;
        let (py, wanted) = (n.py(), count(n, "n")?);
        let claim = |tx: &mut _| self.claim(py, tx, wanted);
        self.reserving.reserve(timeout, claim, |handle, entry, deadline_of_call| {
            Call { handle, entry, item: &self.item }.wait_for_space(py, "reserve", deadline_of_call)
        })
    }

    /// Claims up to `n` free slots; `None` when full.
    pub(crate) fn try_reserve<'py>(
        &self,
        n: Borrowed<'_, 'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.item.as_array("try_reserve")?;
        let (py, wanted) = (n.py(), count(n, "n")?);
        self.reserving.try_reserve(|tx| self.claim(py, tx, wanted))
    }
}

impl Outlet for Producer {
    type Handle<'a> = bchan::Producer;
    type Entry<'a> = InUse<'a>;

    #[inline(always)]
    fn item(&self) -> &ItemType {
        &self.item
    }

    #[inline(always)]
    fn send_with<T>(
        &self,
        _py: Python<'_>,
        work: impl FnOnce(&mut Call<'_, bchan::Producer, InUse<'_>>) -> PyResult<T>,
    ) -> PyResult<T> {
        let (entry, handle) = self.reserving.handle.enter_idle()?;
        work(&mut Call { handle, entry, item: &self.item })
    }

    #[inline(always)]
    fn send_fast(&self, item: Borrowed<'_, '_, PyAny>) -> bool {
        let Some(bits) = self.item.quick_bits(item) else { return false };
        let Some((_pass, inner)) = self.reserving.handle.try_acquire() else { return false };
        inner.fast().is_some_and(|tx| send_bits(tx, &self.item, bits))
    }
}

/// What a consumer of items is made of.
pub(crate) struct Consumer {
    pub(crate) handle: Handle<bchan::Consumer, Peeked>,
    item: ItemType,
}

impl Consumer {
    pub(crate) fn new(py: Python<'_>, channel: &Channel, token: Option<Passed>) -> PyResult<Self> {
        let (core, item) = (channel.core()?, ItemType::new(channel.descr().bind(py))?);
        let register = || registered(token, || core.rx(), |token| core.rx_of(token));
        Ok(Self { handle: Handle::new(py, channel, Peeked::default(), register)?, item })
    }

    /// A read-only view of 1 to `n` messages, waiting for the first.
    pub(crate) fn peek<'py>(
        &self,
        n: Borrowed<'_, 'py, PyAny>,
        timeout: Timeout,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.item.as_array("peek")?;
        let (py, wanted) = (n.py(), count(n, "n")?);
        let look = |rx: &mut _| self.look(py, rx, wanted);
        self.handle.peek(timeout, look, |handle, entry, deadline_of_call| {
            Call { handle, entry, item: &self.item }.wait_for_message(py, "peek", deadline_of_call)
        })
    }

    /// A read-only view of 1 to `n` messages; `None` when there are none.
    pub(crate) fn try_peek<'py>(&self, n: Borrowed<'_, 'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.item.as_array("try_peek")?;
        let (py, wanted) = (n.py(), count(n, "n")?);
        self.handle.try_peek(|rx| self.look(py, rx, wanted))
    }

    /// The view for `peek`, if there is anything to see.
    fn look<'py>(
        &self,
        py: Python<'py>,
        rx: &mut bchan::Consumer,
        wanted: usize,
    ) -> PyResult<Option<(Bound<'py, PyAny>, usize)>> {
        let n = rx.peek(wanted);
        if n == 0 {
            return Ok(None);
        }
        let (owner, data) = (self.handle.contents.bind(py).as_any(), rx.front(n).cast_mut());
        // SAFETY: the messages stay until released; their owner keeps them mapped; it is read-only.
        let view = unsafe { array::view(owner, &self.item, data, n, false) };
        Ok(Some((view.inspect_err(|_| rx.release(0))?, n)))
    }
}

impl Inlet for Consumer {
    type Handle<'a> = bchan::Consumer;
    type Entry<'a> = InUse<'a>;

    #[inline(always)]
    fn item(&self) -> &ItemType {
        &self.item
    }

    #[inline(always)]
    fn receive_with<T>(
        &self,
        _py: Python<'_>,
        work: impl FnOnce(&mut Call<'_, bchan::Consumer, InUse<'_>>) -> PyResult<T>,
    ) -> PyResult<T> {
        let (entry, handle) = self.handle.enter_idle()?;
        work(&mut Call { handle, entry, item: &self.item })
    }

    #[inline(always)]
    fn receive_fast(&self, py: Python<'_>) -> *mut ffi::PyObject {
        let Some((_pass, inner)) = self.handle.try_acquire() else { return ptr::null_mut() };
        match inner.fast() {
            Some(rx) if !self.item.is_numpys() => quietly(py, receive_bits(py, rx, &self.item)),
            _ => ptr::null_mut(),
        }
    }
}
