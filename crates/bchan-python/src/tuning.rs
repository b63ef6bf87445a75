//! The package's `Tuning`, as the core takes it.

use std::time::Duration;

use bchan::{Tuning, WakePolicy};
use pyo3::prelude::*;

use crate::errors::must_be;

/// The fields that are about waiting. The package has checked them.
#[derive(FromPyObject)]
pub(crate) struct Waiting {
    /// Seconds.
    spin: f64,
    adaptive: bool,
    park: bool,
    wake: String,
}

impl Waiting {
    pub(crate) fn tuning(&self) -> PyResult<Tuning> {
        let spin = Duration::try_from_secs_f64(self.spin)
            .map_err(|_| must_be("spin", "a number of seconds, at least 0", self.spin))?;
        let wake = match self.wake.as_str() {
            "at once" => WakePolicy::AtOnce,
            "half drained" => WakePolicy::HalfDrained,
            other => return Err(must_be("wake", "'at once' or 'half drained'", other)),
        };
        Ok(Tuning { spin, is_adaptive: self.adaptive, parks: self.park, wake })
    }
}
