//! Lanes have one consumer at a time; the next goes on where the last one stopped.

use bchan::{HandleError, Mode};
use bchan::{Receiving, Sending};

use crate::common::{Case, Order, messages, receive_all, receive_mixed, send_mixed, spawn};
use crate::over_every_configuration;

over_every_configuration! {
    second_consumer_of_lanes_is_refused_while_the_first_is_there
    next_consumer_goes_on_where_the_last_one_stopped
    consumers_follow_one_another_while_producers_send
}

fn second_consumer_of_lanes_is_refused_while_the_first_is_there<const N: usize>(case: &Case) {
    let channel = case.channel();
    let first = channel.consumer().unwrap();
    match case.mode {
        Mode::Mpsc => {
            assert_eq!(channel.consumer().unwrap_err(), HandleError::ConsumersTaken { max_consumers: 1 });
        }
        Mode::Spmc | Mode::Mpmc => drop(channel.consumer().unwrap()),
    }
    drop(first);
    channel.consumer().unwrap();
}

/// In each state that a lane can have: never used, watched and drained, watched and not drained,
/// rung and never looked at.
fn next_consumer_goes_on_where_the_last_one_stopped<const N: usize>(case: &Case) {
    let channel = case.channel();
    let mut tx = channel.producer().unwrap();
    drop(channel.consumer().unwrap());
    let mut order = Order::default();
    let mut sent = 0;
    for round in 0..10 {
        let batch = messages::<N>(0, sent..sent + case.capacity.min(4) as u64);
        sent += tx.try_send_all(&batch).unwrap() as u64;
        let mut rx = channel.consumer().unwrap();
        match round % 3 {
            0 => order.take_all(&receive_all::<N>(&mut rx)),
            1 => order.take(&rx.try_receive::<[u8; N]>().unwrap()),
            _ => drop(rx),
        }
    }
    order.take_all(&receive_all::<N>(&mut channel.consumer().unwrap()));
    assert_eq!(order.counts()[0], sent);
}

fn consumers_follow_one_another_while_producers_send<const N: usize>(case: &Case) {
    let (channel, count) = (case.channel(), case.messages().min(1000));
    let senders: Vec<_> = (0..case.max_producers)
        .map(|producer| {
            let mut tx = channel.producer().unwrap();
            spawn(move || send_mixed::<N>(&mut tx, producer, 0..count).unwrap())
        })
        .collect();
    let mut order = Order::default();
    for turn in 0..20 {
        let mut rx = channel.consumer().unwrap();
        let received = (0..turn).map_while(|_| rx.receive::<[u8; N]>().ok());
        received.for_each(|item| order.take(&item));
    }
    receive_mixed::<N>(&mut channel.consumer().unwrap(), &mut order);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert_eq!(order.counts().iter().sum::<u64>(), count * case.max_producers as u64);
}
