//! Channels, of lanes or of one shared ring, and their handles.

mod consumer;
mod lanes;
mod plain;
mod producer;
mod registry;
mod shared;

pub use consumer::{Consumer, Receiving};
pub use plain::Plain;
pub use producer::{Producer, Sending};
pub use shared::{Port, Receiver, Sender};

use std::time::Duration;

use crate::error::{ConfigError, HandleError};
use crate::layout::{Bell, Counters, EventWords, LaneHeader, SharedHeader};
use crate::memory::Memory;
use crate::ring::vyukov::{Ring, Turns};
use crate::sync::{Arc, Ordering, fence};
use crate::wait::{Alarms, Barrier, Event};

/// Who may use a channel at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Several producers, a lane for each, and one consumer.
    Mpsc,
    /// One producer, and several consumers that share its ring.
    Spmc,
    /// Several producers and consumers that share one ring.
    Mpmc,
}

/// What a channel is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Who may use it at once.
    pub mode: Mode,
    /// Bytes of one item, at least 1.
    pub item_size: usize,
    /// Items that may be in flight, in mpsc for each producer; rounded up to a power of two.
    pub capacity: usize,
    /// Producers that may be registered at once; 1 makes an spsc channel of an mpsc one. There is
    /// never more than one in spmc.
    pub max_producers: usize,
    /// How wake-ups are ordered, if the system can; `None` for the better one that it has.
    pub barrier: Option<Barrier>,
}

impl Default for Config {
    fn default() -> Self {
        Self { mode: Mode::Mpsc, item_size: 8, capacity: 1024, max_producers: 1, barrier: None }
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
    /// Slots of a shared ring that were claimed and never sent.
    pub abandoned: u64,
    /// Bytes of address space that the channel takes.
    pub bytes_mapped: u64,
    /// Whether the rings in use are mapped twice in a row.
    pub mirrored: bool,
    /// How wake-ups are ordered.
    pub barrier: Barrier,
}

/// A bounded channel. Clones are the same channel.
#[derive(Debug, Clone)]
pub struct Channel {
    shared: Arc<Shared>,
}

/// What a channel and its handles have in common.
#[derive(Debug)]
struct Shared {
    memory: Arc<Memory>,
    barrier: Barrier,
    turns: Turns,
    alarms: Alarms,
}

impl Shared {
    fn event<'a>(&'a self, words: &'a EventWords) -> Event<'a> {
        Event { words, alarms: &self.alarms }
    }

    fn arrivals(&self) -> Event<'_> {
        self.event(&self.memory.header().arrivals)
    }

    fn is_ring(&self) -> bool {
        self.memory.geometry().lanes == 0
    }
}

