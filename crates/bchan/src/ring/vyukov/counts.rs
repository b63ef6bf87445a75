//! What a shared ring has carried so far.
//!
//! Each number may be a moment older than the others: together they are exact once all is quiet, also after a
//! death. In memory that processes share each registry slot keeps its part, as a
//! [`Tally`](crate::layout::Tally) or in its claim log; how many messages were handed back, the states say.

use super::{BACK, SEALED, SOME};
use crate::layout::{RegistrySlot, SharedHeader};
use crate::memory::Memory;
use crate::ring::frames::Lengths;
use crate::sync::Ordering;

/// The counters of a shared ring.
#[derive(Debug)]
pub(crate) struct Counts<'a> {
    memory: &'a Memory,
    ring: &'a SharedHeader,
}

impl<'a> Counts<'a> {
    pub(crate) fn of(memory: &'a Memory) -> Self {
        Self { memory, ring: memory.shared_header() }
    }

    /// The sum over all registry slots that were ever taken. Elsewhere the ring's header says all.
    fn sum(&self, of: impl Fn(&RegistrySlot) -> u64) -> u64 {
        if !self.memory.is_shared() {
            return 0;
        }
        // What others wrote may be too much for a sum.
        self.memory
            .registry_slots_used()
            .map(|registry_slot| of(self.memory.registry_slot(registry_slot)))
            .fold(0, u64::wrapping_add)
    }

    /// Slots claimed so far, but for those that were taken back.
    pub(crate) fn claimed(&self) -> u64 {
        self.ring.tail.load(Ordering::Relaxed) & !SEALED
    }

    /// Slots that were claimed and never sent.
    pub(crate) fn abandoned(&self) -> u64 {
        let of_registry_slots = self.sum(|registry_slot| registry_slot.sending.slots.get());
        self.ring.abandoned.load(Ordering::Relaxed).wrapping_add(of_registry_slots)
    }

    /// Messages sent so far.
    pub(crate) fn sent(&self) -> u64 {
        if let Some(lengths) = Lengths::new(self.memory, 0) {
            return lengths.sent().wrapping_add(self.sum(|registry_slot| registry_slot.sending.frames.get()));
        }
        let of_registry_slots = self.sum(|registry_slot| registry_slot.sending.counted());
        let reserved = self.ring.reserved.load(Ordering::Relaxed).wrapping_add(of_registry_slots);
        (self.claimed().wrapping_sub(self.abandoned().wrapping_add(reserved)) as i64).max(0) as u64
    }

    /// Messages received so far.
    pub(crate) fn received(&self) -> u64 {
        if let Some(lengths) = Lengths::new(self.memory, 0) {
            return lengths
                .received()
                .wrapping_add(self.sum(|registry_slot| registry_slot.receiving.frames.get()));
        }
        let of_registry_slots = self.sum(|registry_slot| {
            registry_slot.receiving.slots.get().wrapping_add(registry_slot.receiving.counted())
        });
        let (passed, peeked) = (&self.ring.passed, &self.ring.peeked);
        let passed = passed.load(Ordering::Relaxed).wrapping_add(of_registry_slots);
        let pending = passed.wrapping_add(peeked.load(Ordering::Relaxed)).wrapping_add(self.returned());
        (self.ring.head.load(Ordering::Relaxed).wrapping_sub(pending) as i64).max(0) as u64
    }

    /// Messages that were handed back, in slots below the head. There are seldom any.
    fn returned(&self) -> u64 {
        if self.ring.returned.load(Ordering::Relaxed) != SOME {
            return 0;
        }
        let states = self.memory.states();
        let is_back = |slot: &usize| {
            // SAFETY: there are `lap` states, and the memory keeps them where they are.
            let state = unsafe { states.add(*slot).as_ref() };
            state.load(Ordering::Relaxed) & 0b11 == BACK
        };
        (0..self.memory.geometry().lap as usize).filter(is_back).count() as u64
    }

    /// Messages in flight.
    pub(crate) fn len(&self) -> usize {
        // What was received first: read later it could be more than what was sent.
        let received = self.received();
        self.sent().saturating_sub(received).min(self.memory.geometry().capacity) as usize
    }
}
