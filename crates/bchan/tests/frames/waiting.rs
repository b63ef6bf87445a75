//! Waiting for room: whoever waits for so many slots goes on once so many are free.

use std::time::{Duration, Instant};

use bchan::{
    Deadline, Mode, ReceiveSlots, ReceivingFrames, SendError, SendSlots, SendingFrames, WaitError,
    most_cases, wait_for_any,
};

use crate::common::{Random, spawn, until, until_parked};
use crate::{Case, content, over_every_configuration, receive, seed};

over_every_configuration! {
    sender_waits_until_all_its_slots_are_free
    sender_waits_until_its_deadline
    senders_of_different_lengths_all_go_on
    those_that_wait_for_room_have_it_in_their_order
    room_given_back_wakes_who_waits_for_it
    wait_for_several_is_woken_by_room_and_by_a_message
    wait_for_several_hears_of_a_close
    nobody_is_woken_when_nobody_waits
}

fn sender_waits_until_all_its_slots_are_free(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.frame_producer().unwrap(), channel.frame_consumer().unwrap());
    (0..case.capacity).for_each(|_| assert_eq!(tx.try_send(b"one", 0), Ok(true)));
    let message = content(0, 0, case.capacity * 64);
    let sent = message.clone();
    let sender = spawn(move || {
        tx.send(&sent, 0).unwrap();
        tx
    });
    until_parked(&channel, 1);
    for _ in 0..case.capacity {
        assert!(!sender.is_finished());
        assert_eq!(receive(&mut rx), Some((0, b"one".to_vec())));
    }
    let mut buffer = Vec::new();
    assert_eq!(rx.receive(&mut buffer), Ok(0));
    assert_eq!(buffer, message);
    drop(sender.join().unwrap());
}

fn sender_waits_until_its_deadline(case: &Case) {
    const SHORT: Duration = Duration::from_millis(3);
    let channel = case.channel();
    let mut tx = channel.frame_producer().unwrap();
    assert_eq!(tx.try_send(b"", 0), Ok(true));
    let (start, most) = (Instant::now(), tx.max_len());
    let outcome = loop {
        match tx.wait_for_room(most, Deadline::after(SHORT)) {
            Err(SendError::Interrupted) => {}
            outcome => break outcome,
        }
    };
    assert_eq!(outcome, Err(SendError::TimedOut));
    assert!(start.elapsed() >= SHORT);
    if case.capacity > 1 {
        assert_eq!(tx.wait_for_room(most - 64, Deadline::NEVER), Ok(()), "one slot less is there");
    }
}

/// Whatever is free suffices for somebody, or soon will.
fn senders_of_different_lengths_all_go_on(case: &Case) {
    if !case.is_mpmc() {
        return;
    }
    let (channel, seed, count) = (case.channel(), seed(), 150);
    let senders: Vec<_> = (0..case.max_producers)
        .map(|producer| {
            let mut tx = channel.frame_producer().unwrap();
            let mut random = Random(seed + producer as u64);
            spawn(move || {
                for sequence in 0..count {
                    let slots = [1, tx.max_len() / 128, tx.max_len() / 64][producer].max(1);
                    if random.one_in(9) && tx.reserve(64) {
                        tx.abort();
                    }
                    tx.send(&content(producer, sequence, slots * 64), producer as u8).unwrap();
                }
            })
        })
        .collect();
    let mut rx = channel.frame_consumer().unwrap();
    let (mut next, mut buffer) = ([0; 3], Vec::new());
    while let Ok(kind) = rx.receive(&mut buffer) {
        let producer = usize::from(kind);
        assert_eq!(buffer, content(producer, next[producer], buffer.len()));
        next[producer] += 1;
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert_eq!(next, [count; 3]);
}

/// Threads have room in the order in which they came, whatever they need.
fn those_that_wait_for_room_have_it_in_their_order(case: &Case) {
    if !case.is_mpmc() || case.capacity < 2 {
        return;
    }
    for large_first in [true, false] {
        let channel = case.channel();
        let mut tx = channel.frame_producer().unwrap();
        let mut rx = channel.frame_consumer().unwrap();
        (0..case.capacity).for_each(|_| assert_eq!(tx.try_send(b"", 0), Ok(true)));
        let large = channel.max_len();
        let order = if large_first { [large, 1] } else { [1, large] };
        let senders = [0, 1].map(|i| {
            let mut tx = channel.frame_producer().unwrap();
            let sender = spawn(move || {
                let outcome = tx.send(&vec![7; order[i]], 7);
                (outcome, tx)
            });
            until_parked(&channel, 1 + i as u64);
            sender
        });
        let mut buffer = Vec::new();
        (0..case.capacity).for_each(|_| assert_eq!(rx.receive(&mut buffer), Ok(0)));
        for len in order {
            assert_eq!(rx.receive(&mut buffer), Ok(7));
            assert_eq!(buffer.len(), len);
        }
        senders.into_iter().for_each(|sender| assert_eq!(sender.join().unwrap().0, Ok(())));
    }
}

fn room_given_back_wakes_who_waits_for_it(case: &Case) {
    if !case.is_mpmc() {
        return;
    }
    for commits in [false, true] {
        let channel = case.channel();
        let (mut tx, mut other) = (channel.frame_producer().unwrap(), channel.frame_producer().unwrap());
        assert!(tx.reserve(channel.max_len()));
        let len = if commits { channel.max_len() - 64 } else { channel.max_len() };
        let sender = spawn(move || {
            other.send(&vec![1; len], 1).unwrap();
            other
        });
        until_parked(&channel, 1);
        if commits && case.capacity > 1 {
            tx.commit(bchan::Frame::default()).unwrap();
        } else {
            tx.abort();
        }
        let _other = sender.join().unwrap();
        let mut rx = channel.frame_consumer().unwrap();
        let expected = if commits && case.capacity > 1 { 2 } else { 1 };
        until(|| channel.len() == expected);
        (0..expected).for_each(|_| assert!(receive(&mut rx).is_some()));
    }
}

fn nobody_is_woken_when_nobody_waits(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.frame_producer().unwrap(), channel.frame_consumer().unwrap());
    for _ in 0..100 {
        tx.send(&vec![0; case.capacity * 64], 0).unwrap();
        assert!(receive(&mut rx).is_some());
    }
    let stats = channel.stats();
    assert_eq!((stats.waits, stats.wakes), (0, 0));
    assert!(case.mode != Mode::Spmc || stats.abandoned == 0);
}

