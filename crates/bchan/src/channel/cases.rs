//! Waiting until one of several operations can be done, on handles of any channels.

use super::seats::keep_watch;
use super::shared::Port;
use super::{Channel, Shared, lanes};
use crate::error::WaitError;
use crate::sync::Arc;
use crate::wait::{Barrier, Deadline, Event, Waking, several};

/// What one handle waits for beside others, in [`wait_for_any`].
#[derive(Debug)]
pub struct Case<'a>(pub(super) Kind<'a>);

#[derive(Debug)]
pub(super) enum Kind<'a> {
    LaneSpace(&'a mut lanes::Producer),
    LaneArrivals(&'a mut lanes::Consumer),
    Space(&'a Port),
    Arrivals(&'a Port),
}

impl Case<'_> {
    fn shared(&self) -> &Arc<Shared> {
        match &self.0 {
            Kind::LaneSpace(tx) => &tx.shared,
            Kind::LaneArrivals(rx) => &rx.shared,
            Kind::Space(port) | Kind::Arrivals(port) => &port.shared,
        }
    }

    fn event(&self) -> Event<'_> {
        match &self.0 {
            Kind::LaneSpace(tx) => tx.space(),
            Kind::LaneArrivals(rx) => rx.shared.arrivals(),
            Kind::Space(port) => port.space(),
            Kind::Arrivals(port) => port.shared.arrivals(),
        }
    }

    /// Says that we wait. Then comes the heavy barrier, and [`is_ready`](Self::is_ready) in any case.
    fn prepare(&mut self) {
        self.event().prepare();
        if let Kind::LaneArrivals(rx) = &mut self.0 {
            rx.stop_watching();
        }
    }

    fn is_ready(&mut self) -> bool {
        // Before the look: who is found dead is cleared up after, and that may make it ready.
        keep_watch(self.shared());
        match &mut self.0 {
            Kind::LaneSpace(tx) => tx.space_or_closed(1).is_some(),
            Kind::LaneArrivals(rx) => rx.is_ready_after_barrier(),
            Kind::Space(port) => port.is_ready_to_send(),
            Kind::Arrivals(port) => port.is_ready_to_receive(),
        }
    }
}

/// How many cases [`wait_for_any`] takes at most; 0 where the system lacks what it needs, Linux's
/// `futex_waitv`. There an eventfd can be armed at each handle.
pub fn most_cases() -> usize {
    several::most_events()
}

/// Waits until one of several operations can be done, or could a moment ago, or is refused or over.
///
/// # Errors
/// [`WaitError::TimedOut`] or [`WaitError::Interrupted`].
///
/// # Panics
/// If there are no cases, or more than [`most_cases`].
pub fn wait_for_any(cases: &mut [Case<'_>], deadline: Deadline) -> Result<Woken, WaitError> {
    let (most, got) = (most_cases(), cases.len());
    assert!((1..=most).contains(&got), "cases must be at least 1 and at most {most}, got {got}");
    cases.iter_mut().for_each(Case::prepare);
    // Forbids: whoever makes a case ready misses that we wait, and we miss what they did.
    Barrier::heavy_of_each(cases.iter().map(|case| case.shared().barrier));
    let mut is_ready = false;
    for case in &mut *cases {
        // Also after one that is: a lane whose bell was just armed may hide a message until the look.
        is_ready |= case.is_ready();
    }
    let events: Vec<_> = cases.iter().map(Case::event).collect();
    let waking = if is_ready { Waking::Woken } else { several::park(&events, deadline) };
    let taken = cases.iter().filter(|case| case.event().leave());
    let woken = Woken(taken.map(|case| Channel { shared: case.shared().clone() }).collect());
    match waking {
        Waking::TimedOut if woken.0.is_empty() => Err(WaitError::TimedOut),
        Waking::Interrupted if woken.0.is_empty() => Err(WaitError::Interrupted),
        // A wake-up that came at the same time was taken along.
        _ => Ok(woken),
    }
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
