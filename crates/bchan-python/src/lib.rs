//! `bchan._core`: the binding between Python and the core. It converts, checks and waits without
//! the GIL; what a channel is, the core knows.

mod arguments;
mod array;
mod batches;
mod call;
mod channel;
mod consumer;
mod contents;
mod cooperative;
mod detached;
mod dtype;
mod errors;
mod frames;
mod gaps;
mod guard;
mod handle;
mod item;
mod items;
mod made;
mod memory;
mod methods;
mod objects;
mod passing;
mod peeking;
mod pickled;
mod producer;
mod queue;
mod receiving;
mod references;
mod reserving;
mod selecting;
mod sending;
mod shuffling;
mod tuning;
mod turns;

/// The native part of bchan.
#[pyo3::pymodule(gil_used = false)]
mod _core {
    use pyo3::prelude::*;

    use crate::made::Made;

    #[pymodule_export]
    use crate::batches::Batches;
    #[pymodule_export]
    use crate::channel::{Channel, read_metadata};
    #[pymodule_export]
    use crate::consumer::Consumer;
    #[pymodule_export]
    use crate::dtype::check_dtype;
    #[pymodule_export]
    use crate::errors::{ChannelError, Closed, EndOfChannel};
    #[pymodule_export]
    use crate::methods::hot_methods;
    #[pymodule_export]
    use crate::passing::{Handover, has_unused_handles};
    #[pymodule_export]
    use crate::pickled::sending::Encoding;
    #[pymodule_export]
    use crate::producer::Producer;
    #[pymodule_export]
    use crate::queue::Queue;
    #[pymodule_export]
    const MAX_PRODUCERS: usize = bchan::MAX_PRODUCERS;
    #[pymodule_export]
    use crate::selecting::{Woken, wait_for_any};
    #[pymodule_export]
    use crate::shuffling::shuffled;
    #[pymodule_export]
    use crate::turns::{hurry, is_in_a_hurry, may_go_on};
    #[pymodule_export]
    const READY_IN_A_ROW: u32 = crate::turns::IN_A_ROW;
    #[pymodule_export]
    const MAX_CAPACITY: usize = bchan::MAX_CAPACITY;
    #[pymodule_export]
    const FRAME_SLOT: usize = bchan::FRAME_SLOT;

    /// Which process this is: another number in the child of a fork.
    #[pyfunction]
    fn generation() -> Made<u32> {
        Made(crate::guard::generation())
    }

    /// `(version, profile, target, target_cpu, free_threaded)` of this build.
    #[pyfunction]
    fn _build() -> (&'static str, &'static str, &'static str, &'static str, bool) {
        let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
        let free_threaded = cfg!(Py_GIL_DISABLED);
        (env!("CARGO_PKG_VERSION"), profile, env!("BCHAN_TARGET"), env!("BCHAN_TARGET_CPU"), free_threaded)
    }

    /// This process as a number, for `process_lives`: it stands for the program that runs, too.
    #[pyfunction]
    fn this_process() -> Made<u64> {
        Made(bchan::process::this())
    }

    /// Whether a process of this pid namespace lives and still runs the program that it ran when it asked for
    /// its number; None if that can't be told.
    #[pyfunction]
    fn process_lives(number: u64) -> Option<bool> {
        bchan::process::life(number)
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        module.add("NOTHING", crate::turns::make_nothing(py)?)?;
        module.add("MOST_CASES", bchan::most_cases())?;
        // First, for Ctrl-C may come meanwhile, and to find the functions must not fail.
        py.import("numpy.lib")?;
        // NumPy's functions are found now, and names are made: later there may be no memory for it.
        drop(numpy::dtype::<u64>(py));
        crate::cooperative::greenlet(py);
        crate::reserving::threads::key(py);
        crate::guard::watch_forks();
        Ok(())
    }
}
