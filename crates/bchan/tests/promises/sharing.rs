//! A shared ring: any number of consumers, claims that are given up or handed back.

use bchan::{Consumer, Deadline, Mode, ReceiveError, ReceiveSlots};
use bchan::{Receiving, Sending};
use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::{
    Case, fill, front, message, messages, receive_all, send_mixed, spawn, until, until_parked,
};
use crate::over_every_configuration;

over_every_configuration! {
    each_message_goes_to_one_consumer_in_its_producers_order
    every_blocked_consumer_is_told_the_end
    one_message_wakes_one_consumer
    messages_that_one_consumer_leaves_wake_the_next
    abandoned_slots_are_passed_and_counted
    reservation_holds_nobody_up_once_its_producer_is_dropped
    messages_handed_back_come_again_to_any_consumer
    one_order_for_all
}

const CONSUMERS: usize = 3;

/// Whether several consumers may share this channel.
fn is_shared(case: &Case) -> bool {
    case.mode != Mode::Mpsc
}

/// Sender and sequence of a message that is large enough to tell.
fn parts<const N: usize>(item: &[u8; N]) -> (u64, u64) {
    let word = u64::from_le_bytes(item[..8].try_into().unwrap());
    (word >> 56, word & !(0xff << 56))
}

fn each_message_goes_to_one_consumer_in_its_producers_order<const N: usize>(case: &Case) {
    if !is_shared(case) || N < 8 {
        return;
    }
    let (channel, count) = (case.channel(), case.messages());
    let consumers: Vec<_> = (0..CONSUMERS)
        .map(|number| {
            let mut rx = channel.consumer().unwrap();
            spawn(move || {
                let (mut seen, mut buffer) = (Vec::new(), vec![[0_u8; N]; 1 + number * 4]);
                loop {
                    match rx.receive_into(&mut buffer) {
                        Ok(n) => seen.extend(buffer[..n].iter().map(parts)),
                        Err(stop) => break assert_eq!(stop, ReceiveError::Ended),
                    }
                }
                seen
            })
        })
        .collect();
    // All are there before the first can have left, which would be the end.
    let producers: Vec<_> = (0..case.max_producers).map(|_| channel.producer().unwrap()).collect();
    let send = |(producer, mut tx)| spawn(move || send_mixed::<N>(&mut tx, producer, 0..count).unwrap());
    let senders: Vec<_> = producers.into_iter().enumerate().map(send).collect();
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let mut all = BTreeSet::new();
    for consumer in consumers {
        let mut last = vec![None; case.max_producers];
        for (producer, sequence) in consumer.join().unwrap() {
            let before = last[producer as usize].replace(sequence);
            assert!(before < Some(sequence), "{sequence} of producer {producer} after {before:?}");
            assert!(all.insert((producer, sequence)), "{sequence} of producer {producer} came twice");
        }
    }
    assert_eq!(all.len() as u64, count * case.max_producers as u64);
    assert!(channel.is_empty());
}

fn every_blocked_consumer_is_told_the_end<const N: usize>(case: &Case) {
    if !is_shared(case) {
        return;
    }
    for closes in [false, true] {
        let channel = case.channel();
        let tx = channel.producer().unwrap();
        let consumers: Vec<_> = (0..CONSUMERS)
            .map(|_| {
                let mut rx = channel.consumer().unwrap();
                spawn(move || rx.receive::<[u8; N]>())
            })
            .collect();
        until_parked(&channel, CONSUMERS as u64);
        if closes {
            channel.close();
        } else {
            drop(tx);
        }
        for consumer in consumers {
            assert_eq!(consumer.join().unwrap(), Err(ReceiveError::Ended));
        }
    }
}

fn one_message_wakes_one_consumer<const N: usize>(case: &Case) {
    if !is_shared(case) {
        return;
    }
    let channel = case.channel();
    let mut tx = channel.producer().unwrap();
    // All of them first: where processes share it, who comes wakes those who wait.
    let handles: Vec<_> = (0..CONSUMERS).map(|_| channel.consumer().unwrap()).collect();
    let receive = |mut rx: Consumer| spawn(move || rx.receive::<[u8; N]>());
    let consumers: Vec<_> = handles.into_iter().map(receive).collect();
    until_parked(&channel, CONSUMERS as u64);
    for sent in 1..=CONSUMERS {
        let waits = channel.stats().waits;
        tx.send(message::<N>(0, 0)).unwrap();
        until(|| consumers.iter().filter(|consumer| consumer.is_finished()).count() == sent);
        let stats = channel.stats();
        assert_eq!((stats.wakes, stats.waits), (sent as u64, waits), "nobody else was woken");
    }
    consumers.into_iter().for_each(|consumer| assert!(consumer.join().unwrap().is_ok()));
}

