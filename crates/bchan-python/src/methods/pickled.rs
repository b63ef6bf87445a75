//! The hot methods for objects for any process.

use std::ptr;

use pyo3::ffi::{self, PyMethodDefPointer, PyObject};
use pyo3::prelude::*;

use super::{Methods, ReceivingDocs, SendingDocs, boolean, call, definition, none, number};
use crate::arguments::Arguments;
use crate::channel::Channel;
use crate::pickled::consumer::PickledConsumer;
use crate::pickled::producer::PickledProducer;
use crate::pickled::receiving::PickledInlet;
use crate::pickled::sending;
use crate::turns::{may_go_on, nothing};

const SENDING: SendingDocs = SendingDocs {
    send: c"send($self, item, /, timeout=None)\n--\n\n\
          Sends one object, waiting while there is no room.\n\n\
          It is pickled first: what can't be raises here, and nothing is sent.\n\n\
          Args:\n    item: What `pickle` takes, at most `max_message_size` long once pickled.\n    \
          timeout: Seconds to wait at most; None for ever.\n\n\
          Raises:\n    TimeoutError: There was no room.\n    Closed: The channel or this handle was closed.\n    \
          ValueError: Too long.\n    PicklingError, TypeError, ...: What pickling it raised.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel(shared=True, mode='spsc')\n    \
          >>> tx, rx = ch.producer(), ch.consumer()\n    >>> tx.send({'any': 'object'})\n    \
          >>> tx.send(lambda: 0)\n    Traceback (most recent call last):\n    ...\n    \
          _pickle.PicklingError: Can't pickle <function <lambda> at ...>: ...\n    \
          >>> rx.receive()\n    {'any': 'object'}\n",
    try_send: c"try_send($self, item, /)\n--\n\n\
          Sends one object if there is room, and tells whether; never waits.\n\n\
          Args:\n    item: As for `send`.\n\n\
          Returns:\n    False if there is no room for it.\n\n\
          Raises what `send` does, but TimeoutError.\n\n\
          Example:\n    >>> import bchan\n    >>> tx = bchan.Channel(shared=True, capacity=1, mode='spsc').producer()\n    \
          >>> tx.try_send('one slot'), tx.try_send('another')\n    (True, False)\n",
    send_batch: c"send_batch($self, batch, /, timeout=None)\n--\n\n\
          Sends all objects of an iterable in order, waiting while there is no room.\n\n\
          The objects of a list, a tuple or an array are all pickled before the first is sent, up to 255 together, which is\n\
          far faster than one by one. What occurs twice in those may arrive as one object, twice.\n\n\
          Args:\n    batch: Iterable of what `send` takes, of any length.\n    \
          timeout: Seconds to wait at most, in all; None for ever.\n\n\
          Raises what `send` does. What is raised has the attributes `sent`, how many objects went, and `unsent`, a\n    \
          list of those that were drawn and did not go.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel(shared=True)\n    \
          >>> ch.send_batch([1, 'two', 3.0])\n    >>> ch.receive_batch(8)\n    [1, 'two', 3.0]\n",
    try_send_batch: c"try_send_batch($self, batch, /)\n--\n\n\
          Sends the first objects of a list, a tuple or an array, as many as there is room for; never waits.\n\n\
          Args:\n    batch: A list, a tuple or an array of what `send` takes.\n\n\
          Returns:\n    How many went.\n\n\
          Raises what `send` does, but TimeoutError.\n\n\
          Example:\n    >>> import bchan\n    >>> tx = bchan.Channel(shared=True, mode='spsc').producer()\n    \
          >>> tx.try_send_batch(['a', 'b'])\n    2\n",
};

pub(super) static PRODUCER_SENDING: Methods<5> = sending!(PickledProducer, sending, "item", SENDING);
pub(super) static CHANNEL_SENDING: Methods<5> = sending!(Channel, sending, "item", SENDING);

const RECEIVING: ReceivingDocs = ReceivingDocs {
    receive: c"receive($self, /, timeout=None)\n--\n\n\
          Receives one object, waiting for it.\n\n\
          Unpickling runs what whoever can write to the channel's memory wants run. If it raises, the object is\n\
          gone.\n\n\
          Args:\n    timeout: Seconds to wait at most; None for ever.\n\n\
          Returns:\n    A new object; arrays in it can be written to.\n\n\
          Raises:\n    EndOfChannel: Nothing more will come.\n    TimeoutError: Nothing came.\n    \
          Closed: This handle was closed.\n    ValueError: What came is no message.\n    \
          Exception: What unpickling it raised.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel(shared=True)\n    \
          >>> ch.send(('any', 'object'))\n    >>> ch.receive(timeout=1)\n    ('any', 'object')\n",
    try_receive: c"try_receive($self, /, default=None)\n--\n\n\
          Receives one object if there is one; never waits.\n\n\
          Args:\n    default: What to return when the channel is empty.\n\n\
          Returns:\n    As `receive`, or the default.\n\n\
          Raises what `receive` does, but TimeoutError.\n\n\
          Example:\n    >>> import bchan\n    >>> rx = bchan.Channel(shared=True, mode='spsc').consumer()\n    \
          >>> rx.try_receive(default='nothing yet')\n    'nothing yet'\n",
    receive_batch: c"receive_batch($self, n, /, timeout=None)\n--\n\n\
          Receives what is there, waiting for the first object.\n\n\
          Args:\n    n: Objects wanted at most, at least 1.\n    timeout: Seconds to wait at most; None for ever.\n\n\
          Returns:\n    A new list, 1 to n long.\n\n\
          Raises what `receive` does. What unpickling raises has an attribute `received`, a list of the objects before.\n\n\
          Example:\n    >>> import bchan\n    >>> ch = bchan.Channel(shared=True)\n    \
          >>> ch.send_batch([1, 2, 3])\n    >>> ch.receive_batch(2)\n    [1, 2]\n",
    try_receive_batch: c"try_receive_batch($self, n, /)\n--\n\n\
          Receives what is there; never waits.\n\n\
          Args:\n    n: Objects wanted at most, at least 1.\n\n\
          Returns:\n    A new list, 0 to n long.\n\n\
          Raises what `receive_batch` does, but TimeoutError.\n\n\
          Example:\n    >>> import bchan\n    >>> bchan.Channel(shared=True).try_receive_batch(8)\n    []\n",
};

pub(super) static CONSUMER_RECEIVING: Methods<5> = receiving!(PickledConsumer, PickledInlet, RECEIVING);
pub(super) static CHANNEL_RECEIVING: Methods<5> = receiving!(Channel, PickledInlet, RECEIVING);
