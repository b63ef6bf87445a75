//! Waiting: spin a little, then park; nothing on the fast path of those who need not wait.

mod alarm;
mod barrier;
mod deadline;
mod event;
mod futex;
mod spin;

pub(crate) use alarm::Alarms;
pub use barrier::Barrier;
pub use deadline::Deadline;
pub(crate) use event::{Event, Waking};
pub use spin::Spin;
