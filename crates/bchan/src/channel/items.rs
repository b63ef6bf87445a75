//! Items of one size: sending and receiving them, one by one or many at once.

use std::ptr;

use super::cases::Case;
use super::claims::{Messages, Slots};
use super::ends::{ReceiveSlots, ReceivingEnd, Rx, SendSlots, SendingEnd, Tx, each_rx, each_tx};
use super::message::Items;
use super::plain::Plain;
use crate::error::{ReceiveError, SendError};
use crate::wait::Deadline;

/// A producer of items.
pub type Producer = Tx<Items>;
/// A consumer of items.
pub type Consumer = Rx<Items>;

/// Sending items, through a registered [`Producer`] or a [`Sender`](super::Sender).
pub trait Sending: SendSlots<Message = Items> {
    /// Claims up to `wanted` slots (at least 1), as many as are free in one piece; `None` when there is none.
    /// What was claimed and not yet committed is what one gets again.
    ///
    /// # Panics
    /// If `T` has not the channel's item size.
    fn try_claim<T: Plain>(&mut self, wanted: usize) -> Option<Slots<'_, T, Self>>
    where
        Self: Sized,
    {
        Slots::claim(self, wanted)
    }

    /// How many slots are this sender's to write now, of the `wanted` (at least 1), in one piece; 0 when
    /// full. Like [`reserve`](Self::reserve), but to be committed at once: a shared ring counts these
    /// slots as messages.
    #[inline(always)]
    fn claim(&mut self, wanted: usize) -> usize {
        self.claim_slots(wanted)
    }

    /// How many slots are this sender's to write now, of the `wanted` (at least 1), in one piece; 0 when
    /// full. They stay reserved until [`commit`](Self::commit).
    #[inline(always)]
    fn reserve(&mut self, wanted: usize) -> usize {
        self.reserve_slots(wanted)
    }

    /// Sends the first `n` of the slots that [`claim`](Self::claim) or [`reserve`](Self::reserve) gave,
    /// and gives the others back.
    ///
    /// # Errors
    /// [`SendError::Closed`]: the channel was closed, and none of them is sent.
    ///
    /// # Panics
    /// If there are not so many; then none is sent.
    #[inline(always)]
    fn commit(&mut self, n: usize) -> Result<(), SendError> {
        self.commit_slots(n)
    }

    /// Waits until a slot is free. In a shared ring another sender may take it first.
    ///
    /// # Errors
    /// [`SendError::Closed`], [`SendError::TimedOut`] or [`SendError::Interrupted`].
    fn wait_for_space(&mut self, deadline: Deadline) -> Result<(), SendError> {
        self.wait_for_slots(1, deadline)
    }

    /// Has an eventfd written once there may be space or the channel is closed; see
    /// [`arm_for_slots`](SendSlots::arm_for_slots).
    fn arm(&mut self, waker: i32) -> bool {
        self.arm_for_slots(1, waker)
    }

