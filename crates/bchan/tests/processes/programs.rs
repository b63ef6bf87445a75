//! What processes do until they are killed, or are to leave: all that their role can do, again and again.

use std::time::Duration;

use bchan::{Channel, Consumer, Deadline, HandleError, Producer, Receiving, Sending, Stop};

use crate::child::Stage;
use crate::common::Random;
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

    fn tries(&self, n: usize) {
        self.ledger.tried(self.producer).store(self.next + n as u64, std::sync::atomic::Ordering::Release);
    }

    fn has_sent(&mut self, n: usize) {
        use std::sync::atomic::Ordering::Release;
        self.next += n as u64;
        self.ledger.sent(self.producer).store(self.next, Release);
        self.ledger.tried(self.producer).store(self.next, Release);
    }

    /// Sends up to `n` in one call, if there is space.
    pub fn send(&mut self, tx: &mut impl Sending, n: usize) -> Result<usize, Stop> {
        self.tries(n);
        let outcome = match n {
            1 => tx.try_send(self.items(1)[0]).map(usize::from),
            _ => tx.try_send_all(&self.items(n)),
        };
        self.has_sent(*outcome.as_ref().unwrap_or(&0));
        outcome
    }

    /// Reserves `n`, if there is space, and sends the first `m` of them.
    pub fn commit(&mut self, tx: &mut impl Sending, n: usize, m: usize) -> Result<usize, Stop> {
        let m = tx.reserve(n).min(m);
        let items = self.items(m);
        // SAFETY: that many slots of eight bytes are reserved.
        unsafe { tx.slots(m).cast::<u64>().copy_from_nonoverlapping(items.as_ptr(), m) };
        self.tries(m);
        let outcome = tx.commit(m).map(|()| m);
        self.has_sent(*outcome.as_ref().unwrap_or(&0));
        outcome
    }
}

/// Claims up to `n`, notes the first `m` of them, and releases those.
pub fn look(rx: &mut impl Receiving, ledger: &Ledger, consumer: usize, n: usize, m: usize) -> usize {
    let n = rx.peek(n);
    if n > 0 {
        note(rx, ledger, consumer, n.min(m));
        rx.release(n.min(m));
    }
    n
}

/// Notes the first `n` messages that were claimed.
pub fn note(rx: &impl Receiving, ledger: &Ledger, consumer: usize, n: usize) {
    // SAFETY: that many messages of eight bytes are claimed.
    let items = unsafe { std::slice::from_raw_parts(rx.front(n).cast::<u64>(), n) };
    items.iter().for_each(|&item| ledger.note(Note { consumer, message: Message::of(item) }));
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

fn producer(channel: &Channel) -> Result<Producer, HandleError> {
    let mut tx = channel.producer()?;
    tx.begin()?;
    Ok(tx)
}

fn consumer(channel: &Channel) -> Result<Consumer, HandleError> {
    let mut rx = channel.consumer()?;
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
                (0 | 1, _) => first.send(&mut tx, 1),
                (2, _) => first.send(&mut tx, 3),
                (3, _) => first.commit(&mut tx, 3, random.below(4) as usize),
                (_, None) => first.commit(&mut tx, 2, 1),
                (_, Some(other)) => {
                    // What lies before another's claim is not taken back, but passed.
                    let reserved = tx.reserve(2);
                    let sent = second.send(other, 1);
                    if reserved > 0 {
                        let _ = tx.commit(0);
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
            let ticket = stage.channel.producer().and_then(|mut fresh| fresh.ticket());
            drop(ticket.and_then(|ticket| stage.channel.producer_of(ticket)));
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
                    let looked = rx.peek(2);
                    let more = look(other, &stage.ledger, stage.id + 1, 1, 1);
                    if looked > 0 {
                        rx.release(0);
                    }
                    looked + more
                }
                (1, _) => look(&mut rx, &stage.ledger, stage.id, 3, random.below(4) as usize),
                _ => look(&mut rx, &stage.ledger, stage.id, 4, 4),
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
    let port = stage.channel.port().unwrap();
    let ledger = &stage.ledger;
    let (mut first, mut second) = (Account::new(ledger), Account::new(ledger));
    stage.is_ready();
    while stage.is_on() {
        let (mut tx, mut other) = (port.sender().unwrap(), port.sender().unwrap());
        let outcome = match random.below(4) {
            0 => first.send(&mut tx, 1),
            1 => first.send(&mut tx, 3),
            2 => first.commit(&mut tx, 3, random.below(4) as usize),
            _ => {
                let reserved = tx.reserve(2);
                let sent = second.send(&mut other, 1);
                if reserved > 0 {
                    let _ = tx.commit(0);
                }
                sent
            }
        };
        match outcome {
            Ok(0) => {
                let _ = tx.wait_for_space(soon());
            }
            Ok(_) => {}
            Err(_) => break,
        }
        pause(&mut random);
    }
    stage.random = random;
}

/// As [`consume`], without a handle.
pub fn receive_by_port(mut stage: Stage) {
    let mut random = stage.random.clone();
    let port = stage.channel.port().unwrap();
    stage.is_ready();
    while stage.is_on() {
        let (mut rx, mut other) = (port.receiver().unwrap(), port.receiver().unwrap());
        let looked = match random.below(3) {
            0 => {
                let looked = rx.peek(2);
                let more = look(&mut other, &stage.ledger, stage.id + 1, 1, 1);
                if looked > 0 {
                    rx.release(0);
                }
                looked + more
            }
            1 => look(&mut rx, &stage.ledger, stage.id, 3, random.below(4) as usize),
            _ => look(&mut rx, &stage.ledger, stage.id, 4, 4),
        };
        if looked == 0 {
            if rx.is_ended() {
                break;
            }
            let _ = rx.wait_for_message(soon());
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
    let mut tx = stage.channel.producer_of(stage.ticket.unwrap()).unwrap();
    let mut account = Account::new(&stage.ledger);
    let _ = account.send(&mut tx, 1);
}

/// Gets into the midst of all it can, and stays there.
pub fn be_prey(stage: Stage) {
    let mut tx = producer(&stage.channel).unwrap();
    let mut account = Account::new(&stage.ledger);
    assert_eq!(account.send(&mut tx, 2), Ok(2));
    assert_eq!(tx.reserve(1), 1);
    let mut rx = stage.kind.has_many_consumers().then(|| consumer(&stage.channel).unwrap());
    if let Some(rx) = &mut rx {
        assert_eq!(rx.peek(1), 1);
    }
    let mut second = stage.kind.has_many_producers().then(|| producer(&stage.channel).unwrap());
    if let Some(second) = &mut second {
        let mut account = Account::new(&stage.ledger);
        assert_eq!(account.send(second, 1), Ok(1));
    }
    stage.is_ready();
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Receives what there is, and then waits for the prey's death; it is the first to clear up after it.
pub fn bury(stage: Stage) {
    let mut rx = consumer(&stage.channel).unwrap();
    stage.is_ready();
    while stage.is_on() {
        if look(&mut rx, &stage.ledger, stage.id, 4, 4) == 0 && !rx.is_ended() {
            let _ = rx.wait_for_message(Deadline::after(Duration::from_secs(5)));
        }
    }
}

/// Receives until the end without a descriptor left to watch others with.
pub fn starve(stage: Stage) {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: it reads the limits.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const none) }, 0);
    let mut rx = consumer(&stage.channel).unwrap();
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
        if look(&mut rx, &stage.ledger, stage.id, 4, 4) == 0 {
            if rx.is_ended() {
                break;
            }
            let _ = rx.wait_for_message(soon());
        }
    }
}
