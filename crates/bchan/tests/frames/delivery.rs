//! Every length arrives, whole, once and in order, wherever it starts in the ring.

use bchan::{
    Frame, FrameConsumer, FrameProducer, ReceiveError, ReceivingFrames, SendError, SendSlots, SendingFrames,
};

use crate::common::{Random, spawn};
use crate::{Case, content, fill, front, length, over_every_configuration, receive, seed};

over_every_configuration! {
    every_length_arrives_from_every_place
    messages_of_no_bytes_take_a_slot
    messages_fill_the_ring_and_no_more
    what_is_too_long_never_fits
    kinds_arrive_with_their_messages
    producers_messages_arrive_in_their_order
    next_consumer_goes_on_where_the_last_one_stopped
}

fn every_length_arrives_from_every_place(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.frame_producer().unwrap(), channel.frame_consumer().unwrap());
    let mut sequence = 0;
    for _ in 0..case.capacity {
        for len in case.lengths() {
            // Back to where this round began: the ring turns by whole laps.
            let slots = len.div_ceil(64).max(1);
            let message = content(0, sequence, len);
            assert_eq!(tx.try_send(&message, 0), Ok(true));
            assert_eq!(channel.len(), 1);
            assert_eq!(receive(&mut rx), Some((0, message)));
            (0..(case.capacity - slots % case.capacity) % case.capacity).for_each(|_| step(&mut tx, &mut rx));
            sequence += 1;
        }
        step(&mut tx, &mut rx);
    }
    assert_eq!(receive(&mut rx), None);
    assert_eq!(channel.stats().sent, channel.stats().received);
    assert!(channel.is_empty());
}

/// Moves the ring on by a slot.
fn step(tx: &mut FrameProducer, rx: &mut FrameConsumer) {
    assert_eq!(tx.try_send(b"", 0), Ok(true));
    assert_eq!(receive(rx), Some((0, Vec::new())));
}

fn messages_of_no_bytes_take_a_slot(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.frame_producer().unwrap(), channel.frame_consumer().unwrap());
    for _ in 0..3 {
        (0..case.capacity).for_each(|_| assert_eq!(tx.try_send(b"", 3), Ok(true)));
        assert_eq!(tx.try_send(b"", 3), Ok(false));
        assert_eq!(channel.len(), case.capacity);
        (0..case.capacity).for_each(|_| assert_eq!(receive(&mut rx), Some((3, Vec::new()))));
        assert_eq!(receive(&mut rx), None);
    }
}

fn messages_fill_the_ring_and_no_more(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.frame_producer().unwrap(), channel.frame_consumer().unwrap());
    step(&mut tx, &mut rx);
    assert_eq!(tx.try_send(&content(0, 0, case.capacity * 64 - 63), 0), Ok(true));
    assert_eq!(tx.try_send(b"", 0), Ok(false));
    assert_eq!(receive(&mut rx).unwrap().1.len(), case.capacity * 64 - 63);
    if case.capacity > 1 {
        assert_eq!(tx.try_send(b"short", 0), Ok(true));
        assert_eq!(tx.try_send(&content(0, 1, case.capacity * 64), 0), Ok(false), "one slot is missing");
        assert_eq!(tx.try_send(&content(0, 1, case.capacity * 64 - 64), 0), Ok(true));
        assert_eq!(receive(&mut rx), Some((0, b"short".to_vec())));
        assert_eq!(receive(&mut rx), Some((0, content(0, 1, case.capacity * 64 - 64))));
    }
}

fn what_is_too_long_never_fits(case: &Case) {
    let channel = case.channel();
    let mut tx = channel.frame_producer().unwrap();
    assert_eq!((tx.max_len(), channel.max_len()), (case.capacity * 64, case.capacity * 64));
    assert!(!tx.claim(tx.max_len() + 1) && !tx.reserve(usize::MAX));
    assert!(tx.claim(tx.max_len()));
    tx.abort();
    let long = vec![0; tx.max_len() + 1];
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tx.try_send(&long, 0)));
    assert!(refused.is_err());
    assert!(channel.is_empty());
}

