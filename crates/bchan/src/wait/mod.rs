//! Waiting: spin a little, then park; nothing on the fast path of those who need not wait.

mod asleep;
mod barrier;
mod broadcast;
mod deadline;
mod event;
mod futex;
mod interrupt;
mod park;
mod point;
#[cfg_attr(not(all(target_os = "linux", not(loom), not(feature = "portable"))), path = "no_relay.rs")]
pub(crate) mod relay;
mod retry_budget;
pub(crate) mod several;
mod spin;
mod tuning;
mod waker;

pub(crate) use asleep::{Asleep, Sleeper};
pub use barrier::Barrier;
pub(crate) use broadcast::Broadcast;
pub use deadline::Deadline;
pub(crate) use event::{Event, Reach, Waking};
pub use interrupt::Interrupt;
pub(crate) use park::{Look, Waiter, arm_until, park_until, wait_until};
pub(crate) use point::Point;
pub(crate) use retry_budget::RetryBudget;
pub use spin::Spin;
pub use tuning::{Tuning, WakePolicy};
pub(crate) use waker::Wakers;
pub use waker::check_wakers;
