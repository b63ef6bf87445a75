//! What all handles are made of: the core's handle behind a guard, and what is open between two calls.

use std::cell::{LazyCell, UnsafeCell};
use std::time::Instant;

use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::channel::Channel;
use crate::contents::Contents;
use crate::errors::{Closed, Raise, checked_waker};
use crate::guard::{Guard, InUse};
use crate::memory::check;
use crate::passing::Passable;

/// What a handle has open between two calls, such as a view of the ring. While it does, most calls are
/// refused.
pub(crate) trait Open {
    /// What to say then.
    const REFUSAL: &'static str;

    fn is_open(&self) -> bool;
}

/// Of a handle that never has anything open.
impl Open for () {
    const REFUSAL: &'static str = "";

    #[inline(always)]
    fn is_open(&self) -> bool {
        false
    }
}

/// What a call works on, once the guard has let it in.
pub(crate) struct Inner<H, O> {
    /// The core's handle; `None` once closed.
    pub(crate) core: Option<H>,
    pub(crate) open: O,
}

impl<H: Passable, O: Open> Inner<H, O> {
    /// The core's handle, if nothing is open.
    #[inline(always)]
    pub(crate) fn fast(&mut self) -> Option<&mut H> {
        if self.open.is_open() { None } else { self.core.as_mut() }
    }

    /// The core's handle, or why there is none to be had.
    #[inline(always)]
    pub(crate) fn idle(&mut self) -> PyResult<&mut H> {
        self.both().map(|(core, _)| core)
    }

    /// The same, and what is under way nevertheless.
    #[inline(always)]
    pub(crate) fn both(&mut self) -> PyResult<(&mut H, &mut O)> {
        match (&mut self.core, self.open.is_open()) {
            (Some(core), false) => Ok((core, &mut self.open)),
            (_, is_open) => Err(Self::refusal(is_open)),
        }
    }

    #[cold]
    fn refusal(is_open: bool) -> PyErr {
        if is_open {
            PyRuntimeError::error(O::REFUSAL)
        } else {
            Closed::error(format!("this {} is closed", H::WHAT))
        }
    }
}

/// A handle of the core, of kind `H`, as one of Python's.
pub(crate) struct Handle<H: Passable, O> {
    pub(crate) guard: Guard,
    inner: UnsafeCell<Inner<H, O>>,
    /// Owner of the views, and of messages that are objects.
    pub(crate) contents: Py<Contents>,
}

// SAFETY: `inner` is touched only by a call that holds the guard's pass.
unsafe impl<H: Passable + Send, O: Send> Sync for Handle<H, O> {}

impl<H: Passable, O: Open> Handle<H, O> {
    /// Registered by `register` last: a handle that comes and fails would be one that has left.
    pub(crate) fn new(
        py: Python<'_>,
        channel: &Channel,
        open: O,
        register: impl FnOnce() -> PyResult<H>,
    ) -> PyResult<Self> {
        check(py)?;
        let contents = channel.contents().clone_ref(py);
        let core = Some(register()?);
        let guard = if channel.is_shared() { Guard::fresh(H::WHAT) } else { Guard::new(H::WHAT) };
        Ok(Self { guard, inner: UnsafeCell::new(Inner { core, open }), contents })
    }

    /// Counts a consumer in, by `join`, once there is an object for it.
    pub(crate) fn join(&self, join: impl FnOnce(&mut H)) -> PyResult<()> {
        if self.guard.is_fresh() {
            // SAFETY: the guard keeps all others out.
            self.guard.enter_fresh(|| (unsafe { self.unused(join) }, true));
            return Ok(());
        }
        let (_pass, core) = self.enter_idle()?;
        join(core);
        Ok(())
    }

