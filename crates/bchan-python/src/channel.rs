//! The channel.

use bchan::{Barrier, Config};
use numpy::PyArrayDescr;
use pyo3::prelude::*;

use crate::detached::detached;
use crate::errors::from_config;
use crate::gate::{check_process, generation};
use crate::item::ItemType;

/// A channel's memory and what it holds.
#[pyclass(frozen, subclass, weakref, module = "bchan._core")]
pub(crate) struct Channel {
    core: bchan::Channel,
    item: ItemType,
    /// The process that made it.
    made_in: u32,
}

/// `sent, received, waits, wakes, spins, time_parked, bytes_mapped, mirrored, barrier`
type StatsTuple = (u64, u64, u64, u64, u64, f64, u64, bool, &'static str);

impl Channel {
    /// The core's channel, in the process that made it.
    pub(crate) fn core(&self) -> PyResult<&bchan::Channel> {
        check_process(self.made_in, "channel")?;
        Ok(&self.core)
    }

    pub(crate) fn descr(&self) -> &Py<PyArrayDescr> {
        self.item.descr()
    }
}

#[pymethods]
impl Channel {
    #[new]
    fn new(
        py: Python<'_>,
        dtype: &Bound<'_, PyArrayDescr>,
        capacity: usize,
        max_producers: usize,
    ) -> PyResult<Self> {
        let item = ItemType::new(dtype)?;
        let config = Config { item_size: item.size(), capacity, max_producers, ..Config::default() };
        let core = detached(py, || bchan::Channel::new(&config)).map_err(|error| from_config(&error))?;
        Ok(Self { core, item, made_in: generation() })
    }

    /// Refuses what is sent from now on. What was accepted can still be received.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let core = self.core()?;
        detached(py, || core.close());
        Ok(())
    }

    /// Whether the channel was closed.
    #[getter]
    fn closed(&self) -> PyResult<bool> {
        Ok(self.core()?.is_closed())
    }

    /// Messages that each producer may have in flight.
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
            stats.bytes_mapped,
            stats.mirrored,
            barrier,
        ))
    }
}
