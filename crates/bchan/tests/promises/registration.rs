//! Independence: producers come, stay idle and leave as they like; nobody waits for them.

use bchan::{Channel, Config, HandleError};
use bchan::{Receiving, Sending};

use crate::common::{Case, in_time, message, messages, receive_all, spawn};
use crate::over_every_configuration;

over_every_configuration! {
    all_places_can_be_taken_and_no_more
    place_is_used_again_and_memory_does_not_grow
    undrained_lane_goes_to_the_next_producer_in_order
}

fn all_places_can_be_taken_and_no_more<const N: usize>(case: &Case) {
    let channel = case.channel();
    let max_producers = case.max_producers;
    let mut producers = Vec::new();
    for registered in 0..max_producers {
        assert_eq!(channel.active_producers(), registered);
        producers.push(channel.producer().unwrap());
    }
    assert_eq!(channel.producer().unwrap_err(), HandleError::ProducersTaken { max_producers });
    producers.pop();
    producers.push(channel.producer().unwrap());
    assert_eq!(channel.active_producers(), max_producers);
    assert_eq!((channel.capacity(), channel.item_size()), (case.capacity, N));
    assert_eq!(channel.max_producers(), max_producers);
}

fn place_is_used_again_and_memory_does_not_grow<const N: usize>(case: &Case) {
    let channel = case.channel();
    let mut rx = channel.consumer().unwrap();
    let _idle: Vec<_> = (1..case.max_producers).map(|_| channel.producer().unwrap()).collect();
    let mut mapped = None;
    for sequence in 0..200 {
        let mut tx = channel.producer().unwrap();
        assert_eq!(tx.try_send(message::<N>(0, sequence)), Ok(true));
        assert_eq!(receive_all::<N>(&mut rx), messages::<N>(0, sequence..sequence + 1));
        let now = channel.stats().bytes_mapped;
        assert_eq!(*mapped.get_or_insert(now), now);
    }
}

fn undrained_lane_goes_to_the_next_producer_in_order<const N: usize>(case: &Case) {
    let channel = case.channel();
    let mut rx = channel.consumer().unwrap();
    let part = case.capacity as u64 / 2;
    // Every place is left with something in it, so that the next ones find no drained lane.
    let mut producers: Vec<_> = (0..case.rings()).map(|_| channel.producer().unwrap()).collect();
    for tx in &mut producers {
        assert_eq!(tx.try_send_all(&messages::<N>(0, 0..part)), Ok(part as usize));
    }
    drop(producers);
    let mut heirs: Vec<_> = (0..case.rings()).map(|_| channel.producer().unwrap()).collect();
    let rest = messages::<N>(0, part..case.capacity as u64 + 1);
    for tx in &mut heirs {
        assert_eq!(tx.try_send_all(&rest), Ok(case.capacity - part as usize), "the bound holds");
    }
    let mut seen = receive_all::<N>(&mut rx);
    // Lanes take turns, each in its order: sorted stably by sequence, all are there.
    let whole = messages::<N>(0, 0..case.capacity as u64);
    assert_eq!(seen.len(), whole.len() * case.rings());
    if case.rings() == 1 {
        assert_eq!(seen, whole);
    } else {
        seen.sort_unstable();
        let mut all = whole.repeat(case.rings());
        all.sort_unstable();
        assert_eq!(seen, all);
    }
}

fn many(max_producers: usize) -> Channel {
    Channel::new(&Config { capacity: 16, max_producers, ..Config::default() }).unwrap()
}

#[test]
fn one_active_producer_among_512_is_heard() {
    in_time(|| {
        let channel = many(512);
        let mut producers: Vec<_> = (0..512).map(|_| channel.producer().unwrap()).collect();
        let mut rx = channel.consumer().unwrap();
        for active in [0, 63, 64, 300, 511] {
            let mut tx = producers.remove(active);
            let sender = spawn(move || {
                (0..1000_u64).for_each(|i| tx.send(i).unwrap());
                tx
            });
            (0..1000_u64).for_each(|i| assert_eq!(rx.receive(), Ok(i)));
            producers.insert(active, sender.join().unwrap());
        }
    });
}

#[test]
fn lane_with_room_is_preferred_to_an_undrained_one() {
    let channel = many(2);
    let mut leaver = channel.producer().unwrap();
    assert_eq!(leaver.try_send_all(&[1_u64; 10]), Ok(10));
    drop(leaver);
    let mut heir = channel.producer().unwrap();
    assert_eq!(heir.try_send_all(&[2_u64; 20]), Ok(16), "all of another lane");
}

#[test]
fn producers_come_and_go_from_many_threads() {
    in_time(|| {
        let channel = many(4);
        let stays = channel.producer().unwrap();
        let mut rx = channel.consumer().unwrap();
        let visitors: Vec<_> = (0..3_u64)
            .map(|thread| {
                let channel = channel.clone();
                spawn(move || {
                    for visit in 0..500 {
                        channel.producer().unwrap().send(thread * 1000 + visit).unwrap();
                    }
                })
            })
            .collect();
        let mut seen: Vec<u64> = (0..1500).map(|_| rx.receive().unwrap()).collect();
        seen.sort_unstable();
        let all: Vec<u64> =
            (0..3).flat_map(|thread| (0..500).map(move |visit| thread * 1000 + visit)).collect();
        assert_eq!(seen, all);
        visitors.into_iter().for_each(|visitor| visitor.join().unwrap());
        assert_eq!(channel.active_producers(), 1);
        drop(stays);
    });
}
