//! The hot methods for items.

use std::ptr;

use pyo3::ffi::{self, PyMethodDefPointer, PyObject};
use pyo3::prelude::*;

use super::{Methods, ReceivingDocs, SendingDocs, boolean, call, definition, none, number, or_none};
use crate::arguments::Arguments;
use crate::channel::Channel;
use crate::consumer::Consumer;
use crate::producer::Producer;
use crate::receiving::Inlet;
use crate::reserving::{ReservingClass, remembered};
use crate::sending::Outlet;
use crate::turns::{may_go_on, nothing};

const SENDING: SendingDocs = SendingDocs {
    send: c"send($self, item, /, timeout=None)\n--\n\n\
          Sends one item, waiting while the ring is full.\n\n\
          Args:\n    item: What the channel's dtype can hold.\n    timeout: Seconds to wait at most; None for ever.\n\n\
          Raises:\n    TimeoutError: The ring stayed full.\n    Closed: The channel or this handle was closed.\n    \
          TypeError, OverflowError: The dtype can't hold the item.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel('u1', capacity=2, mode='spsc')\n    \
          >>> tx, rx = ch.producer(), ch.consumer()\n    >>> tx.send(7)\n    >>> tx.send(8, timeout=1.5)\n    \
          >>> rx.receive(), rx.receive()\n    (7, 8)\n",
    try_send: c"try_send($self, item, /)\n--\n\n\
          Sends one item if there is space, and tells whether; never waits.\n\n\
          Args:\n    item: What the channel's dtype can hold.\n\n\
          Returns:\n    False if the ring is full.\n\n\
          Raises:\n    Closed: The channel or this handle was closed.\n    \
          TypeError, OverflowError: The dtype can't hold the item.\n\n\
          Example:\n    >>> import bchan\n    >>> tx = bchan.Channel('u1', capacity=1, mode='spsc').producer()\n    \
          >>> tx.try_send(7), tx.try_send(8)\n    (True, False)\n",
    send_batch: c"send_batch($self, batch, /, timeout=None)\n--\n\n\
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
    try_send_batch: c"try_send_batch($self, batch, /)\n--\n\n\
          Sends the first items of a batch, as many as there is space for; never waits.\n\n\
          Args:\n    batch: As for `send_batch`.\n\n\
          Returns:\n    How many went.\n\n\
          Raises:\n    Closed: The channel or this handle was closed.\n    TypeError: Another dtype.\n    \
          ValueError: More than one dimension.\n\n\
          Example:\n    >>> import bchan\n    >>> tx = bchan.Channel('u1', capacity=2, mode='spsc').producer()\n    \
          >>> tx.try_send_batch([7, 8, 9])\n    2\n",
};

pub(super) static PRODUCER_SENDING: Methods<5> = sending!(Producer, Outlet, "item", SENDING);
pub(super) static CHANNEL_SENDING: Methods<5> = sending!(Channel, Outlet, "item", SENDING);

