//! Searches the orders that a history allows for one that a bounded queue explains.
//!
//! Source: J. Wing and C. Gong, Testing and Verifying Concurrent Objects (1993), with the memory of
//! G. Lowe, Testing for Linearizability (2017): what was tried once, the same operations done and the
//! same queue left, is not tried again.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::history::{Call, History, Operation};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Short only when full or empty.
    Queue,
    /// Short also where the holder of the next slot is still at work.
    Ring,
}

/// An order of the operations that the rule explains, or else the longest beginning of one.
pub fn linearize(history: &History, capacity: usize, rule: Rule) -> Result<Vec<usize>, Vec<usize>> {
    let mut search = Search {
        history,
        rule,
        holders: Holders::of(history),
        tried: HashSet::new(),
        order: Vec::new(),
        longest: Vec::new(),
    };
    let queue = Queue { capacity, latest: VecDeque::new(), waiting: 0 };
    if search.completes(0, 0, &queue) { Ok(search.order) } else { Err(search.longest) }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Queue {
    capacity: usize,
    /// The last messages sent, in order, at most `capacity`: what the slots hold or held.
    latest: VecDeque<u64>,
    /// How many of these, the last ones, have not been received.
    waiting: usize,
}

impl Queue {
    fn is_full(&self) -> bool {
        self.waiting == self.capacity
    }

    fn head(&self) -> Option<u64> {
        self.latest.get(self.latest.len() - self.waiting).copied()
    }

    /// The message that lay in the slot of the next send.
    fn overwritten_next(&self) -> Option<u64> {
        if self.latest.len() == self.capacity { self.latest.front().copied() } else { None }
    }

    fn send(&mut self, item: u64) -> bool {
        let accepted = !self.is_full();
        if accepted {
            if self.latest.len() == self.capacity {
                self.latest.pop_front();
            }
            self.latest.push_back(item);
            self.waiting += 1;
        }
        accepted
    }

    fn receive(&mut self, item: u64) -> bool {
        let is_next = self.head() == Some(item);
        self.waiting -= usize::from(is_next);
        is_next
    }
}

/// When the operation that sent a message, and the one that received it, responded.
#[derive(Default)]
struct Holders {
    sender_responded: HashMap<u64, u64>,
    receiver_responded: HashMap<u64, u64>,
}

impl Holders {
    fn of(history: &History) -> Self {
        let mut holders = Self::default();
        for Operation { call, responded, .. } in history.iter() {
            let (responses, items) = match call {
                Call::Send { items, sent } => (&mut holders.sender_responded, &items[..*sent]),
                Call::Receive { received, .. } => (&mut holders.receiver_responded, &received[..]),
            };
            responses.extend(items.iter().map(|&item| (item, *responded)));
        }
        holders
    }
}

struct Search<'a> {
    history: &'a History,
    rule: Rule,
    holders: Holders,
    tried: HashSet<(u64, Queue)>,
    order: Vec<usize>,
    longest: Vec<usize>,
}

impl Search<'_> {
    /// Goes on from `queue`, with the operations in the set `done` behind and `now` their last invocation.
    fn completes(&mut self, done: u64, now: u64, queue: &Queue) -> bool {
        if self.order.len() > self.longest.len() {
            self.longest.clone_from(&self.order);
        }
        if self.order.len() == self.history.len() {
            return true;
        }
        let history = self.history;
        let to_do = || history.iter().enumerate().filter(|(number, _)| done & 1 << number == 0);
        let first_response = to_do().map(|(_, operation)| operation.responded).min().unwrap();
        for (number, operation) in to_do().filter(|(_, operation)| operation.invoked < first_response) {
            let (done, now) = (done | 1 << number, now.max(operation.invoked));
            let Some(queue) = self.after(operation, queue, now) else { continue };
            if self.tried.insert((done, queue.clone())) {
                self.order.push(number);
                if self.completes(done, now, &queue) {
                    return true;
                }
                self.order.pop();
            }
        }
        false
    }

    /// The queue after `operation`, or none if it would have answered otherwise.
    fn after(&self, operation: &Operation, queue: &Queue, now: u64) -> Option<Queue> {
        let mut queue = queue.clone();
        let (is_exact, holder_responded, got) = match &operation.call {
            Call::Send { items, sent } => {
                if !items[..*sent].iter().all(|&item| queue.send(item)) {
                    return None;
                }
                let holder =
                    queue.overwritten_next().and_then(|item| self.holders.receiver_responded.get(&item));
                (*sent == items.len() || queue.is_full(), holder, *sent)
            }
            Call::Receive { most, received } => {
                if !received.iter().all(|&item| queue.receive(item)) {
                    return None;
                }
                let holder = queue.head().and_then(|item| self.holders.sender_responded.get(&item));
                (received.len() == *most || queue.waiting == 0, holder, received.len())
            }
        };
        let looked_since = if got == 0 { now } else { operation.invoked };
        let is_excused = self.rule == Rule::Ring && holder_responded.is_some_and(|&time| time > looked_since);
        (is_exact || is_excused).then_some(queue)
    }
}
