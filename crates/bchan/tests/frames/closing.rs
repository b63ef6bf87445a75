//! Closing and leaving: what was accepted is received, no more and no less.

use bchan::{
    FrameConsumer, HandleError, ReceiveError, ReceiveSlots, ReceivingFrames, SendError, SendSlots,
    SendingFrames,
};

use crate::common::{spawn, until_parked};
use crate::{Case, content, fill, length, over_every_configuration, receive, seed};

over_every_configuration! {
    the_end_comes_when_the_last_producer_has_left_and_all_is_received
    closing_refuses_and_keeps_what_was_accepted
    reservation_open_at_close_is_refused
    blocked_ones_are_told
    closing_while_producers_send_loses_nothing
}

fn drain(rx: &mut FrameConsumer) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    let mut buffer = Vec::new();
    while let Ok(kind) = rx.receive(&mut buffer) {
        all.push((kind, buffer.clone()));
    }
    assert!(rx.is_ended() && rx.claim().is_none());
    all
}

fn the_end_comes_when_the_last_producer_has_left_and_all_is_received(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.frame_producer().unwrap(), channel.frame_consumer().unwrap());
    let message = content(0, 0, case.capacity * 64);
    tx.send(&message, 0).unwrap();
    drop(tx);
    assert!(!rx.is_ended());
    assert_eq!(drain(&mut rx), [(0, message)]);
    assert_eq!(channel.frame_producer().unwrap_err(), HandleError::Ended);
}

fn closing_refuses_and_keeps_what_was_accepted(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.frame_producer().unwrap(), channel.frame_consumer().unwrap());
    let message = content(0, 0, case.capacity * 32 + 1);
    tx.send(&message, 0).unwrap();
    channel.close();
    assert_eq!(tx.try_send(b"late", 0), Err(SendError::Closed));
    assert_eq!(tx.send(&message, 0), Err(SendError::Closed));
    assert!(tx.is_closed() && channel.is_closed());
    assert_eq!(drain(&mut rx), [(0, message)]);
    assert_eq!((channel.stats().sent, channel.stats().received), (1, 1));
}

fn reservation_open_at_close_is_refused(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.frame_producer().unwrap(), channel.frame_consumer().unwrap());
    assert!(tx.reserve(65.min(case.capacity * 64)));
    fill(&mut tx, b"late");
    channel.close();
    assert_eq!(receive(&mut rx), None);
    assert_eq!(tx.commit(bchan::Frame { len: 4, kind: 0 }), Err(SendError::Closed));
    assert_eq!(drain(&mut rx), []);
    assert_eq!(channel.stats().sent, 0);
}

fn blocked_ones_are_told(case: &Case) {
    let channel = case.channel();
    let mut rx = channel.frame_consumer().unwrap();
    let receiver = spawn(move || (rx.receive(&mut Vec::new()), rx));
    until_parked(&channel, 1);
    channel.close();
    let (outcome, _rx) = receiver.join().unwrap();
    assert_eq!(outcome, Err(ReceiveError::Ended));

    let channel = case.channel();
    let mut tx = channel.frame_producer().unwrap();
    assert_eq!(tx.try_send(b"", 0), Ok(true));
    let most = tx.max_len();
    let sender = spawn(move || tx.send(&vec![1; most], 0));
    until_parked(&channel, 1);
    channel.close();
    assert_eq!(sender.join().unwrap(), Err(SendError::Closed));
}

fn closing_while_producers_send_loses_nothing(case: &Case) {
    for round in 0..10 {
        let (channel, seed) = (case.channel(), seed() + round);
        let senders: Vec<_> = (0..case.max_producers)
            .map(|producer| {
                let mut tx = channel.frame_producer().unwrap();
                spawn(move || {
                    let most = tx.max_len();
                    let message = |n| content(producer, n, length(seed, producer, n, most));
                    (0_u64..).take_while(|&n| tx.send(&message(n), producer as u8).is_ok()).count() as u64
                })
            })
            .collect();
        let mut rx = channel.frame_consumer().unwrap();
        let mut all: Vec<_> = (0..10 + round).map_while(|_| receive(&mut rx)).collect();
        channel.close();
        all.extend(drain(&mut rx));
        for (producer, sender) in senders.into_iter().enumerate() {
            let accepted = sender.join().unwrap();
            let most = case.capacity * 64;
            let sent = (0..accepted).map(|n| content(producer, n, length(seed, producer, n, most)));
            let got =
                all.iter().filter(|(kind, _)| usize::from(*kind) == producer).map(|(_, message)| message);
            assert!(got.cloned().eq(sent), "producer {producer}, {accepted} accepted");
        }
        assert_eq!(channel.stats().sent, all.len() as u64);
        assert!(channel.is_empty());
    }
}
