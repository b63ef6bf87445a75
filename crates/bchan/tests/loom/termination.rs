//! The end: it comes when the last producer has left and all is drained, and not before.

use bchan::{HandleError, ReceiveError};
use bchan::{Receiving, Sending};
use loom::thread;

use crate::{another, channel, check, drain, warm};

#[test]
fn last_producer_leaving_ends_a_parked_consumer() {
    check(5, || {
        let channel = channel(1, 1);
        let (tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
        let leaver = thread::spawn(move || drop(tx));
        assert_eq!(rx.receive::<u64>(), Err(ReceiveError::Ended));
        leaver.join().unwrap();
    });
}

#[test]
fn last_message_comes_before_the_end() {
    check(4, || {
        let channel = channel(1, 1);
        let (mut tx, mut rx) = warm(&channel);
        let leaver = thread::spawn(move || tx.send(1_u64).unwrap());
        assert_eq!(drain(&mut rx), [1]);
        leaver.join().unwrap();
    });
}

#[test]
fn two_producers_leaving_at_once_end_the_channel_once_drained() {
    check(2, || {
        let channel = channel(1, 2);
        let (first, mut rx) = warm(&channel);
        let mut second = another(&channel, &mut rx);
        let leavers =
            [thread::spawn(move || drop(first)), thread::spawn(move || second.send(200_u64).unwrap())];
        assert_eq!(drain(&mut rx), [200]);
        leavers.into_iter().for_each(|leaver| leaver.join().unwrap());
    });
}

/// It comes, sends and leaves while the consumer decides that all have left.
#[test]
fn producer_that_came_before_the_end_is_received() {
    check(3, || {
        let channel = channel(1, 1);
        let mut rx = channel.consumer().unwrap();
        drop(channel.producer().unwrap());
        let late = channel.clone();
        let visitor = thread::spawn(move || late.producer().map(|mut tx| tx.send(1_u64).unwrap()).is_ok());
        let seen = drain(&mut rx);
        let came = visitor.join().unwrap();
        assert_eq!(seen, if came { vec![1] } else { vec![] });
        assert_eq!(channel.producer().unwrap_err(), HandleError::Ended);
    });
}

#[test]
fn end_waits_for_the_first_producer() {
    check(4, || {
        let channel = channel(1, 1);
        let mut rx = channel.consumer().unwrap();
        let first = thread::spawn(move || channel.producer().unwrap().send(1_u64).unwrap());
        assert_eq!(drain(&mut rx), [1]);
        first.join().unwrap();
    });
}
