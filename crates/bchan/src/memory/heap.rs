//! Plain memory, where there are no maps to be had, and under the model checker.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use crate::error::ConfigError;
use crate::layout::{ChannelHeader, Geometry};

/// Only padding hangs on it here. The model's rings have no padding, so that their slots
/// are soon used again.
pub(super) fn page_size() -> usize {
    if cfg!(loom) { 1 } else { 4096 }
}

/// Not known without the system's help, so only the allocator sets a limit.
pub(super) fn physical_bytes() -> u64 {
    isize::MAX as u64
}

/// Headers and rings of a channel.
#[derive(Debug)]
pub(super) struct Segment {
    /// What the allocator gave; `base` is the first place in it that suits a header.
    allocation: NonNull<u8>,
    layout: Layout,
    base: NonNull<u8>,
    /// Under the model checker, whose processes are threads.
    is_shared: bool,
    #[cfg(loom)]
    model: Model,
}

impl Segment {
    /// Asks for no more alignment than any allocation has: for that the standard library's allocator
    /// gets zeroes from the system, untouched; else it would write them all.
    const ALIGN: usize = align_of::<usize>();

    pub(super) fn new(geometry: &Geometry) -> Result<Self, ConfigError> {
        const HEADER_ALIGN: usize = align_of::<ChannelHeader>();
        let bytes = geometry.total_bytes();
        let refused = |reason: &str| ConfigError::Map { bytes, reason: reason.to_owned() };
        let layout = usize::try_from(bytes.saturating_add(HEADER_ALIGN as u64))
            .ok()
            .and_then(|bytes| Layout::from_size_align(bytes, Self::ALIGN).ok())
            .ok_or_else(|| refused("larger than the address space"))?;
        // SAFETY: the layout's size is at least that of the header.
        let allocation =
            NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(|| refused("out of memory"))?;
        // SAFETY: at most `HEADER_ALIGN - 1` bytes are skipped, and there are that many more.
        let base = unsafe { allocation.add(allocation.align_offset(HEADER_ALIGN)) };
        Ok(Self {
            allocation,
            layout,
            base,
            is_shared: false,
            #[cfg(loom)]
            model: Model::new(base, geometry),
        })
    }

    /// Plain memory belongs to one process.
    pub(super) fn new_shared(geometry: &Geometry) -> Result<Self, ConfigError> {
        match cfg!(loom) {
            true => {
                let mut segment = Self::new(geometry)?;
                segment.is_shared = true;
                Ok(segment)
            }
            false => Err(ConfigError::NotShareable),
        }
    }

    #[cfg(unix)]
    pub(super) fn attach(_fd: std::os::fd::OwnedFd, _least: u64) -> Result<Self, ConfigError> {
        Err(ConfigError::NotShareable)
    }

    pub(super) fn base(&self) -> NonNull<u8> {
        self.base
    }

    #[cfg(unix)]
    pub(super) fn len(&self) -> u64 {
        self.layout.size() as u64
    }

    #[allow(clippy::unused_self, reason = "as with maps")]
    pub(super) fn resident_bytes(&self) -> std::io::Result<u64> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    #[inline]
    pub(super) fn is_shared(&self) -> bool {
        self.is_shared
    }

    #[cfg(unix)]
    pub(super) fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }

    /// Plain memory can't be mapped twice.
    pub(super) fn mirror(&self, _offset: u64, _len: u64) -> Option<Mirror> {
        None
    }

    #[cfg(loom)]
    pub(super) fn cells(&self, ring: usize) -> crate::sync::Arc<Vec<loom::cell::UnsafeCell<()>>> {
        self.model.cells[ring].clone()
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        #[cfg(loom)]
        self.model.drop_headers(self.base);
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.allocation.as_ptr(), self.layout) };
    }
}

/// A ring mapped twice: there is none here.
#[derive(Debug)]
pub(super) enum Mirror {}

impl Mirror {
    pub(super) fn base(&self) -> NonNull<u8> {
        match *self {}
    }
}

/// What the model checker needs: headers made by hand, and a cell to watch each slot.
#[cfg(loom)]
#[derive(Debug)]
struct Model {
    geometry: Geometry,
    cells: Vec<crate::sync::Arc<Vec<loom::cell::UnsafeCell<()>>>>,
}

