//! Zero-copy receiving: messages that are shown where they are, and released.

use bchan::{FrameConsumer, ReceiveSlots, Receiving, ReceivingFrames};
use pyo3::Borrowed;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::arguments::{Timeout, count_from};
use crate::call::CallDeadline;
use crate::detached::Attached;
use crate::errors::{Raise, end_of_channel, must_be};
use crate::guard::{Entry, InUse};
use crate::handle::{Handle, Inner, Open};
use crate::passing::Passable;

/// The view that `peek` gave, and how many messages it shows, until released.
#[derive(Default)]
pub(crate) struct Peeked(Option<(Py<PyAny>, usize)>);

impl Open for Peeked {
    const REFUSAL: &'static str = "a view is open: release() it first";

    #[inline(always)]
    fn is_open(&self) -> bool {
        self.0.is_some()
    }
}

/// A handle of the core that shows messages.
pub(crate) trait Peeks: Passable + Send {
    /// What there are of messages in a view.
    const SHOWN: &'static str;

    fn is_ended(&mut self) -> bool;

    /// Lets go of the first `n` messages that are shown; the others come again.
    fn release_first(&mut self, n: usize);
}

impl Peeks for bchan::Consumer {
    const SHOWN: &'static str = "the length of the view";

    fn is_ended(&mut self) -> bool {
        ReceiveSlots::is_ended(self)
    }

    fn release_first(&mut self, n: usize) {
        self.release(n);
    }
}

impl Peeks for FrameConsumer {
    const SHOWN: &'static str = "the message that is looked at";

    fn is_ended(&mut self) -> bool {
        ReceiveSlots::is_ended(self)
    }

    fn release_first(&mut self, n: usize) {
        if n == 0 { self.hand_back() } else { self.release() }
    }
}

/// A new view, and how many messages it shows.
type View<'py> = (Bound<'py, PyAny>, usize);

impl<H: Peeks> Handle<H, Peeked> {
    /// The view that `look` makes, waiting by `wait` until it makes one.
    pub(crate) fn peek<'py>(
        &self,
        timeout: Timeout,
        look: impl Fn(&mut H) -> PyResult<Option<View<'py>>>,
        wait: impl Fn(&mut H, &mut InUse<'_>, &mut CallDeadline) -> PyResult<()>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (mut pass, inner) = self.enter()?;
        let mut deadline_of_call = CallDeadline::new(timeout);
        loop {
            if let Some(view) = show(inner, &mut pass, &look)? {
                return Ok(view);
            }
            wait(inner.idle()?, &mut pass, &mut deadline_of_call)?;
        }
    }

    /// The view that `look` makes; `None` when it makes none.
    pub(crate) fn try_peek<'py>(
        &self,
        look: impl Fn(&mut H) -> PyResult<Option<View<'py>>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (mut pass, inner) = self.enter()?;
        let view = show(inner, &mut pass, look)?;
        let is_ended = view.is_none() && inner.idle()?.is_ended();
        if is_ended { Err(end_of_channel()) } else { Ok(view) }
    }

    /// Ends the view and lets go of its first `n` messages, or of all.
    pub(crate) fn release(&self, n: Option<Borrowed<'_, '_, PyAny>>) -> PyResult<()> {
        let n = n.filter(|n| !n.is_none()).map(|n| count_from(n, "n", 0)).transpose()?;
        let (pass, inner) = self.enter()?;
        let (Some(rx), Some((_, most))) = (&mut inner.core, &inner.open.0) else {
            return Err(PyRuntimeError::error("release() needs an open view: call peek() first"));
        };
        let n = n.unwrap_or(*most);
        if n > *most {
            return Err(must_be("n", format_args!("at most {most}, {}", H::SHOWN), n));
        }
        rx.release_first(n);
        let view = inner.open.end();
        // The view goes last: that may run Python code, which then meets a handle at rest.
        drop(pass);
        drop(view);
        Ok(())
    }

    /// Closes the handle, and with it its view.
    pub(crate) fn close_view(&self, py: Python<'_>) -> PyResult<()> {
        self.close(py, Peeked::end)
    }

    /// Whether this is the open view.
    pub(crate) fn is_view(&self, view: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.has_open(|Peeked(peeked)| peeked.as_ref().is_some_and(|(open, _)| open.is(view)))
    }
}

impl Peeked {
    /// Ends the view, if there is one, and gives it.
    fn end(&mut self) -> Option<Attached> {
        self.0.take().map(|(view, _)| Attached::new(view))
    }
}

fn show<'py, H: Peeks>(
    inner: &mut Inner<H, Peeked>,
    pass: &mut InUse<'_>,
    look: impl Fn(&mut H) -> PyResult<Option<View<'py>>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let rx = inner.idle()?;
    // To make a view may run the garbage collector, and so any Python code, while its messages are claimed.
    pass.mark();
    let Some((view, n)) = look(rx)? else { return Ok(None) };
    inner.open = Peeked(Some((view.clone().unbind(), n)));
    Ok(Some(view))
}
