//! The handle of a consumer of objects for any process.

use std::collections::VecDeque;

use bchan::{FrameConsumer, ReceiveSlots, ReceivingFrames};
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;

use super::PACKED;
use super::decoding::{self, Pickled, Taken, failed, list_of, out, step};
use super::pickle::loads;
use super::receiving::PickledInlet;
use crate::arguments::Timeout;
use crate::call::CallDeadline;
use crate::channel::Channel;
use crate::detached::Attached;
use crate::errors::checked_waker;
use crate::frames::ends::consumer_of;
use crate::frames::lease;
use crate::frames::sending::FrameCall;
use crate::guard::{Entry, InUse};
use crate::handle::{self, Handle, Open};
use crate::made::list;
use crate::memory::NewList;
use crate::passing::Passed;

/// What is under way between two calls.
#[derive(Default)]
pub(crate) struct Underway {
    /// The objects of the claimed frame that were not handed out. It stays claimed until they all were.
    list: VecDeque<Attached>,
    /// Objects of the frame that is looked at, if one is, at most `MOST_OBJECTS`; 0 if it is no list.
    viewed: Option<u8>,
}

/// A list may be under way while calls go on; a view may not.
impl Open for Underway {
    const REFUSAL: &'static str = "a view is open: leave its with block first";

    #[inline(always)]
    fn is_open(&self) -> bool {
        self.viewed.is_some()
    }
}

type Inner = handle::Inner<FrameConsumer, Underway>;

/// The consumer of a channel of pickled objects. Its hot methods are set by `methods`.
#[pyclass(frozen, subclass, weakref, module = "bchan._core")]
pub(crate) struct Consumer {
    pub(crate) handle: Handle<FrameConsumer, Underway>,
}

impl Consumer {
    pub(crate) fn new(py: Python<'_>, channel: &Channel, token: Option<Passed>) -> PyResult<Self> {
        Ok(Self { handle: consumer_of(py, channel, token, Underway::default())? })
    }

    pub(crate) fn arm(&self, waker: i32) -> PyResult<bool> {
        let (_pass, inner) = self.handle.enter()?;
        checked_waker(!inner.open.list.is_empty() || inner.core.as_mut().is_none_or(|rx| rx.arm(waker)))
    }

    pub(crate) fn must_look(&self) -> bool {
        self.handle.must_look(|rx, underway| !underway.list.is_empty() || rx.must_look())
    }

    /// Ends the view, if one is open, and takes its message off the channel, or leaves it.
    pub(crate) fn end_view(&self, is_done: bool) -> PyResult<()> {
        if self.handle.is_closed() {
            return Ok(());
        }
        let (pass, inner) = self.handle.enter()?;
        let Some(objects) = inner.open.viewed.take() else { return Ok(()) };
        let (rx, underway) = inner.both()?;
        let mut skipped = None;
        if is_done {
            skipped = skip(rx, &mut underway.list, objects.into());
        } else if underway.list.is_empty() {
            rx.hand_back();
        }
        // The object goes last: that may run Python code, which then meets a handle at rest.
        drop(pass);
        drop(skipped);
        Ok(())
    }

    /// Claims the next message for the next call that receives, waiting for it.
    pub(crate) fn await_hold(&self, py: Python<'_>, timeout: Timeout) -> PyResult<()> {
        let mut deadline_of_call = CallDeadline::new(timeout);
        while !self.hold()? {
            self.wait(py, "hold", &mut deadline_of_call)?;
        }
        Ok(())
    }

    /// Refuses to go on after Python code has run that may have forked, in the child.
    fn check_home(&self) -> PyResult<()> {
        let guard = &self.handle.guard;
        if guard.is_home() { Ok(()) } else { guard.enter().map(drop) }
    }

