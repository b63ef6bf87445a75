//! Frames of several parts: how many objects, buffers, and the pickle.
//!
//! The head is words of eight bytes: objects in the list (0: one object, and no list), buffers, and the
//! length of each. A buffer begins at the next multiple of 64, so that arrays over it are aligned as the
//! ring is; the pickle is the rest.

use std::ops::Range;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::Raise;

const WORD: usize = size_of::<u64>();
const ALIGNMENT: usize = 64;

/// Where the parts of a frame are.
pub(super) struct Parts {
    /// Objects of the list; 0 if it is one object, and no list.
    pub(super) objects: usize,
    pub(super) buffers: Vec<Range<usize>>,
    /// Where the pickle begins.
    pub(super) pickle: usize,
}

impl Parts {
    /// The parts for so many objects and buffers of these lengths; `None` if no frame is so long.
    pub(super) fn of(objects: usize, lengths: impl ExactSizeIterator<Item = usize>) -> Option<Self> {
        let mut end = lengths.len().checked_add(2)?.checked_mul(WORD)?;
        let mut buffers = Vec::with_capacity(lengths.len());
        for len in lengths {
            let start = end.checked_next_multiple_of(ALIGNMENT)?;
            end = start.checked_add(len)?;
            buffers.push(start..end);
        }
        Some(Self { objects, buffers, pickle: end })
    }

    /// All words of the head.
    pub(super) fn head(&self) -> impl Iterator<Item = [u8; WORD]> {
        let lengths = self.buffers.iter().map(ExactSizeIterator::len);
        [self.objects, self.buffers.len()].into_iter().chain(lengths).map(|n| (n as u64).to_ne_bytes())
    }

    /// The parts of a frame, none of them beyond its end.
    ///
    /// # Safety
    /// `frame` must be readable for `len` bytes. Others may write them meanwhile.
    pub(super) unsafe fn read(frame: *const u8, len: usize) -> PyResult<Self> {
        let word = |n: usize| {
            // Not read through a reference: the memory may be written.
            // SAFETY: only asked for words within the frame.
            unsafe { frame.add(n * WORD).cast::<u64>().read_unaligned() as usize }
        };
        let words = len / WORD;
        if words < 2 {
            return Err(broken());
        }
        let (objects, count) = (word(0), word(1));
        if objects > super::MOST_OBJECTS || count > words - 2 {
            return Err(broken());
        }
        let parts = Self::of(objects, (2..2 + count).map(word));
        parts.filter(|parts| parts.pickle <= len).ok_or_else(broken)
    }

    /// Where the buffers are, all together.
    pub(super) fn all_buffers(&self) -> Range<usize> {
        self.buffers.first().map_or(0..0, |first| first.start..self.pickle)
    }
}

#[cold]
pub(super) fn broken() -> PyErr {
    PyValueError::error("a message of this channel is broken: another process wrote to its memory")
}
