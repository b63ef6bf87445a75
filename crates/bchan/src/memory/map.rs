//! Memory maps of Linux.

use std::hash::{BuildHasher, RandomState};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{NonNull, null_mut};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create};
use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap, mmap_anonymous, mremap_fixed, munmap};

use crate::error::ConfigError;
use crate::layout::Geometry;

/// By what name the maps of channels that processes share stand in `/proc/PID/maps`, after "/memfd:".
pub(crate) const MAP_NAME: &str = "bchan";

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
        Self::of(base, len)
    }

    /// Maps a file, for others to see what is written.
    fn of_file(fd: &OwnedFd, len: u64) -> Result<Self, String> {
        let len = usize::try_from(len).map_err(|error| error.to_string())?;
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new map at an address of the system's choice touches nothing else.
        let base = unsafe { mmap(null_mut(), len, protection, flags | MapFlags::NORESERVE, fd, 0) };
        Self::of(base, len)
    }

    /// Unmaps it but for a half that is a hole by now, or another's map there.
    fn forget_half(self, half: usize, mark: u64) {
        let len = self.len / 2;
        for it in (0..2).filter(|&it| it != half || self.is_marked(it, mark)) {
            // SAFETY: that half lies in the map, and is ours.
            let unmapped = unsafe { munmap(self.base.as_ptr().add(it * len).cast(), len) };
            debug_assert!(unmapped.is_ok(), "munmap: {unmapped:?}");
        }
        std::mem::forget(self);
    }

    /// Writes a mark to the beginning of each half, by which it is known that it is still this map.
    fn mark(&self, mark: u64) {
        for half in 0..2 {
            // SAFETY: inside the map, which is ours and writable.
            unsafe { self.base.as_ptr().add(half * (self.len / 2)).cast::<u64>().write(mark) };
        }
    }

    /// Whether a half has the mark, if there is anything. The system reads it: what is not there is an error.
    fn is_marked(&self, half: usize, mark: u64) -> bool {
        let (mut found, len) = (0_u64, size_of::<u64>());
        let local = libc::iovec { iov_base: (&raw mut found).cast(), iov_len: len };
        let place = self.base.as_ptr().wrapping_add(half * (self.len / 2));
        let remote = libc::iovec { iov_base: place.cast(), iov_len: len };
        // SAFETY: it writes to `found` alone.
        let read =
            unsafe { libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
        read == len as isize && found == mark
    }

    fn of(base: rustix::io::Result<*mut std::ffi::c_void>, len: usize) -> Result<Self, String> {
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

/// Pages that one system call is asked about.
const PAGES_AT_ONCE: usize = 4096;

/// Headers and rings of a channel, once and in a row.
#[derive(Debug)]
pub(super) struct Segment {
    map: Map,
    /// The memory, if other processes may map it, too.
    file: Option<OwnedFd>,
}

impl Segment {
    /// Nobody can make it shorter (or longer) any more: what is mapped stays there.
    const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

    pub(super) fn new(geometry: &Geometry) -> Result<Self, ConfigError> {
        let bytes = geometry.total_bytes();
        Map::new(bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED)
            .map(|map| Self { map, file: None })
            .map_err(|reason| ConfigError::Map { bytes, reason })
    }

    /// Memory without a name, which is gone with the last process that has it.
    pub(super) fn new_shared(geometry: &Geometry) -> Result<Self, ConfigError> {
        let bytes = geometry.total_bytes();
        let refused = |reason: String| ConfigError::Map { bytes, reason };
        let file =
            memfd_create(MAP_NAME, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).map_err(no_file)?;
        let sized = || -> rustix::io::Result<()> {
            rustix::fs::fchmod(&file, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
            ftruncate(&file, bytes)?;
            fcntl_add_seals(&file, Self::SEALS)
        };
        sized().map_err(|error| refused(error.to_string()))?;
        let map = Map::of_file(&file, bytes).map_err(refused)?;
        Ok(Self { map, file: Some(file) })
    }

    /// Maps what another process made, of at least so many bytes.
    pub(super) fn attach(file: OwnedFd, least: u64) -> Result<Self, ConfigError> {
        let foreign = |reason: String| ConfigError::Foreign { reason };
        let bytes = fstat(&file).map_err(|error| foreign(error.to_string()))?.st_size as u64;
        match fcntl_get_seals(&file) {
            Ok(seals) if seals.contains(SealFlags::SHRINK) => {}
            _ => return Err(foreign("it is not sealed, and could be cut while in use".to_owned())),
        }
        if bytes < least {
            return Err(foreign(format!("it has {bytes} bytes, and its header alone needs {least}")));
        }
        let map = Map::of_file(&file, bytes).map_err(|reason| ConfigError::Map { bytes, reason })?;
        Ok(Self { map, file: Some(file) })
    }

    pub(super) fn base(&self) -> NonNull<u8> {
        self.map.base
    }

    pub(super) fn len(&self) -> u64 {
        self.map.len as u64
    }

    /// Bytes of the pages that are in memory, whoever touched them, through whichever map.
    pub(super) fn resident_bytes(&self) -> std::io::Result<u64> {
        let (page, mut flags) = (page_size(), [0; PAGES_AT_ONCE]);
        let mut resident = 0;
        for start in (0..self.map.len).step_by(PAGES_AT_ONCE * page) {
            let len = (self.map.len - start).min(PAGES_AT_ONCE * page);
            // SAFETY: the piece lies inside the map.
            let piece = unsafe { self.map.base.add(start) };
            // SAFETY: it starts at a page, and there is a byte for each of its pages to be told in.
            if unsafe { libc::mincore(piece.as_ptr().cast(), len, flags.as_mut_ptr()) } != 0 {
                return Err(std::io::Error::last_os_error());
            }
            resident += flags[..len.div_ceil(page)].iter().filter(|&flag| flag & 1 == 1).count();
        }
        Ok((resident * page) as u64)
    }

    #[inline]
    pub(super) fn is_shared(&self) -> bool {
        self.file.is_some()
    }

    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }

    /// Maps the bytes `offset .. offset + len` twice in a row. `None` if the system refuses.
    pub(super) fn mirror(&self, offset: u64, len: u64) -> Option<Mirror> {
        let (offset, len) = (usize::try_from(offset).ok()?, usize::try_from(len).ok()?);
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let home = Map::new(len.checked_mul(2)? as u64, protection, MapFlags::PRIVATE).ok()?;
        // As good as random, and not zero: in no other map.
        let mark = RandomState::new().hash_one(offset) | 1;
        home.mark(mark);
        // SAFETY: the ring lies inside the segment.
        let ring = unsafe { self.base().add(offset) };
        for half in 0..2 {
            // SAFETY: `home` has room for two halves of `len`.
            let target = unsafe { home.base.add(half * len) };
            // An old length of 0 leaves the shared map in place and maps its pages once more.
            let (ring, target) = (ring.as_ptr().cast(), target.as_ptr().cast());
            // SAFETY: the target lies in `home`, which is ours and unused.
            if unsafe { mremap_fixed(ring, 0, len, MremapFlags::MAYMOVE, target) }.is_err() {
                // Refused before it took that half away, or after.
                home.forget_half(half, mark);
                return None;
            }
        }
        Some(Mirror(home))
    }
}

/// What is missing but memory, descriptors say.
fn no_file(error: rustix::io::Errno) -> ConfigError {
    let reason = error.to_string();
    let reason = reason.split(" (os error").next().unwrap_or_default().to_owned();
    ConfigError::File { number: error.raw_os_error(), reason }
}

/// A ring mapped twice in a row.
#[derive(Debug)]
pub(super) struct Mirror(Map);

impl Mirror {
    pub(super) fn base(&self) -> NonNull<u8> {
        self.0.base
    }
}
