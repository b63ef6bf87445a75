//! Channels, of lanes or of one shared ring, and their handles.

mod bitmap;
mod cases;
mod claims;
mod ends;
mod frames;
#[cfg(not(loom))]
mod handover;
mod items;
mod lanes;
mod message;
mod mpmc;
mod plain;
mod registry;
mod registry_slots;

pub use cases::{Case, Woken, most_cases, wait_for_any};
pub use claims::{ClaimedFrame, Messages, Room, Slots};
pub use ends::{ReceiveSlots, Rx, SendSlots, Tx};
pub use frames::{
    FrameConsumer, FramePort, FrameProducer, FrameReceiver, FrameSender, ReceivingFrames, SendingFrames,
};
#[cfg(not(loom))]
pub use handover::Handover;
pub use items::{Consumer, Producer, Receiving, Sending};
pub use message::{Frames, Items, Message};
pub use mpmc::{Port, Receiver, Sender};
pub use plain::Plain;
pub use registry_slots::{Participant, Token, has_unused_handles};

use std::time::Duration;

use self::ends::{ReceivingEnd, SendingEnd};
use self::registry_slots::{Place, Role, keep_watch};
use crate::error::{ConfigError, HandleError};
use crate::layout::{Counters, EventWords, FRAME_SLOT, Geometry, LaneHeader, SharedHeader};
use crate::memory::Memory;
use crate::process;
use crate::ring::frames::Lengths;
use crate::ring::vyukov::{Counts, Ring, Turns};
use crate::sync::{Arc, Ordering};
use crate::wait::{Barrier, Broadcast, Event, Point, Reach, Tuning, Wakers};

/// What every handle does with its place.
macro_rules! handover_of {
    ($handle:ident) => {
        impl<M: Message> $handle<M> {
            /// Makes a handle this process' own, before its first use, in a channel that processes share: the
            /// process may have forked since it was made, and then the first who begins has it.
            ///
            /// # Errors
            /// [`HandleError::Elsewhere`](crate::HandleError::Elsewhere): another process has it;
            /// [`HandleError::TakenBack`](crate::HandleError::TakenBack): nobody has it any more.
            pub fn begin(&mut self) -> Result<(), crate::HandleError> {
                self.place().begin()
            }

            /// What another process needs to take this handle over, which was never used; until then its
            /// place stays taken, also when this is dropped, but not when it is closed.
            ///
            /// # Errors
            /// [`HandleError::Used`](crate::HandleError::Used), and as [`begin`](Self::begin).
            pub fn token(&mut self) -> Result<crate::Token, crate::HandleError> {
                self.place().token()
            }

            /// The same for a child that is being started: when that is gone and has not begun to use the
            /// handle, its place is free, also while this is kept. One that `is_lent` comes back then,
            /// unless this was dropped.
            ///
            /// # Errors
            /// As [`token`](Self::token).
            #[cfg(not(loom))]
            pub fn hand_over(
                &mut self,
                to: &crate::Handover,
                is_lent: bool,
            ) -> Result<crate::Token, crate::HandleError> {
                self.place().hand_over(to, is_lent)
            }

            /// In the child of a fork: makes a copy that was never used this process' own now.
            ///
            /// # Errors
            /// As [`begin`](Self::begin).
            pub fn begin_copy(&mut self) -> Result<(), crate::HandleError> {
                self.place().begin_copy()
            }

            /// In the child of a fork: says that it was made for this process, so that [`close`](Self::close)
            /// gives it back at once here, too.
            pub fn give(&mut self) {
                self.place().give();
            }

            /// Whether it was never used here and can't be any more, as its place was given back.
            pub fn is_taken_back(&mut self) -> bool {
                self.place().is_taken_back()
            }

            /// Gives its place back at once, whoever has a copy: a late user finds it closed.
            pub fn close(mut self) {
                self.place().close();
            }
        }
    };
}
use handover_of;

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
    /// Items that may be in flight, in mpsc for each producer.
    pub capacity: usize,
    /// Producers that may be registered at once; 1 makes an spsc channel of an mpsc one. There is
    /// never more than one in spmc.
    pub max_producers: usize,
    /// How wake-ups are ordered, if the system can; `None` for the better one that it has.
    pub barrier: Option<Barrier>,
    /// How to wait.
    pub tuning: Tuning,
    /// Whether it stays open when its last consumer leaves, for the next one. Else it is closed then.
    pub stays_open: bool,
    /// Whether other processes may use it, too.
    pub is_shared: bool,
    /// Whatever those who attach to it have to know; at most 3 KiB.
    pub metadata: Vec<u8>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::Mpsc,
            item_size: 8,
            capacity: 1024,
            max_producers: 1,
            barrier: None,
            tuning: Tuning::default(),
            stays_open: true,
            is_shared: false,
            metadata: Vec::new(),
        }
    }
}

