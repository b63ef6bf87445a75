//! Processes that die at each labelled place of the core, in each mode that gets there, one after the other.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bchan::Token;

use crate::Kind;
use crate::Kind::{Mpmc, MpmcFrames, Mpsc, MpscFrames, Spmc, SpmcFrames, Spsc, SpscFrames};
use crate::accounts::{check, check_counters};
use crate::child::{End, Order, Process};
use crate::handles;
use crate::observers::{DeathObservers, LIMIT, PROMISED, soon};
use crate::programs::Account;

const EVERY: &[Kind] = &[Spsc, Mpsc, Spmc, Mpmc, SpscFrames, MpscFrames, SpmcFrames, MpmcFrames];
const LANES: &[Kind] = &[Spsc, Mpsc, SpscFrames, MpscFrames];
const RINGS: &[Kind] = &[Spmc, Mpmc, SpmcFrames, MpmcFrames];
/// Those where all can use a ring at once, and without a handle.
const PORTS: &[Kind] = &[Mpmc, MpmcFrames];
const LANES_OF_FRAMES: &[Kind] = &[SpscFrames, MpscFrames];
const RINGS_OF_FRAMES: &[Kind] = &[SpmcFrames, MpmcFrames];

/// Who gets to a place, and in which modes.
type Who = &'static [(&'static str, &'static [Kind])];

const HANDLES: Who =
    &[("producer", EVERY), ("consumer", EVERY), ("port_sender", PORTS), ("port_receiver", PORTS)];
/// Room for frames is told to all at once, which has no places of its own.
const WAITERS: Who = &[
    ("producer", &[Spsc, Mpsc, Spmc, Mpmc, SpscFrames, MpscFrames]),
    ("consumer", EVERY),
    ("port_sender", &[Mpmc]),
    ("port_receiver", PORTS),
];
const PRODUCERS: Who = &[("producer", EVERY)];
const CONSUMERS_OF_LANES: Who = &[("consumer", LANES)];
const PRODUCERS_OF_LANES: Who = &[("producer", LANES)];
const SENDERS: Who = &[("producer", RINGS), ("port_sender", PORTS)];
const RECEIVERS: Who = &[("consumer", RINGS), ("port_receiver", PORTS)];
const SENDERS_OF_FRAMES: Who = &[("producer", RINGS_OF_FRAMES), ("port_sender", &[MpmcFrames])];
const RECEIVERS_OF_FRAMES: Who = &[("consumer", RINGS_OF_FRAMES), ("port_receiver", &[MpmcFrames])];
const READERS_OF_FRAMES: Who =
    &[("consumer", LANES_OF_FRAMES), ("consumer", RINGS_OF_FRAMES), ("port_receiver", &[MpmcFrames])];
const USERS_OF_RINGS: Who =
    &[("producer", RINGS), ("consumer", RINGS), ("port_sender", PORTS), ("port_receiver", PORTS)];
const CLOSERS: Who = &[("closer", EVERY), ("registered_closer", EVERY)];
const UNDERTAKERS: Who = &[("recovery_lock", EVERY)];
/// Slots given up behind which another has claimed.
const WHO_PASSES: Who = &[("consumer", PORTS), ("port_receiver", PORTS)];

