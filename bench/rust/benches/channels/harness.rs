//! One run: producers send for a while, consumers check what arrives.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::check::{Check, Seen, first_of};
use crate::contenders::{BATCH, Contender, Receiver, Sender};
use crate::machine::Places;
use crate::targets::Target;

/// A producer looks at the clock after this many messages.
const BLOCK: usize = 4_096;

/// What is measured.
pub struct Case {
    pub name: &'static str,
    pub producers: usize,
    pub consumers: usize,
    pub batches: bool,
    /// What bchan is to reach.
    pub targets: &'static [Target],
}

/// Where, and with how much space.
pub struct Setting {
    pub places: Places,
    /// Messages that may be in flight, of each producer or of all, as the contender counts them.
    pub capacity: usize,
    /// How often each contender runs.
    pub runs: usize,
    /// How long the producers of a run send.
    pub duration: Duration,
}

/// Messages received per second; `None` if the contender can't have so many producers or consumers.
///
/// # Panics
/// If a message is lost, doubled or out of order.
pub fn run<C: Contender>(case: &Case, setting: &Setting) -> Option<f64> {
    let (senders, receivers) = C::open(setting.capacity, case.producers, case.consumers)?;
    let places = &setting.places;
    let start = &Barrier::new(case.producers + case.consumers + 1);
    let (ends, seen, elapsed) = thread::scope(|scope| {
        let produce = |(producer, sender)| {
            scope.spawn(move || {
                places.take_producer(case, producer);
                start.wait();
                send(case, producer, sender, setting.duration)
            })
        };
        let consume = |(consumer, receiver)| {
            scope.spawn(move || {
                places.take_consumer(case, consumer);
                start.wait();
                receive(case, receiver)
            })
        };
        let producers: Vec<_> = senders.into_iter().enumerate().map(produce).collect();
        let consumers: Vec<_> = receivers.into_iter().enumerate().map(consume).collect();
        start.wait();
        let started = Instant::now();
        let seen: Seen = consumers.into_iter().map(|thread| thread.join().expect("no panic")).sum();
        let elapsed = started.elapsed();
        let ends: Vec<u64> = producers.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        (ends, seen, elapsed)
    });
    let sent = ends.iter().map(|&end| Seen::all_before(end)).sum();
    assert_eq!(seen, sent, "all that was sent arrived, once");
    let messages: u64 = ends.iter().enumerate().map(|(producer, end)| end - first_of(producer)).sum();
    Some(messages as f64 / elapsed.as_secs_f64())
}

/// Sends for a while; returns the first message that was not sent.
fn send(case: &Case, producer: usize, mut sender: impl Sender, duration: Duration) -> u64 {
    let next = first_of(producer);
    let until = Instant::now() + duration;
    if case.batches { send_batches(&mut sender, next, until) } else { send_each(&mut sender, next, until) }
}

/// Receives until the end; tells what.
fn receive(case: &Case, mut receiver: impl Receiver) -> Seen {
    let mut check = Check::new(case.producers, case.consumers);
    if case.batches {
        receive_batches(&mut receiver, &mut check);
    } else {
        receive_each(&mut receiver, &mut check);
    }
    check.seen()
}

/// Sends one message a call.
fn send_each(sender: &mut impl Sender, mut next: u64, until: Instant) -> u64 {
    while Instant::now() < until {
        for _ in 0..BLOCK {
            sender.send(next);
            next += 1;
        }
    }
    next
}

/// Sends a batch a call.
fn send_batches(sender: &mut impl Sender, mut next: u64, until: Instant) -> u64 {
    let mut batch = [0; BATCH];
    while Instant::now() < until {
        for _ in 0..BLOCK / BATCH {
            batch.iter_mut().zip(next..).for_each(|(slot, value)| *slot = value);
            sender.send_batch(&batch);
            next += BATCH as u64;
        }
    }
    next
}

fn receive_each(receiver: &mut impl Receiver, check: &mut Check) {
    while let Some(value) = receiver.receive() {
        check.one(value);
    }
}

fn receive_batches(receiver: &mut impl Receiver, check: &mut Check) {
    loop {
        let received = receiver.receive_batch();
        if received.is_empty() {
            return;
        }
        received.chunks(BATCH).for_each(|batch| check.batch(batch));
    }
}
