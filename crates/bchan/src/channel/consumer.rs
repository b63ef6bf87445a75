//! The consumer's handle: one way to receive, from lanes and from a shared ring.

use std::ptr;

use super::cases::Case;
use super::claims::Messages;
use super::seats::Place;
use super::{Plain, lanes, shared};
use crate::error::ReceiveError;
use crate::wait::Deadline;

/// Receiving, through a registered [`Consumer`] or a [`Receiver`](super::Receiver).
pub trait Receiving {
    /// Claims up to `wanted` messages (at least 1), as many as there are in one piece; `None` when there is none.
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
    fn claim(&mut self, wanted: usize) -> usize;

    /// How many messages are this receiver's to read now, of the `wanted` (at least 1), in one piece; 0
    /// when there is none. They stay in the channel until [`release`](Self::release).
    fn peek(&mut self, wanted: usize) -> usize;

    /// How many messages [`try_receive_into`](Self::try_receive_into) will find now, of `most`; they are
    /// this receiver's until then.
    fn available(&mut self, most: usize) -> usize;

    /// The first `n` of the messages that [`claim`](Self::claim) or [`peek`](Self::peek) gave, to read
    /// before [`release`](Self::release). The memory lives as long as this channel.
    fn front(&self, n: usize) -> *const u8;

    /// Takes the first `n` of the messages that [`claim`](Self::claim) or [`peek`](Self::peek) gave off
    /// the channel. The others stay in it: they come again, in a shared ring to any receiver.
    ///
    /// # Panics
    /// If there are not so many; then none is taken.
    fn release(&mut self, n: usize);

    /// Whether nothing more will ever come. Call it when nothing was there.
    fn is_ended(&mut self) -> bool;

    /// Waits until there is a message. In a shared ring another receiver may be faster.
    ///
    /// # Errors
    /// [`ReceiveError::Ended`]: nothing more will ever come; [`ReceiveError::TimedOut`] or [`ReceiveError::Interrupted`].
    fn wait_for_message(&mut self, deadline: Deadline) -> Result<(), ReceiveError>;

    /// Has an eventfd written once there may be a message or the end, unless that is so now: then true.
    /// [`Channel::disarm`](super::Channel::disarm) takes it back, before
    /// the eventfd is closed.
    fn arm(&mut self, alarm: i32) -> bool;

    /// Whether another task must look that waits with this handle, as one that waited with it leaves: it may be for
    /// something that the channel tells nobody.
    fn must_look(&mut self) -> bool {
        false
    }

    /// The wait for a message or the end, as one of several in [`wait_for_any`](super::wait_for_any).
    fn case(&mut self) -> Case<'_>;

    /// Bytes of one item.
    fn item_size(&self) -> usize;

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

/// A consumer's handle. Dropping it gives the place to the next one, who goes on where it was.
#[derive(Debug)]
pub struct Consumer(pub(super) Kind);

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "each call on a shared ring would go through the box")]
pub(super) enum Kind {
    Lanes(Box<lanes::Consumer>),
    Shared(shared::Consumer),
}

super::handover_of!(Consumer);

impl Consumer {
    pub(super) fn place(&mut self) -> &mut Place {
        match &mut self.0 {
            Kind::Lanes(handle) => &mut handle.place,
            Kind::Shared(handle) => &mut handle.place,
        }
    }
}

/// Calls the same on either kind.
macro_rules! each {
    ($this:expr, $rx:ident => $call:expr) => {
        match $this {
            Kind::Lanes($rx) => $call,
            Kind::Shared(shared::Consumer { receiver: $rx, .. }) => $call,
        }
    };
}

impl Receiving for Consumer {
    #[inline(always)]
    fn claim(&mut self, wanted: usize) -> usize {
        each!(&mut self.0, rx => rx.claim(wanted))
    }

    #[inline(always)]
    fn peek(&mut self, wanted: usize) -> usize {
        each!(&mut self.0, rx => rx.peek(wanted))
    }

    fn available(&mut self, most: usize) -> usize {
        each!(&mut self.0, rx => rx.available(most))
    }

    #[inline(always)]
    fn front(&self, n: usize) -> *const u8 {
        each!(&self.0, rx => rx.front(n))
    }

    #[inline(always)]
    fn release(&mut self, n: usize) {
        each!(&mut self.0, rx => rx.release(n));
    }

    fn is_ended(&mut self) -> bool {
        each!(&mut self.0, rx => rx.is_ended())
    }

    fn wait_for_message(&mut self, deadline: Deadline) -> Result<(), ReceiveError> {
        each!(&mut self.0, rx => rx.wait_for_message(deadline))
    }

    fn arm(&mut self, alarm: i32) -> bool {
        each!(&mut self.0, rx => rx.arm(alarm))
    }

    fn must_look(&mut self) -> bool {
        each!(&mut self.0, rx => rx.must_look())
    }

    fn case(&mut self) -> Case<'_> {
        each!(&mut self.0, rx => rx.case())
    }

    #[inline(always)]
    fn item_size(&self) -> usize {
        each!(&self.0, rx => rx.item_size())
    }

    #[inline(always)]
    unsafe fn try_receive_to(&mut self, buffer: *mut u8, n: usize) -> usize {
        // SAFETY: as the caller says.
        each!(&mut self.0, rx => unsafe { rx.try_receive_to(buffer, n) })
    }

    // These have loops over single messages in mind: which kind it is is asked once.

    #[inline(always)]
    fn try_receive<T: Plain>(&mut self) -> Option<T> {
        each!(&mut self.0, rx => rx.try_receive())
    }

    #[inline(always)]
    fn receive<T: Plain>(&mut self) -> Result<T, ReceiveError> {
        each!(&mut self.0, rx => rx.receive())
    }
}
