//! What any thread can do with a shared ring, without a handle: claim, publish, release, wait.

use std::ptr;
use std::sync::OnceLock;

use super::pool::Pool;
use super::seating::Seating;
use super::{Receiver, Sender};
use crate::channel::consumer::Receiving;
use crate::channel::producer::Sending;
use crate::channel::seats::{keep_watch, keep_watch_asleep};
use crate::channel::{Plain, Shared};
use crate::error::{HandleError, ReceiveError, SendError, WaitError};
use crate::process::kill_point;
use crate::ring::intent::Witness;
use crate::ring::vyukov::{Claim, NoSlot, Ring, Turns};
use crate::sync::{Arc, Ordering, fence};
use crate::wait::{Barrier, Deadline, Look, Point, Sleeper, Spin, Waiter, arm_until, park_until, wait_until};

/// A way to send to and receive from a shared ring that all threads can use at once.
#[derive(Debug)]
pub struct Port {
    pub(super) ring: Ring,
    pub(in crate::channel) shared: Arc<Shared>,
    /// Seats that no call uses just now; of a channel that processes share.
    pool: OnceLock<Box<Pool>>,
}

/// What a call has done, for which others may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Sent,
    Received,
}

impl Port {
    pub(in crate::channel) fn new(shared: &Arc<Shared>) -> Self {
        Self { ring: Ring::new(&shared.memory, shared.turns), shared: shared.clone(), pool: OnceLock::new() }
    }

