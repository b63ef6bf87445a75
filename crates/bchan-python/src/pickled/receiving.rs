//! What the receiving calls do with objects for any process, of a consumer and of a channel that needs none.

use bchan::{ReceiveSlots, ReceivingFrames};
use pyo3::prelude::*;
use pyo3::{Borrowed, ffi};

use super::MOST_OBJECTS;
use super::decoding::{Taken, failed, out, step};
use crate::arguments::{Timeout, count};
use crate::call::CallDeadline;
use crate::channel::Channel;
use crate::errors::{end_of_channel, with_attribute};
use crate::frames::receiving::FrameInlet;
use crate::frames::sending::FrameCall;
use crate::guard::Access;
use crate::memory::NewList;

/// Something whose calls receive objects for any process.
pub(crate) trait PickledInlet {
    /// Takes the next message, if there is one.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Taken<'py>>>;

    /// The same in the midst of a call that has received: nothing also if it is not let in any more.
    fn take_another<'py>(&self, py: Python<'py>) -> PyResult<Option<Taken<'py>>>;

    /// Takes more messages, at most `most`, as far as they are objects already and there is room for them.
    fn take_more<'py>(&self, py: Python<'py>, most: usize, into: &mut NewList<'py>);

    /// Waits until there is a message, or was a moment ago.
    fn wait(&self, py: Python<'_>, call: &str, deadline_of_call: &mut CallDeadline) -> PyResult<()>;

    /// Whether nothing more will ever come.
    fn is_ended(&self, py: Python<'_>) -> PyResult<bool>;

    #[inline(always)]
    fn receive(&self, py: Python<'_>, timeout: Timeout) -> PyResult<*mut ffi::PyObject> {
        let taken = match self.take(py)? {
            Some(taken) => taken,
            None => self.await_one(py, "receive", timeout)?,
        };
        taken.load().map(Bound::into_ptr)
    }

    #[cold]
    fn await_one<'py>(&self, py: Python<'py>, call: &str, timeout: Timeout) -> PyResult<Taken<'py>> {
        let mut deadline_of_call = CallDeadline::new(timeout);
        loop {
            self.wait(py, call, &mut deadline_of_call)?;
            if let Some(taken) = self.take(py)? {
                return Ok(taken);
            }
        }
    }

    /// Receives a message for a task of an event loop, if there is one; null if not.
    #[inline(always)]
    fn receive_ready(&self, py: Python<'_>) -> PyResult<*mut ffi::PyObject> {
        match self.take(py)? {
            Some(taken) => taken.load().map(Bound::into_ptr),
            None => Ok(std::ptr::null_mut()),
        }
    }

    /// The same, which tells the end.
    #[inline(always)]
    fn try_receive(&self, py: Python<'_>) -> PyResult<*mut ffi::PyObject> {
        match self.take(py)? {
            Some(taken) => taken.load().map(Bound::into_ptr),
            None if self.is_ended(py)? => Err(end_of_channel()),
            None => Ok(std::ptr::null_mut()),
        }
    }

    fn receive_batch<'py>(
        &self,
        n: Borrowed<'_, 'py, PyAny>,
        timeout: Timeout,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, wanted) = (n.py(), count(n, "n")?);
        let received = NewList::with_room(py, 1)?;
        let first = match self.take(py)? {
            Some(taken) => taken,
            None => self.await_one(py, "receive_batch", timeout)?,
        };
        self.gather(wanted, Some(first), received)
    }

    fn try_receive_batch<'py>(&self, n: Borrowed<'_, 'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (py, wanted) = (n.py(), count(n, "n")?);
        let received = NewList::with_room(py, 1)?;
        match self.take(py)? {
            None if self.is_ended(py)? => Err(end_of_channel()),
            first => self.gather(wanted, first, received),
        }
    }

    /// A list of the first message and what else is there. What can't be loaded is gone; the error says
    /// what was received before, in its attribute `received`. Loading may run Python code, or let another
    /// thread in: if this call is refused after that, it gives what it has.
    fn gather<'py>(
        &self,
        wanted: usize,
        first: Option<Taken<'py>>,
        mut received: NewList<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let outcome = self.gather_into(wanted, first, &mut received);
        let received = received.into_list();
        match outcome {
            Ok(()) => Ok(received.into_any()),
            Err(error) => Err(with_attribute(received.py(), error, c"received", received)),
        }
    }

    /// Room for a message is made before it is taken: what there is no memory for stays.
    fn gather_into<'py>(
        &self,
        wanted: usize,
        first: Option<Taken<'py>>,
        received: &mut NewList<'py>,
    ) -> PyResult<()> {
        let py = received.py();
        let mut next = first;
        while let Some(taken) = next {
            received.push(taken.load()?);
            let most = wanted - received.len();
            if most == 0 || received.reserve(most.min(MOST_OBJECTS)).is_err() {
                return Ok(());
            }
            self.take_more(py, most, received);
            next = match received.len() < wanted && received.reserve(1).is_ok() {
                true => self.take_another(py)?,
                false => None,
            };
        }
        Ok(())
    }
}

/// Without a handle: nothing is kept claimed between two calls, so a list is unpickled for each object.
impl PickledInlet for Channel {
    #[inline(always)]
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Taken<'py>>> {
        self.receive_with(py, |call| taken(py, call))
    }

    fn take_another<'py>(&self, py: Python<'py>) -> PyResult<Option<Taken<'py>>> {
        let mut another = Ok(None);
        let outcome = self.receive_with(py, |call| {
            another = taken(py, call);
            Ok(())
        });
        outcome.map_or(Ok(None), |()| another)
    }

    fn take_more<'py>(&self, _: Python<'py>, _: usize, _: &mut NewList<'py>) {}

    fn wait(&self, py: Python<'_>, call: &str, deadline_of_call: &mut CallDeadline) -> PyResult<()> {
        self.receive_with(py, |it| it.wait_for_message(py, call, deadline_of_call))
    }

    fn is_ended(&self, py: Python<'_>) -> PyResult<bool> {
        self.receive_with(py, |call| Ok(call.handle.is_ended()))
    }
}

/// The next message of a port, without what else is in its list.
#[inline(always)]
fn taken<'py>(
    py: Python<'py>,
    call: &mut FrameCall<'_, impl ReceivingFrames, Access>,
) -> PyResult<Option<Taken<'py>>> {
    let rx = &mut *call.handle;
    let Some(frame) = rx.claim() else { return Ok(None) };
    let taken = out(py, rx, &mut call.entry, frame).map_err(|error| failed(py, rx, error))?;
    let objects = if let Taken::Pickle(pickled) = &taken { pickled.objects } else { 0 };
    if !step(rx, objects) {
        rx.hand_back();
    }
    Ok(Some(taken))
}
