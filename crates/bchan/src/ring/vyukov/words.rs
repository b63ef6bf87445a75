//! Messages of eight bytes, where all callers hold the same lock.

use super::{Ring, SEALED, Turns};
use crate::sync::Ordering;

impl Ring {
    /// Sends one message of eight bytes, all under the lock; false if the ring is full or sealed.
    #[inline(always)]
    pub(crate) fn send_word(&self, word: u64) -> bool {
        debug_assert!(self.turns == Turns::Everybodys && self.slots.item_size() == 8);
        let tail = self.tail.load(Ordering::Relaxed);
        // Sealed, it is beyond all limits.
        let in_flight = tail.wrapping_sub(self.head.load(Ordering::Relaxed));
        if in_flight >= self.capacity() - self.withheld.load(Ordering::Relaxed) {
            return false;
        }
        // SAFETY: the slot is free, and the lock keeps it so.
        unsafe { self.slots.to_write(tail, 1).cast::<u64>().write(word) };
        self.tail.store(tail + 1, Ordering::Relaxed);
        true
    }

    /// Receives one message of eight bytes, all under the lock.
    #[inline(always)]
    pub(crate) fn receive_word(&self) -> Option<u64> {
        debug_assert!(self.turns == Turns::Everybodys && self.slots.item_size() == 8);
        let head = self.head.load(Ordering::Relaxed);
        if head == self.tail.load(Ordering::Relaxed) & !SEALED {
            return None;
        }
        // SAFETY: there is a message, and the lock keeps it there.
        let word = unsafe { self.slots.to_read(head, 1).cast::<u64>().read() };
        self.head.store(head + 1, Ordering::Relaxed);
        Some(word)
    }
}
