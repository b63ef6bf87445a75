//! Registry slots for those who use a channel that processes share without a handle: each call borrows one.

use std::sync::{Mutex, PoisonError};

use crate::channel::ChannelState;
use crate::channel::registry_slots::Place;
use crate::error::HandleError;
use crate::process;
use crate::sync::Arc;

/// Registry slots of this process that were taken for calls.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<RegistrySlots>);

#[derive(Debug, Default)]
struct RegistrySlots {
    /// All of them; they are left with the port.
    places: Vec<Place>,
    /// Those that no call uses just now.
    free: Vec<usize>,
    /// Forks when they were taken: a parent's registry slots are not the child's.
    forks: u32,
}

impl Pool {
    pub(super) fn borrow(&self, shared: &Arc<ChannelState>) -> Result<usize, HandleError> {
        let mut registry_slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if registry_slots.forks != process::forks() {
            registry_slots.forks = process::forks();
            if registry_slots.places.iter().any(|place| !place.is_ours()) {
                *registry_slots = RegistrySlots { forks: registry_slots.forks, ..RegistrySlots::default() };
            }
        }
        if let Some(registry_slot) = registry_slots.free.pop() {
            return Ok(registry_slot);
        }
        let place = Place::for_calls(shared)?;
        let registry_slot = place.index();
        registry_slots.places.push(place);
        Ok(registry_slot)
    }

    pub(super) fn give_back(&self, registry_slot: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).free.push(registry_slot);
    }
}
