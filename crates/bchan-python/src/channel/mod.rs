//! The channel.

mod ends;

use std::io::ErrorKind;
use std::os::fd::{AsRawFd, BorrowedFd};

use bchan::{Barrier, Config, FramePort, Mode, Participant, Port, Tuning};
use numpy::PyArrayDescr;
use pyo3::Borrowed;
use pyo3::exceptions::{PyNotImplementedError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::contents::Contents;
use crate::detached::detached;
use crate::errors::{Raise, checked_waker, from_config, from_system, must_be};
use crate::frames::sending::FrameOutlet;
use crate::guard::{ANYWHERE, Access, check_process, generation};
use crate::item::ItemType;
use crate::made::{Made, bytes};
use crate::memory::{check, collected};
use crate::pickled::sending::{self as pickled, Encodings};
use crate::tuning::Waiting;

/// A channel: its memory, and what all threads may do with it.
#[pyclass(frozen, subclass, weakref, module = "bchan._core")]
pub(crate) struct Channel {
    core: bchan::Channel,
    item: ItemType,
    /// The way to send and receive without a handle, in mode mpmc.
    port: Option<Port>,
    /// The same for messages of any length.
    frame_port: Option<FramePort>,
    /// Whether messages are objects that are sent and received under the GIL.
    is_under_the_gil: bool,
    contents: Py<Contents>,
    /// The process that made it.
    made_in: u32,
    /// Whether messages are objects in frames.
    is_pickled: bool,
}

/// What messages are, which says how they are sent and received.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Messages {
    Items,
    Bytes,
    Pickled,
}

impl Messages {
    /// How errors call them.
    fn name(self) -> &'static str {
        match self {
            Self::Items => "items or objects",
            Self::Bytes => "bytes",
            Self::Pickled => "objects for any process",
        }
    }
}

/// By the names that the package has for them.
impl<'a, 'py> FromPyObject<'a, 'py> for Messages {
    type Error = PyErr;

    fn extract(name: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match name.extract::<&str>()? {
            "items" => Ok(Self::Items),
            "bytes" => Ok(Self::Bytes),
            "pickled" => Ok(Self::Pickled),
            other => Err(must_be("messages", "'items', 'bytes' or 'pickled'", format!("{other:?}"))),
        }
    }
}

