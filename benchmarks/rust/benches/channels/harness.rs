//! One run: producers send for a while, the consumer checks what arrives.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::check::{Check, first_of};
use crate::contenders::{BATCH, Contender, Receiver, Sender};
use crate::machine::Places;

/// Messages that may be in flight, of each producer or of all, as the contender counts them.
pub const CAPACITY: usize = 65_536;
/// How long the producers of a run send.
pub const DURATION: Duration = Duration::from_millis(1_000);
/// A producer looks at the clock after this many messages.
const BLOCK: usize = 4_096;

/// What is measured.
pub struct Case {
    pub name: &'static str,
    pub producers: usize,
    pub batches: bool,
}

/// Messages received per second; `None` if the contender can't have so many producers.
///
/// # Panics
/// If a message is lost, doubled or out of order.
pub fn run<C: Contender>(case: &Case, places: &Places) -> Option<f64> {
    let (senders, receiver) = C::open(CAPACITY, case.producers)?;
    places.take_consumer();
    let start = &Barrier::new(case.producers + 1);
    let (sent, received, elapsed) = thread::scope(|scope| {
        let produce = |(producer, sender)| scope.spawn(move || send(case, places, start, producer, sender));
        let producers: Vec<_> = senders.into_iter().enumerate().map(produce).collect();
        start.wait();
        let started = Instant::now();
        let received = receive(case, receiver);
        let elapsed = started.elapsed();
        let sent: Vec<u64> = producers.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        (sent, received, elapsed)
    });
    assert_eq!(received, sent, "all that was sent arrived");
    Some(received.iter().sum::<u64>() as f64 / elapsed.as_secs_f64())
}

/// A producer's thread; tells how many messages it sent.
fn send(case: &Case, places: &Places, start: &Barrier, producer: usize, mut sender: impl Sender) -> u64 {
    places.take_producers();
    start.wait();
    if case.batches { send_batches(&mut sender, producer) } else { send_each(&mut sender, producer) }
}

/// Receives until the end; tells how many messages came of each producer.
fn receive(case: &Case, mut receiver: impl Receiver) -> Vec<u64> {
    let mut check = Check::new(case.producers);
    if case.batches {
        receive_batches(&mut receiver, &mut check);
    } else {
        receive_each(&mut receiver, &mut check);
    }
    check.received()
}

/// Sends one message a call; tells how many.
fn send_each(sender: &mut impl Sender, producer: usize) -> u64 {
    let until = Instant::now() + DURATION;
    let mut next = first_of(producer);
    while Instant::now() < until {
        for _ in 0..BLOCK {
            sender.send(next);
            next += 1;
        }
    }
    next - first_of(producer)
}

/// Sends a batch a call; tells how many messages.
fn send_batches(sender: &mut impl Sender, producer: usize) -> u64 {
    let until = Instant::now() + DURATION;
    let mut next = first_of(producer);
    let mut batch = [0; BATCH];
    while Instant::now() < until {
        for _ in 0..BLOCK / BATCH {
            batch.iter_mut().zip(next..).for_each(|(slot, value)| *slot = value);
            sender.send_batch(&batch);
            next += BATCH as u64;
        }
    }
    next - first_of(producer)
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
