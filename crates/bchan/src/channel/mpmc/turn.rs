//! Turns of threads that wait for room for their frames: first come, first served.
//!
//! They need different numbers of slots, so it would not do to wake any one of them. One thread has the
//! *turn*, and waits until there is as much room as it needs. The others stand in a line, asleep at an event.
//! Whoever makes room wakes the thread that has the turn; if none has, it offers the turn to the first in the
//! line. So each turn takes one wake-up, and a small frame waits behind a large one. Tasks have a line of
//! their own, see `wait::waker`.
//!
//! | the word `turn` | meaning | set by |
//! |---|---|---|
//! | 0 | nobody has the turn | the thread that leaves it, and whoever clears up after it |
//! | OFFERED | the first in the line was woken, and takes it | whoever made room |
//! | else | the process whose thread has it | that thread |
//!
//! # Memory ordering
//! Who leaves the turn writes the word, and then looks for room; who makes room does so, and then reads the
//! word. Forbidden: both read the old. A newcomer says at the event that it waits, and then reads the word;
//! who leaves the turn writes the word, and then reads the event. `Barrier::heavy` is between the two of
//! those that wait, `light` or a full fence between those of the others.

use super::Port;
use crate::channel::ChannelState;
use crate::channel::message::Message;
use crate::channel::registry_slots::keep_watch_asleep;
use crate::error::SendError;
use crate::layout::SharedHeader;
use crate::process::{Owner, kill_point};
use crate::sync::{Ordering, fence};
use crate::wait::{Barrier, Deadline, Event, Look, Point, Sleeper, Waiter, park_until};

/// The first in the line was woken to take the turn.
const OFFERED: u64 = u64::MAX;

impl ChannelState {
    /// Where those stand in line that have not got the turn.
    pub(in crate::channel) fn line<'a>(&'a self, ring: &'a SharedHeader) -> Event<'a> {
        self.event(&ring.line)
    }

    /// Takes the turn from a process that died.
    pub(in crate::channel) fn free_turn(&self, is_dead: impl Fn(u64) -> bool) {
        let Some(ring) = self.ring() else { return };
        let now = ring.turn.load(Ordering::Relaxed);
        if now == OFFERED || is_dead(now) {
            // The one to which it was offered may be the dead one; else it takes it all the same.
            let _ = ring.turn.compare_exchange(now, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }
}

impl<M: Message> Port<M> {
    fn line(&self) -> Event<'_> {
        self.shared.line(&self.ring)
    }

    /// Whether a thread waits for room, or is on its way to.
    pub(super) fn has_turns(&self) -> bool {
        self.ring.turn.load(Ordering::Relaxed) != 0 || self.line().words.has_waiters()
    }

    /// Waits, asleep, until it is this thread's turn, and then until `waiter` says that it is over.
    #[cold]
    pub(super) fn park_in_turn<W>(&self, waiter: &mut W, deadline: Deadline) -> Result<(), SendError>
    where
        W: Waiter<Error = SendError>,
    {
        let outcome = self.take_turn(deadline).and_then(|has_waited| {
            if has_waited {
                waiter.point().let_go_first(deadline);
            }
            // Most often there is room by now: then nobody need be told that it waits.
            let outcome = match waiter.look() {
                Look::Over(outcome) => outcome,
                _ => park_until(waiter, deadline),
            };
            self.leave_turn();
            outcome
        });
        if outcome.is_err() {
            // It may have been woken for room that another can use.
            self.withdraw_offer();
            self.pass_space_on();
        }
        outcome
    }

    /// Tells whether it had to wait for the turn.
    fn take_turn(&self, deadline: Deadline) -> Result<bool, SendError> {
        let mut in_line =
            InLine { port: self, is_newcomer: true, _sleeper: Sleeper::at(&self.shared.memory) };
        if self.is_turn_free() && !self.line().words.is_awaited() && self.try_take_turn() {
            return Ok(false);
        }
        loop {
            park_until(&mut in_line, deadline)?;
            if self.try_take_turn() {
                return Ok(true);
            }
        }
    }

    fn is_turn_free(&self) -> bool {
        self.ring.turn.load(Ordering::Relaxed) == 0
    }

    fn try_take_turn(&self) -> bool {
        let (turn, this) = (&self.ring.turn, Owner::this().0);
        // Relaxed: it protects nothing; the looks that follow have their own orderings.
        let take = |now| turn.compare_exchange(now, this, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        let is_taken = take(OFFERED) || take(0);
        if is_taken {
            kill_point!("turn.taken");
        }
        is_taken
    }

    fn leave_turn(&self) {
        let _ = self.ring.turn.compare_exchange(Owner::this().0, 0, Ordering::Relaxed, Ordering::Relaxed);
        // Forbids: whoever makes room misses that the turn is free, and we, who look after the rest, miss
        // that room.
        self.shared.barrier.heavy();
        kill_point!("turn.left");
    }

    /// Nobody may come to take what was offered.
    fn withdraw_offer(&self) {
        let _ = self.ring.turn.compare_exchange(OFFERED, 0, Ordering::Relaxed, Ordering::Relaxed);
        // Forbids: as in `leave_turn`.
        self.shared.barrier.heavy();
    }

    /// Offers the turn to the first in the line, unless a thread has it. The caller has made room or found
    /// some, and then passed a full fence, or `Barrier::light`.
    #[cold]
    pub(super) fn offer_turn(&self) {
        if !M::IS_FRAMED {
            return;
        }
        let turn = &self.ring.turn;
        // AcqRel, and a write that changes nothing: whoever takes what was offered does so after it, and sees
        // the room.
        while turn.fetch_add(0, Ordering::AcqRel) == 0 && self.line().words.has_waiters() {
            if turn.compare_exchange(0, OFFERED, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            if self.line().offer() {
                return;
            }
            // Nobody is there any more.
            let _ = turn.compare_exchange(OFFERED, 0, Ordering::AcqRel, Ordering::Relaxed);
            // Forbids: one that came in the meantime relies on the offer, and we miss that it came.
            fence(Ordering::SeqCst);
        }
    }
}

/// One that stands in line.
struct InLine<'a, M: Message> {
    port: &'a Port<M>,
    /// It has not slept there.
    is_newcomer: bool,
    _sleeper: Sleeper<'a>,
}

impl<M: Message> Waiter for InLine<'_, M> {
    type Error = SendError;

    fn point(&self) -> Point<'_> {
        Point::Event(self.port.line())
    }

    fn prepared(&mut self) {
        self.is_newcomer = true;
    }

    fn look(&mut self) -> Look<SendError> {
        let is_newcomer = std::mem::replace(&mut self.is_newcomer, false);
        if self.port.ring.is_sealed() {
            return Look::Over(Err(self.port.send_error()));
        }
        match self.port.ring.turn.load(Ordering::Relaxed) {
            0 if !is_newcomer || self.port.line().words.has_one_waiter() => Look::Over(Ok(())),
            0 => {
                // It is the turn of another, who sleeps until there is room.
                self.port.pass_space_on();
                Look::Nothing
            }
            OFFERED if !is_newcomer => Look::Over(Ok(())),
            _ => Look::Nothing,
        }
    }

    fn keep_watch(&self) -> bool {
        keep_watch_asleep(&self.port.shared)
    }

    fn barrier(&self) -> Barrier {
        self.port.shared.barrier
    }
}
