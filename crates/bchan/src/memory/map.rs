//! Memory maps of Linux.

use std::ptr::{NonNull, null_mut};

use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap_anonymous, mremap_fixed, munmap};

use crate::error::ConfigError;
use crate::layout::Geometry;

pub(super) fn page_size() -> usize {
    rustix::param::page_size()
}

/// Bytes of memory that this machine has, swap included.
pub(super) fn physical_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    #[allow(clippy::useless_conversion, reason = "the fields' width is the system's")]
    let pages = u64::from(info.totalram) + u64::from(info.totalswap);
    pages.saturating_mul(info.mem_unit.into())
}

/// One map, unmapped when dropped.
#[derive(Debug)]
struct Map {
    base: NonNull<u8>,
    len: usize,
}

impl Map {
    fn new(len: u64, protection: ProtFlags, flags: MapFlags) -> Result<Self, String> {
        let len = usize::try_from(len).map_err(|error| error.to_string())?;
        // SAFETY: a new anonymous map at an address of the system's choice touches nothing else.
        let base = unsafe { mmap_anonymous(null_mut(), len, protection, flags | MapFlags::NORESERVE) };
        let base = base.map_err(|error| error.to_string())?;
        let base = NonNull::new(base.cast()).ok_or("the map starts at 0")?;
        Ok(Self { base, len })
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the map is ours alone, and the owner of this value no longer uses it.
        let unmapped = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "munmap: {unmapped:?}");
    }
}

/// Headers and rings of a channel, once and in a row.
#[derive(Debug)]
pub(super) struct Segment(Map);

impl Segment {
    pub(super) fn new(geometry: &Geometry) -> Result<Self, ConfigError> {
        let bytes = geometry.total_bytes();
        Map::new(bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED)
            .map(Self)
            .map_err(|reason| ConfigError::Map { bytes, reason })
    }

    pub(super) fn base(&self) -> NonNull<u8> {
        self.0.base
    }

    /// Maps the bytes `offset .. offset + len` twice in a row. `None` if the system refuses.
    pub(super) fn mirror(&self, offset: u64, len: u64) -> Option<Mirror> {
        let (offset, len) = (usize::try_from(offset).ok()?, usize::try_from(len).ok()?);
        let home = Map::new(len.checked_mul(2)? as u64, ProtFlags::empty(), MapFlags::PRIVATE).ok()?;
        // SAFETY: the ring lies inside the segment.
        let ring = unsafe { self.base().add(offset) };
        for half in 0..2 {
            // SAFETY: `home` has room for two halves of `len`.
            let target = unsafe { home.base.add(half * len) };
            // An old length of 0 leaves the shared map in place and maps its pages once more.
            let (ring, target) = (ring.as_ptr().cast(), target.as_ptr().cast());
            // SAFETY: the target lies in `home`, which is ours and unused.
            if unsafe { mremap_fixed(ring, 0, len, MremapFlags::MAYMOVE, target) }.is_err() {
                // The call may have left a hole, where another's map may be by now: don't unmap it.
                std::mem::forget(home);
                return None;
            }
        }
        Some(Mirror(home))
    }
}

/// A ring mapped twice in a row.
#[derive(Debug)]
pub(super) struct Mirror(Map);

impl Mirror {
    pub(super) fn base(&self) -> NonNull<u8> {
        self.0.base
    }
}