    /// The wait for space or the closing, as one of several in [`wait_for_any`](super::wait_for_any).
    fn case(&mut self) -> Case<'_> {
        self.case_for_slots(1)
    }

    /// Called before `wanted` items are sent by a sender that is ready to wait.
    #[doc(hidden)]
    fn gather(&mut self, _wanted: usize) {}

    /// Copies as many of the `n` items at `items` as there is space for; tells how many.
    ///
    /// # Safety
    /// `items` must be readable for `n` items of this channel's size.
    ///
    /// # Errors
    /// [`SendError::Closed`]: none of them is sent.
    #[inline(always)]
    unsafe fn try_send_from(&mut self, items: *const u8, n: usize) -> Result<usize, SendError> {
        let item_size = self.item_size();
        let mut sent = 0;
        while sent < n {
            let piece = self.claim(n - sent);
            if piece == 0 {
                break;
            }
            // SAFETY: `items` has `n` items, and `piece` slots are ours alone.
            unsafe {
                ptr::copy_nonoverlapping(items.add(sent * item_size), self.slots(piece), piece * item_size);
            }
            match self.commit(piece) {
                Ok(()) => sent += piece,
                Err(stop) if sent == 0 => return Err(stop),
                Err(_) => break,
            }
        }
        if sent == 0 && self.is_closed() { Err(self.send_error()) } else { Ok(sent) }
    }

    /// Sends `item` if there is space; tells whether.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    ///
    /// # Panics
    /// If `T` has not the channel's item size.
    #[inline(always)]
    fn try_send<T: Plain>(&mut self, item: T) -> Result<bool, SendError> {
        assert_eq!(size_of::<T>(), self.item_size(), "the channel's item size");
        if self.claim(1) == 0 {
            return if self.is_closed() { Err(self.send_error()) } else { Ok(false) };
        }
        // SAFETY: the slot is ours alone and has the size of a `T`.
        unsafe { self.slots(1).cast::<T>().write_unaligned(item) };
        self.commit(1).map(|()| true)
    }

    /// Sends `item`, waiting while there is no space.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    ///
    /// # Panics
    /// If `T` has not the channel's item size.
    #[inline(always)]
    fn send<T: Plain>(&mut self, item: T) -> Result<(), SendError> {
        self.gather(1);
        while !self.try_send(item)? {
            self.wait_through_signals()?;
        }
        Ok(())
    }

    /// Sends as many of `items` as there is space for; tells how many.
    ///
    /// # Errors
    /// [`SendError::Closed`]: none of them is sent.
    ///
    /// # Panics
    /// If `T` has not the channel's item size.
    #[inline(always)]
    fn try_send_all<T: Plain>(&mut self, items: &[T]) -> Result<usize, SendError> {
        assert_eq!(size_of::<T>(), self.item_size(), "the channel's item size");
        // SAFETY: `items` has that many items of this size.
        unsafe { self.try_send_from(items.as_ptr().cast(), items.len()) }
    }

    /// Sends all of `items`, waiting while there is no space.
    ///
    /// # Errors
    /// [`SendError::Closed`]: the channel was closed before all were sent.
    ///
    /// # Panics
    /// If `T` has not the channel's item size.
    #[inline(always)]
    fn send_all<T: Plain>(&mut self, items: &[T]) -> Result<(), SendError> {
        self.gather(items.len());
        let mut sent = self.try_send_all(items)?;
        while sent < items.len() {
            self.wait_through_signals()?;
            sent += self.try_send_all(&items[sent..])?;
        }
        Ok(())
    }

    #[doc(hidden)]
    #[cold]
    fn wait_through_signals(&mut self) -> Result<(), SendError> {
        match self.wait_for_space(Deadline::NEVER) {
            Err(SendError::Interrupted) => Ok(()),
            outcome => outcome,
        }
    }
}

impl Sending for Producer {
    // These have loops over single messages in mind: which kind it is is asked once.

    #[inline(always)]
    unsafe fn try_send_from(&mut self, items: *const u8, n: usize) -> Result<usize, SendError> {
        // SAFETY: as the caller says.
        each_tx!(&mut self.0, tx => unsafe { tx.try_send_from(items, n) })
    }

    #[inline(always)]
    fn try_send<T: Plain>(&mut self, item: T) -> Result<bool, SendError> {
        each_tx!(&mut self.0, tx => tx.try_send(item))
    }

    #[inline(always)]
    fn send<T: Plain>(&mut self, item: T) -> Result<(), SendError> {
        each_tx!(&mut self.0, tx => tx.send(item))
    }

    #[inline(always)]
    fn send_all<T: Plain>(&mut self, items: &[T]) -> Result<(), SendError> {
        each_tx!(&mut self.0, tx => tx.send_all(items))
    }
}

/// Receiving items, through a registered [`Consumer`] or a [`Receiver`](super::Receiver).
pub trait Receiving: ReceiveSlots<Message = Items> {
    /// Claims up to `wanted` messages (at least 1), as many as there are in one piece; `None` when there is
    /// none.
    ///
    /// # Panics
    /// If `T` has not the channel's item size.
    fn try_claim<T: Plain>(&mut self, wanted: usize) -> Option<Messages<'_, T, Self>>
    where
        Self: Sized,
    {
        Messages::claim(self, wanted)
    }

    /// How many messages are this receiver's to read now, of the `wanted` (at least 1), in one piece; 0
    /// when there is none. Like [`peek`](Self::peek), but to be released at once: a shared ring counts
    /// these messages as received.
    #[inline(always)]
    fn claim(&mut self, wanted: usize) -> usize {
        self.claim_next(wanted)
    }

    /// How many messages are this receiver's to read now, of the `wanted` (at least 1), in one piece; 0
    /// when there is none. They stay in the channel until [`release`](Self::release).
    #[inline(always)]
    fn peek(&mut self, wanted: usize) -> usize {
        self.peek_next(wanted)
    }

    /// How many messages [`try_receive_into`](Self::try_receive_into) will find now, of `most`; they are
    /// this receiver's until then.
    fn available(&mut self, most: usize) -> usize;

    /// The first `n` of the messages that [`claim`](Self::claim) or [`peek`](Self::peek) gave, to read
    /// before [`release`](Self::release). The memory lives as long as this channel.
    #[inline(always)]
    fn front(&self, n: usize) -> *const u8 {
        self.front_slots(n)
    }

