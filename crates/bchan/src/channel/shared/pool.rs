//! Seats for those who use a channel that processes share without a handle: each call borrows one.

use std::sync::{Mutex, PoisonError};

use crate::channel::Shared;
use crate::channel::seats::Place;
use crate::error::HandleError;
use crate::process;
use crate::sync::Arc;

/// Seats of this process that were taken for calls.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Seats>);

#[derive(Debug, Default)]
struct Seats {
    /// All of them; they are left with the port.
    places: Vec<Place>,
    /// Those that no call uses just now.
    free: Vec<usize>,
    /// Forks when they were taken: a parent's seats are not the child's.
    forks: u32,
}

impl Pool {
    pub(super) fn borrow(&self, shared: &Arc<Shared>) -> Result<usize, HandleError> {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seats.forks != process::forks() {
            seats.forks = process::forks();
            if seats.places.iter().any(|place| !place.is_ours()) {
                *seats = Seats { forks: seats.forks, ..Seats::default() };
            }
        }
        if let Some(seat) = seats.free.pop() {
            return Ok(seat);
        }
        let place = Place::for_calls(shared)?;
        let seat = place.index();
        seats.places.push(place);
        Ok(seat)
    }

    pub(super) fn give_back(&self, seat: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).free.push(seat);
    }
}
