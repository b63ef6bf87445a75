//! The bytes of an item that belong to no field of it: what NumPy leaves there is whatever its memory held
//! before, so they are sent as zeros.

use std::collections::HashMap;
use std::iter::once;
use std::ops::Range;

use numpy::{PyArrayDescr, PyArrayDescrMethods};
use pyo3::prelude::*;

use crate::memory::{collected, push};

/// Bytes that an extended float of x86 uses; in memory it takes more.
const EXTENDED: usize = 10;

/// The gaps of an item of this dtype, in order.
pub(crate) fn gaps(descr: &Bound<'_, PyArrayDescr>) -> PyResult<Vec<Range<usize>>> {
    let (py, mut gaps, mut end) = (descr.py(), Vec::new(), 0);
    let past_the_end = descr.itemsize()..descr.itemsize();
    for used in Used::default().of(descr)?.into_iter().chain(once(past_the_end)) {
        if used.start > end {
            push(py, &mut gaps, end..used.start)?;
        }
        end = used.end;
    }
    Ok(gaps)
}

/// The bytes that are used, by dtype, each looked at once.
#[derive(Default)]
struct Used(HashMap<usize, Vec<Range<usize>>>);

impl Used {
    fn of(&mut self, descr: &Bound<'_, PyArrayDescr>) -> PyResult<Vec<Range<usize>>> {
        let key = descr.as_ptr() as usize;
        if let Some(known) = self.0.get(&key) {
            return copied(descr.py(), known);
        }
        let used = if descr.has_subarray() {
            let base = descr.base();
            repeated(descr.py(), &self.of(&base)?, base.itemsize(), descr.itemsize())?
        } else {
            match descr.names() {
                Some(names) => self.of_fields(descr, &names)?,
                None => of_number(descr)?,
            }
        };
        self.0.insert(key, copied(descr.py(), &used)?);
        Ok(used)
    }

    fn of_fields(
        &mut self,
        descr: &Bound<'_, PyArrayDescr>,
        names: &[String],
    ) -> PyResult<Vec<Range<usize>>> {
        let mut all = Vec::new();
        for name in names {
            let (field, offset) = descr.get_field(name)?;
            for used in self.of(&field)? {
                push(descr.py(), &mut all, used.start + offset..used.end + offset)?;
            }
        }
        all.sort_unstable_by_key(|used| used.start);
        merged(descr.py(), all)
    }
}

fn copied(py: Python<'_>, ranges: &[Range<usize>]) -> PyResult<Vec<Range<usize>>> {
    collected(py, ranges.len(), ranges.iter().cloned().map(Ok))
}

/// What is used of items of `size` bytes in `whole` bytes of them.
fn repeated(py: Python<'_>, used: &[Range<usize>], size: usize, whole: usize) -> PyResult<Vec<Range<usize>>> {
    if size == 0 {
        return Ok(Vec::new());
    }
    let all = (0..whole).step_by(size);
    merged(py, all.flat_map(|at| used.iter().map(move |used| used.start + at..used.end + at)))
}

/// Those in order, with what touches or overlaps made one.
fn merged(py: Python<'_>, all: impl IntoIterator<Item = Range<usize>>) -> PyResult<Vec<Range<usize>>> {
    let mut merged: Vec<Range<usize>> = Vec::new();
    for used in all.into_iter().filter(|used| !used.is_empty()) {
        match merged.last_mut() {
            Some(last) if used.start <= last.end => last.end = last.end.max(used.end),
            _ => push(py, &mut merged, used)?,
        }
    }
    Ok(merged)
}

/// A number, a time, a string.
fn of_number(descr: &Bound<'_, PyArrayDescr>) -> PyResult<Vec<Range<usize>>> {
    let py = descr.py();
    let size = descr.itemsize();
    let part = match descr.kind() {
        b'f' => size,
        b'c' => size / 2,
        _ => 0,
    };
    let is_extended = cfg!(any(target_arch = "x86_64", target_arch = "x86")) && part > 8;
    if !is_extended {
        return merged(py, once(0..size));
    }
    let first = if descr.is_native_byteorder() == Some(false) { part - EXTENDED } else { 0 };
    repeated(py, &merged(py, once(first..first + EXTENDED))?, part, size)
}
