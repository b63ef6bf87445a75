//! One handle, one user at a time: the check at the start of every call on a handle.
//!
//! | state | meaning |
//! |---|---|
//! | `CLOSED` | the handle was closed, for good |
//! | generation | free for the next call in the process of that generation |
//! | generation + `BUSY` | a call is under way |
//! | generation + `CLOSING` | a thread closes the handle |
//! | `FRESH` | never used, of a channel that processes share: the first who uses it has it |
//!
//! The generation grows when this process is forked, so a handle that came along is found out by the same
//! comparison. With the GIL a call that doesn't let go of it can't meet another one, and only looks; a call
//! that waits, or may run Python code, marks the handle busy first. Python code runs where one would not
//! think of it: until CPython 3.12 whatever makes an object that the garbage collector tracks (a tuple, a
//! list, a memoryview, an exception) may run the collector, and so any finalizer; dropping a reference may,
//! too. A debug build panics if a call is let in beside one that has not marked. Without the GIL every call
//! marks the handle.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bchan::Interrupt;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::detached::detached;
use crate::errors::{Closed, Raise};

const CLOSED: u32 = 0;
const BUSY: u32 = 1;
const CLOSING: u32 = 2;
const FRESH: u32 = !(BUSY | CLOSING);
/// In place of a generation: of a channel that any process may use.
pub(crate) const ANYWHERE: u32 = 0;

/// The state of a free handle in this process. Grows by 4 in the child of a fork.
static GENERATION: AtomicU32 = AtomicU32::new(4);

/// Has forks noticed from now on, also those that Python knows nothing of.
pub(crate) fn watch_forks() {
    extern "C" fn before() {
        bchan::process::before_fork();
    }
    extern "C" fn in_parent() {
        bchan::process::after_fork_in_parent();
        if bchan::process::is_halted() {
            // A thread that came before the call has returned would make CPython warn.
            // SAFETY: it may be called anywhere, and what is called needs nothing of Python.
            unsafe { ffi::Py_AddPendingCall(Some(resume), ptr::null_mut()) };
        }
    }
    extern "C" fn resume(_: *mut c_void) -> c_int {
        bchan::process::resume();
        0
    }
    extern "C" fn in_child() {
        GENERATION.fetch_add(4, Ordering::Relaxed);
        bchan::process::after_fork_in_child();
    }
    static WATCHED: std::sync::Once = std::sync::Once::new();
    // SAFETY: what the child's handler does, it may: it waits for no lock.
    let watch = || unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    WATCHED.call_once(|| assert_eq!(watch(), 0));
}

pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Whether this process may use what was made in that generation.
#[inline(always)]
pub(crate) fn is_home(made_in: u32) -> bool {
    made_in == generation() || made_in == ANYWHERE
}

/// Refuses what was made before a fork.
#[inline(always)]
pub(crate) fn check_process(made_in: u32, what: &str) -> PyResult<()> {
    if is_home(made_in) {
        return Ok(());
    }
    Err(PyRuntimeError::error(format!(
        "this {what} came through a fork and belongs to the parent process; it can't be used in this one"
    )))
}

/// A word for this thread that no other one has at the same time; not 0.
fn this_thread() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| ptr::from_ref(here).addr())
}

/// Guards a handle's insides.
pub(crate) struct Guard {
    state: AtomicU32,
    what: &'static str,
    /// The thread whose call has marked the handle, or that closes it; 0 if none. Written by that thread.
    marked_by: AtomicUsize,
    /// Whether a call is inside, marked or not. A call that is let in beside one shows that Python code ran
    /// where nothing was marked.
    #[cfg(debug_assertions)]
    is_occupied: AtomicBool,
    /// Closed by another thread while a call waits, which has to end first.
    is_closing: AtomicBool,
    waiting: Mutex<Waiting>,
    /// Such a call has ended.
    left: Condvar,
}

