//! Memory that runs out: the binding's allocator, and how callers are told.
//!
//! Rust ends the process when an allocation fails. Most of what a call allocates is small and does not grow
//! with the caller's data: a handle, the text of an error, a waker. When the system has no more memory, that
//! comes from a *reserve* in this library's own data. Calls that make something which stays, channels and
//! handles, begin with [`check`]: once the reserve was touched they raise `MemoryError`, with nothing done,
//! until the system has memory again. So the reserve is for what was under way, and is not used up.
//!
//! What grows with the caller's data is never taken from there: it is made by [`list`] and [`push`], which
//! raise. The core does the same with what grows with the number of producers.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyList;

/// Bytes of a block of the reserve.
const BLOCK: usize = 256;
/// Words of 64 blocks each. An allocation has its blocks in one word: 16 KiB at most.
const WORDS: usize = 64;
/// Bytes that the system must have before the reserve counts as whole.
const ENOUGH: usize = 1 << 16;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

static RESERVE: Reserve = Reserve {
    memory: Aligned(UnsafeCell::new([0; BLOCK * 64 * WORDS])),
    taken: [const { AtomicU64::new(0) }; WORDS],
};

/// Whether the reserve was touched, and the system was not seen to have memory since.
static IS_SHORT: AtomicBool = AtomicBool::new(false);

/// The system's allocator, and the reserve.
struct Allocator;

// SAFETY: memory comes from the system's allocator, or from blocks of the reserve that were free, and goes
// back where it came from.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller says.
        let memory = unsafe { System.alloc(layout) };
        if memory.is_null() { RESERVE.take(layout) } else { memory }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller says.
        let memory = unsafe { System.alloc_zeroed(layout) };
        if memory.is_null() { RESERVE.take_zeroed(layout) } else { memory }
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        match RESERVE.has(memory) {
            true => RESERVE.give_back(memory, layout),
            // SAFETY: as the caller says, and it is the system's.
            false => unsafe { System.dealloc(memory, layout) },
        }
    }

    #[inline]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !RESERVE.has(memory) {
            // SAFETY: as the caller says, and it is the system's.
            let grown = unsafe { System.realloc(memory, layout, size) };
            if !grown.is_null() {
                return grown;
            }
        }
        // SAFETY: as the caller says.
        unsafe { move_to_new(memory, layout, size) }
    }
}

/// Moves what could not be made larger where it is. If that fails, it stays.
///
/// # Safety
/// As `GlobalAlloc::realloc`.
#[cold]
unsafe fn move_to_new(memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
    // SAFETY: the size is not 0, and does not overflow when rounded up, as the caller says.
    unsafe {
        let new = ALLOCATOR.alloc(Layout::from_size_align_unchecked(size, layout.align()));
        if !new.is_null() {
            new.copy_from_nonoverlapping(memory, layout.size().min(size));
            ALLOCATOR.dealloc(memory, layout);
        }
        new
    }
}

#[repr(align(4096))]
struct Aligned(UnsafeCell<[u8; BLOCK * 64 * WORDS]>);

/// Memory for those who can't be refused.
struct Reserve {
    memory: Aligned,
    /// A bit for each block that is taken.
    taken: [AtomicU64; WORDS],
}

// SAFETY: a block's memory is touched by whoever has taken it alone.
unsafe impl Sync for Reserve {}

impl Reserve {
    fn base(&self) -> *mut u8 {
        self.memory.0.get().cast()
    }

    #[inline]
    fn has(&self, memory: *mut u8) -> bool {
        memory.addr().wrapping_sub(self.base().addr()) < BLOCK * 64 * WORDS
    }

    /// Blocks that follow each other, as bits from the lowest on; `None` if it takes too many.
    fn blocks(layout: Layout) -> Option<u64> {
        let n = layout.size().div_ceil(BLOCK).max(1);
        let fits = n <= 64 && layout.align() <= BLOCK;
        fits.then(|| u64::MAX >> (64 - n))
    }

    /// Takes blocks that are free; null if there are none.
    #[cold]
    fn take(&self, layout: Layout) -> *mut u8 {
        IS_SHORT.store(true, Ordering::Relaxed);
        let Some(blocks) = Self::blocks(layout) else { return null_mut() };
        for (n, word) in self.taken.iter().enumerate() {
            let mut taken = word.load(Ordering::Relaxed);
            while let Some(first) = (0..=blocks.leading_zeros()).find(|&first| taken & blocks << first == 0) {
                let then = taken | blocks << first;
                // Acquire: pairs with the Release in `give_back`, after whose use this one comes.
                match word.compare_exchange(taken, then, Ordering::Acquire, Ordering::Relaxed) {
                    // SAFETY: inside the reserve.
                    Ok(_) => return unsafe { self.base().add((n * 64 + first as usize) * BLOCK) },
                    Err(now) => taken = now,
                }
            }
        }
        null_mut()
    }

    #[cold]
    fn take_zeroed(&self, layout: Layout) -> *mut u8 {
        let memory = self.take(layout);
        if !memory.is_null() {
            // SAFETY: it is ours, and that long.
            unsafe { memory.write_bytes(0, layout.size()) };
        }
        memory
    }

