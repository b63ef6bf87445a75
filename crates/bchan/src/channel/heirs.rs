//! Handles that were dropped unused after the process had forked: a child may yet use its copy. Their
//! seats stay taken until it does, or until no child is left.

use std::sync::{Mutex, OnceLock, PoisonError};

use super::Shared;
use super::seats::Place;
use crate::process::{self, Lifeline, Owner, Survivor, Told};
use crate::sync::Arc;

/// Places that a child may take over.
struct Left {
    places: Mutex<Vec<Place>>,
    forks: u32,
}

impl Left {
    /// That of this process: what a child inherits is its parent's.
    fn get() -> std::sync::Arc<Self> {
        static LEFT: OnceLock<Mutex<std::sync::Arc<Left>>> = OnceLock::new();
        let new = || std::sync::Arc::new(Self { places: Mutex::default(), forks: process::forks() });
        let mut left = LEFT.get_or_init(|| Mutex::new(new())).lock().unwrap_or_else(PoisonError::into_inner);
        // A process that forks has places there that stay its own.
        if left.forks != process::forks() && left.is_inherited() {
            std::mem::forget(std::mem::replace(&mut *left, new()));
        }
        left.clone()
    }

    fn is_inherited(&self) -> bool {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.iter().any(|place| !place.is_ours())
    }
}

impl Survivor for Left {
    /// Leaves the seats that nobody can take over any more.
    fn bury(&self, _child: Owner) -> bool {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked under the lock: whoever may use a place that is there was forked before it was put there.
        // And left under it: nobody takes such a seat anew meanwhile (see `forget`).
        if process::living_children().is_empty() {
            places.drain(..).for_each(Place::leave);
        }
        true
    }

    /// Nobody waits for it.
    fn rouse(&self) {}
}

/// Keeps a place for the children; leaves it if there are none.
pub(super) fn leave_to_children(place: Place) {
    let left = Left::get();
    left.places.lock().unwrap_or_else(PoisonError::into_inner).push(place);
    let told = std::sync::Arc::downgrade(&left) as Told;
    let children = process::living_children();
    // Each of them, so that the last one's death is noticed.
    let has_died =
        children.iter().filter(|&&child| !process::watch(child, Lifeline::UNKNOWN, &told)).count() > 0;
    if children.is_empty() || has_died {
        left.bury(Owner::this());
    }
}

/// Forgets what was left at a seat that is taken anew.
pub(super) fn forget(shared: &Arc<Shared>, index: usize) {
    let left = Left::get();
    let mut places = left.places.lock().unwrap_or_else(PoisonError::into_inner);
    let taken: Vec<Place> = places.extract_if(.., |place| place.is_at(shared, index)).collect();
    drop(places);
    // They are no longer what they say.
    taken.into_iter().for_each(Place::leave);
}
