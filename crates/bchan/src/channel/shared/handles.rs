//! Registered producers and consumers of a shared ring.

use super::{Port, Receiver, Sender};
use crate::channel::Shared;
use crate::error::HandleError;
use crate::layout::MAX_PRODUCERS;
use crate::sync::{Arc, Ordering};

/// A registered producer.
#[derive(Debug)]
pub(in crate::channel) struct Producer {
    pub(in crate::channel) sender: Sender<Port>,
    _place: ProducersPlace,
}

impl Producer {
    pub(in crate::channel) fn register(shared: &Arc<Shared>) -> Result<Self, HandleError> {
        shared.registry().enter(shared.memory.geometry().max_producers as usize)?;
        let place = ProducersPlace(shared.clone());
        Ok(Self { sender: Sender::new(Port::new(shared)), _place: place })
    }
}

/// Given back after what was claimed.
#[derive(Debug)]
struct ProducersPlace(Arc<Shared>);

impl Drop for ProducersPlace {
    fn drop(&mut self) {
        if self.0.registry().leave() {
            self.0.say_deserted();
        }
    }
}

/// A registered consumer.
#[derive(Debug)]
pub(in crate::channel) struct Consumer {
    pub(in crate::channel) receiver: Receiver<Port>,
    _place: ConsumersPlace,
}

impl Consumer {
    pub(in crate::channel) fn register(shared: &Arc<Shared>) -> Result<Self, HandleError> {
        let room = |now: u32| (now < MAX_PRODUCERS as u32).then_some(now + 1);
        let consumers = &shared.memory.header().consumers;
        consumers
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .map_err(|_| HandleError::ConsumersTaken { max_consumers: MAX_PRODUCERS })?;
        let place = ConsumersPlace(shared.clone());
        Ok(Self { receiver: Receiver::new(Port::new(shared)), _place: place })
    }
}

/// Given back after what was claimed.
#[derive(Debug)]
struct ConsumersPlace(Arc<Shared>);

impl Drop for ConsumersPlace {
    fn drop(&mut self) {
        // The consumer may have been woken for a message that it leaves there.
        Port::new(&self.0).pass_messages_on();
        self.0.memory.header().consumers.fetch_sub(1, Ordering::Relaxed);
    }
}
