//! Processes that are killed from outside, at random moments, and replaced, all the time.
//!
//! Each run is in a process of its own, so that its descriptors and maps can be counted.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::Kind;
use crate::accounts::{check, check_counters};
use crate::child::{Order, Process};
use crate::common::Random;
use crate::observers::{DeathObservers, LIMIT, soon};

/// Who is killed in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    name: &'static str,
    kind: Kind,
    victims: &'static [&'static str],
    /// Threads of the surviving process.
    producers: usize,
    consumers: usize,
}

const PLANS: &[Plan] = &[
    Plan { name: "mpsc producers", kind: Kind::Mpsc, victims: &["producer"], producers: 1, consumers: 1 },
    Plan { name: "mpsc consumers", kind: Kind::Mpsc, victims: &["consumer"], producers: 2, consumers: 0 },
    Plan {
        name: "mpsc both",
        kind: Kind::Mpsc,
        victims: &["producer", "consumer"],
        producers: 1,
        consumers: 0,
    },
    Plan { name: "spsc consumers", kind: Kind::Spsc, victims: &["consumer"], producers: 1, consumers: 0 },
    Plan { name: "spmc consumers", kind: Kind::Spmc, victims: &["consumer"], producers: 1, consumers: 1 },
    Plan { name: "mpmc producers", kind: Kind::Mpmc, victims: &["producer"], producers: 1, consumers: 2 },
    Plan {
        name: "mpmc both",
        kind: Kind::Mpmc,
        victims: &["producer", "consumer"],
        producers: 1,
        consumers: 1,
    },
    Plan {
        name: "mpmc without handles",
        kind: Kind::Mpmc,
        victims: &["port_sender", "port_receiver", "producer", "consumer"],
        producers: 1,
        consumers: 1,
    },
    Plan {
        name: "mpsc frames",
        kind: Kind::MpscFrames,
        victims: &["producer", "consumer"],
        producers: 1,
        consumers: 0,
    },
    Plan { name: "spmc frames", kind: Kind::SpmcFrames, victims: &["consumer"], producers: 1, consumers: 1 },
    Plan {
        name: "mpmc frames",
        kind: Kind::MpmcFrames,
        victims: &["port_sender", "port_receiver", "producer", "consumer"],
        producers: 1,
        consumers: 1,
    },
];

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().expect(name))
}

fn soak(name: &str) {
    let seed = setting("BCHAN_SEED", std::process::id().into());
    println!("{name}: BCHAN_SEED={seed}");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "role", "--nocapture", "--test-threads=1"]);
    command.env("BCHAN_ROLE", "soak").env("BCHAN_SOAK", name).env("BCHAN_RANDOM", seed.to_string());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter(|line| line.contains("killed")).for_each(|line| println!("{line}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}, BCHAN_SEED={seed}: {}\n{text}\n{errors}", output.status);
}

macro_rules! soaks {
    ($($test:ident $name:literal)*) => { $(
        #[test]
        fn $test() {
            soak($name);
        }
    )* };
}

soaks! {
    mpsc_producers "mpsc producers"
    mpsc_consumers "mpsc consumers"
    mpsc_both "mpsc both"
    spsc_consumers "spsc consumers"
    spmc_consumers "spmc consumers"
    mpmc_producers "mpmc producers"
    mpmc_both "mpmc both"
    mpmc_without_handles "mpmc without handles"
    mpsc_frames "mpsc frames"
    spmc_frames "spmc frames"
    mpmc_frames "mpmc frames"
    one_producer_to_the_end "one producer"
}

/// One run, in a process of its own.
pub fn run(seed: u64, name: &str) {
    let time = Duration::from_millis(1200 * setting("BCHAN_STRESS", 1));
    let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    match PLANS.iter().find(|plan| plan.name == name) {
        Some(plan) => plan.run(random, time),
        None => one_producer(random, time),
    }
}

