//! The queues that are tried.

use std::collections::VecDeque;
use std::sync::Mutex;

use bchan::{Channel, Config, Mode, Port};

/// A bounded queue of many senders and receivers. No call waits.
pub trait Fifo: Send + Sync + 'static {
    /// How many messages it holds at most; may be more than was asked for.
    fn capacity(&self) -> usize;

    fn try_send(&self, item: u64) -> bool;

    fn try_receive(&self) -> Option<u64>;

    /// Sends the first of `items`, as many as there is space for, in one atomic operation; tells how many.
    fn try_send_all(&self, items: &[u64]) -> usize;

    /// Receives what there is, at most `most`, in one atomic operation.
    fn try_receive_all(&self, most: usize) -> Vec<u64>;
}

/// The reference: a plain queue behind a lock.
pub struct Locked {
    capacity: usize,
    items: Mutex<VecDeque<u64>>,
}

impl Locked {
    pub fn new(capacity: usize) -> Self {
        Self { capacity, items: Mutex::default() }
    }
}

impl Fifo for Locked {
    fn capacity(&self) -> usize {
        self.capacity
    }

    fn try_send(&self, item: u64) -> bool {
        self.try_send_all(&[item]) == 1
    }

    fn try_receive(&self) -> Option<u64> {
        self.items.lock().unwrap().pop_front()
    }

    fn try_send_all(&self, items: &[u64]) -> usize {
        let mut held = self.items.lock().unwrap();
        let count = items.len().min(self.capacity - held.len());
        held.extend(&items[..count]);
        count
    }

    fn try_receive_all(&self, most: usize) -> Vec<u64> {
        let mut held = self.items.lock().unwrap();
        let count = most.min(held.len());
        held.drain(..count).collect()
    }
}

/// The real ring.
#[cfg_attr(feature = "portable", allow(dead_code, reason = "there a batch may be two claims"))]
pub struct Shared {
    channel: Channel,
    port: Port,
}

#[cfg_attr(feature = "portable", allow(dead_code, reason = "as above"))]
impl Shared {
    pub fn new(capacity: usize) -> Self {
        let channel = Channel::new(&Config { mode: Mode::Mpmc, capacity, ..Config::default() }).unwrap();
        Self { port: channel.port().unwrap(), channel }
    }
}

impl Fifo for Shared {
    fn capacity(&self) -> usize {
        self.channel.capacity()
    }

    fn try_send(&self, item: u64) -> bool {
        self.try_send_all(&[item]) == 1
    }

    fn try_receive(&self) -> Option<u64> {
        self.try_receive_all(1).pop()
    }

    fn try_send_all(&self, items: &[u64]) -> usize {
        self.port.try_send_all(items).unwrap()
    }

    fn try_receive_all(&self, most: usize) -> Vec<u64> {
        let mut buffer = vec![0; most];
        let n = self.port.try_receive_into(&mut buffer);
        buffer.truncate(n);
        buffer
    }
}
