//! Closing: senders are refused, blocked ones too, and what was accepted is received exactly.

use bchan::{HandleError, ReceiveError, SendError, SendSlots};
use bchan::{Receiving, Sending};

use crate::common::{
    Case, Order, PRODUCERS, Random, message, messages, receive_all, receive_mixed, spawn, until_parked,
    wait_for_space,
};
use crate::over_every_configuration;

over_every_configuration! {
    closed_channel_refuses_what_is_sent_and_gives_what_it_has
    blocked_senders_are_told
    blocked_receiver_is_told
    what_was_accepted_is_received_and_nothing_else
}

fn closed_channel_refuses_what_is_sent_and_gives_what_it_has<const N: usize>(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    assert!(!channel.is_closed() && !tx.is_closed());
    let items = messages::<N>(0, 0..case.capacity.min(5) as u64);
    tx.send_all(&items).unwrap();
    channel.close();
    channel.close();
    assert!(channel.is_closed() && tx.is_closed());
    let item = message::<N>(0, 99);
    assert_eq!(tx.try_send(item), Err(SendError::Closed));
    assert_eq!(tx.send(item), Err(SendError::Closed));
    assert_eq!(tx.try_send_all(&[item]), Err(SendError::Closed));
    assert_eq!(tx.send_all(&[item]), Err(SendError::Closed));
    let free = tx.reserve(1);
    assert_eq!(tx.commit(free), Err(SendError::Closed));
    assert_eq!(wait_for_space(&mut tx), Err(SendError::Closed));
    assert_eq!(channel.producer().unwrap_err(), HandleError::Closed);
    assert_eq!(receive_all::<N>(&mut rx), items);
    assert_eq!(rx.receive::<[u8; N]>(), Err(ReceiveError::Ended));
    assert_eq!(rx.try_receive::<[u8; N]>(), None);
    assert_eq!(rx.receive::<[u8; N]>(), Err(ReceiveError::Ended), "the end stays");
}

fn blocked_senders_are_told<const N: usize>(case: &Case) {
    let channel = case.channel();
    let senders: Vec<_> = (0..case.max_producers)
        .map(|producer| {
            let mut tx = channel.producer().unwrap();
            let items = messages::<N>(producer, 0..case.capacity as u64);
            let sent = if producer < case.rings() { case.capacity } else { 0 };
            assert_eq!(tx.try_send_all(&items), Ok(sent));
            spawn(move || match producer {
                0 => tx.send(message::<N>(producer, 0)),
                1 => tx.send_all(&[message::<N>(producer, 0)]),
                _ => wait_for_space(&mut tx),
            })
        })
        .collect();
    until_parked(&channel, case.max_producers as u64);
    channel.close();
    for sender in senders {
        assert_eq!(sender.join().unwrap(), Err(SendError::Closed));
    }
    let mut order = Order::default();
    receive_mixed::<N>(&mut channel.consumer().unwrap(), &mut order);
    assert_eq!(order.counts().iter().sum::<u64>() as usize, case.capacity * case.rings());
}

fn blocked_receiver_is_told<const N: usize>(case: &Case) {
    let channel = case.channel();
    let _idle = channel.producer().unwrap();
    let mut rx = channel.consumer().unwrap();
    let receiver = spawn(move || rx.receive::<[u8; N]>());
    until_parked(&channel, 1);
    channel.close();
    assert_eq!(receiver.join().unwrap(), Err(ReceiveError::Ended));
}

/// Producers send until they are refused, while another thread closes at some moment.
fn what_was_accepted_is_received_and_nothing_else<const N: usize>(case: &Case) {
    let mut random = Random(case.capacity as u64);
    for _ in 0..if N > 1000 { 10 } else { 40 } {
        let channel = case.channel();
        let senders: Vec<_> = (0..case.max_producers)
            .map(|producer| {
                let mut tx = channel.producer().unwrap();
                spawn(move || {
                    let mut accepted = 0;
                    loop {
                        let batch = messages::<N>(producer, accepted..accepted + 1 + accepted % 4);
                        match tx.try_send_all(&batch) {
                            Ok(0) => match wait_for_space(&mut tx) {
                                Ok(()) => {}
                                Err(_) => return accepted,
                            },
                            Ok(n) => accepted += n as u64,
                            Err(_) => return accepted,
                        }
                    }
                })
            })
            .collect();
        let (closing, delay) = (channel.clone(), random.below(20_000));
        let closer = spawn(move || {
            (0..delay).for_each(|_| std::hint::spin_loop());
            closing.close();
        });
        let mut order = Order::default();
        receive_mixed::<N>(&mut channel.consumer().unwrap(), &mut order);
        closer.join().unwrap();
        let mut accepted = [0; PRODUCERS];
        for (producer, sender) in senders.into_iter().enumerate() {
            accepted[producer] = sender.join().unwrap();
        }
        assert_eq!(order.counts(), accepted);
        assert!(channel.is_empty());
    }
}