/// What this process has open, and mapped.
fn holdings() -> (usize, usize) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let ours = |line: &&str| line.contains("memfd:bchan") || line.contains("memfd:ledger");
    (std::fs::read_dir("/proc/self/fd").unwrap().count(), maps.lines().filter(ours).count())
}

impl Plan {
    fn run(self, mut random: Random, time: Duration) {
        let before_all = holdings();
        let capacity = 1 << (2 + random.below(4));
        let mut observers = DeathObservers::new(self.kind, capacity);
        (0..self.producers).for_each(|_| observers.add_producer());
        (0..self.consumers).for_each(|_| observers.add_consumer());
        let mut killed = BTreeSet::new();
        let (mut next, mut deaths, mut quiet) = (1, 0, None);
        let mut victims: Vec<Process> = Vec::new();
        let start = Instant::now();
        while start.elapsed() < time && next < DeathObservers::FIRST && !observers.ledger.is_nearly_full() {
            while victims.len() < self.victims.len().max(2) {
                let role = self.victims[next / 2 % self.victims.len()];
                let mut order = Order::new(role, next, self.kind);
                order.seed = random.next();
                victims.push(order.start(&observers.channel, &observers.ledger));
                // The next number is its, too.
                next += 2;
            }
            std::thread::sleep(Duration::from_micros(random.below(12_000)));
            let mut victim = victims.swap_remove(random.below(victims.len() as u64) as usize);
            victim.kill();
            victim.wait(LIMIT).unwrap();
            if matches!(victim.order.role, "consumer" | "port_receiver") {
                killed.extend([victim.order.id, victim.order.id + 1]);
            }
            deaths += 1;
            if deaths == 10 {
                quiet = Some(holdings());
            }
        }
        // Who is left leaves by himself, and those of this process must go on.
        observers.ledger.stop().store(1, Ordering::Release);
        victims.iter_mut().for_each(|victim| assert!(victim.wait(LIMIT).is_some(), "{victim:?} hangs"));
        let took = observers.go_on(Instant::now());
        let stats = observers.channel.stats();
        let now = holdings();
        if let Some(quiet) = quiet {
            // A ring is mapped when it is first used: the channel, its ledger, and each ring twice.
            let most = 2 + 2 * if matches!(self.kind, Kind::Mpsc | Kind::MpscFrames) {
                observers.channel.max_producers()
            } else {
                1
            };
            soon(|| (holdings().0 <= quiet.0 && holdings().1 <= most).then_some(()));
        }
        println!(
            "{}: killed {deaths}, {} places; {} messages; {quiet:?} {now:?}; then {took:?}",
            self.name, stats.deaths, stats.received
        );
        assert!(stats.deaths > 0 || deaths < 10);
        let channel = observers.channel.clone();
        let ledger = observers.end();
        assert_eq!(channel.active_producers(), 0);
        check(&ledger, self.kind, &killed);
        check_counters(&ledger, &channel);
        drop((ledger, channel, victims));
        // The thread that watches, and what it is woken by, go when they find nobody left. This process'
        // lifeline stays.
        soon(|| (holdings().0 <= before_all.0 + 1 && holdings().1 == 0).then_some(()));
    }
}

/// Where there is one producer, its death ends the channel.
fn one_producer(mut random: Random, time: Duration) {
    let start = Instant::now();
    let mut deaths = 0;
    while start.elapsed() < time {
        let kind = [Kind::Spsc, Kind::Spmc, Kind::SpscFrames, Kind::SpmcFrames][random.below(4) as usize];
        let mut observers = DeathObservers::new(kind, 4);
        let mut order = Order::new("producer", 1, kind);
        order.seed = random.next();
        let mut victim = order.start(&observers.channel, &observers.ledger);
        observers.add_consumer();
        std::thread::sleep(Duration::from_micros(random.below(10_000)));
        victim.kill();
        victim.wait(LIMIT).unwrap();
        observers.go_on(Instant::now());
        let ledger = observers.end();
        check(&ledger, kind, &BTreeSet::new());
        deaths += 1;
    }
    println!("one producer: killed {deaths}");
}
