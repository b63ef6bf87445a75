//! Channels of lanes: one for each registered producer, and one consumer that goes round them.

mod bitmap;
mod consumer;
mod producer;
mod rota;

pub(super) use consumer::Consumer;
pub(super) use producer::Producer;

use super::Shared;
use crate::error::HandleError;
use crate::ring::lane::Lane;
use crate::sync::Ordering;

impl Shared {
    fn lane(&self, index: usize) -> Lane {
        Lane::new(&self.memory, index)
    }

    pub(super) fn lanes(&self) -> std::ops::Range<usize> {
        0..self.memory.geometry().lanes as usize
    }

    pub(super) fn len_of(&self, lane: usize) -> usize {
        let header = self.memory.lane_header(lane);
        // The head first: read later it could have passed this tail. Acquire keeps the order.
        let head = header.head.load(Ordering::Acquire);
        let len = header.tail.load(Ordering::Relaxed).wrapping_sub(head);
        len.min(self.memory.geometry().capacity) as usize
    }

    /// Takes a lane for a new producer: a drained one if there is one.
    ///
    /// A lane that its last producer left undrained goes on where that one stopped; the order of
    /// each producer's messages stays what it was.
    fn take_lane(&self) -> Result<usize, HandleError> {
        self.registry().enter(self.lanes().len())?;
        let registered = &self.memory.header().registered;
        let free = |lane: &usize| !registered.contains(*lane);
        // `enter` left a place for us, but which one may change under our eyes: look until found.
        loop {
            let drained =
                self.lanes().filter(free).find(|&lane| self.len_of(lane) == 0 && registered.insert(lane));
            if let Some(lane) =
                drained.or_else(|| self.lanes().filter(free).find(|&lane| registered.insert(lane)))
            {
                return Ok(lane);
            }
            crate::sync::spin_hint();
        }
    }

    /// Gives a lane back; wakes the consumer if that was the last producer.
    fn leave_lane(&self, lane: usize) {
        self.memory.header().registered.remove(lane);
        if self.registry().leave() {
            self.say_deserted();
        }
    }
}
