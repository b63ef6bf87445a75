//! Producers that come and go, and consumers that follow one another.

use bchan::{HandleError, ReceiveError};
use bchan::{Receiving, Sending};
use loom::thread;

use crate::{channel, check, drain, from_base, warm};

#[test]
fn producers_that_register_at_once_get_a_lane_each() {
    check(3, || {
        let channel = channel(2, 2);
        let mut rx = channel.consumer().unwrap();
        let senders = [100, 200].map(|base| {
            let channel = channel.clone();
            thread::spawn(move || {
                let mut tx = channel.producer().unwrap();
                tx.send::<u64>(base).unwrap();
                tx.send::<u64>(base + 1).unwrap();
                tx
            })
        });
        let _producers = senders.map(|sender| sender.join().unwrap());
        assert_eq!(channel.active_producers(), 2);
        let refused = channel.producer().unwrap_err();
        assert_eq!(refused, HandleError::ProducersTaken { max_producers: 2 });
        let seen: Vec<u64> = (0..4).map(|_| rx.receive().unwrap()).collect();
        assert_eq!(from_base(&seen, 100), [100, 101]);
        assert_eq!(from_base(&seen, 200), [200, 201]);
    });
}

#[test]
fn late_producer_is_heard_by_a_parked_consumer() {
    check(4, || {
        let channel = channel(1, 2);
        let (tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
        let late = thread::spawn(move || {
            let mut tx = channel.producer().unwrap();
            tx.send(1_u64).unwrap();
        });
        assert_eq!(rx.receive(), Ok(1_u64));
        late.join().unwrap();
        drop(tx);
        assert_eq!(rx.receive::<u64>(), Err(ReceiveError::Ended));
    });
}

/// Both use the same place, one after the other; the second may find it undrained.
#[test]
fn place_is_used_again_and_keeps_what_was_sent() {
    check(2, || {
        let channel = channel(2, 1);
        let (mut first, mut rx) = warm(&channel);
        let second = channel.clone();
        let heirs = thread::spawn(move || {
            first.send(100_u64).unwrap();
            drop(first);
            // The end may come between the two.
            second.producer().map(|mut tx| tx.send(200_u64).unwrap()).is_ok()
        });
        let seen = drain(&mut rx);
        let has_second = heirs.join().unwrap();
        assert_eq!(seen, if has_second { vec![100, 200] } else { vec![100] });
    });
}

#[test]
fn place_goes_from_thread_to_thread() {
    check(4, || {
        let channel = channel(2, 1);
        let (mut first, mut rx) = warm(&channel);
        let heir = channel.clone();
        let leaver = thread::spawn(move || first.send(100_u64).unwrap());
        let second = thread::spawn(move || match heir.producer() {
            Ok(mut tx) => {
                tx.send(200_u64).unwrap();
                Some(tx)
            }
            Err(error) => {
                assert_eq!(error, HandleError::ProducersTaken { max_producers: 1 });
                None
            }
        });
        leaver.join().unwrap();
        let taken = second.join().unwrap().is_some();
        let seen = drain(&mut rx);
        assert_eq!(seen, if taken { vec![100, 200] } else { vec![100] });
    });
}

#[test]
fn next_consumer_goes_on_where_the_last_one_stopped() {
    check(3, || {
        let channel = channel(4, 1);
        let (mut tx, mut rx) = warm(&channel);
        let sender = thread::spawn(move || {
            (0..2_u64).for_each(|i| tx.send(i).unwrap());
            tx
        });
        let successor = channel.clone();
        let mut seen: Vec<u64> = rx.try_receive().into_iter().collect();
        drop(rx);
        let next = thread::spawn(move || {
            let mut rx = successor.consumer().unwrap();
            while seen.len() < 2 {
                seen.push(rx.receive().unwrap());
            }
            seen
        });
        assert_eq!(next.join().unwrap(), [0, 1]);
        sender.join().unwrap();
    });
}

#[test]
fn next_consumer_finds_the_slots_that_the_last_one_gave_back() {
    check(3, || {
        let channel = channel(1, 1);
        let (mut tx, mut rx) = warm(&channel);
        tx.send(0_u64).unwrap();
        let last = thread::spawn(move || assert_eq!(rx.try_receive(), Some(0_u64)));
        let heir = channel.clone();
        let next = thread::spawn(move || match heir.consumer() {
            Ok(mut rx) => rx.try_receive::<u64>(),
            Err(error) => {
                assert_eq!(error, HandleError::ConsumersTaken { max_consumers: 1 });
                None
            }
        });
        let accepted = tx.try_send(1_u64).unwrap();
        last.join().unwrap();
        let seen = next.join().unwrap();
        assert!(seen.is_none() || seen == Some(1) && accepted, "{seen:?}");
        assert_eq!(channel.len(), usize::from(accepted && seen.is_none()));
    });
}
