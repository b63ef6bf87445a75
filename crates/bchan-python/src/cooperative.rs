//! Waiting where threads are greenlets of gevent or eventlet: all of them run in one thread of the system, so
//! whoever would park it parks the one that it waits for. So it looks, lets others run, and looks again.
//!
//! Which it is, is found out where a call is about to wait: `_cooperative.py` knows the hubs. Greenlets move
//! pieces of the stack away while others run. That does no harm: while this waits, no other thread has
//! anything that lies on the stack.

use std::time::Duration;

use bchan::Deadline;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};
use pyo3::{Borrowed, ffi, intern};

use crate::detached::{PyObject_Vectorcall, detached};
use crate::errors::Unmet;
use crate::made::Make;

/// How the greenlets of this thread wait.
pub(crate) struct Hub<'py> {
    sleep: Bound<'py, PyAny>,
    pause: Duration,
}

impl<'py> Hub<'py> {
    /// The first pause lets others run and no more; then they grow from this, twofold, to the longest.
    const SHORTEST: Duration = Duration::from_micros(25);
    const LONGEST: Duration = Duration::from_millis(1);

    /// The hub, if `threading` is patched.
    #[inline]
    pub(crate) fn of(py: Python<'py>) -> PyResult<Option<Self>> {
        // SAFETY: attached; the dict of modules lives as long as the interpreter.
        let modules =
            unsafe { Borrowed::from_ptr(py, ffi::PyImport_GetModuleDict()).cast_unchecked::<PyDict>() };
        if modules.contains(greenlet(py))? { Self::of_modules(py) } else { Ok(None) }
    }

    #[cold]
    fn of_modules(py: Python<'py>) -> PyResult<Option<Self>> {
        static SLEEP_OF_HUB: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let find = || py.import("bchan._cooperative")?.getattr("sleep_of_hub").map(Bound::unbind);
        let sleep = SLEEP_OF_HUB.get_or_try_init(py, find)?.bind(py).call0()?;
        Ok((!sleep.is_none()).then_some(Self { sleep, pause: Duration::ZERO }))
    }

    /// Lets others run, a little longer each time, and not much beyond `deadline`.
    fn pause(&mut self, deadline: Deadline) -> PyResult<()> {
        let py = self.sleep.py();
        let pause = deadline.remaining().map_or(self.pause, |left| left.min(self.pause));
        let seconds = pause.as_secs_f64().make(py)?;
        // SAFETY: one argument by position. Null means an exception was set.
        unsafe {
            let slept = PyObject_Vectorcall(self.sleep.as_ptr(), &seconds.as_ptr(), 1, std::ptr::null_mut());
            Bound::from_owned_ptr_or_err(py, slept)?;
        }
        self.pause = (self.pause * 2).clamp(Self::SHORTEST, Self::LONGEST);
        Ok(())
    }
}

/// The name of the module that greenlets come from; made at the first question.
pub(crate) fn greenlet(py: Python<'_>) -> &Bound<'_, PyString> {
    intern!(py, "greenlet")
}

/// Does `work`, which waits until the deadline, without the GIL; in a greenlet, other greenlets run meanwhile.
pub(crate) fn until<T: Send, U: Unmet + Send>(
    py: Python<'_>,
    hub: &mut Option<Hub<'_>>,
    deadline: Deadline,
    mut work: impl FnMut(Deadline) -> Result<T, U> + Send,
) -> PyResult<Result<T, U>> {
    let Some(hub) = hub else { return Ok(detached(py, || work(deadline))) };
    loop {
        let done = detached(py, || work(Deadline::after(Duration::ZERO)));
        if !done.as_ref().is_err_and(|unmet| unmet.is_late()) || deadline.remaining() == Some(Duration::ZERO)
        {
            return Ok(done);
        }
        hub.pause(deadline)?;
    }
}
