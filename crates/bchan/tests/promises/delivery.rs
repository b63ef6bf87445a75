//! Nothing is lost, nothing comes twice, and each producer's messages keep their order.

use crate::common::{
    Case, Order, PRODUCERS, message, messages, receive_all, receive_mixed, send_mixed, spawn,
};
use crate::over_every_configuration;
use bchan::{Receiving, Sending};

over_every_configuration! {
    what_several_threads_send_arrives_once_and_in_order
    what_one_thread_sends_arrives_once_and_in_order
    batch_longer_than_the_ring_goes_through
}

fn what_several_threads_send_arrives_once_and_in_order<const N: usize>(case: &Case) {
    let (channel, count) = (case.channel(), case.messages());
    let senders: Vec<_> = (0..case.max_producers)
        .map(|producer| {
            let mut tx = channel.producer().unwrap();
            spawn(move || send_mixed::<N>(&mut tx, producer, 0..count).unwrap())
        })
        .collect();
    let mut order = Order::default();
    receive_mixed::<N>(&mut channel.consumer().unwrap(), &mut order);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let expected: [u64; PRODUCERS] =
        std::array::from_fn(|producer| if producer < case.max_producers { count } else { 0 });
    assert_eq!(order.counts(), expected);
    assert!(channel.is_empty());
}

fn what_one_thread_sends_arrives_once_and_in_order<const N: usize>(case: &Case) {
    let channel = case.channel();
    let mut producers: Vec<_> = (0..case.max_producers).map(|_| channel.producer().unwrap()).collect();
    let mut rx = channel.consumer().unwrap();
    let mut order = Order::default();
    let mut sent = [0; PRODUCERS];
    for round in 0..case.messages() / 3 {
        for (producer, tx) in producers.iter_mut().enumerate() {
            let batch = messages::<N>(producer, sent[producer]..sent[producer] + 1 + round % 5);
            sent[producer] += tx.try_send_all(&batch).unwrap() as u64;
            sent[producer] += u64::from(tx.try_send(message::<N>(producer, sent[producer])).unwrap());
        }
        if round % 3 != 0 {
            order.take_all(&receive_all::<N>(&mut rx));
        } else if let Some(item) = rx.try_receive::<[u8; N]>() {
            order.take(&item);
        }
    }
    order.take_all(&receive_all::<N>(&mut rx));
    assert_eq!(order.counts(), sent);
}

fn batch_longer_than_the_ring_goes_through<const N: usize>(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    let count = (case.capacity as u64 * 5 / 2).clamp(3, 300);
    let sender = spawn(move || tx.send_all(&messages::<N>(0, 0..count)).unwrap());
    let mut order = Order::default();
    receive_mixed::<N>(&mut rx, &mut order);
    sender.join().unwrap();
    assert_eq!(order.counts()[0], count);
}
