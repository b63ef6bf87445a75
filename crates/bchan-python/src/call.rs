//! One call on a handle or a channel, let in and with its arguments converted.
//!
//! Each call converts its arguments first (that may run Python code), then is let in, and then works on
//! the ring in one go. A call that has to wait lets go of the GIL, and does there whatever needs no
//! Python: it waits, and copies the rest of a batch. `sending` and `receiving` say how.

use std::sync::Arc;

use bchan::{Deadline, Interrupt};
use pyo3::exceptions::PyTimeoutError;
use pyo3::prelude::*;

use crate::arguments::Timeout;
use crate::cooperative::{Hub, until};
use crate::errors::{Raise, Unmet};
use crate::guard::Entry;
use crate::item::ItemType;

/// What a call works with: a handle of the core, the right to use it, and the type of the messages.
pub(crate) struct Call<'a, H, E: Entry> {
    pub(crate) handle: &'a mut H,
    pub(crate) entry: E,
    pub(crate) item: &'a ItemType,
}

/// How long a call still waits.
pub(crate) struct CallDeadline {
    timeout: Timeout,
    deadline: Option<Deadline>,
}

impl CallDeadline {
    pub(crate) fn new(timeout: Timeout) -> Self {
        Self { timeout, deadline: None }
    }

    /// Until when to wait; `None` if not at all. The clock starts at the first question.
    pub(crate) fn deadline(&mut self) -> Option<Deadline> {
        let timeout = self.timeout;
        (!timeout.is_zero()).then(|| *self.deadline.get_or_insert_with(|| timeout.deadline()))
    }

    /// What to say when it is over.
    pub(crate) fn late(&self, call: &str, state: &str) -> String {
        format!("{call} timed out after {}: {state}", self.timeout)
    }
}

/// Does `work`, which waits, without the GIL, through signals. `state` says what it waits to see changed.
pub(crate) fn wait<T: Send, U: Unmet + Send>(
    py: Python<'_>,
    entry: &mut impl Entry,
    call: &str,
    deadline_of_call: &mut CallDeadline,
    state: impl Fn() -> String,
    mut work: impl FnMut(Deadline) -> Result<T, U> + Send,
) -> PyResult<T> {
    entry.mark();
    let Some(deadline) = deadline_of_call.deadline() else {
        return Err(PyTimeoutError::error(deadline_of_call.late(call, &state())));
    };
    let interrupt = Arc::new(Interrupt::default());
    entry.wait_until(&interrupt)?;
    let mut hub = Hub::of(py)?;
    loop {
        match until(py, &mut hub, deadline, |deadline| interrupt.during(|| work(deadline)))? {
            Ok(done) => return Ok(done),
            Err(unmet) if unmet.is_interrupted() => entry.check_signals(py)?,
            Err(unmet) if unmet.is_late() => {
                return Err(PyTimeoutError::error(deadline_of_call.late(call, &state())));
            }
            Err(unmet) => return Err(unmet.refusal()),
        }
    }
}
