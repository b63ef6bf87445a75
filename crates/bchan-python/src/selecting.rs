//! Waiting for several handles and channels at once: what `select` sleeps in.

use std::sync::{Arc, Mutex, PoisonError};

use bchan::{Case, Interrupt, Port, Receiver, Receiving, Sender, Sending, WaitError};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::arguments::Timeout;
use crate::channel::Channel;
use crate::consumer::Consumer;
use crate::detached::detached;
use crate::errors::from_handle;
use crate::gate::{Entry, Pass, Visit, generation};
use crate::producer::Producer;

/// One that is waited for, and that no other thread may use meanwhile.
enum Seat<'a> {
    Producer(Pass<'a>, &'a mut bchan::Producer),
    Consumer(Pass<'a>, &'a mut bchan::Consumer),
    Sender(Visit, Sender<&'a Port>),
    Receiver(Visit, Receiver<&'a Port>),
}

impl<'a> Seat<'a> {
    fn to_send(who: &'a Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(producer) = who.cast::<Producer>() {
            let (mut pass, tx) = producer.get().enter_to_send()?;
            pass.mark();
            return Ok(Self::Producer(pass, tx));
        }
        let (visit, port) = channel(who)?.enter()?;
        Ok(Self::Sender(visit, port.sender().map_err(from_handle)?))
    }

    fn to_receive(who: &'a Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(consumer) = who.cast::<Consumer>() {
            let (mut pass, rx) = consumer.get().handle.enter_idle()?;
            pass.mark();
            return Ok(Self::Consumer(pass, rx));
        }
        let (visit, port) = channel(who)?.enter()?;
        Ok(Self::Receiver(visit, port.receiver().map_err(from_handle)?))
    }

    fn case(&mut self) -> Case<'_> {
        match self {
            Self::Producer(_, tx) => tx.case(),
            Self::Consumer(_, rx) => rx.case(),
            Self::Sender(_, tx) => tx.case(),
            Self::Receiver(_, rx) => rx.case(),
        }
    }

    fn entry(&mut self) -> &mut dyn Entry {
        match self {
            Self::Producer(pass, _) | Self::Consumer(pass, _) => pass,
            Self::Sender(visit, _) | Self::Receiver(visit, _) => visit,
        }
    }
}

fn channel<'a>(who: &'a Bound<'_, PyAny>) -> PyResult<&'a Channel> {
    let of_whom = |_| PyTypeError::new_err(format!("only handles and channels can be waited for, got {who}"));
    who.cast::<Channel>().map(Bound::get).map_err(of_whom)
}

/// Each object once: no thread can enter a handle twice.
fn distinct<'a, 'py>(all: &'a [Bound<'py, PyAny>]) -> impl Iterator<Item = &'a Bound<'py, PyAny>> {
    let is_first = |&(place, who): &(usize, &Bound<'py, PyAny>)| !all[..place].iter().any(|it| it.is(who));
    all.iter().enumerate().filter(is_first).map(|(_, who)| who)
}

/// Waits, at most so many seconds, until one of the receivers may have a message, or one of the senders
/// space. Together they are at least 1 and at most `MOST_CASES`.
#[pyfunction]
#[allow(clippy::needless_pass_by_value, reason = "as PyO3 wants it")]
pub(crate) fn wait_for_any(
    py: Python<'_>,
    receivers: Vec<Bound<'_, PyAny>>,
    senders: Vec<Bound<'_, PyAny>>,
    timeout: &Bound<'_, PyAny>,
) -> PyResult<Woken> {
    let deadline = Timeout::extract(timeout.as_borrowed())?.deadline();
    let (receivers, senders) = (distinct(&receivers), distinct(&senders));
    let mut seats: Vec<Seat<'_>> =
        receivers.map(Seat::to_receive).chain(senders.map(Seat::to_send)).collect::<PyResult<_>>()?;
    let interrupt = Arc::new(Interrupt::default());
    for seat in &mut seats {
        seat.entry().wait_until(&interrupt)?;
    }
    loop {
        let mut cases: Vec<Case<'_>> = seats.iter_mut().map(Seat::case).collect();
        match detached(py, || interrupt.during(|| bchan::wait_for_any(&mut cases, deadline))) {
            // One of them was closed, and the next attempt finds it so.
            _ if interrupt.is_raised() => return Ok(Woken::new(None)),
            Ok(woken) => return Ok(Woken::new(Some(woken))),
            Err(WaitError::Interrupted) => {
                seats.iter_mut().try_for_each(|seat| seat.entry().check_signals(py))?;
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
