//! Alarms: eventfds that wake an event loop, or a thread that waits for more events than it can park at.
//!
//! An alarm is armed while its owner has nothing to do, and written once: messages that come while
//! the owner is busy cost nothing. It belongs to this process, so it lives beside the channel's memory
//! and not in it. Where other processes share that, they could not find it: see `sentry`.

use std::sync::{Mutex, PoisonError};

use super::sentry;
use crate::memory::Memory;
use crate::sync::Arc;

/// The alarms of a channel that are armed, oldest first: which event, and which descriptor.
#[derive(Debug)]
pub(crate) struct Alarms {
    armed: Mutex<Vec<(usize, i32)>>,
    /// The channel's memory, if processes share it.
    pub(super) shared: Option<Arc<Memory>>,
}

/// Changes the event's flag as the first of its alarms comes or the last one goes; runs under the lock.
pub(super) type Flag<'a> = &'a dyn Fn(bool);

impl Alarms {
    pub(crate) const fn none() -> Self {
        Self { armed: Mutex::new(Vec::new()), shared: None }
    }

    pub(crate) fn of(memory: &Arc<Memory>) -> Self {
        Self { shared: memory.is_shared().then(|| memory.clone()), ..Self::none() }
    }

    pub(super) fn add(&self, event: usize, alarm: i32, flag: Flag<'_>) {
        let mut armed = self.armed();
        if !armed.contains(&(event, alarm)) {
            armed.push((event, alarm));
        }
        flag(true);
    }

    /// Forgets an alarm, whatever it is armed for. After that it may be closed.
    pub(crate) fn remove(&self, alarm: i32) {
        if let Some(memory) = &self.shared {
            return sentry::forget(memory, alarm);
        }
        // The event's flag may stay: it costs the next notify a look at the list.
        self.armed().retain(|&(_, armed)| armed != alarm);
    }

    /// Writes and forgets the oldest `most` alarms of `event`; tells how many there were.
    ///
    /// They are written under the lock, so that none is closed meanwhile: its owner removes it first.
    pub(super) fn ring(&self, event: usize, most: usize, flag: Flag<'_>) -> usize {
        let mut armed = self.armed();
        let mut written = 0;
        armed.retain(|&(of, alarm)| {
            let is_due = of == event && written < most;
            if is_due {
                write(alarm);
                written += 1;
            }
            !is_due
        });
        if !armed.iter().any(|&(of, _)| of == event) {
            flag(false);
        }
        written
    }

    fn armed(&self) -> std::sync::MutexGuard<'_, Vec<(usize, i32)>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes an eventfd (or a pipe's end) readable. One that is full is readable already.
#[cfg(unix)]
pub(super) fn write(alarm: i32) {
    // SAFETY: its owner keeps it open while it is armed.
    let alarm = unsafe { std::os::fd::BorrowedFd::borrow_raw(alarm) };
    let _ = rustix::io::write(alarm, &1_u64.to_ne_bytes());
}

#[cfg(not(unix))]
fn write(_alarm: i32) {
    unreachable!("there are no alarms here");
}
