//! Claims and fronts: slots written and read in place.

use crate::common::{Case, Order, fill, front, messages, receive_all};
use crate::over_every_configuration;
use bchan::{Receiving, Sending};

over_every_configuration! {
    claims_and_fronts_cross_the_rings_end
    only_what_is_committed_is_sent
    only_what_is_released_is_gone
}

/// A ring mapped twice gives one piece wherever it starts, any other at most two.
fn claims_and_fronts_cross_the_rings_end<const N: usize>(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    let pieces = if channel.stats().mirrored { 1 } else { 2 };
    let (mut order, mut sent) = (Order::default(), 0);
    for start in 0..case.capacity.min(70) {
        let (mut claims, mut fronts, mut claimed) = (0, 0, 0);
        while claimed < case.capacity {
            let n = tx.reserve(case.capacity);
            assert!((1..=case.capacity - claimed).contains(&n), "{n} free after {claimed}");
            fill(&mut tx, &messages::<N>(0, sent..sent + n as u64));
            tx.commit(n).unwrap();
            (claims, claimed, sent) = (claims + 1, claimed + n, sent + n as u64);
        }
        while !channel.is_empty() {
            let n = rx.peek(case.capacity);
            order.take_all(front::<N>(&rx, n));
            rx.release(n);
            fronts += 1;
        }
        assert!(claims <= pieces && fronts <= pieces, "{claims} claims, {fronts} fronts from {start} on");
        // The next round starts one slot further on.
        let step = messages::<N>(0, sent..sent + 1);
        assert_eq!(tx.try_send_all(&step), Ok(1));
        order.take_all(&receive_all::<N>(&mut rx));
        sent += 1;
    }
}

fn only_what_is_committed_is_sent<const N: usize>(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    let (mut order, mut sent) = (Order::default(), 0);
    for round in 0..case.capacity.min(20) {
        let n = tx.reserve(case.capacity);
        fill(&mut tx, &messages::<N>(0, sent..sent + n as u64));
        assert!(channel.is_empty() && rx.peek(1) == 0, "claimed is not sent");
        let part = round % (n + 1);
        tx.commit(part).unwrap();
        assert_eq!(channel.len(), part);
        sent += part as u64;
        order.take_all(&receive_all::<N>(&mut rx));
        assert_eq!(order.counts()[0], sent, "the rest was given back");
    }
}

fn only_what_is_released_is_gone<const N: usize>(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    let items = messages::<N>(0, 0..case.capacity.min(20) as u64);
    assert_eq!(tx.try_send_all(&items), Ok(items.len()));
    let mut at = 0;
    while at < items.len() {
        let n = rx.peek(items.len());
        assert_eq!(front::<N>(&rx, n), &items[at..at + n]);
        assert_eq!(front::<N>(&rx, 1), &items[at..=at], "a second look shows the same");
        let part = n.div_ceil(2);
        rx.release(part);
        at += part;
        assert_eq!(channel.len(), items.len() - at);
    }
    assert_eq!(rx.peek(1), 0);
}
