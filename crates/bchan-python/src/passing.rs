//! Handles that another process may come to use: those of a channel that processes share, as long as they
//! were never used. See `gate` for their state.

use bchan::{Consumer, FrameConsumer, FrameProducer, HandleError, Producer, Ticket};
use pyo3::prelude::*;

use crate::errors::from_handle;
use crate::handle::{Handle, Open};

/// A handle of the core.
pub(crate) trait Passable {
    /// What it is called.
    const WHAT: &'static str;

    fn begin(&mut self) -> Result<(), HandleError>;
    fn ticket(&mut self) -> Result<Ticket, HandleError>;
}

macro_rules! passable {
    ($($handle:ty: $what:literal)*) => { $(
        impl Passable for $handle {
            const WHAT: &'static str = $what;

            fn begin(&mut self) -> Result<(), HandleError> {
                self.begin()
            }

            fn ticket(&mut self) -> Result<Ticket, HandleError> {
                self.ticket()
            }
        }
    )* };
}
passable!(Producer: "producer" Consumer: "consumer" FrameProducer: "producer" FrameConsumer: "consumer");

/// What Python passes on of a ticket: `(seat, word)`.
pub(crate) type Passed = (usize, u64);

/// Registers a handle by `make`, or takes over by `take` what was passed on.
pub(crate) fn registered<H>(
    passed: Option<Passed>,
    make: impl FnOnce() -> Result<H, HandleError>,
    take: impl FnOnce(Ticket) -> Result<H, HandleError>,
) -> PyResult<H> {
    let handle = match passed {
        None => make(),
        Some((seat, word)) => take(Ticket { seat, word }),
    };
    handle.map_err(from_handle)
}

impl<H: Passable, O: Open> Handle<H, O> {
    /// Makes a fresh handle this process' own; refuses if another process has it.
    #[cold]
    pub(crate) fn begin(&self) -> PyResult<()> {
        let begun = self.gate.enter_fresh(|| {
            // SAFETY: the gate keeps every other call out meanwhile.
            let begun = unsafe { self.unused(H::begin) };
            (begun, begun.is_err())
        });
        begun.unwrap_or(Ok(())).map_err(from_handle)
    }

    /// What another process takes a fresh handle over with.
    pub(crate) fn ticket(&self) -> PyResult<Passed> {
        // SAFETY: as above.
        let ticket = self.gate.enter_fresh(|| (unsafe { self.unused(H::ticket) }, true));
        let ticket = ticket.unwrap_or(Err(HandleError::Used)).map_err(from_handle)?;
        Ok((ticket.seat, ticket.word))
    }
}
