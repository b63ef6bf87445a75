//! Receiving through a port, with the claim that is open.

use std::borrow::Borrow;

use super::Port;
use super::registration::Registration;
use crate::channel::cases::Case;
use crate::channel::ends::ReceiveSlots;
use crate::channel::frames::ReceivingFrames;
use crate::channel::items::Receiving;
use crate::channel::message::{Frames, Items, Message, Word};
use crate::error::ReceiveError;
use crate::ring::vyukov::Claim;
use crate::wait::{Deadline, Spin, arm_until};

/// One who receives through a port.
#[derive(Debug)]
pub struct Receiver<P: Borrow<Port<M>>, M: Message = Items> {
    port: P,
    spin: Spin,
    /// Messages to receive one by one, without having waited, until the next look whether there are
    /// plenty.
    until_look: usize,
    /// Messages claimed and not yet released.
    open: Claim,
    message: M::Open,
    /// Whether they are counted as peeked.
    is_peeked: bool,
    registration: Registration,
}

impl<P: Borrow<Port<M>>, M: Message> Receiver<P, M> {
    /// Messages between two looks whether there are plenty: as many as have their states in one line.
    const STRETCH: usize = 64;
    /// Messages that are plenty; fewer in a small ring.
    const PLENTY: u64 = 256;

    #[inline(always)]
    pub(super) fn new(port: P, registration: Registration) -> Self {
        let (spin, until_look) = (Spin::new(), Self::STRETCH);
        let (open, message) = (Claim::default(), M::Open::default());
        Self { port, spin, until_look, open, message, is_peeked: false, registration }
    }

    #[inline(always)]
    pub(super) fn port(&self) -> &Port<M> {
        self.port.borrow()
    }

    /// Looks ahead, and pauses if there are few messages.
    ///
    /// A consumer that is as fast as the producers would else run after them by a message or two, and
    /// each look takes the line of the states from the producer, who needs it for the next message. In
    /// the pause, two microseconds or so, the producers get ahead by some lines. Who waits for each
    /// message never comes here. `bench/rust`, mpmc, one message a call, in alternating runs: 41 M/s
    /// without it and 48 M/s with it; with a capacity of 1,024, 14 M/s and 38 M/s.
    #[cold]
    fn gather_messages(&mut self) {
        self.until_look = Self::STRETCH;
        // 0 in a ring of a few slots, where there is nothing to gather.
        let plenty = Self::PLENTY.min(self.port().ring.capacity() / 4);
        if plenty > 0 && !self.port().ring.has_messages(plenty) {
            Spin::pause(plenty as usize / 4);
        }
    }
}

impl<P: Borrow<Port<M>>, M: Message> ReceiveSlots for Receiver<P, M> {
    type Message = M;

    #[inline(always)]
    fn claim_next(&mut self, wanted: usize) -> M::Claimed {
        if self.open.len == 0 {
            let claimed = self.port().claim_to_receive(wanted, self.registration.receiving);
            (self.open, self.message) = claimed.unwrap_or_default();
        }
        M::claimed(self.open.len.min(wanted), self.message)
    }

    fn peek_next(&mut self, wanted: usize) -> M::Claimed {
        let claimed = self.claim_next(wanted);
        if self.open.len > 0 && !self.is_peeked {
            self.is_peeked = true;
            self.port().count_peeked(self.open.len as i64, self.registration.receiving);
            // It keeps what it may have been woken for; there may be more, for another.
            self.port().pass_messages_on();
        }
        claimed
    }

    #[inline(always)]
    fn open_slots(&self) -> usize {
        self.open.len
    }

    #[inline(always)]
    fn front_slots(&self, n: usize) -> *const u8 {
        self.port().ring.to_read(self.open.split(n).0)
    }

    #[inline(always)]
    fn release_slots(&mut self, n: usize) {
        assert!(n <= self.open.len, "more messages than were claimed");
        let open = std::mem::take(&mut self.open);
        self.message = M::Open::default();
        if self.is_peeked {
            self.is_peeked = false;
            self.port().count_peeked(-(open.len as i64), self.registration.receiving);
        }
        self.port().release(open, n, self.registration.receiving);
    }

    #[inline(always)]
    fn word(&self) -> Word<'_> {
        Word { lengths: self.port().ring.lengths(), sequence: self.open.start() }
    }

    fn is_ended(&mut self) -> bool {
        self.open.len == 0 && self.port().is_ended()
    }

    fn wait_for_message(&mut self, deadline: Deadline) -> Result<(), ReceiveError> {
        if self.open.len > 0 {
            return Ok(());
        }
        self.until_look = Self::STRETCH;
        self.port.borrow().wait_for_message(&mut self.spin, deadline)
    }

    fn arm(&mut self, waker: i32) -> bool {
        arm_until(&mut self.port().for_arrivals(self.open.len > 0), waker)
    }

    fn case(&mut self) -> Case<'_> {
        let port = self.port();
        Case::new(&port.shared, port.for_arrivals(self.open.len > 0))
    }

    #[inline(always)]
    fn item_size(&self) -> usize {
        self.port().item_size()
    }
}

impl<P: Borrow<Port>> Receiving for Receiver<P> {
    fn available(&mut self, most: usize) -> usize {
        self.claim(most)
    }

    #[inline(always)]
    fn gather(&mut self) {
        if self.until_look == 0 {
            self.gather_messages();
        }
        self.until_look -= 1;
    }

    #[inline(always)]
    unsafe fn try_receive_to(&mut self, buffer: *mut u8, n: usize) -> usize {
        let open = self.open.len.min(n);
        if open > 0 {
            let bytes = open * self.item_size();
            // SAFETY: they are ours alone, and `buffer` has room for `n`.
            unsafe { std::ptr::copy_nonoverlapping(self.front(open), buffer, bytes) };
            self.release(open);
        }
        // SAFETY: as the caller says; `buffer` has room for `n - open` more.
        open + unsafe {
            self.port().try_receive_to(
                buffer.add(open * self.item_size()),
                n - open,
                self.registration.receiving,
            )
        }
    }
}

impl<P: Borrow<Port<Frames>>> ReceivingFrames for Receiver<P, Frames> {}

impl<P: Borrow<Port<M>>, M: Message> Drop for Receiver<P, M> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.open.len > 0 {
            self.release_slots(0);
        }
        self.registration.end(self.port.borrow());
    }
}