pub(super) static PRODUCER_CLAIMS: Methods<4> = Methods([
    definition(
        c"reserve",
        method_kw!(Producer, |_py, this, arguments| {
            let (n, timeout) = arguments.item_and_timeout("reserve", "n")?;
            this.get().reserve(n, timeout).and_then(|slots| remembered(this, slots)).map(Bound::into_ptr)
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
            slots.map(|slots| remembered(this, slots)).transpose().map(or_none)
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
        method_kw!(Producer, |py, this, arguments| {
            let n = arguments.one("commit", "n")?;
            this.get().reserving().commit(py, n).map(|()| none())
        }),
        c"commit($self, /, n=None)\n--\n\n\
          Sends the first n slots of the reservation, and ends it.\n\n\
          Args:\n    n: Slots to send, 0 to the reservation's length; None for all.\n\n\
          Raises:\n    Closed: The channel was closed; nothing is sent.\n    RuntimeError: No reservation is open.\n    \
          ValueError: n is beyond the reservation.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel('f8', capacity=4, mode='spsc')\n    \
          >>> tx = ch.producer()\n    >>> tx.reserve(4)[0] = 0.5\n    >>> tx.commit(1)\n    >>> len(ch)\n    1\n",
    ),
    definition(
        c"abort",
        method_noargs!(Producer, |py, this| this.get().reserving().abort(py).map(|()| none())),
        c"abort($self, /)\n--\n\n\
          Ends the reservation and sends nothing.\n\n\
          Raises:\n    RuntimeError: No reservation is open.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel('f8', capacity=4, mode='spsc')\n    \
          >>> tx = ch.producer()\n    >>> slots = tx.reserve(4)\n    >>> tx.abort()\n    >>> len(ch)\n    0\n",
    ),
]);

const RECEIVING: ReceivingDocs = ReceivingDocs {
    receive: c"receive($self, /, timeout=None)\n--\n\n\
          Receives one message, waiting for it.\n\n\
          Args:\n    timeout: Seconds to wait at most; None for ever.\n\n\
          Returns:\n    An int, float or bool for those dtypes, a NumPy scalar for any other (a copy).\n\n\
          Raises:\n    EndOfChannel: Nothing more will come.\n    TimeoutError: Nothing came.\n    \
          Closed: This handle was closed.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel('i4', capacity=4, mode='spsc')\n    \
          >>> rx = ch.consumer()\n    >>> with ch.producer() as tx:\n    ...     tx.send(-5)\n    \
          >>> rx.receive(timeout=1)\n    -5\n    >>> rx.receive()\n    Traceback (most recent call last):\n    ...\n    \
          bchan.EndOfChannel: nothing more will come: all producers are closed and all is received\n",
    try_receive: c"try_receive($self, /, default=None)\n--\n\n\
          Receives one message if there is one; never waits.\n\n\
          Args:\n    default: What to return when the channel is empty.\n\n\
          Returns:\n    As `receive`, or the default.\n\n\
          Raises:\n    EndOfChannel: Nothing more will come.\n    Closed: This handle was closed.\n\n\
          Example:\n    >>> import bchan\n    >>> rx = bchan.Channel('i4', capacity=4, mode='spsc').consumer()\n    \
          >>> rx.try_receive(default=-1)\n    -1\n",
    receive_batch: c"receive_batch($self, n, /, timeout=None)\n--\n\n\
          Receives what is there, waiting for the first message.\n\n\
          Args:\n    n: Messages wanted at most, at least 1.\n    timeout: Seconds to wait at most; None for ever.\n\n\
          Returns:\n    A new one-dimensional array, 1 to n long.\n\n\
          Raises:\n    EndOfChannel: Nothing more will come.\n    TimeoutError: Nothing came.\n    \
          Closed: This handle was closed.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel('i4', capacity=4, mode='spsc')\n    \
          >>> tx, rx = ch.producer(), ch.consumer()\n    >>> tx.send_batch([1, 2, 3])\n    \
          >>> rx.receive_batch(2)\n    array([1, 2], dtype=int32)\n",
    try_receive_batch: c"try_receive_batch($self, n, /)\n--\n\n\
          Receives what is there; never waits.\n\n\
          Args:\n    n: Messages wanted at most, at least 1.\n\n\
          Returns:\n    A new one-dimensional array, 0 to n long.\n\n\
          Raises:\n    EndOfChannel: Nothing more will come.\n    Closed: This handle was closed.\n\n\
          Example:\n    >>> import bchan\n    >>> rx = bchan.Channel('i4', capacity=4, mode='spsc').consumer()\n    \
          >>> len(rx.try_receive_batch(8))\n    0\n",
};

pub(super) static CONSUMER_RECEIVING: Methods<5> = receiving!(Consumer, Inlet, RECEIVING);
pub(super) static CHANNEL_RECEIVING: Methods<5> = receiving!(Channel, Inlet, RECEIVING);

/// The methods of those who receive into buffers.
macro_rules! receiving_into {
    ($class:ty) => {
        Methods([
            definition(
        c"receive_into",
        method_kw!($class, |py, this, arguments| {
            let (buffer, timeout) = arguments.item_and_timeout("receive_into", "buffer")?;
            Inlet::receive_into(this.get(), buffer, timeout).map(number)
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
        method_o!($class, |_py, this, buffer| Inlet::try_receive_into(this.get(), buffer).map(number)),
        c"try_receive_into($self, buffer, /)\n--\n\n\
          Receives into an array what is there; never waits, and allocates nothing.\n\n\
          Args:\n    buffer: As for `receive_into`.\n\n\
          Returns:\n    How many messages were written to the front of the buffer; 0 when the channel is empty.\n\n\
          Raises:\n    As `receive_into`, but TimeoutError.\n\n\
          Example:\n    >>> import bchan, numpy as np\n    \
          >>> rx = bchan.Channel(np.int32, capacity=4, mode='spsc').consumer()\n    \
          >>> rx.try_receive_into(np.zeros(4, dtype=np.int32))\n    0\n",
    ),
        ])
    };
}

pub(super) static CONSUMER_INTO: Methods<2> = receiving_into!(Consumer);
pub(super) static CHANNEL_INTO: Methods<2> = receiving_into!(Channel);

pub(super) static CONSUMER_VIEWS: Methods<3> = Methods([
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
        method_kw!(Consumer, |_py, this, arguments| {
            let n = arguments.one("release", "n")?;
            this.get().handle.release(n).map(|()| none())
        }),
        c"release($self, /, n=None)\n--\n\n\
          Ends the view of `peek` and gives the slots of its first n messages back.\n\n\
          The others stay in the channel and come again.\n\n\
          Args:\n    n: Messages that are done with, 0 to the view's length; None for all.\n\n\
          Raises:\n    RuntimeError: No view is open.\n    ValueError: n is beyond the view.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel('i4', capacity=4, mode='spsc')\n    \
          >>> tx, rx = ch.producer(), ch.consumer()\n    >>> tx.send_batch([1, 2, 3])\n    \
          >>> rx.peek(3).tolist()\n    [1, 2, 3]\n    >>> rx.release(1)\n    >>> rx.receive()\n    2\n",
    ),
]);
