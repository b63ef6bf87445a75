//! Iterating by batches. Native, because a signal between a call and what a generator does with its
//! result would lose a batch.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::arguments::count;
use crate::consumer::Consumer;
use crate::made::Make;

/// Iterator over new batches of what is there, until the end of the channel.
#[pyclass(frozen, module = "bchan._core")]
pub(crate) struct Batches {
    consumer: Py<Consumer>,
    n: Py<PyAny>,
}

#[pymethods]
impl Batches {
    #[new]
    fn new(consumer: Py<Consumer>, n: &Bound<'_, PyAny>) -> PyResult<Self> {
        let n = count(n.as_borrowed(), "n")?.make(n.py())?.unbind();
        Ok(Self { consumer, n })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.consumer)?;
        visit.call(&self.n)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.consumer.get().next_batch(self.n.bind(py))
    }
}
