//! Every word that threads share: its meaning, its range, who writes it, and where it lies.
//!
//! All of it is `repr(C)`, holds indices and never pointers, and starts valid as zeroes, so that a
//! channel can live in any map, also one that other processes share. Order in memory:
//!
//! ```text
//! lanes:  ChannelHeader | RegistrySlot x slots | LaneHeader x max_producers | (page) ring 0 | ring 1 | ...
//! shared: ChannelHeader | RegistrySlot x slots | SharedHeader | a state for each slot | (page) ring
//! ```
//!
//! A channel of frames has, before its rings, a block of lengths for each: counters, and a word for each
//! slot. Its rings have room for twice the slots, so that a frame that starts near the end runs over into
//! the second half. That needs no map and no agreement: a frame is read where it was written.
//!
//! What different threads write is 128 bytes apart: two cache lines, because the prefetcher of
//! x86-64 fetches them in pairs and aarch64 has machines with lines of 128.

use crate::error::ConfigError;
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, FutexWord};

/// First eight bytes of a channel's memory.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"bchan\0\r\n");
/// Changes whenever anything in this file does.
pub(crate) const VERSION: u32 = 9;

/// Words of a lane bitmap. Two levels of 64 bits find one lane among 4,096.
pub(crate) const BITMAP_WORDS: usize = if cfg!(loom) { 1 } else { 64 };
/// The most producers a channel can register at once.
pub const MAX_PRODUCERS: usize = BITMAP_WORDS * 64;
/// The most consumers that a shared ring can register at once.
pub const MAX_CONSUMERS: usize = if cfg!(loom) { 4 } else { 4096 };
/// The largest item, in bytes.
pub(crate) const MAX_ITEM_SIZE: usize = 1 << 30;
/// Bytes of a slot of a channel of frames.
pub const FRAME_SLOT: usize = 64;
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
    /// Bytes of the metadata.
    pub(crate) metadata_bytes: u64,
}

impl Identity {
    pub(crate) fn of(geometry: Geometry, metadata: &[u8]) -> Self {
        let header_size = size_of::<ChannelHeader>() as u32;
        Self { magic: MAGIC, version: VERSION, header_size, geometry, metadata_bytes: metadata.len() as u64 }
    }
}

impl Identity {
    /// The sizes, if they are those of a channel that this build on this machine can use.
    pub(crate) fn check(&self, page: u64) -> Result<Geometry, String> {
        let ours = Self::of(self.geometry, &[]);
        if self.magic != MAGIC {
            return Err(format!("it starts with {:#018x} instead of {MAGIC:#018x}", self.magic));
        }
        if (self.version, self.header_size) != (ours.version, ours.header_size) {
            return Err(format!(
                "its layout is version {} with a header of {} bytes, this build needs version {} with {} bytes",
                self.version, self.header_size, ours.version, ours.header_size
            ));
        }
        let Geometry {
            item_size, capacity, max_producers, lanes, has_one_sender, stays_open, framed, ..
        } = self.geometry;
        let size = |bytes: u64| bytes.try_into().unwrap_or(usize::MAX);
        let again =
            Geometry::new(size(item_size), size(capacity), size(max_producers), lanes == 0, page as usize);
        let again = again.map_err(|error| error.to_string())?;
        let is_spmc = lanes == 0 && max_producers == 1 && has_one_sender == 1;
        let (has_one_sender, stays_open) = (is_spmc.into(), (stays_open == 1).into());
        let again = Geometry { has_one_sender, stays_open, ..again };
        let again = if framed == 1 { again.framed() } else { again };
        if again == self.geometry { Ok(again) } else { Err("its sizes contradict each other".to_owned()) }
    }
}

/// The sizes of a channel, from which every offset follows.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Bytes of one item, at least 1.
    pub(crate) item_size: u64,
    /// Items that may be in flight in one ring: what was asked for.
    pub(crate) capacity: u64,
    /// Sequences of one lap, and states or lengths of a ring: `capacity` rounded up to a power of two.
    pub(crate) lap: u64,
    /// Slots of one ring: a power of two, at least `lap`.
    pub(crate) slots: u64,
    /// Producers that may be registered at once.
    pub(crate) max_producers: u64,
    /// Lanes, one for each of them; 0 if all share one ring.
    pub(crate) lanes: u64,
    /// 1 if a shared ring has one producer at a time, who claims as if nobody else did.
    pub(crate) has_one_sender: u64,
    /// 1 if the channel stays open when its last consumer leaves.
    pub(crate) stays_open: u64,
    /// Registry slots: of the producers first, then of the consumers.
    pub(crate) registry_slots: u64,
    /// Bytes of a page of the machine that made the channel.
    pub(crate) page: u64,
    /// 1 if a ring's length is whole pages, so that it can be mapped twice in a row.
    pub(crate) mirrorable: u64,
    /// 1 if messages are frames, of one slot or several.
    pub(crate) framed: u64,
}

