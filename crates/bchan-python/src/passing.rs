//! Handles that another process may come to use: those of a channel that processes share, as long as they
//! were never used. See `guard` for their state.

use std::sync::{Mutex, PoisonError};

use bchan::{Consumer, FrameConsumer, FrameProducer, HandleError, Producer, Token};
use pyo3::prelude::*;

use crate::errors::from_handle;
use crate::handle::{Handle, Open};

/// A handle of the core.
pub(crate) trait Passable {
    /// What it is called.
    const WHAT: &'static str;

    fn begin(&mut self) -> Result<(), HandleError>;
    fn token(&mut self) -> Result<Token, HandleError>;
    fn hand_over(&mut self, to: &bchan::Handover, is_lent: bool) -> Result<Token, HandleError>;
    fn begin_copy(&mut self) -> Result<(), HandleError>;
    fn give(&mut self);
    fn is_taken_back(&mut self) -> bool;
    fn close(self);
}

macro_rules! passable {
    ($($handle:ty: $what:literal)*) => { $(
        impl Passable for $handle {
            const WHAT: &'static str = $what;

            fn begin(&mut self) -> Result<(), HandleError> {
                self.begin()
            }

            fn token(&mut self) -> Result<Token, HandleError> {
                self.token()
            }

            fn hand_over(&mut self, to: &bchan::Handover, is_lent: bool) -> Result<Token, HandleError> {
                self.hand_over(to, is_lent)
            }

            fn begin_copy(&mut self) -> Result<(), HandleError> {
                self.begin_copy()
            }

            fn give(&mut self) {
                self.give();
            }

            fn is_taken_back(&mut self) -> bool {
                self.is_taken_back()
            }

            fn close(self) {
                self.close();
            }
        }
    )* };
}
passable!(Producer: "producer" Consumer: "consumer" FrameProducer: "producer" FrameConsumer: "consumer");

/// A child process that is being started, and the handles that go to it; a context manager, in whose block
/// that is done.
#[pyclass(frozen, module = "bchan._core")]
pub(crate) struct Handover(Mutex<Option<bchan::Handover>>);

impl Handover {
    /// What `work` does with it while the child is being started.
    fn with<T>(&self, work: impl FnOnce(&mut Option<bchan::Handover>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[pymethods]
impl Handover {
    #[new]
    fn new() -> Self {
        Self(Mutex::new(Some(bchan::Handover::new())))
    }

    /// The child was started: by a fork alone, of the process `forked_by`, or by executing a program besides.
    fn started(&self, pid: u32, forked_by: Option<u32>) {
        if let Some(handover) = self.with(Option::take) {
            handover.started(pid, forked_by);
        }
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    /// If no child was started, the handles are their makers' again.
    #[pyo3(signature = (*_error))]
    fn __exit__(&self, _error: &Bound<'_, pyo3::types::PyTuple>) {
        drop(self.with(Option::take));
    }
}

/// Whether this process has handles that may yet go to another.
#[pyfunction]
pub(crate) fn has_unused_handles() -> bool {
    bchan::has_unused_handles()
}

/// What Python passes on of a token: `(registry_slot, word)`.
pub(crate) type Passed = (usize, u64);

/// Registers a handle by `make`, or takes over by `take` what was passed on.
pub(crate) fn registered<H>(
    passed: Option<Passed>,
    make: impl FnOnce() -> Result<H, HandleError>,
    take: impl FnOnce(Token) -> Result<H, HandleError>,
) -> PyResult<H> {
    let handle = match passed {
        None => make(),
        Some((registry_slot, word)) => take(Token { registry_slot, word }),
    };
    handle.map_err(from_handle)
}

impl<H: Passable, O: Open> Handle<H, O> {
    /// Makes a fresh handle this process' own; refuses if another process has it.
    #[cold]
    pub(crate) fn begin(&self) -> PyResult<()> {
        let begun = self.guard.enter_fresh(|| {
            // SAFETY: the guard keeps every other call out meanwhile.
            let begun = unsafe { self.unused(H::begin) };
            (begun, begun.is_err())
        });
        begun.unwrap_or(Ok(())).map_err(from_handle)
    }

    /// In the child of a fork, of a handle that was never used: makes it this process' own now, or says that
    /// it was made for it.
    pub(crate) fn adopt(&self, now: bool) -> PyResult<()> {
        if !self.guard.is_fresh() {
            return Ok(());
        }
        let adopt = |handle: &mut H| match now {
            true => handle.begin_copy(),
            false => {
                handle.give();
                Ok(())
            }
        };
        // SAFETY: as above.
        let adopted = self.guard.enter_fresh(|| (unsafe { self.unused(adopt) }, true));
        adopted.unwrap_or(Ok(())).map_err(from_handle)
    }

    /// Whether it was never used here and can't be any more.
    #[cold]
    pub(crate) fn is_taken_back(&self) -> bool {
        // SAFETY: as above.
        let ask = || (unsafe { self.unused(H::is_taken_back) }, true);
        self.guard.enter_fresh(ask).unwrap_or(false)
    }

    /// What another process takes a fresh handle over with: a child that is being started, or any.
    pub(crate) fn token(&self, child: Option<&Handover>, is_lent: bool) -> PyResult<Passed> {
        let give = |handle: &mut H| match child {
            Some(child) => child.with(|child| match child {
                Some(child) => handle.hand_over(child, is_lent),
                None => handle.token(),
            }),
            None => handle.token(),
        };
        // SAFETY: as above.
        let token = self.guard.enter_fresh(|| (unsafe { self.unused(give) }, true));
        let token = token.unwrap_or(Err(HandleError::Used)).map_err(from_handle)?;
        Ok((token.registry_slot, token.word))
    }
}
