//! The producer's handle.

use bchan::Sending;
use pyo3::Borrowed;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::arguments::{Timeout, count};
use crate::array;
use crate::call::Call;
use crate::channel::Channel;
use crate::gate::Pass;
use crate::item::ItemType;
use crate::made::Made;
use crate::passing::{Handover, Passed, registered};
use crate::reserving::{Reserves, Reserving, ReservingClass};
use crate::sending::{Outlet, send_bits};

/// A registered producer. Its hot methods are set by `methods`.
#[pyclass(frozen, subclass, weakref, module = "bchan._core")]
pub(crate) struct Producer {
    reserving: Reserving<bchan::Producer>,
    item: ItemType,
}

impl Producer {
    /// Lets a call in that sends, or says why it can't.
    pub(crate) fn enter_to_send(&self) -> PyResult<(Pass<'_>, &mut bchan::Producer)> {
        self.reserving.handle.enter_idle()
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
}

impl ReservingClass for Producer {
    type Core = bchan::Producer;

    fn reserving(&self) -> &Reserving<bchan::Producer> {
        &self.reserving
    }

    /// Claims up to `n` free slots, waiting for the first one.
    fn reserve<'py>(&self, n: Borrowed<'_, 'py, PyAny>, timeout: Timeout) -> PyResult<Bound<'py, PyAny>> {
        self.item.as_array("reserve")?;
        let (py, wanted) = (n.py(), count(n, "n")?);
        let claim = |tx: &mut _| self.claim(py, tx, wanted);
        self.reserving.reserve(timeout, claim, |handle, entry, patience| {
            Call { handle, entry, item: &self.item }.wait_for_space(py, "reserve", patience)
        })
    }

    /// Claims up to `n` free slots; `None` when full.
    fn try_reserve<'py>(&self, n: Borrowed<'_, 'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.item.as_array("try_reserve")?;
        let (py, wanted) = (n.py(), count(n, "n")?);
        self.reserving.try_reserve(|tx| self.claim(py, tx, wanted))
    }
}

impl Outlet for Producer {
    type Handle<'a> = bchan::Producer;
    type Entry<'a> = Pass<'a>;

    #[inline(always)]
    fn item(&self) -> &ItemType {
        &self.item
    }

    #[inline(always)]
    fn send_with<T>(
        &self,
        _py: Python<'_>,
        work: impl FnOnce(&mut Call<'_, bchan::Producer, Pass<'_>>) -> PyResult<T>,
    ) -> PyResult<T> {
        let (entry, handle) = self.reserving.handle.enter_idle()?;
        work(&mut Call { handle, entry, item: &self.item })
    }

    #[inline(always)]
    fn send_quickly(&self, item: Borrowed<'_, '_, PyAny>) -> bool {
        let Some(bits) = self.item.quick_bits(item) else { return false };
        let Some((_pass, inner)) = self.reserving.handle.enter_quickly() else { return false };
        inner.quickly().is_some_and(|tx| send_bits(tx, &self.item, bits))
    }
}

#[pymethods]
impl Producer {
    #[new]
    #[pyo3(signature = (channel, ticket=None))]
    fn new(py: Python<'_>, channel: &Channel, ticket: Option<Passed>) -> PyResult<Self> {
        let (core, item) = (channel.core_of_items()?, ItemType::new(channel.descr().bind(py))?);
        let register = || registered(ticket, || core.producer(), |ticket| core.producer_of(ticket));
        Ok(Self { reserving: Reserving::new(py, channel, register)?, item })
    }

    /// `(seat, word)`, with which another process takes this handle over that was never used.
    #[pyo3(signature = (child=None, is_lent=false))]
    fn _ticket(&self, child: Option<&Handover>, is_lent: bool) -> PyResult<Made<Passed>> {
        self.reserving.handle.ticket(child, is_lent).map(Made)
    }

    /// In the child of a fork: makes a handle that was never used its own now, or says that it was made for it.
    fn _adopt(&self, now: bool) -> PyResult<()> {
        self.reserving.handle.adopt(now)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.reserving.handle.traverse(visit)
    }

    /// Closes this handle and gives its place back; what it sent stays. Closing twice is harmless.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.reserving.close(py)
    }

    /// Whether these are the slots of the open reservation.
    fn _is_open(&self, slots: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.reserving.is_open(slots)
    }

    /// Has an eventfd written once there may be space for the item, unless there may be now: then true.
    #[pyo3(signature = (alarm, item=None))]
    fn _arm_send(&self, alarm: i32, item: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
        // All items need the same.
        let _ = item;
        self.reserving.handle.arm(|tx| tx.arm(alarm))
    }

    /// Whether others must look who wait with this handle, for what the channel tells nobody.
    fn _must_look(&self) -> bool {
        self.reserving.handle.must_look(|tx, _| tx.must_look())
    }

    /// Takes back what `_arm_send` did; harmless if there is nothing to take back.
    fn _disarm_send(&self, alarm: i32) {
        self.reserving.handle.disarm(alarm);
    }

    /// Whether this handle was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.reserving.handle.is_closed()
    }
}
