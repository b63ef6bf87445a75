//! The promises for messages of any length, over every mode.
//!
//! Each clause runs in all four modes, with both places, in small and in large rings. What a message is
//! made of follows from its producer and its number, so each one is checked whole.

#![cfg(not(loom))]

#[path = "../common/mod.rs"]
mod common;

mod claims;
mod closing;
mod delivery;
mod sharing;
mod waiting;

use bchan::{Barrier, Channel, Config, FrameConsumer, Mode, ReceivingFrames};
use common::{PRODUCERS, Random, in_time, places};

/// What a clause runs over.
#[derive(Debug, Clone, Copy)]
struct Case {
    mode: Mode,
    capacity: usize,
    max_producers: usize,
    barrier: Barrier,
    is_shared: bool,
}

impl Case {
    fn channel(&self) -> Channel {
        let &Self { mode, capacity, max_producers, barrier, is_shared } = self;
        let barrier = Some(barrier);
        let config = Config { mode, capacity, max_producers, barrier, is_shared, ..Config::default() };
        Channel::of_frames(&config).unwrap()
    }

    /// Whether several producers and consumers share one ring.
    fn is_mpmc(&self) -> bool {
        self.mode == Mode::Mpmc
    }

    /// Lengths that say most: about a slot, and up to the whole ring.
    fn lengths(&self) -> Vec<usize> {
        let most = self.capacity * 64;
        let lengths = [0, 1, 63, 64, 65, 127, 128, 129, most / 2, most - 1, most];
        lengths.into_iter().filter(|len| *len <= most).collect()
    }
}

/// Runs `clause` in every configuration, each with a time limit.
fn each_case(clause: fn(&Case)) {
    let modes = [(Mode::Mpsc, 1), (Mode::Mpsc, PRODUCERS), (Mode::Spmc, 1), (Mode::Mpmc, PRODUCERS)];
    for (barrier, is_shared) in places() {
        for (mode, max_producers) in modes {
            for capacity in [1, 2, 3, 8, 64] {
                let case = Case { mode, capacity, max_producers, barrier, is_shared };
                println!("{case:?}");
                in_time(move || clause(&case));
            }
        }
    }
}

/// Makes a test of each clause.
macro_rules! over_every_configuration {
    ($($clause:ident)*) => {
        mod each {
            $(
                #[test]
                fn $clause() {
                    crate::each_case(super::$clause);
                }
            )*
        }
    };
}
pub(crate) use over_every_configuration;

/// `len` bytes that only this message has.
fn content(producer: usize, sequence: u64, len: usize) -> Vec<u8> {
    let mut random = Random((producer as u64) << 48 | sequence);
    let words = std::iter::repeat_with(|| random.next().to_le_bytes());
    words.flatten().take(len).collect()
}

/// A length that follows from the message's number: most are short, some fill the ring.
fn length(seed: u64, producer: usize, sequence: u64, most: usize) -> usize {
    let mut random = Random(seed ^ (producer as u64) << 48 ^ sequence << 8);
    let limit = match random.below(10) {
        0 => most,
        1..=3 => most.min(700),
        _ => most.min(130),
    };
    random.below(limit as u64 + 1) as usize
}

/// A message, and its kind, if there is one.
fn receive(rx: &mut FrameConsumer) -> Option<(u8, Vec<u8>)> {
    let mut buffer = Vec::new();
    rx.try_receive(&mut buffer).map(|kind| (kind, buffer))
}

/// The bytes of the message that is claimed.
fn front(rx: &FrameConsumer, len: usize) -> &[u8] {
    // SAFETY: a message of that length is claimed, and `rx` is borrowed until they are forgotten.
    unsafe { std::slice::from_raw_parts(rx.front(), len) }
}

/// Writes to the room that is claimed.
fn fill(tx: &mut impl bchan::SendingFrames, bytes: &[u8]) {
    // SAFETY: room for that many bytes is ours.
    unsafe { tx.room().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
}

/// A seed for what is random here, printed for the case that it fails: `BCHAN_SEED` repeats it.
fn seed() -> u64 {
    let seed = std::env::var("BCHAN_SEED")
        .ok()
        .map_or(u64::from(std::process::id()), |seed| seed.parse().expect("BCHAN_SEED is a number"));
    println!("BCHAN_SEED={seed}");
    seed
}