    /// Takes the first `n` of the messages that [`claim`](Self::claim) or [`peek`](Self::peek) gave off
    /// the channel. The others stay in it: they come again, in a shared ring to any receiver.
    ///
    /// # Panics
    /// If there are not so many; then none is taken.
    #[inline(always)]
    fn release(&mut self, n: usize) {
        self.release_slots(n);
    }

    /// Called before one message is received by a receiver that is ready to wait.
    #[doc(hidden)]
    #[inline(always)]
    fn gather(&mut self) {}

    /// Copies up to `n` messages to `buffer`; tells how many, 0 when there is none.
    ///
    /// # Safety
    /// `buffer` must be writable for `n` items of this channel's size.
    #[inline(always)]
    unsafe fn try_receive_to(&mut self, buffer: *mut u8, n: usize) -> usize {
        let item_size = self.item_size();
        let mut received = 0;
        while received < n {
            let piece = self.claim(n - received);
            if piece == 0 {
                break;
            }
            // SAFETY: there are `piece` messages, `buffer` has room for `n - received` more.
            unsafe {
                ptr::copy_nonoverlapping(
                    self.front(piece),
                    buffer.add(received * item_size),
                    piece * item_size,
                );
            }
            self.release(piece);
            received += piece;
        }
        received
    }

    /// Receives a message if there is one.
    ///
    /// # Panics
    /// If `T` has not the channel's item size.
    #[inline(always)]
    fn try_receive<T: Plain>(&mut self) -> Option<T> {
        assert_eq!(size_of::<T>(), self.item_size(), "the channel's item size");
        if self.claim(1) == 0 {
            return None;
        }
        // SAFETY: there is a message of the size of a `T`, and any bytes are a `T`.
        let item = unsafe { self.front(1).cast::<T>().read_unaligned() };
        self.release(1);
        Some(item)
    }

    /// Receives a message, waiting for it.
    ///
    /// # Errors
    /// [`ReceiveError::Ended`].
    ///
    /// # Panics
    /// If `T` has not the channel's item size.
    #[inline(always)]
    fn receive<T: Plain>(&mut self) -> Result<T, ReceiveError> {
        self.gather();
        loop {
            if let Some(item) = self.try_receive() {
                return Ok(item);
            }
            self.wait_or_end()?;
        }
    }

    /// Receives into `buffer` what is there; tells how many.
    ///
    /// # Panics
    /// If `T` has not the channel's item size.
    #[inline(always)]
    fn try_receive_into<T: Plain>(&mut self, buffer: &mut [T]) -> usize {
        assert_eq!(size_of::<T>(), self.item_size(), "the channel's item size");
        // SAFETY: `buffer` has room for that many items of this size, and any bytes are a `T`.
        unsafe { self.try_receive_to(buffer.as_mut_ptr().cast(), buffer.len()) }
    }

    /// Receives into `buffer`, waiting for at least one message; tells how many.
    ///
    /// # Errors
    /// [`ReceiveError::Ended`].
    ///
    /// # Panics
    /// If `T` has not the channel's item size, or `buffer` has no room.
    #[inline(always)]
    fn receive_into<T: Plain>(&mut self, buffer: &mut [T]) -> Result<usize, ReceiveError> {
        assert!(!buffer.is_empty(), "the buffer has no room");
        loop {
            match self.try_receive_into(buffer) {
                0 => self.wait_or_end()?,
                received => return Ok(received),
            }
        }
    }

    #[doc(hidden)]
    #[cold]
    fn wait_or_end(&mut self) -> Result<(), ReceiveError> {
        if self.is_ended() {
            return Err(ReceiveError::Ended);
        }
        match self.wait_for_message(Deadline::NEVER) {
            Err(ReceiveError::Interrupted) => Ok(()),
            outcome => outcome,
        }
    }
}

impl Receiving for Consumer {
    fn available(&mut self, most: usize) -> usize {
        each_rx!(&mut self.0, rx => rx.available(most))
    }

    // These have loops over single messages in mind: which kind it is is asked once.

    #[inline(always)]
    unsafe fn try_receive_to(&mut self, buffer: *mut u8, n: usize) -> usize {
        // SAFETY: as the caller says.
        each_rx!(&mut self.0, rx => unsafe { rx.try_receive_to(buffer, n) })
    }

    #[inline(always)]
    fn try_receive<T: Plain>(&mut self) -> Option<T> {
        each_rx!(&mut self.0, rx => rx.try_receive())
    }

    #[inline(always)]
    fn receive<T: Plain>(&mut self) -> Result<T, ReceiveError> {
        each_rx!(&mut self.0, rx => rx.receive())
    }
}
