//! Where processes share no channels: there is but this one.

use super::{Owner, Told};

pub(crate) fn this() -> Owner {
    Owner::new(1, 0)
}

pub(crate) fn is_alive(_other: Owner) -> bool {
    true
}

pub(crate) fn watch(_other: Owner, _told: &Told) -> bool {
    true
}

pub(crate) fn insist(_dead: Owner, _told: &Told) {}

pub(crate) fn forget() {}

pub(crate) fn count_children() {}

pub(crate) fn living_children() -> Vec<Owner> {
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
