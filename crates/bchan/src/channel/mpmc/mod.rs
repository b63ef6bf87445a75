//! Channels of one ring that all producers and consumers share.

mod handles;
mod items;
mod pool;
mod port;
mod receiver;
mod registration;
mod sender;
mod turn;

pub(super) use handles::{Consumer, Producer};
pub use port::Port;
pub use receiver::Receiver;
pub use sender::Sender;

use super::ChannelState;
use crate::layout::SharedHeader;
use crate::process::kill_point;
use crate::ring::vyukov::Ring;
use crate::sync::{Ordering, fence};

impl ChannelState {
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
        self.notify_all_space(&ring);
    }

    /// Lets all look that wait for space.
    #[cold]
    fn notify_all_space(&self, ring: &SharedHeader) {
        self.space(&ring.space).notify_all();
        self.line(ring).notify_all();
    }
}
