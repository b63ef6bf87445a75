//! The hot methods, as CPython's own C methods are made.
//!
//! PyO3's wrappers take about three times as long as these calls themselves, so the methods that a
//! program calls for every message or batch are method descriptors made here and set on the
//! classes. CPython calls them without a tuple or a dictionary, and checks that `self` is of the
//! class. Its fastest path wants the very class of `self`, so subclasses get descriptors of their own.

use std::ffi::{CStr, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::exceptions::{PySystemError, PyTypeError};
use pyo3::ffi::{self, PyMethodDef, PyMethodDefPointer, PyObject};
use pyo3::prelude::*;
use pyo3::types::PyType;
use pyo3::{Borrowed, PyClass};

use crate::arguments::Arguments;
use crate::channel::Channel;
use crate::consumer::Consumer;
use crate::detached::HangUnlessPanicking;
use crate::frames::consumer::BytesConsumer;
use crate::frames::producer::BytesProducer;
use crate::pickled::consumer::PickledConsumer;
use crate::pickled::producer::PickledProducer;
use crate::producer::{Producer, remember};
use crate::queue::Queue;
use crate::receiving::Inlet;
use crate::sending::Outlet;
use crate::turns::{may_go_on, nothing};

/// Calls `body` with the Rust value of `slf`, and turns what comes of it into CPython's terms.
///
/// # Safety
/// To be called by CPython on an instance of `T`'s class, in an attached thread.
#[inline(always)]
unsafe fn call<T: PyClass<Frozen = pyo3::pyclass::boolean_struct::True> + Sync>(
    slf: *mut PyObject,
    body: impl FnOnce(Python<'_>, Borrowed<'_, '_, T>) -> PyResult<*mut PyObject>,
) -> *mut PyObject {
    // SAFETY: CPython calls methods in attached threads.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: the descriptor has checked the class.
    let slf = unsafe { Borrowed::from_ptr(py, slf).cast_unchecked::<T>() };
    let guarded = || {
        let guard = HangUnlessPanicking;
        let outcome = body(py, slf);
        std::mem::forget(guard);
        outcome
    };
    match catch_unwind(AssertUnwindSafe(guarded)) {
        Ok(Ok(object)) => object,
        Ok(Err(error)) => raise(py, error),
        Err(_) => raise(py, PySystemError::new_err("bchan failed; this is a bug in bchan")),
    }
}

/// Sets the exception. PyO3 has to know for this that the thread is attached: it would put the
/// release of what errors hold off, and a loop over errors would never give it back.
#[cold]
fn raise(py: Python<'_>, error: PyErr) -> *mut PyObject {
    let mut error = Some(error);
    Python::try_attach(|py| error.take().map(|error| error.restore(py)));
    if let Some(error) = error {
        error.restore(py);
    }
    ptr::null_mut()
}

#[inline(always)]
fn none() -> *mut PyObject {
    // SAFETY: `None` is always there; the reference is new.
    unsafe { ffi::Py_NewRef(ffi::Py_None()) }
}

#[inline(always)]
fn boolean(value: bool) -> *mut PyObject {
    // SAFETY: both are always there; the reference is new.
    unsafe { ffi::Py_NewRef(if value { ffi::Py_True() } else { ffi::Py_False() }) }
}

#[inline(always)]
fn number(value: usize) -> *mut PyObject {
    // SAFETY: makes a new object or sets an exception.
    unsafe { ffi::PyLong_FromSize_t(value) }
}

fn or_none(object: Option<Bound<'_, PyAny>>) -> *mut PyObject {
    object.map_or_else(none, Bound::into_ptr)
}

/// A method of one positional argument.
macro_rules! method_o {
    ($class:ty, |$py:ident, $this:ident, $argument:ident| $body:expr) => {{
        unsafe extern "C" fn method(slf: *mut PyObject, argument: *mut PyObject) -> *mut PyObject {
            // SAFETY: called by CPython through the descriptor of this class.
            unsafe {
                call::<$class>(slf, |$py, $this| {
                    let $argument = Borrowed::from_ptr($py, argument);
                    $body
                })
            }
        }
        (PyMethodDefPointer { PyCFunction: method }, ffi::METH_O)
    }};
}

/// A method of several arguments, by position or name.
macro_rules! method_kw {
    ($class:ty, |$py:ident, $this:ident, $arguments:ident| $body:expr) => {{
        unsafe extern "C" fn method(
            slf: *mut PyObject,
            values: *const *mut PyObject,
            positional: ffi::Py_ssize_t,
            names: *mut PyObject,
        ) -> *mut PyObject {
            // SAFETY: called by CPython through the descriptor of this class.
            unsafe {
                call::<$class>(slf, |$py, $this| {
                    let $arguments = Arguments::new($py, values, positional, names);
                    $body
                })
            }
        }
        (PyMethodDefPointer { PyCFunctionFastWithKeywords: method }, ffi::METH_FASTCALL | ffi::METH_KEYWORDS)
    }};
}

/// A method without arguments.
macro_rules! method_noargs {
    ($class:ty, |$py:ident, $this:ident| $body:expr) => {{
        unsafe extern "C" fn method(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
            // SAFETY: called by CPython through the descriptor of this class.
            unsafe { call::<$class>(slf, |$py, $this| $body) }
        }
        (PyMethodDefPointer { PyCFunction: method }, ffi::METH_NOARGS)
    }};
}

const fn definition(
    name: &'static CStr,
    (method, flags): (PyMethodDefPointer, c_int),
    doc: &'static CStr,
) -> PyMethodDef {
    PyMethodDef { ml_name: name.as_ptr(), ml_meth: method, ml_flags: flags, ml_doc: doc.as_ptr() }
}

/// Method definitions, which CPython wants to stay where they are.
struct Methods<const N: usize>([PyMethodDef; N]);

// SAFETY: nobody writes to them.
unsafe impl<const N: usize> Sync for Methods<N> {}

mod frames;
mod pickled;

/// The methods of those who send.
macro_rules! sending {
    ($class:ty) => {
        Methods([
    definition(
        c"send",
        method_kw!($class, |py, this, arguments| {
            let (item, timeout) = arguments.item_and_timeout("send", "item")?;
            this.get().send(item, timeout).map(|()| none())
        }),
        c"send($self, item, /, timeout=None)\n--\n\n\
          Sends one item, waiting while the ring is full.\n\n\
          Args:\n    item: What the channel's dtype can hold.\n    timeout: Seconds to wait at most; None for ever.\n\n\
          Raises:\n    TimeoutError: The ring stayed full.\n    Closed: The channel or this handle was closed.\n    \
          TypeError, OverflowError: The dtype can't hold the item.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel('u1', capacity=2, mode='spsc')\n    \
          >>> tx, rx = ch.producer(), ch.consumer()\n    >>> tx.send(7)\n    >>> tx.send(8, timeout=1.5)\n    \
          >>> rx.receive(), rx.receive()\n    (7, 8)\n",
    ),
    definition(
        c"try_send",
        method_o!($class, |_py, this, item| this.get().try_send(item).map(boolean)),
        c"try_send($self, item, /)\n--\n\n\
          Sends one item if there is space, and tells whether; never waits.\n\n\
          Args:\n    item: What the channel's dtype can hold.\n\n\
          Returns:\n    False if the ring is full.\n\n\
          Raises:\n    Closed: The channel or this handle was closed.\n    \
          TypeError, OverflowError: The dtype can't hold the item.\n\n\
          Example:\n    >>> import bchan\n    >>> tx = bchan.Channel('u1', capacity=1, mode='spsc').producer()\n    \
          >>> tx.try_send(7), tx.try_send(8)\n    (True, False)\n",
    ),
    definition(
        c"send_batch",
        method_kw!($class, |py, this, arguments| {
            let (batch, timeout) = arguments.item_and_timeout("send_batch", "batch")?;
            this.get().send_batch(batch, timeout).map(|()| none())
        }),
        c"send_batch($self, batch, /, timeout=None)\n--\n\n\
          Sends all items of a batch in order, waiting while the ring is full.\n\n\
          Args:\n    batch: One-dimensional array of the channel's dtype, or an iterable of items; of any length.\n    \
          timeout: Seconds to wait at most, in all; None for ever.\n\n\
          Raises:\n    TimeoutError: The ring was full for too long.\n    \
          Closed: The channel or this handle was closed.\n    TypeError: Another dtype.\n    \
          ValueError: More than one dimension.\n\n\
          What is raised while sending has an attribute `sent`: how many of the items went.\n\n\
          Example:\n    >>> import bchan, numpy as np\n    \
          >>> ch = bchan.Channel(np.uint64, capacity=4, mode='spsc')\n    >>> tx = ch.producer()\n    \
          >>> tx.send_batch(np.arange(3, dtype=np.uint64))\n    \
          >>> try:\n    ...     tx.send_batch([3, 4, 5], timeout=0)\n    ... except TimeoutError as late:\n    \
          ...     print(late.sent)\n    1\n",
    ),
    definition(
        c"try_send_batch",
        method_o!($class, |_py, this, batch| this.get().try_send_batch(batch).map(number)),
        c"try_send_batch($self, batch, /)\n--\n\n\
          Sends the first items of a batch, as many as there is space for; never waits.\n\n\
          Args:\n    batch: As for `send_batch`.\n\n\
          Returns:\n    How many went.\n\n\
          Raises:\n    Closed: The channel or this handle was closed.\n    TypeError: Another dtype.\n    \
          ValueError: More than one dimension.\n\n\
          Example:\n    >>> import bchan\n    >>> tx = bchan.Channel('u1', capacity=2, mode='spsc').producer()\n    \
          >>> tx.try_send_batch([7, 8, 9])\n    2\n",
    ),
            definition(
                c"_send_ready",
                method_o!($class, |_py, this, item| Ok(boolean(may_go_on() && this.get().send_quickly(item)))),
                c"_send_ready($self, item, /)\n--\n\nSends an item if that needs no closer look, and no pause.",
            ),
        ])
    };
}

static PRODUCER_SENDING: Methods<5> = sending!(Producer);
static CHANNEL_SENDING: Methods<5> = sending!(Channel);

static PRODUCER_CLAIMS: Methods<4> = Methods([
    definition(
        c"reserve",
        method_kw!(Producer, |py, this, arguments| {
            let (n, timeout) = arguments.item_and_timeout("reserve", "n")?;
            this.get().reserve(n, timeout).and_then(|slots| remember(this, slots)).map(Bound::into_ptr)
        }),
        c"reserve($self, n, /, timeout=None)\n--\n\n\
          Claims free slots to write in place, waiting for the first.\n\n\
          One reservation at a time; it ends with `commit` or `abort`, and its view is read-only after that.\n\n\
          Args:\n    n: Slots wanted, at least 1.\n    timeout: Seconds to wait at most; None for ever.\n\n\
          Returns:\n    Writable one-dimensional array over the ring itself, 1 to n long, with whatever was there before.\n\n\
          Raises:\n    TimeoutError: The ring stayed full.\n    Closed: The channel or this handle was closed.\n    \
          RuntimeError: A reservation is open.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel('f8', capacity=4, mode='spsc')\n    \
          >>> tx, rx = ch.producer(), ch.consumer()\n    >>> slots = tx.reserve(3)\n    \
          >>> slots[:] = [0.5, 1.5, 2.5]\n    >>> tx.commit(2)\n    >>> rx.receive_batch(3)\n    array([0.5, 1.5])\n",
    ),
    definition(
        c"try_reserve",
        method_o!(Producer, |_py, this, n| {
            let slots = this.get().try_reserve(n)?;
            slots.map(|slots| remember(this, slots)).transpose().map(or_none)
        }),
        c"try_reserve($self, n, /)\n--\n\n\
          Claims free slots to write in place; never waits.\n\n\
          Args:\n    n: Slots wanted, at least 1.\n\n\
          Returns:\n    As `reserve`, or None if this producer's ring is full.\n\n\
          Raises:\n    Closed: The channel or this handle was closed.\n    RuntimeError: A reservation is open.\n\n\
          Example:\n    >>> import bchan\n    >>> tx = bchan.Channel('f8', capacity=1, mode='spsc').producer()\n    \
          >>> tx.send(0.5)\n    >>> tx.try_reserve(1) is None\n    True\n",
    ),
    definition(
        c"commit",
        method_o!(Producer, |_py, this, n| this.get().commit(n).map(|()| none())),
        c"commit($self, n, /)\n--\n\n\
          Sends the first n slots of the reservation, and ends it.\n\n\
          Args:\n    n: Slots to send, 0 to the reservation's length.\n\n\
          Raises:\n    Closed: The channel was closed; nothing is sent.\n    RuntimeError: No reservation is open.\n    \
          ValueError: n is beyond the reservation.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel('f8', capacity=4, mode='spsc')\n    \
          >>> tx = ch.producer()\n    >>> tx.reserve(4)[0] = 0.5\n    >>> tx.commit(1)\n    >>> len(ch)\n    1\n",
    ),
    definition(
        c"abort",
        method_noargs!(Producer, |_py, this| this.get().abort().map(|()| none())),
        c"abort($self, /)\n--\n\n\
          Ends the reservation and sends nothing.\n\n\
          Raises:\n    RuntimeError: No reservation is open.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel('f8', capacity=4, mode='spsc')\n    \
          >>> tx = ch.producer()\n    >>> slots = tx.reserve(4)\n    >>> tx.abort()\n    >>> len(ch)\n    0\n",
    ),
]);

/// The methods of those who receive.
macro_rules! receiving {
    ($class:ty) => {
        Methods([
    definition(
        c"receive",
        method_kw!($class, |py, this, arguments| this.get().receive(py, arguments.timeout("receive")?)),
        c"receive($self, /, timeout=None)\n--\n\n\
          Receives one message, waiting for it.\n\n\
          Args:\n    timeout: Seconds to wait at most; None for ever.\n\n\
          Returns:\n    An int, float or bool for those dtypes, a NumPy scalar for any other (a copy).\n\n\
          Raises:\n    EndOfChannel: Nothing more will come.\n    TimeoutError: Nothing came.\n    \
          Closed: This handle was closed.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel('i4', capacity=4, mode='spsc')\n    \
          >>> rx = ch.consumer()\n    >>> with ch.producer() as tx:\n    ...     tx.send(-5)\n    \
          >>> rx.receive(timeout=1)\n    -5\n    >>> rx.receive()\n    Traceback (most recent call last):\n    ...\n    \
          bchan.EndOfChannel: nothing more will come: all producers are closed and all is received\n",
    ),
    definition(
        c"try_receive",
        method_kw!($class, |py, this, arguments| {
            let default = arguments.optional("try_receive", 0, "default")?;
            let object = this.get().try_receive(py)?;
            match object.is_null() {
                false => Ok(object),
                true => Ok(default.map_or_else(none, |default| default.to_owned().into_ptr())),
            }
        }),
        c"try_receive($self, /, default=None)\n--\n\n\
          Receives one message if there is one; never waits.\n\n\
          Args:\n    default: What to return when the channel is empty.\n\n\
          Returns:\n    As `receive`, or the default.\n\n\
          Raises:\n    EndOfChannel: Nothing more will come.\n    Closed: This handle was closed.\n\n\
          Example:\n    >>> import bchan\n    >>> rx = bchan.Channel('i4', capacity=4, mode='spsc').consumer()\n    \
          >>> rx.try_receive(default=-1)\n    -1\n",
    ),
    definition(
        c"receive_batch",
        method_kw!($class, |py, this, arguments| {
            let (n, timeout) = arguments.item_and_timeout("receive_batch", "n")?;
            this.get().receive_batch(n, timeout).map(Bound::into_ptr)
        }),
        c"receive_batch($self, n, /, timeout=None)\n--\n\n\
          Receives what is there, waiting for the first message.\n\n\
          Args:\n    n: Messages wanted at most, at least 1.\n    timeout: Seconds to wait at most; None for ever.\n\n\
          Returns:\n    A new one-dimensional array, 1 to n long.\n\n\
          Raises:\n    EndOfChannel: Nothing more will come.\n    TimeoutError: Nothing came.\n    \
          Closed: This handle was closed.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel('i4', capacity=4, mode='spsc')\n    \
          >>> tx, rx = ch.producer(), ch.consumer()\n    >>> tx.send_batch([1, 2, 3])\n    \
          >>> rx.receive_batch(2)\n    array([1, 2], dtype=int32)\n",
    ),
    definition(
        c"try_receive_batch",
        method_o!($class, |_py, this, n| this.get().try_receive_batch(n).map(Bound::into_ptr)),
        c"try_receive_batch($self, n, /)\n--\n\n\
          Receives what is there; never waits.\n\n\
          Args:\n    n: Messages wanted at most, at least 1.\n\n\
          Returns:\n    A new one-dimensional array, 0 to n long.\n\n\
          Raises:\n    EndOfChannel: Nothing more will come.\n    Closed: This handle was closed.\n\n\
          Example:\n    >>> import bchan\n    >>> rx = bchan.Channel('i4', capacity=4, mode='spsc').consumer()\n    \
          >>> len(rx.try_receive_batch(8))\n    0\n",
    ),
    definition(
        c"receive_into",
        method_kw!($class, |py, this, arguments| {
            let (buffer, timeout) = arguments.item_and_timeout("receive_into", "buffer")?;
            this.get().receive_into(buffer, timeout).map(number)
        }),
        c"receive_into($self, buffer, /, timeout=None)\n--\n\n\
          Receives into an array what is there, waiting for the first message. Allocates nothing.\n\n\
          Args:\n    buffer: Writable, contiguous, one-dimensional array of the channel's dtype, at least 1 long.\n    \
          timeout: Seconds to wait at most; None for ever.\n\n\
          Returns:\n    How many messages were written to the front of the buffer, at least 1.\n\n\
          Raises:\n    EndOfChannel: Nothing more will come.\n    TimeoutError: Nothing came.\n    \
          Closed: This handle was closed.\n    TypeError: Another dtype, or no array.\n    \
          ValueError: A buffer that is empty, read-only, not contiguous, or of more than one dimension.\n\n\
          Example:\n    >>> import bchan, numpy as np\n    \
          >>> ch = bchan.Channel(np.int32, capacity=4, mode='spsc')\n    >>> tx, rx = ch.producer(), ch.consumer()\n    \
          >>> tx.send_batch([1, 2, 3])\n    >>> buffer = np.zeros(4, dtype=np.int32)\n    \
          >>> rx.receive_into(buffer), buffer.tolist()\n    (3, [1, 2, 3, 0])\n",
    ),
    definition(
        c"try_receive_into",
        method_o!($class, |_py, this, buffer| this.get().try_receive_into(buffer).map(number)),
        c"try_receive_into($self, buffer, /)\n--\n\n\
          Receives into an array what is there; never waits, and allocates nothing.\n\n\
          Args:\n    buffer: As for `receive_into`.\n\n\
          Returns:\n    How many messages were written to the front of the buffer; 0 when the channel is empty.\n\n\
          Raises what `receive_into` does, but TimeoutError.\n\n\
          Example:\n    >>> import bchan, numpy as np\n    \
          >>> rx = bchan.Channel(np.int32, capacity=4, mode='spsc').consumer()\n    \
          >>> rx.try_receive_into(np.zeros(4, dtype=np.int32))\n    0\n",
    ),
            definition(
                c"_receive_ready",
                method_noargs!($class, |py, this| {
                    let object = if may_go_on() { this.get().receive_quickly(py) } else { ptr::null_mut() };
                    Ok(if object.is_null() { nothing() } else { object })
                }),
                c"_receive_ready($self, /)\n--\n\nReceives a message if that needs no closer look, and no pause.",
            ),
        ])
    };
}

static CONSUMER_RECEIVING: Methods<7> = receiving!(Consumer);
static CHANNEL_RECEIVING: Methods<7> = receiving!(Channel);

static CONSUMER_VIEWS: Methods<3> = Methods([
    definition(
        c"peek",
        method_kw!(Consumer, |py, this, arguments| {
            let (n, timeout) = arguments.item_and_timeout("peek", "n")?;
            this.get().peek(n, timeout).map(Bound::into_ptr)
        }),
        c"peek($self, n, /, timeout=None)\n--\n\n\
          Shows messages where they are, waiting for the first. They stay until released.\n\n\
          One view at a time; it ends with `release`. After that its slots are written again by the producer, so don't\n\
          read a view that was released: it shows other messages, though it can't crash.\n\n\
          Args:\n    n: Messages wanted at most, at least 1.\n    timeout: Seconds to wait at most; None for ever.\n\n\
          Returns:\n    Read-only one-dimensional array over the ring itself, 1 to n long.\n\n\
          Raises:\n    EndOfChannel: Nothing more will come.\n    TimeoutError: Nothing came.\n    \
          Closed: This handle was closed.\n    RuntimeError: A view is open.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel('i4', capacity=4, mode='spsc')\n    \
          >>> tx, rx = ch.producer(), ch.consumer()\n    >>> tx.send_batch([1, 2, 3])\n    \
          >>> view = rx.peek(8)\n    >>> int(view.sum())\n    6\n    >>> rx.release(len(view))\n",
    ),
    definition(
        c"try_peek",
        method_o!(Consumer, |_py, this, n| this.get().try_peek(n).map(or_none)),
        c"try_peek($self, n, /)\n--\n\n\
          Shows messages where they are; never waits.\n\n\
          Args:\n    n: Messages wanted at most, at least 1.\n\n\
          Returns:\n    As `peek`, or None when the channel is empty.\n\n\
          Raises:\n    EndOfChannel: Nothing more will come.\n    Closed: This handle was closed.\n    \
          RuntimeError: A view is open.\n\n\
          Example:\n    >>> import bchan\n    >>> rx = bchan.Channel('i4', capacity=4, mode='spsc').consumer()\n    \
          >>> rx.try_peek(8) is None\n    True\n",
    ),
    definition(
        c"release",
        method_o!(Consumer, |_py, this, n| this.get().release(n).map(|()| none())),
        c"release($self, n, /)\n--\n\n\
          Ends the view of `peek` and gives the slots of its first n messages back.\n\n\
          The others stay in the channel and come again.\n\n\
          Args:\n    n: Messages that are done with, 0 to the view's length.\n\n\
          Raises:\n    RuntimeError: No view is open.\n    ValueError: n is beyond the view.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel('i4', capacity=4, mode='spsc')\n    \
          >>> tx, rx = ch.producer(), ch.consumer()\n    >>> tx.send_batch([1, 2, 3])\n    \
          >>> rx.peek(3).tolist()\n    [1, 2, 3]\n    >>> rx.release(1)\n    >>> rx.receive()\n    2\n",
    ),
]);

static QUEUE: Methods<4> = Methods([
    definition(
        c"put",
        method_kw!(Queue, |_py, this, arguments| {
            if let Some(item) = arguments.alone()
                && this.get().put_quickly(item)
            {
                return Ok(none());
            }
            let [item, block, timeout] = arguments.named("put", ["item", "block", "timeout"])?;
            let item = item.ok_or_else(|| PyTypeError::new_err("put() needs an item"))?;
            let block = block.map_or(Ok(true), |block| block.is_truthy())?;
            this.get().put(item, block, timeout.filter(|timeout| !timeout.is_none())).map(|()| none())
        }),
        c"put($self, item, block=True, timeout=None)\n--\n\n\
          Puts an item into the queue, waiting while it is full.\n\n\
          Args:\n    item: Any object.\n    block: Whether to wait.\n    timeout: Seconds to wait at most; None for ever.\n\n\
          Raises:\n    Full: It stayed full.\n    ShutDown: The queue was shut down.\n    ValueError: A negative timeout.\n\n\
          Example:\n    >>> import bchan\n    >>> q = bchan.Queue(maxsize=1)\n    >>> q.put('a')\n    \
          >>> q.put('b', timeout=0.01)\n    Traceback (most recent call last):\n    ...\n    queue.Full\n",
    ),
    definition(
        c"put_nowait",
        method_o!(Queue, |_py, this, item| {
            if this.get().put_quickly(item) {
                return Ok(none());
            }
            this.get().put(item, false, None).map(|()| none())
        }),
        c"put_nowait($self, item, /)\n--\n\n\
          Puts an item into the queue; never waits.\n\n\
          Raises:\n    Full: It is full.\n    ShutDown: The queue was shut down.\n\n\
          Example:\n    >>> import bchan\n    >>> q = bchan.Queue()\n    >>> q.put_nowait('a')\n    >>> q.qsize()\n    1\n",
    ),
    definition(
        c"get",
        method_kw!(Queue, |py, this, arguments| {
            if arguments.is_empty() {
                let object = this.get().get_quickly();
                if !object.is_null() {
                    return Ok(object);
                }
            }
            let [block, timeout] = arguments.named("get", ["block", "timeout"])?;
            let block = block.map_or(Ok(true), |block| block.is_truthy())?;
            this.get().get(py, block, timeout.filter(|timeout| !timeout.is_none()))
        }),
        c"get($self, block=True, timeout=None)\n--\n\n\
          Gets the next item, waiting for it.\n\n\
          Args:\n    block: Whether to wait.\n    timeout: Seconds to wait at most; None for ever.\n\n\
          Raises:\n    Empty: Nothing came.\n    ShutDown: The queue was shut down and is empty.\n    \
          ValueError: A negative timeout.\n\n\
          Example:\n    >>> import bchan\n    >>> q = bchan.Queue()\n    >>> q.put('a')\n    >>> q.get()\n    'a'\n",
    ),
    definition(
        c"get_nowait",
        method_noargs!(Queue, |py, this| {
            let object = this.get().get_quickly();
            if object.is_null() { this.get().get(py, false, None) } else { Ok(object) }
        }),
        c"get_nowait($self, /)\n--\n\n\
          Gets the next item; never waits.\n\n\
          Raises:\n    Empty: There is none.\n    ShutDown: The queue was shut down and is empty.\n\n\
          Example:\n    >>> import bchan\n    >>> bchan.Queue().get_nowait()\n    Traceback (most recent call last):\n    ...\n    \
          _queue.Empty\n",
    ),
]);

/// Sets the hot methods of a class of producers, consumers, channels or queues on it; returns the class.
#[pyfunction]
pub(crate) fn hot_methods(class: Bound<'_, PyType>) -> PyResult<Bound<'_, PyType>> {
    let (some, others): (&'static [PyMethodDef], &'static [PyMethodDef]) = match () {
        () if class.is_subclass_of::<Producer>()? => (&PRODUCER_SENDING.0, &PRODUCER_CLAIMS.0),
        () if class.is_subclass_of::<Consumer>()? => (&CONSUMER_RECEIVING.0, &CONSUMER_VIEWS.0),
        () if class.is_subclass_of::<Channel>()? => (&CHANNEL_SENDING.0, &CHANNEL_RECEIVING.0),
        () if class.is_subclass_of::<Queue>()? => (&QUEUE.0, &[]),
        () => {
            return Err(PyTypeError::new_err(format!(
                "class must be of producers, consumers, channels or queues, got {class}"
            )));
        }
    };
    set(&class, some.iter().chain(others))?;
    Ok(class)
}

/// Sets the hot methods of a class of producers, consumers or channels of bytes on it; returns the class.
#[pyfunction]
pub(crate) fn bytes_methods(class: Bound<'_, PyType>) -> PyResult<Bound<'_, PyType>> {
    let (some, others): (&'static [PyMethodDef], &'static [PyMethodDef]) = match () {
        () if class.is_subclass_of::<BytesProducer>()? => {
            (&frames::PRODUCER_SENDING.0, &frames::PRODUCER_CLAIMS.0)
        }
        () if class.is_subclass_of::<BytesConsumer>()? => {
            (&frames::CONSUMER_RECEIVING.0, &frames::CONSUMER_VIEWS.0)
        }
        () if class.is_subclass_of::<Channel>()? => {
            (&frames::CHANNEL_SENDING.0, &frames::CHANNEL_RECEIVING.0)
        }
        () => {
            return Err(PyTypeError::new_err(format!(
                "class must be of producers, consumers or channels, got {class}"
            )));
        }
    };
    set(&class, some.iter().chain(others))?;
    Ok(class)
}

/// Sets the hot methods of a class of producers, consumers or channels of pickled objects on it; returns the
/// class.
#[pyfunction]
pub(crate) fn pickled_methods(class: Bound<'_, PyType>) -> PyResult<Bound<'_, PyType>> {
    let (some, others): (&'static [PyMethodDef], &'static [PyMethodDef]) = match () {
        () if class.is_subclass_of::<PickledProducer>()? => (&pickled::PRODUCER_SENDING.0, &[]),
        () if class.is_subclass_of::<PickledConsumer>()? => (&pickled::CONSUMER_RECEIVING.0, &[]),
        () if class.is_subclass_of::<Channel>()? => {
            (&pickled::CHANNEL_SENDING.0, &pickled::CHANNEL_RECEIVING.0)
        }
        () => {
            return Err(PyTypeError::new_err(format!(
                "class must be of producers, consumers or channels, got {class}"
            )));
        }
    };
    set(&class, some.iter().chain(others))?;
    Ok(class)
}

fn set(class: &Bound<'_, PyType>, methods: impl Iterator<Item = &'static PyMethodDef>) -> PyResult<()> {
    for method in methods {
        // SAFETY: the definition is static, and CPython does not write to it.
        let descriptor = unsafe {
            let descriptor = ffi::PyDescr_NewMethod(class.as_type_ptr(), ptr::from_ref(method).cast_mut());
            Bound::from_owned_ptr_or_err(class.py(), descriptor)?
        };
        // SAFETY: a static C string.
        let name = unsafe { CStr::from_ptr(method.ml_name) };
        class.setattr(name.to_string_lossy(), descriptor)?;
    }
    Ok(())
}
