//! Whether every message arrives once, in its producer's order.

/// A message's value is its producer in the bits from here up, and its sequence below.
const PRODUCER_SHIFT: u32 = 48;

/// The first message of a producer; each further one is the last plus 1.
pub fn first_of(producer: usize) -> u64 {
    (producer as u64) << PRODUCER_SHIFT
}

/// What is still to come. Panics at the first message that is lost, doubled or out of order.
///
/// The same for every contender, and cheap: one comparison a message, and where a whole batch is
/// of one producer the comparisons are vectorised.
pub struct Check {
    /// The next message of the producer heard last.
    next: u64,
    /// The next message of each of the others.
    others: Vec<u64>,
}

impl Check {
    pub fn new(producers: usize) -> Self {
        Self { next: first_of(0), others: (0..producers).map(first_of).collect() }
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

    /// Goes on with the producer of `value`.
    #[inline(never)]
    fn turn_to(&mut self, value: u64) {
        let heard = (self.next >> PRODUCER_SHIFT) as usize;
        self.others[heard] = self.next;
        let producer = (value >> PRODUCER_SHIFT) as usize;
        self.next = *self.others.get(producer).expect("a producer that there is");
        assert_eq!(value, self.next, "each message once, in its producer's order");
    }

    /// How many messages came of each producer.
    pub fn received(mut self) -> Vec<u64> {
        let heard = (self.next >> PRODUCER_SHIFT) as usize;
        self.others[heard] = self.next;
        self.others.iter().enumerate().map(|(producer, next)| next - first_of(producer)).collect()
    }
}
