//! Sending through a port, with the claim that is open.

use std::borrow::Borrow;
use std::marker::PhantomData;

use super::Port;
use super::registration::Registration;
use crate::channel::cases::Case;
use crate::channel::ends::SendSlots;
use crate::channel::frames::SendingFrames;
use crate::channel::items::Sending;
use crate::channel::message::{Frames, Items, Message};
use crate::error::SendError;
use crate::ring::vyukov::Claim;
use crate::wait::{Deadline, Spin, arm_until, wait_until};

/// One who sends through a port.
#[derive(Debug)]
pub struct Sender<P: Borrow<Port<M>>, M: Message = Items> {
    port: P,
    spin: Spin,
    /// Slots claimed and not yet committed.
    open: Claim,
    /// Whether they are counted as reserved.
    is_reserved: bool,
    registration: Registration,
    messages: PhantomData<fn() -> M>,
}

impl<P: Borrow<Port<M>>, M: Message> Sender<P, M> {
    #[inline(always)]
    pub(super) fn new(port: P, registration: Registration) -> Self {
        let (spin, open) = (Spin::new(), Claim::default());
        Self { port, spin, open, is_reserved: false, registration, messages: PhantomData }
    }

    #[inline(always)]
    pub(super) fn port(&self) -> &Port<M> {
        self.port.borrow()
    }

    /// Counts a reservation out; refuses it, and gives it up, if the channel was closed meanwhile.
    #[cold]
    fn end_reservation(&mut self, open: Claim) -> Result<(), SendError> {
        let port = self.port.borrow();
        if std::mem::take(&mut self.is_reserved) {
            port.count_reserved(-(open.len as i64), self.registration.sending);
        }
        if !port.is_closed() {
            return Ok(());
        }
        port.give_up(open, self.registration.sending);
        Err(self.send_error())
    }
}

impl<P: Borrow<Port<M>>, M: Message> SendSlots for Sender<P, M> {
    type Message = M;

    #[inline(always)]
    fn claim_slots(&mut self, wanted: usize) -> usize {
        if self.open.len == 0 {
            self.open = self.port().claim_to_send(wanted, self.registration.sending).unwrap_or_default();
        } else {
            assert!(!M::IS_FRAMED, "room was claimed before");
        }
        self.open.len.min(wanted)
    }

    fn reserve_slots(&mut self, wanted: usize) -> usize {
        let n = self.claim_slots(wanted);
        if n > 0 && !self.is_reserved {
            self.is_reserved = true;
            self.port().count_reserved(self.open.len as i64, self.registration.sending);
            self.port().pass_space_on();
        }
        n
    }

    #[inline(always)]
    fn slots(&self, n: usize) -> *mut u8 {
        self.port().ring.to_write(self.open.split(n).0)
    }

    #[inline(always)]
    fn commit_slots(&mut self, sent: M::Sent) -> Result<(), SendError> {
        assert!(M::slots(sent) <= self.open.len, "more slots than were claimed");
        let open = std::mem::take(&mut self.open);
        // What was claimed just now came before the close.
        if self.is_reserved || open.len == 0 {
            self.end_reservation(open)?;
        }
        self.port().commit(open, sent, self.registration.sending);
        Ok(())
    }

    #[cold]
    fn abort(&mut self) {
        let open = std::mem::take(&mut self.open);
        if open.len > 0 && self.end_reservation(open).is_ok() {
            self.port().give_up(open, self.registration.sending);
        }
    }

    #[inline(always)]
    fn is_closed(&self) -> bool {
        self.port().is_closed()
    }

    fn send_error(&self) -> SendError {
        self.port().send_error()
    }

    fn wait_for_slots(&mut self, n: usize, deadline: Deadline) -> Result<(), SendError> {
        let port = self.port.borrow();
        let mut waiter = port.for_space(n);
        if !M::IS_FRAMED {
            return port.wait(waiter, &mut self.spin, deadline);
        }
        if port.has_turns() {
            return port.park_in_turn(&mut waiter, deadline);
        }
        let park = |waiter: &mut _, deadline| port.park_in_turn(waiter, deadline);
        wait_until(&mut waiter, &mut self.spin, &port.shared.tuning, deadline, park)
    }

    fn arm_for_slots(&mut self, n: usize, waker: i32) -> bool {
        arm_until(&mut self.port().for_space(n), waker)
    }

    fn case_for_slots(&mut self, n: usize) -> Case<'_> {
        let port = self.port();
        Case::new(&port.shared, port.for_space(n))
    }

    #[inline(always)]
    fn item_size(&self) -> usize {
        self.port().item_size()
    }

    fn capacity(&self) -> usize {
        self.port().capacity()
    }
}

impl<P: Borrow<Port>> Sender<P> {
    /// As [`try_send_from`](Sending::try_send_from). There is one claim at a time: what was reserved before
    /// comes first.
    ///
    /// # Safety
    /// As there.
    #[cold]
    unsafe fn try_send_into_open(&mut self, items: *const u8, n: usize) -> Result<usize, SendError> {
        let (open, item_size) = (self.open.len.min(n), self.item_size());
        // SAFETY: the slots are ours alone, and `items` has `n`.
        unsafe { std::ptr::copy_nonoverlapping(items, self.slots(open), open * item_size) };
        self.commit(open)?;
        // SAFETY: as the caller says; `items` has `n - open` more.
        let more = unsafe {
            self.port().try_send_from(items.add(open * item_size), n - open, self.registration.sending)
        };
        Ok(open + more.unwrap_or(0))
    }
}

impl<P: Borrow<Port>> Sending for Sender<P> {
    #[inline(always)]
    unsafe fn try_send_from(&mut self, items: *const u8, n: usize) -> Result<usize, SendError> {
        if self.open.len > 0 {
            // SAFETY: as the caller says.
            return unsafe { self.try_send_into_open(items, n) };
        }
        // SAFETY: as the caller says.
        unsafe { self.port().try_send_from(items, n, self.registration.sending) }
    }
}

impl<P: Borrow<Port<Frames>>> SendingFrames for Sender<P, Frames> {}

impl<P: Borrow<Port<M>>, M: Message> Drop for Sender<P, M> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.open.len > 0 {
            self.abort();
        }
        self.registration.end(self.port.borrow());
    }
}