    /// Lets a call in, or says why it can't.
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "the pass makes it the only reference")]
    pub(crate) fn enter(&self) -> PyResult<(InUse<'_>, &mut Inner<H, O>)> {
        if self.guard.is_fresh() {
            self.begin()?;
        }
        let pass = self.guard.enter()?;
        // SAFETY: the pass keeps every other call out while this reference is used.
        Ok((pass, unsafe { &mut *self.inner.get() }))
    }

    /// Lets a call in, if it can.
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "the pass makes it the only reference")]
    pub(crate) fn try_acquire(&self) -> Option<(InUse<'_>, &mut Inner<H, O>)> {
        let pass = self.guard.try_acquire()?;
        // SAFETY: the pass keeps every other call out while this reference is used.
        Some((pass, unsafe { &mut *self.inner.get() }))
    }

    /// Lets a call in that wants nothing open, or says why it can't.
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "the pass makes it the only reference")]
    pub(crate) fn enter_idle(&self) -> PyResult<(InUse<'_>, &mut H)> {
        let (pass, inner) = self.enter()?;
        Ok((pass, inner.idle()?))
    }

    /// What `work` does with a handle that was never used, while all calls are kept out.
    ///
    /// # Safety
    /// To be called only while the guard keeps them out.
    pub(crate) unsafe fn unused<T>(&self, work: impl FnOnce(&mut H) -> T) -> T {
        // SAFETY: as the caller says.
        work(unsafe { &mut *self.inner.get() }.core.as_mut().expect("it is open"))
    }

    /// Closes it; `end` ends what is open, and gives what goes last, as that may run Python code. Closing
    /// twice is harmless.
    pub(crate) fn close<T>(&self, py: Python<'_>, end: impl FnOnce(&mut O) -> T) -> PyResult<()> {
        let (mut end, since) = (Some(end), LazyCell::new(Instant::now));
        while !self.guard.is_closed() {
            if self.guard.close_fresh() {
                // SAFETY: the guard is closed, and nobody is inside.
                let core = unsafe { &mut *self.inner.get() }.core.take();
                core.into_iter().for_each(H::close);
                return Ok(());
            }
            // SAFETY: the call that waits has borrowed this handle.
            let is_left_to_a_call = unsafe {
                self.guard.close_under_a_wait(py, || {
                    let end = end.take();
                    move || drop(end.map(|end| self.finish(end)))
                })
            };
            if is_left_to_a_call {
                return Ok(());
            }
            if self.guard.begin_closing() {
                let ended = end.take().map(|end| self.finish(end));
                self.guard.end_closing();
                drop(ended);
                return Ok(());
            }
            // Most often the call that is inside has not come to wait yet, or is about to leave.
            if !self.guard.give_way(py, *since) {
                return Err(self.guard.refusal());
            }
        }
        self.guard.wait_until_left(py);
        Ok(())
    }

    /// Ends what is open and drops the core's handle, at the end of a call that keeps every other one out.
    fn finish<T>(&self, end: impl FnOnce(&mut O) -> T) -> T {
        // SAFETY: as above: no other reference is used any more.
        let inner = unsafe { &mut *self.inner.get() };
        let ended = end(&mut inner.open);
        drop(inner.core.take());
        // It may have been woken for something that it did not take.
        self.contents.get().disarm(-1);
        ended
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.guard.is_closed() || self.guard.is_fresh() && self.is_taken_back()
    }

    /// What `ask` tells of what is open; false once closed.
    pub(crate) fn has_open(&self, ask: impl FnOnce(&O) -> bool) -> PyResult<bool> {
        if self.guard.is_closed() {
            return Ok(false);
        }
        let (_pass, inner) = self.enter()?;
        Ok(ask(&inner.open))
    }

    /// Has `arm` see to an eventfd being written, unless there is no need to wait: then true.
    pub(crate) fn arm(&self, arm: impl FnOnce(&mut H) -> bool) -> PyResult<bool> {
        if self.guard.is_closed() {
            return Ok(true);
        }
        let (_pass, inner) = self.enter()?;
        checked_waker(inner.core.as_mut().is_none_or(arm))
    }

    /// What `look` says: whether others must look who wait with this handle, for what the channel tells
    /// nobody. True if it can't be asked.
    pub(crate) fn must_look(&self, look: impl FnOnce(&mut H, &mut O) -> bool) -> bool {
        let Some((_pass, inner)) = self.try_acquire() else { return true };
        let Inner { core, open } = inner;
        core.as_mut().is_none_or(|core| look(core, open))
    }

    /// Takes back what `arm` did; harmless if there is nothing to take back.
    pub(crate) fn disarm(&self, waker: i32) {
        self.contents.get().disarm(waker);
    }

    #[allow(clippy::needless_pass_by_value, reason = "as PyO3 gives it")]
    pub(crate) fn traverse(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.contents)
    }

    /// What is open, when the handle goes.
    pub(crate) fn open_mut(&mut self) -> &mut O {
        &mut self.inner.get_mut().open
    }
}

impl<H: Passable, O> Drop for Handle<H, O> {
    fn drop(&mut self) {
        if !self.guard.is_home() {
            // The parent process still uses what we would give back.
            std::mem::forget(self.inner.get_mut().core.take());
        }
    }
}