/// What a channel has done so far. Each number is exact once all is quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Messages published.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Times that a thread parked; at several of this channel's events, it counts at each.
    pub waits: u64,
    /// Futex calls made to wake.
    pub wakes: u64,
    /// Waits that ended while spinning.
    pub spins: u64,
    /// Time that threads spent parked, added up.
    pub time_parked: Duration,
    /// Slots of a shared ring that were claimed and never sent.
    pub abandoned: u64,
    /// Handles whose process died, and that were cleared up after.
    pub deaths: u64,
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
    shared: Arc<ChannelState>,
}

/// What a channel and its handles have in common.
#[derive(Debug)]
struct ChannelState {
    memory: Arc<Memory>,
    barrier: Barrier,
    tuning: Tuning,
    turns: Turns,
    wakers: Wakers,
    /// How many registry slots had been taken when this process last looked whom to watch.
    registrations_seen: std::sync::atomic::AtomicU64,
}

impl ChannelState {
    fn event<'a>(&'a self, words: &'a EventWords) -> Event<'a> {
        Event { words, wakers: &self.wakers, reach: self.reach() }
    }

    /// Where those wait that want space: for one slot each, or for as many as their messages need.
    fn space<'a>(&'a self, words: &'a EventWords) -> Point<'a> {
        match self.is_framed() && self.is_ring() {
            true => {
                Point::Broadcast(Broadcast { words, wakers: &self.wakers, reach: self.reach(), since: None })
            }
            false => Point::Event(self.event(words)),
        }
    }

    fn reach(&self) -> Reach {
        if self.memory.is_shared() { Reach::Machine } else { Reach::Process }
    }

    fn arrivals(&self) -> Event<'_> {
        self.event(&self.memory.header().arrivals)
    }

    fn is_framed(&self) -> bool {
        self.memory.geometry().framed == 1
    }

    fn ring(&self) -> Option<&SharedHeader> {
        self.is_ring().then(|| self.memory.shared_header())
    }

    /// What the ring has carried that all share.
    fn counts(&self) -> Option<Counts<'_>> {
        self.is_ring().then(|| Counts::of(&self.memory))
    }

    fn is_ring(&self) -> bool {
        self.memory.geometry().lanes == 0
    }
}

