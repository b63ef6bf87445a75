//! Who is registered, and whether the channel can still begin anything.
//!
//! One word holds the number of producers and three flags, so that "the last producer leaves",
//! "a producer comes" and "the channel ends" have one order for all:
//!
//! | flags | a producer may come | a consumer that finds all drained |
//! |---|---|---|
//! | none | yes | waits: the first producer is yet to come |
//! | EVER, count > 0 | yes | waits |
//! | EVER, count = 0 | yes, if it is before the consumer | sets ENDED, and tells the end |
//! | CLOSED or ENDED | no | tells the end |

use super::Shared;
use crate::error::HandleError;
use crate::sync::{AtomicU64, Ordering, fence};

/// Producers registered now, in the low 16 bits.
const COUNT: u64 = 0xffff;
/// One producer that has come, in the 45 bits above: the word never looks the same again.
const COMING: u64 = 1 << 16;
/// A producer has registered at some time.
const EVER: u64 = 1 << 61;
/// The channel was closed.
const CLOSED: u64 = 1 << 62;
/// The consumer was told that nothing more will come.
const ENDED: u64 = 1 << 63;

/// The registry's word, with its states spelled out.
pub(super) struct Registry<'a>(pub(super) &'a AtomicU64);

/// A registry that all producers had left.
pub(super) struct Deserted(u64);

impl Registry<'_> {
    pub(super) fn producers(&self) -> usize {
        (self.0.load(Ordering::Acquire) & COUNT) as usize
    }

    pub(super) fn is_closed(&self) -> bool {
        // Acquire: pairs with `close`; the lanes' flags were set before.
        self.0.load(Ordering::Acquire) & CLOSED != 0
    }

    pub(super) fn is_ended(&self) -> bool {
        self.0.load(Ordering::Acquire) & ENDED != 0
    }

    /// Counts a producer in, if one may still come.
    pub(super) fn enter(&self, max_producers: usize) -> Result<(), HandleError> {
        // AcqRel: one order of coming, leaving and ending; pairs with itself.
        let entered = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
            (refusal(now, max_producers).is_none()).then_some((now + COMING + 1) | EVER)
        });
        entered.map(drop).map_err(|now| refusal(now, max_producers).unwrap_or(HandleError::Closed))
    }

    /// Counts a producer out; true if it was the last.
    pub(super) fn leave(&self) -> bool {
        // Release: its messages are published before; pairs with the Acquire in `deserted`.
        self.0.fetch_sub(1, Ordering::AcqRel) & COUNT == 1
    }

    /// Whether producers came and all have left. What they sent is visible then.
    pub(super) fn deserted(&self) -> Option<Deserted> {
        let now = self.0.load(Ordering::Acquire);
        (now & EVER != 0 && now & COUNT == 0).then_some(Deserted(now))
    }

    /// Ends the channel if nobody has come since it was found deserted; tells whether it has ended.
    pub(super) fn end(&self, Deserted(then): Deserted) -> bool {
        self.0.compare_exchange(then, then | ENDED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Closes; true if it was open.
    pub(super) fn close(&self) -> bool {
        self.0.fetch_or(CLOSED, Ordering::AcqRel) & CLOSED == 0
    }

    /// Closed channels end too, once all is drained.
    pub(super) fn end_closed(&self) {
        self.0.fetch_or(ENDED, Ordering::AcqRel);
    }
}

/// Why no producer may come, if so.
fn refusal(now: u64, max_producers: usize) -> Option<HandleError> {
    match now {
        _ if now & CLOSED != 0 => Some(HandleError::Closed),
        _ if now & ENDED != 0 => Some(HandleError::Ended),
        _ if (now & COUNT) as usize >= max_producers => Some(HandleError::ProducersTaken { max_producers }),
        _ => None,
    }
}

impl Shared {
    pub(super) fn registry(&self) -> Registry<'_> {
        Registry(&self.memory.header().registry)
    }

    /// Wakes the consumers, who may find that it is over: the last producer has left.
    pub(super) fn say_deserted(&self) {
        // Forbids: a consumer waits and has missed it.
        fence(Ordering::SeqCst);
        self.arrivals().notify_all();
    }
}
