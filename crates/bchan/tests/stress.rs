//! Random schedules over many threads, for what the model checker can't see: membarrier, futexes,
//! maps. `BCHAN_SEED` repeats a run, `BCHAN_STRESS` makes it so many times longer.
#![cfg(not(loom))]

use bchan::{ReceiveSlots, Receiving, Sending};
use std::thread;
use std::time::Duration;

use bchan::{Barrier, Channel, Config, Consumer, Deadline, Mode, Producer, ReceiveError, SendError};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().expect(name))
}

/// A small generator: xorshift64*, S. Vigna 2016.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }

    fn for_part(&self, part: u64) -> Self {
        let mut random = Self(self.0 ^ (part + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        random.0 |= 1;
        random.below(2);
        random
    }

    /// Now and then: nothing, a few pauses, a new time slice, a sleep long enough to park.
    fn pause(&mut self) {
        match self.below(200) {
            0 => thread::sleep(Duration::from_micros(self.below(200))),
            1..=5 => thread::yield_now(),
            6..=20 => (0..self.below(300)).for_each(|_| std::hint::spin_loop()),
            _ => {}
        }
    }
}

/// Runs `round` with fresh seeds, and names the seed of the one that fails.
fn rounds(count: u64, round: impl Fn(Random)) {
    let first = setting("BCHAN_SEED", std::process::id().into());
    for seed in first..first + count * setting("BCHAN_STRESS", 1) {
        println!("BCHAN_SEED={seed}");
        round(Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1));
    }
}

fn random_channel(random: &mut Random, max_producers: usize) -> Channel {
    let barrier = [Barrier::detect(), Barrier::Fence][random.below(2) as usize];
    let capacity = 1 << random.below(7);
    let mode = [Mode::Mpsc, Mode::Mpmc][random.below(2) as usize];
    Channel::new(&Config {
        mode,
        item_size: 8,
        capacity,
        max_producers,
        barrier: Some(barrier),
        ..Config::default()
    })
    .unwrap()
}

/// Sends `each` messages in random portions with random pauses; tells how many were accepted.
fn produce(tx: &mut Producer, number: u64, each: u64, random: &mut Random) -> u64 {
    let mut sent = 0;
    while sent < each {
        random.pause();
        let n = (1 + random.below(40)).min(each - sent);
        let items: Vec<u64> = (sent..sent + n).map(|n| number << 32 | n).collect();
        let outcome = match random.below(3) {
            0 => tx.send(items[0]).map(|()| 1),
            1 => tx.try_send_all(&items).map(|n| n as u64),
            _ => {
                let soon = Deadline::after(Duration::from_micros(random.below(100)));
                match tx.wait_for_space(soon) {
                    Ok(()) => tx.try_send_all(&items).map(|n| n as u64),
                    Err(SendError::TimedOut) => Ok(0),
                    Err(stop) => Err(stop),
                }
            }
        };
        match outcome {
            Ok(n) => sent += n,
            Err(_) => break,
        }
    }
    sent
}

/// Receives messages `producer << 32 | n` until the end; checks each producer's order and tells how
/// many came from each.
fn receive_all(rx: &mut Consumer, producers: usize) -> Vec<u64> {
    let mut due = vec![0; producers];
    let mut buffer = [0_u64; 100];
    loop {
        match rx.receive_into(&mut buffer) {
            Ok(n) => {
                for item in &buffer[..n] {
                    let due = &mut due[(item >> 32) as usize];
                    assert_eq!(item & 0xffff_ffff, *due, "of producer {}", item >> 32);
                    *due += 1;
                }
            }
            Err(ReceiveError::Ended) => return due,
            Err(stop) => panic!("{stop}"),
        }
    }
}

#[test]
fn nothing_is_lost_or_reordered_whatever_the_schedule() {
    rounds(30, |mut random| {
        let (producers, each) = (1 + random.below(5), 2000);
        let channel = random_channel(&mut random, producers as usize);
        let mut rx = channel.consumer().unwrap();
        let senders: Vec<_> = (0..producers)
            .map(|number| {
                let (mut tx, mut random) = (channel.producer().unwrap(), random.for_part(number));
                thread::spawn(move || produce(&mut tx, number, each, &mut random))
            })
            .collect();
        assert_eq!(receive_all(&mut rx, producers as usize), vec![each; producers as usize]);
        senders.into_iter().for_each(|sender| assert_eq!(sender.join().unwrap(), each));
    });
}

