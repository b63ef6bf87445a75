//! Tuning: how long to spin, whether to park, and when a producer is woken. The promises stay.

use std::time::{Duration, Instant};

use bchan::{
    Channel, Config, Deadline, Mode, ReceiveError, ReceiveSlots, Receiving, SendError, Sending, Tuning,
    WakePolicy,
};

use crate::common::{in_time, spawn, until_parked};

const MODES: [Mode; 3] = [Mode::Mpsc, Mode::Spmc, Mode::Mpmc];
const SPINNING: Tuning =
    Tuning { spin: Duration::ZERO, is_adaptive: false, parks: false, wake: WakePolicy::AtOnce };
const PARKING: Tuning = Tuning { parks: true, ..SPINNING };
const LAZY: Tuning = Tuning { wake: WakePolicy::HalfDrained, ..PARKING };

fn channel(mode: Mode, capacity: usize, tuning: Tuning) -> Channel {
    Channel::new(&Config { mode, capacity, tuning, ..Config::default() }).unwrap()
}

#[test]
fn all_arrive_in_order_however_waiting_is_done() {
    for mode in MODES {
        for tuning in [SPINNING, PARKING, LAZY, Tuning::default()] {
            in_time(move || {
                let channel = channel(mode, 16, tuning);
                let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
                let sender = spawn(move || (0..10_000_u64).for_each(|i| tx.send(i).unwrap()));
                for i in 0..10_000_u64 {
                    assert_eq!(rx.receive(), Ok(i));
                }
                assert_eq!(rx.receive::<u64>(), Err(ReceiveError::Ended));
                sender.join().unwrap();
                assert!(tuning.parks || channel.stats().waits == 0);
            });
        }
    }
}

#[test]
fn who_never_parks_sees_deadlines_and_the_end() {
    for mode in MODES {
        in_time(move || {
            let channel = channel(mode, 1, SPINNING);
            let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
            let soon = || Deadline::after(Duration::from_millis(3));
            assert_eq!(rx.wait_for_message(soon()), Err(ReceiveError::TimedOut));
            tx.send(1_u64).unwrap();
            assert_eq!(tx.wait_for_space(soon()), Err(SendError::TimedOut));
            // As often as this a caller must be able to look after signals.
            assert_eq!(tx.wait_for_space(Deadline::NEVER), Err(SendError::Interrupted));
            let sender = spawn(move || tx.send(2_u64));
            std::thread::yield_now();
            channel.close();
            assert_eq!(sender.join().unwrap(), Err(SendError::Closed));
            assert_eq!(rx.receive(), Ok(1_u64));
            assert_eq!(rx.receive::<u64>(), Err(ReceiveError::Ended));
            assert_eq!(channel.stats().waits, 0);
        });
    }
}

#[test]
fn producer_that_is_woken_at_once_is_woken_for_one_slot() {
    in_time(|| {
        let channel = channel(Mode::Mpsc, 64, PARKING);
        let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
        (0..64_u64).for_each(|i| tx.send(i).unwrap());
        let sender = spawn(move || tx.send(64_u64));
        until_parked(&channel, 1);
        assert_eq!(rx.try_receive(), Some(0_u64));
        assert_eq!(channel.stats().wakes, 1);
        sender.join().unwrap().unwrap();
    });
}

/// It goes on all the same, though nobody wakes it.
#[test]
fn producer_that_is_woken_late_is_not_woken_for_one_slot() {
    in_time(|| {
        let channel = channel(Mode::Mpsc, 64, LAZY);
        let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
        (0..64_u64).for_each(|i| tx.send(i).unwrap());
        let start = Instant::now();
        let sender = spawn(move || tx.send(64_u64));
        until_parked(&channel, 1);
        assert_eq!(rx.try_receive(), Some(0_u64));
        sender.join().unwrap().unwrap();
        // Unless it had lost its patience before this thread came to run.
        assert!(channel.stats().wakes == 0 || start.elapsed() > Duration::from_micros(500));
    });
}

#[test]
fn producer_that_is_woken_late_is_woken_when_half_the_ring_is_free() {
    in_time(|| {
        let channel = channel(Mode::Mpsc, 64, LAZY);
        let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
        let mut was_woken_by = [0; 33];
        // Often enough that this thread runs at least once while the producer has patience.
        for _ in 0..1000 {
            (0..64_u64).for_each(|i| assert_eq!(tx.try_send(i), Ok(true)));
            let before = channel.stats();
            let sender = spawn(move || tx.send(64_u64).map(|()| tx));
            until_parked(&channel, before.waits + 1);
            for woken in &mut was_woken_by[1..] {
                assert!(rx.try_receive::<u64>().is_some());
                *woken += u32::from(channel.stats().wakes > before.wakes);
            }
            tx = sender.join().unwrap().unwrap();
            while rx.try_receive::<u64>().is_some() {}
            if was_woken_by[32] > was_woken_by[31] {
                return;
            }
        }
        panic!("woken by how many: {was_woken_by:?}");
    });
}
