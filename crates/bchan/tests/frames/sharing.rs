//! A shared ring: any number of consumers, and messages that are handed back.

use std::collections::BTreeSet;

use bchan::{FrameConsumer, Mode, ReceiveError, ReceivingFrames, SendSlots, SendingFrames};

use crate::common::{Random, spawn, until, until_parked};
use crate::{Case, content, front, over_every_configuration, receive, seed};

over_every_configuration! {
    each_message_goes_to_one_consumer
    messages_handed_back_come_again_to_any_consumer
    message_of_a_dropped_consumer_comes_again
    every_blocked_consumer_is_told_the_end
    one_message_wakes_one_consumer
    port_sends_and_receives_without_handles
}

const CONSUMERS: usize = 3;

fn is_shared(case: &Case) -> bool {
    case.mode != Mode::Mpsc
}

/// Its first eight bytes say whose it is and which; the rest follows from them.
fn numbered(producer: usize, sequence: u64, len: usize) -> Vec<u8> {
    let mut message = content(producer, sequence, len.max(8));
    message[..8].copy_from_slice(&((producer as u64) << 48 | sequence).to_le_bytes());
    message
}

fn number(message: &[u8]) -> (usize, u64) {
    let word = u64::from_le_bytes(message[..8].try_into().unwrap());
    let (producer, sequence) = ((word >> 48) as usize, word & ((1 << 48) - 1));
    assert!(message == numbered(producer, sequence, message.len()), "{sequence} of {producer} is torn");
    (producer, sequence)
}

fn each_message_goes_to_one_consumer(case: &Case) {
    if !is_shared(case) {
        return;
    }
    let (channel, seed, count) = (case.channel(), seed(), 500);
    let receivers: Vec<_> = (0..CONSUMERS)
        .map(|consumer| {
            let mut rx = channel.frame_consumer().unwrap();
            let mut random = Random(seed + consumer as u64);
            spawn(move || {
                let (mut seen, mut buffer) = (Vec::new(), Vec::new());
                loop {
                    if random.one_in(4)
                        && let Some(frame) = rx.peek()
                    {
                        if random.one_in(2) {
                            rx.hand_back();
                        } else {
                            seen.push(number(front(&rx, frame.len)));
                            rx.release();
                        }
                    }
                    match rx.receive(&mut buffer) {
                        Ok(_) => seen.push(number(&buffer)),
                        Err(stop) => break assert_eq!(stop, ReceiveError::Ended),
                    }
                }
                seen
            })
        })
        .collect();
    let producers: Vec<_> = (0..case.max_producers).map(|_| channel.frame_producer().unwrap()).collect();
    let senders: Vec<_> = producers
        .into_iter()
        .enumerate()
        .map(|(producer, mut tx)| {
            let mut random = Random(!seed + producer as u64);
            spawn(move || {
                for sequence in 0..count {
                    let limit = if random.one_in(5) { tx.max_len() } else { 200.min(tx.max_len()) };
                    let len = random.below(limit as u64 + 1) as usize;
                    if random.one_in(6) && tx.reserve(len) {
                        tx.abort();
                    }
                    tx.send(&numbered(producer, sequence, len), 0).unwrap();
                }
            })
        })
        .collect();
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let mut all = BTreeSet::new();
    for receiver in receivers {
        for message in receiver.join().unwrap() {
            assert!(all.insert(message), "{message:?} came twice");
        }
    }
    assert_eq!(all.len() as u64, count * case.max_producers as u64);
    assert!(channel.is_empty());
}

fn messages_handed_back_come_again_to_any_consumer(case: &Case) {
    if !is_shared(case) || case.capacity < 8 {
        return;
    }
    let channel = case.channel();
    let mut tx = channel.frame_producer().unwrap();
    let (mut first, mut second) = (channel.frame_consumer().unwrap(), channel.frame_consumer().unwrap());
    for round in 0..40 {
        let messages = [3, 1, 2].map(|slots| content(0, round, slots * 64 - 7));
        messages.iter().for_each(|message| assert_eq!(tx.try_send(message, 0), Ok(true)));
        let frame = first.peek().unwrap();
        assert_eq!(front(&first, frame.len), messages[0]);
        assert_eq!(receive(&mut second), Some((0, messages[1].clone())));
        assert_eq!(channel.len(), 2);
        first.hand_back();
        assert_eq!(channel.len(), 2);
        let rx = if round % 2 == 0 { &mut first } else { &mut second };
        assert_eq!(receive(rx), Some((0, messages[0].clone())), "before all others");
        assert_eq!(receive(rx), Some((0, messages[2].clone())));
        assert_eq!(receive(rx), None);
        assert!(channel.is_empty());
    }
}

