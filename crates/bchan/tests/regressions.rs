//! Promises of a shared ring that were broken once. Each test here failed before its fix.

#![cfg(not(loom))]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::channel as pipe;
use std::sync::{Arc, Barrier as Gate};
use std::thread;
use std::time::{Duration, Instant};

use bchan::{
    Channel, Config, Consumer, Deadline, Mode, ReceiveError, ReceiveSlots, Receiving, SendError, SendSlots,
    Sending,
};

/// Far longer than any step here takes.
const LIMIT: Duration = Duration::from_secs(5);

fn mpmc(capacity: usize, max_producers: usize) -> Channel {
    Channel::new(&Config { mode: Mode::Mpmc, item_size: 8, capacity, max_producers, ..Config::default() })
        .unwrap()
}

/// Runs `work` in a thread; what it gives comes through the returned pipe.
fn start<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> std::sync::mpsc::Receiver<T> {
    let (done, wait) = pipe();
    thread::spawn(move || done.send(work()));
    wait
}

fn until_parked(channel: &Channel, times: u64) {
    let begin = Instant::now();
    while channel.stats().waits < times {
        assert!(begin.elapsed() < LIMIT);
        thread::yield_now();
    }
    // Counted just before it sleeps.
    thread::sleep(Duration::from_millis(20));
}

fn receiving(mut rx: Consumer) -> std::sync::mpsc::Receiver<Result<u64, ReceiveError>> {
    start(move || rx.receive::<u64>())
}

/// Closed while a claim was open: whoever is woken by its end must tell the others.
#[test]
fn every_blocked_consumer_is_told_the_end_when_a_reservation_outlives_the_close() {
    let channel = mpmc(4, 1);
    let mut tx = channel.producer().unwrap();
    assert_eq!(tx.reserve(1), 1);
    let consumers = [(); 2].map(|()| receiving(channel.consumer().unwrap()));
    until_parked(&channel, 2);
    channel.close();
    // They wake, find the open claim, and park again (one may take the other's wake-up and sleep on).
    until_parked(&channel, 3);
    assert_eq!(tx.commit(1), Err(SendError::Closed));
    for (number, consumer) in consumers.iter().enumerate() {
        assert_eq!(consumer.recv_timeout(LIMIT), Ok(Err(ReceiveError::Ended)), "consumer {number}");
    }
    drop(tx);
}

/// The last message is taken by one who does not come back for the end.
#[test]
fn parked_consumer_is_told_the_end_when_another_takes_the_last_message() {
    let channel = mpmc(4, 1);
    let mut tx = channel.producer().unwrap();
    // Claimed before the close, so it counts; published after it.
    assert_eq!(tx.claim(1), 1);
    let consumers = [(); 2].map(|()| receiving(channel.consumer().unwrap()));
    until_parked(&channel, 2);
    channel.close();
    until_parked(&channel, 3);
    // SAFETY: one slot is ours.
    unsafe { tx.slots(1).cast::<u64>().write(1) };
    tx.commit(1).unwrap();
    let mut seen = consumers.map(|consumer| consumer.recv_timeout(LIMIT).ok());
    seen.sort_by_key(|seen| seen.map(|seen| seen.is_err()));
    assert_eq!(seen, [Some(Ok(1)), Some(Err(ReceiveError::Ended))], "None sleeps for ever");
    drop(tx);
}

/// A consumer that passes slots given up frees them, and must wake who waits for space.
#[test]
fn producer_hears_of_slots_that_were_passed() {
    let channel = mpmc(2, 3);
    let [mut first, mut second, mut third] = [(); 3].map(|()| channel.producer().unwrap());
    let mut rx = channel.consumer().unwrap();
    assert_eq!((first.reserve(1), second.reserve(1)), (1, 1));
    let sent = start(move || third.send(3_u64));
    until_parked(&channel, 1);
    first.commit(0).unwrap();
    // Passes the first slot; the second is still reserved. One slot is free.
    assert_eq!(rx.try_receive::<u64>(), None);
    assert_eq!(sent.recv_timeout(LIMIT), Ok(Ok(())), "a slot is free, and it sleeps");
    drop((first, second));
}

