//! Channels of lanes: one for each registered producer, and one consumer that goes round them.

mod bitmap;
mod consumer;
mod plain;
mod producer;
mod registry;
mod rota;

pub use consumer::Consumer;
pub use plain::Plain;
pub use producer::Producer;

use std::time::Duration;

use crate::error::{ConfigError, HandleError};
use crate::lane::Lane;
use crate::layout::{Bell, Counters};
use crate::memory::Memory;
use crate::sync::{Arc, Ordering, fence};
use crate::wait::{Barrier, Event};

/// What a channel is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Bytes of one item, at least 1.
    pub item_size: usize,
    /// Items that each producer may have in flight; rounded up to a power of two.
    pub capacity: usize,
    /// Producers that may be registered at once; 1 makes an spsc channel.
    pub max_producers: usize,
    /// How wake-ups are ordered, if the system can; `None` for the better one that it has.
    pub barrier: Option<Barrier>,
}

impl Default for Config {
    fn default() -> Self {
        Self { item_size: 8, capacity: 1024, max_producers: 1, barrier: None }
    }
}

/// What a channel has done so far. Each number is exact once all is quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Messages published.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Times that a thread parked.
    pub waits: u64,
    /// Futex calls made to wake.
    pub wakes: u64,
    /// Waits that ended while spinning.
    pub spins: u64,
    /// Time that threads spent parked, added up.
    pub time_parked: Duration,
    /// Bytes of address space that the channel takes.
    pub bytes_mapped: u64,
    /// Whether the rings in use are mapped twice in a row.
    pub mirrored: bool,
    /// How wake-ups are ordered.
    pub barrier: Barrier,
}

/// A bounded channel with several producers and one consumer. Clones are the same channel.
#[derive(Debug, Clone)]
pub struct Channel {
    shared: Arc<Shared>,
}

/// What a channel and its handles have in common.
#[derive(Debug)]
struct Shared {
    memory: Arc<Memory>,
    barrier: Barrier,
}

impl Shared {
    fn lane(&self, index: usize) -> Lane {
        Lane::new(&self.memory, index)
    }

    fn lanes(&self) -> std::ops::Range<usize> {
        0..self.memory.geometry().lanes as usize
    }

    fn arrivals(&self) -> Event<'_> {
        Event(&self.memory.header().arrivals)
    }

    fn len_of(&self, lane: usize) -> usize {
        let header = self.memory.lane_header(lane);
        // The head first: read later it could have passed this tail. Acquire keeps the order.
        let head = header.head.load(Ordering::Acquire);
        let len = header.tail.load(Ordering::Relaxed).wrapping_sub(head);
        len.min(self.memory.geometry().capacity) as usize
    }
}

impl Channel {
    /// Makes a channel.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let memory = Memory::new(config.item_size, config.capacity, config.max_producers)?;
        // A fence always works; membarrier only where the system grants it.
        let barrier = match config.barrier {
            Some(Barrier::Fence) => Barrier::Fence,
            Some(Barrier::Membarrier) | None => Barrier::detect(),
        };
        Ok(Self { shared: Arc::new(Shared { memory, barrier }) })
    }

    /// Registers a producer, at any time and from any thread.
    pub fn producer(&self) -> Result<Producer, HandleError> {
        Producer::register(&self.shared)
    }

    /// Takes the consumer's place.
    pub fn consumer(&self) -> Result<Consumer, HandleError> {
        Consumer::register(&self.shared)
    }

    /// Refuses what is sent from now on. What was accepted can still be received.
    pub fn close(&self) {
        let Shared { memory, .. } = &*self.shared;
        // The lanes first: whoever finds the registry closed can rely on it that they refuse.
        for lane in self.shared.lanes() {
            memory.lane_header(lane).bell.flags.fetch_or(Bell::CLOSED, Ordering::Relaxed);
        }
        if !self.shared.registry().close() {
            return;
        }
        // Forbids: someone waits and has missed the flags.
        fence(Ordering::SeqCst);
        self.shared.arrivals().notify();
        self.shared.lanes().for_each(|lane| Event(&memory.lane_header(lane).space).notify());
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.shared.registry().is_closed()
    }

    /// Items that each producer may have in flight.
    pub fn capacity(&self) -> usize {
        self.shared.memory.geometry().capacity as usize
    }

    /// Bytes of one item.
    pub fn item_size(&self) -> usize {
        self.shared.memory.geometry().item_size as usize
    }

    /// Producers that may be registered at once.
    pub fn max_producers(&self) -> usize {
        self.shared.memory.geometry().lanes as usize
    }

    /// Producers registered now.
    pub fn active_producers(&self) -> usize {
        self.shared.registry().producers()
    }

    /// Messages in flight.
    pub fn len(&self) -> usize {
        self.shared.lanes().map(|lane| self.shared.len_of(lane)).sum()
    }

    /// Whether no message is in flight.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the channel has done so far.
    pub fn stats(&self) -> Stats {
        let memory = &self.shared.memory;
        let lanes = || self.shared.lanes().map(|lane| memory.lane_header(lane));
        let arrivals = std::iter::once(&*memory.header().arrivals.counters);
        let counters: Vec<&Counters> = arrivals.chain(lanes().map(|lane| &*lane.space.counters)).collect();
        let sum = |field: fn(&Counters) -> u64| counters.iter().map(|&counters| field(counters)).sum();
        Stats {
            sent: lanes().map(|lane| lane.tail.load(Ordering::Relaxed)).sum(),
            received: lanes().map(|lane| lane.head.load(Ordering::Relaxed)).sum(),
            waits: sum(|counters| counters.waits.load(Ordering::Relaxed)),
            wakes: sum(|counters| counters.wakes.load(Ordering::Relaxed)),
            spins: sum(|counters| counters.spins.load(Ordering::Relaxed)),
            time_parked: Duration::from_nanos(sum(|counters| counters.parked_ns.load(Ordering::Relaxed))),
            bytes_mapped: memory.bytes_mapped(),
            mirrored: self.shared.lanes().all(|lane| memory.is_mirrored(lane) != Some(false)),
            barrier: self.shared.barrier,
        }
    }
}