/// A batch wakes once; who takes a part of it wakes the next.
fn messages_that_one_consumer_leaves_wake_the_next<const N: usize>(case: &Case) {
    if !is_shared(case) || case.capacity < CONSUMERS {
        return;
    }
    let channel = case.channel();
    let mut tx = channel.producer().unwrap();
    let consumers: Vec<_> = (0..CONSUMERS)
        .map(|_| {
            let mut rx = channel.consumer().unwrap();
            spawn(move || (rx.receive::<[u8; N]>(), rx))
        })
        .collect();
    until_parked(&channel, CONSUMERS as u64);
    tx.send_all(&messages::<N>(0, 0..CONSUMERS as u64)).unwrap();
    // Their handles stay till all are through: one that goes wakes others, too.
    let done: Vec<_> = consumers.into_iter().map(|consumer| consumer.join().unwrap()).collect();
    assert!(done.iter().all(|(received, _)| received.is_ok()));
}

fn abandoned_slots_are_passed_and_counted<const N: usize>(case: &Case) {
    if case.mode != Mode::Mpmc || case.capacity < 4 {
        return;
    }
    let channel = case.channel();
    let (mut first, mut second) = (channel.producer().unwrap(), channel.producer().unwrap());
    let mut rx = channel.consumer().unwrap();
    let (mut sent, mut abandoned) = (0, 0);
    for _ in 0..40 {
        abandoned += first.reserve(2) as u64;
        assert_eq!(second.try_send(message::<N>(0, sent)), Ok(true));
        assert_eq!(rx.peek(1), 0, "the reservation comes first");
        first.commit(0).unwrap();
        assert_eq!(receive_all::<N>(&mut rx), messages::<N>(0, sent..sent + 1));
        sent += 1;
        let stats = channel.stats();
        assert_eq!((stats.abandoned, stats.sent, stats.received), (abandoned, sent, sent));
        assert!(channel.is_empty());
    }
    assert!(first.reserve(3) > 0);
    first.commit(0).unwrap();
    assert_eq!(channel.stats().abandoned, abandoned, "nothing was claimed after it: as if it had not been");
}

fn reservation_holds_nobody_up_once_its_producer_is_dropped<const N: usize>(case: &Case) {
    if case.mode != Mode::Mpmc || case.capacity < 4 {
        return;
    }
    let channel = case.channel();
    let (mut stalled, mut tx) = (channel.producer().unwrap(), channel.producer().unwrap());
    let mut rx = channel.consumer().unwrap();
    assert_eq!(stalled.reserve(1), 1);
    tx.send(message::<N>(0, 0)).unwrap();
    let receiver = spawn(move || rx.receive::<[u8; N]>());
    until_parked(&channel, 1);
    drop(stalled);
    assert_eq!(receiver.join().unwrap(), Ok(message::<N>(0, 0)));
}

fn messages_handed_back_come_again_to_any_consumer<const N: usize>(case: &Case) {
    if !is_shared(case) || case.capacity < 4 {
        return;
    }
    let channel = case.channel();
    let mut tx = channel.producer().unwrap();
    let (mut first, mut second) = (channel.consumer().unwrap(), channel.consumer().unwrap());
    for round in 0..40 {
        let items = messages::<N>(0, round * 4..round * 4 + 4);
        tx.send_all(&items).unwrap();
        let n = first.peek(3);
        assert_eq!(front::<N>(&first, n), &items[..n]);
        assert_eq!(second.try_receive::<[u8; N]>(), items.get(n).copied());
        assert_eq!(channel.len(), 3);
        // It keeps one, and gives the others back in the midst of the ring.
        first.release(1);
        assert_eq!(channel.len(), 2);
        let mut rest = receive_all::<N>(if round % 2 == 0 { &mut first } else { &mut second });
        rest.sort_unstable();
        let mut expected: Vec<_> = items[1..n].iter().chain(&items[n + 1..]).copied().collect();
        expected.sort_unstable();
        assert_eq!(rest, expected);
        assert!(channel.is_empty());
    }
    // With its last messages peeked at, a consumer that goes leaves them to who waits.
    tx.send_all(&messages::<N>(0, 0..2)).unwrap();
    assert_eq!(first.peek(1), 1);
    assert_eq!(second.peek(1), 1);
    let mut third = channel.consumer().unwrap();
    let soon = Deadline::after(Duration::from_millis(1));
    assert!(matches!(third.wait_for_message(soon), Err(ReceiveError::TimedOut | ReceiveError::Interrupted)));
    let waiting = spawn(move || (third.receive::<[u8; N]>(), third.receive::<[u8; N]>()));
    until_parked(&channel, 2);
    drop((first, second));
    let (one, two) = waiting.join().unwrap();
    let both = BTreeSet::from([one.unwrap(), two.unwrap()]);
    assert_eq!(both, messages::<N>(0, 0..2).into_iter().collect());
}

/// What two producers send in turn arrives in that order.
fn one_order_for_all<const N: usize>(case: &Case) {
    if case.mode != Mode::Mpmc || case.capacity < 4 {
        return;
    }
    let channel = case.channel();
    let mut producers = [channel.producer().unwrap(), channel.producer().unwrap()];
    let mut rx = channel.consumer().unwrap();
    for round in 0..100 {
        let sent: Vec<_> = (0..4).map(|i| message::<N>(i % 2, round)).collect();
        for (i, item) in sent.iter().enumerate() {
            let tx = &mut producers[i % 2];
            assert_eq!(tx.reserve(1), 1);
            fill(tx, std::slice::from_ref(item));
            tx.commit(1).unwrap();
        }
        assert_eq!(receive_all::<N>(&mut rx), sent);
    }
}
