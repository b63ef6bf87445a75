//! What any thread can do with a shared ring, without a handle: claim, publish, release, wait.

use std::marker::PhantomData;
use std::sync::OnceLock;

use super::pool::Pool;
use super::registration::Registration;
use super::{Receiver, Sender};
use crate::channel::ChannelState;
use crate::channel::message::{Items, Message};
use crate::channel::registry_slots::{keep_watch, keep_watch_asleep};
use crate::error::{HandleError, ReceiveError, SendError, WaitError};
use crate::process::kill_point;
use crate::ring::claim_log::ClaimLog;
use crate::ring::vyukov::{Claim, NoSlot, Ring};
use crate::sync::{Arc, Ordering, fence};
use crate::wait::{Barrier, Deadline, Look, Point, Sleeper, Spin, Waiter, arm_until, park_until, wait_until};

/// A way to send to and receive from a shared ring that all threads can use at once.
#[derive(Debug)]
pub struct Port<M: Message = Items> {
    pub(super) ring: Ring,
    pub(in crate::channel) shared: Arc<ChannelState>,
    /// Registry slots that no call uses just now; of a channel that processes share.
    pool: OnceLock<Box<Pool>>,
    messages: PhantomData<fn() -> M>,
}

/// What a call has done, for which others may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Sent,
    Received,
}

impl<M: Message> Port<M> {
    pub(in crate::channel) fn new(shared: &Arc<ChannelState>) -> Self {
        assert!(shared.is_framed() == M::IS_FRAMED, "a port for other messages than the channel's");
        let ring = Ring::new(&shared.memory, shared.turns);
        Self { ring, shared: shared.clone(), pool: OnceLock::new(), messages: PhantomData }
    }

