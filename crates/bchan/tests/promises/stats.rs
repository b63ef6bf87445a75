//! The counters are exact once all is quiet.

use bchan::{Receiving, Sending};
use std::time::Duration;

use bchan::Mode;

use crate::common::{Case, fill, messages, receive_all, spawn, until_parked};
use crate::over_every_configuration;

over_every_configuration! {
    sent_and_received_are_exact
    waits_and_time_parked_are_counted
    memory_and_barrier_are_told
}

fn sent_and_received_are_exact<const N: usize>(case: &Case) {
    let channel = case.channel();
    let mut producers: Vec<_> = (0..case.max_producers).map(|_| channel.producer().unwrap()).collect();
    let mut rx = channel.consumer().unwrap();
    let (mut sent, mut received) = (0, 0);
    for round in 0..20 {
        for tx in &mut producers {
            sent += tx.try_send_all(&messages::<N>(0, 0..1 + round % 7)).unwrap();
            let n = tx.reserve(2);
            fill(tx, &messages::<N>(0, 0..n as u64));
            tx.commit(n / 2).unwrap();
            sent += n / 2;
        }
        if round % 2 == 0 {
            received += receive_all::<N>(&mut rx).len();
        }
        let stats = channel.stats();
        assert_eq!((stats.sent, stats.received), (sent as u64, received as u64));
        assert_eq!(channel.len(), sent - received);
        let most = rx.available(usize::MAX);
        let is_cut = !(stats.mirrored || case.mode == Mode::Mpsc);
        assert!(most == sent - received || (is_cut && most > 0), "{most} available of {}", sent - received);
        assert_eq!(rx.available(1), (sent - received).min(1));
        rx.release(0);
    }
}

fn waits_and_time_parked_are_counted<const N: usize>(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    let receiver = spawn(move || rx.receive::<[u8; N]>());
    until_parked(&channel, 1);
    tx.send(messages::<N>(0, 0..1)[0]).unwrap();
    receiver.join().unwrap().unwrap();
    let stats = channel.stats();
    assert!(stats.waits >= 1);
    assert!(stats.time_parked > Duration::ZERO && stats.time_parked < Duration::from_secs(100));
}

fn memory_and_barrier_are_told<const N: usize>(case: &Case) {
    let channel = case.channel();
    let before = channel.stats();
    assert_eq!(before.barrier, case.barrier);
    let ring = (N * case.capacity) as u64;
    assert!(before.bytes_mapped >= ring * case.rings() as u64);
    let _tx = channel.producer().unwrap();
    let after = channel.stats();
    // 100,003 bytes make whole pages only after 4,096 slots: too much padding.
    let can_mirror = cfg!(all(target_os = "linux", not(feature = "portable"))) && N < 1000;
    assert_eq!(after.mirrored, can_mirror);
    assert_eq!(after.bytes_mapped > before.bytes_mapped, can_mirror, "a ring in use is mapped again");
}
