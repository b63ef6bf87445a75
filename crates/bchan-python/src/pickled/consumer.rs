//! The handle of a consumer of objects for any process.

use std::cell::UnsafeCell;
use std::collections::VecDeque;

use bchan::{FrameConsumer, ReceivingFrames};
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::PACKED;
use super::decoding::{self, Pickled, Taken, failed, list_of, out, step};
use super::pickle::loads;
use super::receiving::PickledInlet;
use crate::arguments::Timeout;
use crate::call::Patience;
use crate::channel::Channel;
use crate::contents::Contents;
use crate::detached::Attached;
use crate::errors::Closed;
use crate::frames::lease;
use crate::frames::sending::FrameCall;
use crate::gate::{Entry, Gate, Pass};
use crate::passing::{self, Passed};
use crate::receiving::unless_ended;

/// What a call works on, once the gate has let it in.
struct Inner {
    /// `None` once closed.
    rx: Option<FrameConsumer>,
    /// The objects of the claimed frame that were not handed out. It stays claimed until they all were.
    open: VecDeque<Attached>,
    /// Objects of the frame that is looked at, if one is; 0 if it is no list.
    viewed: Option<usize>,
}

/// The consumer of a channel of pickled objects. Its hot methods are set by `methods`.
#[pyclass(frozen, subclass, weakref, module = "bchan._core")]
pub(crate) struct PickledConsumer {
    gate: Gate,
    inner: UnsafeCell<Inner>,
    /// Owner of the views.
    contents: Py<Contents>,
}

// SAFETY: `inner` is touched only by a call that holds the gate's pass.
unsafe impl Sync for PickledConsumer {}

#[cold]
fn refusal(is_viewed: bool) -> PyErr {
    if is_viewed {
        PyRuntimeError::new_err("a view is open: leave its with block first")
    } else {
        Closed::new_err("this consumer is closed")
    }
}

