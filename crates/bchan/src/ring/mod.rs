//! The two rings: one with a single writer and reader, and one that all share.

pub(crate) mod lane;
pub(crate) mod vyukov;