/// All labels of the core, and who gets there. Two places are windows of a few instructions in a race that
/// can't be had on demand; the soak may meet them.
const PLACES: &[(&str, Who)] = &[
    ("announce.counted", HANDLES),
    ("broadcast.notified", RECEIVERS_OF_FRAMES),
    ("broadcast.parked", SENDERS_OF_FRAMES),
    ("broadcast.parks", SENDERS_OF_FRAMES),
    ("broadcast.prepared", SENDERS_OF_FRAMES),
    ("recover.closed", UNDERTAKERS),
    ("recover.counted", &[("recovery_lock", RINGS), ("torn_recovery_lock", RINGS_OF_FRAMES)]),
    ("recover.done", UNDERTAKERS),
    ("recover.given_up", &[("recovery_lock", RINGS), ("torn_recovery_lock", RINGS_OF_FRAMES)]),
    ("recover.hidden", &[("torn_recovery_lock", RINGS_OF_FRAMES)]),
    ("recover.lane", &[("recovery_lock", LANES)]),
    ("recover.marked", UNDERTAKERS),
    ("recover.passed", &[("recovery_lock", RINGS)]),
    ("recover.put_back", &[("recovery_lock", RINGS)]),
    ("recover.receiving", &[("recovery_lock", RINGS)]),
    ("recover.sending", &[("recovery_lock", RINGS)]),
    ("close.announced", CLOSERS),
    ("close.lane", &[("closer", LANES), ("registered_closer", LANES)]),
    ("close.said", CLOSERS),
    ("close.sealed", &[("closer", RINGS), ("registered_closer", RINGS)]),
    ("close.told_consumers", CLOSERS),
    ("end.said", &[("ender", RINGS)]),
    ("end.sealed", &[("ender", RINGS)]),
    ("event.notified", HANDLES),
    ("event.parked", WAITERS),
    ("event.parks", WAITERS),
    ("event.prepared", WAITERS),
    ("frame.progress", READERS_OF_FRAMES),
    ("frame.publish.counted", SENDERS_OF_FRAMES),
    ("frame.publish.first", SENDERS_OF_FRAMES),
    ("frame.publish.rest", SENDERS_OF_FRAMES),
    ("frame.publish.worded", SENDERS_OF_FRAMES),
    ("frame.release.counted", RECEIVERS_OF_FRAMES),
    ("handover.taken", PRODUCERS),
    ("inherit.announced", &[("heir", EVERY)]),
    ("inherit.done", &[("heir", EVERY), ("producer", EVERY)]),
    ("inherit.heir", &[("heir", EVERY)]),
    ("inherit.owner", &[("heir", EVERY), ("producer", EVERY)]),
    ("claim_words.between", USERS_OF_RINGS),
    ("lane.answered", CONSUMERS_OF_LANES),
    ("lane.armed", CONSUMERS_OF_LANES),
    ("lane.commit.begun", PRODUCERS_OF_LANES),
    ("lane.commit.published", PRODUCERS_OF_LANES),
    ("lane.frame.counted", &[("producer", LANES_OF_FRAMES)]),
    ("lane.frame.received", &[("consumer", LANES_OF_FRAMES)]),
    ("lane.frame.worded", &[("producer", LANES_OF_FRAMES)]),
    ("lane.release.begun", CONSUMERS_OF_LANES),
    ("lane.release.notified", CONSUMERS_OF_LANES),
    ("lane.release.released", CONSUMERS_OF_LANES),
    ("lane.rest.prepared", CONSUMERS_OF_LANES),
    ("lane.retract", &[]),
    ("lane.ring.notified", PRODUCERS_OF_LANES),
    ("lane.ring.rung", PRODUCERS_OF_LANES),
    ("lane.ring.silent", PRODUCERS_OF_LANES),
    ("lane.seal.flagged", &[("sealer", LANES)]),
    ("lane.seal.sealed", &[("sealer", LANES)]),
    ("leave.leaving", &[("consumer", EVERY)]),
    ("leave.left", &[("producer", EVERY), ("consumer", EVERY)]),
    ("leave.unregistered", PRODUCERS),
    ("port.commit.begun", SENDERS),
    ("port.commit.published", SENDERS),
    ("port.commit.rests", SENDERS),
    ("port.release.begun", RECEIVERS),
    ("port.release.released", RECEIVERS),
    ("port.release.rests", RECEIVERS),
    ("ring.abandon.counted", &[("producer", PORTS), ("port_sender", PORTS)]),
    ("ring.abandon.doubts", SENDERS),
    ("ring.abandon.keeps", &[("producer", PORTS), ("port_sender", PORTS)]),
    ("ring.abandon.moved", SENDERS),
    ("ring.abandon.skipped", &[("producer", PORTS), ("port_sender", PORTS)]),
    ("ring.hand_back.back", RECEIVERS),
    ("ring.hand_back.doubts", RECEIVERS),
    ("ring.hand_back.moved", RECEIVERS),
    ("ring.pass.claimed", WHO_PASSES),
    ("ring.pass.released", WHO_PASSES),
    ("ring.pass.tries", WHO_PASSES),
    ("ring.receive.claimed", RECEIVERS),
    ("ring.receive.holds", RECEIVERS),
    ("ring.receive.tries", RECEIVERS),
    ("ring.said_one", USERS_OF_RINGS),
    ("ring.send.claimed", SENDERS),
    ("ring.send.claimed_sealed", &[]),
    ("ring.send.holds", SENDERS),
    ("ring.send.tries", SENDERS),
    ("ring.take_back.claimed", RECEIVERS),
    ("ring.take_back.cleared", RECEIVERS),
    ("ring.take_back.holds", RECEIVERS),
    ("ring.take_back.tries", RECEIVERS),
    ("send.sent", PRODUCERS),
    ("take.announced", HANDLES),
    ("take.consumes", &[("consumer", EVERY)]),
    ("take.entered", HANDLES),
    ("take.registered", PRODUCERS),
    ("take.taken", HANDLES),
    ("turn.left", SENDERS_OF_FRAMES),
    ("turn.taken", SENDERS_OF_FRAMES),
    ("recovery_lock.done", &[("closer", EVERY), ("recovery_lock", EVERY)]),
];

