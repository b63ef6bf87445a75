//! Registered producers and consumers of a shared ring.

use super::seating::Seating;
use super::{Port, Receiver, Sender};
use crate::channel::Shared;
use crate::channel::seats::Place;
use crate::sync::Arc;

/// A registered producer.
#[derive(Debug)]
pub(in crate::channel) struct Producer {
    pub(in crate::channel) sender: Sender<Port>,
    /// Given back after what was claimed.
    pub(in crate::channel) place: Place,
}

impl Producer {
    pub(in crate::channel) fn at(place: Place, shared: &Arc<Shared>) -> Self {
        let port = Port::new(shared);
        let seating = Seating::own(&port, place.index());
        Self { sender: Sender::new(port, seating), place }
    }
}

/// A registered consumer.
#[derive(Debug)]
pub(in crate::channel) struct Consumer {
    pub(in crate::channel) receiver: Receiver<Port>,
    _last: PassesOn,
    /// Given back after what was claimed.
    pub(in crate::channel) place: Place,
}

impl Consumer {
    pub(in crate::channel) fn at(place: Place, shared: &Arc<Shared>) -> Self {
        let port = Port::new(shared);
        let seating = Seating::own(&port, place.index());
        Self { receiver: Receiver::new(port, seating), _last: PassesOn(shared.clone()), place }
    }
}

/// Passes a wake-up on as the consumer goes: it may have been woken for a message that it leaves there.
#[derive(Debug)]
pub(super) struct PassesOn(pub(super) Arc<Shared>);

impl Drop for PassesOn {
    fn drop(&mut self) {
        Port::new(&self.0).pass_messages_on();
    }
}
