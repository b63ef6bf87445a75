//! Runs random programs on a fresh queue, records what its calls answer, and judges it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use crate::checker::{Rule, linearize};
use crate::common::{LIMIT, Random, until};
use crate::contenders::Fifo;
use crate::history::{Call, History, Operation};

const MOST_CAPACITY: u64 = 4;
const LONGEST_BATCH: u64 = 4;

/// Tries one program for each seed; tells of the first history that the rule does not explain.
pub fn first_violation<F: Fifo>(
    rule: Rule,
    new: impl Fn(usize) -> F,
    seeds: impl IntoIterator<Item = u64>,
) -> Option<String> {
    seeds.into_iter().find_map(|seed| {
        let mut random = Random(seed);
        let fifo = new(1 + random.below(MOST_CAPACITY) as usize);
        let capacity = fifo.capacity();
        let history = record(fifo, seed, random);
        let longest = linearize(&history, capacity, rule).err()?;
        Some(format!(
            "BCHAN_SEED={seed}: not linearizable under Rule::{rule:?}, capacity {capacity}\n{history}\
             the longest beginning that can be explained: {longest:?}"
        ))
    })
}

fn record<F: Fifo>(fifo: F, seed: u64, mut random: Random) -> History {
    let threads = 2 + random.below(3) as usize;
    let table = Arc::new(Table { fifo, threads, registered: AtomicUsize::new(0), tokens: AtomicU64::new(0) });
    let (done, logs) = mpsc::channel();
    let players: Vec<_> = (0..threads)
        .map(|thread| {
            let (table, random, done) = (table.clone(), random.split(), done.clone());
            thread::spawn(move || done.send(table.play(thread, random)).unwrap())
        })
        .collect();
    drop(done);
    let log = |_| {
        logs.recv_timeout(LIMIT)
            .unwrap_or_else(|error| panic!("BCHAN_SEED={seed}: a thread is missing: {error}"))
    };
    let history = History::new((0..threads).flat_map(log).collect());
    players.into_iter().for_each(|player| player.join().unwrap());
    history
}

/// What the threads of one history share.
struct Table<F> {
    fifo: F,
    threads: usize,
    /// How many threads are ready to start.
    registered: AtomicUsize,
    tokens: AtomicU64,
}

impl<F: Fifo> Table<F> {
    fn play(&self, thread: usize, mut random: Random) -> Vec<Operation> {
        let mut items = 100 * thread as u64..;
        let count = 3 + random.below(4);
        self.registered.fetch_add(1, Ordering::Relaxed);
        until(|| self.registered.load(Ordering::Relaxed) == self.threads);
        (0..count)
            .map(|_| {
                pause(&mut random);
                let prepared = Prepared::random(&mut random, &mut items);
                let invoked = self.token();
                let call = prepared.run(&self.fifo);
                Operation { thread, call, invoked, responded: self.token() }
            })
            .collect()
    }

    fn token(&self) -> u64 {
        // SeqCst: one order of all tokens, and no part of a call drifts past its own.
        self.tokens.fetch_add(1, Ordering::SeqCst)
    }
}

enum Prepared {
    Send(u64),
    SendAll(Vec<u64>),
    Receive,
    ReceiveAll(usize),
}

impl Prepared {
    fn random(random: &mut Random, items: &mut impl Iterator<Item = u64>) -> Self {
        let batch = 1 + random.below(LONGEST_BATCH) as usize;
        match random.below(4) {
            0 => Self::Send(items.next().unwrap()),
            1 => Self::SendAll(items.take(batch).collect()),
            2 => Self::Receive,
            _ => Self::ReceiveAll(batch),
        }
    }

    fn run(self, fifo: &impl Fifo) -> Call {
        match self {
            Self::Send(item) => Call::Send { items: vec![item], sent: fifo.try_send(item).into() },
            Self::SendAll(items) => Call::Send { sent: fifo.try_send_all(&items), items },
            Self::Receive => Call::Receive { most: 1, received: fifo.try_receive().into_iter().collect() },
            Self::ReceiveAll(most) => Call::Receive { most, received: fifo.try_receive_all(most) },
        }
    }
}

fn pause(random: &mut Random) {
    match random.below(4) {
        0 => thread::yield_now(),
        1 => (0..random.below(200)).for_each(|_| std::hint::spin_loop()),
        _ => {}
    }
}