#[test]
fn list_of_places_is_complete() {
    fn find(path: &Path, labels: &mut Vec<String>) {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                find(&path, labels);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                let label = |piece: &str| piece.split('"').next().unwrap().to_owned();
                labels.extend(text.split("kill_point!(\"").skip(1).map(label));
            }
        }
    }
    let mut labels = Vec::new();
    find(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut labels);
    let (labels, known): (BTreeSet<_>, BTreeSet<_>) =
        (labels.into_iter().collect(), PLACES.iter().map(|(label, _)| (*label).to_owned()).collect());
    assert_eq!(labels, known);
}

/// Runs all that `role` can die of, the first time it gets there and a later one.
fn die_everywhere(roles: &[&str]) {
    die_by(false, &[1, 4], roles);
}

/// So often at each place; by another program that is executed, or killed.
fn die_by(executes: bool, at: &[usize], roles: &[&str]) {
    let only = std::env::var("BCHAN_ONLY").unwrap_or_default();
    let (mut slowest, mut late, mut runs) = (Duration::ZERO, 0, 0);
    for (label, who) in PLACES.iter().filter(|(label, _)| label.contains(&only)) {
        for (role, kinds) in who.iter().filter(|(role, _)| roles.contains(role)) {
            for &kind in *kinds {
                for &times in at {
                    let death = Death { role, kind, label, times, executes };
                    let tries = if times == 1 { 0..5 } else { 0..1 };
                    match tries.into_iter().find_map(|seed| death.run(seed)) {
                        None => assert!(times > 1, "{death:?} was not reached"),
                        Some(took) => {
                            runs += 1;
                            slowest = slowest.max(took);
                            late += usize::from(took > PROMISED);
                        }
                    }
                }
            }
        }
    }
    println!("{roles:?}: {runs} deaths, {late} took longer than {PROMISED:?}, the slowest {slowest:?}");
    // A machine that has too much to do may be late now and then.
    assert!(late * 10 <= runs, "{late} of {runs} took longer than {PROMISED:?}");
}

#[test]
fn exec_is_death_everywhere() {
    die_by(true, &[1], &["producer", "consumer", "port_sender", "port_receiver", "heir", "recovery_lock"]);
}

#[test]
fn producers_die_everywhere() {
    die_everywhere(&["producer"]);
}

#[test]
fn consumers_die_everywhere() {
    die_everywhere(&["consumer"]);
}

#[test]
fn those_without_handles_die_everywhere() {
    die_everywhere(&["port_sender", "port_receiver"]);
}

#[test]
fn closers_and_enders_die_everywhere() {
    die_everywhere(&["closer", "registered_closer", "ender", "sealer"]);
}

#[test]
fn heirs_and_recoveries_die_everywhere() {
    die_everywhere(&["heir", "recovery_lock", "torn_recovery_lock"]);
}

#[derive(Debug, Clone, Copy)]
struct Death {
    role: &'static str,
    kind: Kind,
    label: &'static str,
    times: usize,
    executes: bool,
}

