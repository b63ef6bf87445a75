//! The consumer's handle.

use std::ptr;

use bchan::Receiving;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::{Borrowed, ffi};

use crate::arguments::{Timeout, count};
use crate::array;
use crate::call::Call;
use crate::channel::Channel;
use crate::gate::Pass;
use crate::handle::Handle;
use crate::item::ItemType;
use crate::made::Made;
use crate::passing::{Handover, Passed, registered};
use crate::peeking::Peeked;
use crate::receiving::{Inlet, next, quietly, receive_bits};

/// The consumer of a channel. Its hot methods are set by `methods`.
#[pyclass(frozen, subclass, weakref, module = "bchan._core")]
pub(crate) struct Consumer {
    pub(crate) handle: Handle<bchan::Consumer, Peeked>,
    item: ItemType,
}

impl Consumer {
    /// A read-only view of 1 to `n` messages, waiting for the first.
    pub(crate) fn peek<'py>(
        &self,
        n: Borrowed<'_, 'py, PyAny>,
        timeout: Timeout,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.item.as_array("peek")?;
        let (py, wanted) = (n.py(), count(n, "n")?);
        let look = |rx: &mut _| self.look(py, rx, wanted);
        self.handle.peek(timeout, look, |handle, entry, patience| {
            Call { handle, entry, item: &self.item }.wait_for_message(py, "peek", patience)
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
    type Entry<'a> = Pass<'a>;

    #[inline(always)]
    fn item(&self) -> &ItemType {
        &self.item
    }

    #[inline(always)]
    fn receive_with<T>(
        &self,
        _py: Python<'_>,
        work: impl FnOnce(&mut Call<'_, bchan::Consumer, Pass<'_>>) -> PyResult<T>,
    ) -> PyResult<T> {
        let (entry, handle) = self.handle.enter_idle()?;
        work(&mut Call { handle, entry, item: &self.item })
    }

    #[inline(always)]
    fn receive_quickly(&self, py: Python<'_>) -> *mut ffi::PyObject {
        let Some((_pass, inner)) = self.handle.enter_quickly() else { return ptr::null_mut() };
        match inner.quickly() {
            Some(rx) if !self.item.is_numpys() => quietly(py, receive_bits(py, rx, &self.item)),
            _ => ptr::null_mut(),
        }
    }
}

#[pymethods]
impl Consumer {
    #[new]
    #[pyo3(signature = (channel, ticket=None))]
    fn new(py: Python<'_>, channel: &Channel, ticket: Option<Passed>) -> PyResult<Self> {
        let (core, item) = (channel.core_of_items()?, ItemType::new(channel.descr().bind(py))?);
        let register = || registered(ticket, || core.consumer(), |ticket| core.consumer_of(ticket));
        Ok(Self { handle: Handle::new(py, channel, Peeked::default(), register)?, item })
    }

    /// `(seat, word)`, with which another process takes this handle over that was never used.
    #[pyo3(signature = (child=None, is_lent=false))]
    fn _ticket(&self, child: Option<&Handover>, is_lent: bool) -> PyResult<Made<Passed>> {
        self.handle.ticket(child, is_lent).map(Made)
    }

    /// In the child of a fork: makes a handle that was never used its own now, or says that it was made for it.
    fn _adopt(&self, now: bool) -> PyResult<()> {
        self.handle.adopt(now)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.handle.traverse(visit)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        next(py, self.receive(py, Timeout::Never))
    }

    /// Closes this handle; the next consumer goes on where it was. Closing twice is harmless.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.close_view(py)
    }

    /// Whether this is the open view.
    fn _is_open(&self, view: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.handle.is_view(view)
    }

    /// Has an eventfd written once there may be a message, unless there may be now: then true.
    fn _arm_receive(&self, alarm: i32) -> PyResult<bool> {
        self.handle.arm(|rx| rx.arm(alarm))
    }

    /// Whether others must look who wait with this handle, for what the channel tells nobody.
    fn _must_look(&self) -> bool {
        self.handle.must_look(|rx, _| rx.must_look())
    }

    /// Takes back what `_arm_receive` did; harmless if there is nothing to take back.
    fn _disarm_receive(&self, alarm: i32) {
        self.handle.disarm(alarm);
    }

    /// Whether this handle was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.handle.is_closed()
    }
}
