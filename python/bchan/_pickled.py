"""The handles of a channel of objects for any process."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from bchan import _core
from bchan._awaiting import AwaitingReceiver, AwaitingSender
from bchan._calls import native, pickled
from bchan._handle import Handle
from bchan._leaving import in_place


@native("pickled")
class PickledProducer(Handle, AwaitingSender, pickled.Sending, _core.Producer):
    """A registered producer of pickled objects, from `Channel.producer`. One thread at a time.

    Leaving a `with` block closes it; so does dropping the last reference.

    Example:
        >>> import bchan
        >>> ch = bchan.Channel(shared=True, mode="mpsc", max_producers=2)
        >>> with ch.producer() as tx:
        ...     tx.send({"one": 1})
        ...     tx.send_batch(["two", (3, 3.0)])
        >>> list(ch.consumer())
        [{'one': 1}, 'two', (3, 3.0)]
    """

    __slots__ = ("_channel",)
    _messages = "pickled"


@native("pickled")
class PickledConsumer(Handle, AwaitingReceiver, pickled.Receiving, _core.Consumer):
    """The consumer of a channel of pickled objects, from `Channel.consumer`. One thread at a time.

    Iterating over it gives one object after the other and stops when the last producer has closed
    and all is received. Leaving a `with` block closes it. Another consumer goes on where it was,
    also in the middle of a batch; the last one that leaves closes the channel, unless that is kept
    open.

    Unpickling trusts the processes that can write to the channel's memory.

    Example:
        >>> import bchan
        >>> ch = bchan.Channel(shared=True, mode="spsc")
        >>> with ch.producer() as tx:
        ...     tx.send(["hello"])
        >>> with ch.consumer() as rx:
        ...     for item in rx:
        ...         print(item)
        ['hello']
    """

    __slots__ = ("_channel",)
    _messages = "pickled"

    def batches(self, n: int) -> Iterator[list[Any]]:
        """Iterate over batches of what is there, until the end of the channel.

        Args:
            n: Objects in a batch at most, at least 1.

        Returns:
            Iterator over new lists, 1 to n long.

        Raises:
            Closed: This handle was closed.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel(shared=True, mode="spsc")
            >>> with ch.producer() as tx:
            ...     tx.send_batch([1, 2, 3])
            >>> list(ch.consumer().batches(2))
            [[1, 2], [3]]
        """
        return _core.Batches(self, n)

    def view(self, timeout: float | None = None) -> AbstractContextManager[Any]:
        """Look at the next object with its large buffers where they are; release it at the end.

        The large buffers (from a kilobyte) of what supports pickle's protocol 5, as NumPy arrays
        do, are not copied: they are the ring itself, read-only. After the block their slots are
        written again, so copy what shall last: an old array shows other messages, though it can't
        crash. All else is unpickled as for `receive`.

        Args:
            timeout: Seconds to wait at most for it; None for ever.

        Yields:
            The object. It is taken off the channel at the end of the block; after an exception it
            stays, and comes again.

        Raises:
            EndOfChannel: Nothing more will come.
            TimeoutError: Nothing came.

        Example:
            >>> import bchan, numpy as np
            >>> ch = bchan.Channel(shared=True, mode="spsc")
            >>> with ch.producer() as tx:
            ...     tx.send({"data": np.arange(1000)})
            >>> with ch.consumer().view() as item:
            ...     int(item["data"].sum()), item["data"].flags.writeable
            (499500, False)
        """
        begin, end = partial(self._view, timeout), self._end_view
        # To end it twice is harmless.
        return in_place(begin, lambda _: True, partial(end, True), partial(end, False))