#[test]
fn a_receiver_with_timeouts_misses_nothing() {
    rounds(20, |mut random| {
        let each = 1000;
        let channel = random_channel(&mut random, 2);
        let mut rx = channel.consumer().unwrap();
        let senders: Vec<_> = (0..2)
            .map(|number| {
                let (mut tx, mut random) = (channel.producer().unwrap(), random.for_part(number));
                thread::spawn(move || produce(&mut tx, number, each, &mut random))
            })
            .collect();
        let mut due = [0; 2];
        loop {
            match rx.wait_for_message(Deadline::after(Duration::from_micros(random.below(60)))) {
                Ok(()) => match rx.try_receive::<u64>() {
                    Some(item) => {
                        assert_eq!(item & 0xffff_ffff, due[(item >> 32) as usize]);
                        due[(item >> 32) as usize] += 1;
                    }
                    None => {
                        assert!(rx.is_ended(), "woken for nothing");
                        break;
                    }
                },
                Err(ReceiveError::TimedOut) => random.pause(),
                Err(ReceiveError::Ended) => break,
                Err(stop) => panic!("{stop}"),
            }
        }
        assert_eq!(due, [each; 2]);
        senders.into_iter().for_each(|sender| assert_eq!(sender.join().unwrap(), each));
    });
}

#[test]
fn producers_that_come_and_go_all_the_time_lose_nothing() {
    rounds(15, |mut random| {
        let (threads, visits, each) = (6, 60, 20);
        let channel = random_channel(&mut random, 3);
        let mut rx = channel.consumer().unwrap();
        let keeper = channel.producer().unwrap();
        let visitors: Vec<_> = (0..threads)
            .map(|number| {
                let (channel, mut random) = (channel.clone(), random.for_part(number));
                thread::spawn(move || {
                    for visit in 0..visits {
                        let mut tx = loop {
                            match channel.producer() {
                                Ok(tx) => break tx,
                                Err(_) => thread::yield_now(),
                            }
                        };
                        // Each visit is a producer of its own: it may be heard before the last one.
                        produce(&mut tx, number * visits + visit, each, &mut random);
                    }
                })
            })
            .collect();
        let all = (threads * visits) as usize;
        let receiver = thread::spawn(move || receive_all(&mut rx, all));
        visitors.into_iter().for_each(|visitor| visitor.join().unwrap());
        drop(keeper);
        assert_eq!(receiver.join().unwrap(), vec![each; all]);
    });
}

#[test]
fn closing_at_any_moment_receives_exactly_what_was_accepted() {
    rounds(60, |mut random| {
        let channel = random_channel(&mut random, 3);
        let mut rx = channel.consumer().unwrap();
        let senders: Vec<_> = (0..3)
            .map(|number| {
                let (mut tx, mut random) = (channel.producer().unwrap(), random.for_part(number));
                thread::spawn(move || produce(&mut tx, number, 1 << 30, &mut random))
            })
            .collect();
        let receiver = thread::spawn(move || receive_all(&mut rx, 3));
        thread::sleep(Duration::from_micros(random.below(3000)));
        channel.close();
        let accepted: Vec<u64> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
        assert_eq!(receiver.join().unwrap(), accepted);
    });
}

#[test]
fn consumers_that_take_turns_lose_nothing() {
    rounds(15, |mut random| {
        let each = 3000;
        let channel = random_channel(&mut random, 2);
        let senders: Vec<_> = (0..2)
            .map(|number| {
                let (mut tx, mut random) = (channel.producer().unwrap(), random.for_part(number));
                thread::spawn(move || produce(&mut tx, number, each, &mut random))
            })
            .collect();
        let mut due = [0; 2];
        'all: loop {
            let mut rx = channel.consumer().unwrap();
            for _ in 0..random.below(30) {
                match rx.receive::<u64>() {
                    Ok(item) => {
                        assert_eq!(item & 0xffff_ffff, due[(item >> 32) as usize]);
                        due[(item >> 32) as usize] += 1;
                    }
                    Err(_) => break 'all,
                }
            }
        }
        assert_eq!(due, [each; 2]);
        senders.into_iter().for_each(|sender| assert_eq!(sender.join().unwrap(), each));
    });
}
