//! One lane: sending, batches, claims, and reading in place.

use bchan::{Deadline, ReceiveError, ReceiveSlots, SendSlots};
use bchan::{Receiving, Sending};
use loom::thread;

use crate::{channel, check, drain, send_without_waiting, warm};

#[test]
fn single_messages_arrive_once_and_in_order() {
    check(2, || {
        let channel = channel(1, 1);
        let (mut tx, mut rx) = warm(&channel);
        let sender = thread::spawn(move || (0..2_u64).for_each(|i| tx.send(i).unwrap()));
        assert_eq!(drain(&mut rx), [0, 1]);
        sender.join().unwrap();
    });
}

#[test]
fn first_messages_of_a_lane_arrive_once_and_in_order() {
    check(2, || {
        let channel = channel(2, 1);
        let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
        let sender = thread::spawn(move || (0..3_u64).for_each(|i| tx.send(i).unwrap()));
        assert_eq!(drain(&mut rx), [0, 1, 2]);
        sender.join().unwrap();
    });
}

#[test]
fn batches_arrive_whole_across_the_rings_end() {
    check(2, || {
        let channel = channel(2, 1);
        // After one message the ring's end lies between the next two.
        let (mut tx, mut rx) = warm(&channel);
        let sender = thread::spawn(move || tx.send_all(&[0_u64, 1, 2]).unwrap());
        let (mut seen, mut buffer) = (Vec::new(), [0_u64; 3]);
        while let Ok(n) = rx.receive_into(&mut buffer) {
            seen.extend_from_slice(&buffer[..n]);
        }
        assert_eq!(seen, [0, 1, 2]);
        sender.join().unwrap();
    });
}

#[test]
fn claimed_messages_come_when_they_are_committed_and_not_before() {
    check(3, || {
        let channel = channel(4, 1);
        let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
        let sender = thread::spawn(move || {
            assert_eq!(tx.reserve(4), 4);
            let slots = tx.slots(4).cast::<u64>();
            // SAFETY: four slots are ours until they are committed.
            (0..4).for_each(|i| unsafe { slots.add(i).write(i as u64) });
            tx.commit(1).unwrap();
            // The others went back, and hold what was written there.
            assert_eq!(tx.reserve(3), 3);
            tx.commit(2).unwrap();
        });
        let mut seen = Vec::new();
        while rx.wait_for_message(Deadline::NEVER).is_ok() {
            let n = rx.peek(4);
            let slots = rx.front(n).cast::<u64>();
            // SAFETY: `n` messages are there.
            (0..n).for_each(|i| seen.push(unsafe { slots.add(i).read() }));
            rx.release(n);
        }
        assert_eq!(seen, [0, 1, 2], "the fourth slot was given back");
        sender.join().unwrap();
    });
}

#[test]
fn front_shows_messages_until_they_are_released() {
    check(2, || {
        let channel = channel(2, 1);
        let (mut tx, mut rx) = warm(&channel);
        let sender = thread::spawn(move || tx.send_all(&[0_u64, 1, 2]).unwrap());
        for next in 0..3_u64 {
            rx.wait_for_message(Deadline::NEVER).unwrap();
            for _ in 0..2 {
                assert!(rx.peek(2) > 0);
                // SAFETY: a message is there.
                assert_eq!(unsafe { rx.front(1).cast::<u64>().read() }, next);
            }
            rx.release(1);
        }
        assert_eq!(rx.receive::<u64>(), Err(ReceiveError::Ended));
        sender.join().unwrap();
    });
}

/// Neither side ever waits, so that nothing but the lane's own orderings protects the slots.
#[test]
fn slots_are_safe_while_nobody_waits() {
    check(4, || {
        let channel = channel(1, 1);
        let (mut tx, mut rx) = warm(&channel);
        let sender = thread::spawn(move || (send_without_waiting(&mut tx, 0..4), tx));
        let mut seen: Vec<u64> = (0..4).filter_map(|_| rx.try_receive()).collect();
        let (accepted, tx) = sender.join().unwrap();
        drop(tx);
        seen.extend(drain(&mut rx));
        assert_eq!(seen, accepted);
    });
}

#[test]
fn batches_are_safe_while_nobody_waits() {
    check(4, || {
        let channel = channel(2, 1);
        let (mut tx, mut rx) = warm(&channel);
        let sender = thread::spawn(move || {
            let first = tx.try_send_all(&[0_u64, 1]).unwrap();
            let second = tx.try_send_all(&[10_u64, 11]).unwrap();
            ([&[0_u64, 1][..first], &[10_u64, 11][..second]].concat(), tx)
        });
        let (mut seen, mut buffer) = (Vec::new(), [0_u64; 2]);
        for _ in 0..3 {
            let n = rx.try_receive_into(&mut buffer);
            seen.extend_from_slice(&buffer[..n]);
        }
        let (accepted, tx) = sender.join().unwrap();
        drop(tx);
        seen.extend(drain(&mut rx));
        assert_eq!(seen, accepted);
    });
}
