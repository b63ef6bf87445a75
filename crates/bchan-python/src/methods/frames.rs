//! The hot methods for messages of any length.

use std::ptr;

use pyo3::ffi::{self, PyMethodDefPointer, PyObject};
use pyo3::prelude::*;

use super::{Methods, boolean, call, definition, none, number, or_none};
use crate::arguments::Arguments;
use crate::channel::Channel;
use crate::frames::consumer::BytesConsumer;
use crate::frames::producer::BytesProducer;
use crate::frames::receiving::FrameInlet;
use crate::frames::sending::FrameOutlet;
use crate::reserving::{ReservingClass, remembered};
use crate::turns::{may_go_on, nothing};

pub(super) static PRODUCER_SENDING: Methods<5> = sending!(BytesProducer, FrameOutlet, "message");
pub(super) static CHANNEL_SENDING: Methods<5> = sending!(Channel, FrameOutlet, "message");

pub(super) static PRODUCER_CLAIMS: Methods<4> = [
    definition(
        c"reserve",
        method_kw!(BytesProducer, |_py, this, arguments| {
            let (nbytes, timeout) = arguments.item_and_timeout("reserve", "nbytes")?;
            this.get().reserve(nbytes, timeout).and_then(|room| remembered(this, room)).map(Bound::into_ptr)
        }),
    ),
    definition(
        c"try_reserve",
        method_o!(BytesProducer, |_py, this, nbytes| {
            let room = this.get().try_reserve(nbytes)?;
            room.map(|room| remembered(this, room)).transpose().map(or_none)
        }),
    ),
    definition(
        c"commit",
        method_kw!(BytesProducer, |py, this, arguments| {
            let n = arguments.one("commit", "n")?;
            this.get().reserving().commit(py, n).map(|()| none())
        }),
    ),
    definition(
        c"abort",
        method_noargs!(BytesProducer, |py, this| this.get().reserving().abort(py).map(|()| none())),
    ),
];

pub(super) static CONSUMER_RECEIVING: Methods<5> = receiving!(BytesConsumer, FrameInlet);
pub(super) static CHANNEL_RECEIVING: Methods<5> = receiving!(Channel, FrameInlet);

/// The methods of those who receive into buffers.
macro_rules! receiving_into {
    ($class:ty) => {
        [
            definition(
                c"receive_into",
                method_kw!($class, |_py, this, arguments| {
                    let (buffer, timeout) = arguments.item_and_timeout("receive_into", "buffer")?;
                    FrameInlet::receive_into(this.get(), buffer, timeout).map(number)
                }),
            ),
            definition(
                c"try_receive_into",
                method_o!($class, |_py, this, buffer| {
                    let received = FrameInlet::try_receive_into(this.get(), buffer)?;
                    Ok(received.map_or_else(none, number))
                }),
            ),
        ]
    };
}

pub(super) static CONSUMER_INTO: Methods<2> = receiving_into!(BytesConsumer);
pub(super) static CHANNEL_INTO: Methods<2> = receiving_into!(Channel);

pub(super) static CONSUMER_VIEWS: Methods<3> = [
    definition(
        c"peek",
        method_kw!(BytesConsumer, |py, this, arguments| {
            this.get().peek(py, arguments.timeout("peek")?).map(Bound::into_ptr)
        }),
    ),
    definition(c"try_peek", method_noargs!(BytesConsumer, |py, this| this.get().try_peek(py).map(or_none))),
    definition(
        c"release",
        method_kw!(BytesConsumer, |_py, this, arguments| {
            let n = arguments.one("release", "n")?;
            this.get().handle.release(n).map(|()| none())
        }),
    ),
];
