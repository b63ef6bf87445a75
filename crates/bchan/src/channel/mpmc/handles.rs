//! Registered producers and consumers of a shared ring.

use super::registration::Registration;
use super::{Port, Receiver, Sender};
use crate::channel::ChannelState;
use crate::channel::message::Message;
use crate::channel::registry_slots::Place;
use crate::sync::Arc;

/// A registered producer.
#[derive(Debug)]
pub(in crate::channel) struct Producer<M: Message> {
    pub(in crate::channel) sender: Sender<Port<M>, M>,
    /// Given back after what was claimed.
    pub(in crate::channel) place: Place,
}

impl<M: Message> Producer<M> {
    pub(in crate::channel) fn at(place: Place, shared: &Arc<ChannelState>) -> Self {
        let port = Port::new(shared);
        let registration = Registration::own(&port, place.index());
        Self { sender: Sender::new(port, registration), place }
    }
}

/// A registered consumer.
#[derive(Debug)]
pub(in crate::channel) struct Consumer<M: Message> {
    pub(in crate::channel) receiver: Receiver<Port<M>, M>,
    _last: PassesOn<M>,
    /// Given back after what was claimed.
    pub(in crate::channel) place: Place,
}

impl<M: Message> Consumer<M> {
    pub(in crate::channel) fn at(place: Place, shared: &Arc<ChannelState>) -> Self {
        let port = Port::new(shared);
        let registration = Registration::own(&port, place.index());
        Self { receiver: Receiver::new(port, registration), _last: PassesOn(Port::new(shared)), place }
    }
}

/// Passes a wake-up on as the consumer goes: it may have been woken for a message that it leaves there.
#[derive(Debug)]
struct PassesOn<M: Message>(Port<M>);

impl<M: Message> Drop for PassesOn<M> {
    fn drop(&mut self) {
        self.0.pass_messages_on();
    }
}
