//! Small trees of built-ins without `pickle`: several times faster there and back.
//!
//! A value is a byte that tells its type and what follows: numbers eight bytes, strings and bytes a byte
//! for the length, tuples, lists and dicts a byte for how many there are, and those. Whatever else there
//! is in an object, or is larger, has it pickled. So does what could arrive other than it was: lists and
//! dicts inside that something else refers to, too, as they may occur twice.

use pyo3::ffi;
use pyo3::prelude::*;

use super::packed::broken;

const NONE: u8 = b'N';
const FALSE: u8 = b'F';
const TRUE: u8 = b'T';
const INT: u8 = b'i';
const FLOAT: u8 = b'f';
const STR: u8 = b's';
const BYTES: u8 = b'y';
const TUPLE: u8 = b't';
const LIST: u8 = b'l';
const DICT: u8 = b'd';

/// Trees are no deeper, so that a cycle ends.
const DEEPEST: usize = 8;
/// Longer ones are left to `pickle`, which writes what occurs twice once.
const LONGEST: usize = 255;
/// Bytes of a tree at most, but for its last value.
const LARGEST: usize = 1 << 16;

/// Adds `object` to `bytes`; runs no Python code. If not, `bytes` are of no use.
pub(super) fn write(object: &Bound<'_, PyAny>, bytes: &mut Vec<u8>) -> bool {
    // Others may change lists and dicts meanwhile where there is no GIL.
    cfg!(not(Py_GIL_DISABLED)) && {
        let most = bytes.len() + LARGEST;
        // SAFETY: an object, and the GIL is held throughout.
        unsafe { write_value(object.as_ptr(), bytes, most, 0) }
    }
}

/// What has no parts; `None` if the object has.
///
/// # Safety
/// `object` must be one.
#[inline(always)]
unsafe fn write_atom(object: *mut ffi::PyObject, bytes: &mut Vec<u8>) -> Option<bool> {
    // SAFETY: asked for the insides of a class once it is just that.
    unsafe {
        if ffi::PyLong_CheckExact(object) != 0 {
            let mut overflow = 0;
            let value = ffi::PyLong_AsLongLongAndOverflow(object, &raw mut overflow);
            return Some(overflow == 0 && write_word(INT, value.to_ne_bytes(), bytes));
        }
        if ffi::PyUnicode_CheckExact(object) != 0 {
            let mut len = 0;
            let data = ffi::PyUnicode_AsUTF8AndSize(object, &raw mut len);
            if data.is_null() {
                ffi::PyErr_Clear();
                return Some(false);
            }
            return Some(write_bytes(STR, data.cast(), len as usize, bytes));
        }
        if ffi::PyFloat_CheckExact(object) != 0 {
            return Some(write_word(FLOAT, ffi::PyFloat_AS_DOUBLE(object).to_ne_bytes(), bytes));
        }
        if ffi::PyBytes_CheckExact(object) != 0 {
            let len = ffi::Py_SIZE(object) as usize;
            return Some(write_bytes(BYTES, ffi::PyBytes_AS_STRING(object).cast(), len, bytes));
        }
        let atom = match object {
            none if none == ffi::Py_None() => NONE,
            no if no == ffi::Py_False() => FALSE,
            yes if yes == ffi::Py_True() => TRUE,
            _ => return None,
        };
        Some(write_piece(&[atom], bytes))
    }
}

/// # Safety
/// `object` must be one, and nothing else may run that could change it.
unsafe fn write_value(object: *mut ffi::PyObject, bytes: &mut Vec<u8>, most: usize, depth: usize) -> bool {
    // SAFETY: asked for the insides of a class once it is just that; items live as long as what they are in.
    unsafe {
        if let Some(is_written) = write_atom(object, bytes) {
            return is_written;
        }
        if depth == DEEPEST || bytes.len() > most {
            return false;
        }
        if ffi::PyTuple_CheckExact(object) != 0 {
            let n = ffi::PyTuple_GET_SIZE(object);
            return write_len(TUPLE, n, bytes)
                && (0..n).all(|i| write_value(ffi::PyTuple_GET_ITEM(object, i), bytes, most, depth + 1));
        }
        if depth > 0 && ffi::Py_REFCNT(object) != 1 {
            return false;
        }
        if ffi::PyList_CheckExact(object) != 0 {
            let n = ffi::PyList_GET_SIZE(object);
            return write_len(LIST, n, bytes)
                && (0..n).all(|i| write_value(ffi::PyList_GET_ITEM(object, i), bytes, most, depth + 1));
        }
        ffi::PyDict_CheckExact(object) != 0 && write_dict(object, bytes, most, depth)
    }
}

