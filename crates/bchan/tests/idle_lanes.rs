//! Idle producers cost nothing: 512 registered, one active, is about one alone.
#![cfg(not(loom))]

use bchan::{Receiving, Sending};
use std::time::Instant;

use bchan::{Channel, Config};

fn channel(capacity: usize, max_producers: usize) -> Channel {
    Channel::new(&Config { capacity, max_producers, ..Config::default() }).unwrap()
}

#[test]
fn one_active_lane_among_512_costs_about_what_one_alone_costs() {
    let rate = |lanes: usize| {
        let channel = channel(1024, lanes);
        let mut producers: Vec<_> = (0..lanes).map(|_| channel.producer().unwrap()).collect();
        let mut rx = channel.consumer().unwrap();
        producers.iter_mut().for_each(|tx| tx.send(0_u64).unwrap());
        (0..lanes).for_each(|_| assert!(rx.try_receive::<u64>().is_some()));
        let tx = &mut producers[lanes / 2];
        let best = (0..20).map(|_| {
            let start = Instant::now();
            for n in 0..5000_u64 {
                tx.send(n).unwrap();
                assert_eq!(rx.try_receive(), Some(n));
                assert_eq!(rx.try_receive::<u64>(), None);
            }
            start.elapsed()
        });
        best.min().unwrap()
    };
    let (one, many) = (rate(1), rate(512));
    assert!(many < one * 3, "{one:?} alone, {many:?} among 512");
}