    /// Where those wait that want space.
    pub(super) fn space(&self) -> Point<'_> {
        self.shared.space(&self.ring.space)
    }

    /// Claims up to `wanted` slots, as many as are free in one piece, or all that a frame needs; an empty
    /// claim if there are none.
    #[inline(always)]
    pub(super) fn claim_to_send(&self, wanted: usize, claim_log: ClaimLog) -> Result<Claim, SendError> {
        self.slots_or_none(M::claim_to_send(&self.ring, wanted, claim_log))
    }

    /// What came of a claim to send; an empty claim if there was no room. A process that holds what there is
    /// may have died, and the caller may never wait.
    #[inline(always)]
    pub(super) fn slots_or_none(&self, claim: Result<Claim, NoSlot>) -> Result<Claim, SendError> {
        match claim {
            Ok(claim) => Ok(claim),
            Err(NoSlot::Full) => {
                keep_watch(&self.shared);
                Ok(Claim::default())
            }
            Err(NoSlot::Sealed) => {
                self.say_refused();
                Err(self.send_error())
            }
        }
    }

    /// A consumer may have seen the claim that the one producer of spmc took back at once, and wait for its
    /// message.
    #[cold]
    pub(super) fn say_refused(&self) {
        // Forbids: a consumer waits and has missed that the tail is back.
        fence(Ordering::SeqCst);
        if self.shared.memory.header().arrivals.has_waiters() {
            self.wake_for_message();
        }
    }

    /// Slots that were given up are free now.
    #[cold]
    fn say_passed(&self) {
        self.pass_on(Done::Received);
    }

    /// Wakes one consumer, who passes it on; all of them for the end.
    #[cold]
    pub(super) fn wake_for_message(&self) {
        self.wake_for(Done::Sent);
    }

    /// The same for a message that was sent just now, or for one that a receiver left.
    #[cold]
    pub(super) fn wake_for(&self, done: Done) {
        match done {
            _ if self.is_over() && self.ring.is_drained() => self.shared.arrivals().notify_all(),
            Done::Sent => self.shared.arrivals().notify(),
            Done::Received => self.shared.arrivals().pass_on(),
        }
    }

    /// Wakes the next producer if there is space, for one that keeps what it claimed.
    pub(in crate::channel) fn pass_space_on(&self) {
        self.shared.barrier.light();
        if self.is_awaited() && self.is_ready_to_send() {
            self.offer_turn();
            self.space().pass_on();
        }
    }

    /// Both, for one that was woken, and does not look.
    pub(in crate::channel) fn pass_all_on(&self) {
        self.pass_messages_on();
        self.pass_space_on();
    }

    /// Whether anyone may wait for space.
    #[inline(always)]
    fn is_awaited(&self) -> bool {
        M::is_awaited(&self.ring.space) || M::IS_FRAMED && self.ring.line.has_waiters()
    }

    /// Wakes the next consumer if there is a message or the end, for one that keeps what it claimed, or
    /// goes.
    pub(in crate::channel) fn pass_messages_on(&self) {
        self.shared.barrier.light();
        if self.shared.memory.header().arrivals.has_waiters() && self.is_ready_to_receive() {
            self.wake_for(Done::Received);
        }
    }

    /// Sends what is in the first slots of a claim and gives the others up.
    #[inline(always)]
    pub(super) fn commit(&self, claim: Claim, sent: M::Sent, claim_log: ClaimLog) {
        let (used, rest) = claim.split(M::slots(sent));
        kill_point!("port.commit.begun");
        M::publish(&self.ring, used, sent, claim_log);
        kill_point!("port.commit.published");
        if rest.len > 0 {
            self.ring.abandon(rest, claim_log);
        }
        claim_log.clear();
        kill_point!("port.commit.rests");
        self.pass_on(Done::Sent);
    }

    /// Gives a claim up.
    #[cold]
    pub(super) fn give_up(&self, claim: Claim, claim_log: ClaimLog) {
        self.ring.abandon(claim, claim_log);
        claim_log.clear();
        self.pass_on(Done::Sent);
    }

    /// Claims up to `wanted` messages, as many as there are in one piece, or a frame.
    #[inline(always)]
    pub(super) fn claim_to_receive(&self, wanted: usize, claim_log: ClaimLog) -> Option<(Claim, M::Open)> {
        let claim = M::claim_to_receive(&self.ring, wanted, claim_log, || self.say_passed());
        if claim.is_none() {
            // As in `slots_or_none`: the caller may never wait.
            keep_watch(&self.shared);
        }
        claim
    }

    /// Gives the slots of the first `n` messages of a claim back to the producers, and the others to
    /// the consumers.
    #[inline(always)]
    pub(super) fn release(&self, claim: Claim, n: usize, claim_log: ClaimLog) {
        let (received, rest) = claim.split(n);
        kill_point!("port.release.begun");
        M::release(&self.ring, received, claim_log);
        kill_point!("port.release.released");
        if rest.len > 0 {
            M::hand_back(&self.ring, rest, claim_log);
        }
        claim_log.clear();
        kill_point!("port.release.rests");
        self.pass_on(Done::Received);
    }

    /// Sends through this port.
    ///
    /// # Errors
    /// If processes share the channel and all registry slots are taken.
    #[inline(always)]
    pub fn sender(&self) -> Result<Sender<&Self, M>, HandleError> {
        Ok(Sender::new(self, Registration::lent(self)?))
    }

    /// Receives through this port.
    ///
    /// # Errors
    /// As for [`sender`](Self::sender).
    #[inline(always)]
    pub fn receiver(&self) -> Result<Receiver<&Self, M>, HandleError> {
        Ok(Receiver::new(self, Registration::lent(self)?))
    }

    /// A registry slot for one call, if calls need one here.
    #[inline(always)]
    pub(super) fn lend_registry_slot(&self) -> Result<Option<usize>, HandleError> {
        if self.shared.memory.is_shared() {
            self.pool.get_or_init(Box::default).borrow(&self.shared).map(Some)
        } else {
            Ok(None)
        }
    }

    pub(super) fn give_registry_slot_back(&self, registry_slot: usize) {
        if let Some(pool) = self.pool.get() {
            pool.give_back(registry_slot);
        }
    }

    /// Where the user of `registry_slot` writes what it claims to send, and to receive.
    #[inline(always)]
    pub(super) fn claim_logs(&self, registry_slot: Option<usize>) -> [ClaimLog; 2] {
        match registry_slot {
            Some(registry_slot) if self.shared.memory.is_shared() => {
                let registry_slot = self.shared.memory.registry_slot(registry_slot);
                // SAFETY: the port keeps the memory mapped, and whoever asks keeps the port.
                unsafe { [ClaimLog::new(&registry_slot.sending), ClaimLog::new(&registry_slot.receiving)] }
            }
            _ => [ClaimLog::NONE; 2],
        }
    }

    /// Bytes of one item.
    #[inline]
    pub fn item_size(&self) -> usize {
        self.ring.slots().item_size()
    }

    /// Wakes who waits for what was `done`, and passes on a wake-up that was for more than one.
    ///
    /// The first without another look: the other side's index may be older than it seems, and then the
    /// ring would look as if there were nothing to wake for.
    #[inline(always)]
    pub(super) fn pass_on(&self, done: Done) {
        // Forbids: the waiter misses the change, and we miss that it waits.
        self.shared.barrier.light();
        if self.is_awaited() || self.shared.memory.header().arrivals.has_waiters() {
            self.wake(done);
        }
    }

    #[cold]
    fn wake(&self, done: Done) {
        if self.is_awaited() {
            match done {
                Done::Received => {
                    // Before the one that has the turn is woken, and leaves it.
                    self.offer_turn();
                    self.space().notify();
                }
                Done::Sent if self.ring.has_room(1) => self.pass_space_on(),
                Done::Sent => {}
            }
        }
        let has_waiters = self.shared.memory.header().arrivals.has_waiters();
        // The last message of a closed channel brings the end for the others.
        if has_waiters && (done == Done::Sent || self.is_ready_to_receive()) {
            self.wake_for(done);
        }
    }

    /// Messages that may be in flight: the limit, if one was set.
    pub fn capacity(&self) -> usize {
        self.ring.capacity().saturating_sub(self.ring.withheld.load(Ordering::Relaxed)) as usize
    }

    /// Whether the channel was closed, or has ended.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.ring.is_sealed()
    }

    /// Why a closed channel takes no message.
    pub(super) fn send_error(&self) -> SendError {
        self.shared.registry().send_error()
    }

    /// Whether a sender would find a slot, or the channel closed.
    fn is_ready_to_send(&self) -> bool {
        self.ring.has_room(1) || self.ring.is_sealed()
    }

    /// Whether a receiver would find a message, or the end.
    pub(in crate::channel) fn is_ready_to_receive(&self) -> bool {
        self.ring.has_message() || (self.is_over() && self.ring.is_drained())
    }

    /// Whether no producer will send any more.
    fn is_over(&self) -> bool {
        let registry = self.shared.registry();
        registry.is_closed() || registry.is_ended() || registry.left().is_some()
    }

    /// Whether nothing more will ever come. To be called when there was nothing to receive.
    #[cold]
    pub fn is_ended(&self) -> bool {
        keep_watch(&self.shared);
        let registry = self.shared.registry();
        if !(registry.is_closed() || registry.is_ended()) {
            // Once all producers have left, all that was sent is visible.
            let Some(left) = registry.left() else { return false };
            if !(self.ring.is_drained() && registry.end(left)) {
                return false;
            }
            kill_point!("end.said");
        }
        // Who sends without a handle may do so until the ring is sealed.
        if !self.ring.is_sealed() {
            self.ring.seal();
            kill_point!("end.sealed");
            // Forbids: someone waits and has missed the seal.
            fence(Ordering::SeqCst);
            self.shared.notify_all_space();
        }
        self.ring.is_drained()
    }

    /// One that waits until `slots` are free.
    pub(super) fn for_space(&self, slots: usize) -> impl Waiter<Error = SendError> + '_ {
        let look = move || match self.ring.is_sealed() {
            true => Look::Over(Err(self.send_error())),
            false => Look::of(self.ring.has_room(slots)),
        };
        AtRing::new(&self.shared, self.space().since_now(), look)
    }

    /// One that waits where messages are told, until `look` says that it is over.
    pub(super) fn for_message<'a, E>(
        &'a self,
        look: impl Fn() -> Look<E> + Send + 'a,
    ) -> impl Waiter<Error = E> + Send + 'a
    where
        E: Copy + PartialEq + From<WaitError> + 'a,
    {
        AtRing::new(&self.shared, Point::Event(self.shared.arrivals()), look)
    }

    /// One that waits until there is a message or the end, unless it has one.
    pub(super) fn for_arrivals(&self, has_one: bool) -> impl Waiter<Error = ReceiveError> + Send + '_ {
        self.for_message(move || Look::of(has_one || self.is_ready_to_receive()))
    }

    /// Waits until there is a message, or was a moment ago.
    ///
    /// # Errors
    /// [`ReceiveError::Ended`], [`ReceiveError::TimedOut`] or [`ReceiveError::Interrupted`].
    pub(super) fn wait_for_message(&self, spin: &mut Spin, deadline: Deadline) -> Result<(), ReceiveError> {
        self.wait(self.for_arrivals(false), spin, deadline)?;
        if !self.ring.has_message() && self.is_ended() { Err(ReceiveError::Ended) } else { Ok(()) }
    }

    pub(super) fn wait<W: Waiter>(
        &self,
        mut waiter: W,
        spin: &mut Spin,
        deadline: Deadline,
    ) -> Result<(), W::Error> {
        wait_until(&mut waiter, spin, &self.shared.tuning, deadline, park_until)
    }

    /// Has `waker` written when there may be space, for one item or for a frame of `size` bytes, unless there
    /// is now: then true.
    pub fn arm_space(&self, size: usize, waker: i32) -> bool {
        arm_until(&mut self.for_space(M::slots_for(size)), waker)
    }

    /// Has `waker` written when there is a message, unless there is now: then true.
    pub fn arm_arrivals(&self, waker: i32) -> bool {
        arm_until(&mut self.for_arrivals(false), waker)
    }

    /// Counts claimed slots as reserved, until they are counted out by `-n`.
    pub(super) fn count_reserved(&self, n: i64, claim_log: ClaimLog) {
        if !claim_log.counts(n > 0) {
            self.ring.reserved.fetch_add(n as u64, Ordering::Relaxed);
        }
    }

    /// Counts claimed messages as peeked, until they are counted out by `-n`.
    pub(super) fn count_peeked(&self, n: i64, claim_log: ClaimLog) {
        if !claim_log.counts(n > 0) {
            self.ring.peeked.fetch_add(n as u64, Ordering::Relaxed);
        }
    }
}

/// One that waits at a ring which all share.
struct AtRing<'a, F> {
    shared: &'a Arc<ChannelState>,
    point: Point<'a>,
    look: F,
    _sleeper: Sleeper<'a>,
}

impl<'a, F> AtRing<'a, F> {
    fn new(shared: &'a Arc<ChannelState>, point: Point<'a>, look: F) -> Self {
        Self { shared, point, look, _sleeper: Sleeper::at(&shared.memory) }
    }
}

impl<E, F> Waiter for AtRing<'_, F>
where
    E: Copy + PartialEq + From<WaitError>,
    F: Fn() -> Look<E>,
{
    type Error = E;

    fn point(&self) -> Point<'_> {
        self.point
    }

    fn look(&mut self) -> Look<E> {
        (self.look)()
    }

    fn keep_watch(&self) -> bool {
        keep_watch_asleep(self.shared)
    }

    fn barrier(&self) -> Barrier {
        self.shared.barrier
    }
}
