//! The two rings: one with a single writer and reader, and one that all share; and frames in either.

pub(crate) mod claim_log;
pub(crate) mod frames;
pub(crate) mod lane;
mod tally;
pub(crate) mod vyukov;
