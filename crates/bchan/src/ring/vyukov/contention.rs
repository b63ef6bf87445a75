//! Backing off from a word that many claim from.

use crate::wait::Spin;

/// Backing off from a word that others claim from. Whoever loses stays away for longer each time, so
/// that the winner makes many claims at the price of few: two cores that take turns at each would pay a
/// cache miss for every message.
pub(super) struct Contention {
    pauses: usize,
    rounds: usize,
}

impl Contention {
    const FEWEST_PAUSES: usize = 8;
    const MOST_PAUSES: usize = 512;
    /// Nobody loses so often in a row, but to one who writes where it has no business.
    const MOST_ROUNDS: usize = 1 << 16;

    #[inline(always)]
    pub(super) fn new() -> Self {
        Self { pauses: Self::FEWEST_PAUSES, rounds: 0 }
    }

    /// Stays away for a while; false if there is no use in coming back.
    #[cold]
    pub(super) fn back_off(&mut self) -> bool {
        Spin::pause(self.pauses);
        self.pauses = (self.pauses * 2).min(Self::MOST_PAUSES);
        self.go_round()
    }

    pub(super) fn go_round(&mut self) -> bool {
        self.rounds += 1;
        self.rounds < Self::MOST_ROUNDS
    }
}
