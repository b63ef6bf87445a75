//! The memory of one channel: its headers, and its rings, each mapped twice in a row.
//!
//! Because the second map of a ring follows the first, slots `n` and `n + slots` are the same
//! bytes, and every claim of up to `slots` slots is one contiguous piece, also across the end.
//! Where the system has no such maps (or under the model checker) the rings are plain memory and
//! a claim may end at the ring's end. Pages are touched only when used.
//!
//! A ring of frames is mapped once, and has twice the bytes instead: see `layout`.

#[cfg(any(loom, feature = "portable", not(target_os = "linux")))]
mod heap;
#[cfg(not(any(loom, feature = "portable", not(target_os = "linux"))))]
mod map;

#[cfg(any(loom, feature = "portable", not(target_os = "linux")))]
use heap as backing;
#[cfg(not(any(loom, feature = "portable", not(target_os = "linux"))))]
use map as backing;

#[cfg(not(any(loom, feature = "portable", not(target_os = "linux"))))]
pub(crate) use map::MAP_NAME;

use std::ptr::NonNull;
use std::sync::OnceLock;

use crate::error::ConfigError;
use crate::layout::{
    ChannelHeader, FrameCounters, Geometry, Identity, LaneHeader, METADATA_BYTES, RegistrySlot, SharedHeader,
};
use crate::sync::{Arc, AtomicU8, AtomicU64, Ordering};
use crate::wait::Asleep;

/// The memory of one channel. Everything in it stays where it is until the last `Arc` is gone.
#[derive(Debug)]
pub(crate) struct Memory {
    geometry: Geometry,
    segment: backing::Segment,
    /// A ring's second home, made when the ring is first used; `None` inside if refused.
    mirrors: Box<[OnceLock<Option<backing::Mirror>>]>,
    /// Who waits there, of this process.
    pub(crate) asleep: Asleep,
}

impl Memory {
    /// Makes the memory of a new channel, for this process alone or to be shared with others.
    pub(crate) fn new(
        geometry: Geometry,
        is_shared: bool,
        metadata: &[u8],
    ) -> Result<Arc<Self>, ConfigError> {
        let available = backing::physical_bytes();
        if geometry.ring_bytes() > available {
            return Err(ConfigError::Memory { needed: geometry.ring_bytes(), available });
        }
        if metadata.len() > METADATA_BYTES {
            return Err(ConfigError::Metadata { value: metadata.len(), limit: METADATA_BYTES });
        }
        let segment = match is_shared {
            true => backing::Segment::new_shared(&geometry)?,
            false => backing::Segment::new(&geometry)?,
        };
        let header = ChannelHeader::new(geometry, metadata);
        // SAFETY: the segment starts with room for a header, aligned to a page, seen by nobody yet.
        unsafe { segment.base().cast::<ChannelHeader>().write(header) };
        Self::of(segment, geometry)
    }

    /// The memory behind a descriptor, which another process may have made. Nothing that is read there is
    /// believed: a channel whose words are wrong gives wrong messages at worst.
    #[cfg(unix)]
    pub(crate) fn attach(fd: std::os::fd::OwnedFd) -> Result<Arc<Self>, ConfigError> {
        let foreign = |reason: String| ConfigError::Foreign { reason };
        let segment = backing::Segment::attach(fd, size_of::<ChannelHeader>() as u64)?;
        // SAFETY: the segment is at least that long. Volatile, as others may write to it.
        let identity: Identity = unsafe { segment.base().cast().read_volatile() };
        let geometry = identity.check(backing::page_size() as u64).map_err(foreign)?;
        match segment.len() {
            len if len == geometry.total_bytes() => Self::of(segment, geometry),
            len => Err(foreign(format!("it has {len} bytes and should have {}", geometry.total_bytes()))),
        }
    }

    fn of(segment: backing::Segment, geometry: Geometry) -> Result<Arc<Self>, ConfigError> {
        let mut mirrors = Vec::new();
        if mirrors.try_reserve_exact(geometry.rings()).is_err() {
            return Err(ConfigError::OutOfMemory);
        }
        mirrors.extend((0..geometry.rings()).map(|_| OnceLock::new()));
        Ok(Arc::new(Self { geometry, segment, mirrors: mirrors.into(), asleep: Asleep::default() }))
    }

