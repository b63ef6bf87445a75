//! Parking and waking: no wake-up is lost, whoever parks, and whatever deadline passes.

use bchan::{Channel, Config, Consumer, Producer, ReceiveError, ReceiveSlots, SendError, Tuning, WakePolicy};
use bchan::{Receiving, Sending};
use loom::thread;

use crate::{another, channel, check, passing, warm};

/// Sends `0..n` and keeps the place, so that nothing but the messages wakes the consumer.
fn sending(mut tx: Producer, n: u64) -> thread::JoinHandle<Producer> {
    thread::spawn(move || {
        (0..n).for_each(|i| tx.send(i).unwrap());
        tx
    })
}

fn receive_all(rx: &mut Consumer, n: u64) {
    (0..n).for_each(|i| assert_eq!(rx.receive(), Ok(i)));
}

#[test]
fn parking_consumer_hears_the_first_message() {
    check(5, || {
        let channel = channel(2, 1);
        let (tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
        let sender = sending(tx, 1);
        receive_all(&mut rx, 1);
        sender.join().unwrap();
    });
}

/// The consumer comes back, rests and must hear again.
#[test]
fn parking_consumer_hears_every_message() {
    check(3, || {
        let channel = channel(4, 1);
        let (tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
        let sender = sending(tx, 3);
        receive_all(&mut rx, 3);
        sender.join().unwrap();
    });
}

#[test]
fn consumer_that_stops_watching_a_lane_hears_its_next_message() {
    check(4, || {
        let channel = channel(4, 1);
        let (tx, mut rx) = warm(&channel);
        let sender = sending(tx, 2);
        receive_all(&mut rx, 2);
        sender.join().unwrap();
    });
}

#[test]
fn parking_consumer_hears_two_producers() {
    check(2, || {
        let channel = channel(2, 2);
        let (first, mut rx) = warm(&channel);
        let second = another(&channel, &mut rx);
        let senders = [(first, 100), (second, 200)].map(|(mut tx, item)| {
            thread::spawn(move || {
                tx.send::<u64>(item).unwrap();
                tx
            })
        });
        let mut seen: Vec<u64> = (0..2).map(|_| rx.receive().unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, [100, 200]);
        senders.into_iter().for_each(|sender| drop(sender.join().unwrap()));
    });
}

/// In the model a lane that had nothing for one round leaves the ready list while the other is busy.
#[test]
fn lane_that_leaves_the_ready_list_is_heard_again() {
    check(3, || {
        let channel = channel(4, 2);
        let (mut busy, mut rx) = warm(&channel);
        let mut quiet = another(&channel, &mut rx);
        busy.send_all(&[100_u64, 101, 102]).unwrap();
        let sender = thread::spawn(move || {
            quiet.send(200_u64).unwrap();
            quiet.send(201_u64).unwrap();
            quiet
        });
        // Each look goes round once, so it sweeps.
        let mut seen: Vec<u64> = (0..4).filter_map(|_| rx.try_receive()).collect();
        while seen.len() < 5 {
            seen.push(rx.receive().unwrap());
        }
        assert_eq!(crate::from_base(&seen, 100), [100, 101, 102]);
        assert_eq!(crate::from_base(&seen, 200), [200, 201]);
        sender.join().unwrap();
    });
}

#[test]
fn parking_producer_hears_the_release() {
    check(5, || {
        let channel = channel(1, 1);
        let (mut tx, mut rx) = warm(&channel);
        tx.send(0_u64).unwrap();
        let sender = thread::spawn(move || {
            tx.send(1_u64).unwrap();
            tx
        });
        assert_eq!(rx.try_receive(), Some(0_u64));
        // Nothing else wakes it: this thread only waits for it.
        let _tx = sender.join().unwrap();
        assert_eq!(rx.try_receive(), Some(1_u64));
    });
}

#[test]
fn parking_producer_hears_every_release() {
    check(2, || {
        let channel = channel(1, 1);
        let (mut tx, mut rx) = warm(&channel);
        tx.send(0_u64).unwrap();
        let sender = thread::spawn(move || {
            tx.send(1_u64).unwrap();
            tx.send(2_u64).unwrap();
            tx
        });
        let mut seen: Vec<u64> = (0..3).filter_map(|_| rx.try_receive()).collect();
        while seen.len() < 3 {
            seen.push(rx.receive().unwrap());
        }
        assert_eq!(seen, [0, 1, 2]);
        sender.join().unwrap();
    });
}

/// In the model its patience ends at any moment, before anyone could wake it.
#[test]
fn producer_with_patience_hears_the_release_that_it_waits_for() {
    for capacity in [1, 2] {
        check(2, move || {
            let tuning = Tuning { wake: WakePolicy::HalfDrained, ..Tuning::default() };
            let config = Config { item_size: 8, capacity, tuning, ..Config::default() };
            let channel = Channel::new(&config).unwrap();
            let (mut tx, mut rx) = warm(&channel);
            let all = capacity as u64 + 1;
            let sender = thread::spawn(move || {
                (0..all).for_each(|i| tx.send(i).unwrap());
                tx
            });
            receive_all(&mut rx, all);
            sender.join().unwrap();
        });
    }
}

#[test]
fn both_sides_park_in_turn() {
    check(2, || {
        let channel = channel(1, 1);
        let (tx, mut rx) = warm(&channel);
        let sender = sending(tx, 2);
        receive_all(&mut rx, 2);
        sender.join().unwrap();
    });
}

#[test]
fn deadline_that_passes_takes_nothing_from_the_consumer() {
    check(2, || {
        let channel = channel(2, 1);
        let (tx, mut rx) = warm(&channel);
        let sender = sending(tx, 2);
        for next in 0..2_u64 {
            match rx.wait_for_message(passing()) {
                Ok(()) => assert!(rx.peek(1) > 0, "told that there is a message"),
                stop => assert_eq!(stop, Err(ReceiveError::TimedOut)),
            }
            assert_eq!(rx.receive(), Ok(next));
        }
        sender.join().unwrap();
    });
}

#[test]
fn deadline_that_passes_takes_nothing_from_the_producer() {
    check(4, || {
        let channel = channel(1, 1);
        let (mut tx, mut rx) = warm(&channel);
        tx.send(0_u64).unwrap();
        let sender = thread::spawn(move || {
            match tx.wait_for_space(passing()) {
                Ok(()) => assert_eq!(tx.try_send(1_u64), Ok(true), "told that there is space"),
                stop => {
                    assert_eq!(stop, Err(SendError::TimedOut));
                    tx.send(1_u64).unwrap();
                }
            }
            tx
        });
        receive_all(&mut rx, 2);
        sender.join().unwrap();
    });
}
