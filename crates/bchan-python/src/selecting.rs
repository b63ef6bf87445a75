//! Waiting for several handles and channels at once: what `select` sleeps in.

use std::sync::{Arc, Mutex, PoisonError};

use bchan::{
    Case, FrameConsumer, FramePort, FrameProducer, FrameReceiver, FrameSender, Interrupt, Port, ReceiveSlots,
    Receiver, Sender, Sending, SendingFrames, WaitError,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::arguments::Timeout;
use crate::channel::Channel;
use crate::consumer::{self, Consumer};
use crate::detached::detached;
use crate::errors::{Raise, from_handle};
use crate::guard::{Entry, InUse, generation};
use crate::producer::{self, Producer};

/// One that is waited for, and that no other thread may use meanwhile.
struct Waiter<'a> {
    end: End<'a>,
    /// The right to use it; given back last.
    entry: Box<dyn Entry + 'a>,
}

/// What it waits for, of the core. A sender of messages of any length waits for so many bytes.
enum End<'a> {
    Producer(&'a mut bchan::Producer),
    Consumer(&'a mut bchan::Consumer),
    FrameProducer(&'a mut FrameProducer, usize),
    FrameConsumer(&'a mut FrameConsumer),
    Sender(Sender<&'a Port>),
    Receiver(Receiver<&'a Port>),
    FrameSender(FrameSender<&'a FramePort>, usize),
    FrameReceiver(FrameReceiver<&'a FramePort>),
}

impl<'a> Waiter<'a> {
    fn new(entry: impl Entry + 'a, end: End<'a>) -> Self {
        Self { end, entry: Box::new(entry) }
    }

    /// Of a handle.
    fn of((mut pass, end): (InUse<'a>, End<'a>)) -> Self {
        pass.mark();
        Self::new(pass, end)
    }

    fn to_send(who: &'a Bound<'_, PyAny>, len: usize) -> PyResult<Self> {
        if let Ok(producer) = who.cast::<Producer>() {
            return Ok(Self::of(match &producer.get().end {
                producer::End::Items(end) => {
                    end.reserving.handle.enter_idle().map(|(pass, tx)| (pass, End::Producer(tx)))
                }
                producer::End::Frames(end) => {
                    end.reserving.handle.enter_idle().map(|(pass, tx)| (pass, End::FrameProducer(tx, len)))
                }
            }?));
        }
        let channel = channel(who)?;
        if channel.is_framed() {
            let (visit, port) = channel.enter_with_frames()?;
            return Ok(Self::new(visit, End::FrameSender(port.sender().map_err(from_handle)?, len)));
        }
        let (visit, port) = channel.enter()?;
        Ok(Self::new(visit, End::Sender(port.sender().map_err(from_handle)?)))
    }

    fn to_receive(who: &'a Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(consumer) = who.cast::<Consumer>() {
            let (pass, rx) = match &consumer.get().end {
                consumer::End::Items(end) => {
                    return end.handle.enter_idle().map(|(pass, rx)| Self::of((pass, End::Consumer(rx))));
                }
                consumer::End::Bytes(end) => end.handle.enter_idle()?,
                consumer::End::Pickled(end) => end.handle.enter_idle()?,
            };
            return Ok(Self::of((pass, End::FrameConsumer(rx))));
        }
        let channel = channel(who)?;
        if channel.is_framed() {
            let (visit, port) = channel.enter_with_frames()?;
            return Ok(Self::new(visit, End::FrameReceiver(port.receiver().map_err(from_handle)?)));
        }
        let (visit, port) = channel.enter()?;
        Ok(Self::new(visit, End::Receiver(port.receiver().map_err(from_handle)?)))
    }

    fn case(&mut self) -> Case<'_> {
        match &mut self.end {
            End::Producer(tx) => tx.case(),
            End::Consumer(rx) => rx.case(),
            End::FrameProducer(tx, len) => tx.case(*len),
            End::FrameConsumer(rx) => rx.case(),
            End::Sender(tx) => tx.case(),
            End::Receiver(rx) => rx.case(),
            End::FrameSender(tx, len) => tx.case(*len),
            End::FrameReceiver(rx) => rx.case(),
        }
    }
}

/// How many bytes the message has, if its sender waits for so many.
fn size_of(who: &Bound<'_, PyAny>, message: &Bound<'_, PyAny>) -> PyResult<usize> {
    if let Ok(producer) = who.cast::<Producer>() {
        return producer.get().size_of(Some(message));
    }
    match who.cast::<Channel>() {
        Ok(channel) if channel.get().is_framed() => channel.get().size_of(Some(message)),
        _ => Ok(0),
    }
}

fn channel<'a>(who: &'a Bound<'_, PyAny>) -> PyResult<&'a Channel> {
    let of_whom = |_| PyTypeError::error(format!("only handles and channels can be waited for, got {who}"));
    who.cast::<Channel>().map(Bound::get).map_err(of_whom)
}

/// Each object once: no thread can enter a handle twice.
fn distinct<'a, 'py>(all: &'a [Bound<'py, PyAny>]) -> impl Iterator<Item = &'a Bound<'py, PyAny>> {
    let is_first = |&(place, who): &(usize, &Bound<'py, PyAny>)| !all[..place].iter().any(|it| it.is(who));
    all.iter().enumerate().filter(is_first).map(|(_, who)| who)
}

/// The same of senders, each with the size of the shortest of its messages: room for that is room for one.
fn sizes<'a, 'py>(
    senders: &'a [Bound<'py, PyAny>],
    messages: &[Bound<'py, PyAny>],
) -> PyResult<Vec<(&'a Bound<'py, PyAny>, usize)>> {
    let mut sizes: Vec<(&Bound<'py, PyAny>, usize)> = Vec::new();
    for (who, message) in senders.iter().zip(messages) {
        let size = size_of(who, message)?;
        match sizes.iter_mut().find(|(other, _)| other.is(who)) {
            Some((_, shortest)) => *shortest = size.min(*shortest),
            None => sizes.push((who, size)),
        }
    }
    Ok(sizes)
}

/// Waits, at most so many seconds, until one of the receivers may have a message, or one of the senders
/// space for its message. Together they are at least 1 and at most `MOST_CASES`.
#[pyfunction]
#[allow(clippy::needless_pass_by_value, reason = "as PyO3 wants it")]
pub(crate) fn wait_for_any(
    py: Python<'_>,
    receivers: Vec<Bound<'_, PyAny>>,
    senders: Vec<Bound<'_, PyAny>>,
    messages: Vec<Bound<'_, PyAny>>,
    timeout: &Bound<'_, PyAny>,
) -> PyResult<Woken> {
    let deadline = Timeout::extract(timeout.as_borrowed())?.deadline();
    let senders = sizes(&senders, &messages)?.into_iter().map(|(who, size)| Waiter::to_send(who, size));
    let mut waiters: Vec<Waiter<'_>> =
        distinct(&receivers).map(Waiter::to_receive).chain(senders).collect::<PyResult<_>>()?;
    let interrupt = Arc::new(Interrupt::default());
    for waiter in &mut waiters {
        waiter.entry.wait_until(&interrupt)?;
    }
    loop {
        let mut cases: Vec<Case<'_>> = waiters.iter_mut().map(Waiter::case).collect();
        let outcome = detached(py, || interrupt.during(|| bchan::wait_for_any(&mut cases, deadline)));
        drop(cases);
        match outcome {
            // One of them was closed, and the next attempt finds it so.
            _ if interrupt.is_raised() => return Ok(Woken::new(None)),
            Ok(woken) => return Ok(Woken::new(Some(woken))),
            Err(WaitError::Interrupted) => {
                waiters.iter_mut().try_for_each(|waiter| waiter.entry.check_signals(py))?;
            }
            Err(WaitError::TimedOut) => return Ok(Woken::new(None)),
        }
    }
}

/// What `wait_for_any` was woken for. Leaving its `with` block wakes others for what is left of that.
#[pyclass(frozen, module = "bchan._core")]
pub(crate) struct Woken {
    woken: Mutex<Option<bchan::Woken>>,
    /// The process that made it.
    made_in: u32,
}

impl Woken {
    fn new(woken: Option<bchan::Woken>) -> Self {
        Self { woken: Mutex::new(woken), made_in: generation() }
    }

    fn pass_on(&self) {
        let woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner).take();
        if self.made_in != generation() {
            // It is for the parent process to pass on: this one's wakes don't reach it.
            std::mem::forget(woken);
        }
    }
}

#[pymethods]
impl Woken {
    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyAny>) {
        self.pass_on();
    }
}

/// Also when a signal's exception comes before the `with` block.
impl Drop for Woken {
    fn drop(&mut self) {
        self.pass_on();
    }
}
