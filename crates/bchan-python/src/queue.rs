//! The engine of `bchan.Queue`: a ring of objects, and what a `queue.Queue` has besides.
//!
//! A queue without a limit has a ring all the same; what does not fit goes into an overflow under a
//! lock, and so does all that comes after it, until consumers have emptied both. So the common case stays
//! as fast as the ring, nothing is ever refused, and memory is used for what is in the queue and not for
//! all that ever passed through it, as it would be with one huge ring.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bchan::{Config, Mode, Port, SendError, WaitError};
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyGenericAlias, PyType};
use pyo3::{Borrowed, ffi};

use crate::arguments::{Timeout, describe};
use crate::call::CallDeadline;
use crate::channel::make;
use crate::contents::Contents;
use crate::cooperative::{Hub, until};
use crate::detached::{Attached, detached};
use crate::errors::{Raise, from_config};
use crate::guard::{Access, Entry, generation};
use crate::made::Made;
use crate::memory::{check, out_of_memory};
use crate::references;

/// Items that the ring of a queue without a limit holds.
const UNLIMITED_RING: usize = 1 << 16;
/// The largest limit: its ring takes half a gigabyte of address space.
const MAX_LIMIT: usize = 1 << 26;

/// The native part of a queue.
#[pyclass(frozen, subclass, weakref, module = "bchan._core")]
pub(crate) struct Queue {
    channel: bchan::Channel,
    port: Port,
    is_unlimited: AtomicBool,
    overflow: Mutex<VecDeque<Py<PyAny>>>,
    /// How many are in the overflow.
    overflowing: AtomicUsize,
    /// Items put and not yet reported done.
    unfinished: AtomicI64,
    maxsize: AtomicI64,
    contents: Py<Contents>,
    made_in: u32,
}

/// An exception class of `bchan.queues`.
fn raised(py: Python<'_>, cell: &'static PyOnceLock<Py<PyType>>, name: &str) -> PyErr {
    match cell.import(py, "bchan.queues.errors", name) {
        Ok(class) => PyErr::from_type(class.clone(), ()),
        Err(error) => error,
    }
}

#[cold]
fn empty(py: Python<'_>) -> PyErr {
    static EMPTY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    raised(py, &EMPTY, "Empty")
}

#[cold]
fn full(py: Python<'_>) -> PyErr {
    static FULL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    raised(py, &FULL, "Full")
}

#[cold]
fn shut_down(py: Python<'_>) -> PyErr {
    static SHUT_DOWN: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    raised(py, &SHUT_DOWN, "ShutDown")
}

/// What `timeout` means in the calls of `queue.Queue`.
fn deadline_of_call(is_blocking: bool, timeout: Option<Borrowed<'_, '_, PyAny>>) -> PyResult<CallDeadline> {
    if !is_blocking {
        return Ok(CallDeadline::new(Timeout::Seconds(0.0)));
    }
    let Some(timeout) = timeout else { return Ok(CallDeadline::new(Timeout::Never)) };
    Timeout::extract(timeout).map(CallDeadline::new).map_err(|error| {
        match error.is_instance_of::<PyValueError>(timeout.py()) {
            true => PyValueError::error("'timeout' must be a non-negative number"),
            false => error,
        }
    })
}

impl Queue {
    /// Puts an item into the ring if nothing is out of the ordinary; tells whether.
    #[inline(always)]
    pub(crate) fn put_fast(&self, item: Borrowed<'_, '_, PyAny>) -> bool {
        if self.made_in != generation() || self.overflowing.load(Ordering::Relaxed) != 0 {
            return false;
        }
        let item = item.as_ptr();
        if cfg!(Py_GIL_DISABLED) {
            let Ok(mut sender) = self.port.sender() else { return false };
            // Whoever gets it may report it done at once.
            return references::send(&mut sender, item, || self.count_unfinished(1));
        }
        let sent = references::send_under_the_gil(&self.port, item);
        if sent {
            self.count_unfinished(1);
        }
        sent
    }

