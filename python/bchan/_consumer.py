"""The receiving side."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from bchan import _core
from bchan._awaiting import AwaitingReceiver
from bchan._calls import items, native
from bchan._handle import Handle
from bchan._leaving import in_place
from bchan._types import Array


@native("items")
class Consumer(
    Handle,
    AwaitingReceiver,
    items.Receiving,
    items.ReceivingInto,
    items.Peeking,
    _core.Consumer,
):
    """The consumer of a channel, from `Channel.consumer`. One thread at a time may use it.

    Iterating over it gives one message after the other and stops when the last producer has closed
    and all is received. Leaving a `with` block closes it. Another consumer goes on where it was;
    the last one that leaves closes the channel, unless that is kept open.

    Example:
        >>> import bchan
        >>> ch = bchan.Channel("u4", capacity=8, mode="spsc")
        >>> with ch.producer() as tx:
        ...     tx.send_batch([1, 2, 3])
        >>> with ch.consumer() as rx:
        ...     for item in rx:
        ...         print(item)
        1
        2
        3
    """

    __slots__ = ("_channel",)

    def batches(self, n: int) -> Iterator[Any]:
        """Iterate over batches of what is there, until the end of the channel.

        Args:
            n: Messages in a batch at most, at least 1.

        Returns:
            Iterator over new one-dimensional arrays, or lists of objects, 1 to n long.

        Raises:
            Closed: This handle was closed.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel("u4", capacity=8, mode="spsc")
            >>> with ch.producer() as tx:
            ...     tx.send_batch([1, 2, 3])
            >>> [batch.tolist() for batch in ch.consumer().batches(2)]
            [[1, 2], [3]]
        """
        return _core.Batches(self, n)

    def view(self, n: int, timeout: float | None = None) -> AbstractContextManager[Array[Any]]:
        """Read messages where they are: peek, then release them all unless an exception comes.

        Args:
            n: Messages wanted at most, at least 1.
            timeout: Seconds to wait at most for the first; None for ever.

        Yields:
            Read-only array over the ring itself, 1 to n long. All of it is released at the end of
            the block, unless the block has done so by itself. After an exception its messages stay
            in the channel, and come again.

        Raises:
            EndOfChannel: Nothing more will come.
            TimeoutError: Nothing came.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel("u4", capacity=8, mode="spsc")
            >>> with ch.producer() as tx:
            ...     tx.send_batch([1, 2, 3])
            >>> with ch.consumer().view(8) as view:
            ...     int(view.max())
            3
        """
        begin = partial(self.peek, n, timeout)
        return in_place(begin, self._is_open, self.release, partial(self.release, 0))
