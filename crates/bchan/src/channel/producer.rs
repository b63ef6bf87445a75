//! The producer's handle: one way to send, over lanes and over a shared ring.

use std::ptr;

use super::cases::Case;
use super::claims::Slots;
use super::seats::Place;
use super::{Plain, lanes, shared};
use crate::error::SendError;
use crate::wait::Deadline;

/// Sending, through a registered [`Producer`] or a [`Sender`](super::Sender).
pub trait Sending {
    /// Claims up to `wanted` slots (at least 1), as many as are free in one piece; `None` when there is none. What
    /// was claimed and not yet committed is what one gets again.
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
    fn claim(&mut self, wanted: usize) -> usize;

    /// How many slots are this sender's to write now, of the `wanted` (at least 1), in one piece; 0 when
    /// full. They stay reserved until [`commit`](Self::commit).
    fn reserve(&mut self, wanted: usize) -> usize;

    /// The first `n` of the slots that [`claim`](Self::claim) or [`reserve`](Self::reserve) gave, to
    /// write before [`commit`](Self::commit). The memory lives as long as this channel.
    fn slots(&self, n: usize) -> *mut u8;

    /// Sends the first `n` of the slots that [`claim`](Self::claim) or [`reserve`](Self::reserve) gave,
    /// and gives the others back.
    ///
    /// # Errors
    /// [`SendError::Closed`]: the channel was closed, and none of them is sent.
    ///
    /// # Panics
    /// If there are not so many; then none is sent.
    fn commit(&mut self, n: usize) -> Result<(), SendError>;

    /// Whether the channel was closed.
    fn is_closed(&self) -> bool;

    /// Why a closed channel takes no message: [`SendError::Closed`] or [`SendError::Deserted`].
    fn send_error(&self) -> SendError;

    /// Waits until a slot is free. In a shared ring another sender may take it first.
    ///
    /// # Errors
    /// [`SendError::Closed`], [`SendError::TimedOut`] or [`SendError::Interrupted`].
    fn wait_for_space(&mut self, deadline: Deadline) -> Result<(), SendError>;

    /// Has an eventfd written once there may be space or the channel is closed, unless that is so now:
    /// then true. [`Channel::disarm`](super::Channel::disarm) takes it back, before
    /// the eventfd is closed.
    fn arm(&mut self, alarm: i32) -> bool;

    /// Whether another task must look that waits with this handle, as one that waited with it leaves: it may be for
    /// something that the channel tells nobody.
    fn must_look(&mut self) -> bool {
        false
    }

    /// The wait for space or the closing, as one of several in [`wait_for_any`](super::wait_for_any).
    fn case(&mut self) -> Case<'_>;

    /// Bytes of one item.
    fn item_size(&self) -> usize;

    /// Messages of this sender's ring that may be in flight.
    fn capacity(&self) -> usize;

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

/// A producer's handle. Dropping it gives its place back; what it sent stays.
#[derive(Debug)]
pub struct Producer(pub(super) Kind);

#[derive(Debug)]
pub(super) enum Kind {
    Lane(lanes::Producer),
    Shared(shared::Producer),
}

super::handover_of!(Producer);

impl Producer {
    fn place(&mut self) -> &mut Place {
        match &mut self.0 {
            Kind::Lane(handle) => &mut handle.place,
            Kind::Shared(handle) => &mut handle.place,
        }
    }
}

/// Calls the same on either kind.
macro_rules! each {
    ($this:expr, $tx:ident => $call:expr) => {
        match $this {
            Kind::Lane($tx) => $call,
            Kind::Shared(shared::Producer { sender: $tx, .. }) => $call,
        }
    };
}

impl Sending for Producer {
    #[inline(always)]
    fn claim(&mut self, wanted: usize) -> usize {
        each!(&mut self.0, tx => tx.claim(wanted))
    }

    #[inline(always)]
    fn reserve(&mut self, wanted: usize) -> usize {
        each!(&mut self.0, tx => tx.reserve(wanted))
    }

    #[inline(always)]
    fn slots(&self, n: usize) -> *mut u8 {
        each!(&self.0, tx => tx.slots(n))
    }

    #[inline(always)]
    fn commit(&mut self, n: usize) -> Result<(), SendError> {
        each!(&mut self.0, tx => tx.commit(n))
    }

    #[inline(always)]
    fn is_closed(&self) -> bool {
        each!(&self.0, tx => tx.is_closed())
    }

    fn send_error(&self) -> SendError {
        each!(&self.0, tx => tx.send_error())
    }

    fn wait_for_space(&mut self, deadline: Deadline) -> Result<(), SendError> {
        each!(&mut self.0, tx => tx.wait_for_space(deadline))
    }

    fn arm(&mut self, alarm: i32) -> bool {
        each!(&mut self.0, tx => tx.arm(alarm))
    }

    fn must_look(&mut self) -> bool {
        each!(&mut self.0, tx => tx.must_look())
    }

    fn case(&mut self) -> Case<'_> {
        each!(&mut self.0, tx => tx.case())
    }

    #[inline(always)]
    fn item_size(&self) -> usize {
        each!(&self.0, tx => tx.item_size())
    }

    fn capacity(&self) -> usize {
        each!(&self.0, tx => tx.capacity())
    }

    #[inline(always)]
    unsafe fn try_send_from(&mut self, items: *const u8, n: usize) -> Result<usize, SendError> {
        // SAFETY: as the caller says.
        each!(&mut self.0, tx => unsafe { tx.try_send_from(items, n) })
    }

    // These have loops over single messages in mind: which kind it is is asked once.

    #[inline(always)]
    fn try_send<T: Plain>(&mut self, item: T) -> Result<bool, SendError> {
        each!(&mut self.0, tx => tx.try_send(item))
    }

    #[inline(always)]
    fn send<T: Plain>(&mut self, item: T) -> Result<(), SendError> {
        each!(&mut self.0, tx => tx.send(item))
    }

    #[inline(always)]
    fn send_all<T: Plain>(&mut self, items: &[T]) -> Result<(), SendError> {
        each!(&mut self.0, tx => tx.send_all(items))
    }
}
