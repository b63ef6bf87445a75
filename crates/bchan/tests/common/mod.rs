//! What the suites share: messages that tell who sent them, configurations, and deadlines.

#![allow(dead_code, reason = "each suite uses its part")]

use bchan::{Receiving, SendSlots, Sending};
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use bchan::{Barrier, Channel, Config, Consumer, Deadline, Mode, Producer, ReceiveError, SendError};

/// Longer than anything here takes on a busy machine; whoever waits this long waits in vain.
pub const LIMIT: Duration = Duration::from_secs(120);

/// The most producers that a message of one byte can tell apart.
pub const PRODUCERS: usize = 3;

/// What tests of one item size run over.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub mode: Mode,
    pub item_size: usize,
    pub capacity: usize,
    pub max_producers: usize,
    pub barrier: Barrier,
    /// Whether it is in memory that processes share.
    pub is_shared: bool,
}

impl Case {
    pub fn channel(&self) -> Channel {
        let &Self { mode, item_size, capacity, max_producers, barrier, is_shared } = self;
        let barrier = Some(barrier);
        let config =
            Config { mode, item_size, capacity, max_producers, barrier, is_shared, ..Config::default() };
        Channel::new(&config).unwrap()
    }

    /// How many rings there are: producers that can each have `capacity` messages in flight.
    pub fn rings(&self) -> usize {
        if self.mode == Mode::Mpsc { self.max_producers } else { 1 }
    }

    /// How many messages each producer can send when all do.
    pub fn share(&self) -> usize {
        self.capacity * self.rings() / self.max_producers
    }

    /// As many messages as make the ring turn several times, but not so many that it takes long.
    pub fn messages(&self) -> u64 {
        let turns = if self.item_size > 1000 { 2 } else { 5 };
        (self.capacity as u64 * turns).clamp(60, 5000)
    }
}

/// The barriers that this system has.
pub fn barriers() -> Vec<Barrier> {
    let mut all = vec![Barrier::detect(), Barrier::Fence];
    all.dedup();
    all
}

/// The barriers and kinds of memory that this system has.
pub fn places() -> Vec<(Barrier, bool)> {
    let mut all: Vec<_> = barriers().into_iter().map(|barrier| (barrier, false)).collect();
    if CAN_SHARE {
        all.push((Barrier::Fence, true));
    }
    all
}

/// Whether processes can share channels here.
pub const CAN_SHARE: bool = cfg!(all(target_os = "linux", not(feature = "portable")));

/// Runs `clause` in every configuration for items of `N` bytes, each with a time limit.
pub fn each_case<const N: usize>(clause: fn(&Case)) {
    let modes = [(Mode::Mpsc, 1), (Mode::Mpsc, PRODUCERS), (Mode::Spmc, 1), (Mode::Mpmc, PRODUCERS)];
    for (barrier, is_shared) in places() {
        for (mode, max_producers) in modes {
            for capacity in [1, 2, 3, 64, 4096] {
                if N * capacity <= 1 << 24 {
                    let case = Case { mode, item_size: N, capacity, max_producers, barrier, is_shared };
                    println!("{case:?}");
                    in_time(move || clause(&case));
                }
            }
        }
    }
}

/// Message `sequence` of `producer`. A byte tells 3 producers and 64 sequences apart.
pub fn message<const N: usize>(producer: usize, sequence: u64) -> [u8; N] {
    let byte = (producer << 6) as u8 | (sequence % 64) as u8;
    let mut item = [byte; N];
    if N >= 8 {
        item[..8].copy_from_slice(&((producer as u64) << 56 | sequence).to_le_bytes());
    }
    item
}

pub fn messages<const N: usize>(producer: usize, sequences: Range<u64>) -> Vec<[u8; N]> {
    sequences.map(|sequence| message(producer, sequence)).collect()
}

/// Checks that each producer's messages come once and in order.
#[derive(Debug, Default)]
pub struct Order {
    next: [u64; PRODUCERS],
}

impl Order {
    pub fn take<const N: usize>(&mut self, item: &[u8; N]) {
        let producer = usize::from(if N >= 8 { item[7] } else { item[0] >> 6 });
        let expected = message::<N>(producer, self.next[producer]);
        let head = N.min(8);
        assert!(
            *item == expected,
            "message {} of producer {producer}: got {:?}, expected {:?}",
            self.next[producer],
            &item[..head],
            &expected[..head]
        );
        self.next[producer] += 1;
    }

