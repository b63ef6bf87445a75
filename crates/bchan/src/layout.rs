//! Every word that threads share: its meaning, its range, who writes it, and where it lies.
//!
//! All of it is `repr(C)`, holds indices and never pointers, and starts valid as zeroes, so that a
//! channel can live in any map, also one that other processes share. Order in memory:
//!
//! ```text
//! lanes:  ChannelHeader | LaneHeader x max_producers | (page) ring 0 | ring 1 | ...
//! shared: ChannelHeader | SharedHeader | a state for each slot | (page) ring
//! ```
//!
//! What different threads write is 128 bytes apart: two cache lines, because the prefetcher of
//! x86-64 fetches them in pairs and aarch64 has machines with lines of 128.

use crate::error::ConfigError;
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, FutexWord};

/// First eight bytes of a channel's memory.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"bchan\0\r\n");
/// Changes whenever anything in this file does.
pub(crate) const VERSION: u32 = 1;

/// Words of a lane bitmap. Two levels of 64 bits find one lane among 4,096.
pub(crate) const BITMAP_WORDS: usize = if cfg!(loom) { 1 } else { 64 };
/// The most producers (or, of a shared ring, consumers) a channel can register at once.
pub const MAX_PRODUCERS: usize = BITMAP_WORDS * 64;
/// The largest item, in bytes.
pub(crate) const MAX_ITEM_SIZE: usize = 1 << 30;
/// The largest capacity: sequences must never meet, whatever the item size.
pub const MAX_CAPACITY: usize = 1 << 40;
/// A ring may grow by this many bytes so that its length is whole pages and it can be mirrored.
const MIRROR_ALLOWANCE: u64 = 1 << 20;

/// A value with 128 bytes of its own.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub(crate) struct Apart<T>(pub(crate) T);

impl<T> std::ops::Deref for Apart<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// What a channel is. Written once, before any other thread can see it.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) magic: u64,
    pub(crate) version: u32,
    /// Size of this header in bytes, so that a build with other padding is noticed.
    pub(crate) header_size: u32,
    pub(crate) geometry: Geometry,
}

impl Identity {
    pub(crate) fn of(geometry: Geometry) -> Self {
        Self { magic: MAGIC, version: VERSION, header_size: size_of::<ChannelHeader>() as u32, geometry }
    }
}

/// The sizes of a channel, from which every offset follows.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Bytes of one item, at least 1.
    pub(crate) item_size: u64,
    /// Items that may be in flight in one ring. A power of two.
    pub(crate) capacity: u64,
    /// Slots of one ring: a power of two, at least `capacity`.
    pub(crate) slots: u64,
    /// Producers that may be registered at once.
    pub(crate) max_producers: u64,
    /// Lanes, one for each of them; 0 if all share one ring.
    pub(crate) lanes: u64,
    /// Bytes of a page of the machine that made the channel.
    pub(crate) page: u64,
    /// 1 if a ring's length is whole pages, so that it can be mapped twice in a row.
    pub(crate) mirrorable: u64,
}

impl Geometry {
    /// Checks the numbers, rounds the capacity up, and pads a ring to whole pages if that is cheap.
    pub(crate) fn new(
        item_size: usize,
        capacity: usize,
        max_producers: usize,
        is_shared: bool,
        page: usize,
    ) -> Result<Self, ConfigError> {
        if !(1..=MAX_ITEM_SIZE).contains(&item_size) {
            return Err(ConfigError::ItemSize { value: item_size, limit: MAX_ITEM_SIZE });
        }
        if !(1..=MAX_CAPACITY).contains(&capacity) {
            return Err(ConfigError::Capacity { value: capacity, limit: MAX_CAPACITY });
        }
        if !(1..=MAX_PRODUCERS).contains(&max_producers) {
            return Err(ConfigError::MaxProducers { value: max_producers, limit: MAX_PRODUCERS });
        }
        let (item_size, page) = (item_size as u64, page as u64);
        let capacity = (capacity as u64).next_power_of_two();
        // The fewest slots whose bytes are whole pages: both numbers are powers of two.
        let whole = page >> item_size.trailing_zeros().min(page.trailing_zeros());
        let padded = capacity.max(whole);
        let padding = u128::from(padded - capacity) * u128::from(item_size);
        let mirrorable = padding <= u128::from(MIRROR_ALLOWANCE);
        Ok(Self {
            item_size,
            capacity,
            slots: if mirrorable { padded } else { capacity },
            max_producers: max_producers as u64,
            lanes: if is_shared { 0 } else { max_producers as u64 },
            page,
            mirrorable: mirrorable.into(),
        })
    }

