//! The memory of one channel: its headers, and its rings, each mapped twice in a row.
//!
//! Because the second map of a ring follows the first, slots `n` and `n + slots` are the same
//! bytes, and every claim of up to `slots` slots is one contiguous piece, also across the end.
//! Where the system has no such maps (or under the model checker) the rings are plain memory and
//! a claim may end at the ring's end. Pages are touched only when used.

#[cfg(any(loom, feature = "portable", not(target_os = "linux")))]
mod heap;
#[cfg(not(any(loom, feature = "portable", not(target_os = "linux"))))]
mod map;

#[cfg(any(loom, feature = "portable", not(target_os = "linux")))]
use heap as backing;
#[cfg(not(any(loom, feature = "portable", not(target_os = "linux"))))]
use map as backing;

use std::ptr::NonNull;
use std::sync::OnceLock;

use crate::error::ConfigError;
use crate::layout::{ChannelHeader, Geometry, Identity, LaneHeader, SharedHeader};
use crate::sync::{Arc, AtomicU8};

/// The memory of one channel. Everything in it stays where it is until the last `Arc` is gone.
#[derive(Debug)]
pub(crate) struct Memory {
    geometry: Geometry,
    segment: backing::Segment,
    /// A ring's second home, made when the ring is first used; `None` inside if refused.
    mirrors: Box<[OnceLock<Option<backing::Mirror>>]>,
}

impl Memory {
    pub(crate) fn new(
        item_size: usize,
        capacity: usize,
        max_producers: usize,
        is_shared: bool,
    ) -> Result<Arc<Self>, ConfigError> {
        let geometry = Geometry::new(item_size, capacity, max_producers, is_shared, backing::page_size())?;
        let available = backing::physical_bytes();
        if geometry.ring_bytes() > available {
            return Err(ConfigError::Memory { needed: geometry.ring_bytes(), available });
        }
        let segment = backing::Segment::new(&geometry)?;
        let header = ChannelHeader::new(Identity::of(geometry));
        // SAFETY: the segment starts with room for a header, aligned to a page, seen by nobody yet.
        unsafe { segment.base().cast::<ChannelHeader>().write(header) };
        let mirrors = (0..geometry.rings()).map(|_| OnceLock::new()).collect();
        Ok(Arc::new(Self { geometry, segment, mirrors }))
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    #[inline]
    pub(crate) fn header(&self) -> &ChannelHeader {
        // SAFETY: `new` wrote it, and all its parts that change are atomics.
        unsafe { self.segment.base().cast::<ChannelHeader>().as_ref() }
    }

    #[inline]
    pub(crate) fn lane_header(&self, lane: usize) -> &LaneHeader {
        assert!(lane < self.geometry.lanes as usize);
        // SAFETY: the segment has `lanes` of them after the header, valid as zeroes, all atomics.
        unsafe { self.segment.base().add(size_of::<ChannelHeader>()).cast::<LaneHeader>().add(lane).as_ref() }
    }

    pub(crate) fn shared_header(&self) -> &SharedHeader {
        assert!(self.geometry.lanes == 0);
        // SAFETY: the segment has it after the header, valid as zeroes, all atomics.
        unsafe { self.segment.base().add(size_of::<ChannelHeader>()).cast().as_ref() }
    }

    /// The states of a shared ring's slots, of which there are `capacity`.
    pub(crate) fn states(&self) -> NonNull<AtomicU8> {
        assert!(self.geometry.lanes == 0);
        // SAFETY: the segment has them there, valid as zeroes.
        unsafe { self.segment.base().add(Geometry::STATES_OFFSET).cast() }
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
            mirrored: mirror.is_some(),
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
        (0..n).for_each(|i| self.cell(sequence + i as u64).with_mut(|_| ()));
        let _ = n;
        self.at(sequence)
    }

    /// The slots `sequence .. sequence + n`, to read. They must be contiguous, and the caller's.
    #[inline]
    pub(crate) fn to_read(&self, sequence: u64, n: usize) -> *const u8 {
        #[cfg(loom)]
        (0..n).for_each(|i| self.cell(sequence + i as u64).with(|_| ()));
        let _ = n;
        self.at(sequence)
    }

    #[inline]
    fn at(&self, sequence: u64) -> *mut u8 {
        // SAFETY: masked, so less than `slots`, and the ring has `slots * item_size` bytes.
        unsafe { self.base.as_ptr().add((sequence & self.mask) as usize * self.item_size) }
    }

    #[cfg(loom)]
    fn cell(&self, sequence: u64) -> &loom::cell::UnsafeCell<()> {
        &self.cells[(sequence & self.mask) as usize]
    }
}
