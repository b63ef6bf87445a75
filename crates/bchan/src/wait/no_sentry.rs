//! Where processes share no channels, there is nobody to wait for them.

use super::broadcast::Ticket;
use crate::layout::EventWords;
use crate::memory::Memory;
use crate::sync::Arc;

#[allow(dead_code, reason = "it is said and not asked")]
pub(super) enum Until {
    Woken,
    Over(Ticket),
}

pub(super) fn guard(_: &Arc<Memory>, _: &EventWords, _: i32, _: impl FnOnce() -> Until) -> bool {
    true
}

pub(super) fn has_one_from_before(_: *const EventWords, _: std::time::Instant) -> bool {
    false
}

pub(super) fn is_one_on_its_way(_: *const EventWords) -> bool {
    false
}

pub(super) fn forget(_: &Arc<Memory>, _: i32) {}

/// Alarms need no thread.
#[allow(clippy::unnecessary_wraps, reason = "there may be an error elsewhere")]
pub(super) fn check() -> std::io::Result<()> {
    Ok(())
}

pub(crate) fn halt() {}

pub(crate) fn resume() {}

pub(crate) fn inherit_nothing() {}
