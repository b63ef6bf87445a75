//! What processes do until they are killed, or are to leave: all that their role can do, again and again.

use std::time::Duration;

use bchan::{Channel, Deadline, HandleError, Receiving, SendError};

use crate::child::Stage;
use crate::common::Random;
use crate::handles::{self, Receives, Rx, Sends, Tx};
use crate::ledger::{Ledger, Message, Note};

/// One who sends, with his account.
#[derive(Debug)]
pub struct Account<'a> {
    ledger: &'a Ledger,
    producer: usize,
    next: u64,
}

impl<'a> Account<'a> {
    pub fn new(ledger: &'a Ledger) -> Self {
        Self { ledger, producer: ledger.new_producer(), next: 0 }
    }

    pub fn producer(&self) -> usize {
        self.producer
    }

    fn items(&self, n: usize) -> Vec<u64> {
        let message = |sequence| Message { producer: self.producer, sequence }.word();
        (self.next..self.next + n as u64).map(message).collect()
    }

    fn begin(&self, n: usize) {
        self.ledger.tried(self.producer).store(self.next + n as u64, std::sync::atomic::Ordering::Release);
    }

    fn has_sent(&mut self, n: usize) {
        use std::sync::atomic::Ordering::Release;
        self.next += n as u64;
        self.ledger.sent(self.producer).store(self.next, Release);
        self.ledger.tried(self.producer).store(self.next, Release);
    }

    /// Sends up to `n` in one call, if there is space.
    pub fn send(&mut self, tx: &mut (impl Sends + ?Sized), n: usize) -> Result<usize, SendError> {
        self.begin(n);
        let outcome = tx.try_send(&self.items(n));
        self.has_sent(*outcome.as_ref().unwrap_or(&0));
        outcome
    }

    /// Reserves `n`, if there is space, and sends the first `m` of them.
    pub fn commit(&mut self, tx: &mut (impl Sends + ?Sized), n: usize, m: usize) -> Result<usize, SendError> {
        let m = tx.reserve(n).min(m);
        self.begin(m);
        let outcome = tx.commit(&self.items(m)).map(|()| m);
        self.has_sent(*outcome.as_ref().unwrap_or(&0));
        outcome
    }
}

/// Claims up to `n`, notes the first `m` of them, and releases those.
pub fn look(
    rx: &mut (impl Receives + ?Sized),
    ledger: &Ledger,
    consumer: usize,
    n: usize,
    m: usize,
) -> usize {
    let items = rx.peek(n);
    if !items.is_empty() {
        let noted = items.len().min(m);
        items[..noted].iter().for_each(|&item| ledger.note(Note { consumer, message: Message::of(item) }));
        rx.release(noted);
    }
    items.len()
}

/// Long enough to park, and short enough to look whether to leave.
fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(20))
}

fn pause(random: &mut Random) {
    if random.one_in(3) {
        std::thread::sleep(Duration::from_micros(random.below(400)));
    }
}