impl Geometry {
    /// Checks the numbers, rounds the capacity up to a lap, and pads a ring to whole pages if that is cheap.
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
        let capacity = capacity as u64;
        let lap = capacity.next_power_of_two();
        // The fewest slots whose bytes are whole pages: both numbers are powers of two.
        let whole = page >> item_size.trailing_zeros().min(page.trailing_zeros());
        let padded = lap.max(whole);
        let padding = u128::from(padded - lap) * u128::from(item_size);
        let mirrorable = padding <= u128::from(MIRROR_ALLOWANCE);
        Ok(Self {
            item_size,
            capacity,
            lap,
            slots: if mirrorable { padded } else { lap },
            max_producers: max_producers as u64,
            lanes: if is_shared { 0 } else { max_producers as u64 },
            has_one_sender: 0,
            stays_open: 0,
            registry_slots: (max_producers + if is_shared { MAX_CONSUMERS } else { 1 }) as u64,
            page,
            mirrorable: mirrorable.into(),
            framed: 0,
        })
    }

    /// The same for frames, of which the ring's slots are pieces.
    pub(crate) fn framed(self) -> Self {
        Self { slots: self.lap, mirrorable: 0, framed: 1, ..self }
    }

    /// Rings that there are.
    pub(crate) fn rings(&self) -> usize {
        self.lanes.max(1) as usize
    }

    /// Bytes of one ring, whole pages. Saturates, so that a memory limit refuses it.
    pub(crate) fn ring_bytes(&self) -> u64 {
        let slots = self.slots << self.framed;
        self.item_size.saturating_mul(slots).checked_next_multiple_of(self.page).unwrap_or(u64::MAX)
    }

    /// Where `ring` starts, from the start of the memory.
    pub(crate) fn ring_offset(&self, ring: usize) -> u64 {
        self.control_bytes() + self.ring_bytes() * ring as u64
    }

    /// Where the headers of the lanes, or that of the shared ring, start.
    pub(crate) fn ring_headers_offset(&self) -> usize {
        size_of::<ChannelHeader>() + size_of::<RegistrySlot>() * self.registry_slots as usize
    }

    /// Where the states of a shared ring's slots start.
    pub(crate) fn states_offset(&self) -> usize {
        self.ring_headers_offset() + size_of::<SharedHeader>()
    }

    /// Bytes of headers, registry slots and states.
    fn header_bytes(&self) -> u64 {
        match self.lanes {
            0 => self.states_offset() as u64 + self.lap * size_of::<AtomicU8>() as u64,
            lanes => self.ring_headers_offset() as u64 + size_of::<LaneHeader>() as u64 * lanes,
        }
    }

    /// Bytes of the lengths of one ring of frames.
    fn lengths_bytes(&self) -> u64 {
        let words = self.lap * size_of::<AtomicU64>() as u64;
        (size_of::<FrameCounters>() as u64 + words).next_multiple_of(align_of::<FrameCounters>() as u64)
    }

    /// Where the lengths of a ring of frames start, from the start of the memory: counters, then words.
    pub(crate) fn lengths_offset(&self, ring: usize) -> u64 {
        let first = self.header_bytes().next_multiple_of(align_of::<FrameCounters>() as u64);
        first + self.lengths_bytes() * ring as u64
    }

    /// Bytes of headers, registry slots, states and lengths, whole pages.
    pub(crate) fn control_bytes(&self) -> u64 {
        let bytes = match self.framed {
            0 => self.header_bytes(),
            _ => self.lengths_offset(self.rings()),
        };
        bytes.next_multiple_of(self.page)
    }

    /// Bytes of headers and rings. Saturates, so that the map refuses it.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.ring_bytes().saturating_mul(self.rings() as u64).saturating_add(self.control_bytes())
    }
}

/// One bit for each lane, or producer's registry slot, and one bit for each word of them.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Bitmap {
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

