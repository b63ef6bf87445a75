//! The hot methods for items.

use std::ptr;

use pyo3::ffi::{self, PyMethodDefPointer, PyObject};
use pyo3::prelude::*;

use super::{Methods, boolean, call, definition, none, number, or_none};
use crate::arguments::Arguments;
use crate::channel::Channel;
use crate::consumer::Consumer;
use crate::producer::Producer;
use crate::receiving::Inlet;
use crate::reserving::{ReservingClass, remembered};
use crate::sending::Outlet;
use crate::turns::{may_go_on, nothing};

pub(super) static PRODUCER_SENDING: Methods<5> = sending!(Producer, Outlet, "item");
pub(super) static CHANNEL_SENDING: Methods<5> = sending!(Channel, Outlet, "item");

pub(super) static PRODUCER_CLAIMS: Methods<4> = [
    definition(
        c"reserve",
        method_kw!(Producer, |_py, this, arguments| {
            let (n, timeout) = arguments.item_and_timeout("reserve", "n")?;
            this.get().reserve(n, timeout).and_then(|slots| remembered(this, slots)).map(Bound::into_ptr)
        }),
    ),
    definition(
        c"try_reserve",
        method_o!(Producer, |_py, this, n| {
            let slots = this.get().try_reserve(n)?;
            slots.map(|slots| remembered(this, slots)).transpose().map(or_none)
        }),
    ),
    definition(
        c"commit",
        method_kw!(Producer, |py, this, arguments| {
            let n = arguments.one("commit", "n")?;
            this.get().reserving().commit(py, n).map(|()| none())
        }),
    ),
    definition(
        c"abort",
        method_noargs!(Producer, |py, this| this.get().reserving().abort(py).map(|()| none())),
    ),
];

pub(super) static CONSUMER_RECEIVING: Methods<5> = receiving!(Consumer, Inlet);
pub(super) static CHANNEL_RECEIVING: Methods<5> = receiving!(Channel, Inlet);

/// The methods of those who receive into buffers.
macro_rules! receiving_into {
    ($class:ty) => {
        [
            definition(
                c"receive_into",
                method_kw!($class, |py, this, arguments| {
                    let (buffer, timeout) = arguments.item_and_timeout("receive_into", "buffer")?;
                    Inlet::receive_into(this.get(), buffer, timeout).map(number)
                }),
            ),
            definition(
                c"try_receive_into",
                method_o!($class, |_py, this, buffer| Inlet::try_receive_into(this.get(), buffer)
                    .map(number)),
            ),
        ]
    };
}

pub(super) static CONSUMER_INTO: Methods<2> = receiving_into!(Consumer);
pub(super) static CHANNEL_INTO: Methods<2> = receiving_into!(Channel);

pub(super) static CONSUMER_VIEWS: Methods<3> = [
    definition(
        c"peek",
        method_kw!(Consumer, |py, this, arguments| {
            let (n, timeout) = arguments.item_and_timeout("peek", "n")?;
            this.get().peek(n, timeout).map(Bound::into_ptr)
        }),
    ),
    definition(c"try_peek", method_o!(Consumer, |_py, this, n| this.get().try_peek(n).map(or_none))),
    definition(
        c"release",
        method_kw!(Consumer, |_py, this, arguments| {
            let n = arguments.one("release", "n")?;
            this.get().handle.release(n).map(|()| none())
        }),
    ),
];
