//! Waiting until one of several operations can be done, on handles of any channels.

use std::fmt;

use super::{Channel, ChannelState};
use crate::error::WaitError;
use crate::sync::Arc;
use crate::wait::several::{self, AnyWaiter};
use crate::wait::{Deadline, Waiter};

/// What one handle waits for beside others, in [`wait_for_any`].
pub struct Case<'a> {
    waiter: Box<dyn AnyWaiter + Send + 'a>,
    shared: Arc<ChannelState>,
}

impl<'a> Case<'a> {
    pub(super) fn new(shared: &Arc<ChannelState>, waiter: impl Waiter + Send + 'a) -> Self {
        Self { waiter: Box::new(waiter), shared: shared.clone() }
    }
}

impl fmt::Debug for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("point", &self.waiter.point()).finish_non_exhaustive()
    }
}

/// How many cases [`wait_for_any`] takes at most; 0 where the system lacks what it needs, Linux's
/// `futex_waitv`. There an eventfd can be armed at each handle.
pub fn most_cases() -> usize {
    several::most_points()
}

/// Waits until one of several operations can be done, or could a moment ago, or is refused or over.
///
/// # Errors
/// If none could be done before the deadline, or a signal.
///
/// # Panics
/// If there are no cases, or more than [`most_cases`].
pub fn wait_for_any(cases: &mut [Case<'_>], deadline: Deadline) -> Result<Woken, WaitError> {
    let (most, got) = (most_cases(), cases.len());
    assert!((1..=most).contains(&got), "cases must be at least 1 and at most {most}, got {got}");
    let mut waiters: Vec<&mut dyn AnyWaiter> = Vec::with_capacity(got);
    waiters.extend(cases.iter_mut().map(|case| &mut *case.waiter as _));
    let taken = several::wait_for_any(&mut waiters, deadline)?;
    Ok(Woken(taken.into_iter().map(|place| Channel { shared: cases[place].shared.clone() }).collect()))
}

/// The wake-ups that [`wait_for_any`] took, one or more of them perhaps in vain. To be kept until one
/// of the operations is done: when it is dropped, what is left there wakes others.
#[derive(Debug)]
#[must_use = "what it was woken for is passed on when it is dropped"]
pub struct Woken(Vec<Channel>);

impl Drop for Woken {
    fn drop(&mut self) {
        self.0.iter().for_each(Channel::pass_on);
    }
}
