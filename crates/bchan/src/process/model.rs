//! Processes under the model checker: threads that say which one they play, and unwind where they die.
//!
//! Who dies must leave its handles as they are. Its death is known to all before anybody clears up, and
//! nobody watches: the model itself says who recovers.

use std::panic::resume_unwind;

use loom::cell::Cell;

use super::{Owner, Unwatchable};

loom::thread_local! {
    static PID: Cell<u32> = Cell::new(1);
    /// Where this one dies: the label, and how often it is still to be passed before.
    static DEATH: Cell<Option<(&'static str, u32)>> = Cell::new(None);
}

loom::lazy_static! {
    static ref DEAD: std::sync::Mutex<Vec<u32>> = std::sync::Mutex::new(Vec::new());
}

/// What a thread unwinds with whose process was killed.
#[derive(Debug)]
pub struct Killed;

/// Has this thread be of another process.
pub fn be(pid: u32) {
    PID.with(|this| this.set(pid));
}

/// Has this thread die where it gets to `label` for the first time after `passed` times.
pub fn die_at(label: &'static str, passed: u32) {
    DEATH.with(|death| death.set(Some((label, passed))));
}

/// From now on the process counts as dead.
pub fn died(pid: u32) {
    DEAD.lock().unwrap().push(pid);
}

pub(crate) fn reach(label: &str) {
    let death = DEATH.with(Cell::get);
    if let Some((place, passed)) = death
        && place == label
    {
        DEATH.with(|death| death.set(passed.checked_sub(1).map(|passed| (place, passed))));
        if passed == 0 {
            resume_unwind(Box::new(Killed));
        }
    }
}

pub(crate) fn this() -> Owner {
    Owner::new(PID.with(Cell::get), 0, 0)
}

pub(crate) fn life(other: Owner) -> Option<bool> {
    Some(!DEAD.lock().unwrap().contains(&other.pid()))
}

/// There are no pid namespaces.
pub(crate) fn namespace() -> Result<u64, Unwatchable> {
    Ok(1)
}

pub(crate) fn forget() {}

/// Nobody watches, and nobody has to look.
pub(crate) fn unattended() -> Option<std::time::Duration> {
    None
}

/// Nobody has to look.
pub(crate) fn look() {}

/// Nothing is to be done here.
pub fn before_fork() {}

/// Nothing is to be done here.
pub fn after_fork_in_parent() {}

/// Nothing is to be done here.
pub fn after_fork_in_child() {}

/// Not counted here.
pub fn forks() -> u32 {
    0
}

pub(crate) fn count_children() {}

/// There is nobody to watch.
pub(super) fn is_halted() -> bool {
    false
}

/// Nothing is to be done here.
pub(super) fn resume() {}