fn message_of_a_dropped_consumer_comes_again(case: &Case) {
    let channel = case.channel();
    let mut tx = channel.frame_producer().unwrap();
    let message = content(0, 0, case.capacity * 64);
    tx.send(&message, 0).unwrap();
    let mut rx = channel.frame_consumer().unwrap();
    assert_eq!(rx.peek().unwrap().len, message.len());
    if is_shared(case) {
        let mut other = channel.frame_consumer().unwrap();
        let waits = channel.stats().waits;
        let waiting = spawn(move || {
            let mut buffer = Vec::new();
            other.receive(&mut buffer).map(|_| buffer)
        });
        until(|| channel.stats().waits > waits);
        drop(rx);
        assert_eq!(waiting.join().unwrap(), Ok(message));
    } else {
        drop(rx);
        assert_eq!(receive(&mut channel.frame_consumer().unwrap()), Some((0, message)));
    }
}

fn every_blocked_consumer_is_told_the_end(case: &Case) {
    if !is_shared(case) {
        return;
    }
    let channel = case.channel();
    let tx = channel.frame_producer().unwrap();
    let consumers: Vec<_> = (0..CONSUMERS)
        .map(|_| {
            let mut rx = channel.frame_consumer().unwrap();
            spawn(move || rx.receive(&mut Vec::new()))
        })
        .collect();
    until_parked(&channel, CONSUMERS as u64);
    drop(tx);
    consumers.into_iter().for_each(|consumer| assert_eq!(consumer.join().unwrap(), Err(ReceiveError::Ended)));
}

fn one_message_wakes_one_consumer(case: &Case) {
    if !is_shared(case) {
        return;
    }
    let channel = case.channel();
    let mut tx = channel.frame_producer().unwrap();
    // All of them first: where processes share it, who comes wakes those who wait.
    let handles: Vec<_> = (0..CONSUMERS).map(|_| channel.frame_consumer().unwrap()).collect();
    let receive = |mut rx: FrameConsumer| spawn(move || (rx.receive(&mut Vec::new()), rx));
    let consumers: Vec<_> = handles.into_iter().map(receive).collect();
    until_parked(&channel, CONSUMERS as u64);
    for sent in 1..=CONSUMERS {
        let waits = channel.stats().waits;
        tx.send(&vec![0; case.capacity * 64], 0).unwrap();
        until(|| consumers.iter().filter(|consumer| consumer.is_finished()).count() == sent);
        let stats = channel.stats();
        assert_eq!((stats.wakes, stats.waits), (sent as u64, waits), "nobody else was woken");
    }
    consumers.into_iter().for_each(|consumer| assert!(consumer.join().unwrap().0.is_ok()));
}

fn port_sends_and_receives_without_handles(case: &Case) {
    let channel = case.channel();
    assert!(channel.port().is_none(), "that is for items");
    assert_eq!(channel.frame_port().is_some(), case.is_mpmc());
    let Some(port) = channel.frame_port() else { return };
    let mut buffer = Vec::new();
    for (sequence, len) in case.lengths().into_iter().enumerate() {
        let message = content(0, sequence as u64, len);
        assert_eq!(port.sender().unwrap().try_send(&message, 5), Ok(true));
        assert_eq!(port.receiver().unwrap().try_receive(&mut buffer), Some(5));
        assert_eq!(buffer, message);
    }
    let mut sender = port.sender().unwrap();
    assert!(sender.claim(1));
    drop(sender);
    assert_eq!(port.receiver().unwrap().try_receive(&mut buffer), None);
}