/// A batch wakes one; if he only looks at his message, the next must be woken for the other.
#[test]
fn consumer_is_woken_for_a_message_beside_one_that_is_peeked() {
    let channel = mpmc(4, 1);
    let mut tx = channel.producer().unwrap();
    let gate = Arc::new(Gate::new(2));
    let consumers = [(); 2].map(|()| {
        let (mut rx, gate) = (channel.consumer().unwrap(), gate.clone());
        start(move || {
            while rx.peek(1) == 0 {
                rx.wait_for_message(Deadline::NEVER).unwrap();
            }
            // Keeps its message until the other has one too.
            gate.wait();
            rx.release(1);
        })
    });
    until_parked(&channel, 2);
    tx.send_all(&[1_u64, 2]).unwrap();
    for consumer in &consumers {
        assert_eq!(consumer.recv_timeout(LIMIT), Ok(()), "a message is there, and it sleeps");
    }
}

/// The same for two slots released at once and producers that reserve one each.
#[test]
fn producer_is_woken_for_a_slot_beside_one_that_is_reserved() {
    let channel = mpmc(2, 3);
    let mut filler = channel.producer().unwrap();
    let mut rx = channel.consumer().unwrap();
    filler.send_all(&[1_u64, 2]).unwrap();
    let gate = Arc::new(Gate::new(2));
    let producers = [(); 2].map(|()| {
        let (mut tx, gate) = (channel.producer().unwrap(), gate.clone());
        start(move || {
            while tx.reserve(1) == 0 {
                tx.wait_for_space(Deadline::NEVER).unwrap();
            }
            gate.wait();
            tx.commit(0).unwrap();
        })
    });
    until_parked(&channel, 2);
    assert_eq!(rx.try_receive_into(&mut [0_u64; 2]), 2);
    for producer in &producers {
        assert_eq!(producer.recv_timeout(LIMIT), Ok(()), "a slot is free, and it sleeps");
    }
}

/// One message wakes one consumer. If he goes without taking it, it is the next one's.
#[test]
fn consumer_that_is_woken_and_dropped_passes_the_message_on() {
    let channel = mpmc(4, 1);
    let mut tx = channel.producer().unwrap();
    let (first_gone, gone) = pipe();
    let consumers = [(); 2].map(|()| {
        let (mut rx, first_gone) = (channel.consumer().unwrap(), first_gone.clone());
        start(move || {
            rx.wait_for_message(Deadline::NEVER).unwrap();
            drop(rx);
            first_gone.send(()).unwrap();
        })
    });
    until_parked(&channel, 2);
    tx.send(1_u64).unwrap();
    gone.recv_timeout(LIMIT).unwrap();
    assert_eq!(channel.len(), 1, "the message is there");
    for consumer in &consumers {
        assert_eq!(consumer.recv_timeout(LIMIT), Ok(()), "a message is there, and it sleeps");
    }
}

/// Nothing more will ever come: not while somebody may hand a message back.
#[test]
fn nothing_comes_after_the_end_although_a_message_was_peeked() {
    let channel = mpmc(4, 1);
    let mut tx = channel.producer().unwrap();
    let (mut holder, mut rx) = (channel.consumer().unwrap(), channel.consumer().unwrap());
    tx.send(1_u64).unwrap();
    assert_eq!(holder.peek(1), 1);
    drop(tx);
    let told = rx.is_ended();
    drop(holder);
    let after = rx.try_receive::<u64>();
    assert!(!told || after.is_none(), "told the end, and then got {after:?}");
}

/// `available`: "they are this consumer's until then".
#[test]
fn available_messages_are_kept_for_who_asked() {
    let mut stolen = 0;
    for _ in 0..20 {
        let channel = mpmc(1024, 1);
        let mut tx = channel.producer().unwrap();
        let mut rx = channel.consumer().unwrap();
        let mut thief = channel.consumer().unwrap();
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let is_over = stop.clone();
        let stealing = thread::spawn(move || {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                thief.try_receive_into(&mut [0_u64; 64]);
            }
        });
        let begin = Instant::now();
        let mut buffer = [0_u64; 64];
        while begin.elapsed() < Duration::from_millis(50) {
            tx.try_send_all(&[0_u64; 64]).unwrap();
            let promised = rx.available(64);
            let got = rx.try_receive_into(&mut buffer);
            stolen += usize::from(got < promised);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        stealing.join().unwrap();
    }
    assert_eq!(stolen, 0, "calls that got less than `available` said");
}

