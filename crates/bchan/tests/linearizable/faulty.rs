//! A sound ring with a turn for each slot, and the same ring with one of its rules broken.
//!
//! Source: D. Vyukov's bounded queue (1024cores), with claims of many slots. It dawdles at the places
//! where a race would show, so that races are common also on two cores. All is atomic and `SeqCst`:
//! what goes wrong is the fault that was asked for, and memory stays sound.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

use crate::common::Random;
use crate::contenders::Fifo;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A receiver lets senders have the slot, then reads it.
    ReleasesBeforeReading,
    /// A sender lets receivers have the slot, then writes it.
    PublishesBeforeWriting,
    HoldsOneTooMany,
    HoldsOneTooFew,
    /// A sender that lost a race changes places with the message ahead of its own.
    SwapsWhenOutrun,
    /// A sender moves the tail without a look at whether it has moved: two may claim the same slot.
    SendersRace,
    /// The same with receivers and the head.
    ReceiversRace,
    /// A lost race counts as full or empty.
    GivesUpWhenOutrun,
    /// A batch claims its slots one at a time.
    SendsOneByOne,
    ReceivesOneByOne,
}

pub struct Ring {
    capacity: usize,
    fault: Option<Fault>,
    slots: Box<[Slot]>,
    /// Position of the next message to send. Position `p` lies in slot `p % slots.len()`.
    tail: AtomicU64,
    /// Position of the next message to receive.
    head: AtomicU64,
    dawdles: AtomicU64,
}

struct Slot {
    /// `2 * p` while free for position `p`, `2 * p + 1` while it holds its message.
    turn: AtomicU64,
    item: AtomicU64,
}

/// Of the two turns of a position, the one that is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Sender = 0,
    Receiver = 1,
}

struct Claim {
    first: u64,
    count: usize,
    was_outrun: bool,
}

impl Ring {
    pub fn sound(capacity: usize) -> Self {
        Self::new(None, capacity)
    }

    pub fn with(fault: Fault, capacity: usize) -> Self {
        Self::new(Some(fault), capacity)
    }

    fn new(fault: Option<Fault>, capacity: usize) -> Self {
        let slots = match fault {
            Some(Fault::HoldsOneTooMany) => capacity + 1,
            Some(Fault::HoldsOneTooFew) => (capacity - 1).max(1),
            _ => capacity,
        };
        let slot = |position| Slot { turn: AtomicU64::new(2 * position), item: AtomicU64::new(0) };
        let [tail, head, dawdles] = Default::default();
        Self { capacity, fault, slots: (0..slots as u64).map(slot).collect(), tail, head, dawdles }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn slot(&self, position: u64) -> &Slot {
        &self.slots[(position % self.slots.len() as u64) as usize]
    }

    fn dawdle(&self) {
        if Random(self.dawdles.fetch_add(1, SeqCst)).one_in(2) {
            thread::yield_now();
        }
    }

    /// Claims as many positions as are ready, at most `most`. No claim is longer than `slots`: a position
    /// and the one a round later are never ready at once.
    fn claim(&self, side: Side, most: usize) -> Claim {
        let cursor = if side == Side::Sender { &self.tail } else { &self.head };
        let mut was_outrun = false;
        loop {
            let first = cursor.load(SeqCst);
            let is_ready = |&at: &u64| self.slot(at).turn.load(SeqCst) == 2 * at + side as u64;
            let count = (first..).take(most).take_while(is_ready).count();
            self.dawdle();
            let end = first + count as u64;
            let is_checked = match side {
                Side::Sender => !self.has(Fault::SendersRace),
                Side::Receiver => !self.has(Fault::ReceiversRace),
            };
            if !is_checked {
                cursor.store(end, SeqCst);
            } else if cursor.compare_exchange(first, end, SeqCst, SeqCst).is_err() {
                was_outrun = true;
                if self.has(Fault::GivesUpWhenOutrun) {
                    return Claim { first, count: 0, was_outrun };
                }
                continue;
            }
            return Claim { first, count, was_outrun };
        }
    }

    fn send_claimed(&self, items: &[u64]) -> usize {
        let Claim { first, count, was_outrun } = self.claim(Side::Sender, items.len());
        for (at, &item) in (first..).zip(&items[..count]) {
            self.dawdle();
            let is_swapped = was_outrun && self.has(Fault::SwapsWhenOutrun);
            self.write(at, if is_swapped { self.exchange_ahead(at, item) } else { item });
        }
        count
    }

    fn write(&self, at: u64, item: u64) {
        let Slot { turn, item: place } = self.slot(at);
        if self.has(Fault::PublishesBeforeWriting) {
            turn.store(2 * at + 1, SeqCst);
            self.dawdle();
            place.store(item, SeqCst);
        } else {
            place.store(item, SeqCst);
            turn.store(2 * at + 1, SeqCst);
        }
    }

    /// Leaves `item` at the position ahead, if a message waits there, and tells what is to go to `at`.
    fn exchange_ahead(&self, at: u64, item: u64) -> u64 {
        let Some(ahead) = at.checked_sub(1) else { return item };
        let Slot { turn, item: place } = self.slot(ahead);
        if turn.load(SeqCst) == 2 * ahead + 1 { place.swap(item, SeqCst) } else { item }
    }

    fn read(&self, at: u64) -> u64 {
        let Slot { turn, item } = self.slot(at);
        let next_turn = 2 * (at + self.slots.len() as u64);
        if self.has(Fault::ReleasesBeforeReading) {
            turn.store(next_turn, SeqCst);
            self.dawdle();
            item.load(SeqCst)
        } else {
            let item = item.load(SeqCst);
            self.dawdle();
            turn.store(next_turn, SeqCst);
            item
        }
    }
}

impl Fifo for Ring {
    fn capacity(&self) -> usize {
        self.capacity
    }

    fn try_send(&self, item: u64) -> bool {
        self.send_claimed(&[item]) == 1
    }

    fn try_receive(&self) -> Option<u64> {
        self.try_receive_all(1).pop()
    }

    fn try_send_all(&self, items: &[u64]) -> usize {
        if self.has(Fault::SendsOneByOne) {
            return items.iter().take_while(|&&item| self.try_send(item)).count();
        }
        self.send_claimed(items)
    }

    fn try_receive_all(&self, most: usize) -> Vec<u64> {
        if self.has(Fault::ReceivesOneByOne) && most > 1 {
            return (0..most).map_while(|_| self.try_receive()).collect();
        }
        let Claim { first, count, .. } = self.claim(Side::Receiver, most);
        (first..).take(count).map(|at| self.read(at)).collect()
    }
}
