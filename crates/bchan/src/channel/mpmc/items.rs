//! What a port does for items besides: batches, limits, and words of eight bytes under a lock.

use std::ptr;

use super::Port;
use super::port::Done;
use crate::channel::Plain;
use crate::channel::items::{Receiving, Sending};
use crate::error::{SendError, WaitError};
use crate::ring::claim_log::ClaimLog;
use crate::ring::vyukov::Turns;
use crate::sync::{Ordering, fence};
use crate::wait::{Deadline, Look, Spin};

impl Port {
    /// Allows `limit` messages in flight, at most the ring's capacity. What is in flight stays.
    pub fn set_limit(&self, limit: usize) {
        let withheld = self.ring.capacity().saturating_sub(limit as u64);
        self.ring.withheld.store(withheld, Ordering::Relaxed);
        // Forbids: a producer waits and has missed it.
        fence(Ordering::SeqCst);
        self.space().notify_all();
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
        claim_log: ClaimLog,
    ) -> Result<usize, SendError> {
        let item_size = self.item_size();
        let mut sent = 0;
        while self.is_claim_due(sent, n) {
            let claim = match self.claim_to_send(n - sent, claim_log) {
                Ok(claim) if claim.len > 0 => claim,
                Err(stop) if sent == 0 => return Err(stop),
                _ => break,
            };
            // SAFETY: `items` has `n` items, and the claimed slots are ours alone.
            unsafe {
                let from = items.add(sent * item_size);
                ptr::copy_nonoverlapping(from, self.ring.to_write(claim), claim.len * item_size);
            }
            self.commit(claim, claim.len, claim_log);
            sent += claim.len;
        }
        if sent == 0 && self.is_closed() { Err(self.send_error()) } else { Ok(sent) }
    }

    /// Copies up to `n` messages to `buffer`; tells how many, 0 when there is none.
    ///
    /// # Safety
    /// `buffer` must be writable for `n` items of this channel's size.
    #[inline]
    pub(super) unsafe fn try_receive_to(&self, buffer: *mut u8, n: usize, claim_log: ClaimLog) -> usize {
        let item_size = self.item_size();
        let mut received = 0;
        while self.is_claim_due(received, n) {
            let Some((claim, ())) = self.claim_to_receive(n - received, claim_log) else { break };
            // SAFETY: the messages are ours alone, `buffer` has room for `n - received` more.
            unsafe {
                let to = buffer.add(received * item_size);
                ptr::copy_nonoverlapping(self.ring.to_read(claim), to, claim.len * item_size);
            }
            self.release(claim, claim.len, claim_log);
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
    /// If `T` has not the channel's item size, or there is no registry slot to be had.
    #[inline]
    pub fn try_send_all<T: Plain>(&self, items: &[T]) -> Result<usize, SendError> {
        self.sender().expect("a registry_slot").try_send_all(items)
    }

    /// Receives into `buffer` what is there; tells how many.
    ///
    /// # Panics
    /// If `T` has not the channel's item size, or there is no registry slot to be had.
    #[inline]
    pub fn try_receive_into<T: Plain>(&self, buffer: &mut [T]) -> usize {
        self.receiver().expect("a registry_slot").try_receive_into(buffer)
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
        self.wait(self.for_space(1), &mut Spin::new(), deadline)
    }
}
