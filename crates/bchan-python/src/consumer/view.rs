//! Zero-copy receiving: messages shown where they are, and released.

use pyo3::Borrowed;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::{Consumer, Inner, refusal};
use crate::arguments::{Timeout, count, count_from};
use crate::array;
use crate::detached::Attached;
use crate::errors::{end_of_channel, must_be};

impl Consumer {
    /// A read-only view of 1 to `n` messages, waiting for the first.
    pub(crate) fn peek<'py>(
        &self,
        n: Borrowed<'_, 'py, PyAny>,
        timeout: Timeout,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, wanted) = (n.py(), count(n, "n")?);
        let (mut pass, rx) = self.enter_to_receive()?;
        if rx.poll(1) == 0 {
            self.wait(py, &mut pass, rx, "peek", timeout)?;
        }
        self.look(py, wanted)
    }

    /// A read-only view of 1 to `n` messages; `None` when there are none.
    pub(crate) fn try_peek<'py>(&self, n: Borrowed<'_, 'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (py, wanted) = (n.py(), count(n, "n")?);
        let (_pass, rx) = self.enter_to_receive()?;
        if rx.poll(1) == 0 {
            return if rx.is_ended() { Err(end_of_channel()) } else { Ok(None) };
        }
        self.look(py, wanted).map(Some)
    }

    /// The view for `peek`. The caller holds the pass, and has polled a message.
    fn look<'py>(&self, py: Python<'py>, wanted: usize) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: the caller's pass keeps every other call out.
        let inner = unsafe { &mut *self.inner.get() };
        let rx = inner.rx.as_mut().ok_or_else(|| refusal(false))?;
        let n = rx.poll(wanted);
        // SAFETY: the messages stay until released; `mapping` keeps them mapped; it is read-only.
        let view =
            unsafe { array::view(self.mapping.bind(py), &self.item, rx.front(n).cast_mut(), n, false)? };
        inner.peeked = Some((view.clone().unbind(), n));
        Ok(view)
    }

    /// Ends the view of `peek` and lets go of its first `n` messages.
    pub(crate) fn release(&self, n: Borrowed<'_, '_, PyAny>) -> PyResult<()> {
        let n = count_from(n, "n", 0)?;
        let (pass, inner) = self.enter()?;
        let (Some(rx), Some((_, most))) = (&mut inner.rx, &inner.peeked) else {
            return Err(PyRuntimeError::new_err("release() needs an open view: call peek() first"));
        };
        if n > *most {
            return Err(must_be("n", format_args!("at most {most}, the length of the view"), n));
        }
        if n > 0 {
            rx.release(n);
        }
        let view = end_view(inner);
        // The view goes last: that may run Python code, which then meets a handle at rest.
        drop(pass);
        drop(view);
        Ok(())
    }
}

/// Ends the view, if there is one, and gives it.
pub(super) fn end_view(inner: &mut Inner) -> Option<Attached> {
    inner.peeked.take().map(|(view, _)| Attached::new(view))
}
