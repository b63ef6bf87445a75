//! Whether producers ever came, and whether the channel can still begin anything.
//!
//! Who is registered, the set `registered` says. This word counts how many have ever come, and has three
//! flags, so that "a producer comes" and "the channel ends" have one order for all:
//!
//! | flags | a producer may come | a consumer that finds all drained |
//! |---|---|---|
//! | none | yes | waits: the first producer is yet to come |
//! | EVER, some registered | yes | waits |
//! | EVER, none registered | yes, if it is before the consumer | sets ENDED, and tells the end |
//! | CLOSED or ENDED | no | tells the end |
//!
//! A fourth flag, DESERTED, says why it was closed: its last consumer had left. Then nobody would receive
//! what is sent. `consumes` in the consumers' registry slots says who is one.
//!
//! A producer first joins the set and then counts itself in; one that is refused leaves again. So who
//! finds the set empty, and the word unchanged since before he looked, may end the channel.

use super::ChannelState;
use crate::error::{HandleError, SendError};
use crate::layout::Bitmap;
use crate::sync::{AtomicU64, Ordering, fence};

/// One producer that has come, in the low 60 bits: the word never looks the same again.
const COMING: u64 = 1;
/// The last consumer has left, so that the channel is closed.
const DESERTED: u64 = 1 << 60;
/// A producer has registered at some time.
const EVER: u64 = 1 << 61;
/// The channel was closed.
const CLOSED: u64 = 1 << 62;
/// The consumer was told that nothing more will come.
const ENDED: u64 = 1 << 63;

/// The registry's word, with its states spelled out.
pub(super) struct Registry<'a> {
    word: &'a AtomicU64,
    registered: &'a Bitmap,
}

/// A registry that all producers had left.
pub(super) struct Left(u64);

impl Registry<'_> {
    pub(super) fn is_closed(&self) -> bool {
        // Acquire: pairs with `close`; the lanes' flags were set before.
        self.word.load(Ordering::Acquire) & CLOSED != 0
    }

    pub(super) fn is_ended(&self) -> bool {
        self.word.load(Ordering::Acquire) & ENDED != 0
    }

    /// Counts a producer in that has joined the set, if one may still come.
    pub(super) fn enter(&self) -> Result<(), HandleError> {
        // AcqRel: one order of coming and ending; the set was joined before. Pairs with itself.
        let come = |now| refusal(now).is_none().then_some(now.wrapping_add(COMING) | EVER);
        let entered = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, come);
        entered.map(drop).map_err(|now| refusal(now).unwrap_or(HandleError::Closed))
    }

    /// Why no producer may come, if so.
    pub(super) fn refusal(&self) -> Option<HandleError> {
        refusal(self.word.load(Ordering::Acquire))
    }

    /// Whether producers came and all have left. What they sent is visible then.
    pub(super) fn left(&self) -> Option<Left> {
        // Before the set: who comes after it changes the word.
        let now = self.word.load(Ordering::Acquire);
        (now & EVER != 0 && self.registered.has_none()).then_some(Left(now))
    }

    /// Ends the channel if nobody has come since it was found left; tells whether it has ended.
    pub(super) fn end(&self, Left(then): Left) -> bool {
        self.word.compare_exchange(then, then | ENDED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Says that the last consumer has left, unless the channel was closed before.
    pub(super) fn desert(&self) {
        let desert = |now: u64| (now & CLOSED == 0).then_some(now | DESERTED);
        let _ = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, desert);
    }

    /// Whether it is closed because the last consumer has left.
    pub(super) fn is_deserted(&self) -> bool {
        self.word.load(Ordering::Acquire) & DESERTED != 0
    }

    /// Why a closed channel takes no message.
    #[cold]
    pub(super) fn send_error(&self) -> SendError {
        // Sees what was said before the lane, or the ring, was closed; pairs with the Release there.
        fence(Ordering::Acquire);
        if self.is_deserted() { SendError::Deserted } else { SendError::Closed }
    }

    /// Closes; true if it was open.
    pub(super) fn close(&self) -> bool {
        self.word.fetch_or(CLOSED, Ordering::AcqRel) & CLOSED == 0
    }

    /// Closed channels end too, once all is drained.
    pub(super) fn end_closed(&self) {
        self.word.fetch_or(ENDED, Ordering::AcqRel);
    }
}

/// Why no producer may come, if so.
fn refusal(now: u64) -> Option<HandleError> {
    match now {
        _ if now & DESERTED != 0 => Some(HandleError::Deserted),
        _ if now & CLOSED != 0 => Some(HandleError::Closed),
        _ if now & ENDED != 0 => Some(HandleError::Ended),
        _ => None,
    }
}

impl ChannelState {
    pub(super) fn registry(&self) -> Registry<'_> {
        let header = self.memory.header();
        Registry { word: &header.registry, registered: &header.registered }
    }
}