/// A call that waits, and what another thread that closes the handle meanwhile leaves to be done at its end.
#[derive(Default)]
struct Waiting {
    interrupt: Option<Arc<Interrupt>>,
    ending: Option<Ending>,
}

type Ending = Box<dyn FnOnce() + Send>;

/// A closure that may be run by another thread.
struct Anywhere<F>(F);

// SAFETY: it is run by an attached thread, as the one that made it was.
unsafe impl<F> Send for Anywhere<F> {}

impl<F: FnOnce()> Anywhere<F> {
    fn run(self) {
        (self.0)();
    }
}

impl Guard {
    pub(crate) fn new(what: &'static str) -> Self {
        Self::of(generation(), what)
    }

    /// Of a handle that another process may come to use.
    pub(crate) fn fresh(what: &'static str) -> Self {
        Self::of(FRESH, what)
    }

    fn of(state: u32, what: &'static str) -> Self {
        Self {
            state: AtomicU32::new(state),
            what,
            marked_by: AtomicUsize::new(0),
            is_closing: AtomicBool::new(false),
            waiting: Mutex::default(),
            left: Condvar::new(),
            #[cfg(debug_assertions)]
            is_occupied: AtomicBool::new(false),
        }
    }

    /// How long closing a handle waits for the call of another thread.
    const LONGEST: Duration = Duration::from_secs(1);
    /// How often it looks meanwhile whether a call that does not wait has ended.
    const PAUSE: Duration = Duration::from_micros(100);

