//! Waiting: deadlines, one wake for what woke, none when nobody sleeps, and no CPU while asleep.

use bchan::{ReceiveSlots, Receiving, Sending};
use std::time::{Duration, Instant};

use bchan::{Channel, Deadline, Mode, ReceiveError, SendError, WaitError};

use crate::common::{Case, message, messages, receive_all, spawn, until_parked};
use crate::over_every_configuration;

over_every_configuration! {
    receiver_waits_until_its_deadline
    sender_waits_until_its_deadline
    what_comes_in_time_ends_the_wait
    message_to_a_parked_consumer_costs_one_wake
    batch_to_a_parked_consumer_costs_one_wake
    nobody_is_woken_when_nobody_waits
}

const SHORT: Duration = Duration::from_millis(3);

/// Calls `wait` until it stops for another reason than a signal; tells it, and how long that took.
fn timed<E: From<WaitError> + PartialEq>(
    mut wait: impl FnMut(Deadline) -> Result<(), E>,
    timeout: Duration,
) -> (Result<(), E>, Duration) {
    let (start, deadline) = (Instant::now(), Deadline::after(timeout));
    loop {
        match wait(deadline) {
            Err(error) if error == WaitError::Interrupted.into() => {}
            outcome => return (outcome, start.elapsed()),
        }
    }
}

fn receiver_waits_until_its_deadline<const N: usize>(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    for timeout in [Duration::ZERO, SHORT] {
        let (outcome, took) = timed(|deadline| rx.wait_for_message(deadline), timeout);
        assert_eq!(outcome, Err(ReceiveError::TimedOut));
        assert!(took >= timeout, "{took:?}");
    }
    assert_eq!(tx.try_send(message::<N>(0, 0)), Ok(true));
    for timeout in [Duration::ZERO, Duration::MAX] {
        assert_eq!(timed(|deadline| rx.wait_for_message(deadline), timeout).0, Ok(()));
    }
    assert_eq!(rx.try_receive(), Some(message::<N>(0, 0)));
}

fn sender_waits_until_its_deadline<const N: usize>(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    let items = messages::<N>(0, 0..case.capacity as u64);
    assert_eq!(tx.try_send_all(&items), Ok(case.capacity));
    for timeout in [Duration::ZERO, SHORT] {
        let (outcome, took) = timed(|deadline| tx.wait_for_space(deadline), timeout);
        assert_eq!(outcome, Err(SendError::TimedOut));
        assert!(took >= timeout, "{took:?}");
    }
    assert_eq!(receive_all::<N>(&mut rx), items);
    for timeout in [Duration::ZERO, Duration::MAX] {
        assert_eq!(timed(|deadline| tx.wait_for_space(deadline), timeout).0, Ok(()));
    }
}

fn what_comes_in_time_ends_the_wait<const N: usize>(case: &Case) {
    const LONG: Duration = Duration::from_secs(100);
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    let receiver = spawn(move || (timed(|deadline| rx.wait_for_message(deadline), LONG), rx));
    until_parked(&channel, 1);
    let items = messages::<N>(0, 0..case.capacity as u64);
    assert_eq!(tx.try_send_all(&items), Ok(case.capacity));
    let ((outcome, took), mut rx) = receiver.join().unwrap();
    assert!(outcome == Ok(()) && took < LONG);
    let parked = channel.stats().waits;
    let sender = spawn(move || timed(|deadline| tx.wait_for_space(deadline), LONG));
    until_parked(&channel, parked + 1);
    assert_eq!(rx.try_receive(), Some(items[0]));
    let (outcome, took) = sender.join().unwrap();
    assert!(outcome == Ok(()) && took < LONG);
}

fn message_to_a_parked_consumer_costs_one_wake<const N: usize>(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    for sequence in 0..10 {
        let (waits, wakes) = (channel.stats().waits, channel.stats().wakes);
        let receiver = spawn(move || (rx.receive::<[u8; N]>(), rx));
        until_parked(&channel, waits + 1);
        tx.send(message::<N>(0, sequence)).unwrap();
        let (received, back) = receiver.join().unwrap();
        assert_eq!(received, Ok(message::<N>(0, sequence)));
        assert_eq!(channel.stats().wakes - wakes, 1);
        rx = back;
    }
}

fn batch_to_a_parked_consumer_costs_one_wake<const N: usize>(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    let receiver = spawn(move || rx.wait_for_message(Deadline::after(Duration::from_secs(100))));
    until_parked(&channel, 1);
    let items = messages::<N>(0, 0..case.capacity.min(64) as u64);
    assert_eq!(tx.try_send_all(&items), Ok(items.len()));
    let outcome = receiver.join().unwrap();
    assert!(matches!(outcome, Ok(()) | Err(ReceiveError::Interrupted)), "{outcome:?}");
    assert_eq!(channel.stats().wakes, 1);
}

fn nobody_is_woken_when_nobody_waits<const N: usize>(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    for sequence in 0..500 {
        assert_eq!(tx.try_send(message::<N>(0, sequence)), Ok(true));
        assert_eq!(rx.receive(), Ok(message::<N>(0, sequence)));
    }
    let stats = channel.stats();
    assert_eq!((stats.waits, stats.wakes, stats.spins), (0, 0, 0));
    assert_eq!(stats.time_parked, Duration::ZERO);
}

#[cfg(target_os = "linux")]
mod idle {
    use rustix::time::{ClockId, clock_gettime};

    use super::*;
    use crate::common::places;

    const IDLE: Duration = Duration::from_secs(1);
    /// Of a second; most of it is spinning before the thread parks.
    const MOST: Duration = Duration::from_millis(10);

    /// How much CPU this thread took for `work`.
    fn cpu(work: impl FnOnce()) -> Duration {
        let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
        let start = now();
        work();
        now() - start
    }

    fn channels() -> impl Iterator<Item = Channel> {
        let modes = [Mode::Mpsc, Mode::Spmc, Mode::Mpmc];
        let cases = places().into_iter().flat_map(move |place| modes.map(|mode| (mode, place)));
        cases.map(|(mode, (barrier, is_shared))| {
            Case { mode, item_size: 8, capacity: 4, max_producers: 2, barrier, is_shared }.channel()
        })
    }

    #[test]
    fn blocked_receiver_uses_no_cpu() {
        for channel in channels() {
            let (_tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
            let used = cpu(|| {
                let (outcome, took) = timed(|deadline| rx.wait_for_message(deadline), IDLE);
                assert!(outcome == Err(ReceiveError::TimedOut) && took >= IDLE);
            });
            assert!(used < MOST, "{used:?}");
        }
    }

    #[test]
    fn blocked_sender_uses_no_cpu() {
        for channel in channels() {
            let mut tx = channel.producer().unwrap();
            assert_eq!(tx.try_send_all(&[0_u64; 5]), Ok(4));
            let used = cpu(|| {
                let (outcome, took) = timed(|deadline| tx.wait_for_space(deadline), IDLE);
                assert!(outcome == Err(SendError::TimedOut) && took >= IDLE);
            });
            assert!(used < MOST, "{used:?}");
        }
    }
}
