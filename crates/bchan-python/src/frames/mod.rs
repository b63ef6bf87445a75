//! Channels of bytes: messages of any length, copied from any buffer, or written and read in place.
//!
//! The same rooms as for items: buffers where those have items, what each call does on a handle or on a
//! channel, and the handles' classes.

pub(crate) mod buffer;
pub(crate) mod ends;
pub(crate) mod lease;
pub(crate) mod receiving;
pub(crate) mod sending;
