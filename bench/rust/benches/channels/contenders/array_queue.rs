//! crossbeam-queue's `ArrayQueue`: D. Vyukov's ring. It has no call that waits, so whoever finds it full
//! or empty spins and then yields, as crossbeam's own `Backoff` does, and no batch calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_utils::Backoff;

use super::{BATCH, Contender, Ends, Receiver, Sender};

pub struct ArrayQueue;

impl Contender for ArrayQueue {
    const NAME: &'static str = "crossbeam-queue";
    const BATCH_CALLS: &'static str = "push and pop one by one";
    const NOTE: &'static str = "ArrayQueue; no call that waits: it spins, then yields";
    type Sender = Outbox;
    type Receiver = Inbox;

    fn open(capacity: usize, senders: usize, receivers: usize) -> Option<Ends<Self>> {
        let queue = Queue { ring: crossbeam_queue::ArrayQueue::new(capacity), senders: senders.into() };
        let queue = Arc::new(queue);
        let outbox = |_| Outbox(queue.clone());
        let inbox = |_| Inbox { queue: queue.clone(), batch: Vec::with_capacity(BATCH) };
        Some(((0..senders).map(outbox).collect(), (0..receivers).map(inbox).collect()))
    }
}

struct Queue {
    ring: crossbeam_queue::ArrayQueue<u64>,
    /// Senders that there still are.
    senders: AtomicUsize,
}

pub struct Outbox(Arc<Queue>);

impl Sender for Outbox {
    #[inline]
    fn send(&mut self, value: u64) {
        if self.0.ring.push(value).is_err() {
            let backoff = Backoff::new();
            while self.0.ring.push(value).is_err() {
                backoff.snooze();
            }
        }
    }

    #[inline]
    fn send_batch(&mut self, batch: &[u64; BATCH]) {
        batch.iter().for_each(|&value| self.send(value));
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        // Release: what was sent comes before; pairs with the Acquire in `wait`.
        self.0.senders.fetch_sub(1, Ordering::Release);
    }
}

pub struct Inbox {
    queue: Arc<Queue>,
    batch: Vec<u64>,
}

impl Inbox {
    #[cold]
    fn wait(&self) -> Option<u64> {
        let backoff = Backoff::new();
        loop {
            // In this order: what was sent before the last sender left is seen after. Acquire: pairs
            // with the Release in `Outbox::drop`.
            let is_abandoned = self.queue.senders.load(Ordering::Acquire) == 0;
            let value = self.queue.ring.pop();
            if value.is_some() || is_abandoned {
                return value;
            }
            backoff.snooze();
        }
    }
}

impl Receiver for Inbox {
    #[inline]
    fn receive(&mut self) -> Option<u64> {
        self.queue.ring.pop().or_else(|| self.wait())
    }

    #[inline]
    fn receive_batch(&mut self) -> &[u64] {
        self.batch.clear();
        if let Some(first) = self.receive() {
            self.batch.push(first);
            self.batch.extend(std::iter::from_fn(|| self.queue.ring.pop()).take(BATCH - 1));
        }
        &self.batch
    }
}
