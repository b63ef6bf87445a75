//! Bounded channels between threads: lanes, a shared ring, futex waiting, zero-copy claims.
//!
//! This crate is the core of the Python package `bchan` and knows nothing of Python.
//! Its rooms, each of which imports only from those before it:
//!
//! | room | what it holds |
//! |---|---|
//! | [`error`] | what can go wrong, each with the value and the limit |
//! | `sync` | std's atomics, or loom's under the model checker |
//! | `layout` | every word that threads share, as `repr(C)`, and where it lies |
//! | `memory` | the memory of one channel: the map, and the rings mapped twice |
//! | [`wait`] | barrier, futex, event count, one thread at several events, spinning, wakers |
//! | [`process`] | which process this is, whether another lives, and being told when it dies |
//! | `ring` | the lane, with one writer and one reader, and Vyukov's ring, which all share; frames in both |
//! | [`channel`] | registry slots, producers, consumers, cases of a select, closing, counters |
//!
//! A channel belongs to the process that made it. Its memory is shared with the child of a fork, so a
//! handle must not be used, nor dropped, there.
//!
//! # Example
//! ```
//! use bchan::{Channel, Config, Receiving, Sending};
//!
//! let channel = Channel::new(&Config { item_size: 8, capacity: 1024, max_producers: 2, ..Config::default()
//! })?; let mut tx = channel.producer()?; let mut rx = channel.consumer()?; std::thread::spawn(move ||
//! tx.send_all(&[1_u64, 2, 3])).join().unwrap()?; let mut buffer = [0_u64; 8];
//! assert_eq!(rx.receive_into(&mut buffer)?, 3); assert_eq!(rx.receive::<u64>(),
//! Err(bchan::ReceiveError::Ended));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod channel;
pub mod error;
mod layout;
mod memory;
pub mod process;
mod ring;
mod sync;
pub mod wait;

#[cfg(not(loom))]
pub use channel::Handover;
pub use channel::{
    Case, Channel, ClaimedFrame, Config, Consumer, FrameConsumer, FramePort, FrameProducer, FrameReceiver,
    FrameSender, Frames, Items, Message, Messages, Mode, Participant, Plain, Port, Producer, ReceiveSlots,
    Receiver, Receiving, ReceivingFrames, Room, Rx, SendSlots, Sender, Sending, SendingFrames, Slots, Stats,
    Token, Tx, Woken, has_unused_handles, most_cases, wait_for_any,
};
pub use error::{ConfigError, HandleError, ReceiveError, SendError, WaitError};
pub use layout::{FRAME_SLOT, MAX_CAPACITY, MAX_CONSUMERS, MAX_PRODUCERS};
pub use ring::frames::Frame;
pub use wait::{Barrier, Deadline, Interrupt, Spin, Tuning, WakePolicy};
