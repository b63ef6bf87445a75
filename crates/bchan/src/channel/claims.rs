//! Claims as values: what was claimed can be written and sent, or read and taken, and no more.
//!
//! For those that do all of it in one go. Whoever keeps a claim open from one call to another uses what is below:
//! `reserve` and `commit`, `peek` and `release`, which check the same at each call.

use std::marker::PhantomData;
use std::slice;

use super::frames::{ReceivingFrames, SendingFrames};
use super::items::{Receiving, Sending};
use super::plain::Plain;
use crate::error::SendError;
use crate::ring::frames::Frame;

/// Slots that are claimed, to be written and sent. Dropping it sends nothing and gives them back.
#[derive(Debug)]
pub struct Slots<'a, T: Plain, S: Sending> {
    tx: &'a mut S,
    len: usize,
    items: PhantomData<T>,
}

impl<'a, T: Plain, S: Sending> Slots<'a, T, S> {
    pub(super) fn claim(tx: &'a mut S, wanted: usize) -> Option<Self> {
        assert_eq!(size_of::<T>(), tx.item_size(), "the channel's item size");
        let len = tx.reserve(wanted);
        (len > 0).then(|| Self { tx, len, items: PhantomData })
    }

    /// How many there are.
    #[allow(clippy::len_without_is_empty, reason = "there is one at least")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The slots, which hold what was there before.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: they are this sender's alone, aligned as a ring starts at a page, and any bytes are a `T`.
        unsafe { slice::from_raw_parts_mut(self.tx.slots(self.len).cast(), self.len) }
    }

    /// Sends the first `n` and gives the others back.
    ///
    /// # Errors
    /// [`SendError::Closed`]: the channel was closed, and none of them is sent.
    ///
    /// # Panics
    /// If that is more than were claimed; then none is sent.
    pub fn commit(mut self, n: usize) -> Result<(), SendError> {
        assert!(n <= self.len, "more slots than were claimed: {n} of {}", self.len);
        self.len = 0;
        self.tx.commit(n)
    }
}

impl<T: Plain, S: Sending> Drop for Slots<'_, T, S> {
    fn drop(&mut self) {
        if self.len > 0 {
            let _ = self.tx.commit(0);
        }
    }
}

/// Messages that are claimed, to be read and taken. Dropping it leaves them in the channel: they come again.
#[derive(Debug)]
pub struct Messages<'a, T: Plain, R: Receiving> {
    rx: &'a mut R,
    len: usize,
    items: PhantomData<T>,
}

impl<'a, T: Plain, R: Receiving> Messages<'a, T, R> {
    pub(super) fn claim(rx: &'a mut R, wanted: usize) -> Option<Self> {
        assert_eq!(size_of::<T>(), rx.item_size(), "the channel's item size");
        let len = rx.peek(wanted);
        (len > 0).then(|| Self { rx, len, items: PhantomData })
    }

    /// The messages.
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: they are this receiver's alone, aligned as a ring starts at a page, and any bytes are a `T`.
        unsafe { slice::from_raw_parts(self.rx.front(self.len).cast(), self.len) }
    }

    /// Takes the first `n` off the channel; the others come again.
    ///
    /// # Panics
    /// If that is more than were claimed; then all come again.
    pub fn release(mut self, n: usize) {
        assert!(n <= self.len, "more messages than were claimed: {n} of {}", self.len);
        self.len = 0;
        self.rx.release(n);
    }
}

impl<T: Plain, R: Receiving> Drop for Messages<'_, T, R> {
    fn drop(&mut self) {
        if self.len > 0 {
            self.rx.release(0);
        }
    }
}

/// Room for a message of any length, to be written and sent. Dropping it sends nothing and gives it back.
#[derive(Debug)]
pub struct Room<'a, S: SendingFrames> {
    /// `None` once it was committed.
    tx: Option<&'a mut S>,
    len: usize,
}

impl<'a, S: SendingFrames> Room<'a, S> {
    pub(super) fn claim(tx: &'a mut S, len: usize) -> Option<Self> {
        tx.reserve(len).then(|| Self { tx: Some(tx), len })
    }

    /// The room, which holds what was there before.
    ///
    /// # Panics
    /// Never: only [`commit`](Self::commit) ends it.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let tx = self.tx.as_mut().expect("not yet committed");
        // SAFETY: it is this sender's alone.
        unsafe { slice::from_raw_parts_mut(tx.room(), self.len) }
    }

    /// Sends the first `len` bytes as a message of `kind`, and gives the rest back.
    ///
    /// # Errors
    /// [`SendError::Closed`]: the channel was closed, and nothing is sent.
    ///
    /// # Panics
    /// If that is more than was claimed; then nothing is sent.
    pub fn commit(mut self, len: usize, kind: u8) -> Result<(), SendError> {
        assert!(len <= self.len, "more bytes than were claimed: {len} of {}", self.len);
        let tx = self.tx.take().expect("not yet committed");
        tx.commit(Frame { len, kind })
    }
}

impl<S: SendingFrames> Drop for Room<'_, S> {
    fn drop(&mut self) {
        if let Some(tx) = self.tx.take() {
            tx.abort();
        }
    }
}

/// A message of any length that is claimed, to be read and taken. Dropping it leaves it in the channel: it comes
/// again.
#[derive(Debug)]
pub struct ClaimedFrame<'a, R: ReceivingFrames> {
    /// `None` once it was released.
    rx: Option<&'a mut R>,
    frame: Frame,
}

impl<'a, R: ReceivingFrames> ClaimedFrame<'a, R> {
    pub(super) fn claim(rx: &'a mut R) -> Option<Self> {
        let frame = rx.peek()?;
        Some(Self { rx: Some(rx), frame })
    }

    /// What its bytes are to the layer above.
    pub fn kind(&self) -> u8 {
        self.frame.kind
    }

    /// Its bytes.
    ///
    /// # Panics
    /// Never: only [`release`](Self::release) ends it.
    pub fn as_slice(&self) -> &[u8] {
        let rx = self.rx.as_ref().expect("not yet released");
        // SAFETY: it is this receiver's alone.
        unsafe { slice::from_raw_parts(rx.front(), self.frame.len) }
    }

    /// Takes it off the channel.
    pub fn release(mut self) {
        if let Some(rx) = self.rx.take() {
            rx.release();
        }
    }
}

impl<R: ReceivingFrames> Drop for ClaimedFrame<'_, R> {
    fn drop(&mut self) {
        if let Some(rx) = self.rx.take() {
            rx.hand_back();
        }
    }
}