    /// Where those wait that want space.
    pub(super) fn space(&self) -> Point<'_> {
        self.shared.space(&self.ring.space)
    }

    /// Claims up to `wanted` slots, as many as are free in one piece; an empty claim if none is.
    #[inline(always)]
    pub(super) fn claim_to_send(&self, wanted: usize, witness: Witness) -> Result<Claim, SendError> {
        self.slots_or_none(self.ring.claim_to_send(wanted, witness))
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
        if self.ring.space.has_waiters() && self.is_ready_to_send() {
            self.space().pass_on();
        }
    }

    /// Wakes the next consumer if there is a message or the end, for one that keeps what it claimed, or
    /// goes.
    pub(in crate::channel) fn pass_messages_on(&self) {
        self.shared.barrier.light();
        if self.shared.memory.header().arrivals.has_waiters() && self.is_ready_to_receive() {
            self.wake_for(Done::Received);
        }
    }

    /// Sends the first `n` slots of a claim and gives the others up.
    #[inline(always)]
    pub(super) fn commit(&self, claim: Claim, n: usize, witness: Witness) {
        let (sent, rest) = claim.split(n);
        kill_point!("port.commit.begun");
        self.ring.publish(sent);
        kill_point!("port.commit.published");
        if rest.len > 0 {
            self.ring.abandon(rest, witness);
        }
        witness.rests();
        kill_point!("port.commit.rests");
        self.pass_on(Done::Sent);
    }

    /// Claims up to `wanted` messages, as many as there are in one piece.
    #[inline(always)]
    pub(super) fn claim_to_receive(&self, wanted: usize, witness: Witness) -> Option<Claim> {
        self.message_or_none(self.ring.claim_to_receive(wanted, witness, || self.say_passed()))
    }

    /// What came of a claim to receive. As for [`slots_or_none`](Self::slots_or_none), the caller may never wait.
    #[inline(always)]
    pub(super) fn message_or_none<T>(&self, claim: Option<T>) -> Option<T> {
        if claim.is_none() {
            keep_watch(&self.shared);
        }
        claim
    }

    /// Gives the slots of the first `n` messages of a claim back to the producers, and the others to
    /// the consumers.
    #[inline(always)]
    pub(super) fn release(&self, claim: Claim, n: usize, witness: Witness) {
        let (received, rest) = claim.split(n);
        kill_point!("port.release.begun");
        self.ring.release(received);
        kill_point!("port.release.released");
        if rest.len > 0 {
            self.ring.hand_back(rest, witness);
        }
        witness.rests();
        kill_point!("port.release.rests");
        self.pass_on(Done::Received);
    }

    /// Allows `limit` messages in flight, at most the ring's capacity. What is in flight stays.
    pub fn set_limit(&self, limit: usize) {
        let withheld = self.ring.capacity().saturating_sub(limit as u64);
        self.ring.withheld.store(withheld, Ordering::Relaxed);
        // Forbids: a producer waits and has missed it.
        fence(Ordering::SeqCst);
        self.space().notify_all();
    }

    /// Sends through this port.
    ///
    /// # Errors
    /// If processes share the channel and all seats are taken.
    #[inline(always)]
    pub fn sender(&self) -> Result<Sender<&Self>, HandleError> {
        Ok(Sender::new(self, Seating::lent(self)?))
    }

    /// Receives through this port.
    ///
    /// # Errors
    /// As for [`sender`](Self::sender).
    #[inline(always)]
    pub fn receiver(&self) -> Result<Receiver<&Self>, HandleError> {
        Ok(Receiver::new(self, Seating::lent(self)?))
    }

    /// A seat for one call, if calls need one here.
    #[inline(always)]
    pub(super) fn lend_seat(&self) -> Result<Option<usize>, HandleError> {
        if self.shared.memory.is_shared() {
            self.pool.get_or_init(Box::default).borrow(&self.shared).map(Some)
        } else {
            Ok(None)
        }
    }

    pub(super) fn give_seat_back(&self, seat: usize) {
        if let Some(pool) = self.pool.get() {
            pool.give_back(seat);
        }
    }

    /// Where the user of `seat` writes what it claims to send, and to receive.
    #[inline(always)]
    pub(super) fn witnesses(&self, seat: Option<usize>) -> [Witness; 2] {
        match seat {
            Some(seat) if self.shared.memory.is_shared() => {
                let seat = self.shared.memory.seat(seat);
                // SAFETY: the port keeps the memory mapped, and whoever asks keeps the port.
                unsafe { [Witness::new(&seat.sending), Witness::new(&seat.receiving)] }
            }
            _ => [Witness::NONE; 2],
        }
    }

    /// Whether to claim once more, with `done` of `n` done. One claim takes what there is, so that a batch
    /// is one operation, unless it was cut at the ring's end.
    #[inline(always)]
    fn is_claim_due(&self, done: usize, n: usize) -> bool {
        done < n && (done == 0 || !self.ring.slots().is_mirrored())
    }

    /// Copies as many of the `n` items at `items` as there is space for; tells how many.
    ///
    /// # Safety
    /// `items` must be readable for `n` items of this channel's size.
    ///
    /// # Errors
    /// [`SendError::Closed`]: none of them is sent.
    #[inline]
    pub(super) unsafe fn try_send_from(
        &self,
        items: *const u8,
        n: usize,
        witness: Witness,
    ) -> Result<usize, SendError> {
        let item_size = self.item_size();
        let mut sent = 0;
        while self.is_claim_due(sent, n) {
            let claim = match self.claim_to_send(n - sent, witness) {
                Ok(claim) if claim.len > 0 => claim,
                Err(stop) if sent == 0 => return Err(stop),
                _ => break,
            };
            // SAFETY: `items` has `n` items, and the claimed slots are ours alone.
            unsafe {
                let from = items.add(sent * item_size);
                ptr::copy_nonoverlapping(from, self.ring.to_write(claim), claim.len * item_size);
            }
            self.commit(claim, claim.len, witness);
            sent += claim.len;
        }
        if sent == 0 && self.is_closed() { Err(self.send_error()) } else { Ok(sent) }
    }

    /// Copies up to `n` messages to `buffer`; tells how many, 0 when there is none.
    ///
    /// # Safety
    /// `buffer` must be writable for `n` items of this channel's size.
    #[inline]
    pub(super) unsafe fn try_receive_to(&self, buffer: *mut u8, n: usize, witness: Witness) -> usize {
        let item_size = self.item_size();
        let mut received = 0;
        while self.is_claim_due(received, n) {
            let Some(claim) = self.claim_to_receive(n - received, witness) else { break };
            // SAFETY: the messages are ours alone, `buffer` has room for `n - received` more.
            unsafe {
                let to = buffer.add(received * item_size);
                ptr::copy_nonoverlapping(self.ring.to_read(claim), to, claim.len * item_size);
            }
            self.release(claim, claim.len, witness);
            received += claim.len;
        }
        received
    }

    /// Sends as many of `items` as there is space for; tells how many.
    ///
    /// # Errors
    /// [`SendError::Closed`]: none of them is sent.
    ///
    /// # Panics
    /// If `T` has not the channel's item size, or there is no seat to be had.
    #[inline]
    pub fn try_send_all<T: Plain>(&self, items: &[T]) -> Result<usize, SendError> {
        self.sender().expect("a seat").try_send_all(items)
    }

    /// Receives into `buffer` what is there; tells how many.
    ///
    /// # Panics
    /// If `T` has not the channel's item size, or there is no seat to be had.
    #[inline]
    pub fn try_receive_into<T: Plain>(&self, buffer: &mut [T]) -> usize {
        self.receiver().expect("a seat").try_receive_into(buffer)
    }

    /// Bytes of one item.
    #[inline]
    pub fn item_size(&self) -> usize {
        self.ring.slots().item_size()
    }

    /// Whether [`send_word`](Self::send_word) and [`receive_word`](Self::receive_word) may be used.
    pub fn has_words(&self) -> bool {
        self.shared.turns == Turns::Everybodys && self.item_size() == 8
    }

    /// Sends one message of eight bytes; false if the ring is full or closed.
    ///
    /// # Safety
    /// [`has_words`](Self::has_words) must be true, and the lock held.
    #[inline(always)]
    pub unsafe fn send_word(&self, word: u64) -> bool {
        if !self.ring.send_word(word) {
            return false;
        }
        self.pass_on(Done::Sent);
        true
    }

    /// Receives one message of eight bytes, if there is one.
    ///
    /// # Safety
    /// As for [`send_word`](Self::send_word).
    #[inline(always)]
    pub unsafe fn receive_word(&self) -> Option<u64> {
        let word = self.ring.receive_word()?;
        self.pass_on(Done::Received);
        Some(word)
    }

    /// Wakes who waits for what was `done`, and passes on a wake-up that was for more than one.
    ///
    /// The first without another look: the other side's index may be older than it seems, and then the
    /// ring would look as if there were nothing to wake for.
    #[inline(always)]
    fn pass_on(&self, done: Done) {
        // Forbids: the waiter misses the change, and we miss that it waits.
        self.shared.barrier.light();
        let (space, arrivals) = (&self.ring.space, &self.shared.memory.header().arrivals);
        if space.has_waiters() || arrivals.has_waiters() {
            self.wake(done);
        }
    }

    #[cold]
    fn wake(&self, done: Done) {
        if self.ring.space.has_waiters() {
            match done {
                Done::Received => self.space().notify(),
                Done::Sent if self.ring.has_room(1) => self.space().pass_on(),
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
    pub(in crate::channel) fn is_ready_to_send(&self) -> bool {
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
            self.space().notify_all();
        }
        self.ring.is_drained()
    }

    /// Waits until there is a message or `something_else`, or was a moment ago, or the end. Whoever brings
    /// something else about calls [`notify_receiver`](Self::notify_receiver).
    ///
    /// # Errors
    /// [`WaitError::TimedOut`] or [`WaitError::Interrupted`].
    pub fn wait_for_message_or(
        &self,
        something_else: impl Fn() -> bool + Send,
        deadline: Deadline,
    ) -> Result<(), WaitError> {
        let is_ready = move || Look::of(self.is_ready_to_receive() || something_else());
        self.wait(self.for_message(is_ready), &mut Spin::new(), deadline)
    }

    /// Wakes one who waits for a message, as a message would.
    pub fn notify_receiver(&self) {
        // Forbids: a receiver misses what is there, and we miss that it waits.
        self.shared.barrier.light();
        if self.shared.memory.header().arrivals.has_waiters() {
            self.shared.arrivals().notify();
        }
    }

    /// Waits until a slot is free, or was a moment ago.
    ///
    /// # Errors
    /// [`SendError::Closed`], [`SendError::TimedOut`] or [`SendError::Interrupted`].
    pub fn wait_until_space(&self, deadline: Deadline) -> Result<(), SendError> {
        self.wait_for_space(&mut Spin::new(), deadline)
    }

    /// Waits until a slot is free, or was a moment ago: another sender may have taken it.
    ///
    /// # Errors
    /// As [`wait_until_space`](Self::wait_until_space).
    pub(super) fn wait_for_space(&self, spin: &mut Spin, deadline: Deadline) -> Result<(), SendError> {
        self.wait(self.for_space(1), spin, deadline)
    }

    /// One that waits until `slots` are free.
    pub(super) fn for_space(&self, slots: usize) -> impl Waiter<Error = SendError> + '_ {
        let look = move || match self.ring.is_sealed() {
            true => Look::Over(Err(self.send_error())),
            false => Look::of(self.ring.has_room(slots)),
        };
        AtRing::new(&self.shared, self.space(), look)
    }

    /// One that waits where messages are told, until `look` says that it is over.
    fn for_message<'a, E>(
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

    /// Has `alarm` written when there is space, unless there is now: then true.
    pub fn arm_space(&self, alarm: i32) -> bool {
        arm_until(&mut self.for_space(1), alarm)
    }

    /// Has `alarm` written when there is a message, unless there is now: then true.
    pub fn arm_arrivals(&self, alarm: i32) -> bool {
        arm_until(&mut self.for_arrivals(false), alarm)
    }

    /// Counts claimed slots as reserved, until they are counted out by `-n`.
    pub(super) fn count_reserved(&self, n: i64, witness: Witness) {
        if !witness.counts(n > 0) {
            self.ring.reserved.fetch_add(n as u64, Ordering::Relaxed);
        }
    }

    /// Counts claimed messages as peeked, until they are counted out by `-n`.
    pub(super) fn count_peeked(&self, n: i64, witness: Witness) {
        if !witness.counts(n > 0) {
            self.ring.peeked.fetch_add(n as u64, Ordering::Relaxed);
        }
    }
}

/// One that waits at a ring which all share.
struct AtRing<'a, F> {
    shared: &'a Arc<Shared>,
    point: Point<'a>,
    look: F,
    _sleeper: Sleeper<'a>,
}

impl<'a, F> AtRing<'a, F> {
    fn new(shared: &'a Arc<Shared>, point: Point<'a>, look: F) -> Self {
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