impl Channel {
    /// Makes a channel.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let turns = if config.mode == Mode::Spmc { Turns::TheProducers } else { Turns::Nobodys };
        Self::with(config, turns)
    }

    /// Makes a channel of a shared ring whose users take turns, which spares them atomic operations.
    ///
    /// # Safety
    /// All calls on the channel and its handles, and their dropping, must be made under one lock; only
    /// those that wait need not.
    pub unsafe fn under_a_lock(config: &Config) -> Result<Self, ConfigError> {
        Self::with(config, Turns::Everybodys)
    }

    fn with(config: &Config, turns: Turns) -> Result<Self, ConfigError> {
        let &Config { mode, item_size, capacity, .. } = config;
        let max_producers = if mode == Mode::Spmc { 1 } else { config.max_producers };
        let memory = Memory::new(item_size, capacity, max_producers, mode != Mode::Mpsc)?;
        // A fence always works; membarrier only where the system grants it.
        let barrier = match config.barrier {
            Some(Barrier::Fence) => Barrier::Fence,
            Some(Barrier::Membarrier) | None => Barrier::detect(),
        };
        Ok(Self { shared: Arc::new(Shared { memory, barrier, turns, alarms: Alarms::default() }) })
    }

    /// Registers a producer, at any time and from any thread.
    pub fn producer(&self) -> Result<Producer, HandleError> {
        Ok(Producer(if self.shared.is_ring() {
            producer::Kind::Shared(shared::Producer::register(&self.shared)?)
        } else {
            producer::Kind::Lane(lanes::Producer::register(&self.shared)?)
        }))
    }

    /// Registers a consumer. A channel of lanes has one at a time.
    pub fn consumer(&self) -> Result<Consumer, HandleError> {
        Ok(Consumer(if self.shared.is_ring() {
            consumer::Kind::Shared(shared::Consumer::register(&self.shared)?)
        } else {
            consumer::Kind::Lanes(Box::new(lanes::Consumer::register(&self.shared)?))
        }))
    }

    /// A way to use a shared ring without handles; `None` for lanes, and for the ring of spmc, whose one
    /// producer claims as if nobody else did.
    pub fn port(&self) -> Option<Port> {
        let is_anybodys = self.shared.is_ring() && self.shared.turns != Turns::TheProducers;
        is_anybodys.then(|| Port::new(&self.shared))
    }

    /// Refuses what is sent from now on. What was accepted can still be received.
    pub fn close(&self) {
        if self.shared.is_ring() {
            Port::new(&self.shared).close();
        } else {
            self.close_lanes();
        }
    }

    fn close_lanes(&self) {
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
        self.shared.arrivals().notify_all();
        let spaces = self.shared.lanes().map(|lane| &memory.lane_header(lane).space);
        spaces.for_each(|space| self.shared.event(space).notify_all());
    }

    /// Takes back what [`Sending::arm`] and [`Receiving::arm`] did with this eventfd, which may then be
    /// closed. It needs no handle: that may be in use, or gone.
    pub fn disarm(&self, alarm: i32) {
        self.shared.alarms.remove(alarm);
        if self.shared.is_ring() {
            // One was woken who may not look: others shall.
            let port = Port::new(&self.shared);
            port.pass_space_on();
            port.pass_messages_on();
        }
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.shared.registry().is_closed()
    }

    /// Items that may be in flight, in mpsc for each producer.
    pub fn capacity(&self) -> usize {
        self.shared.memory.geometry().capacity as usize
    }

    /// Bytes of one item.
    pub fn item_size(&self) -> usize {
        self.shared.memory.geometry().item_size as usize
    }

    /// Producers that may be registered at once.
    pub fn max_producers(&self) -> usize {
        self.shared.memory.geometry().max_producers as usize
    }

    /// Producers registered now.
    pub fn active_producers(&self) -> usize {
        self.shared.registry().producers()
    }

    /// Messages in flight.
    pub fn len(&self) -> usize {
        match self.ring() {
            Some(ring) => ring.len(self.shared.memory.geometry().capacity),
            None => self.shared.lanes().map(|lane| self.shared.len_of(lane)).sum(),
        }
    }

    fn ring(&self) -> Option<&SharedHeader> {
        self.shared.is_ring().then(|| self.shared.memory.shared_header())
    }

    /// Visits the slots of all messages in flight.
    ///
    /// # Safety
    /// Nobody may send or receive meanwhile, and no handle may look at a message or have claimed one.
    pub unsafe fn for_each_in_flight(&self, mut visit: impl FnMut(*mut u8)) {
        if self.shared.is_ring() {
            return Ring::new(&self.shared.memory, self.shared.turns).for_each(visit);
        }
        for lane in self.shared.lanes().filter(|&lane| self.shared.len_of(lane) > 0) {
            let (slots, header) = (self.shared.memory.slots(lane), self.shared.memory.lane_header(lane));
            let head = header.head.load(Ordering::Acquire);
            (head..head + self.shared.len_of(lane) as u64)
                .for_each(|sequence| visit(slots.to_write(sequence, 1)));
        }
    }

    /// Whether no message is in flight.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the channel has done so far.
    pub fn stats(&self) -> Stats {
        let Shared { memory, barrier, .. } = &*self.shared;
        let lanes = || self.shared.lanes().map(|lane| memory.lane_header(lane));
        let ring = self.ring();
        let mut events = vec![&memory.header().arrivals];
        events.extend(lanes().map(|lane| &lane.space));
        events.extend(ring.map(|ring| &ring.space));
        let sum = |field: fn(&Counters) -> u64| events.iter().map(|event| field(&event.counters)).sum();
        let total = |of_ring: fn(&SharedHeader) -> u64, of_lane: fn(&LaneHeader) -> u64| match ring {
            Some(ring) => of_ring(ring),
            None => lanes().map(of_lane).sum(),
        };
        Stats {
            sent: total(SharedHeader::sent, |lane| lane.tail.load(Ordering::Relaxed)),
            received: total(SharedHeader::received, |lane| lane.head.load(Ordering::Relaxed)),
            waits: sum(|counters| counters.waits.load(Ordering::Relaxed)),
            wakes: sum(|counters| counters.wakes.load(Ordering::Relaxed)),
            spins: sum(|counters| counters.spins.load(Ordering::Relaxed)),
            time_parked: Duration::from_nanos(sum(|counters| counters.parked_ns.load(Ordering::Relaxed))),
            abandoned: total(|ring| ring.abandoned.load(Ordering::Relaxed), |_| 0),
            bytes_mapped: memory.bytes_mapped(),
            mirrored: (0..memory.geometry().rings()).all(|ring| memory.is_mirrored(ring) != Some(false)),
            barrier: *barrier,
        }
    }
}
