//! The hot methods for messages of any length.

use std::ptr;

use pyo3::ffi::{self, PyMethodDefPointer, PyObject};
use pyo3::prelude::*;

use super::{Methods, ReceivingDocs, SendingDocs, boolean, call, definition, none, number, or_none};
use crate::arguments::Arguments;
use crate::channel::Channel;
use crate::frames::consumer::BytesConsumer;
use crate::frames::producer::BytesProducer;
use crate::frames::receiving::FrameInlet;
use crate::frames::sending::FrameOutlet;
use crate::reserving::{ReservingClass, remembered};
use crate::turns::{may_go_on, nothing};

const SENDING: SendingDocs = SendingDocs {
    send: c"send($self, message, /, timeout=None)\n--\n\n\
          Sends one message, waiting while there is no room.\n\n\
          Args:\n    message: `bytes`, or any other contiguous buffer, which is copied; at most `max_message_size` long.\n    \
          timeout: Seconds to wait at most; None for ever.\n\n\
          Raises:\n    TimeoutError: There was no room.\n    Closed: The channel or this handle was closed.\n    \
          TypeError: Not a buffer.\n    ValueError: Too long, or a buffer with gaps.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel(bytes, capacity=4, mode='spsc')\n    \
          >>> tx, rx = ch.producer(), ch.consumer()\n    >>> tx.send(b'some')\n    \
          >>> tx.send(bytearray(70), timeout=1.5)\n    >>> rx.receive(), len(rx.receive())\n    (b'some', 70)\n",
    try_send: c"try_send($self, message, /)\n--\n\n\
          Sends one message if there is room, and tells whether; never waits.\n\n\
          Args:\n    message: As for `send`.\n\n\
          Returns:\n    False if there is no room for it.\n\n\
          Raises:\n    Closed: The channel or this handle was closed.\n    \
          TypeError: Not a buffer.\n    ValueError: Too long, or a buffer with gaps.\n\n\
          Example:\n    >>> import bchan\n    >>> tx = bchan.Channel(bytes, capacity=2, mode='spsc').producer()\n    \
          >>> tx.try_send(b'one slot'), tx.try_send(bytes(65)), tx.try_send(b'another')\n    (True, False, True)\n",
    send_batch: c"send_batch($self, batch, /, timeout=None)\n--\n\n\
          Sends all messages of an iterable in order, waiting while there is no room.\n\n\
          Args:\n    batch: An iterable of what `send` takes. A list, a tuple or an array is looked through before anything is sent.\n    \
          timeout: Seconds to wait at most, in all; None for ever.\n\n\
          Raises:\n    TimeoutError: There was no room for too long.\n    \
          Closed: The channel or this handle was closed.\n    TypeError: Not all are buffers.\n    \
          ValueError: Too long, or a buffer with gaps.\n\n\
          What is raised while sending has the attributes `sent`, how many messages went, and `unsent`, a list of\n\
          those that were drawn and did not go.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel(bytes, capacity=2, mode='spsc')\n    \
          >>> tx = ch.producer()\n    >>> try:\n    ...     tx.send_batch([b'a', b'b', b'c'], timeout=0)\n    \
          ... except TimeoutError as late:\n    ...     print(late.sent, late.unsent)\n    2 [b'c']\n",
    try_send_batch: c"try_send_batch($self, batch, /)\n--\n\n\
          Sends the first messages of a list, a tuple or an array, as many as there is room for; never waits.\n\n\
          Args:\n    batch: A list, a tuple or an array of what `send` takes.\n\n\
          Returns:\n    How many went.\n\n\
          Raises what `send_batch` does, but TimeoutError.\n\n\
          Example:\n    >>> import bchan\n    >>> tx = bchan.Channel(bytes, capacity=2, mode='spsc').producer()\n    \
          >>> tx.try_send_batch([b'a', b'b', b'c'])\n    2\n",
};