impl Channel {
    /// Makes a channel.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        Self::with(config, Self::turns(config), false)
    }

    /// Makes a channel of messages of any length, each of which takes as many slots of [`FRAME_SLOT`] bytes
    /// as it needs, and one at least. `capacity` counts slots; `item_size` does not matter.
    pub fn of_frames(config: &Config) -> Result<Self, ConfigError> {
        Self::with(&Config { item_size: FRAME_SLOT, ..config.clone() }, Self::turns(config), true)
    }

    fn turns(config: &Config) -> Turns {
        if config.mode == Mode::Spmc { Turns::TheProducers } else { Turns::Nobodys }
    }

    /// Makes a channel of a shared ring whose users take turns, which spares them atomic operations.
    ///
    /// # Safety
    /// All calls on the channel and its handles, and their dropping, must be made under one lock; only
    /// those that wait need not.
    pub unsafe fn under_a_lock(config: &Config) -> Result<Self, ConfigError> {
        Self::with(config, Turns::Everybodys, false)
    }

    fn with(config: &Config, turns: Turns, is_framed: bool) -> Result<Self, ConfigError> {
        let &Config { mode, item_size, capacity, is_shared, .. } = config;
        // A lock of this process keeps no other out.
        let turns = if is_shared && turns == Turns::Everybodys { Turns::Nobodys } else { turns };
        let max_producers = if mode == Mode::Spmc { 1 } else { config.max_producers };
        let is_ring = mode != Mode::Mpsc;
        let mut geometry = Geometry::new(item_size, capacity, max_producers, is_ring, Memory::page())?;
        geometry.has_one_sender = (mode == Mode::Spmc).into();
        geometry.stays_open = config.stays_open.into();
        let geometry = if is_framed { geometry.framed() } else { geometry };
        let namespace = if is_shared { process::namespace().map_err(ConfigError::Unwatchable)? } else { 0 };
        let memory = Memory::new(geometry, is_shared, &config.metadata)?;
        memory.header().namespace.store(namespace, Ordering::Relaxed);
        let barrier = match config.barrier {
            // A fence always works; membarrier only where the system grants it.
            Some(Barrier::Fence) => Barrier::Fence,
            _ if is_shared => Barrier::Fence,
            Some(Barrier::Membarrier) | None => Barrier::detect(),
        };
        Ok(Self::over(memory, barrier, config.tuning, turns))
    }

    fn over(memory: Arc<Memory>, barrier: Barrier, tuning: Tuning, turns: Turns) -> Self {
        let registrations_seen = std::sync::atomic::AtomicU64::new(0);
        let wakers = Wakers::of(&memory);
        Self { shared: Arc::new(ChannelState { memory, barrier, tuning, turns, wakers, registrations_seen }) }
    }

    /// Attaches to a channel that another process made, or this one, to wait there as `tuning` says.
    ///
    /// # Errors
    /// [`ConfigError::Foreign`] if the descriptor's memory is no channel of this build, and
    /// [`ConfigError::Unwatchable`] if this process can't watch those who use it.
    #[cfg(unix)]
    pub fn attach(fd: std::os::fd::OwnedFd, tuning: Tuning) -> Result<Self, ConfigError> {
        let memory = Memory::attach(fd)?;
        let turns = match memory.geometry().has_one_sender {
            1 => Turns::TheProducers,
            _ => Turns::Nobodys,
        };
        let channel = Self::over(memory, Barrier::Fence, tuning, turns);
        channel.check_namespace()?;
        Ok(channel)
    }

    /// Refuses a process that those who use the channel can't watch, nor it them: it may have come there by a
    /// fork.
    ///
    /// # Errors
    /// [`ConfigError::Unwatchable`].
    pub fn check_namespace(&self) -> Result<(), ConfigError> {
        match self.shared.check_namespace() {
            Err(HandleError::Unwatchable(reason)) => Err(ConfigError::Unwatchable(reason)),
            _ => Ok(()),
        }
    }

    /// The memory of a channel that processes share, to be passed to [`attach`](Self::attach).
    #[cfg(unix)]
    pub fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.shared.memory.fd()
    }

    /// Who has a handle of it, in whatever process.
    pub fn participants(&self) -> impl Iterator<Item = Participant> + '_ {
        self.shared.participants()
    }

    /// The processes of the last handles that were cleared up after, the latest first; at most 16.
    pub fn dead(&self) -> Vec<u32> {
        self.shared.dead()
    }

    /// What its maker left for those who attach to it. Who can write to the memory can have changed it.
    pub fn metadata(&self) -> Vec<u8> {
        self.shared.memory.metadata()
    }

    /// Who may use the channel at once.
    pub fn mode(&self) -> Mode {
        let geometry = self.shared.memory.geometry();
        match (geometry.lanes, geometry.has_one_sender) {
            (0, 1) => Mode::Spmc,
            (0, _) => Mode::Mpmc,
            _ => Mode::Mpsc,
        }
    }

    /// Registers a producer, at any time and from any thread.
    ///
    /// # Panics
    /// If the channel is one of frames.
    pub fn producer(&self) -> Result<Producer, HandleError> {
        self.tx()
    }

    /// Registers a producer of a channel of frames.
    ///
    /// # Panics
    /// If the channel is one of items.
    pub fn frame_producer(&self) -> Result<FrameProducer, HandleError> {
        self.tx()
    }

    fn tx<M: Message>(&self) -> Result<Tx<M>, HandleError> {
        self.check::<M>();
        Ok(self.tx_at(Place::take(&self.shared, Role::Producer)?))
    }

    /// Takes a producer over that another process [promised](Tx::token).
    ///
    /// # Errors
    /// [`HandleError::Elsewhere`]: it was taken over before; [`HandleError::TakenBack`]: it was given back.
    ///
    /// # Panics
    /// If the channel is one of other messages.
    pub fn tx_of<M: Message>(&self, token: Token) -> Result<Tx<M>, HandleError> {
        self.check::<M>();
        Ok(self.tx_at(Place::redeem(&self.shared, Role::Producer, token)?))
    }

    fn tx_at<M: Message>(&self, place: Place) -> Tx<M> {
        Tx(match self.shared.is_ring() {
            true => SendingEnd::Mpmc(mpmc::Producer::at(place, &self.shared)),
            false => SendingEnd::Lane(lanes::Producer::at(place, &self.shared)),
        })
    }

    /// Registers a consumer. A channel of lanes has one at a time.
    ///
    /// # Panics
    /// If the channel is one of frames.
    pub fn consumer(&self) -> Result<Consumer, HandleError> {
        self.counted_rx()
    }

    /// Registers a consumer of a channel of frames. A channel of lanes has one at a time.
    ///
    /// # Panics
    /// If the channel is one of items.
    pub fn frame_consumer(&self) -> Result<FrameConsumer, HandleError> {
        self.counted_rx()
    }

    fn counted_rx<M: Message>(&self) -> Result<Rx<M>, HandleError> {
        let mut rx = self.rx()?;
        rx.join();
        Ok(rx)
    }

    /// The same for a caller that may still fail: a consumer that leaves before it has [joined](Rx::join) never was
    /// one of those of which the last closes the channel.
    ///
    /// # Panics
    /// If the channel is one of other messages.
    pub fn rx<M: Message>(&self) -> Result<Rx<M>, HandleError> {
        self.check::<M>();
        self.rx_at(Place::take(&self.shared, Role::Consumer)?)
    }

    /// Takes a consumer over that another process [promised](Rx::token).
    ///
    /// # Errors
    /// [`HandleError::Elsewhere`]: it was taken over before; [`HandleError::TakenBack`]: it was given back.
    ///
    /// # Panics
    /// If the channel is one of other messages.
    pub fn rx_of<M: Message>(&self, token: Token) -> Result<Rx<M>, HandleError> {
        self.check::<M>();
        self.rx_at(Place::redeem(&self.shared, Role::Consumer, token)?)
    }

    fn rx_at<M: Message>(&self, place: Place) -> Result<Rx<M>, HandleError> {
        Ok(Rx(match self.shared.is_ring() {
            true => ReceivingEnd::Mpmc(mpmc::Consumer::at(place, &self.shared)),
            false => ReceivingEnd::Lanes(Box::new(lanes::Consumer::at(place, &self.shared)?)),
        }))
    }

    /// Refuses handles for other messages than the channel's.
    fn check<M: Message>(&self) {
        let what = |is_framed| if is_framed { "frames" } else { "items" };
        assert!(
            self.is_framed() == M::IS_FRAMED,
            "a handle for {} on a channel of {}",
            what(M::IS_FRAMED),
            what(!M::IS_FRAMED)
        );
    }

    /// Whether messages are of any length.
    pub fn is_framed(&self) -> bool {
        self.shared.is_framed()
    }

    /// A way to use a shared ring of items without handles; `None` for lanes, and for the ring of spmc,
    /// whose one producer claims as if nobody else did.
    pub fn port(&self) -> Option<Port> {
        self.port_of()
    }

    /// The same for a ring of frames; `None` where [`port`](Self::port) is, and there for this.
    pub fn frame_port(&self) -> Option<FramePort> {
        self.port_of()
    }

    fn port_of<M: Message>(&self) -> Option<Port<M>> {
        let is_anybodys = self.shared.is_ring() && self.shared.turns != Turns::TheProducers;
        (is_anybodys && self.is_framed() == M::IS_FRAMED).then(|| Port::new(&self.shared))
    }

    /// Refuses what is sent from now on. What was accepted can still be received.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Takes back what [`Sending::arm`] and [`ReceiveSlots::arm`] did with this eventfd, which may then be
    /// closed. It needs no handle: that may be in use, or gone.
    pub fn disarm(&self, waker: i32) {
        self.shared.wakers.remove(waker);
        self.pass_on();
    }

    /// One was woken who may not look: others shall. A lane's two sides have one waiter each.
    fn pass_on(&self) {
        match (self.shared.is_ring(), self.is_framed()) {
            (false, _) => {}
            (true, false) => Port::<Items>::new(&self.shared).pass_all_on(),
            (true, true) => Port::<Frames>::new(&self.shared).pass_all_on(),
        }
    }

    /// Clears up after a process of the model that died.
    #[cfg(loom)]
    pub fn recover(&self, pid: u32) -> bool {
        use crate::process::{DeathObserver, Owner};
        self.shared.recover(Owner(pid.into()))
    }

    /// Whether it was closed because its last consumer has left.
    pub fn is_deserted(&self) -> bool {
        self.shared.registry().is_deserted()
    }

    /// Whether [`close`](Self::close) was called, or the last consumer left one that does not stay open.
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
        // Those who died count until they are cleared up after.
        keep_watch(&self.shared);
        self.shared.memory.header().registered.len()
    }

    /// Bytes of the longest message of a channel of frames.
    pub fn max_len(&self) -> usize {
        self.capacity() * FRAME_SLOT
    }

    /// Messages in flight.
    pub fn len(&self) -> usize {
        // As for `active_producers`: what the dead had claimed counts as well.
        keep_watch(&self.shared);
        match self.shared.counts() {
            Some(ring) => ring.len(),
            None if self.is_framed() => {
                // What was received first: read later it could be more than what was sent.
                let received = self.frames(Lengths::received);
                self.frames(Lengths::sent).saturating_sub(received) as usize
            }
            None => self.shared.lanes().map(|lane| self.shared.len_of(lane)).sum(),
        }
    }

    /// A count of frames, over all lanes.
    fn frames(&self, count: fn(&Lengths) -> u64) -> u64 {
        let lanes = self.shared.lanes().filter_map(|lane| Lengths::new(&self.shared.memory, lane));
        lanes.map(|of| count(&of)).fold(0, u64::wrapping_add)
    }

    /// Slots of a shared ring that were claimed to send and not taken back, for tests of the counters.
    #[cfg(any(feature = "kill-points", loom))]
    pub fn slots_claimed(&self) -> Option<u64> {
        self.shared.counts().map(|ring| ring.claimed())
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
            (0..self.shared.len_of(lane) as u64).for_each(|i| visit(slots.to_write(head.wrapping_add(i), 1)));
        }
    }

    /// Whether no message is in flight.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that the channel takes now: of the pages that were touched, by whichever process.
    /// Not one of the stats, as it asks the system: about all pages, a call for each 4,096 of them.
    ///
    /// # Errors
    ///
    /// What the system says, or `Unsupported` where it can't be asked.
    pub fn resident_bytes(&self) -> std::io::Result<u64> {
        self.shared.memory.resident_bytes()
    }

    /// What the channel has done so far.
    pub fn stats(&self) -> Stats {
        let ChannelState { memory, barrier, .. } = &*self.shared;
        let lanes = || self.shared.lanes().map(|lane| memory.lane_header(lane));
        let ring = self.shared.ring();
        let spaces = || {
            lanes().map(|lane| &lane.space).chain(ring.into_iter().flat_map(|ring| [&ring.space, &ring.line]))
        };
        // What others wrote may be too much for a sum.
        let add = u64::wrapping_add;
        let sum = |field: fn(&Counters) -> u64| {
            let events = std::iter::once(&memory.header().arrivals).chain(spaces());
            events.map(|event| field(&event.counters)).fold(0, add)
        };
        let total = |of_lane: fn(&LaneHeader) -> u64| lanes().map(of_lane).fold(0, add);
        let counts = self.shared.counts();
        let (sent, received) = match &counts {
            Some(ring) => (ring.sent(), ring.received()),
            None if self.is_framed() => (self.frames(Lengths::sent), self.frames(Lengths::received)),
            None => {
                let sent = total(|lane| lane.tail.load(Ordering::Relaxed));
                (sent, total(|lane| lane.head.load(Ordering::Relaxed)))
            }
        };
        Stats {
            sent,
            received,
            waits: sum(|counters| counters.waits.load(Ordering::Relaxed)),
            wakes: sum(|counters| counters.wakes.load(Ordering::Relaxed)),
            spins: sum(|counters| counters.spins.load(Ordering::Relaxed)),
            time_parked: Duration::from_nanos(sum(|counters| counters.parked_ns.load(Ordering::Relaxed))),
            abandoned: counts.map_or(0, |ring| ring.abandoned()),
            deaths: memory.header().deaths.load(Ordering::Relaxed),
            bytes_mapped: memory.bytes_mapped(),
            mirrored: (0..memory.geometry().rings()).all(|ring| memory.is_mirrored(ring) != Some(false)),
            barrier: *barrier,
        }
    }
}
