//! Zero-copy receiving: messages shown where they are, and released.

use bchan::Receiving;
use pyo3::Borrowed;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::{Consumer, Inner, refusal};
use crate::arguments::{Timeout, count, count_from};
use crate::array;
use crate::call::{Call, Patience};
use crate::detached::Attached;
use crate::errors::{end_of_channel, must_be};
use crate::gate::Pass;

impl Consumer {
    /// A read-only view of 1 to `n` messages, waiting for the first.
    pub(crate) fn peek<'py>(
        &self,
        n: Borrowed<'_, 'py, PyAny>,
        timeout: Timeout,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.item.as_array("peek")?;
        let (py, wanted) = (n.py(), count(n, "n")?);
        let (mut pass, inner) = self.enter()?;
        let mut patience = Patience::new(timeout);
        loop {
            if let Some(view) = self.look(py, inner, wanted)? {
                return Ok(view);
            }
            let Some(handle) = &mut inner.rx else { return Err(refusal(false)) };
            let mut call = Call { handle, entry: pass, item: &self.item };
            call.wait_for_message(py, "peek", &mut patience)?;
            pass = call.entry;
        }
    }

    /// A read-only view of 1 to `n` messages; `None` when there are none.
    pub(crate) fn try_peek<'py>(&self, n: Borrowed<'_, 'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.item.as_array("try_peek")?;
        let (py, wanted) = (n.py(), count(n, "n")?);
        let (_pass, inner): (Pass<'_>, _) = self.enter()?;
        let view = self.look(py, inner, wanted)?;
        let is_ended = view.is_none() && inner.rx.as_mut().is_some_and(Receiving::is_ended);
        if is_ended { Err(end_of_channel()) } else { Ok(view) }
    }

    /// The view for `peek`, if there is anything to see.
    fn look<'py>(
        &self,
        py: Python<'py>,
        inner: &mut Inner,
        wanted: usize,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (Some(rx), None) = (&mut inner.rx, &inner.peeked) else {
            return Err(refusal(inner.peeked.is_some()));
        };
        let n = rx.peek(wanted);
        if n == 0 {
            return Ok(None);
        }
        // SAFETY: the messages stay until released; `contents` keeps them mapped; it is read-only.
        let view = unsafe {
            let (owner, data) = (self.contents.bind(py).as_any(), rx.front(n).cast_mut());
            array::view(owner, &self.item, data, n, false).inspect_err(|_| rx.release(0))?
        };
        inner.peeked = Some((view.clone().unbind(), n));
        Ok(Some(view))
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
        rx.release(n);
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
