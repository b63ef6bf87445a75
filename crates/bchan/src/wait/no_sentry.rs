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

pub(super) fn guard(_: &Arc<Memory>, _: &EventWords, _: i32, _: impl FnOnce() -> Until) {}

pub(super) fn forget(_: &Arc<Memory>, _: i32) {}

/// Alarms need no thread.
///
/// # Errors
/// None here.
#[allow(clippy::unnecessary_wraps, reason = "there may be an error elsewhere")]
pub fn check_alarms() -> std::io::Result<()> {
    Ok(())
}

pub(crate) fn halt() {}

pub(crate) fn resume() {}

pub(crate) fn inherit_nothing() {}
