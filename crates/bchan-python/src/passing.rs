//! Handles that another process may come to use: those of a channel that processes share, as long as they
//! were never used. See `gate` for their state.

use bchan::{Consumer, FrameConsumer, FrameProducer, HandleError, Producer, Ticket};
use pyo3::prelude::*;

use crate::channel::Channel;
use crate::errors::from_handle;
use crate::gate::Gate;

/// A handle of the core.
pub(crate) trait Passable {
    fn begin(&mut self) -> Result<(), HandleError>;
    fn ticket(&mut self) -> Result<Ticket, HandleError>;
}

macro_rules! passable {
    ($($handle:ty)*) => { $(
        impl Passable for $handle {
            fn begin(&mut self) -> Result<(), HandleError> {
                self.begin()
            }

            fn ticket(&mut self) -> Result<Ticket, HandleError> {
                self.ticket()
            }
        }
    )* };
}
passable!(Producer Consumer FrameProducer FrameConsumer);

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

/// The gate of a new handle.
pub(crate) fn gate(channel: &Channel, what: &'static str) -> Gate {
    if channel.is_shared() { Gate::fresh(what) } else { Gate::new(what) }
}

/// Makes a fresh handle this process' own; refuses if another process has it.
#[cold]
pub(crate) fn begin<'a, H: Passable + 'a>(gate: &Gate, handle: impl FnOnce() -> &'a mut H) -> PyResult<()> {
    let begun = gate.enter_fresh(|| {
        let begun = handle().begin();
        (begun, begun.is_err())
    });
    begun.unwrap_or(Ok(())).map_err(from_handle)
}

/// What another process takes a fresh handle over with.
pub(crate) fn ticket<'a, H: Passable + 'a>(
    gate: &Gate,
    handle: impl FnOnce() -> &'a mut H,
) -> PyResult<Passed> {
    let ticket = gate.enter_fresh(|| (handle().ticket(), true)).unwrap_or(Err(HandleError::Used));
    ticket.map(|ticket| (ticket.seat, ticket.word)).map_err(from_handle)
}
