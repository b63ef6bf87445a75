//! Claims and fronts: slots written and read in place.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::common::{Case, Order, fill, front, message, messages, receive_all};
use crate::over_every_configuration;
use bchan::{Deadline, ReceiveError, ReceiveSlots, Receiving, Sending};

over_every_configuration! {
    claims_and_fronts_cross_the_rings_end
    only_what_is_committed_is_sent
    only_what_is_released_is_gone
    more_than_was_claimed_is_not_sent
    more_than_was_claimed_is_not_taken
    claim_that_is_dropped_sends_nothing_and_takes_nothing
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

/// Whether it panics.
fn is_refused(work: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(work)).is_err()
}

/// Also where the ring has room for it, which held other messages before.
fn more_than_was_claimed_is_not_sent<const N: usize>(case: &Case) {
    if case.capacity < 2 {
        return;
    }
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    tx.try_send_all(&messages::<N>(0, 0..case.capacity.min(20) as u64)).unwrap();
    receive_all::<N>(&mut rx);
    assert!(is_refused(|| _ = tx.commit(1)), "nothing was claimed");
    assert_eq!(tx.claim(1), 1);
    assert!(is_refused(|| _ = tx.commit(2)));
    assert!(receive_all::<N>(&mut rx).is_empty());
    tx.commit(0).unwrap();
    let mut slots = tx.try_claim::<[u8; N]>(1).unwrap();
    slots.as_mut_slice()[0] = message::<N>(0, 7);
    assert!(is_refused(|| _ = slots.commit(2)));
    assert!(receive_all::<N>(&mut rx).is_empty());
    // What is left of an earlier claim is none.
    assert!(tx.claim(2) >= 1);
    fill(&mut tx, &[message::<N>(0, 8)]);
    tx.commit(1).unwrap();
    assert!(is_refused(|| _ = tx.commit(1)));
    assert_eq!(receive_all::<N>(&mut rx), [message::<N>(0, 8)]);
    assert_eq!(channel.stats().sent, case.capacity.min(20) as u64 + 1);
}

fn more_than_was_claimed_is_not_taken<const N: usize>(case: &Case) {
    if case.capacity < 2 {
        return;
    }
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    let items = messages::<N>(0, 0..2);
    assert_eq!(tx.try_send_all(&items), Ok(2));
    assert!(is_refused(|| rx.release(1)), "nothing was claimed");
    assert_eq!(rx.claim(1), 1);
    assert!(is_refused(|| rx.release(2)));
    rx.release(0);
    let first = rx.try_claim::<[u8; N]>(1).unwrap();
    assert_eq!(first.as_slice(), &items[..1]);
    assert!(is_refused(|| first.release(2)));
    rx.try_claim::<[u8; N]>(1).unwrap().release(1);
    assert!(is_refused(|| rx.release(1)));
    assert_eq!(receive_all::<N>(&mut rx), items[1..]);
    drop(tx);
    assert_eq!(rx.wait_for_message(Deadline::NEVER), Err(ReceiveError::Ended), "the end is said in one way");
}

fn claim_that_is_dropped_sends_nothing_and_takes_nothing<const N: usize>(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    for round in 0..case.capacity.min(20) as u64 * 2 {
        let mut slots = tx.try_claim::<[u8; N]>(case.capacity).unwrap();
        slots.as_mut_slice()[0] = message::<N>(0, round + 1);
        drop(slots);
        assert!(channel.is_empty() && rx.try_claim::<[u8; N]>(1).is_none());
        let mut slots = tx.try_claim::<[u8; N]>(1).unwrap();
        slots.as_mut_slice()[0] = message::<N>(0, round);
        slots.commit(1).unwrap();
        drop(rx.try_claim::<[u8; N]>(1).unwrap());
        assert_eq!(channel.len(), 1);
        let messages = rx.try_claim::<[u8; N]>(5).unwrap();
        assert_eq!(messages.as_slice(), [message::<N>(0, round)]);
        messages.release(1);
    }
    channel.close();
    assert_eq!(rx.wait_for_message(Deadline::NEVER), Err(ReceiveError::Ended));
}