    /// Puts an item, waiting while the queue is full.
    #[cold]
    pub(crate) fn put(
        &self,
        item: Borrowed<'_, '_, PyAny>,
        is_blocking: bool,
        timeout: Option<Borrowed<'_, '_, PyAny>>,
    ) -> PyResult<()> {
        let py = item.py();
        let (visit, mut deadline_of_call) =
            (Access::new(self.made_in)?, deadline_of_call(is_blocking, timeout)?);
        loop {
            if self.put_fast(item) || self.put_over(item)? {
                return Ok(());
            }
            if self.port.is_closed() {
                return Err(shut_down(py));
            }
            let Some(deadline) = deadline_of_call.deadline() else { return Err(full(py)) };
            let outcome = until(py, &mut Hub::of(py)?, deadline, |until| self.port.wait_until_space(until))?;
            match outcome {
                Ok(()) | Err(SendError::Closed | SendError::Deserted) => {}
                Err(SendError::Interrupted) => visit.check_signals(py)?,
                Err(SendError::TimedOut) => return Err(full(py)),
            }
        }
    }

    /// Puts an item into the overflow, if there may be one; tells whether.
    fn put_over(&self, item: Borrowed<'_, '_, PyAny>) -> PyResult<bool> {
        if !self.is_unlimited.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let mut overflow = self.overflow();
        // Under the lock, as they change: what is put here after `shutdown` nobody might get.
        if self.port.is_closed() || !self.is_unlimited.load(Ordering::Relaxed) {
            return Ok(false);
        }
        overflow.try_reserve(1).map_err(|_| out_of_memory(item.py()))?;
        self.count_unfinished(1);
        overflow.push_back(item.to_owned().unbind());
        self.overflowing.store(overflow.len(), Ordering::Release);
        drop(overflow);
        self.port.notify_receiver();
        Ok(true)
    }

    fn overflow(&self) -> MutexGuard<'_, VecDeque<Py<PyAny>>> {
        self.overflow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gets an item out of the ring, if there is one; null if not.
    #[inline(always)]
    pub(crate) fn get_fast(&self) -> *mut ffi::PyObject {
        if self.made_in != generation() {
            return std::ptr::null_mut();
        }
        if cfg!(Py_GIL_DISABLED) {
            return self.port.receiver().map_or(std::ptr::null_mut(), |mut rx| references::receive(&mut rx));
        }
        references::receive_under_the_gil(&self.port)
    }

    /// Gets an item out of the ring, or of what came after it; null if there is none.
    #[inline(always)]
    fn get_any(&self) -> *mut ffi::PyObject {
        let object = self.get_fast();
        if object.is_null() && self.overflowing.load(Ordering::Acquire) != 0 {
            return self.get_over();
        }
        object
    }

    #[cold]
    fn get_over(&self) -> *mut ffi::PyObject {
        let mut overflow = self.overflow();
        // What is in the ring is older.
        let older = self.get_fast();
        if !older.is_null() {
            return older;
        }
        if !self.channel.is_empty() {
            // Without the GIL: it is there, behind one that another thread is about to put.
            return std::ptr::null_mut();
        }
        let object = overflow.pop_front();
        self.overflowing.store(overflow.len(), Ordering::Release);
        object.map_or(std::ptr::null_mut(), Py::into_ptr)
    }

    /// Whether nothing is left in a closed queue, nor about to come.
    fn is_empty(&self) -> bool {
        self.port.is_ended() && self.overflowing.load(Ordering::Acquire) == 0
    }

    /// Drops all that is left in a closed queue, as done.
    fn drop_all(&self, py: Python<'_>) {
        loop {
            // SAFETY: an owned reference, or null.
            match unsafe { Bound::from_owned_ptr_or_opt(py, self.get_any()) } {
                Some(item) => {
                    self.count_done();
                    drop(item);
                }
                None if self.is_empty() => return,
                // Another thread is in the midst of putting or getting one.
                None => detached(py, std::thread::yield_now),
            }
        }
    }