fn kinds_arrive_with_their_messages(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.frame_producer().unwrap(), channel.frame_consumer().unwrap());
    for kind in [0, 1, 127, 255] {
        assert_eq!(tx.try_send(&[kind], kind), Ok(true));
        let frame = rx.claim().unwrap();
        assert_eq!((frame, front(&rx, 1)), (Frame { len: 1, kind }, &[kind][..]));
        rx.release();
    }
}

/// Sends `count` messages, in all ways, and gives claims up in between. Each says in its kind who sent it.
fn send_mixed(tx: &mut FrameProducer, producer: usize, count: u64, seed: u64) -> Result<(), SendError> {
    let most = tx.max_len();
    for sequence in 0..count {
        let message = content(producer, sequence, length(seed, producer, sequence, most));
        let frame = Frame { len: message.len(), kind: producer as u8 };
        if sequence % 3 == 0 {
            tx.send(&message, frame.kind)?;
            continue;
        }
        // More than is needed, or just that; given up, and made anew.
        let room = if sequence % 2 == 0 { (message.len() * 2).min(most) } else { message.len() };
        for gives_up in [sequence % 5 == 0, false] {
            while !tx.reserve(room) {
                tx.wait_for_room(room, bchan::Deadline::NEVER)?;
            }
            if gives_up {
                tx.abort();
            } else {
                fill(tx, &message);
                tx.commit(frame)?;
                break;
            }
        }
    }
    Ok(())
}

/// Receives to the end, in all ways, and checks.
fn receive_mixed(rx: &mut FrameConsumer, next: &mut [u64], seed: u64, most: usize) {
    let mut random = Random(seed);
    let mut buffer = Vec::new();
    loop {
        let kind = match random.below(3) {
            0 => match rx.receive(&mut buffer) {
                Ok(kind) => kind,
                Err(stop) => return assert_eq!(stop, ReceiveError::Ended),
            },
            1 => match rx.peek() {
                Some(frame) => {
                    buffer.clear();
                    buffer.extend_from_slice(front(rx, frame.len));
                    if random.one_in(3) {
                        rx.hand_back();
                        continue;
                    }
                    rx.release();
                    frame.kind
                }
                None => continue,
            },
            _ => match rx.try_receive(&mut buffer) {
                Some(kind) => kind,
                None => continue,
            },
        };
        let (producer, sequence) = (usize::from(kind), next[usize::from(kind)]);
        let expected = content(producer, sequence, length(seed, producer, sequence, most));
        assert!(buffer == expected, "message {sequence} of producer {producer}");
        next[producer] += 1;
    }
}

fn producers_messages_arrive_in_their_order(case: &Case) {
    let (channel, seed, count) = (case.channel(), seed(), 400);
    let producers: Vec<_> = (0..case.max_producers).map(|_| channel.frame_producer().unwrap()).collect();
    let mut rx = channel.frame_consumer().unwrap();
    let senders: Vec<_> = producers
        .into_iter()
        .enumerate()
        .map(|(producer, mut tx)| spawn(move || send_mixed(&mut tx, producer, count, seed).unwrap()))
        .collect();
    let mut next = vec![0; case.max_producers];
    receive_mixed(&mut rx, &mut next, seed, case.capacity * 64);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert_eq!(next, vec![count; case.max_producers]);
    let (stats, all) = (channel.stats(), count * case.max_producers as u64);
    assert_eq!((stats.sent, stats.received, channel.len()), (all, all, 0));
}

fn next_consumer_goes_on_where_the_last_one_stopped(case: &Case) {
    let channel = case.channel();
    let mut tx = channel.frame_producer().unwrap();
    let (mut sent, mut received) = (0, 0);
    for round in 0..30_u64 {
        let len = length(round, 0, sent, case.capacity * 64);
        if tx.try_send(&content(0, sent, len), 0).unwrap() {
            sent += 1;
        }
        let mut rx = channel.frame_consumer().unwrap();
        match round % 3 {
            0 => {}
            1 => drop(rx.peek()),
            _ => {
                if let Some((_, message)) = receive(&mut rx) {
                    assert_eq!(message, content(0, received, message.len()));
                    received += 1;
                }
            }
        }
    }
    let mut rx = channel.frame_consumer().unwrap();
    while let Some((_, message)) = receive(&mut rx) {
        assert_eq!(message, content(0, received, message.len()));
        received += 1;
    }
    assert_eq!(sent, received);
}