    #[cold]
    fn give_back(&self, memory: *mut u8, layout: Layout) {
        let block = (memory.addr() - self.base().addr()) / BLOCK;
        let blocks = Self::blocks(layout).unwrap_or(0);
        // Release: done with them; pairs with the Acquire in `take`.
        self.taken[block / 64].fetch_and(!(blocks << (block % 64)), Ordering::Release);
    }
}

/// `MemoryError`, of which CPython keeps some ready.
#[cold]
pub(crate) fn out_of_memory(py: Python<'_>) -> PyErr {
    // SAFETY: attached; it sets the exception, which is taken at once.
    unsafe { ffi::PyErr_NoMemory() };
    PyErr::fetch(py)
}

/// Refuses to make what stays while memory is short.
#[inline]
pub(crate) fn check(py: Python<'_>) -> PyResult<()> {
    if IS_SHORT.load(Ordering::Relaxed) { look_again(py) } else { Ok(()) }
}

#[cold]
fn look_again(py: Python<'_>) -> PyResult<()> {
    let enough = Layout::new::<[u8; ENOUGH]>();
    // SAFETY: it has a size, and goes back at once.
    unsafe {
        let memory = System.alloc(enough);
        if memory.is_null() {
            return Err(out_of_memory(py));
        }
        System.dealloc(memory, enough);
    }
    IS_SHORT.store(false, Ordering::Relaxed);
    Ok(())
}

/// An empty list with room for `n`.
pub(crate) fn list<T>(py: Python<'_>, n: usize) -> PyResult<Vec<T>> {
    let mut list = Vec::new();
    list.try_reserve_exact(n).map_err(|_| out_of_memory(py))?;
    Ok(list)
}

/// Adds `item` to `list`.
#[inline]
pub(crate) fn push<T>(py: Python<'_>, list: &mut Vec<T>, item: T) -> PyResult<()> {
    list.try_reserve(1).map_err(|_| out_of_memory(py))?;
    list.push(item);
    Ok(())
}

/// All of `items`, of which there are at least `n`, unless one of them is an error.
pub(crate) fn collected<T>(
    py: Python<'_>,
    n: usize,
    items: impl IntoIterator<Item = PyResult<T>>,
) -> PyResult<Vec<T>> {
    let mut all = list(py, n)?;
    items.into_iter().try_for_each(|item| push(py, &mut all, item?))?;
    Ok(all)
}

/// A list that is filled while messages are received: the memory for each is there before it is taken.
///
/// To make room may run the garbage collector, and so any Python code.
pub(crate) struct NewList<'py> {
    list: Bound<'py, PyList>,
    room: usize,
}

impl<'py> NewList<'py> {
    pub(crate) fn with_room(py: Python<'py>, room: usize) -> PyResult<Self> {
        let places = isize::try_from(room).map_err(|_| out_of_memory(py))?;
        // SAFETY: makes a list with so many empty places, or sets an exception.
        let list =
            unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyList_New(places))?.cast_into_unchecked() };
        let list = Self { list, room };
        list.set_len(0);
        Ok(list)
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// How many may yet be added.
    pub(crate) fn room(&self) -> usize {
        self.room - self.len()
    }

    pub(crate) fn py(&self) -> Python<'py> {
        self.list.py()
    }

    /// Tells the list how many of its places are filled.
    fn set_len(&self, len: usize) {
        // SAFETY: a list, which nobody else has yet.
        unsafe { (*self.list.as_ptr().cast::<ffi::PyVarObject>()).ob_size = len as isize };
    }

    /// Makes room for `more`.
    pub(crate) fn reserve(&mut self, more: usize) -> PyResult<()> {
        let (len, wanted) = (self.len(), self.len().saturating_add(more));
        if wanted <= self.room {
            return Ok(());
        }
        let larger = Self::with_room(self.list.py(), wanted.max(2 * self.room))?;
        for place in 0..len as isize {
            // SAFETY: places that both have; the reference moves from one to the other.
            unsafe {
                let item = ffi::PyList_GET_ITEM(self.list.as_ptr(), place);
                ffi::PyList_SET_ITEM(larger.list.as_ptr(), place, item);
            }
        }
        larger.set_len(len);
        self.set_len(0);
        *self = larger;
        Ok(())
    }

    /// Adds an item, for which there must be room.
    pub(crate) fn push(&mut self, item: Bound<'py, PyAny>) {
        let len = self.len();
        assert!(len < self.room, "no room was made");
        // SAFETY: an empty place of the list.
        unsafe { ffi::PyList_SET_ITEM(self.list.as_ptr(), len as isize, item.into_ptr()) };
        self.set_len(len + 1);
    }

    pub(crate) fn into_list(self) -> Bound<'py, PyList> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_the_reserve_are_given_out_once_and_come_back() {
        let layout = |size| Layout::from_size_align(size, 8).unwrap();
        let pieces: Vec<_> = (0..WORDS).map(|_| RESERVE.take(layout(64 * BLOCK))).collect();
        assert!(pieces.iter().all(|piece| RESERVE.has(*piece)));
        assert!(RESERVE.take(layout(1)).is_null());
        RESERVE.give_back(pieces[3], layout(64 * BLOCK));
        let small: Vec<_> = (0..64).map(|_| RESERVE.take(layout(BLOCK))).collect();
        assert_eq!(small.iter().collect::<std::collections::HashSet<_>>().len(), 64);
        assert!(RESERVE.take(layout(1)).is_null());
        assert!(RESERVE.take(layout(64 * BLOCK + 1)).is_null());
    }
}