#[cfg(loom)]
impl Model {
    fn new(base: NonNull<u8>, geometry: &Geometry) -> Self {
        let cells =
            || (0..geometry.slots << geometry.framed).map(|_| loom::cell::UnsafeCell::new(())).collect();
        let cells = (0..geometry.rings()).map(|_| crate::sync::Arc::new(cells())).collect();
        let model = Self { geometry: *geometry, cells };
        // SAFETY: the segment has room for these, at these places.
        unsafe {
            model
                .registry_slots(base)
                .for_each(|registry_slot| registry_slot.write(crate::layout::RegistrySlot::new()));
            model.lanes(base).for_each(|lane| lane.write(crate::layout::LaneHeader::new()));
            if let Some(shared) = model.shared(base) {
                shared.write(crate::layout::SharedHeader::new());
            }
            model.states(base).for_each(|state| state.write(crate::sync::AtomicU8::new(0)));
            model.counters(base).for_each(|counters| counters.write(crate::layout::FrameCounters::new()));
            model.words(base).for_each(|word| word.write(crate::sync::AtomicU64::new(0)));
        }
        model
    }

    fn registry_slots(
        &self,
        base: NonNull<u8>,
    ) -> impl Iterator<Item = NonNull<crate::layout::RegistrySlot>> {
        // SAFETY: as in `Memory::registry_slot`.
        (0..self.geometry.registry_slots as usize).map(move |registry_slot| unsafe {
            base.add(size_of::<ChannelHeader>()).cast().add(registry_slot)
        })
    }

    fn lanes(&self, base: NonNull<u8>) -> impl Iterator<Item = NonNull<crate::layout::LaneHeader>> {
        // SAFETY: as in `Memory::lane_header`.
        (0..self.geometry.lanes as usize)
            .map(move |lane| unsafe { base.add(self.geometry.ring_headers_offset()).cast().add(lane) })
    }

    fn shared(&self, base: NonNull<u8>) -> Option<NonNull<crate::layout::SharedHeader>> {
        // SAFETY: as in `Memory::shared_header`.
        (self.geometry.lanes == 0).then(|| unsafe { base.add(self.geometry.ring_headers_offset()).cast() })
    }

    fn states(&self, base: NonNull<u8>) -> impl Iterator<Item = NonNull<crate::sync::AtomicU8>> {
        let count = if self.geometry.lanes == 0 { self.geometry.lap as usize } else { 0 };
        // SAFETY: as in `Memory::states`.
        (0..count).map(move |slot| unsafe { base.add(self.geometry.states_offset()).cast().add(slot) })
    }

    fn counters(&self, base: NonNull<u8>) -> impl Iterator<Item = NonNull<crate::layout::FrameCounters>> {
        let rings = if self.geometry.framed == 1 { self.geometry.rings() } else { 0 };
        // SAFETY: as in `Memory::lengths`.
        (0..rings).map(move |ring| unsafe { base.add(self.geometry.lengths_offset(ring) as usize).cast() })
    }

    fn words(&self, base: NonNull<u8>) -> impl Iterator<Item = NonNull<crate::sync::AtomicU64>> {
        let lap = self.geometry.lap as usize;
        // SAFETY: the words follow the counters.
        self.counters(base)
            .flat_map(move |counters| (0..lap).map(move |slot| unsafe { counters.add(1).cast().add(slot) }))
    }

    fn drop_headers(&self, base: NonNull<u8>) {
        // SAFETY: written in `new` and by `Memory::new`, dropped once.
        unsafe {
            self.registry_slots(base).for_each(|registry_slot| registry_slot.drop_in_place());
            self.lanes(base).for_each(|lane| lane.drop_in_place());
            if let Some(shared) = self.shared(base) {
                shared.drop_in_place();
            }
            self.states(base).for_each(|state| state.drop_in_place());
            self.words(base).for_each(|word| word.drop_in_place());
            self.counters(base).for_each(|counters| counters.drop_in_place());
            base.cast::<ChannelHeader>().drop_in_place();
        }
    }
}
