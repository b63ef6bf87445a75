//! The end: when the last producer has left and all is drained, and not before.

use bchan::{Deadline, HandleError, ReceiveError, ReceiveSlots};
use bchan::{Receiving, Sending};
use std::time::Duration;

use crate::common::{Case, Order, message, messages, receive_all, receive_mixed, spawn, until_parked};
use crate::over_every_configuration;

over_every_configuration! {
    end_comes_once_the_last_producer_has_left_and_all_is_drained
    blocked_receiver_is_told_when_the_last_producer_leaves
    end_does_not_come_before_the_first_producer
    producer_that_comes_before_the_end_was_told_goes_on
}

fn end_comes_once_the_last_producer_has_left_and_all_is_drained<const N: usize>(case: &Case) {
    let channel = case.channel();
    let mut producers: Vec<_> = (0..case.max_producers).map(|_| channel.producer().unwrap()).collect();
    let mut rx = channel.consumer().unwrap();
    let count = case.share().min(20);
    if count == 0 {
        return;
    }
    for (producer, tx) in producers.iter_mut().enumerate() {
        tx.send_all(&messages::<N>(producer, 0..count as u64)).unwrap();
    }
    while let Some(leaver) = producers.pop() {
        assert!(!rx.is_ended(), "{} producers are there", producers.len() + 1);
        drop(leaver);
        assert_eq!(channel.active_producers(), producers.len());
    }
    assert!(!rx.is_ended(), "there are messages");
    let mut order = Order::default();
    for left in (0..count * case.max_producers).rev() {
        order.take(&rx.receive::<[u8; N]>().unwrap());
        assert_eq!(channel.len(), left);
    }
    assert_eq!(rx.receive::<[u8; N]>(), Err(ReceiveError::Ended));
    assert!(rx.is_ended());
    assert_eq!(channel.producer().unwrap_err(), HandleError::Ended);
    assert!(!channel.is_closed());
}

fn blocked_receiver_is_told_when_the_last_producer_leaves<const N: usize>(case: &Case) {
    let channel = case.channel();
    let producers: Vec<_> = (0..case.max_producers).map(|_| channel.producer().unwrap()).collect();
    let mut rx = channel.consumer().unwrap();
    let receiver = spawn(move || rx.receive::<[u8; N]>());
    until_parked(&channel, 1);
    drop(producers);
    assert_eq!(receiver.join().unwrap(), Err(ReceiveError::Ended));
}

fn end_does_not_come_before_the_first_producer<const N: usize>(case: &Case) {
    let channel = case.channel();
    let mut rx = channel.consumer().unwrap();
    assert!(!rx.is_ended());
    let soon = Deadline::after(Duration::from_millis(1));
    assert!(matches!(rx.wait_for_message(soon), Err(ReceiveError::TimedOut | ReceiveError::Interrupted)));
    let mut order = Order::default();
    let receiver = spawn(move || {
        receive_mixed::<N>(&mut rx, &mut order);
        order.counts()[0]
    });
    let mut tx = channel.producer().unwrap();
    tx.send_all(&messages::<N>(0, 0..3)).unwrap();
    drop(tx);
    assert_eq!(receiver.join().unwrap(), 3);
}

/// Being alone for a moment is not the end: only a consumer that found it so makes it.
fn producer_that_comes_before_the_end_was_told_goes_on<const N: usize>(case: &Case) {
    let channel = case.channel();
    let mut rx = channel.consumer().unwrap();
    for sequence in 0..5 {
        let mut tx = channel.producer().unwrap();
        assert_eq!(tx.try_send(message::<N>(0, sequence)), Ok(true));
        drop(tx);
        assert_eq!(receive_all::<N>(&mut rx), messages::<N>(0, sequence..sequence + 1));
    }
    assert_eq!(rx.receive::<[u8; N]>(), Err(ReceiveError::Ended));
    assert_eq!(channel.producer().unwrap_err(), HandleError::Ended);
}