impl Death {
    /// How long the others took to go on; `None` if the place was not reached, or not so often.
    fn run(self, seed: u64) -> Option<Duration> {
        let Self { role, kind, label, times, executes } = self;
        println!("{self:?}");
        let mut observers = DeathObservers::new(kind, 4);
        let mut order = Order::new(role, 1, kind);
        order.kill_at = Some(format!("{label}:{times}"));
        order.executes = executes;
        order.seed = times as u64 + 7 + seed;
        let is_alone = matches!(role, "recovery_lock" | "torn_recovery_lock" | "ender" | "sealer");
        let sends = !is_alone && !matches!(role, "consumer" | "port_receiver");
        if sends || kind.has_many_consumers() && !is_alone {
            observers.add_consumer();
        }
        if !is_alone && (kind.has_many_producers() || !sends) {
            observers.add_producer();
        }
        let (mut victim, token) = self.start(&observers, order);
        if victim.wait(Duration::from_millis(500)) != Some(End::Killed) {
            return None;
        }
        let died = Instant::now();
        // What the heir had not yet taken over another can have; else it was cleared up after.
        drop(token.map(|token| handles::tx_of(&observers.channel, token)));
        let took = match role {
            "closer" | "registered_closer" => {
                let is_over = || observers.channel.is_closed() || observers.have_ended();
                soon(|| (is_over() || died.elapsed() > PROMISED).then_some(()));
                // It died before it had closed anything.
                if !is_over() {
                    assert!(
                        ["close.announced", "recovery_lock.done"].contains(&label),
                        "not closed: {self:?}"
                    );
                    observers.channel.close();
                }
                Duration::ZERO
            }
            _ => observers.go_on(died),
        };
        // Who was not yet announced is noticed when the next one is, or when all registry slots are taken.
        let has_place = !matches!(role, "closer" | "heir") && !label.starts_with("leave.");
        if has_place && label != "take.taken" {
            soon(|| (observers.channel.stats().deaths > 0).then_some(()));
        }
        println!("{took:?}, {} deaths", observers.channel.stats().deaths);
        let channel = observers.channel.clone();
        let ledger = observers.end();
        soon(|| (channel.active_producers() == 0).then_some(()));
        let killed = if sends { BTreeSet::new() } else { BTreeSet::from([1, 2]) };
        check(&ledger, kind, &killed);
        check_counters(&ledger, &channel);
        Some(took)
    }

    /// Starts the one who is to die, and has happen what it is to die of.
    fn start(self, observers: &DeathObservers, mut order: Order) -> (Process, Option<Token>) {
        let DeathObservers { channel, ledger, .. } = observers;
        let ready = |n| soon(|| (ledger.ready().load(Ordering::Acquire) == n).then_some(()));
        match self.role {
            "heir" => {
                order.token = Some(observers.producer().token().unwrap());
                (order.start(channel, ledger), order.token)
            }
            "recovery_lock" => {
                let mut prey = Order::new("prey", 11, self.kind).start(channel, ledger);
                ready(1);
                let victim = order.start(channel, ledger);
                ready(2);
                // It has received what there is, and sleeps.
                soon(|| (channel.stats().waits > 0).then_some(()));
                prey.kill();
                prey.wait(LIMIT).unwrap();
                (victim, None)
            }
            "torn_recovery_lock" => {
                order.role = "recovery_lock";
                let mut prey = Order::new("torn_prey", 11, self.kind);
                prey.kill_at = Some("frame.publish.rest".to_owned());
                let mut prey = prey.start(channel, ledger);
                ready(1);
                let victim = order.start(channel, ledger);
                ready(2);
                soon(|| (channel.stats().waits > 0).then_some(()));
                // It may send now, and dies of it.
                ledger.ready().store(3, Ordering::Release);
                prey.wait(LIMIT).unwrap();
                (victim, None)
            }
            "ender" | "sealer" => {
                order.role = "ender";
                let mut tx = observers.producer();
                let mut account = Account::new(ledger);
                assert_eq!(account.send(&mut *tx, 3), Ok(3));
                let victim = order.start(channel, ledger);
                ready(1);
                if self.role == "sealer" {
                    channel.close();
                }
                assert_eq!(tx.is_closed(), self.role == "sealer");
                (victim, None)
            }
            _ => (order.start(channel, ledger), None),
        }
    }
}
