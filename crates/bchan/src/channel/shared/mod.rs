//! Channels of one ring that all producers and consumers share.

mod handles;
mod items;
mod pool;
mod port;
mod receiver;
mod seating;
mod sender;

pub(super) use handles::{Consumer, Producer};
pub use port::Port;
pub use receiver::Receiver;
pub use sender::Sender;

use super::Shared;
use crate::process::kill_point;
use crate::ring::vyukov::Ring;
use crate::sync::{Ordering, fence};

impl Shared {
    /// Closes: what was claimed counts, and no more.
    pub(super) fn close_ring(&self) {
        let ring = Ring::new(&self.memory, self.turns);
        ring.seal();
        kill_point!("close.sealed");
        if !self.registry().close() {
            return;
        }
        kill_point!("close.said");
        // Forbids: someone waits and has missed the seal.
        fence(Ordering::SeqCst);
        self.arrivals().notify_all();
        kill_point!("close.told_consumers");
        self.space(&ring.space).notify_all();
    }
}