    /// Bytes of a page.
    pub(crate) fn page() -> usize {
        backing::page_size()
    }

    /// Whether other processes may use it, too.
    #[inline]
    pub(crate) fn is_shared(&self) -> bool {
        self.segment.is_shared()
    }

    /// What stands for it when it is passed to another process.
    #[cfg(unix)]
    pub(crate) fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.segment.fd()
    }

    /// What its maker left for those who attach to it.
    pub(crate) fn metadata(&self) -> Vec<u8> {
        let header = self.segment.base().cast::<ChannelHeader>().as_ptr();
        // SAFETY: inside the header. Volatile, as others may write to it.
        unsafe {
            let len = (&raw const (*header).identity.0.metadata_bytes).read_volatile();
            let bytes = (&raw const (*header).metadata).cast::<u8>();
            (0..METADATA_BYTES.min(len as usize)).map(|i| bytes.add(i).read_volatile()).collect()
        }
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    #[inline]
    pub(crate) fn header(&self) -> &ChannelHeader {
        // SAFETY: `new` wrote it, and all its parts that change are atomics.
        unsafe { self.segment.base().cast::<ChannelHeader>().as_ref() }
    }

    /// A place of a producer or consumer.
    pub(crate) fn registry_slot(&self, registry_slot: usize) -> &RegistrySlot {
        assert!(registry_slot < self.geometry.registry_slots as usize);
        // SAFETY: the segment has `registry_slots` of them after the header, valid as zeroes, all atomics.
        unsafe {
            self.segment
                .base()
                .add(size_of::<ChannelHeader>())
                .cast::<RegistrySlot>()
                .add(registry_slot)
                .as_ref()
        }
    }

    /// The registry slots that were ever taken, and perhaps more.
    pub(crate) fn registry_slots_used(&self) -> impl Iterator<Item = usize> {
        let of_producers = self.geometry.max_producers as usize;
        let [producers, consumers] = &self.header().registry_slots_used.0;
        let used = |word: &AtomicU64, most: usize| (word.load(Ordering::Acquire) as usize).min(most);
        let consumers = used(consumers, self.geometry.registry_slots as usize - of_producers);
        (0..used(producers, of_producers)).chain(of_producers..of_producers + consumers)
    }

    /// Says so of a registry slot, before anything is written there.
    pub(crate) fn say_registry_slot_used(&self, registry_slot: usize) {
        let of_producers = self.geometry.max_producers as usize;
        let [producers, consumers] = &self.header().registry_slots_used.0;
        let (word, nth) = match registry_slot.checked_sub(of_producers) {
            None => (producers, registry_slot),
            Some(nth) => (consumers, nth),
        };
        word.fetch_max(nth as u64 + 1, Ordering::Release);
    }

    #[inline]
    pub(crate) fn lane_header(&self, lane: usize) -> &LaneHeader {
        assert!(lane < self.geometry.lanes as usize);
        let offset = self.geometry.ring_headers_offset();
        // SAFETY: the segment has `lanes` of them there, valid as zeroes, all atomics.
        unsafe { self.segment.base().add(offset).cast::<LaneHeader>().add(lane).as_ref() }
    }

    pub(crate) fn shared_header(&self) -> &SharedHeader {
        assert!(self.geometry.lanes == 0);
        // SAFETY: the segment has it there, valid as zeroes, all atomics.
        unsafe { self.segment.base().add(self.geometry.ring_headers_offset()).cast().as_ref() }
    }

    /// The states of a shared ring's slots, of which there are `lap`.
    pub(crate) fn states(&self) -> NonNull<AtomicU8> {
        assert!(self.geometry.lanes == 0);
        // SAFETY: the segment has them there, valid as zeroes.
        unsafe { self.segment.base().add(self.geometry.states_offset()).cast() }
    }

    /// The counters of a ring of frames, and behind them the lengths, of which there are `lap`.
    pub(crate) fn lengths(&self, ring: usize) -> NonNull<FrameCounters> {
        assert!(self.geometry.framed == 1 && ring < self.geometry.rings());
        // SAFETY: the segment has them there, valid as zeroes.
        unsafe { self.segment.base().add(self.geometry.lengths_offset(ring) as usize).cast() }
    }

    /// The slots of one ring; makes the ring's second map at the first call.
    pub(crate) fn slots(&self, ring: usize) -> Slots {
        let (offset, bytes) = (self.geometry.ring_offset(ring), self.geometry.ring_bytes());
        let mirror = self.mirrors[ring].get_or_init(|| {
            (self.geometry.mirrorable == 1).then(|| self.segment.mirror(offset, bytes)).flatten()
        });
        let base = match mirror {
            Some(mirror) => mirror.base(),
            // SAFETY: the ring lies inside the segment, whose length is `total_bytes`.
            None => unsafe { self.segment.base().add(offset as usize) },
        };
        Slots {
            base,
            mask: self.geometry.slots - 1,
            item_size: self.geometry.item_size as usize,
            mirrored: mirror.is_some() || self.geometry.framed == 1,
            #[cfg(loom)]
            cells: self.segment.cells(ring),
        }
    }

    /// Whether `ring` is mapped twice; `None` while it was never used.
    pub(crate) fn is_mirrored(&self, ring: usize) -> Option<bool> {
        self.mirrors[ring].get().map(Option::is_some)
    }

    /// Bytes of address space that the channel takes.
    pub(crate) fn bytes_mapped(&self) -> u64 {
        let mirrored = (0..self.mirrors.len()).filter(|&ring| self.is_mirrored(ring) == Some(true));
        self.geometry.total_bytes() + mirrored.count() as u64 * 2 * self.geometry.ring_bytes()
    }

    /// Bytes of memory that it takes now.
    pub(crate) fn resident_bytes(&self) -> std::io::Result<u64> {
        self.segment.resident_bytes()
    }
}

