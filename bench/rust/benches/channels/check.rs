//! Whether every message arrives once, in its producer's order.

/// A message's value is its producer in the bits from here up, and its sequence below.
const PRODUCER_SHIFT: u32 = 48;

/// The first message of a producer; each further one is the last plus 1.
pub fn first_of(producer: usize) -> u64 {
    (producer as u64) << PRODUCER_SHIFT
}

/// What one consumer received. Panics at the first message that is doubled or out of order, and, if
/// there is no other consumer who may have it, lost.
///
/// The same for every contender, and cheap: one comparison a message, and where a whole batch is
/// of one producer the comparisons are vectorised.
pub struct Check {
    /// The next message of the producer heard last.
    next: u64,
    /// The next message of each of the others.
    others: Vec<u64>,
    /// Whether other consumers receive as well, so that this one misses messages.
    is_one_of_many: bool,
    /// The messages so far, but for those since the last gap.
    seen: Seen,
}

impl Check {
    pub fn new(producers: usize, consumers: usize) -> Self {
        Self {
            next: first_of(0),
            others: (0..producers).map(first_of).collect(),
            is_one_of_many: consumers > 1,
            seen: Seen::default(),
        }
    }

    #[inline]
    pub fn one(&mut self, value: u64) {
        if value != self.next {
            self.turn_to(value);
        }
        self.next += 1;
    }

    #[inline]
    pub fn batch(&mut self, values: &[u64]) {
        let difference = values.iter().zip(self.next..).fold(0, |seen, (value, next)| seen | (value ^ next));
        if difference == 0 {
            self.next += values.len() as u64;
        } else {
            values.iter().for_each(|&value| self.one(value));
        }
    }

    /// Goes on with `value`: with its producer, and past what other consumers received.
    #[inline(never)]
    fn turn_to(&mut self, value: u64) {
        let heard = (self.next >> PRODUCER_SHIFT) as usize;
        self.others[heard] = self.next;
        let producer = (value >> PRODUCER_SHIFT) as usize;
        self.next = *self.others.get(producer).expect("a producer that there is");
        if value != self.next {
            let is_later = value > self.next;
            assert!(self.is_one_of_many && is_later, "each message once, in its producer's order");
            self.seen.add(self.next..value, Seen::MISSED);
            self.next = value;
        }
    }

    /// All that was received.
    pub fn seen(mut self) -> Seen {
        let heard = (self.next >> PRODUCER_SHIFT) as usize;
        self.others[heard] = self.next;
        let ends = self.others.iter().enumerate();
        ends.for_each(|(producer, &end)| self.seen.add(first_of(producer)..end, 1));
        self.seen
    }
}

/// A set of messages, as the sum of hash(end) - hash(start) over its ranges.
///
/// However the messages are dealt out to consumers, the sums add up to that of all messages: what lies
/// between cancels out. If one is lost or doubled, there is a start without an end, and they don't, but
/// by a chance of 2^-64. A gap costs two hashes, a message nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen(u64);

impl Seen {
    const MISSED: u64 = u64::MAX;

    /// All of a producer's messages before `end`.
    pub fn all_before(end: u64) -> Self {
        let mut seen = Self::default();
        seen.add(first_of((end >> PRODUCER_SHIFT) as usize)..end, 1);
        seen
    }

    /// Adds a range `times` times; `MISSED` takes it off.
    fn add(&mut self, messages: std::ops::Range<u64>, times: u64) {
        let sum = hash(messages.end).wrapping_sub(hash(messages.start));
        self.0 = self.0.wrapping_add(sum.wrapping_mul(times));
    }
}

impl std::iter::Sum for Seen {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        Self(parts.fold(0, |sum, part| sum.wrapping_add(part.0)))
    }
}

/// Source: the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
fn hash(value: u64) -> u64 {
    let mixed = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
