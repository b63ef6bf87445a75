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
use crate::process::kill_point;
use crate::ring::vyukov::Ring;

impl ChannelState {
    /// Closes the ring: what was claimed counts, and no more.
    pub(super) fn seal_ring(&self) {
        Ring::new(&self.memory, self.turns).seal();
        kill_point!("close.sealed");
    }
}
