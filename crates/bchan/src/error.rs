//! What can go wrong, each with the value and the limit.

use std::fmt;

use crate::process::Unwatchable;

/// Why a channel could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// `capacity` is 0 or above the limit.
    Capacity {
        /// What was asked for.
        value: usize,
        /// The largest capacity there is.
        limit: usize,
    },
    /// `item_size` is 0 or above the limit.
    ItemSize {
        /// What was asked for, in bytes.
        value: usize,
        /// The largest item there is, in bytes.
        limit: usize,
    },
    /// `max_producers` is 0 or above the limit.
    MaxProducers {
        /// What was asked for.
        value: usize,
        /// The largest number there is.
        limit: usize,
    },
    /// One ring would need more memory than the machine has.
    Memory {
        /// Bytes that one ring needs.
        needed: u64,
        /// Bytes of memory that the machine has.
        available: u64,
    },
    /// The metadata is too long.
    Metadata {
        /// Bytes of it.
        value: usize,
        /// The longest metadata there is.
        limit: usize,
    },
    /// Memory that processes share can't be had here.
    NotShareable,
    /// Other processes can't be watched from here.
    Unwatchable(Unwatchable),
    /// What was to be attached is no channel, or not one of this build.
    Foreign {
        /// What is wrong with it.
        reason: String,
    },
    /// The process has no memory left.
    OutOfMemory,
    /// The system refused a descriptor for memory that processes share.
    File {
        /// The number of its error.
        number: i32,
        /// The system's reason.
        reason: String,
    },
    /// The system refused the memory map.
    Map {
        /// Bytes of address space that were asked for.
        bytes: u64,
        /// The system's reason.
        reason: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capacity { value, limit } => {
                write!(f, "capacity must be at least 1 and at most {limit}, got {value}")
            }
            Self::ItemSize { value, limit } => {
                write!(f, "item size must be at least 1 byte and at most {limit}, got {value}")
            }
            Self::MaxProducers { value, limit } => {
                write!(f, "max_producers must be at least 1 and at most {limit}, got {value}")
            }
            Self::Memory { needed, available } => {
                write!(f, "one ring needs {needed} bytes, this machine has {available} bytes of memory")
            }
            Self::Metadata { value, limit } => {
                write!(f, "metadata must be at most {limit} bytes, got {value}")
            }
            Self::OutOfMemory => write!(f, "out of memory"),
            Self::NotShareable => write!(f, "channels between processes need Linux"),
            Self::Unwatchable(reason) => write!(f, "{reason}"),
            Self::Foreign { reason } => write!(f, "not a channel to attach to: {reason}"),
            Self::File { reason, .. } => write!(f, "no memory for processes to share: {reason}"),
            Self::Map { bytes, reason } => {
                write!(f, "no memory map of {bytes} bytes: {reason}")
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// What a sender is told whose messages nobody would receive.
const DESERTED: &str =
    "the channel is closed: its last consumer has left or died; with keep_open=True it waits for the next";

/// Why a handle could not be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandleError {
    /// The channel was closed.
    Closed,
    /// The last consumer has left, which closed the channel.
    Deserted,
    /// The last producer had closed and the consumer was told the end.
    Ended,
    /// All producers' places are taken.
    ProducersTaken {
        /// How many places there are.
        max_producers: usize,
    },
    /// All consumers' places are taken.
    ConsumersTaken {
        /// How many places there are.
        max_consumers: usize,
    },
    /// The process has no memory left.
    OutOfMemory,
    /// A handle that was used, or passed on, can't be passed on.
    Used,
    /// The place belongs to another process.
    Elsewhere {
        /// That process; 0 if it is gone.
        pid: u32,
    },
    /// Other processes can't be watched from here, nor this one by them.
    Unwatchable(Unwatchable),
    /// The handle was never used, and is closed: its maker closed it or has ended, or the process that it was
    /// handed to has ended.
    TakenBack,
}

impl fmt::Display for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory => write!(f, "out of memory"),
            Self::Closed => write!(f, "the channel is closed"),
            Self::Deserted => f.write_str(DESERTED),
            Self::Ended => {
                write!(f, "the channel has ended: its last producer closed and its consumer was told so")
            }
            Self::ProducersTaken { max_producers } => {
                write!(f, "all producers' places are taken (max_producers={max_producers})")
            }
            Self::ConsumersTaken { max_consumers: 1 } => {
                write!(f, "the channel's one consumer is already open")
            }
            Self::ConsumersTaken { max_consumers } => {
                write!(f, "all consumers' places are taken (max_consumers={max_consumers})")
            }
            Self::Used => write!(f, "only a handle that was never used can be passed to another process"),
            Self::Elsewhere { pid: 0 } => {
                write!(f, "this handle is closed: another process had it, and has closed it or ended")
            }
            Self::Elsewhere { pid } => write!(f, "this handle is in use by process {pid}"),
            Self::Unwatchable(reason) => write!(f, "{reason}"),
            Self::TakenBack => write!(
                f,
                "this handle is closed: its maker closed it or has ended, or the process that it was \
                 handed to has ended"
            ),
        }
    }
}

impl std::error::Error for HandleError {}

/// Why a wait stopped without what it waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitError {
    /// The deadline passed.
    TimedOut,
    /// A signal arrived; the caller decides whether to wait on.
    Interrupted,
}

/// Why a call that sends has not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// The channel was closed.
    Closed,
    /// The last consumer has left, which closed the channel.
    Deserted,
    /// As [`WaitError::TimedOut`].
    TimedOut,
    /// As [`WaitError::Interrupted`].
    Interrupted,
}

/// Why a call that receives has received nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiveError {
    /// Nothing more will come: closed, or the last producer left, and all is drained.
    Ended,
    /// As [`WaitError::TimedOut`].
    TimedOut,
    /// As [`WaitError::Interrupted`].
    Interrupted,
}

impl From<WaitError> for SendError {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::TimedOut => Self::TimedOut,
            WaitError::Interrupted => Self::Interrupted,
        }
    }
}

impl From<WaitError> for ReceiveError {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::TimedOut => Self::TimedOut,
            WaitError::Interrupted => Self::Interrupted,
        }
    }
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "the deadline passed",
            Self::Interrupted => "a signal arrived",
        })
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the channel is closed"),
            Self::Deserted => f.write_str(DESERTED),
            Self::TimedOut => WaitError::TimedOut.fmt(f),
            Self::Interrupted => WaitError::Interrupted.fmt(f),
        }
    }
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("nothing more will come"),
            Self::TimedOut => WaitError::TimedOut.fmt(f),
            Self::Interrupted => WaitError::Interrupted.fmt(f),
        }
    }
}

impl std::error::Error for WaitError {}
impl std::error::Error for SendError {}
impl std::error::Error for ReceiveError {}