/// Long enough for a producer to fill the ring and wait.
fn dawdle(random: &mut Random) {
    if random.one_in(8) {
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A place, once there is one; `None` once there will be none.
pub fn register<T>(stage: &Stage, take: impl Fn(&Channel) -> Result<T, HandleError>) -> Option<T> {
    while stage.is_on() {
        match take(&stage.channel) {
            Ok(handle) => return Some(handle),
            Err(HandleError::ProducersTaken { .. } | HandleError::ConsumersTaken { .. }) => {
                std::thread::sleep(Duration::from_micros(300));
            }
            Err(_) => return None,
        }
    }
    None
}

fn producer(channel: &Channel) -> Result<Box<dyn Tx>, HandleError> {
    let mut tx = handles::producer(channel)?;
    tx.begin()?;
    Ok(tx)
}

fn consumer(channel: &Channel) -> Result<Box<dyn Rx>, HandleError> {
    let mut rx = handles::consumer(channel)?;
    rx.begin()?;
    Ok(rx)
}

/// Sends, reserves and gives up; leaves, comes back, sends its handle away and takes it over.
pub fn produce(mut stage: Stage) {
    let mut random = stage.random.clone();
    let ledger = &stage.ledger;
    stage.is_ready();
    'visits: while stage.is_on() {
        let Some(mut tx) = register(&stage, producer) else { break };
        let (mut first, mut second) = (Account::new(ledger), Account::new(ledger));
        let mut other = stage.kind.has_many_producers().then(|| producer(&stage.channel).ok()).flatten();
        // Where it is the only producer, the channel ends when it leaves.
        let calls = if stage.kind.has_many_producers() { 1 + random.below(12) } else { 60 };
        for _ in 0..calls {
            let outcome = match (random.below(5), &mut other) {
                (0 | 1, _) => first.send(&mut *tx, 1),
                (2, _) => first.send(&mut *tx, 3),
                (3, _) => first.commit(&mut *tx, 3, random.below(4) as usize),
                (_, None) => first.commit(&mut *tx, 2, 1),
                (_, Some(other)) => {
                    // What lies before another's claim is not taken back, but passed.
                    let reserved = tx.reserve(2);
                    let sent = second.send(&mut **other, 1);
                    if reserved > 0 {
                        let _ = tx.commit(&[]);
                    }
                    sent
                }
            };
            match outcome {
                Ok(0) => {
                    let _ = tx.wait_for_space(soon());
                }
                Ok(_) => {}
                Err(_) => break 'visits,
            }
            pause(&mut random);
        }
        drop(other);
        drop(tx);
        if random.one_in(3) || !stage.kind.has_many_producers() {
            // One that was never used is taken over.
            let token = handles::producer(&stage.channel).and_then(|mut fresh| fresh.token());
            drop(token.and_then(|token| handles::tx_of(&stage.channel, token)));
            // One that was never used is given back.
            drop(handles::producer(&stage.channel));
        }
    }
    stage.random = random;
}

/// Looks, releases and hands back; leaves and comes back.
pub fn consume(mut stage: Stage) {
    let mut random = stage.random.clone();
    stage.is_ready();
    'visits: while stage.is_on() {
        let Some(mut rx) = register(&stage, consumer) else { break };
        let mut other = stage.kind.has_many_consumers().then(|| consumer(&stage.channel).ok()).flatten();
        for _ in 0..1 + random.below(12) {
            let looked = match (random.below(3), &mut other) {
                (0, Some(other)) => {
                    // What lies before another's claim is not put back, but taken again.
                    let looked = rx.peek(2).len();
                    let more = look(&mut **other, &stage.ledger, stage.id + 1, 1, 1);
                    if looked > 0 {
                        rx.release(0);
                    }
                    looked + more
                }
                (1, _) => look(&mut *rx, &stage.ledger, stage.id, 3, random.below(4) as usize),
                _ => look(&mut *rx, &stage.ledger, stage.id, 4, 4),
            };
            if looked == 0 {
                if rx.is_ended() {
                    break 'visits;
                }
                let _ = rx.wait_for_message(soon());
            }
            dawdle(&mut random);
        }
    }
    stage.random = random;
}

/// As [`produce`], without a handle.
pub fn send_by_port(mut stage: Stage) {
    let mut random = stage.random.clone();
    let ledger = &stage.ledger;
    let (mut first, mut second) = (Account::new(ledger), Account::new(ledger));
    stage.is_ready();
    while stage.is_on() {
        let outcome = handles::senders(&stage.channel, |tx, other| {
            let outcome = match random.below(4) {
                0 => first.send(tx, 1),
                1 => first.send(tx, 3),
                2 => first.commit(tx, 3, random.below(4) as usize),
                _ => {
                    let reserved = tx.reserve(2);
                    let sent = second.send(other, 1);
                    if reserved > 0 {
                        let _ = tx.commit(&[]);
                    }
                    sent
                }
            };
            if outcome == Ok(0) {
                let _ = tx.wait_for_space(soon());
            }
            outcome
        });
        if outcome.is_err() {
            break;
        }
        pause(&mut random);
    }
    stage.random = random;
}