/// `sent, received, waits, wakes, spins, time_parked, abandoned, deaths, bytes_mapped, mirrored, barrier`
type StatsTuple = (u64, u64, u64, u64, u64, f64, u64, u64, u64, bool, &'static str);

impl Channel {
    /// The core's channel, in the process that made it.
    pub(crate) fn core(&self) -> PyResult<&bchan::Channel> {
        check_process(self.made_in, "channel")?;
        Ok(&self.core)
    }

    /// What its messages are.
    pub(crate) fn messages(&self) -> Messages {
        match self.core.is_framed() {
            false => Messages::Items,
            true if self.is_pickled => Messages::Pickled,
            true => Messages::Bytes,
        }
    }

    /// Refuses a class of handles for other messages.
    pub(crate) fn check_messages(&self, wanted: Option<Messages>) -> PyResult<()> {
        let found = self.messages();
        match wanted.filter(|&wanted| wanted != found) {
            None => Ok(()),
            Some(wanted) => {
                let (wanted, found) = (wanted.name(), found.name());
                Err(PyTypeError::error(format!("channel must be of {wanted}, got one of {found}")))
            }
        }
    }

    pub(crate) fn is_pickled(&self) -> bool {
        self.is_pickled
    }

    pub(crate) fn descr(&self) -> &Py<PyArrayDescr> {
        self.item.descr()
    }

    pub(crate) fn contents(&self) -> &Py<Contents> {
        &self.contents
    }

    pub(crate) fn is_mpmc(&self) -> bool {
        self.port.is_some() || self.frame_port.is_some()
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.made_in == ANYWHERE
    }

    /// The channel of a descriptor, which stays the caller's.
    ///
    /// What its metadata says of it was written by whoever can write to the memory, and may be anything.
    fn attached(
        dtype: &Bound<'_, PyArrayDescr>,
        fd: i32,
        tuning: Tuning,
        mode: Mode,
        is_framed: bool,
    ) -> PyResult<Self> {
        let (core, item) = (attach(fd, tuning)?, ItemType::new(dtype)?);
        if core.mode() != mode {
            return Err(must_be("the mode", format!("{:?}", core.mode()), format!("{mode:?}")));
        }
        if core.is_framed() != is_framed {
            let kind = |is_framed| if is_framed { "of any length" } else { "of one size" };
            return Err(must_be("the messages", kind(core.is_framed()), kind(is_framed)));
        }
        if !core.is_framed() {
            refuse_pointers(&item)?;
        }
        // Frames are of bytes, whatever the size of their slots.
        if core.item_size() != item.size() && !core.is_framed() {
            return Err(must_be("the dtype's item size", core.item_size(), item.size()));
        }
        Self::of(dtype.py(), core, item)
    }

    fn of(py: Python<'_>, core: bchan::Channel, item: ItemType) -> PyResult<Self> {
        let port = if core.mode() == Mode::Mpmc { core.port() } else { None };
        let frame_port = core.frame_port();
        let is_pickled = core.is_framed() && item.is_object();
        let contents = Contents::new(py, core.clone(), item.is_object() && !is_pickled)?;
        let is_under_the_gil = port.as_ref().is_some_and(Port::has_words) && item.is_object();
        let made_in = if core.fd().is_some() { ANYWHERE } else { generation() };
        Ok(Self { core, item, port, frame_port, is_under_the_gil, contents, made_in, is_pickled })
    }

    #[inline(always)]
    fn port(&self) -> PyResult<&Port> {
        self.port.as_ref().ok_or_else(needs_mpmc)
    }

    /// Lets a call in that needs no handle, or says why it can't.
    #[inline(always)]
    pub(crate) fn enter(&self) -> PyResult<(Access, &Port)> {
        let port = self.port()?;
        Access::new(self.made_in).map(|visit| (visit, port))
    }

    #[inline(always)]
    fn frame_port(&self) -> PyResult<&FramePort> {
        self.frame_port.as_ref().ok_or_else(needs_mpmc)
    }

    /// As [`enter`](Self::enter), for messages of any length.
    #[inline(always)]
    pub(crate) fn enter_with_frames(&self) -> PyResult<(Access, &FramePort)> {
        let port = self.frame_port()?;
        Access::new(self.made_in).map(|visit| (visit, port))
    }

    pub(crate) fn is_framed(&self) -> bool {
        self.core.is_framed()
    }

    /// How many bytes a message of any length has, as which `item` is sent.
    pub(crate) fn size_of(&self, item: Option<&Bound<'_, PyAny>>) -> PyResult<usize> {
        let item = item.map(Bound::as_borrowed);
        if self.is_pickled { pickled::len_of(self, item) } else { self.len_of(item) }
    }
}

#[cold]
fn needs_mpmc() -> PyErr {
    PyRuntimeError::error(
        "only a channel of mode 'mpmc' can be used without a handle: call producer() or consumer()",
    )
}

/// Refuses objects as items in memory that processes share: a reference means nothing in another process.
fn refuse_pointers(item: &ItemType) -> PyResult<()> {
    match item.is_object() {
        true => Err(PyTypeError::error("dtype must be plain bytes in a shared channel, got object")),
        false => Ok(()),
    }
}

/// Attaches to the channel of a descriptor, which stays the caller's.
fn attach(fd: i32, tuning: Tuning) -> PyResult<bchan::Channel> {
    // SAFETY: it is used for this call; if it is none, the system says so.
    let copy = unsafe { BorrowedFd::borrow_raw(fd.max(0)) }.try_clone_to_owned();
    let copy = copy.map_err(|error| from_system(&error))?;
    bchan::Channel::attach(copy, tuning).map_err(|error| from_config(&error))
}

/// What the maker of the channel of a descriptor left for those who attach to it.
#[pyfunction]
pub(crate) fn read_metadata(py: Python<'_>, fd: i32) -> PyResult<Bound<'_, PyBytes>> {
    bytes(py, &attach(fd, Tuning::default())?.metadata())
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

#[pymethods]
impl Channel {
    #[new]
    #[pyo3(signature = (dtype, capacity, mode, max_producers, tuning, is_framed=false, keep_open=false, metadata=None, fd=None))]
    #[allow(clippy::too_many_arguments, reason = "the package's own __new__ has names for them")]
    fn new(
        py: Python<'_>,
        dtype: &Bound<'_, PyArrayDescr>,
        capacity: usize,
        mode: &str,
        max_producers: usize,
        tuning: Waiting,
        is_framed: bool,
        keep_open: bool,
        metadata: Option<Vec<u8>>,
        fd: Option<i32>,
    ) -> PyResult<Self> {
        check(py)?;
        let tuning = tuning.tuning()?;
        let mode = match mode {
            "spsc" | "mpsc" => Mode::Mpsc,
            "spmc" => Mode::Spmc,
            "mpmc" => Mode::Mpmc,
            _ => return Err(PyValueError::error(format!("mode must be one of the four, got {mode:?}"))),
        };
        if let Some(fd) = fd {
            return Self::attached(dtype, fd, tuning, mode, is_framed);
        }
        let item = ItemType::new(dtype)?;
        if metadata.is_some() && !is_framed {
            refuse_pointers(&item)?;
        }
        let (item_size, is_shared, metadata) =
            (item.size(), metadata.is_some(), metadata.unwrap_or_default());
        let (barrier, stays_open) = (None, keep_open);
        let config = Config {
            mode,
            item_size,
            capacity,
            max_producers,
            barrier,
            tuning,
            stays_open,
            is_shared,
            metadata,
        };
        let is_object = item.is_object();
        let core = detached(py, || match is_framed {
            true => bchan::Channel::of_frames(&config),
            false => make(&config, is_object),
        });
        Self::of(py, core.map_err(|error| from_config(&error))?, item)
    }

    #[allow(clippy::unnecessary_wraps, reason = "as PyO3 wants it")]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.contents)
    }

    /// Refuses what is sent from now on. What was accepted can still be received.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let core = self.core()?;
        core.check_namespace().map_err(|error| from_config(&error))?;
        // What is under the GIL elsewhere must be so here.
        match self.item.is_object() {
            true => core.close(),
            false => detached(py, || core.close()),
        }
        Ok(())
    }

    /// `(pid, is_producer, is_alive)` of every handle, in whatever process.
    fn _participants(&self, py: Python<'_>) -> PyResult<Made<Vec<(u32, bool, bool)>>> {
        let described = |it: Participant| Ok((it.pid, it.is_producer, it.is_alive));
        collected(py, 0, self.core.participants().map(described)).map(Made)
    }

    /// The processes of the last handles that were cleared up after, the latest first.
    fn _dead(&self) -> Made<Vec<u32>> {
        Made(self.core.dead())
    }

    /// The descriptor of the memory of a channel that processes share; -1 of others. It stays the channel's.
    #[getter]
    fn _fd(&self) -> Made<i32> {
        Made(self.core.fd().map_or(-1, |fd| fd.as_raw_fd()))
    }

    /// Has an eventfd written once there may be space for the item, unless there may be now: then true.
    #[pyo3(signature = (waker, item=None))]
    fn _arm_send(&self, waker: i32, item: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
        check_process(self.made_in, "channel")?;
        match &self.frame_port {
            Some(port) => checked_waker(port.arm_space(self.size_of(item.as_ref())?, waker)),
            None => checked_waker(self.port()?.arm_space(1, waker)),
        }
    }

    /// What stands for the item in the calls that send: an object for any process is encoded once.
    fn _encode<'py>(&self, item: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if self.is_pickled { pickled::Encoding::made(&item, self.most()) } else { Ok(item) }
    }

    /// The same for a batch of such objects: messages, and how many objects each has. None of others.
    fn _encode_batch(&self, batch: &Bound<'_, PyAny>) -> PyResult<Made<Option<Encodings>>> {
        self.is_pickled.then(|| pickled::encode_batch(self, batch.as_borrowed())).transpose().map(Made)
    }

    /// Takes back what `_arm_send` did; harmless if there is nothing to take back.
    fn _disarm_send(&self, waker: i32) {
        self.contents.get().disarm(waker);
    }

    /// Has an eventfd written once there may be a message, unless there may be now: then true.
    fn _arm_receive(&self, waker: i32) -> PyResult<bool> {
        check_process(self.made_in, "channel")?;
        match &self.frame_port {
            Some(port) => checked_waker(port.arm_arrivals(waker)),
            None => checked_waker(self.port()?.arm_arrivals(waker)),
        }
    }

    /// Takes back what `_arm_receive` did; harmless if there is nothing to take back.
    fn _disarm_receive(&self, waker: i32) {
        self.contents.get().disarm(waker);
    }

    /// Whether the channel was closed.
    #[getter]
    fn closed(&self) -> PyResult<bool> {
        Ok(self.core()?.is_closed())
    }

    /// Messages that may be in flight, in the modes spsc and mpsc for each producer.
    #[getter]
    fn capacity(&self) -> Made<usize> {
        Made(self.core.capacity())
    }

    /// Producers that may be registered at once.
    #[getter]
    fn max_producers(&self) -> Made<usize> {
        Made(self.core.max_producers())
    }

    /// Bytes of the longest message of a channel of bytes; None if messages are something else.
    #[getter]
    fn max_message_size(&self) -> Made<Option<usize>> {
        Made(self.core.is_framed().then(|| self.core.max_len()))
    }

    /// The dtype of a message.
    #[getter]
    fn dtype(&self, py: Python<'_>) -> Py<PyArrayDescr> {
        self.item.descr().clone_ref(py)
    }

    /// Producers registered now.
    #[getter]
    fn active_producers(&self) -> PyResult<Made<usize>> {
        Ok(Made(self.core()?.active_producers()))
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(self.core()?.len())
    }

    /// A channel is true also while it is empty.
    fn __bool__(&self) -> bool {
        true
    }

    /// Bytes of memory that the channel takes now: of the pages that were touched, by whichever process.
    fn _resident_bytes(&self, py: Python<'_>) -> PyResult<Made<u64>> {
        let core = self.core()?;
        detached(py, || core.resident_bytes()).map(Made).map_err(|error| match error.kind() {
            ErrorKind::Unsupported => {
                PyNotImplementedError::error("this system does not tell which pages are in memory")
            }
            _ => error.into(),
        })
    }

    fn _stats(&self) -> PyResult<Made<StatsTuple>> {
        let stats = self.core()?.stats();
        let barrier = match stats.barrier {
            Barrier::Membarrier => "membarrier",
            Barrier::Fence => "fence",
        };
        Ok(Made((
            stats.sent,
            stats.received,
            stats.waits,
            stats.wakes,
            stats.spins,
            stats.time_parked.as_secs_f64(),
            stats.abandoned,
            stats.deaths,
            stats.bytes_mapped,
            stats.mirrored,
            barrier,
        )))
    }
}
