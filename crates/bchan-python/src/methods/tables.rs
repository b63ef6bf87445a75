//! The tables of the hot methods: each method once, over what works on which messages.

use std::ptr;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi::{self, PyMethodDefPointer, PyObject};
use pyo3::prelude::*;

use super::{Method, Methods, boolean, call, definition, none, number, or_none};
use crate::arguments::Arguments;
use crate::channel::Channel;
use crate::consumer::Consumer;
use crate::errors::Raise;
use crate::frames::receiving::FrameInlet;
use crate::frames::sending::FrameOutlet;
use crate::pickled::receiving::PickledInlet;
use crate::pickled::sending as pickled;
use crate::producer::Producer;
use crate::queue::Queue;
use crate::receiving::Inlet;
use crate::reserving::remembered;
use crate::sending::Outlet;
use crate::turns::{may_go_on, nothing};

/// The methods of a class that sends, by the functions of `$by`, a trait or a module. `$of` gives what they
/// work on.
macro_rules! sending {
    ($class:ty, $of:path, $by:ident, $item:literal) => {
        [
            definition(
                c"send",
                method_kw!($class, |_py, this, arguments| {
                    let (item, timeout) = arguments.item_and_timeout("send", $item)?;
                    $by::send($of(this.get())?, item, timeout).map(|()| none())
                }),
            ),
            definition(
                c"try_send",
                method_o!($class, |_py, this, item| $by::try_send($of(this.get())?, item).map(boolean)),
            ),
            definition(
                c"send_batch",
                method_kw!($class, |_py, this, arguments| {
                    let (batch, timeout) = arguments.item_and_timeout("send_batch", "batch")?;
                    $by::send_batch($of(this.get())?, batch, timeout).map(|()| none())
                }),
            ),
            definition(
                c"try_send_batch",
                method_o!($class, |_py, this, batch| $by::try_send_batch($of(this.get())?, batch)
                    .map(number)),
            ),
            definition(
                c"_send_ready",
                method_o!($class, |_py, this, item| {
                    if may_go_on() { $by::send_ready($of(this.get())?, item) } else { Ok(boolean(false)) }
                }),
            ),
        ]
    };
}

/// The methods of a class that receives, likewise.
macro_rules! receiving {
    ($class:ty, $of:path, $by:ident) => {
        [
            definition(
                c"receive",
                method_kw!($class, |py, this, arguments| {
                    $by::receive($of(this.get())?, py, arguments.timeout("receive")?)
                }),
            ),
            definition(
                c"try_receive",
                method_kw!($class, |py, this, arguments| {
                    let default = arguments.optional("try_receive", 0, "default")?;
                    let object = $by::try_receive($of(this.get())?, py)?;
                    match object.is_null() {
                        false => Ok(object),
                        true => Ok(default.map_or_else(none, |default| default.to_owned().into_ptr())),
                    }
                }),
            ),
            definition(
                c"receive_batch",
                method_kw!($class, |_py, this, arguments| {
                    let (n, timeout) = arguments.item_and_timeout("receive_batch", "n")?;
                    $by::receive_batch($of(this.get())?, n, timeout).map(Bound::into_ptr)
                }),
            ),
            definition(
                c"try_receive_batch",
                method_o!($class, |_py, this, n| $by::try_receive_batch($of(this.get())?, n)
                    .map(Bound::into_ptr)),
            ),
            definition(
                c"_receive_ready",
                method_noargs!($class, |py, this| {
                    let is_ready = may_go_on();
                    let object =
                        if is_ready { $by::receive_ready($of(this.get())?, py)? } else { ptr::null_mut() };
                    Ok(if object.is_null() { nothing() } else { object })
                }),
            ),
        ]
    };
}

/// The methods of a class that receives into buffers.
macro_rules! receiving_into {
    ($class:ty, $of:path, $by:ident) => {
        [
            definition(
                c"receive_into",
                method_kw!($class, |_py, this, arguments| {
                    let (buffer, timeout) = arguments.item_and_timeout("receive_into", "buffer")?;
                    $by::receive_into($of(this.get())?, buffer, timeout).map(number)
                }),
            ),
            definition(
                c"try_receive_into",
                method_o!($class, |_py, this, buffer| {
                    let received = $by::try_receive_into($of(this.get())?, buffer)?;
                    Ok(received.map_or_else(none, number))
                }),
            ),
        ]
    };
}

/// The methods of producers that reserve.
macro_rules! reserving {
    ($of:path, $wanted:literal) => {
        [
            definition(
                c"reserve",
                method_kw!(Producer, |_py, this, arguments| {
                    let (end, (n, timeout)) =
                        ($of(this.get())?, arguments.item_and_timeout("reserve", $wanted)?);
                    let view = end.reserve(n, timeout)?;
                    remembered(this.as_any().as_borrowed(), &end.reserving, view).map(Bound::into_ptr)
                }),
            ),
            definition(
                c"try_reserve",
                method_o!(Producer, |_py, this, n| {
                    let end = $of(this.get())?;
                    let view = end.try_reserve(n)?;
                    let keep = |view| remembered(this.as_any().as_borrowed(), &end.reserving, view);
                    view.map(keep).transpose().map(or_none)
                }),
            ),
            definition(
                c"commit",
                method_kw!(Producer, |py, this, arguments| {
                    let n = arguments.one("commit", "n")?;
                    $of(this.get())?.reserving.commit(py, n).map(|()| none())
                }),
            ),
            definition(
                c"abort",
                method_noargs!(Producer, |py, this| {
                    $of(this.get())?.reserving.abort(py).map(|()| none())
                }),
            ),
        ]
    };
}

/// A channel sends and receives by itself.
#[inline(always)]
fn itself(channel: &Channel) -> PyResult<&Channel> {
    Ok(channel)
}