/// The place of one producer, or one consumer.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct RegistrySlot {
    /// Who has it: 0 for nobody, else a process; see `process::Owner`.
    pub(crate) owner: AtomicU64,
    /// The process that is about to take it over from its owner, or 0.
    pub(crate) heir: AtomicU64,
    /// By what others notice that its owner executes another program; see `process::Lifeline`. Written by the
    /// owner before it is announced, and not to be relied on: it may be the last owner's.
    pub(crate) lifeline: AtomicU64,
    /// That of the heir.
    pub(crate) heir_lifeline: AtomicU64,
    /// Handles that had it, of channels that processes share, and the flag `registry_slots::CALLED_IN`.
    /// Written by its owner.
    pub(crate) handles: AtomicU64,
    /// 1 if it is that of a registered consumer; 0 if a process keeps it for calls without a handle. Written
    /// by its owner, or by who recovers it.
    pub(crate) consumes: AtomicU64,
    /// What it is claiming, or has claimed, in a ring that processes share. Written by its owner.
    pub(crate) sending: ClaimWords,
    pub(crate) receiving: ClaimWords,
}

/// A claim, from before it is tried until it has been given back, so that others can give it back for
/// one who died; see `ring::claim_words`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct ClaimWords {
    /// First sequence.
    pub(crate) start: AtomicU64,
    /// How many there are, and above that the flags HELD and COUNTED. 0 is no claim.
    pub(crate) span: AtomicU64,
    /// Frames that were sent, or received, from this registry slot.
    pub(crate) frames: Tally,
    /// Slots that were given up from this registry slot, or passed.
    pub(crate) slots: Tally,
}

/// A count that is exact whenever whoever keeps it dies; see `ring::tally`. Only one writes it at a time.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Tally {
    /// With what is under way.
    pub(crate) count: AtomicU64,
    /// Without it.
    pub(crate) sure: AtomicU64,
}

/// Bytes that the maker of a channel may leave for those who attach to it.
pub(crate) const METADATA_BYTES: usize = 3072;

/// How many of the dead are remembered.
pub(crate) const DEAD_KNOWN: usize = if cfg!(loom) { 1 } else { 16 };

/// The head of a channel's memory.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct ChannelHeader {
    pub(crate) identity: Apart<Identity>,
    /// Written once, as the identity.
    pub(crate) metadata: Apart<[u8; METADATA_BYTES]>,
    /// Whether producers ever came, and the channel's end; see `channel::registry` for its states.
    pub(crate) registry: Apart<AtomicU64>,
    /// How often a registry slot was taken; see `channel::registry_slots`. Each process has a thread that
    /// waits here for newcomers.
    pub(crate) registrations: Apart<FutexWord>,
    /// 1 once a process slept here that had no such thread: then newcomers wake all who sleep.
    pub(crate) needs_rousing: Apart<AtomicU64>,
    /// Registry slots of the producers, and of the consumers, that were ever taken: so many at most, from the
    /// first on.
    pub(crate) registry_slots_used: Apart<[AtomicU64; 2]>,
    /// The process that clears up after another, or 0.
    pub(crate) recovery_lock: Apart<AtomicU64>,
    /// Its lifeline; see `RegistrySlot`.
    pub(crate) recovery_lock_lifeline: Apart<AtomicU64>,
    /// The pid namespace of all who use it, by its number in `/proc`; 0 if processes don't share it. Written
    /// once.
    pub(crate) namespace: Apart<AtomicU64>,
    /// Handles whose process died.
    pub(crate) deaths: Apart<AtomicU64>,
    /// The owners of the last of them, in a circle.
    pub(crate) dead: Apart<[AtomicU64; DEAD_KNOWN]>,
    /// Producers' registry slots that are taken. Written by who registers and who leaves.
    pub(crate) registered: Bitmap,
    /// Lanes whose doorbell rang. Set by producers, cleared by the consumer.
    pub(crate) rung: Bitmap,
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
    /// 1 if there may be messages that a consumer claimed and handed back, in slots below `head`. Seldom.
    pub(crate) returned: Apart<AtomicU64>,
    /// By how many fewer than `capacity` messages may be in flight. Written by who asks for it.
    pub(crate) withheld: Apart<AtomicU64>,
    /// Slots that a producer has reserved and may still abandon. This and the next three are of a ring in the
    /// memory of one process: else the registry slots say it, of each the part of its owner.
    pub(crate) reserved: Apart<AtomicU64>,
    /// Messages that a consumer looks at and may still hand back.
    pub(crate) peeked: Apart<AtomicU64>,
    /// Slots that were claimed and never sent.
    pub(crate) abandoned: Apart<AtomicU64>,
    /// Those of them that consumers have passed.
    pub(crate) passed: Apart<AtomicU64>,
    /// Claims, of slots or messages, that were given back so that others may claim them. Only grows.
    pub(crate) given_back: Apart<AtomicU64>,
    /// Producers wait here for space.
    pub(crate) space: EventWords,
    /// Which thread has the turn to wait there, of those that send frames; see `channel::mpmc::turn`.
    pub(crate) turn: Apart<AtomicU64>,
    /// The others stand in line here.
    pub(crate) line: EventWords,
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
    pub(crate) final_tail: AtomicU64,
}

