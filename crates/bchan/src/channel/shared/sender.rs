//! Sending through a port, with the claim that is open.

use std::borrow::Borrow;

use super::Port;
use super::seating::Seating;
use crate::channel::cases::Case;
use crate::channel::producer::Sending;
use crate::error::SendError;
use crate::ring::vyukov::Claim;
use crate::wait::{Deadline, Spin};

/// One who sends through a port.
#[derive(Debug)]
pub struct Sender<P: Borrow<Port>> {
    port: P,
    spin: Spin,
    /// Slots claimed and not yet committed.
    open: Claim,
    /// Whether they are counted as reserved.
    is_reserved: bool,
    seating: Seating,
}

impl<P: Borrow<Port>> Sender<P> {
    #[inline(always)]
    pub(super) fn new(port: P, seating: Seating) -> Self {
        Self { port, spin: Spin::new(), open: Claim::default(), is_reserved: false, seating }
    }

    #[inline(always)]
    pub(super) fn port(&self) -> &Port {
        self.port.borrow()
    }

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
        let more =
            unsafe { self.port().try_send_from(items.add(open * item_size), n - open, self.seating.sending) };
        Ok(open + more.unwrap_or(0))
    }

    /// Counts a reservation out; refuses it if the channel was closed meanwhile.
    #[cold]
    fn end_reservation(&mut self, open: Claim) -> Result<(), SendError> {
        if std::mem::take(&mut self.is_reserved) {
            self.port().count_reserved(-(open.len as i64), self.seating.sending);
        }
        if self.is_closed() { Err(self.send_error()) } else { Ok(()) }
    }
}

impl<P: Borrow<Port>> Sending for Sender<P> {
    #[inline(always)]
    fn claim(&mut self, wanted: usize) -> usize {
        if self.open.len == 0 {
            self.open = self.port().claim_to_send(wanted, self.seating.sending).unwrap_or_default();
        }
        self.open.len.min(wanted)
    }

    fn reserve(&mut self, wanted: usize) -> usize {
        let n = self.claim(wanted);
        if n > 0 && !self.is_reserved {
            self.is_reserved = true;
            self.port().count_reserved(self.open.len as i64, self.seating.sending);
            self.port().pass_space_on();
        }
        n
    }

    #[inline(always)]
    fn slots(&self, n: usize) -> *mut u8 {
        self.port().ring.to_write(self.open.split(n).0)
    }

    #[inline(always)]
    fn commit(&mut self, n: usize) -> Result<(), SendError> {
        assert!(n <= self.open.len, "more slots than were claimed");
        let open = std::mem::take(&mut self.open);
        // What was claimed just now came before the close.
        let outcome = if self.is_reserved || open.len == 0 { self.end_reservation(open) } else { Ok(()) };
        self.port().commit(open, if outcome.is_ok() { n } else { 0 }, self.seating.sending);
        outcome
    }

    #[inline(always)]
    fn is_closed(&self) -> bool {
        self.port().is_closed()
    }

    fn send_error(&self) -> SendError {
        self.port().send_error()
    }

    fn wait_for_space(&mut self, deadline: Deadline) -> Result<(), SendError> {
        self.port.borrow().wait_for_space(&mut self.spin, deadline)
    }

    fn arm(&mut self, alarm: i32) -> bool {
        self.port().arm_space(alarm)
    }

    fn case(&mut self) -> Case<'_> {
        let port = self.port();
        Case::new(&port.shared, port.for_space(1))
    }

    #[inline(always)]
    fn item_size(&self) -> usize {
        self.port().item_size()
    }

    fn capacity(&self) -> usize {
        self.port().capacity()
    }

    #[inline(always)]
    unsafe fn try_send_from(&mut self, items: *const u8, n: usize) -> Result<usize, SendError> {
        if self.open.len > 0 {
            // SAFETY: as the caller says.
            return unsafe { self.try_send_into_open(items, n) };
        }
        // SAFETY: as the caller says.
        unsafe { self.port().try_send_from(items, n, self.seating.sending) }
    }
}

impl<P: Borrow<Port>> Drop for Sender<P> {
    fn drop(&mut self) {
        if self.open.len > 0 {
            let _ = self.commit(0);
        }
        self.seating.end(self.port.borrow());
    }
}
