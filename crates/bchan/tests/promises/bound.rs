//! Never more than `capacity` messages of a ring are in flight; full means false.

use bchan::{Receiving, Sending};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::{Case, message, messages, receive_all, spawn};
use crate::over_every_configuration;

over_every_configuration! {
    full_ring_refuses_and_overwrites_nothing
    batch_is_cut_to_the_space_there_is
    no_more_than_the_capacity_is_in_flight
}

fn full_ring_refuses_and_overwrites_nothing<const N: usize>(case: &Case) {
    let channel = case.channel();
    let mut producers: Vec<_> = (0..case.max_producers).map(|_| channel.producer().unwrap()).collect();
    let mut rx = channel.consumer().unwrap();
    let capacity = case.capacity as u64;
    for turn in 0..3 {
        for (producer, tx) in producers.iter_mut().take(case.rings()).enumerate() {
            let first = turn * (capacity + 1);
            for sequence in first..first + capacity {
                assert_eq!(tx.try_send(message::<N>(producer, sequence)), Ok(true));
            }
        }
        for (producer, tx) in producers.iter_mut().enumerate() {
            assert_eq!(tx.try_send(message::<N>(producer, 99)), Ok(false));
            assert_eq!(tx.try_send_all(&messages::<N>(producer, 90..99)), Ok(0));
            assert_eq!(tx.reserve(1), 0);
        }
        assert_eq!(channel.len(), case.capacity * case.rings());
        rx.try_receive::<[u8; N]>().unwrap();
        let one_more = |tx: &mut bchan::Producer| tx.try_send(message::<N>(0, 0)).unwrap();
        assert_eq!(producers.iter_mut().filter_map(|tx| one_more(tx).then_some(())).count(), 1);
        assert!(!producers.iter_mut().any(one_more), "it took the one free slot");
        receive_all::<N>(&mut rx);
        assert!(channel.is_empty());
    }
}

fn batch_is_cut_to_the_space_there_is<const N: usize>(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    let batch = messages::<N>(0, 0..case.capacity as u64 + 3);
    assert_eq!(tx.try_send_all(&batch), Ok(case.capacity));
    assert_eq!(rx.try_receive(), Some(batch[0]));
    assert_eq!(tx.try_send_all(&batch[case.capacity..]), Ok(1));
    assert_eq!(receive_all::<N>(&mut rx), batch[1..=case.capacity]);
    assert_eq!(tx.try_send_all::<[u8; N]>(&[]), Ok(0));
}

fn no_more_than_the_capacity_is_in_flight<const N: usize>(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    let (accepted, count) = (Arc::new(AtomicU64::new(0)), case.messages());
    let counter = accepted.clone();
    let sender = spawn(move || {
        for sequence in 0..count {
            tx.send(message::<N>(0, sequence)).unwrap();
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    for received in 0..count {
        while rx.peek(1) == 0 {
            std::thread::yield_now();
        }
        let in_flight = accepted.load(Ordering::Relaxed).saturating_sub(received);
        assert!(in_flight <= case.capacity as u64, "{in_flight} in flight of {}", case.capacity);
        assert!(channel.len() <= case.capacity);
        rx.release(1);
    }
    sender.join().unwrap();
}
