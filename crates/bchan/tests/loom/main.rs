//! The core under the model checker: every interleaving, and every value that a weak memory
//! could return, within the bounds below.
//!
//! Run it with `scripts/loom.sh`, or
//! `RUSTFLAGS="--cfg loom" cargo test -p bchan --test loom --release`.
//!
//! What differs from the real thing:
//! * loom knows nothing of `membarrier`, so [`Barrier::detect`](bchan::Barrier::detect) gives
//!   `Fence` here, and a full fence stands on the light side. Whether the kernel's barrier is as
//!   good as a fence is for the stress tests to show.
//! * The futex is a lock with a queue of sleepers, each with a condition variable; one who sleeps on
//!   several words stands in several queues. A deadline other than `NEVER` passes at once: of all
//!   moments that one differs most from being woken.
//! * Nobody spins before parking, a lane leaves the ready list after one round, and a channel has 64
//!   places at most. Rings are plain memory, and each slot is watched for a race.
//!
//! A wake-up that is lost shows as a deadlock, which loom reports. Each model allows as many
//! preemptions as its time permits (`LOOM_MAX_PREEMPTIONS` overrides it).
//!
//! loom 0.7 remembers one last access of each word, whoever made it, so a thread that reads a
//! word before writing it hides which others had read it, and some orders are left out. The
//! consumer reads a lane's head when it first looks there. So most models begin with [`warm`],
//! after which each side only reads what the other writes.

#![cfg(loom)]

mod closing;
mod death;
mod frames;
mod frames_death;
mod lane;
mod mpmc;
mod registration;
mod several;
mod termination;
mod waiting;

use bchan::{Receiving, Sending};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bchan::{Channel, Config, Consumer, Deadline, Producer, ReceiveError};

/// Checks `model` with at most `preemptions`.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.max_branches = 10_000;
    let explored = Arc::new(AtomicUsize::new(0));
    let counter = explored.clone();
    builder.check(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        model();
    });
    println!("{} interleavings", explored.load(Ordering::Relaxed));
}

fn channel(capacity: usize, max_producers: usize) -> Channel {
    Channel::new(&Config { item_size: 8, capacity, max_producers, ..Config::default() }).unwrap()
}

/// A producer and a consumer who know each other's lane: it was used, is drained and watched.
fn warm(channel: &Channel) -> (Producer, Consumer) {
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    tx.send(7_u64).unwrap();
    assert_eq!(rx.try_receive(), Some(7_u64));
    (tx, rx)
}

/// One more producer that the consumer of `warm` knows.
fn another(channel: &Channel, rx: &mut Consumer) -> Producer {
    let mut tx = channel.producer().unwrap();
    tx.send(8_u64).unwrap();
    assert_eq!(rx.try_receive(), Some(8_u64));
    tx
}

/// A deadline that passes while one waits, in this model at once.
fn passing() -> Deadline {
    Deadline::after(Duration::ZERO)
}

/// Everything from now to the end, after which nothing more comes.
fn drain(rx: &mut Consumer) -> Vec<u64> {
    let mut seen = Vec::new();
    loop {
        match rx.receive() {
            Ok(item) => seen.push(item),
            Err(stop) => {
                assert_eq!(stop, ReceiveError::Ended);
                assert_eq!(rx.peek(1), 0, "nothing comes after the end");
                return seen;
            }
        }
    }
}

/// Sends each of `items` if there is space just then; tells which were accepted.
fn send_without_waiting(tx: &mut Producer, items: impl IntoIterator<Item = u64>) -> Vec<u64> {
    items.into_iter().filter(|item| tx.try_send(*item) == Ok(true)).collect()
}

/// Sends each of `items`; tells which were accepted.
fn send_until_closed(tx: &mut Producer, items: impl IntoIterator<Item = u64>) -> Vec<u64> {
    items.into_iter().filter(|item| tx.send(*item).is_ok()).collect()
}

/// Those of `items` that came from the producer who numbers from `base`, in hundreds.
fn from_base(items: &[u64], base: u64) -> Vec<u64> {
    items.iter().copied().filter(|item| item / 100 == base / 100).collect()
}
