//! rtrb: one producer and one consumer, wait-free. It has no call that waits, so both ends spin.

use std::hint::spin_loop;

use rtrb::{Consumer, Producer, RingBuffer};

use super::{BATCH, Contender, Ends, Receiver, Sender};

pub struct Rtrb;

impl Contender for Rtrb {
    const NAME: &'static str = "rtrb";
    const BATCH_CALLS: &'static str = "push_partial_slice, pop_partial_slice";
    const NOTE: &'static str = "no call that waits: it spins";
    type Sender = Producer<u64>;
    type Receiver = Inbox;

    fn open(capacity: usize, senders: usize, receivers: usize) -> Option<Ends<Self>> {
        let (producer, consumer) = RingBuffer::new(capacity);
        let is_possible = senders == 1 && receivers == 1;
        is_possible.then(|| (vec![producer], vec![Inbox { consumer, batch: [0; BATCH] }]))
    }
}

impl Sender for Producer<u64> {
    #[inline]
    fn send(&mut self, value: u64) {
        while self.push(value).is_err() {
            spin_loop();
        }
    }

    #[inline]
    fn send_batch(&mut self, batch: &[u64; BATCH]) {
        let (_, mut unsent) = self.push_partial_slice(batch);
        while !unsent.is_empty() {
            spin_loop();
            (_, unsent) = self.push_partial_slice(unsent);
        }
    }
}

pub struct Inbox {
    consumer: Consumer<u64>,
    batch: [u64; BATCH],
}

impl Inbox {
    /// Waits until there is a message; `false` when nothing more will come.
    fn wait(&self) -> bool {
        loop {
            // In this order: what was sent before the producer left is seen after.
            let is_abandoned = self.consumer.is_abandoned();
            if !self.consumer.is_empty() {
                return true;
            }
            if is_abandoned {
                return false;
            }
            spin_loop();
        }
    }
}

impl Receiver for Inbox {
    #[inline]
    fn receive(&mut self) -> Option<u64> {
        loop {
            match self.consumer.pop() {
                Ok(value) => return Some(value),
                Err(_) if self.wait() => {}
                Err(_) => return None,
            }
        }
    }

    #[inline]
    fn receive_batch(&mut self) -> &[u64] {
        loop {
            let received = self.consumer.pop_partial_slice(&mut self.batch).0.len();
            if received > 0 || !self.wait() {
                return &self.batch[..received];
            }
        }
    }
}