static ITEMS_PRODUCER: Methods<5> = sending!(Producer, Producer::items, Outlet, "item");
static BYTES_PRODUCER: Methods<5> = sending!(Producer, Producer::frames, FrameOutlet, "message");
static PICKLED_PRODUCER: Methods<5> = sending!(Producer, Producer::frames, pickled, "item");
static ITEMS_SENDING: Methods<5> = sending!(Channel, itself, Outlet, "item");
static BYTES_SENDING: Methods<5> = sending!(Channel, itself, FrameOutlet, "message");
static PICKLED_SENDING: Methods<5> = sending!(Channel, itself, pickled, "item");

static ITEMS_RESERVING: Methods<4> = reserving!(Producer::items, "n");
static BYTES_RESERVING: Methods<4> = reserving!(Producer::frames, "nbytes");

static ITEMS_CONSUMER: Methods<5> = receiving!(Consumer, Consumer::items, Inlet);
static BYTES_CONSUMER: Methods<5> = receiving!(Consumer, Consumer::bytes, FrameInlet);
static PICKLED_CONSUMER: Methods<5> = receiving!(Consumer, Consumer::pickled, PickledInlet);
static ITEMS_RECEIVING: Methods<5> = receiving!(Channel, itself, Inlet);
static BYTES_RECEIVING: Methods<5> = receiving!(Channel, itself, FrameInlet);
static PICKLED_RECEIVING: Methods<5> = receiving!(Channel, itself, PickledInlet);

static ITEMS_CONSUMER_INTO: Methods<2> = receiving_into!(Consumer, Consumer::items, Inlet);
static BYTES_CONSUMER_INTO: Methods<2> = receiving_into!(Consumer, Consumer::bytes, FrameInlet);
static ITEMS_INTO: Methods<2> = receiving_into!(Channel, itself, Inlet);
static BYTES_INTO: Methods<2> = receiving_into!(Channel, itself, FrameInlet);

static ITEMS_PEEKING: Methods<2> = [
    definition(
        c"peek",
        method_kw!(Consumer, |py, this, arguments| {
            let (n, timeout) = arguments.item_and_timeout("peek", "n")?;
            this.get().items()?.peek(n, timeout).map(Bound::into_ptr)
        }),
    ),
    definition(c"try_peek", method_o!(Consumer, |_py, this, n| this.get().items()?.try_peek(n).map(or_none))),
];

static BYTES_PEEKING: Methods<2> = [
    definition(
        c"peek",
        method_kw!(Consumer, |py, this, arguments| {
            this.get().bytes()?.peek(py, arguments.timeout("peek")?).map(Bound::into_ptr)
        }),
    ),
    definition(
        c"try_peek",
        method_noargs!(Consumer, |py, this| this.get().bytes()?.try_peek(py).map(or_none)),
    ),
];

static RELEASING: Methods<1> = [definition(
    c"release",
    method_kw!(Consumer, |_py, this, arguments| {
        this.get().release(arguments.one("release", "n")?).map(|()| none())
    }),
)];

static QUEUE: Methods<4> = [
    definition(
        c"put",
        method_kw!(Queue, |_py, this, arguments| {
            if let Some(item) = arguments.alone()
                && this.get().put_fast(item)
            {
                return Ok(none());
            }
            let [item, block, timeout] = arguments.named("put", ["item", "block", "timeout"])?;
            let item = item.ok_or_else(|| PyTypeError::error("put() needs an item"))?;
            let block = block.map_or(Ok(true), |block| block.is_truthy())?;
            this.get().put(item, block, timeout.filter(|timeout| !timeout.is_none())).map(|()| none())
        }),
    ),
    definition(
        c"put_nowait",
        method_o!(Queue, |_py, this, item| {
            if this.get().put_fast(item) {
                return Ok(none());
            }
            this.get().put(item, false, None).map(|()| none())
        }),
    ),
    definition(
        c"get",
        method_kw!(Queue, |py, this, arguments| {
            if arguments.is_empty() {
                let object = this.get().get_fast();
                if !object.is_null() {
                    return Ok(object);
                }
            }
            let [block, timeout] = arguments.named("get", ["block", "timeout"])?;
            let block = block.map_or(Ok(true), |block| block.is_truthy())?;
            this.get().get(py, block, timeout.filter(|timeout| !timeout.is_none()))
        }),
    ),
    definition(
        c"get_nowait",
        method_noargs!(Queue, |py, this| {
            let object = this.get().get_fast();
            if object.is_null() { this.get().get(py, false, None) } else { Ok(object) }
        }),
    ),
];

/// Tables of methods, of one class.
pub(super) type Tables = &'static [&'static [Method]];

pub(super) const OF_PRODUCERS: [Tables; 3] =
    [&[&ITEMS_PRODUCER, &ITEMS_RESERVING], &[&BYTES_PRODUCER, &BYTES_RESERVING], &[&PICKLED_PRODUCER]];
pub(super) const OF_CONSUMERS: [Tables; 3] = [
    &[&ITEMS_CONSUMER, &ITEMS_CONSUMER_INTO, &ITEMS_PEEKING, &RELEASING],
    &[&BYTES_CONSUMER, &BYTES_CONSUMER_INTO, &BYTES_PEEKING, &RELEASING],
    &[&PICKLED_CONSUMER],
];
pub(super) const OF_CHANNELS: [Tables; 3] = [
    &[&ITEMS_SENDING, &ITEMS_RECEIVING, &ITEMS_INTO],
    &[&BYTES_SENDING, &BYTES_RECEIVING, &BYTES_INTO],
    &[&PICKLED_SENDING, &PICKLED_RECEIVING],
];
pub(super) const OF_QUEUES: Tables = &[&QUEUE];
