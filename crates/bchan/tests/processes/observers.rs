//! Those who live on: threads of the test's own process. They wait without a deadline, so that a wake-up that
//! is lost shows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel as std_channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bchan::{Channel, Deadline, HandleError, ReceiveError, SendError};

use crate::Kind;
use crate::common::{Random, spawn};
use crate::handles::{self, Rx, Tx};
use crate::ledger::{Ledger, Message, Note};
use crate::programs::{Account, look};

/// Longer than anything here takes on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(10);
/// What the observers of a death may take to go on.
#[cfg(feature = "kill-points")]
pub const PROMISED: Duration = Duration::from_millis(200);

/// A channel, its ledger, and the threads that use it.
#[derive(Debug)]
pub struct DeathObservers {
    pub kind: Kind,
    pub channel: Channel,
    pub ledger: Arc<Ledger>,
    is_on: Arc<AtomicBool>,
    producers: Vec<JoinHandle<()>>,
    consumers: Vec<JoinHandle<()>>,
    /// The number of the next one.
    next: usize,
}

impl DeathObservers {
    /// Their numbers are these and more.
    pub const FIRST: usize = 60_000;

    pub fn new(kind: Kind, capacity: usize) -> Self {
        let (channel, ledger) = (kind.channel(capacity), Arc::new(Ledger::new()));
        let is_on = Arc::new(AtomicBool::new(true));
        let (producers, consumers) = (Vec::new(), Vec::new());
        Self { kind, channel, ledger, is_on, producers, consumers, next: Self::FIRST }
    }

    fn is_for_all(&self) -> bool {
        self.kind.has_many_producers() && self.kind.has_many_consumers()
    }

    fn number(&mut self) -> usize {
        self.next += 2;
        self.next - 2
    }

    /// Starts one that receives to the end.
    pub fn add_consumer(&mut self) {
        let (mut rx, id) = (self.consumer(), self.number());
        let ledger = self.ledger.clone();
        self.consumers.push(spawn(move || receive_to_the_end(&mut *rx, &ledger, id)));
    }

    /// Starts one that sends a little now and then; in a ring it also gives slots up behind which it sent.
    pub fn add_producer(&mut self) {
        let (mut tx, id) = (self.producer(), self.number());
        let mut other = self.is_for_all().then(|| self.producer());
        let (ledger, is_on) = (self.ledger.clone(), self.is_on.clone());
        self.producers.push(spawn(move || {
            let (mut first, mut second) = (Account::new(&ledger), Account::new(&ledger));
            let mut random = Random(id as u64);
            while is_on.load(Ordering::Relaxed) {
                let outcome = match (random.below(4), &mut other) {
                    (0, Some(other)) => {
                        let reserved = tx.reserve(2);
                        let outcome = second.send(&mut **other, 1);
                        if reserved > 0 {
                            let _ = tx.commit(&[]);
                        }
                        outcome
                    }
                    (1, _) => first.commit(&mut *tx, 2, 1),
                    (2, _) => first.send(&mut *tx, 2),
                    _ => first.send(&mut *tx, 1),
                };
                match outcome {
                    Ok(0) => {
                        if tx.wait_for_space(Deadline::NEVER) == Err(SendError::Closed) {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(_) => return,
                }
                std::thread::sleep(Duration::from_micros(random.below(300)));
            }
        }));
    }

    /// A place for a producer; one that a dead process had must be had soon.
    #[track_caller]
    pub fn producer(&self) -> Box<dyn Tx> {
        soon(|| handles::producer(&self.channel).ok())
    }

    #[track_caller]
    pub fn consumer(&self) -> Box<dyn Rx> {
        soon(|| handles::consumer(&self.channel).ok())
    }

    /// Sends more messages than the ring has slots, and sees them arrive; or, where the last producer was the
    /// dead one, sees the consumers end. Tells how long that took.
    #[track_caller]
    pub fn go_on(&mut self, since: Instant) -> Duration {
        if self.consumers.is_empty() {
            self.add_consumer();
        }
        let (channel, ledger, count) =
            (self.channel.clone(), self.ledger.clone(), self.channel.capacity() * 3);
        if !self.producers.is_empty() && !self.kind.has_many_producers() {
            // There is no place for another.
            let before = ledger.notes().len();
            soon(|| (ledger.notes().len() >= before + count).then_some(()));
            return since.elapsed();
        }
        let consumers = std::mem::take(&mut self.consumers);
        let (done, consumers) = within(move || {
            let Some(mut tx) = soon(|| match handles::producer(&channel) {
                Ok(tx) => Some(Some(tx)),
                Err(HandleError::Ended | HandleError::Closed) => Some(None),
                Err(_) => None,
            }) else {
                consumers.into_iter().for_each(|thread| thread.join().unwrap());
                return (Instant::now(), Vec::new());
            };
            let mut account = Account::new(&ledger);
            let mut left = count;
            while left > 0 {
                left -= match account.send(&mut *tx, left.min(2)).unwrap() {
                    0 => tx.wait_for_space(Deadline::NEVER).map(|()| 0).unwrap(),
                    n => n,
                };
            }
            // Its place is not left before they have arrived, which would wake others.
            while ledger.notes().iter().filter(|note| note.message.producer == account.producer()).count()
                < count
            {
                std::thread::sleep(Duration::from_micros(100));
            }
            (Instant::now(), consumers)
        });
        self.consumers = consumers;
        done.duration_since(since)
    }

    /// Whether all consumers that there were have been told the end.
    #[cfg(feature = "kill-points")]
    pub fn have_ended(&self) -> bool {
        self.consumers.iter().all(JoinHandle::is_finished)
    }

    /// Has the producers leave, and sees the consumers end.
    #[track_caller]
    pub fn end(self) -> Arc<Ledger> {
        self.is_on.store(false, Ordering::Relaxed);
        let Self { producers, consumers, ledger, .. } = self;
        within(move || {
            producers.into_iter().for_each(|thread| thread.join().unwrap());
            consumers.into_iter().for_each(|thread| thread.join().unwrap());
        });
        ledger
    }
}

/// One by one, in batches and in place.
fn receive_to_the_end(rx: &mut dyn Rx, ledger: &Ledger, consumer: usize) {
    for turn in 0.. {
        let seen = match turn % 3 {
            2 => look(rx, ledger, consumer, 2, 2),
            turn => {
                let items = rx.try_receive([1, 3][turn]);
                let note = |&item| ledger.note(Note { consumer, message: Message::of(item) });
                items.iter().for_each(note);
                items.len()
            }
        };
        // Slower than the producers at times, so that these wait for space.
        if turn % 8 == 0 {
            std::thread::sleep(Duration::from_micros(300));
        }
        if seen == 0 && (rx.is_ended() || rx.wait_for_message(Deadline::NEVER) == Err(ReceiveError::Ended)) {
            return;
        }
    }
}

/// What must be had soon.
#[track_caller]
pub fn soon<T>(take: impl Fn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = take() {
            return found;
        }
        assert!(start.elapsed() < LIMIT, "not to be had in {LIMIT:?}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Does the work in a thread of its own, and fails if it takes too long.
#[track_caller]
pub fn within<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, wait) = std_channel();
    let worker = spawn(move || done.send(work()));
    match wait.recv_timeout(LIMIT) {
        Ok(outcome) => outcome,
        Err(_) if worker.is_finished() => panic!("{:?}", worker.join().map(|_| ())),
        Err(_) => panic!("not done in {LIMIT:?}"),
    }
}