pub(super) static PRODUCER_SENDING: Methods<5> = sending!(BytesProducer, FrameOutlet, "message", SENDING);
pub(super) static CHANNEL_SENDING: Methods<5> = sending!(Channel, FrameOutlet, "message", SENDING);

pub(super) static PRODUCER_CLAIMS: Methods<4> = Methods([
    definition(
        c"reserve",
        method_kw!(BytesProducer, |_py, this, arguments| {
            let (nbytes, timeout) = arguments.item_and_timeout("reserve", "nbytes")?;
            this.get().reserve(nbytes, timeout).and_then(|room| remembered(this, room)).map(Bound::into_ptr)
        }),
        c"reserve($self, nbytes, /, timeout=None)\n--\n\n\
          Claims room for a message, to be written in place, waiting for it.\n\n\
          One reservation at a time; it ends with `commit` or `abort`, and its view is read-only after that.\n\n\
          Args:\n    nbytes: Bytes wanted, 0 to `max_message_size`.\n    timeout: Seconds to wait at most; None for ever.\n\n\
          Returns:\n    Writable memoryview over the ring itself, just nbytes long, with whatever was there before.\n\n\
          Raises:\n    TimeoutError: There was no room.\n    Closed: The channel or this handle was closed.\n    \
          RuntimeError: A reservation is open.\n    ValueError: nbytes is beyond `max_message_size`.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel(bytes, capacity=4, mode='spsc')\n    \
          >>> tx, rx = ch.producer(), ch.consumer()\n    >>> room = tx.reserve(100)\n    \
          >>> room[:5] = b'hello'\n    >>> tx.commit(5)\n    >>> rx.receive()\n    b'hello'\n",
    ),
    definition(
        c"try_reserve",
        method_o!(BytesProducer, |_py, this, nbytes| {
            let room = this.get().try_reserve(nbytes)?;
            room.map(|room| remembered(this, room)).transpose().map(or_none)
        }),
        c"try_reserve($self, nbytes, /)\n--\n\n\
          Claims room for a message, to be written in place; never waits.\n\n\
          Args:\n    nbytes: Bytes wanted, 0 to `max_message_size`.\n\n\
          Returns:\n    As `reserve`, or None if there is no room.\n\n\
          Raises what `reserve` does, but TimeoutError.\n\n\
          Example:\n    >>> import bchan\n    >>> tx = bchan.Channel(bytes, capacity=1, mode='spsc').producer()\n    \
          >>> tx.send(b'')\n    >>> tx.try_reserve(1) is None\n    True\n",
    ),
    definition(
        c"commit",
        method_kw!(BytesProducer, |py, this, arguments| {
            let n = arguments.one("commit", "n")?;
            this.get().reserving().commit(py, n).map(|()| none())
        }),
        c"commit($self, /, n=None)\n--\n\n\
          Sends the first n bytes of the reservation as a message, and ends it.\n\n\
          Args:\n    n: Bytes to send, 0 to the reservation's length; None for all.\n\n\
          Raises:\n    Closed: The channel was closed; nothing is sent.\n    RuntimeError: No reservation is open.\n    \
          ValueError: n is beyond the reservation.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel(bytes, capacity=4, mode='spsc')\n    \
          >>> tx = ch.producer()\n    >>> tx.reserve(3)[:] = b'all'\n    >>> tx.commit()\n    \
          >>> ch.consumer().receive()\n    b'all'\n",
    ),
    definition(
        c"abort",
        method_noargs!(BytesProducer, |py, this| this.get().reserving().abort(py).map(|()| none())),
        c"abort($self, /)\n--\n\n\
          Ends the reservation and sends nothing.\n\n\
          Raises:\n    RuntimeError: No reservation is open.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel(bytes, capacity=4, mode='spsc')\n    \
          >>> tx = ch.producer()\n    >>> room = tx.reserve(4)\n    >>> tx.abort()\n    >>> len(ch)\n    0\n",
    ),
]);