/// Misuse is an error, and the channel goes on.
#[test]
fn committing_more_than_was_reserved_leaves_the_channel_usable() {
    let channel = mpmc(4, 2);
    let [mut tx, mut other] = [(); 2].map(|()| channel.producer().unwrap());
    let mut rx = channel.consumer().unwrap();
    assert_eq!(tx.reserve(1), 1);
    assert!(catch_unwind(AssertUnwindSafe(|| tx.commit(2))).is_err());
    drop(tx);
    other.send(7_u64).unwrap();
    assert_eq!(rx.try_receive::<u64>(), Some(7));
}

#[test]
fn releasing_more_than_was_peeked_loses_nothing() {
    let channel = mpmc(1, 1);
    let mut tx = channel.producer().unwrap();
    let mut rx = channel.consumer().unwrap();
    tx.send(1_u64).unwrap();
    assert_eq!(rx.peek(1), 1);
    assert!(catch_unwind(AssertUnwindSafe(|| rx.release(2))).is_err());
    assert_eq!(rx.try_receive::<u64>(), Some(1));
    assert_eq!(tx.try_send(2_u64), Ok(true));
}

/// Safe code alone: a port of an spmc channel sends beside its producer (or another thread's port).
#[test]
fn ports_of_an_spmc_channel_write_no_slot_twice() {
    const EACH: u64 = 300_000;
    let config = Config { mode: Mode::Spmc, item_size: 8, capacity: 1024, ..Config::default() };
    let channel = Channel::new(&config).unwrap();
    let Some(port) = channel.port() else { return };
    let port = Arc::new(port);
    let senders: Vec<_> = (0..2_u64)
        .map(|base| {
            let port = port.clone();
            thread::spawn(move || {
                let mut next = 0;
                let begin = Instant::now();
                while next < EACH && begin.elapsed() < LIMIT {
                    next += port.try_send_all(&[base << 32 | next]).unwrap() as u64;
                }
            })
        })
        .collect();
    let (mut counts, begin) = ([0_u64; 2], Instant::now());
    let mut buffer = [0_u64; 64];
    while counts.iter().sum::<u64>() < 2 * EACH && begin.elapsed() < LIMIT {
        let n = port.try_receive_into(&mut buffer);
        for item in &buffer[..n] {
            let (base, sequence) = ((item >> 32) as usize, item & 0xffff_ffff);
            assert_eq!(sequence, counts[base], "of sender {base}");
            counts[base] += 1;
        }
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert_eq!(counts, [EACH; 2]);
}

/// A closed channel says so for a batch of nothing too, as one of lanes does.
#[test]
fn empty_batch_is_refused_by_either_kind_once_closed() {
    for mode in [Mode::Mpsc, Mode::Mpmc] {
        let channel = Channel::new(&Config { mode, ..Config::default() }).unwrap();
        let mut tx = channel.producer().unwrap();
        channel.close();
        assert_eq!(tx.try_send_all::<u64>(&[]), Err(SendError::Closed), "{mode:?}");
    }
}

/// There is one claim at a time: a batch goes into what was reserved, and then behind it.
#[test]
fn batch_after_a_reservation_begins_there() {
    let channel = mpmc(8, 1);
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    assert_eq!(tx.reserve(2), 2);
    assert_eq!(tx.try_send_all(&[1_u64, 2, 3]), Ok(3));
    let mut buffer = [0_u64; 8];
    assert_eq!(rx.try_receive_into(&mut buffer), 3);
    assert_eq!(buffer[..3], [1, 2, 3]);
    assert_eq!((channel.len(), channel.stats().sent), (0, 3));
}