    pub fn take_all<const N: usize>(&mut self, items: &[[u8; N]]) {
        items.iter().for_each(|item| self.take(item));
    }

    /// How many messages of each producer came.
    pub fn counts(&self) -> [u64; PRODUCERS] {
        self.next
    }
}

/// Reads the next `n` messages in place, without releasing them.
pub fn front<const N: usize>(rx: &Consumer, n: usize) -> &[[u8; N]] {
    // SAFETY: `peek` found `n` messages of `N` bytes, and `rx` is borrowed until they are forgotten.
    unsafe { std::slice::from_raw_parts(rx.front(n).cast(), n) }
}

/// Writes the next `n` slots, without committing them.
pub fn fill<const N: usize>(tx: &mut Producer, items: &[[u8; N]]) {
    // SAFETY: `reserve` found that many slots of `N` bytes, and nobody else touches them.
    unsafe { tx.slots(items.len()).cast::<[u8; N]>().copy_from_nonoverlapping(items.as_ptr(), items.len()) };
}

/// Sends message by message, by batches and by claims in turn. Stops at the first error.
pub fn send_mixed<const N: usize>(
    tx: &mut Producer,
    producer: usize,
    sequences: Range<u64>,
) -> Result<(), SendError> {
    let mut next = sequences.start;
    while next < sequences.end {
        let upto = |n: u64| (next + n).min(sequences.end);
        next = match next % 3 {
            0 => {
                tx.send(message::<N>(producer, next))?;
                next + 1
            }
            1 => {
                tx.send_all(&messages::<N>(producer, next..upto(7)))?;
                upto(7)
            }
            _ => {
                wait_for_space(tx)?;
                let n = tx.reserve(5).min((sequences.end - next) as usize);
                fill(tx, &messages::<N>(producer, next..next + n as u64));
                tx.commit(n)?;
                next + n as u64
            }
        };
    }
    Ok(())
}

/// Receives to the end: message by message, by batches and in place in turn.
pub fn receive_mixed<const N: usize>(rx: &mut Consumer, order: &mut Order) {
    let mut buffer = vec![[0_u8; N]; 11];
    let mut turn = 0;
    loop {
        turn += 1;
        match turn % 3 {
            0 => match rx.receive::<[u8; N]>() {
                Ok(item) => order.take(&item),
                Err(stop) => return assert_eq!(stop, ReceiveError::Ended),
            },
            1 => match rx.receive_into(&mut buffer) {
                Ok(n) => order.take_all(&buffer[..n]),
                Err(stop) => return assert_eq!(stop, ReceiveError::Ended),
            },
            _ => {
                let n = rx.peek(9);
                if n > 0 {
                    order.take_all(front::<N>(rx, n));
                    rx.release(n);
                }
            }
        }
    }
}

/// Waits for space, also through signals.
pub fn wait_for_space(tx: &mut Producer) -> Result<(), SendError> {
    loop {
        match tx.wait_for_space(Deadline::NEVER) {
            Err(SendError::Interrupted) => {}
            outcome => return outcome,
        }
    }
}

/// Receives until there is nothing.
pub fn receive_all<const N: usize>(rx: &mut Consumer) -> Vec<[u8; N]> {
    std::iter::from_fn(|| rx.try_receive()).collect()
}

/// Starts a thread with room for large messages on its stack.
pub fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    thread::Builder::new().stack_size(16 << 20).spawn(work).unwrap()
}

/// Runs `work` in a thread of its own and fails if it has not ended in time.
#[track_caller]
pub fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, wait) = channel();
    let worker = spawn(move || {
        let outcome = work();
        drop(done);
        outcome
    });
    // Nothing is ever sent: the worker's end goes when it is done, or has panicked.
    let outcome: Result<(), _> = wait.recv_timeout(LIMIT);
    assert_eq!(outcome, Err(RecvTimeoutError::Disconnected), "not done after {LIMIT:?}");
    worker.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Looks until `happened`.
#[track_caller]
pub fn until(happened: impl Fn() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < LIMIT, "has not happened after {LIMIT:?}");
        thread::yield_now();
    }
}

/// Looks until threads have parked on `channel` so often.
#[track_caller]
pub fn until_parked(channel: &Channel, times: u64) {
    until(|| channel.stats().waits >= times);
}

/// Small random numbers. Source: G. Steele et al., SplitMix (2014).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number less than `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// One of two, true once in `n`.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A generator of its own, for another thread.
    pub fn split(&mut self) -> Self {
        Self(self.next())
    }
}
