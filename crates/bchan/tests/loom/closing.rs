//! Closing: who waits is told, and what was accepted is received, no more and no less.

use bchan::{Channel, Config, HandleError, Mode, ReceiveError, ReceiveSlots, SendError};
use bchan::{Receiving, Sending};
use loom::thread;

use crate::{another, channel, check, drain, from_base, send_until_closed, send_without_waiting, warm};

#[test]
fn closing_wakes_a_parked_consumer() {
    check(5, || {
        let channel = channel(1, 1);
        let (_tx, mut rx) = warm(&channel);
        let closer = thread::spawn(move || channel.close());
        assert_eq!(rx.receive::<u64>(), Err(ReceiveError::Ended));
        closer.join().unwrap();
    });
}

#[test]
fn closing_wakes_a_parked_producer() {
    check(5, || {
        let channel = channel(1, 1);
        let (mut tx, _rx) = warm(&channel);
        tx.send(0_u64).unwrap();
        let closing = channel.clone();
        let closer = thread::spawn(move || closing.close());
        assert_eq!(tx.send(1_u64), Err(SendError::Closed));
        closer.join().unwrap();
        assert_eq!(channel.len(), 1);
    });
}

#[test]
fn last_consumer_that_leaves_wakes_a_parked_producer() {
    for mode in [Mode::Mpsc, Mode::Mpmc] {
        check(5, move || {
            let channel = deserted_by_the_last(mode);
            let (mut tx, rx) = warm(&channel);
            tx.send(0_u64).unwrap();
            let leaver = thread::spawn(move || drop(rx));
            assert_eq!(tx.send(1_u64), Err(SendError::Deserted));
            leaver.join().unwrap();
            assert!(channel.is_deserted());
        });
    }
}

#[test]
fn consumers_that_leave_at_once_close_the_channel() {
    check(5, || {
        let channel = deserted_by_the_last(Mode::Mpmc);
        let (rx, other) = (channel.consumer().unwrap(), channel.consumer().unwrap());
        let leaver = thread::spawn(move || drop(rx));
        drop(other);
        leaver.join().unwrap();
        assert!(channel.is_deserted());
    });
}

fn deserted_by_the_last(mode: Mode) -> Channel {
    let config = Config { mode, capacity: 1, stays_open: false, ..Config::default() };
    Channel::new(&config).unwrap()
}

#[test]
fn closing_wakes_both_sides() {
    check(2, || {
        let channel = channel(1, 2);
        let mut full = channel.producer().unwrap();
        full.send(100_u64).unwrap();
        let closing = channel.clone();
        let sender = thread::spawn(move || {
            assert_eq!(full.wait_for_space(bchan::Deadline::NEVER), Err(SendError::Closed));
            full
        });
        let closer = thread::spawn(move || closing.close());
        // Not before the producer was told, so only `close` can have woken it.
        let full = sender.join().unwrap();
        assert_eq!(drain(&mut channel.consumer().unwrap()), [100]);
        closer.join().unwrap();
        drop(full);
    });
}

#[test]
fn closing_and_sending() {
    check(4, || {
        let channel = channel(2, 1);
        let (mut tx, mut rx) = warm(&channel);
        let sender = thread::spawn(move || (send_until_closed(&mut tx, 0..2), tx));
        channel.close();
        let seen = drain(&mut rx);
        let (accepted, _tx) = sender.join().unwrap();
        assert_eq!(seen, accepted);
        assert!(channel.is_empty());
    });
}

#[test]
fn closing_from_a_third_thread_while_both_may_park() {
    check(2, || {
        let channel = channel(1, 1);
        let (mut tx, mut rx) = warm(&channel);
        tx.send(0_u64).unwrap();
        let sender = thread::spawn(move || (send_until_closed(&mut tx, [1]), tx));
        let closer = thread::spawn(move || channel.close());
        let seen = drain(&mut rx);
        let (accepted, _tx) = sender.join().unwrap();
        assert_eq!(seen, [vec![0], accepted].concat());
        closer.join().unwrap();
    });
}

#[test]
fn closing_and_sending_batches() {
    check(5, || {
        let channel = channel(4, 1);
        let (mut tx, mut rx) = warm(&channel);
        let sender = thread::spawn(move || (tx.try_send_all(&[0_u64, 1]).unwrap_or(0), tx));
        channel.close();
        let seen = drain(&mut rx);
        let (accepted, _tx) = sender.join().unwrap();
        assert_eq!(seen, [0, 1][..accepted]);
    });
}

/// One lane is sealed while another still has messages: what the sealed one's producer takes
/// back must not be received in the meantime.
#[test]
fn closing_with_two_lanes() {
    check(2, || {
        let channel = channel(2, 2);
        let (mut tx, mut rx) = warm(&channel);
        let mut other = another(&channel, &mut rx);
        let senders = [
            thread::spawn(move || (send_without_waiting(&mut tx, [100]), tx)),
            thread::spawn(move || (send_without_waiting(&mut other, [200]), other)),
        ];
        channel.close();
        let seen = drain(&mut rx);
        let [first, second] = senders.map(|sender| sender.join().unwrap());
        assert_eq!(from_base(&seen, 100), first.0);
        assert_eq!(from_base(&seen, 200), second.0);
        assert!(channel.is_empty());
    });
}

/// The next consumer knows which lanes the last one sealed.
#[test]
fn closing_while_the_consumer_changes() {
    check(5, || {
        let channel = channel(2, 2);
        let (mut tx, mut rx) = warm(&channel);
        let mut other = another(&channel, &mut rx);
        other.send(200_u64).unwrap();
        let sender = thread::spawn(move || (send_without_waiting(&mut tx, [100]), tx));
        channel.close();
        // Seals a lane or not; the other lane is not drained.
        assert!(!rx.is_ended());
        drop(rx);
        let seen = drain(&mut channel.consumer().unwrap());
        let (accepted, _tx) = sender.join().unwrap();
        assert_eq!(from_base(&seen, 100), accepted);
        assert_eq!(from_base(&seen, 200), [200]);
        assert!(channel.is_empty());
    });
}

#[test]
fn closing_and_registering() {
    check(3, || {
        let channel = channel(1, 2);
        let (_tx, mut rx) = warm(&channel);
        let late = channel.clone();
        let visitor = thread::spawn(move || match late.producer() {
            Ok(mut tx) => send_until_closed(&mut tx, [1]),
            Err(error) => {
                assert_eq!(error, HandleError::Closed);
                vec![]
            }
        });
        channel.close();
        assert_eq!(drain(&mut rx), visitor.join().unwrap());
    });
}
