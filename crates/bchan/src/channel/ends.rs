//! The ends of a channel: what every sender and every receiver does with slots, and the handles, whose
//! channel may be one of lanes or of a ring.

use super::cases::Case;
use super::message::{Message, Word};
use super::registry_slots::Place;
use super::{lanes, mpmc};
use crate::error::{ReceiveError, SendError};
use crate::wait::Deadline;

/// What every sender does, whatever its messages are and wherever they go: with slots.
pub trait SendSlots {
    /// What it sends.
    type Message: Message;

    /// How many slots are this sender's to write now, of the `wanted` (at least 1): of items as many as there
    /// are in one piece, of a frame all or none. To be committed at once: a shared ring counts them as
    /// messages.
    fn claim_slots(&mut self, wanted: usize) -> usize;

    /// The same for a claim that stays, until it is committed or given up.
    fn reserve_slots(&mut self, wanted: usize) -> usize;

    /// The first `n` of the slots that were claimed, to write. The memory lives as long as this channel.
    fn slots(&self, n: usize) -> *mut u8;

    /// Sends what was written to the first of the slots, and gives the others back.
    ///
    /// # Errors
    /// [`SendError::Closed`]: the channel was closed, and nothing is sent.
    ///
    /// # Panics
    /// If there are not so many; then nothing is sent.
    fn commit_slots(&mut self, sent: <Self::Message as super::message::Rules>::Sent)
    -> Result<(), SendError>;

    /// Gives what was claimed back and sends nothing.
    fn abort(&mut self);

    /// Whether the channel was closed.
    fn is_closed(&self) -> bool;

    /// Why a closed channel takes no message: [`SendError::Closed`] or [`SendError::Deserted`].
    fn send_error(&self) -> SendError;

    /// Waits until `n` slots are free. In a shared ring another sender may take them first.
    ///
    /// # Errors
    /// [`SendError::Closed`], [`SendError::TimedOut`] or [`SendError::Interrupted`].
    fn wait_for_slots(&mut self, n: usize, deadline: Deadline) -> Result<(), SendError>;

    /// Has an eventfd written once `n` slots may be free or the channel is closed, unless that is so now:
    /// then true. [`Channel::disarm`](super::Channel::disarm) takes it back, before the eventfd is closed.
    fn arm_for_slots(&mut self, n: usize, waker: i32) -> bool;

    /// Whether another task must look that waits with this handle, as one that waited with it leaves: it may
    /// be for something that the channel tells nobody.
    fn must_look(&mut self) -> bool {
        false
    }

    /// The wait for `n` slots or the closing, as one of several in [`wait_for_any`](super::wait_for_any).
    fn case_for_slots(&mut self, n: usize) -> Case<'_>;

    /// Bytes of one slot: of one item.
    fn item_size(&self) -> usize;

    /// Slots of this sender's ring that may be in flight.
    fn capacity(&self) -> usize;
}

/// What every receiver does, whatever its messages are and wherever they come from: with slots.
pub trait ReceiveSlots {
    /// What it receives.
    type Message: Message;

    /// What is this receiver's to read now: of items as many as there are in one piece, at most `wanted` (at
    /// least 1), or a frame. To be released at once: a shared ring counts it as received.
    fn claim_next(&mut self, wanted: usize) -> <Self::Message as super::message::Rules>::Claimed;

    /// The same for a claim that stays, until it is released.
    fn peek_next(&mut self, wanted: usize) -> <Self::Message as super::message::Rules>::Claimed;

    /// How many slots are claimed; of items, no more than are.
    fn open_slots(&self) -> usize;

    /// The first `n` of the slots that were claimed, to read. The memory lives as long as this channel.
    fn front_slots(&self, n: usize) -> *const u8;

    /// Takes the messages of the first `n` of the slots that were claimed off the channel. The others stay in
    /// it: they come again, in a shared ring to any receiver.
    ///
    /// # Panics
    /// If there are not so many; then none is taken.
    fn release_slots(&mut self, n: usize);

    /// Where the length of the claimed frame stands.
    #[doc(hidden)]
    fn word(&self) -> Word<'_>;

    /// Whether nothing more will ever come. Call it when nothing was there.
    fn is_ended(&mut self) -> bool;

    /// Waits until there is a message. In a shared ring another receiver may be faster.
    ///
    /// # Errors
    /// [`ReceiveError::Ended`]: nothing more will ever come; [`ReceiveError::TimedOut`] or
    /// [`ReceiveError::Interrupted`].
    fn wait_for_message(&mut self, deadline: Deadline) -> Result<(), ReceiveError>;

    /// Has an eventfd written once there may be a message or the end, unless that is so now: then true.
    /// [`Channel::disarm`](super::Channel::disarm) takes it back, before the eventfd is closed.
    fn arm(&mut self, waker: i32) -> bool;

    /// Whether another task must look that waits with this handle, as one that waited with it leaves: it may
    /// be for something that the channel tells nobody.
    fn must_look(&mut self) -> bool {
        false
    }

    /// The wait for a message or the end, as one of several in [`wait_for_any`](super::wait_for_any).
    fn case(&mut self) -> Case<'_>;

    /// Bytes of one slot: of one item.
    fn item_size(&self) -> usize;
}

/// A producer's handle. Dropping it gives its place back; what it sent stays.
#[derive(Debug)]
pub struct Tx<M: Message>(pub(super) SendingEnd<M>);

#[derive(Debug)]
pub(super) enum SendingEnd<M: Message> {
    Lane(lanes::Producer<M>),
    Mpmc(mpmc::Producer<M>),
}