const RECEIVING: ReceivingDocs = ReceivingDocs {
    receive: c"receive($self, /, timeout=None)\n--\n\n\
          Receives one message, waiting for it.\n\n\
          Args:\n    timeout: Seconds to wait at most; None for ever.\n\n\
          Returns:\n    The message, as bytes.\n\n\
          Raises:\n    EndOfChannel: Nothing more will come.\n    TimeoutError: Nothing came.\n    \
          Closed: This handle was closed.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel(bytes, capacity=4)\n    \
          >>> ch.send(b'any length')\n    >>> ch.receive(timeout=1)\n    b'any length'\n",
    try_receive: c"try_receive($self, /, default=None)\n--\n\n\
          Receives one message if there is one; never waits.\n\n\
          Args:\n    default: What to return when the channel is empty.\n\n\
          Returns:\n    The message, as bytes, or the default.\n\n\
          Raises:\n    EndOfChannel: Nothing more will come.\n    Closed: This handle was closed.\n\n\
          Example:\n    >>> import bchan\n    >>> rx = bchan.Channel(bytes, mode='spsc').consumer()\n    \
          >>> rx.try_receive(default='nothing yet')\n    'nothing yet'\n",
    receive_batch: c"receive_batch($self, n, /, timeout=None)\n--\n\n\
          Receives what is there, waiting for the first message.\n\n\
          Args:\n    n: Messages wanted at most, at least 1.\n    timeout: Seconds to wait at most; None for ever.\n\n\
          Returns:\n    A new list of bytes, 1 to n long.\n\n\
          Raises:\n    EndOfChannel: Nothing more will come.\n    TimeoutError: Nothing came.\n    \
          Closed: This handle was closed.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel(bytes, capacity=4)\n    \
          >>> ch.send_batch([b'a', b'b', b'c'])\n    >>> ch.receive_batch(2)\n    [b'a', b'b']\n",
    try_receive_batch: c"try_receive_batch($self, n, /)\n--\n\n\
          Receives what is there; never waits.\n\n\
          Args:\n    n: Messages wanted at most, at least 1.\n\n\
          Returns:\n    A new list of bytes, 0 to n long.\n\n\
          Raises:\n    EndOfChannel: Nothing more will come.\n    Closed: This handle was closed.\n\n\
          Example:\n    >>> import bchan\n    >>> bchan.Channel(bytes).try_receive_batch(8)\n    []\n",
};

pub(super) static CONSUMER_RECEIVING: Methods<5> = receiving!(BytesConsumer, FrameInlet, RECEIVING);
pub(super) static CHANNEL_RECEIVING: Methods<5> = receiving!(Channel, FrameInlet, RECEIVING);

/// The methods of those who receive into buffers.
macro_rules! receiving_into {
    ($class:ty) => {
        Methods([
            definition(
                c"receive_into",
                method_kw!($class, |_py, this, arguments| {
                    let (buffer, timeout) = arguments.item_and_timeout("receive_into", "buffer")?;
                    FrameInlet::receive_into(this.get(), buffer, timeout).map(number)
                }),
                c"receive_into($self, buffer, /, timeout=None)\n--\n\n\
                  Receives one message into a buffer, waiting for it. Allocates nothing.\n\n\
                  Args:\n    buffer: Writable, contiguous buffer with room for the message.\n    \
                  timeout: Seconds to wait at most; None for ever.\n\n\
                  Returns:\n    How many bytes were written to the front of the buffer, the message's length.\n\n\
                  Raises:\n    EndOfChannel: Nothing more will come.\n    TimeoutError: Nothing came.\n    \
                  Closed: This handle was closed.\n    TypeError: Not a buffer.\n    \
                  ValueError: A buffer that is read-only or has gaps; or that is too small, and then the message stays.\n\n\
                  Example:\n    >>> import bchan\n    >>> ch = bchan.Channel(bytes, capacity=4)\n    \
                  >>> ch.send(b'hello')\n    >>> buffer = bytearray(8)\n    \
                  >>> ch.receive_into(buffer), buffer\n    (5, bytearray(b'hello\\x00\\x00\\x00'))\n",
            ),
            definition(
                c"try_receive_into",
                method_o!($class, |_py, this, buffer| {
                    let received = FrameInlet::try_receive_into(this.get(), buffer)?;
                    Ok(received.map_or_else(none, number))
                }),
                c"try_receive_into($self, buffer, /)\n--\n\n\
                  Receives one message into a buffer if there is one; never waits, and allocates nothing.\n\n\
                  Args:\n    buffer: As for `receive_into`.\n\n\
                  Returns:\n    The message's length; None when the channel is empty.\n\n\
                  Raises what `receive_into` does, but TimeoutError.\n\n\
                  Example:\n    >>> import bchan\n    >>> bchan.Channel(bytes).try_receive_into(bytearray(8)) is None\n    True\n",
            ),
        ])
    };
}

