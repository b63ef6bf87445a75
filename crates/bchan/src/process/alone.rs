//! Where processes share no channels: there is but this one.

use std::time::Duration;

use super::{Lifeline, Owner, Told, Unwatchable};

pub(crate) fn this() -> Owner {
    Owner::new(1, 0, 0)
}

pub(crate) fn life(_other: Owner) -> Option<bool> {
    None
}

/// There are no pid namespaces.
pub(crate) fn namespace() -> Result<u64, Unwatchable> {
    Ok(1)
}

pub(crate) fn watch(_other: Owner, _lifeline: Lifeline, _told: &Told) -> bool {
    true
}

/// There is nobody to look at.
pub(crate) fn unattended() -> Option<Duration> {
    None
}

/// There is nobody to look at.
pub(crate) fn look() {}

pub(crate) fn insist(_dead: Owner, _told: &Told) {}

pub(crate) fn forget() {}

pub(crate) fn count_children() {}

pub(crate) fn of(pid: u32) -> Owner {
    Owner::new(pid, 0, 0)
}

pub(crate) fn living_children() -> Vec<(Owner, u32)> {
    Vec::new()
}

/// Nothing is to be done here.
pub(super) fn before_fork() {}

/// Nothing is to be done here.
pub(super) fn after_fork_in_parent() {}

/// Nothing is to be done here.
pub(super) fn after_fork_in_child() {}

/// Not counted here.
pub fn forks() -> u32 {
    0
}

/// There is nobody to watch.
pub(super) fn is_halted() -> bool {
    false
}

/// Nothing is to be done here.
pub(super) fn resume() {}