/// # Safety
/// As `write_value`, of a dict.
unsafe fn write_dict(dict: *mut ffi::PyObject, bytes: &mut Vec<u8>, most: usize, depth: usize) -> bool {
    let (mut place, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: as the caller says; keys and values live as long as the dict.
    unsafe {
        if !write_len(DICT, ffi::PyDict_Size(dict), bytes) {
            return false;
        }
        while ffi::PyDict_Next(dict, &raw mut place, &raw mut key, &raw mut value) != 0 {
            // Only strings: they have no other that equals them.
            if ffi::PyUnicode_CheckExact(key) == 0
                || !write_value(key, bytes, most, depth + 1)
                || !write_value(value, bytes, most, depth + 1)
            {
                return false;
            }
        }
    }
    true
}

fn write_len(tag: u8, n: isize, bytes: &mut Vec<u8>) -> bool {
    n as usize <= LONGEST && write_piece(&[tag, n as u8], bytes)
}

#[inline(always)]
fn write_word(tag: u8, word: [u8; 8], bytes: &mut Vec<u8>) -> bool {
    let [a, b, c, d, e, f, g, h] = word;
    write_piece(&[tag, a, b, c, d, e, f, g, h], bytes)
}

/// Adds `piece`; false if there is no memory for it.
#[inline(always)]
fn write_piece(piece: &[u8], bytes: &mut Vec<u8>) -> bool {
    let has_room = bytes.try_reserve(piece.len()).is_ok();
    if has_room {
        bytes.extend_from_slice(piece);
    }
    has_room
}

/// # Safety
/// `data` must be readable for `len` bytes.
unsafe fn write_bytes(tag: u8, data: *const u8, len: usize, bytes: &mut Vec<u8>) -> bool {
    // SAFETY: as the caller says.
    write_len(tag, len as isize, bytes)
        && write_piece(unsafe { std::slice::from_raw_parts(data, len) }, bytes)
}

/// Reads one tree after the other. To make lists may run the garbage collector, and so any Python code.
pub(super) struct Reader<'py, 'a> {
    py: Python<'py>,
    bytes: &'a [u8],
    /// Keys of dicts so far: most often all dicts of a message have the same.
    keys: Vec<(&'a [u8], Bound<'py, PyAny>)>,
}

/// Keys that are remembered.
const MOST_KEYS: usize = 16;

impl<'py, 'a> Reader<'py, 'a> {
    pub(super) fn new(py: Python<'py>, bytes: &'a [u8]) -> Self {
        Self { py, bytes, keys: Vec::new() }
    }

    /// The next tree.
    pub(super) fn read(&mut self) -> PyResult<Bound<'py, PyAny>> {
        self.value(0)
    }

    fn take(&mut self, n: usize) -> PyResult<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(n).ok_or_else(broken)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> PyResult<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn word(&mut self) -> PyResult<[u8; 8]> {
        self.take(8).map(|word| word.try_into().expect("eight bytes"))
    }

    fn string(&mut self) -> PyResult<&'a [u8]> {
        let len = self.byte()?;
        self.take(len.into())
    }

    fn value(&mut self, depth: usize) -> PyResult<Bound<'py, PyAny>> {
        let tag = self.byte()?;
        // SAFETY: each call makes a new object, or sets an exception.
        let object = unsafe {
            match tag {
                INT => ffi::PyLong_FromLongLong(i64::from_ne_bytes(self.word()?)),
                FLOAT => ffi::PyFloat_FromDouble(f64::from_ne_bytes(self.word()?)),
                STR => text(self.string()?),
                BYTES => {
                    let bytes = self.string()?;
                    ffi::PyBytes_FromStringAndSize(bytes.as_ptr().cast(), bytes.len() as isize)
                }
                NONE => ffi::Py_NewRef(ffi::Py_None()),
                FALSE => ffi::Py_NewRef(ffi::Py_False()),
                TRUE => ffi::Py_NewRef(ffi::Py_True()),
                TUPLE | LIST | DICT if depth < DEEPEST => return self.container(tag, depth),
                _ => return Err(broken()),
            }
        };
        // SAFETY: as above.
        unsafe { Bound::from_owned_ptr_or_err(self.py, object) }
    }

    fn container(&mut self, tag: u8, depth: usize) -> PyResult<Bound<'py, PyAny>> {
        let n = isize::from(self.byte()?);
        // SAFETY: a new container with so many empty places, each of them then filled once; until it is,
        // nobody else has it.
        unsafe {
            let new = match tag {
                TUPLE => ffi::PyTuple_New(n),
                LIST => ffi::PyList_New(n),
                _ => ffi::PyDict_New(),
            };
            let new = Bound::from_owned_ptr_or_err(self.py, new)?;
            for i in 0..n {
                let key = if tag == DICT { Some(self.key()?) } else { None };
                let value = self.value(depth + 1)?;
                match key {
                    Some(key) => {
                        if ffi::PyDict_SetItem(new.as_ptr(), key.as_ptr(), value.as_ptr()) != 0 {
                            return Err(PyErr::fetch(self.py));
                        }
                    }
                    None if tag == TUPLE => ffi::PyTuple_SET_ITEM(new.as_ptr(), i, value.into_ptr()),
                    None => ffi::PyList_SET_ITEM(new.as_ptr(), i, value.into_ptr()),
                }
            }
            Ok(new)
        }
    }

    fn key(&mut self) -> PyResult<Bound<'py, PyAny>> {
        if self.byte()? != STR {
            return Err(broken());
        }
        let bytes = self.string()?;
        if let Some((_, key)) = self.keys.iter().find(|(known, _)| *known == bytes) {
            return Ok(key.clone());
        }
        // SAFETY: makes a new object, or sets an exception.
        let key = unsafe { Bound::from_owned_ptr_or_err(self.py, text(bytes))? };
        if self.keys.len() < MOST_KEYS {
            self.keys.push((bytes, key.clone()));
        }
        Ok(key)
    }
}

/// A new string; null, with an exception, if it can't be made.
fn text(bytes: &[u8]) -> *mut ffi::PyObject {
    // SAFETY: a slice is readable.
    unsafe { ffi::PyUnicode_DecodeUTF8(bytes.as_ptr().cast(), bytes.len() as isize, c"strict".as_ptr()) }
}