pub(super) static CONSUMER_INTO: Methods<2> = receiving_into!(BytesConsumer);
pub(super) static CHANNEL_INTO: Methods<2> = receiving_into!(Channel);

pub(super) static CONSUMER_VIEWS: Methods<3> = Methods([
    definition(
        c"peek",
        method_kw!(BytesConsumer, |py, this, arguments| {
            this.get().peek(py, arguments.timeout("peek")?).map(Bound::into_ptr)
        }),
        c"peek($self, /, timeout=None)\n--\n\n\
          Shows the next message where it is, waiting for it. It stays until released.\n\n\
          One view at a time; it ends with `release`. After that its slots are written again, so don't read a view that\n\
          was released: it shows other messages, though it can't crash.\n\n\
          Args:\n    timeout: Seconds to wait at most; None for ever.\n\n\
          Returns:\n    Read-only memoryview over the ring itself, as long as the message.\n\n\
          Raises:\n    EndOfChannel: Nothing more will come.\n    TimeoutError: Nothing came.\n    \
          Closed: This handle was closed.\n    RuntimeError: A view is open.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel(bytes, capacity=4, mode='spsc')\n    \
          >>> tx, rx = ch.producer(), ch.consumer()\n    >>> tx.send(b'look')\n    \
          >>> view = rx.peek()\n    >>> len(view), bytes(view[1:3])\n    (4, b'oo')\n    >>> rx.release()\n",
    ),
    definition(
        c"try_peek",
        method_noargs!(BytesConsumer, |py, this| this.get().try_peek(py).map(or_none)),
        c"try_peek($self, /)\n--\n\n\
          Shows the next message where it is; never waits.\n\n\
          Returns:\n    As `peek`, or None when the channel is empty.\n\n\
          Raises:\n    EndOfChannel: Nothing more will come.\n    Closed: This handle was closed.\n    \
          RuntimeError: A view is open.\n\n\
          Example:\n    >>> import bchan\n    >>> bchan.Channel(bytes, mode='spsc').consumer().try_peek() is None\n    True\n",
    ),
    definition(
        c"release",
        method_kw!(BytesConsumer, |_py, this, arguments| {
            let n = arguments.one("release", "n")?;
            this.get().handle.release(n).map(|()| none())
        }),
        c"release($self, /, n=None)\n--\n\n\
          Ends the view of `peek` and takes its message off the channel.\n\n\
          Args:\n    n: Messages that are done with: 1, or 0 to leave it; then it comes again. None is 1.\n\n\
          Raises:\n    RuntimeError: No view is open.\n    ValueError: n is beyond 1.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel(bytes, capacity=4, mode='spsc')\n    \
          >>> tx, rx = ch.producer(), ch.consumer()\n    >>> tx.send(b'again')\n    \
          >>> bytes(rx.peek())\n    b'again'\n    >>> rx.release(0)\n    >>> rx.receive()\n    b'again'\n",
    ),
]);
