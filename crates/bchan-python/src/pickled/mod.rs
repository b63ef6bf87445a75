//! Channels of objects for any process: small built-ins as they are, all others pickled, in frames.
//!
//! | kind of frame | bytes |
//! |---|---|
//! | `NONE`, `FALSE`, `TRUE` | none |
//! | `INT`, `FLOAT` | 8, of an `i64` or `f64` |
//! | `STR`, `BYTES` | UTF-8; the bytes |
//! | `PICKLE` | a pickle of one object |
//! | `PACKED` | a head (see `packed`), large buffers at multiples of 64, and a pickle: of one object, or of a list of up to 255 |
//! | `PLAIN` | a small tree of built-ins; see `plain` |
//! | `PLAINS` | a head, and up to 255 of those |
//!
//! To pickle and to unpickle may run any Python code. The first comes before anything is claimed, the
//! second after the message was released; but a registered consumer keeps a list claimed while it hands
//! its objects out, and says in the frame's progress how far it came. Unpickling trusts whoever can write
//! to the memory.

pub(crate) mod consumer;
mod decoding;
mod encoding;
mod packed;
mod pickle;
mod plain;
pub(crate) mod receiving;
pub(crate) mod sending;

const NONE: u8 = 1;
const FALSE: u8 = 2;
const TRUE: u8 = 3;
const INT: u8 = 4;
const FLOAT: u8 = 5;
const STR: u8 = 6;
const BYTES: u8 = 7;
const PICKLE: u8 = 8;
const PACKED: u8 = 9;
const PLAIN: u8 = 10;
const PLAINS: u8 = 11;

/// Objects in one frame at most: the progress has a byte.
const MOST_OBJECTS: usize = 255;