/// As [`consume`], without a handle.
pub fn receive_by_port(mut stage: Stage) {
    let mut random = stage.random.clone();
    stage.is_ready();
    while stage.is_on() {
        let is_ended = handles::receivers(&stage.channel, |rx, other| {
            let looked = match random.below(3) {
                0 => {
                    let looked = rx.peek(2).len();
                    let more = look(other, &stage.ledger, stage.id + 1, 1, 1);
                    if looked > 0 {
                        rx.release(0);
                    }
                    looked + more
                }
                1 => look(rx, &stage.ledger, stage.id, 3, random.below(4) as usize),
                _ => look(rx, &stage.ledger, stage.id, 4, 4),
            };
            let is_ended = looked == 0 && rx.is_ended();
            if looked == 0 && !is_ended {
                let _ = rx.wait_for_message(soon());
            }
            is_ended
        });
        if is_ended {
            break;
        }
        dawdle(&mut random);
    }
    stage.random = random;
}

/// Closes the channel with a place of its own.
pub fn close_seated(stage: Stage) {
    let _tx = register(&stage, producer);
    stage.channel.close();
}

/// Takes over what it was sent.
pub fn inherit(stage: Stage) {
    let mut tx = handles::tx_of(&stage.channel, stage.token.unwrap()).unwrap();
    let mut account = Account::new(&stage.ledger);
    let _ = account.send(&mut *tx, 1);
}

/// Gets into the midst of all it can, and stays there.
pub fn be_prey(stage: Stage) {
    let mut tx = producer(&stage.channel).unwrap();
    let mut account = Account::new(&stage.ledger);
    assert_eq!(account.send(&mut *tx, 2), Ok(2));
    assert_eq!(tx.reserve(1), 1);
    let mut rx = stage.kind.has_many_consumers().then(|| consumer(&stage.channel).unwrap());
    if let Some(rx) = &mut rx {
        assert_eq!(rx.peek(1).len(), 1);
    }
    let mut second = stage.kind.has_many_producers().then(|| producer(&stage.channel).unwrap());
    if let Some(second) = &mut second {
        let mut account = Account::new(&stage.ledger);
        assert_eq!(account.send(&mut **second, 1), Ok(1));
    }
    stage.is_ready();
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Waits until it may send, and dies of it.
pub fn be_torn(stage: Stage) {
    let mut tx = producer(&stage.channel).unwrap();
    let mut account = Account::new(&stage.ledger);
    stage.is_ready();
    while stage.ledger.ready().load(std::sync::atomic::Ordering::Acquire) < 3 {
        std::thread::sleep(Duration::from_micros(200));
    }
    // Some have more than one slot.
    let _ = account.send(&mut *tx, 4);
    panic!("it lives");
}

/// Receives what there is, and then waits for the prey's death; it is the first to clear up after it.
pub fn recover(stage: Stage) {
    let mut rx = consumer(&stage.channel).unwrap();
    stage.is_ready();
    while stage.is_on() {
        if look(&mut *rx, &stage.ledger, stage.id, 4, 4) == 0 && !rx.is_ended() {
            let _ = rx.wait_for_message(Deadline::after(Duration::from_secs(5)));
        }
    }
}

/// Receives until the end without a descriptor left to watch others with.
pub fn starve(stage: Stage) {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: it reads the limits.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const none) }, 0);
    let mut rx = stage.channel.consumer().unwrap();
    stage.is_ready();
    while let Ok(item) = rx.receive::<u64>() {
        stage.ledger.note(Note { consumer: stage.id, message: Message::of(item) });
    }
}

/// Receives until the end, and is told so.
pub fn find_the_end(stage: Stage) {
    let Some(mut rx) = register(&stage, consumer) else { return };
    stage.is_ready();
    while stage.is_on() {
        if look(&mut *rx, &stage.ledger, stage.id, 4, 4) == 0 {
            if rx.is_ended() {
                break;
            }
            let _ = rx.wait_for_message(soon());
        }
    }
}
