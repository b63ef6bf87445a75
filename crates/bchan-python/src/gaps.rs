//! The bytes of an item that belong to no field of it: what NumPy leaves there is whatever its memory held
//! before, so they are sent as zeros.

use std::collections::HashMap;
use std::iter::once;
use std::ops::Range;

use numpy::{PyArrayDescr, PyArrayDescrMethods};
use pyo3::prelude::*;

/// Bytes that an extended float of x86 uses; in memory it takes more.
const EXTENDED: usize = 10;

/// The gaps of an item of this dtype, in order.
pub(crate) fn gaps(descr: &Bound<'_, PyArrayDescr>) -> PyResult<Box<[Range<usize>]>> {
    let mut gaps = Vec::new();
    let mut end = 0;
    for used in Used::default().of(descr)? {
        if used.start > end {
            gaps.push(end..used.start);
        }
        end = used.end;
    }
    if end < descr.itemsize() {
        gaps.push(end..descr.itemsize());
    }
    Ok(gaps.into())
}

/// The bytes that are used, by dtype, each looked at once.
#[derive(Default)]
struct Used(HashMap<usize, Vec<Range<usize>>>);

impl Used {
    fn of(&mut self, descr: &Bound<'_, PyArrayDescr>) -> PyResult<Vec<Range<usize>>> {
        let key = descr.as_ptr() as usize;
        if let Some(known) = self.0.get(&key) {
            return Ok(known.clone());
        }
        let used = if descr.has_subarray() {
            let base = descr.base();
            repeated(&self.of(&base)?, base.itemsize(), descr.itemsize())
        } else {
            match descr.names() {
                Some(names) => self.of_fields(descr, &names)?,
                None => of_number(descr),
            }
        };
        self.0.insert(key, used.clone());
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
            all.extend(self.of(&field)?.into_iter().map(|used| used.start + offset..used.end + offset));
        }
        all.sort_unstable_by_key(|used| used.start);
        Ok(merged(all))
    }
}

/// What is used of items of `size` bytes in `whole` bytes of them.
fn repeated(used: &[Range<usize>], size: usize, whole: usize) -> Vec<Range<usize>> {
    if size == 0 {
        return Vec::new();
    }
    let all = (0..whole).step_by(size);
    merged(all.flat_map(|at| used.iter().map(move |used| used.start + at..used.end + at)))
}

/// Those in order, with what touches or overlaps made one.
fn merged(all: impl IntoIterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut merged: Vec<Range<usize>> = Vec::new();
    for used in all.into_iter().filter(|used| !used.is_empty()) {
        match merged.last_mut() {
            Some(last) if used.start <= last.end => last.end = last.end.max(used.end),
            _ => merged.push(used),
        }
    }
    merged
}

/// A number, a time, a string.
fn of_number(descr: &Bound<'_, PyArrayDescr>) -> Vec<Range<usize>> {
    let size = descr.itemsize();
    let part = match descr.kind() {
        b'f' => size,
        b'c' => size / 2,
        _ => 0,
    };
    let is_extended = cfg!(any(target_arch = "x86_64", target_arch = "x86")) && part > 8;
    if !is_extended {
        return merged(once(0..size));
    }
    let first = if descr.is_native_byteorder() == Some(false) { part - EXTENDED } else { 0 };
    repeated(&merged(once(first..first + EXTENDED)), part, size)
}