    /// Gets an item, waiting for it.
    #[cold]
    pub(crate) fn get(
        &self,
        py: Python<'_>,
        is_blocking: bool,
        timeout: Option<Borrowed<'_, '_, PyAny>>,
    ) -> PyResult<*mut ffi::PyObject> {
        let (visit, mut deadline_of_call) =
            (Access::new(self.made_in)?, deadline_of_call(is_blocking, timeout)?);
        let is_overflowing = || self.overflowing.load(Ordering::Acquire) != 0;
        loop {
            let object = self.get_any();
            if !object.is_null() {
                return Ok(object);
            }
            if self.port.is_closed() && self.is_empty() {
                return Err(shut_down(py));
            }
            let Some(deadline) = deadline_of_call.deadline() else { return Err(empty(py)) };
            let wait = |until| self.port.wait_for_message_or(is_overflowing, until);
            match until(py, &mut Hub::of(py)?, deadline, wait)? {
                Ok(()) => {}
                Err(WaitError::Interrupted) => visit.check_signals(py)?,
                Err(WaitError::TimedOut) => return Err(empty(py)),
            }
        }
    }

    #[inline(always)]
    fn count_unfinished(&self, n: i64) {
        if cfg!(Py_GIL_DISABLED) {
            self.unfinished.fetch_add(n, Ordering::AcqRel);
        } else {
            self.unfinished.store(self.unfinished.load(Ordering::Relaxed) + n, Ordering::Relaxed);
        }
    }

    /// Counts one item as done; tells how many are not, -1 if that was one too many.
    fn count_done(&self) -> i64 {
        let done = |now: i64| (now > 0).then_some(now - 1);
        let before = self.unfinished.fetch_update(Ordering::AcqRel, Ordering::Acquire, done);
        before.map_or(-1, |before| before - 1)
    }

    fn limit(&self, maxsize: i64) -> PyResult<()> {
        let most = self.channel.capacity();
        let overflow = self.overflow();
        match usize::try_from(maxsize) {
            Ok(1..) if !overflow.is_empty() => {
                return Err(PyValueError::error(format!(
                    "maxsize can't be lowered while more is in the queue than its ring holds, {most} items"
                )));
            }
            Ok(limit @ 1..) if limit > most => {
                return Err(PyValueError::error(format!(
                    "maxsize can't grow beyond {most}, the ring that this queue was made with, got {limit}"
                )));
            }
            Ok(limit @ 1..) => self.port.set_limit(limit),
            _ => self.port.set_limit(most),
        }
        self.is_unlimited.store(maxsize <= 0, Ordering::Relaxed);
        self.maxsize.store(maxsize, Ordering::Relaxed);
        Ok(())
    }
}

/// A limit as Python gives it: any integer. What no `i64` can hold is as good as the furthest that it can.
#[derive(Clone, Copy)]
struct Maxsize(i64);

impl<'a, 'py> FromPyObject<'a, 'py> for Maxsize {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match value.extract() {
            Ok(maxsize) => Ok(Self(maxsize)),
            Err(error) if !error.is_instance_of::<PyOverflowError>(value.py()) => Err(error),
            Err(_) if value.lt(0)? => Ok(Self(i64::MIN)),
            Err(_) => Err(PyValueError::error(format!(
                "maxsize must be at most {MAX_LIMIT}, or 0 for no limit, got {}",
                describe(value)
            ))),
        }
    }
}