impl Bell {
    /// The consumer watches this lane's tail by itself, or the bell has rung and it will.
    pub(crate) const SILENT: u32 = 1;
    /// The channel was closed.
    pub(crate) const CLOSED: u32 = 2;
}

/// The head of a ring's lengths, in a channel of frames: slots don't tell how many messages there were.
///
/// In a ring that processes share, the registry slots have them instead. Who is alone on its side of the ring
/// writes its counter with plain stores; several add to theirs.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct FrameCounters {
    /// Frames sent so far.
    pub(crate) sent: Apart<LaneTally>,
    /// Frames received so far.
    pub(crate) received: Apart<LaneTally>,
}

/// A tally of a lane: whether what is under way was done shows in the lane's tail, or head.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct LaneTally {
    pub(crate) tally: Tally,
    /// That index, once it is done.
    pub(crate) index: AtomicU64,
}

// The model checker's atomics have no zeroes to start from, so each part can be made by hand.
impl Bitmap {
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
    pub(crate) fn new(geometry: Geometry, metadata: &[u8]) -> Self {
        let mut bytes = [0; METADATA_BYTES];
        bytes[..metadata.len()].copy_from_slice(metadata);
        let zero = || Apart(AtomicU64::new(0));
        Self {
            identity: Apart(Identity::of(geometry, metadata)),
            metadata: Apart(bytes),
            registry: zero(),
            registrations: Apart(FutexWord::new(0)),
            needs_rousing: zero(),
            registry_slots_used: Apart(std::array::from_fn(|_| AtomicU64::new(0))),
            recovery_lock: zero(),
            recovery_lock_lifeline: zero(),
            namespace: zero(),
            deaths: zero(),
            dead: Apart(std::array::from_fn(|_| AtomicU64::new(0))),
            registered: Bitmap::new(),
            rung: Bitmap::new(),
            arrivals: EventWords::new(),
        }
    }
}

#[cfg(loom)]
impl RegistrySlot {
    pub(crate) fn new() -> Self {
        let claim_words = || ClaimWords {
            start: AtomicU64::new(0),
            span: AtomicU64::new(0),
            frames: Tally::new(),
            slots: Tally::new(),
        };
        let zero = || AtomicU64::new(0);
        let (owner, heir, lifeline, heir_lifeline, handles) = (zero(), zero(), zero(), zero(), zero());
        let (consumes, sending, receiving) = (zero(), claim_words(), claim_words());
        Self { owner, heir, lifeline, heir_lifeline, handles, consumes, sending, receiving }
    }
}

#[cfg(loom)]
impl SharedHeader {
    pub(crate) fn new() -> Self {
        let zero = || Apart(AtomicU64::new(0));
        let (tail, head, returned, reserved) = (zero(), zero(), zero(), zero());
        let (withheld, peeked, abandoned, passed) = (zero(), zero(), zero(), zero());
        let (given_back, space, turn, line) = (zero(), EventWords::new(), zero(), EventWords::new());
        Self {
            tail,
            head,
            returned,
            withheld,
            reserved,
            peeked,
            abandoned,
            passed,
            given_back,
            space,
            turn,
            line,
        }
    }
}

#[cfg(loom)]
impl FrameCounters {
    pub(crate) fn new() -> Self {
        let zero = || Apart(LaneTally { tally: Tally::new(), index: AtomicU64::new(0) });
        Self { sent: zero(), received: zero() }
    }
}

#[cfg(loom)]
impl Tally {
    fn new() -> Self {
        Self { count: AtomicU64::new(0), sure: AtomicU64::new(0) }
    }
}

#[cfg(loom)]
impl LaneHeader {
    pub(crate) fn new() -> Self {
        Self {
            tail: Apart(AtomicU64::new(0)),
            head: Apart(AtomicU64::new(0)),
            bell: Apart(Bell { flags: AtomicU32::new(0), final_tail: AtomicU64::new(0) }),
            space: EventWords::new(),
        }
    }
}