// SAFETY: the raw pointers are to memory that all threads may use through atomics and, for slots,
// by the lanes' protocol; nothing in it belongs to the thread that made it.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

/// The slots of one ring. Valid while the `Memory` that it came from lives.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    base: NonNull<u8>,
    mask: u64,
    item_size: usize,
    /// Mapped twice in a row, or with room for twice the slots.
    mirrored: bool,
    /// Tells the model checker who touches which slot.
    #[cfg(loom)]
    cells: Arc<Vec<loom::cell::UnsafeCell<()>>>,
}

impl Slots {
    #[inline]
    pub(crate) fn item_size(&self) -> usize {
        self.item_size
    }

    /// Whether any slots that follow each other lie in one piece.
    #[inline]
    pub(crate) fn is_mirrored(&self) -> bool {
        self.mirrored
    }

    /// How many of `n` slots from `sequence` on lie in one piece.
    #[inline]
    pub(crate) fn contiguous(&self, sequence: u64, n: usize) -> usize {
        if self.mirrored { n } else { n.min((self.mask + 1 - (sequence & self.mask)) as usize) }
    }

    /// The slots `sequence .. sequence + n`, to write. They must be contiguous, and the caller's.
    #[inline]
    pub(crate) fn to_write(&self, sequence: u64, n: usize) -> *mut u8 {
        #[cfg(loom)]
        (0..n).for_each(|i| self.cell(sequence, i).with_mut(|_| ()));
        let _ = n;
        self.at(sequence)
    }

    /// The slots `sequence .. sequence + n`, to read. They must be contiguous, and the caller's.
    #[inline]
    pub(crate) fn to_read(&self, sequence: u64, n: usize) -> *const u8 {
        #[cfg(loom)]
        (0..n).for_each(|i| self.cell(sequence, i).with(|_| ()));
        let _ = n;
        self.at(sequence)
    }

    #[inline]
    fn at(&self, sequence: u64) -> *mut u8 {
        // SAFETY: masked, so less than `slots`, and the ring has `slots * item_size` bytes.
        unsafe { self.base.as_ptr().add((sequence & self.mask) as usize * self.item_size) }
    }

    #[cfg(loom)]
    fn cell(&self, sequence: u64, i: usize) -> &loom::cell::UnsafeCell<()> {
        &self.cells[(sequence & self.mask) as usize + i]
    }
}