impl PickledConsumer {
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "the pass makes it the only reference")]
    fn enter(&self) -> PyResult<(Pass<'_>, &mut Inner)> {
        if self.gate.is_fresh() {
            passing::begin(&self.gate, || {
                // SAFETY: the gate keeps every other call out meanwhile.
                unsafe { &mut *self.inner.get() }.rx.as_mut().expect("it is open")
            })?;
        }
        let pass = self.gate.enter()?;
        // SAFETY: the pass keeps every other call out while this reference is used.
        Ok((pass, unsafe { &mut *self.inner.get() }))
    }

    /// Refuses to go on after Python code has run that may have forked, in the child.
    fn check_home(&self) -> PyResult<()> {
        if self.gate.is_home() { Ok(()) } else { self.gate.enter().map(drop) }
    }

    /// Unpickles the list of the claimed frame, which stays so; gives the object whose turn it is.
    #[cold]
    fn open<'py>(
        &self,
        py: Python<'py>,
        inner: &mut Inner,
        pass: &mut Pass<'_>,
        pickled: &Pickled<'py>,
    ) -> PyResult<Option<Taken<'py>>> {
        // Keeps all other calls out while it runs Python code.
        pass.mark();
        let objects = pickled.load_all();
        self.check_home()?;
        let Some(rx) = &mut inner.rx else { return Err(refusal(false)) };
        // As `claim`; besides, others shall come for what is behind it.
        rx.peek();
        match objects {
            Ok(objects) => {
                let rest = objects.into_iter().skip(pickled.place);
                inner.open.extend(rest.map(Bound::unbind).map(Attached::new));
                Ok(hand_out(py, rx, &mut inner.open).map(Taken::Object))
            }
            Err(error) => {
                if !step(rx, pickled.objects) {
                    rx.hand_back();
                }
                Err(error)
            }
        }
    }

    /// Shows the next message, waiting for it.
    fn await_look<'py>(&self, py: Python<'py>, timeout: Timeout) -> PyResult<Bound<'py, PyAny>> {
        let mut patience = Patience::new(timeout);
        loop {
            if let Some(object) = self.look(py)? {
                return Ok(object);
            }
            self.wait(py, "view", &mut patience)?;
        }
    }

    fn look<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (mut pass, inner) = self.enter()?;
        let (Some(rx), None) = (&mut inner.rx, inner.viewed) else {
            return Err(refusal(inner.viewed.is_some()));
        };
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
                inner.viewed = Some(objects);
                Ok(Some(object))
            }
            Err(error) => {
                let skipped = skip(rx, &mut inner.open, objects);
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
        pass: &mut Pass<'_>,
        parts: &super::packed::Parts,
        len: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let pickle = decoding::pickle(py, rx, pass, parts, len)?;
        let buffers = PyList::empty(py);
        for place in &parts.buffers {
            // SAFETY: the parts are within the frame, which stays until the view ends; `contents` keeps it
            // mapped; it is read-only.
            let view = unsafe {
                let data = rx.front().add(place.start).cast_mut();
                lease::view(self.contents.bind(py), data, place.len(), false)?
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
    open: &mut VecDeque<Attached>,
) -> Option<Bound<'py, PyAny>> {
    let object = open.pop_front()?;
    if open.is_empty() {
        rx.release();
    } else {
        rx.say_progress(rx.progress() + 1);
    }
    Some(object.into_bound(py))
}

/// Takes the message whose turn it is off the channel; gives its object if the list is open.
fn skip(rx: &mut FrameConsumer, open: &mut VecDeque<Attached>, objects: usize) -> Option<Attached> {
    let skipped = open.pop_front();
    if !step(rx, objects) && open.is_empty() {
        rx.hand_back();
    }
    skipped
}

impl PickledInlet for PickledConsumer {
    #[inline(always)]
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Taken<'py>>> {
        let (mut pass, inner) = self.enter()?;
        let (Some(rx), None) = (&mut inner.rx, inner.viewed) else {
            return Err(refusal(inner.viewed.is_some()));
        };
        if let Some(object) = hand_out(py, rx, &mut inner.open) {
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

    fn take_more<'py>(
        &self,
        py: Python<'py>,
        most: usize,
        into: &mut Vec<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let (_pass, inner) = self.enter()?;
        let Some(rx) = &mut inner.rx else { return Err(refusal(false)) };
        if inner.viewed.is_some() {
            return Ok(());
        }
        let n = inner.open.len().min(most);
        into.extend(std::iter::from_fn(|| hand_out(py, rx, &mut inner.open)).take(n));
        Ok(())
    }

    fn wait(&self, py: Python<'_>, call: &str, patience: &mut Patience) -> PyResult<()> {
        let (entry, inner) = self.enter()?;
        let Some(handle) = &mut inner.rx else { return Err(refusal(false)) };
        FrameCall { handle, entry }.wait_for_message(py, call, patience)
    }

    fn is_ended(&self, _py: Python<'_>) -> PyResult<bool> {
        let (_pass, inner) = self.enter()?;
        Ok(inner.rx.as_mut().is_some_and(ReceivingFrames::is_ended))
    }
}

#[pymethods]
impl PickledConsumer {
    #[new]
    #[pyo3(signature = (channel, ticket=None))]
    fn new(py: Python<'_>, channel: &Channel, ticket: Option<Passed>) -> PyResult<Self> {
        let core = channel.pickled_core()?;
        let contents = channel.contents().clone_ref(py);
        // Registered last: a consumer that comes and fails would be one that has left.
        let take = |ticket| core.frame_consumer_of(ticket);
        let handle = passing::registered(ticket, || core.frame_consumer(), take)?;
        let inner = Inner { rx: Some(handle), open: VecDeque::new(), viewed: None };
        Ok(Self { gate: passing::gate(channel, "consumer"), inner: UnsafeCell::new(inner), contents })
    }

    /// `(seat, word)`, with which another process takes this handle over that was never used.
    fn _ticket(&self) -> PyResult<Passed> {
        passing::ticket(&self.gate, || {
            // SAFETY: the gate keeps every other call out meanwhile.
            unsafe { &mut *self.inner.get() }.rx.as_mut().expect("it is open")
        })
    }

    #[allow(clippy::unnecessary_wraps, reason = "as PyO3 wants it")]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.contents)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let object = self.receive_object_or_end(py)?;
        // SAFETY: a new reference, or null.
        Ok(unsafe { Bound::from_owned_ptr_or_opt(py, object) }.map(Bound::unbind))
    }

    /// Closes this handle; the next consumer goes on where it was. Closing twice is harmless.
    fn close(&self) -> PyResult<()> {
        if self.gate.close_fresh() {
            // SAFETY: the gate is closed, and nobody is inside.
            drop(unsafe { &mut *self.inner.get() }.rx.take());
        }
        if self.gate.is_closed() {
            return Ok(());
        }
        let (pass, inner) = self.enter()?;
        let (open, rx) = (std::mem::take(&mut inner.open), inner.rx.take());
        inner.viewed = None;
        pass.close();
        drop(rx);
        drop(open);
        Ok(())
    }

    /// Shows the next message, waiting for it; it stays in the channel until `_end_view`.
    fn _view<'py>(&self, py: Python<'py>, timeout: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.await_look(py, Timeout::extract(timeout.as_borrowed())?)
    }

    /// Ends the view, if one is open, and takes its message off the channel, or leaves it.
    fn _end_view(&self, is_done: bool) -> PyResult<()> {
        if self.gate.is_closed() {
            return Ok(());
        }
        let (pass, inner) = self.enter()?;
        let (Some(rx), Some(objects)) = (&mut inner.rx, inner.viewed.take()) else { return Ok(()) };
        let mut skipped = None;
        if is_done {
            skipped = skip(rx, &mut inner.open, objects);
        } else if inner.open.is_empty() {
            rx.hand_back();
        }
        // The object goes last: that may run Python code, which then meets a handle at rest.
        drop(pass);
        drop(skipped);
        Ok(())
    }

    /// Has an eventfd written once there may be a message, unless there may be now: then true.
    fn _arm_receive(&self, alarm: i32) -> PyResult<bool> {
        let (_pass, inner) = self.enter()?;
        Ok(!inner.open.is_empty() || inner.rx.as_mut().is_none_or(|rx| rx.arm(alarm)))
    }

    /// Takes back what `_arm_receive` did; harmless if there is nothing to take back.
    fn _disarm_receive(&self, alarm: i32) {
        self.contents.get().disarm(alarm);
    }

    /// Whether this handle was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.gate.is_closed()
    }
}

impl Drop for PickledConsumer {
    fn drop(&mut self) {
        if !self.gate.is_home() {
            // The parent process still uses what we would give back.
            std::mem::forget(self.inner.get_mut().rx.take());
        }
    }
}

/// Iterator over new lists of what is there, until the end of the channel.
#[pyclass(frozen, module = "bchan._core")]
pub(crate) struct PickledBatches {
    consumer: Py<PickledConsumer>,
    n: Py<PyAny>,
}

#[pymethods]
impl PickledBatches {
    #[new]
    fn new(consumer: Py<PickledConsumer>, n: Py<PyAny>) -> Self {
        Self { consumer, n }
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let batch = self.consumer.get().receive_objects(self.n.bind_borrowed(py), Timeout::Never);
        unless_ended(py, batch)
    }
}