    /// The next message of a handle at rest.
    #[inline(always)]
    fn taken<'py>(
        &self,
        py: Python<'py>,
        inner: &mut Inner,
        mut pass: InUse<'_>,
    ) -> PyResult<Option<Taken<'py>>> {
        let (rx, underway) = inner.both()?;
        if let Some(object) = hand_out(py, rx, &mut underway.list) {
            return Ok(Some(Taken::Object(object)));
        }
        let Some(frame) = rx.claim() else { return Ok(None) };
        let taken = out(py, rx, &mut pass, frame).map_err(|error| failed(py, rx, error))?;
        if let Taken::Pickle(pickled) = &taken
            && pickled.objects > 0
        {
            return self.open(py, inner, &mut pass, pickled);
        }
        rx.release();
        Ok(Some(taken))
    }

    /// Unpickles the list of the claimed frame, which stays so; gives the object whose turn it is.
    #[cold]
    fn open<'py>(
        &self,
        py: Python<'py>,
        inner: &mut Inner,
        pass: &mut InUse<'_>,
        pickled: &Pickled<'py>,
    ) -> PyResult<Option<Taken<'py>>> {
        // Keeps all other calls out while it runs Python code.
        pass.mark();
        let objects = pickled.load_rest();
        self.check_home()?;
        let (rx, underway) = inner.both()?;
        // As `claim`; besides, others shall come for what is behind it.
        rx.peek();
        match objects {
            Ok(objects) => {
                underway.list.extend(objects.into_iter().map(Bound::unbind).map(Attached::new));
                Ok(hand_out(py, rx, &mut underway.list).map(Taken::Object))
            }
            // What Python code raised it would raise again: that object is gone.
            Err(error) => {
                let is_for_later = pickled.is_plain && error.is_instance_of::<PyMemoryError>(py);
                if is_for_later || !step(rx, pickled.objects) {
                    rx.hand_back();
                }
                Err(error)
            }
        }
    }

    /// Shows the next message, waiting for it.
    pub(crate) fn await_look<'py>(&self, py: Python<'py>, timeout: Timeout) -> PyResult<Bound<'py, PyAny>> {
        let mut deadline_of_call = CallDeadline::new(timeout);
        loop {
            if let Some(object) = self.look(py)? {
                return Ok(object);
            }
            self.wait(py, "view", &mut deadline_of_call)?;
        }
    }

    /// Claims the next message, unless it has one; tells whether it has.
    fn hold(&self) -> PyResult<bool> {
        let (_pass, inner) = self.handle.enter()?;
        let (rx, underway) = inner.both()?;
        Ok(!underway.list.is_empty() || rx.peek().is_some())
    }

    fn look<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (mut pass, inner) = self.handle.enter()?;
        let (rx, underway) = inner.both()?;
        let Some(frame) = rx.peek() else { return Ok(None) };
        pass.mark();
        let (objects, object) = match frame.kind {
            PACKED => match decoding::parts(rx, frame.len) {
                Ok(parts) => (parts.objects, self.loaded_in_place(py, rx, &mut pass, &parts, frame.len)),
                Err(error) => return Err(failed(py, rx, error)),
            },
            _ => match out(py, rx, &mut pass, frame) {
                Ok(Taken::Pickle(pickled)) => (pickled.objects, pickled.load()),
                Ok(Taken::Object(object)) => (0, Ok(object)),
                Err(error) => return Err(failed(py, rx, error)),
            },
        };
        self.check_home()?;
        match object {
            Ok(object) => {
                underway.viewed = Some(objects as u8);
                Ok(Some(object))
            }
            Err(error) => {
                let skipped = skip(rx, &mut underway.list, objects);
                drop(pass);
                drop(skipped);
                Err(error)
            }
        }
    }

    /// The object whose turn it is of the claimed frame, with its buffers over the ring itself.
    fn loaded_in_place<'py>(
        &self,
        py: Python<'py>,
        rx: &FrameConsumer,
        pass: &mut InUse<'_>,
        parts: &super::packed::Parts,
        len: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let pickle = decoding::pickle(py, rx, pass, parts, len)?;
        let buffers = list(py, 0, [])?;
        for place in &parts.buffers {
            // SAFETY: the parts are within the frame, which stays until the view ends; `contents` keeps it
            // mapped; it is read-only.
            let view = unsafe {
                let data = rx.front().add(place.start).cast_mut();
                lease::view(self.handle.contents.bind(py), data, place.len(), false)?
            };
            buffers.append(view)?;
        }
        let loaded = loads(&pickle, Some(&buffers))?;
        match parts.objects {
            0 => Ok(loaded),
            objects => list_of(loaded, objects)?.get_item(usize::from(rx.progress())),
        }
    }
}

/// The next object of an open list, which is let go of with the last.
#[inline(always)]
fn hand_out<'py>(
    py: Python<'py>,
    rx: &mut FrameConsumer,
    list: &mut VecDeque<Attached>,
) -> Option<Bound<'py, PyAny>> {
    let object = list.pop_front()?;
    if list.is_empty() {
        rx.release();
    } else {
        rx.say_progress(rx.progress() + 1);
    }
    Some(object.into_bound(py))
}

/// Takes the message whose turn it is off the channel; gives its object if the list is open.
fn skip(rx: &mut FrameConsumer, list: &mut VecDeque<Attached>, objects: usize) -> Option<Attached> {
    let skipped = list.pop_front();
    if !step(rx, objects) && list.is_empty() {
        rx.hand_back();
    }
    skipped
}

impl PickledInlet for Consumer {
    #[inline(always)]
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Taken<'py>>> {
        let (pass, inner) = self.handle.enter()?;
        inner.idle()?;
        self.taken(py, inner, pass)
    }

    fn take_another<'py>(&self, py: Python<'py>) -> PyResult<Option<Taken<'py>>> {
        match self.handle.enter() {
            Ok((pass, inner)) => match inner.idle() {
                Ok(_) => self.taken(py, inner, pass),
                Err(_) => Ok(None),
            },
            // In the child of a fork what was received is the parent's, too.
            Err(error) if !self.handle.guard.is_home() => Err(error),
            Err(_) => Ok(None),
        }
    }

    fn take_more<'py>(&self, py: Python<'py>, most: usize, into: &mut NewList<'py>) {
        let Some((_pass, inner)) = self.handle.try_acquire() else { return };
        let Ok((rx, underway)) = inner.both() else { return };
        let n = underway.list.len().min(most).min(into.room());
        std::iter::from_fn(|| hand_out(py, rx, &mut underway.list))
            .take(n)
            .for_each(|object| into.push(object));
    }

    fn wait(&self, py: Python<'_>, call: &str, deadline_of_call: &mut CallDeadline) -> PyResult<()> {
        let (entry, handle) = self.handle.enter_idle()?;
        FrameCall { handle, entry }.wait_for_message(py, call, deadline_of_call)
    }

    fn is_ended(&self, _py: Python<'_>) -> PyResult<bool> {
        let (_pass, inner) = self.handle.enter()?;
        Ok(inner.core.as_mut().is_some_and(ReceiveSlots::is_ended))
    }
}