    /// Rings that there are.
    pub(crate) fn rings(&self) -> usize {
        self.lanes.max(1) as usize
    }

    /// Bytes of one ring, whole pages. Saturates, so that a memory limit refuses it.
    pub(crate) fn ring_bytes(&self) -> u64 {
        self.item_size.saturating_mul(self.slots).checked_next_multiple_of(self.page).unwrap_or(u64::MAX)
    }

    /// Where `ring` starts, from the start of the memory.
    pub(crate) fn ring_offset(&self, ring: usize) -> u64 {
        self.control_bytes() + self.ring_bytes() * ring as u64
    }

    /// Where the states of a shared ring's slots start, from the start of the memory.
    pub(crate) const STATES_OFFSET: usize = size_of::<ChannelHeader>() + size_of::<SharedHeader>();

    /// Bytes of headers and states, whole pages.
    pub(crate) fn control_bytes(&self) -> u64 {
        let bytes = match self.lanes {
            0 => Self::STATES_OFFSET as u64 + self.capacity * size_of::<AtomicU8>() as u64,
            lanes => size_of::<ChannelHeader>() as u64 + size_of::<LaneHeader>() as u64 * lanes,
        };
        bytes.next_multiple_of(self.page)
    }

    /// Bytes of headers and rings. Saturates, so that the map refuses it.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.ring_bytes().saturating_mul(self.rings() as u64).saturating_add(self.control_bytes())
    }
}

/// One bit for each lane, and one bit for each word of them.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct LaneBitmap {
    /// Bit w is set when `words[w]` may be other than 0.
    pub(crate) summary: AtomicU64,
    pub(crate) words: [AtomicU64; BITMAP_WORDS],
}

/// The words of an event count; see `wait::event` for their states.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct EventWords {
    /// How many wait and how many were woken. Written by who waits and by who wakes them; read by
    /// every sender (or receiver), so it has its line to itself.
    pub(crate) state: Apart<FutexWord>,
    pub(crate) counters: Apart<Counters>,
}

/// What waiting cost. Written on slow paths alone; they only grow.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Counters {
    /// Times that a thread parked.
    pub(crate) waits: AtomicU64,
    /// Futex calls made to wake.
    pub(crate) wakes: AtomicU64,
    /// Waits that ended while spinning.
    pub(crate) spins: AtomicU64,
    /// Nanoseconds spent parked.
    pub(crate) parked_ns: AtomicU64,
}

/// The head of a channel's memory.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct ChannelHeader {
    pub(crate) identity: Apart<Identity>,
    /// Registered producers and the channel's end; see `channel::registry` for its states.
    pub(crate) registry: Apart<AtomicU64>,
    /// Consumers registered now.
    pub(crate) consumers: Apart<AtomicU32>,
    /// Lanes that have a producer. Written by who registers and who leaves.
    pub(crate) registered: LaneBitmap,
    /// Lanes whose doorbell rang. Set by producers, cleared by the consumer.
    pub(crate) rung: LaneBitmap,
    /// Consumers wait here for messages.
    pub(crate) arrivals: EventWords,
}