/// Waits as one of several, through signals.
fn wait(cases: &mut [bchan::Case<'_>]) {
    while wait_for_any(cases, Deadline::NEVER).map(drop) == Err(WaitError::Interrupted) {}
}

/// It parks at the words of both channels, and is counted there, as for items.
fn wait_for_several_is_woken_by_room_and_by_a_message(case: &Case) {
    if most_cases() == 0 {
        return;
    }
    let (channel, quiet) = (case.channel(), case.channel());
    let (mut tx, mut rx) = (channel.frame_producer().unwrap(), channel.frame_consumer().unwrap());
    let (_silent, mut idle) = (quiet.frame_producer().unwrap(), quiet.frame_consumer().unwrap());
    let most = tx.max_len();
    (0..case.capacity).for_each(|_| assert_eq!(tx.try_send(b"one", 0), Ok(true)));
    let sender = spawn(move || {
        while tx.try_send(&vec![5; most], 5) == Ok(false) {
            wait(&mut [idle.case(), tx.case(most)]);
        }
        (tx, idle)
    });
    until_parked(&channel, 1);
    assert_eq!(quiet.stats().waits, 1);
    (0..case.capacity).for_each(|_| assert_eq!(receive(&mut rx), Some((0, b"one".to_vec()))));
    let (mut tx, mut idle) = sender.join().unwrap();
    assert_eq!(receive(&mut rx), Some((5, vec![5; most])));
    let waits = channel.stats().waits;
    let receiver = spawn(move || {
        wait(&mut [idle.case(), rx.case()]);
        receive(&mut rx)
    });
    until_parked(&channel, waits + 1);
    assert_eq!(tx.try_send(b"two", 6), Ok(true));
    assert_eq!(receiver.join().unwrap(), Some((6, b"two".to_vec())));
}

fn wait_for_several_hears_of_a_close(case: &Case) {
    if most_cases() == 0 {
        return;
    }
    let (channel, quiet) = (case.channel(), case.channel());
    let (mut tx, _rx) = (channel.frame_producer().unwrap(), channel.frame_consumer().unwrap());
    let (_silent, mut idle) = (quiet.frame_producer().unwrap(), quiet.frame_consumer().unwrap());
    let most = tx.max_len();
    assert_eq!(tx.try_send(b"", 0), Ok(true));
    let sender = spawn(move || {
        loop {
            match tx.try_send(&vec![5; most], 5) {
                Ok(sent) => assert!(!sent),
                Err(refused) => return refused,
            }
            wait(&mut [tx.case(most), idle.case()]);
        }
    });
    until_parked(&channel, 1);
    channel.close();
    assert_eq!(sender.join().unwrap(), SendError::Closed);
}
