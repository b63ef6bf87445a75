//! Random programs on one thread against a model: a plain queue for each lane.
#![cfg(not(loom))]

use bchan::{ReceiveSlots, Receiving, SendSlots, Sending};
use std::collections::VecDeque;

use bchan::{Channel, Config, Consumer, HandleError, Producer, SendError};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Register,
    Leave(usize),
    Send(usize),
    SendAll(usize, usize),
    /// Claim so many, commit so many of them.
    Commit(usize, usize, usize),
    Receive,
    ReceiveInto(usize),
    /// Look at so many, release so many of them.
    Release(usize, usize),
    NewConsumer,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let (who, n) = (0..4_usize, 1..12_usize);
    prop_oneof![
        3 => Just(Step::Register),
        2 => who.clone().prop_map(Step::Leave),
        6 => who.clone().prop_map(Step::Send),
        6 => (who.clone(), n.clone()).prop_map(|(who, n)| Step::SendAll(who, n)),
        6 => (who, n.clone(), n.clone()).prop_map(|(who, n, m)| Step::Commit(who, n, m)),
        6 => Just(Step::Receive),
        6 => n.clone().prop_map(Step::ReceiveInto),
        6 => (n.clone(), n).prop_map(|(n, m)| Step::Release(n, m)),
        1 => Just(Step::NewConsumer),
        1 => prop::bool::weighted(0.1).prop_map(|close| if close { Step::Close } else { Step::Receive }),
    ]
}

/// A channel and what must be in it. Messages are `producer << 32 | n`, producers never repeat.
struct Pair {
    channel: Channel,
    producers: Vec<(u64, u64, Producer)>,
    rx: Option<Consumer>,
    registered: u64,
    /// What is in flight, by producer.
    model: Vec<VecDeque<u64>>,
    is_closed: bool,
    has_ended: bool,
}

impl Pair {
    fn new(capacity: usize, max_producers: usize) -> Self {
        let channel = Channel::new(&Config { capacity, max_producers, ..Config::default() }).unwrap();
        let rx = Some(channel.consumer().unwrap());
        let (producers, model) = (Vec::new(), Vec::new());
        Self { channel, producers, rx, registered: 0, model, is_closed: false, has_ended: false }
    }

    fn len(&self) -> usize {
        self.model.iter().map(VecDeque::len).sum()
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Register => self.register(),
            Step::Leave(who) if !self.producers.is_empty() => {
                let who = who % self.producers.len();
                drop(self.producers.swap_remove(who));
            }
            Step::Send(who) => self.send(who, 1, |tx, items| tx.try_send(items[0]).map(usize::from)),
            Step::SendAll(who, n) => self.send(who, n, |tx, items| tx.try_send_all(items)),
            Step::Commit(who, n, m) => self.send(who, n.min(m), |tx, items| {
                let n = tx.reserve(n).min(items.len());
                if n == 0 {
                    return if tx.is_closed() { Err(SendError::Closed) } else { Ok(0) };
                }
                // SAFETY: `n` slots are free.
                (0..n).for_each(|i| unsafe { tx.slots(n).cast::<u64>().add(i).write(items[i]) });
                tx.commit(n).map(|()| n)
            }),
            Step::Receive => self.receive(|rx| rx.try_receive().into_iter().collect()),
            Step::ReceiveInto(n) => self.receive(|rx| {
                let mut buffer = vec![0; n];
                let n = rx.try_receive_into(&mut buffer);
                buffer.truncate(n);
                buffer
            }),
            Step::Release(n, m) => self.receive(|rx| {
                let n = rx.peek(n).min(m);
                // SAFETY: `n` messages are there.
                let seen = (0..n).map(|i| unsafe { rx.front(n).cast::<u64>().add(i).read() }).collect();
                if n > 0 {
                    rx.release(n);
                }
                seen
            }),
            Step::NewConsumer => {
                drop(self.rx.take());
                self.rx = Some(self.channel.consumer().unwrap());
            }
            Step::Close => {
                self.channel.close();
                self.is_closed = true;
            }
            Step::Leave(_) => {}
        }
        assert_eq!(self.channel.len(), self.len());
        assert_eq!(self.channel.active_producers(), self.producers.len());
    }

    fn register(&mut self) {
        let max_producers = self.channel.max_producers();
        let expected = match () {
            () if self.is_closed => Err(HandleError::Closed),
            () if self.has_ended => Err(HandleError::Ended),
            () if self.producers.len() == max_producers => Err(HandleError::ProducersTaken { max_producers }),
            () => Ok(()),
        };
        match self.channel.producer() {
            Ok(tx) => {
                assert_eq!(expected, Ok(()));
                self.producers.push((self.registered, 0, tx));
                self.model.push(VecDeque::new());
                self.registered += 1;
            }
            Err(error) => assert_eq!(expected, Err(error)),
        }
    }

    fn send(
        &mut self,
        who: usize,
        n: usize,
        send: impl Fn(&mut Producer, &[u64]) -> Result<usize, SendError>,
    ) {
        if self.producers.is_empty() {
            return;
        }
        let who = who % self.producers.len();
        let (number, next, tx) = &mut self.producers[who];
        let items: Vec<u64> = (0..n as u64).map(|i| *number << 32 | (*next + i)).collect();
        match send(tx, &items) {
            Ok(sent) => {
                assert!(!self.is_closed);
                assert!(sent == n || tx.reserve(1) == 0, "{sent} of {n} though there is space");
                *next += sent as u64;
                self.model[*number as usize].extend(&items[..sent]);
                assert!(self.model[*number as usize].len() <= self.channel.capacity());
            }
            Err(stop) => assert_eq!((stop, self.is_closed), (SendError::Closed, true)),
        }
    }

    fn receive(&mut self, receive: impl Fn(&mut Consumer) -> Vec<u64>) {
        let rx = self.rx.as_mut().unwrap();
        let received = receive(rx);
        for item in &received {
            assert_eq!(self.model[(item >> 32) as usize].pop_front(), Some(*item));
        }
        if received.is_empty() {
            assert_eq!(
                self.model.iter().map(VecDeque::len).sum::<usize>(),
                0,
                "nothing found though there is"
            );
            let is_over = self.is_closed || (self.registered > 0 && self.producers.is_empty());
            assert_eq!(rx.is_ended(), is_over || self.has_ended);
            self.has_ended |= is_over;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_program_does_what_plain_queues_would(
        capacity in 1..20_usize,
        max_producers in 1..4_usize,
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut pair = Pair::new(capacity, max_producers);
        steps.iter().for_each(|step| pair.run(step));
    }
}