#[pymethods]
impl Queue {
    #[new]
    #[pyo3(signature = (maxsize=Maxsize(0)), text_signature = "(maxsize=0)")]
    fn new(py: Python<'_>, maxsize: Maxsize) -> PyResult<Self> {
        check(py)?;
        let Maxsize(maxsize) = maxsize;
        let capacity = match usize::try_from(maxsize) {
            Ok(limit @ 1..=MAX_LIMIT) => limit,
            Ok(limit @ 1..) => {
                return Err(PyValueError::error(format!(
                    "maxsize must be at most {MAX_LIMIT}, or 0 for no limit, got {limit}"
                )));
            }
            _ => UNLIMITED_RING,
        };
        let config = Config {
            mode: Mode::Mpmc,
            item_size: size_of::<usize>(),
            capacity,
            max_producers: 1,
            ..Config::default()
        };
        let channel = detached(py, || make(&config, true)).map_err(|error| from_config(&error))?;
        let Some(port) = channel.port() else { unreachable!("mpmc channels have one") };
        let contents = Contents::new(py, channel.clone(), true)?;
        let queue = Self {
            channel,
            port,
            is_unlimited: AtomicBool::new(false),
            overflow: Mutex::default(),
            overflowing: AtomicUsize::new(0),
            unfinished: AtomicI64::new(0),
            maxsize: AtomicI64::new(0),
            contents,
            made_in: generation(),
        };
        queue.limit(maxsize)?;
        Ok(queue)
    }

    /// `Queue[int]`, for type checkers.
    #[classmethod]
    #[pyo3(signature = (item, /))]
    fn __class_getitem__<'py>(
        class: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        PyGenericAlias::new(class.py(), class.as_any(), item).map(Bound::into_any)
    }

    #[allow(clippy::unnecessary_wraps, reason = "as PyO3 wants it")]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.contents)?;
        match self.overflow.try_lock() {
            Ok(overflow) => overflow.iter().try_for_each(|item| visit.call(item)),
            Err(_) => Ok(()),
        }
    }

    fn __clear__(&self) {
        // Locked only in the child of a fork, by a thread that is not there.
        let Ok(mut overflow) = self.overflow.try_lock() else { return };
        let items = std::mem::take(&mut *overflow);
        drop(overflow);
        self.overflowing.store(0, Ordering::Release);
        items.into_iter().for_each(|item| drop(Attached::new(item)));
    }

    /// Items that may be in the queue at once; 0 or less for any number. It can be changed.
    #[getter]
    fn maxsize(&self) -> Made<i64> {
        Made(self.maxsize.load(Ordering::Relaxed))
    }

    #[setter]
    fn set_maxsize(&self, maxsize: Maxsize) -> PyResult<()> {
        Access::new(self.made_in)?;
        self.limit(maxsize.0)
    }

    /// Items in the queue now; another thread may change that at once.
    fn qsize(&self) -> PyResult<Made<usize>> {
        Access::new(self.made_in)?;
        Ok(Made(self.channel.len() + self.overflowing.load(Ordering::Relaxed)))
    }

    /// Items that were put and not yet reported done.
    #[getter]
    fn unfinished_tasks(&self) -> PyResult<Made<i64>> {
        Access::new(self.made_in)?;
        Ok(Made(self.unfinished.load(Ordering::Acquire)))
    }

    /// Counts one item as done; tells how many are not, -1 if that was one too many.
    fn _task_done(&self) -> PyResult<Made<i64>> {
        Access::new(self.made_in)?;
        Ok(Made(self.count_done()))
    }

    /// Whether the queue was shut down.
    #[getter]
    fn is_shutdown(&self) -> PyResult<bool> {
        Access::new(self.made_in)?;
        Ok(self.port.is_closed())
    }

    /// Refuses items from now on; `immediate` also takes away those that are there.
    fn _shutdown(&self, py: Python<'_>, immediate: bool) -> PyResult<()> {
        Access::new(self.made_in)?;
        {
            // No item is on its way into the overflow as the ring is sealed: it is there, or refused.
            let _overflow = self.overflow();
            self.channel.close();
        }
        if immediate {
            self.drop_all(py);
        }
        // Who waits for items shall see that no more overflow.
        self.port.notify_receiver();
        Ok(())
    }
}