/// The head of a ring that all share; see `ring::vyukov`. All zeroes is a ring never used.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct SharedHeader {
    /// Next sequence that a producer claims, and above it the flag SEALED: no more claims.
    pub(crate) tail: Apart<AtomicU64>,
    /// Next sequence that a consumer claims.
    pub(crate) head: Apart<AtomicU64>,
    /// Messages that a consumer claimed and handed back, in slots below `head`. Seldom other than 0.
    pub(crate) returned: Apart<AtomicU64>,
    /// By how many fewer than `capacity` messages may be in flight. Written by who asks for it.
    pub(crate) withheld: Apart<AtomicU64>,
    /// Slots that a producer has reserved and may still abandon.
    pub(crate) reserved: Apart<AtomicU64>,
    /// Messages that a consumer looks at and may still hand back.
    pub(crate) peeked: Apart<AtomicU64>,
    /// Slots that were claimed and never sent.
    pub(crate) abandoned: Apart<AtomicU64>,
    /// Those of them that consumers have passed.
    pub(crate) passed: Apart<AtomicU64>,
    /// Producers wait here for space.
    pub(crate) space: EventWords,
}

/// The head of one lane. All zeroes is a lane never used: empty, open, its doorbell armed.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct LaneHeader {
    /// Next sequence to write, in `head ..= head + capacity`. Only grows, but for messages
    /// that a closed channel refused. Written by the lane's producer alone.
    pub(crate) tail: Apart<AtomicU64>,
    /// Next sequence to read, in `tail - capacity ..= tail`. Only grows. Written by the
    /// consumer alone.
    pub(crate) head: Apart<AtomicU64>,
    pub(crate) bell: Apart<Bell>,
    /// The lane's producer waits here for space.
    pub(crate) space: EventWords,
}

/// How the consumer and `close` speak to a producer. Read by the producer at each commit,
/// written seldom.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Bell {
    /// The bits SILENT and CLOSED. Without SILENT the next commit must ring. SILENT is set by the
    /// producer that rings and cleared by the consumer; CLOSED is set by `close` and the consumer.
    pub(crate) flags: AtomicU32,
    /// Where a closed lane ends: 0 while undecided, else sequence + 1. Written once, by
    /// whichever comes first: the consumer that found it drained, or the producer whose
    /// commit met `close`.
    pub(crate) verdict: AtomicU64,
}

impl Bell {
    /// The consumer watches this lane's tail by itself, or the bell has rung and it will.
    pub(crate) const SILENT: u32 = 1;
    /// The channel was closed.
    pub(crate) const CLOSED: u32 = 2;
}

// The model checker's atomics have no zeroes to start from, so each part can be made by hand.
impl LaneBitmap {
    pub(crate) fn new() -> Self {
        Self { summary: AtomicU64::new(0), words: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl EventWords {
    pub(crate) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        let counters = Counters { waits: zero(), wakes: zero(), spins: zero(), parked_ns: zero() };
        Self { state: Apart(FutexWord::new(0)), counters: Apart(counters) }
    }
}

impl ChannelHeader {
    pub(crate) fn new(identity: Identity) -> Self {
        Self {
            identity: Apart(identity),
            registry: Apart(AtomicU64::new(0)),
            consumers: Apart(AtomicU32::new(0)),
            registered: LaneBitmap::new(),
            rung: LaneBitmap::new(),
            arrivals: EventWords::new(),
        }
    }
}

#[cfg(loom)]
impl SharedHeader {
    pub(crate) fn new() -> Self {
        let zero = || Apart(AtomicU64::new(0));
        let (tail, head, returned, reserved) = (zero(), zero(), zero(), zero());
        let (withheld, peeked, abandoned, passed) = (zero(), zero(), zero(), zero());
        let space = EventWords::new();
        Self { tail, head, returned, withheld, reserved, peeked, abandoned, passed, space }
    }
}

#[cfg(loom)]
impl LaneHeader {
    pub(crate) fn new() -> Self {
        Self {
            tail: Apart(AtomicU64::new(0)),
            head: Apart(AtomicU64::new(0)),
            bell: Apart(Bell { flags: AtomicU32::new(0), verdict: AtomicU64::new(0) }),
            space: EventWords::new(),
        }
    }
}
