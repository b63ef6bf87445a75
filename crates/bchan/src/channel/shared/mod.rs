//! Channels of one ring that all producers and consumers share.

mod handles;
mod port;
mod receiver;
mod sender;

pub(super) use handles::{Consumer, Producer};
pub use port::Port;
pub use receiver::Receiver;
pub use sender::Sender;