    /// Closes the handle under a call that waits, which then raises `Closed` and runs `ending` as it leaves;
    /// false if none waits. Returns once it has left, if it is another thread's and soon does.
    ///
    /// # Safety
    /// What `ending` refers to must live as long as that call.
    #[cold]
    pub(crate) unsafe fn close_under_a_wait<'a, F: FnOnce() + 'a>(
        &'a self,
        py: Python<'_>,
        ending: impl FnOnce() -> F,
    ) -> bool {
        if !self.is_home() {
            return false;
        }
        let mut waiting = self.waiting();
        let Some(interrupt) = waiting.interrupt.clone() else { return false };
        // Of several threads that close it the first one says how.
        if !self.is_closing.swap(true, Ordering::Release) {
            let ending = Anywhere(ending());
            let ending: Box<dyn FnOnce() + Send + 'a> = Box::new(move || ending.run());
            // SAFETY: as the caller says.
            waiting.ending =
                Some(unsafe { std::mem::transmute::<Box<dyn FnOnce() + Send + 'a>, Ending>(ending) });
        }
        drop(waiting);
        interrupt.raise();
        self.wait_until_left(py);
        true
    }

    /// Returns once the call under which the handle is closed has left, or the thread that closes it has done
    /// so, if that is another thread and soon does.
    #[cold]
    pub(crate) fn wait_until_left(&self, py: Python<'_>) {
        let since = Instant::now();
        while self.state.load(Ordering::Acquire) & CLOSING != 0 && self.give_way(py, since) {}
        if !self.is_home() || !self.is_closing() || self.is_marked_here() {
            return;
        }
        let is_inside = |waiting: &mut Waiting| waiting.interrupt.is_some();
        detached(py, || drop(self.left.wait_timeout_while(self.waiting(), Self::LONGEST, is_inside)));
    }

    /// Has this thread close the handle if it is free: every call to come finds it closed. `end_closing`
    /// follows.
    #[cold]
    pub(crate) fn begin_closing(&self) -> bool {
        let generation = generation();
        // Acquire: sees what the last call did; pairs with the Release in `InUse::drop`.
        let is_ours = self
            .state
            .compare_exchange(generation, generation | CLOSING, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        if is_ours {
            self.marked_by.store(this_thread(), Ordering::Relaxed);
            #[cfg(debug_assertions)]
            self.assert_free(self.is_occupied.load(Ordering::Relaxed));
        }
        is_ours
    }

    pub(crate) fn end_closing(&self) {
        // Release: pairs with the Acquire in `wait_until_left`.
        self.state.store(CLOSED, Ordering::Release);
    }

    /// Lets the call of another thread that keeps others out go on for a moment; false if there is none, or
    /// it takes too long.
    #[cold]
    pub(crate) fn give_way(&self, py: Python<'_>, since: Instant) -> bool {
        let is_anothers = self.is_home() && !self.is_marked_here();
        if is_anothers && since.elapsed() < Self::LONGEST {
            detached(py, || thread::sleep(Self::PAUSE));
            return true;
        }
        false
    }

    fn is_marked_here(&self) -> bool {
        self.marked_by.load(Ordering::Relaxed) == this_thread()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    #[cfg(debug_assertions)]
    fn assert_free(&self, is_occupied: bool) {
        assert!(!is_occupied, "Python code ran inside of a call on a {} that had not marked it", self.what);
    }

    #[cold]
    fn closed(&self) -> PyErr {
        Closed::error(format!("this {} is closed", self.what))
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.state.load(Ordering::Relaxed) == FRESH
    }

    /// Lets a call in that uses a fresh handle for the first time, or passes it on, and keeps all others out.
    /// `outcome` tells whether the handle stays fresh.
    #[cold]
    pub(crate) fn enter_fresh<T>(&self, work: impl FnOnce() -> (T, bool)) -> Option<T> {
        let busy = generation() | BUSY;
        // Acquire: pairs with the Release below.
        self.state.compare_exchange(FRESH, busy, Ordering::Acquire, Ordering::Relaxed).ok()?;
        let (outcome, stays_fresh) = work();
        self.state.store(if stays_fresh { FRESH } else { generation() }, Ordering::Release);
        Some(outcome)
    }

    /// Ends every call to come on a fresh handle; false if it isn't fresh any more.
    pub(crate) fn close_fresh(&self) -> bool {
        self.state.compare_exchange(FRESH, CLOSED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Lets a call in, or says why not.
    #[inline(always)]
    pub(crate) fn enter(&self) -> PyResult<InUse<'_>> {
        self.try_acquire().ok_or_else(|| self.refusal())
    }

    /// Lets a call in, if it can.
    #[inline(always)]
    pub(crate) fn try_acquire(&self) -> Option<InUse<'_>> {
        let generation = generation();
        #[cfg(Py_GIL_DISABLED)]
        // Acquire: sees what the last call did; pairs with the Release in `InUse::drop`.
        let is_ours = self
            .state
            .compare_exchange(generation, generation | BUSY, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        // Relaxed here and below: the GIL orders one call after the other.
        #[cfg(not(Py_GIL_DISABLED))]
        let is_ours = self.state.load(Ordering::Relaxed) == generation;
        #[cfg(debug_assertions)]
        self.assert_free(is_ours && self.is_occupied.swap(true, Ordering::Relaxed));
        // Made only if it is ours: dropping one ends the call.
        is_ours.then(|| InUse { guard: self, is_marked: cfg!(Py_GIL_DISABLED), has_waited: false })
    }

    /// Why no call can be let in.
    #[cold]
    pub(crate) fn refusal(&self) -> PyErr {
        let what = self.what;
        match self.state.load(Ordering::Relaxed) {
            _ if self.is_closed() => self.closed(),
            state => check_process(state & !BUSY, what).err().unwrap_or_else(|| {
                PyRuntimeError::error(format!(
                    "this {what} is in use by another thread, or by the call that this one \
                     interrupts; one thread at a time may use a {what}, and each thread can have its own"
                ))
            }),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        match self.state.load(Ordering::Relaxed) {
            CLOSED => true,
            state => state & CLOSING != 0 || self.is_closing(),
        }
    }

    /// Whether the handle was made in this process.
    pub(crate) fn is_home(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        state == CLOSED || state == FRESH || state & !(BUSY | CLOSING) == generation()
    }
}

/// A call on a handle that was let in; ends when dropped.
pub(crate) struct InUse<'a> {
    guard: &'a Guard,
    is_marked: bool,
    has_waited: bool,
}

/// A call under way: what it has to do when it lets go of the GIL, and when a signal has come.
pub(crate) trait Entry {
    /// To be called before letting go of the GIL, or running Python code.
    fn mark(&mut self);

    /// Has `interrupt` raised if the handle is closed while the call waits; `Closed` if it was before.
    fn wait_until(&mut self, interrupt: &Arc<Interrupt>) -> PyResult<()>;

    /// Runs the handlers of signals that have come. One may have forked: the child must not go on.
    fn check_signals(&self, py: Python<'_>) -> PyResult<()>;
}

impl<E: Entry> Entry for &mut E {
    fn mark(&mut self) {
        E::mark(self);
    }

    fn wait_until(&mut self, interrupt: &Arc<Interrupt>) -> PyResult<()> {
        E::wait_until(self, interrupt)
    }

    fn check_signals(&self, py: Python<'_>) -> PyResult<()> {
        E::check_signals(self, py)
    }
}

impl Entry for InUse<'_> {
    /// Marks the handle busy.
    fn mark(&mut self) {
        let state = self.guard.state.load(Ordering::Relaxed) | BUSY;
        self.guard.state.store(state, Ordering::Relaxed);
        self.guard.marked_by.store(this_thread(), Ordering::Relaxed);
        self.is_marked = true;
    }

    fn wait_until(&mut self, interrupt: &Arc<Interrupt>) -> PyResult<()> {
        let mut waiting = self.guard.waiting();
        self.has_waited = true;
        waiting.interrupt = Some(interrupt.clone());
        if self.guard.is_closing() { Err(self.guard.closed()) } else { Ok(()) }
    }

    fn check_signals(&self, py: Python<'_>) -> PyResult<()> {
        py.check_signals()?;
        match self.guard.is_home() {
            true if self.guard.is_closing() => Err(self.guard.closed()),
            true => Ok(()),
            false => Err(self.guard.refusal()),
        }
    }
}

/// A call on a channel, which any number of threads may use at once.
#[derive(Debug)]
pub(crate) struct Access {
    made_in: u32,
}

impl Access {
    /// Lets a call in, in the process that made the channel.
    #[inline(always)]
    pub(crate) fn new(made_in: u32) -> PyResult<Self> {
        check_process(made_in, "channel").map(|()| Self { made_in })
    }
}

impl Entry for Access {
    fn mark(&mut self) {}

    /// Closing a channel ends its waits by itself.
    fn wait_until(&mut self, _: &Arc<Interrupt>) -> PyResult<()> {
        Ok(())
    }

    fn check_signals(&self, py: Python<'_>) -> PyResult<()> {
        py.check_signals()?;
        check_process(self.made_in, "channel")
    }
}

impl InUse<'_> {
    /// Closes the handle if another thread has asked for that; tells whether.
    #[cold]
    fn end_wait(&self) -> bool {
        if !self.guard.is_home() {
            return false;
        }
        let mut waiting = self.guard.waiting();
        let Some(ending) = waiting.ending.take() else {
            waiting.interrupt = None;
            return false;
        };
        drop(waiting);
        ending();
        self.guard.state.store(CLOSED, Ordering::Release);
        self.guard.waiting().interrupt = None;
        self.guard.left.notify_all();
        true
    }
}

impl Drop for InUse<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        #[cfg(debug_assertions)]
        self.guard.is_occupied.store(false, Ordering::Relaxed);
        if self.has_waited && self.end_wait() {
            return;
        }
        if self.is_marked {
            self.guard.marked_by.store(0, Ordering::Relaxed);
            let state = self.guard.state.load(Ordering::Relaxed) & !BUSY;
            self.guard.state.store(state, Ordering::Release);
        }
    }
}
