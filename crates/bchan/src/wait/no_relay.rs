//! Where processes share no channels, there is nobody to wait for them.

use super::Reach;
use super::broadcast::Epoch;
use crate::layout::EventWords;
use crate::memory::Memory;
use crate::sync::{Arc, FutexWord};

/// What is done about newcomers.
pub(crate) type Meet = std::sync::Arc<dyn Fn() + Send + Sync>;

#[allow(dead_code, reason = "it is said and not asked")]
pub(super) enum Until {
    Woken,
    Over(Epoch),
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

pub(crate) fn tell_lookouts(_: &FutexWord, _: Reach) {}

#[cfg_attr(loom, allow(dead_code))]
pub(crate) fn look_out(_: &Arc<Memory>, _: Meet) {}

pub(crate) fn dismiss_lookout(_: &Arc<Memory>) {}

/// Wakers need no thread.
#[allow(clippy::unnecessary_wraps, reason = "there may be an error elsewhere")]
pub(super) fn check() -> std::io::Result<()> {
    Ok(())
}

pub(crate) fn halt() {}

pub(crate) fn resume() {}

pub(crate) fn inherit_nothing() {}
