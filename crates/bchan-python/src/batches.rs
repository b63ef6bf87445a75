//! Iterating by batches. Native, because a signal between a call and what a generator does with its
//! result would lose a batch.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::arguments::{Timeout, count};
use crate::consumer::Consumer;
use crate::frames::consumer::BytesConsumer;
use crate::frames::receiving::FrameInlet;
use crate::made::Make;
use crate::pickled::consumer::PickledConsumer;
use crate::pickled::receiving::PickledInlet;
use crate::receiving::{Inlet, unless_ended};

/// Whose batches they are.
#[derive(FromPyObject)]
enum Source {
    Items(Py<Consumer>),
    Bytes(Py<BytesConsumer>),
    Pickled(Py<PickledConsumer>),
}

/// Iterator over new batches of what is there, until the end of the channel.
#[pyclass(frozen, module = "bchan._core")]
pub(crate) struct Batches {
    consumer: Source,
    n: Py<PyAny>,
}

#[pymethods]
impl Batches {
    #[new]
    fn new(consumer: Source, n: &Bound<'_, PyAny>) -> PyResult<Self> {
        let n = count(n.as_borrowed(), "n")?.make(n.py())?.unbind();
        Ok(Self { consumer, n })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.consumer {
            Source::Items(consumer) => visit.call(consumer),
            Source::Bytes(consumer) => visit.call(consumer),
            Source::Pickled(consumer) => visit.call(consumer),
        }?;
        visit.call(&self.n)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let n = self.n.bind_borrowed(py);
        let batch = match &self.consumer {
            Source::Items(consumer) => consumer.get().receive_batch(n, Timeout::Never),
            Source::Bytes(consumer) => consumer.get().receive_batch(n, Timeout::Never),
            Source::Pickled(consumer) => consumer.get().receive_batch(n, Timeout::Never),
        };
        unless_ended(py, batch)
    }
}
