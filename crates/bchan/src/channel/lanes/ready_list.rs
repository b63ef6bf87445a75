//! Whose turn it is: the lanes that the consumer watches, in a circle.
//!
//! A lane joins when its doorbell rang and leaves when it had nothing for a while, so idle
//! producers cost nothing. While a lane has messages, each other lane has at most one turn before
//! it comes; and a turn ends once [`TURN`] messages were taken, so it is at most `TURN - 1`
//! messages and one claim. Nothing here is shared, and nothing allocates once it is made.

use std::collections::TryReserveError;

/// A turn ends once this many messages were taken.
pub(super) const TURN: usize = 256;
/// After this many rounds the lanes that had nothing in any of them leave.
const ROUNDS: u32 = if cfg!(loom) { 1 } else { 64 };

#[derive(Debug)]
struct Entry {
    reader: usize,
    /// Had messages since the last sweep.
    served: bool,
}

/// The circle of readers, by their index.
#[derive(Debug, Default)]
pub(super) struct ReadyList {
    entries: Vec<Entry>,
    /// Readers that have just left; the consumer has yet to look there once more.
    left: Vec<usize>,
    /// For each reader, whether it is among `entries`.
    is_member: Vec<bool>,
    /// Whose turn it is.
    at: usize,
    rounds: u32,
}

impl ReadyList {
    /// Of at most `lanes`.
    pub(super) fn of(lanes: usize) -> Result<Self, TryReserveError> {
        let mut ready_list = Self::default();
        ready_list.entries.try_reserve_exact(lanes)?;
        ready_list.left.try_reserve_exact(lanes)?;
        ready_list.is_member.try_reserve_exact(lanes)?;
        Ok(ready_list)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn readers(&self) -> impl Iterator<Item = usize> + '_ {
        self.entries.iter().map(|entry| entry.reader)
    }

    /// Lets `reader` in, if it isn't yet.
    pub(super) fn join(&mut self, reader: usize) {
        if self.is_member.len() <= reader {
            self.is_member.resize(reader + 1, false);
        }
        if !std::mem::replace(&mut self.is_member[reader], true) {
            self.entries.push(Entry { reader, served: true });
        }
    }

    /// The next reader in the circle, which must not be empty.
    pub(super) fn advance(&mut self) -> usize {
        self.at += 1;
        if self.at >= self.entries.len() {
            self.at = 0;
            self.rounds = self.rounds.saturating_add(1);
        }
        self.entries[self.at].reader
    }

    /// Notes that the reader whose turn it is had messages.
    pub(super) fn serve(&mut self) {
        self.entries[self.at].served = true;
    }

    /// Whether it is time to look for lanes that have nothing.
    pub(super) fn is_sweep_due(&self) -> bool {
        self.rounds >= ROUNDS && self.entries.len() > 1
    }

    /// Takes those out that had nothing since the last sweep; tells whether there were any.
    pub(super) fn sweep(&mut self) -> bool {
        self.rounds = 0;
        self.dismiss(|entry| !std::mem::take(&mut entry.served));
        !self.left.is_empty()
    }

    /// Takes all out.
    pub(super) fn clear(&mut self) {
        self.rounds = 0;
        self.dismiss(|_| true);
    }

    fn dismiss(&mut self, mut goes: impl FnMut(&mut Entry) -> bool) {
        let Self { entries, left, is_member, at, .. } = self;
        let (mut place, mut kept) = (0, 0);
        entries.retain_mut(|entry| {
            let goes = goes(entry);
            if goes {
                is_member[entry.reader] = false;
                left.push(entry.reader);
            } else if place <= *at {
                kept += 1;
            }
            place += 1;
            !goes
        });
        // Whoever stays and would have been next still is: none has two turns before another.
        *at = if kept > 0 { kept - 1 } else { entries.len().saturating_sub(1) };
    }

    /// The readers that left and were not looked at since.
    pub(super) fn left(&self) -> &[usize] {
        &self.left
    }

    /// One of them, to look at; `None` when there are no more.
    pub(super) fn take_left(&mut self) -> Option<usize> {
        self.left.pop()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn lanes_that_had_nothing_leave_and_the_others_stay() {
        let mut ready_list = ReadyList::default();
        (0..3).for_each(|reader| ready_list.join(reader));
        assert!(!ready_list.sweep(), "who has just joined stays");
        while !ready_list.is_sweep_due() {
            if ready_list.advance() == 1 {
                ready_list.serve();
            }
        }
        assert!(ready_list.sweep());
        assert_eq!(ready_list.left(), [0, 2]);
        assert_eq!(ready_list.readers().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_sweep_gives_nobody_two_turns_in_a_row() {
        let mut ready_list = ReadyList::default();
        (0..4).for_each(|reader| ready_list.join(reader));
        assert!(!ready_list.sweep());
        while !ready_list.is_sweep_due() {
            if ready_list.advance() != 0 {
                ready_list.serve();
            }
        }
        while ready_list.advance() != 2 {
            ready_list.serve();
        }
        assert!(ready_list.sweep());
        assert_eq!(
            [ready_list.advance(), ready_list.advance(), ready_list.advance(), ready_list.advance()],
            [3, 1, 2, 3]
        );
    }

    #[test]
    fn a_lane_joins_once() {
        let mut ready_list = ReadyList::default();
        ready_list.join(5);
        ready_list.join(5);
        assert_eq!(ready_list.len(), 1);
        ready_list.clear();
        assert_eq!(ready_list.take_left(), Some(5));
        assert_eq!(ready_list.take_left(), None);
        ready_list.join(5);
        assert_eq!(ready_list.len(), 1);
    }
}
