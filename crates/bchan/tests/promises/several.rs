//! Waiting for several operations at once: what is ready ends it, of any channel, and nothing else is
//! touched.

use std::time::{Duration, Instant};

use bchan::{
    Channel, Config, Consumer, Deadline, Mode, Producer, ReceiveSlots, Receiving, SendSlots, Sending,
    WaitError, most_cases, wait_for_any,
};

use crate::common::{Case, LIMIT, Random, in_time, message, messages, spawn, until_parked};
use crate::over_every_configuration;

over_every_configuration! {
    message_beside_a_quiet_channel_ends_the_wait
    space_beside_a_quiet_channel_ends_the_wait
    closing_ends_the_wait
    what_is_ready_is_told_without_parking
    nothing_ready_waits_until_the_deadline
}

const SHORT: Duration = Duration::from_millis(3);

/// A kernel or a sandbox may lack it: then there is nothing to test.
fn is_there() -> bool {
    most_cases() > 0
}

fn quiet() -> (Channel, Producer, Consumer) {
    let channel = Channel::new(&Config { item_size: 8, capacity: 1, ..Config::default() }).unwrap();
    let (tx, rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    (channel, tx, rx)
}

fn wait(cases: &mut [bchan::Case<'_>], timeout: Duration) -> Result<(), WaitError> {
    let deadline = Deadline::after(timeout);
    loop {
        match wait_for_any(cases, deadline) {
            Err(WaitError::Interrupted) => {}
            outcome => return outcome.map(drop),
        }
    }
}

fn message_beside_a_quiet_channel_ends_the_wait<const N: usize>(case: &Case) {
    if !is_there() {
        return;
    }
    let (other, _silent, mut idle) = quiet();
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    let receiver = spawn(move || {
        let outcome = wait(&mut [idle.case(), rx.case()], LIMIT);
        (outcome, rx.try_receive::<[u8; N]>())
    });
    until_parked(&channel, 1);
    until_parked(&other, 1);
    tx.send(message::<N>(0, 5)).unwrap();
    assert_eq!(receiver.join().unwrap(), (Ok(()), Some(message::<N>(0, 5))));
    let (stats, others) = (channel.stats(), other.stats());
    assert_eq!((stats.waits, stats.wakes), (1, 1));
    assert_eq!((others.waits, others.wakes), (1, 0));
    assert!(stats.time_parked > Duration::ZERO && others.time_parked > Duration::ZERO);
}

fn space_beside_a_quiet_channel_ends_the_wait<const N: usize>(case: &Case) {
    if !is_there() {
        return;
    }
    let (_other, _silent, mut idle) = quiet();
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    let items = messages::<N>(0, 0..case.capacity as u64);
    assert_eq!(tx.try_send_all(&items), Ok(case.capacity));
    let sender = spawn(move || {
        let outcome = wait(&mut [idle.case(), tx.case()], LIMIT);
        (outcome, tx.try_send(message::<N>(0, 5)))
    });
    until_parked(&channel, 1);
    assert_eq!(rx.try_receive(), Some(items[0]));
    assert_eq!(sender.join().unwrap(), (Ok(()), Ok(true)));
}

fn closing_ends_the_wait<const N: usize>(case: &Case) {
    if !is_there() {
        return;
    }
    let (_other, _silent, mut idle) = quiet();
    let (full, empty) = (case.channel(), case.channel());
    let (mut tx, _rx) = (full.producer().unwrap(), full.consumer().unwrap());
    let (_tx, mut rx) = (empty.producer().unwrap(), empty.consumer().unwrap());
    assert_eq!(tx.try_send_all(&messages::<N>(0, 0..case.capacity as u64)), Ok(case.capacity));
    // Where processes share it, who closes first wakes those who wait, to be watched.
    let sender = spawn(move || {
        while !tx.is_closed() {
            wait(&mut [tx.case()], LIMIT)?;
        }
        Ok(())
    });
    let receiver = spawn(move || {
        while !rx.is_ended() {
            wait(&mut [idle.case(), rx.case()], LIMIT)?;
        }
        Ok(())
    });
    for (channel, outcome) in [(full, sender), (empty, receiver)] {
        until_parked(&channel, 1);
        channel.close();
        assert_eq!(outcome.join().unwrap(), Ok::<_, WaitError>(()));
    }
}

fn what_is_ready_is_told_without_parking<const N: usize>(case: &Case) {
    if !is_there() {
        return;
    }
    let (_other, _silent, mut idle) = quiet();
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    assert_eq!(wait(&mut [tx.case(), idle.case()], LIMIT), Ok(()));
    tx.send(message::<N>(0, 1)).unwrap();
    assert_eq!(wait(&mut [idle.case(), rx.case()], Duration::ZERO), Ok(()));
    assert_eq!(rx.try_receive(), Some(message::<N>(0, 1)));
    assert_eq!(channel.stats().waits, 0);
    assert_eq!(channel.stats().wakes, 0);
}

fn nothing_ready_waits_until_the_deadline<const N: usize>(case: &Case) {
    if !is_there() {
        return;
    }
    let (_other, mut sender, mut idle) = quiet();
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    for timeout in [Duration::ZERO, SHORT] {
        let start = Instant::now();
        assert_eq!(wait(&mut [rx.case(), idle.case()], timeout), Err(WaitError::TimedOut));
        assert!(start.elapsed() >= timeout);
    }
    // Nothing was touched: what comes now is there, and wakes nobody.
    tx.send(message::<N>(0, 3)).unwrap();
    sender.send(4_u64).unwrap();
    assert_eq!((rx.try_receive(), idle.try_receive()), (Some(message::<N>(0, 3)), Some(4_u64)));
    assert_eq!(channel.stats().wakes, 0);
}

/// Threads that wait for both of two rings, and threads that wait for one, take all that is sent.
#[test]
fn those_who_wait_for_several_and_for_one_lose_nothing() {
    if !is_there() {
        return;
    }
    let seed =
        std::env::var("BCHAN_SEED").ok().map_or(std::process::id().into(), |seed| seed.parse().unwrap());
    println!("BCHAN_SEED={seed}");
    in_time(move || {
        let mut random = Random(seed);
        for _ in 0..10 {
            one_round(&mut random);
        }
    });
}

fn one_round(random: &mut Random) {
    const EACH: u64 = 3000;
    let capacity = 1 << random.below(4);
    let make =
        |mode| Channel::new(&Config { mode, item_size: 8, capacity, max_producers: 2, ..Config::default() });
    let rings = [make(Mode::Mpmc).unwrap(), make(Mode::Mpmc).unwrap()];
    let lanes = make(Mode::Mpsc).unwrap();
    let consumers = || rings.each_ref().map(|ring| ring.consumer().unwrap());
    let mut lanes_rx = Some(lanes.consumer().unwrap());
    let mut receivers: Vec<_> = (0..3)
        .map(|_| {
            let [one, other] = consumers();
            let rxs = [one, other].into_iter().chain(lanes_rx.take()).collect();
            spawn(move || receive_any(rxs))
        })
        .collect();
    receivers.extend(consumers().map(|rx| spawn(move || receive_any(vec![rx]))));
    receivers
        .extend(consumers().map(|mut rx| spawn(move || std::iter::from_fn(|| rx.receive().ok()).collect())));
    let senders: Vec<_> = (0..2)
        .map(|number| {
            let [one, other] = rings.each_ref().map(|ring| ring.producer().unwrap());
            let txs = [one, other, lanes.producer().unwrap()];
            let random = random.split();
            spawn(move || send_any(txs, number * EACH..(number + 1) * EACH, random))
        })
        .collect();
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let mut seen: Vec<u64> = receivers.into_iter().flat_map(|receiver| receiver.join().unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..2 * EACH).collect::<Vec<_>>());
}

/// Sends each item to any that has space, and looks first at a random one.
fn send_any(mut txs: [Producer; 3], items: std::ops::Range<u64>, mut random: Random) {
    for item in items {
        txs.rotate_left(random.below(3) as usize);
        while !txs.iter_mut().any(|tx| tx.try_send(item).unwrap()) {
            wait_for_any(&mut txs.each_mut().map(|tx| tx.case()), Deadline::NEVER)
                .map(drop)
                .unwrap_or_default();
        }
    }
}

/// Receives from any that has a message, until all have ended.
fn receive_any(mut rxs: Vec<Consumer>) -> Vec<u64> {
    let mut seen = Vec::new();
    let mut woken = None;
    while !rxs.is_empty() {
        if let Some(item) = rxs.iter_mut().find_map(Receiving::try_receive) {
            seen.push(item);
            continue;
        }
        rxs.retain_mut(|rx| !rx.is_ended());
        drop(woken.take());
        if !rxs.is_empty() {
            let mut cases: Vec<_> = rxs.iter_mut().map(ReceiveSlots::case).collect();
            woken = wait_for_any(&mut cases, Deadline::after(Duration::from_micros(300))).ok();
        }
    }
    seen
}

#[test]
#[should_panic(expected = "cases must be at least 1")]
fn no_cases_are_refused() {
    let _ = wait_for_any(&mut [], Deadline::NEVER);
}