/// A consumer's handle. Dropping it gives the place to the next one, who goes on where it was.
#[derive(Debug)]
pub struct Rx<M: Message>(pub(super) ReceivingEnd<M>);

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "each call on a shared ring would go through the box")]
pub(super) enum ReceivingEnd<M: Message> {
    Lanes(Box<lanes::Consumer<M>>),
    Mpmc(mpmc::Consumer<M>),
}

/// Calls the same on either end that sends.
macro_rules! each_tx {
    ($this:expr, $tx:ident => $call:expr) => {
        match $this {
            SendingEnd::Lane($tx) => $call,
            SendingEnd::Mpmc(crate::channel::mpmc::Producer { sender: $tx, .. }) => $call,
        }
    };
}
pub(super) use each_tx;

/// Calls the same on either end that receives.
macro_rules! each_rx {
    ($this:expr, $rx:ident => $call:expr) => {
        match $this {
            ReceivingEnd::Lanes($rx) => $call,
            ReceivingEnd::Mpmc(crate::channel::mpmc::Consumer { receiver: $rx, .. }) => $call,
        }
    };
}
pub(super) use each_rx;

super::handover_of!(Tx);
super::handover_of!(Rx);

impl<M: Message> Tx<M> {
    fn place(&mut self) -> &mut Place {
        match &mut self.0 {
            SendingEnd::Lane(handle) => &mut handle.place,
            SendingEnd::Mpmc(handle) => &mut handle.place,
        }
    }
}

impl<M: Message> Rx<M> {
    pub(super) fn place(&mut self) -> &mut Place {
        match &mut self.0 {
            ReceivingEnd::Lanes(handle) => &mut handle.place,
            ReceivingEnd::Mpmc(handle) => &mut handle.place,
        }
    }

    /// Counts it among the consumers of which the last one that leaves closes the channel.
    pub fn join(&mut self) {
        self.place().register_consumer();
    }
}

impl<M: Message> SendSlots for Tx<M> {
    type Message = M;

    #[inline(always)]
    fn claim_slots(&mut self, wanted: usize) -> usize {
        each_tx!(&mut self.0, tx => tx.claim_slots(wanted))
    }

    #[inline(always)]
    fn reserve_slots(&mut self, wanted: usize) -> usize {
        each_tx!(&mut self.0, tx => tx.reserve_slots(wanted))
    }

    #[inline(always)]
    fn slots(&self, n: usize) -> *mut u8 {
        each_tx!(&self.0, tx => tx.slots(n))
    }

    #[inline(always)]
    fn commit_slots(&mut self, sent: M::Sent) -> Result<(), SendError> {
        each_tx!(&mut self.0, tx => tx.commit_slots(sent))
    }

    fn abort(&mut self) {
        each_tx!(&mut self.0, tx => tx.abort());
    }

    #[inline(always)]
    fn is_closed(&self) -> bool {
        each_tx!(&self.0, tx => tx.is_closed())
    }

    fn send_error(&self) -> SendError {
        each_tx!(&self.0, tx => tx.send_error())
    }

    fn wait_for_slots(&mut self, n: usize, deadline: Deadline) -> Result<(), SendError> {
        each_tx!(&mut self.0, tx => tx.wait_for_slots(n, deadline))
    }

    fn arm_for_slots(&mut self, n: usize, waker: i32) -> bool {
        each_tx!(&mut self.0, tx => tx.arm_for_slots(n, waker))
    }

    fn must_look(&mut self) -> bool {
        each_tx!(&mut self.0, tx => tx.must_look())
    }

    fn case_for_slots(&mut self, n: usize) -> Case<'_> {
        each_tx!(&mut self.0, tx => tx.case_for_slots(n))
    }

    #[inline(always)]
    fn item_size(&self) -> usize {
        each_tx!(&self.0, tx => tx.item_size())
    }

    fn capacity(&self) -> usize {
        each_tx!(&self.0, tx => tx.capacity())
    }
}

impl<M: Message> ReceiveSlots for Rx<M> {
    type Message = M;

    #[inline(always)]
    fn claim_next(&mut self, wanted: usize) -> M::Claimed {
        each_rx!(&mut self.0, rx => rx.claim_next(wanted))
    }

    #[inline(always)]
    fn peek_next(&mut self, wanted: usize) -> M::Claimed {
        each_rx!(&mut self.0, rx => rx.peek_next(wanted))
    }

    #[inline(always)]
    fn open_slots(&self) -> usize {
        each_rx!(&self.0, rx => rx.open_slots())
    }

    #[inline(always)]
    fn front_slots(&self, n: usize) -> *const u8 {
        each_rx!(&self.0, rx => rx.front_slots(n))
    }

    #[inline(always)]
    fn release_slots(&mut self, n: usize) {
        each_rx!(&mut self.0, rx => rx.release_slots(n));
    }

    #[inline(always)]
    fn word(&self) -> Word<'_> {
        each_rx!(&self.0, rx => rx.word())
    }

    fn is_ended(&mut self) -> bool {
        each_rx!(&mut self.0, rx => rx.is_ended())
    }

    fn wait_for_message(&mut self, deadline: Deadline) -> Result<(), ReceiveError> {
        each_rx!(&mut self.0, rx => rx.wait_for_message(deadline))
    }

    fn arm(&mut self, waker: i32) -> bool {
        each_rx!(&mut self.0, rx => rx.arm(waker))
    }

    fn must_look(&mut self) -> bool {
        each_rx!(&mut self.0, rx => rx.must_look())
    }

    fn case(&mut self) -> Case<'_> {
        each_rx!(&mut self.0, rx => rx.case())
    }

    #[inline(always)]
    fn item_size(&self) -> usize {
        each_rx!(&self.0, rx => rx.item_size())
    }
}
