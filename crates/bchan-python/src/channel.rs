//! The channel.

use std::ptr;

use bchan::{Barrier, Config, Mode, Port, Receiver, Receiving, Sender, Sending};
use numpy::PyArrayDescr;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::{Borrowed, ffi};

use crate::call::Call;
use crate::contents::Contents;
use crate::detached::detached;
use crate::errors::from_config;
use crate::gate::{Visit, check_process, generation};
use crate::item::ItemType;
use crate::receiving::{Inlet, receive_bits};
use crate::sending::{Outlet, send_bits};

/// A channel: its memory, and what all threads may do with it.
#[pyclass(frozen, subclass, weakref, module = "bchan._core")]
pub(crate) struct Channel {
    core: bchan::Channel,
    item: ItemType,
    /// The way to send and receive without a handle, in mode mpmc.
    port: Option<Port>,
    /// Whether messages are objects that are sent and received under the GIL.
    is_under_the_gil: bool,
    contents: Py<Contents>,
    /// The process that made it.
    made_in: u32,
}

/// `sent, received, waits, wakes, spins, time_parked, abandoned, bytes_mapped, mirrored, barrier`
type StatsTuple = (u64, u64, u64, u64, u64, f64, u64, u64, bool, &'static str);

impl Channel {
    /// The core's channel, in the process that made it.
    pub(crate) fn core(&self) -> PyResult<&bchan::Channel> {
        check_process(self.made_in, "channel")?;
        Ok(&self.core)
    }

    pub(crate) fn descr(&self) -> &Py<PyArrayDescr> {
        self.item.descr()
    }

    pub(crate) fn contents(&self) -> &Py<Contents> {
        &self.contents
    }

    pub(crate) fn is_mpmc(&self) -> bool {
        self.port.is_some()
    }

    #[inline(always)]
    fn port(&self) -> PyResult<&Port> {
        self.port.as_ref().ok_or_else(needs_mpmc)
    }
}

#[cold]
fn needs_mpmc() -> PyErr {
    PyRuntimeError::new_err(
        "only a channel of mode 'mpmc' can be used without a handle: call producer() or consumer()",
    )
}

/// Makes the core's channel. With the GIL, objects are only ever sent and received under it.
pub(crate) fn make(config: &Config, is_object: bool) -> Result<bchan::Channel, bchan::ConfigError> {
    if is_object && cfg!(not(Py_GIL_DISABLED)) && config.mode != Mode::Mpsc {
        // SAFETY: all calls on an object channel but those that wait are made attached, under the GIL.
        unsafe { bchan::Channel::under_a_lock(config) }
    } else {
        bchan::Channel::new(config)
    }
}

impl Outlet for Channel {
    type Handle<'a> = Sender<&'a Port>;
    type Entry<'a> = Visit;

    #[inline(always)]
    fn item(&self) -> &ItemType {
        &self.item
    }

    #[inline(always)]
    fn send_with<T>(
        &self,
        _py: Python<'_>,
        work: impl FnOnce(&mut Call<'_, Sender<&Port>, Visit>) -> PyResult<T>,
    ) -> PyResult<T> {
        let (mut handle, entry) = (self.port()?.sender(), Visit::new(self.made_in)?);
        work(&mut Call { handle: &mut handle, entry, item: &self.item })
    }

    #[inline(always)]
    fn send_quickly(&self, item: Borrowed<'_, '_, PyAny>) -> bool {
        if let Some(port) = &self.port
            && self.is_under_the_gil
        {
            let bits = item.as_ptr() as u64;
            // SAFETY: the GIL is the lock.
            let sent = self.made_in == generation() && unsafe { port.send_word(bits) };
            if sent {
                self.item.own(bits);
            }
            return sent;
        }
        let Some(bits) = self.item.quick_bits(item) else { return false };
        let Some(port) = &self.port else { return false };
        self.made_in == generation() && send_bits(&mut port.sender(), &self.item, bits)
    }
}

impl Inlet for Channel {
    type Handle<'a> = Receiver<&'a Port>;
    type Entry<'a> = Visit;

    #[inline(always)]
    fn item(&self) -> &ItemType {
        &self.item
    }

    #[inline(always)]
    fn receive_with<T>(
        &self,
        _py: Python<'_>,
        work: impl FnOnce(&mut Call<'_, Receiver<&Port>, Visit>) -> PyResult<T>,
    ) -> PyResult<T> {
        let (mut handle, entry) = (self.port()?.receiver(), Visit::new(self.made_in)?);
        work(&mut Call { handle: &mut handle, entry, item: &self.item })
    }

    #[inline(always)]
    fn receive_quickly(&self, py: Python<'_>) -> *mut ffi::PyObject {
        if let Some(port) = &self.port
            && self.is_under_the_gil
        {
            // SAFETY: the GIL is the lock.
            let word = if self.made_in == generation() { unsafe { port.receive_word() } } else { None };
            return word.map_or(ptr::null_mut(), |object| object as *mut ffi::PyObject);
        }
        match &self.port {
            Some(port) if self.made_in == generation() && !self.item.is_foreign() => {
                let object = receive_bits(py, &mut port.receiver(), &self.item);
                if object.is_null() {
                    // SAFETY: this thread is attached. If something failed, the long way will fail again.
                    unsafe { ffi::PyErr_Clear() };
                }
                object
            }
            _ => ptr::null_mut(),
        }
    }
}

#[pymethods]
impl Channel {
    #[new]
    fn new(
        py: Python<'_>,
        dtype: &Bound<'_, PyArrayDescr>,
        capacity: usize,
        mode: &str,
        max_producers: usize,
    ) -> PyResult<Self> {
        let item = ItemType::new(dtype)?;
        let core_mode = match mode {
            "spsc" | "mpsc" => Mode::Mpsc,
            "spmc" => Mode::Spmc,
            "mpmc" => Mode::Mpmc,
            _ => return Err(PyValueError::new_err(format!("mode must be one of the four, got {mode:?}"))),
        };
        let config =
            Config { mode: core_mode, item_size: item.size(), capacity, max_producers, ..Config::default() };
        let is_object = item.is_object();
        let core = detached(py, || make(&config, is_object)).map_err(|error| from_config(&error))?;
        let port = if core_mode == Mode::Mpmc { core.port() } else { None };
        let contents = Contents::new(py, core.clone(), is_object)?;
        let is_under_the_gil = port.as_ref().is_some_and(Port::has_words) && is_object;
        Ok(Self { core, item, port, is_under_the_gil, contents, made_in: generation() })
    }

    #[allow(clippy::unnecessary_wraps, reason = "as PyO3 wants it")]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.contents)
    }

    /// Refuses what is sent from now on. What was accepted can still be received.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let core = self.core()?;
        // What is under the GIL elsewhere must be so here.
        match self.item.is_object() {
            true => core.close(),
            false => detached(py, || core.close()),
        }
        Ok(())
    }

    /// Has an eventfd written once there may be space, unless there may be now: then true.
    fn _arm_send(&self, alarm: i32) -> PyResult<bool> {
        check_process(self.made_in, "channel")?;
        Ok(self.port()?.sender().arm(alarm))
    }

    /// Takes back what `_arm_send` did; harmless if there is nothing to take back.
    fn _disarm_send(&self, alarm: i32) {
        self.core.disarm(alarm);
    }

    /// Has an eventfd written once there may be a message, unless there may be now: then true.
    fn _arm_receive(&self, alarm: i32) -> PyResult<bool> {
        check_process(self.made_in, "channel")?;
        Ok(self.port()?.receiver().arm(alarm))
    }

    /// Takes back what `_arm_receive` did; harmless if there is nothing to take back.
    fn _disarm_receive(&self, alarm: i32) {
        self.core.disarm(alarm);
    }

    /// Whether the channel was closed.
    #[getter]
    fn closed(&self) -> PyResult<bool> {
        Ok(self.core()?.is_closed())
    }

    /// Messages that may be in flight, in the modes spsc and mpsc for each producer.
    #[getter]
    fn capacity(&self) -> usize {
        self.core.capacity()
    }

    /// Producers that may be registered at once.
    #[getter]
    fn max_producers(&self) -> usize {
        self.core.max_producers()
    }

    /// The dtype of a message.
    #[getter]
    fn dtype(&self, py: Python<'_>) -> Py<PyArrayDescr> {
        self.item.descr().clone_ref(py)
    }

    /// Producers registered now.
    #[getter]
    fn active_producers(&self) -> PyResult<usize> {
        Ok(self.core()?.active_producers())
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(self.core()?.len())
    }

    /// A channel is true also while it is empty.
    fn __bool__(&self) -> bool {
        true
    }

    fn _stats(&self) -> PyResult<StatsTuple> {
        let stats = self.core()?.stats();
        let barrier = match stats.barrier {
            Barrier::Membarrier => "membarrier",
            Barrier::Fence => "fence",
        };
        Ok((
            stats.sent,
            stats.received,
            stats.waits,
            stats.wakes,
            stats.spins,
            stats.time_parked.as_secs_f64(),
            stats.abandoned,
            stats.bytes_mapped,
            stats.mirrored,
            barrier,
        ))
    }
}
