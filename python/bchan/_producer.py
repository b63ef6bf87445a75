"""The sending side."""

from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from bchan import _core
from bchan._awaiting import AwaitingSender
from bchan._calls import items, native
from bchan._handle import Handle
from bchan._leaving import in_place
from bchan._types import Array


@native("items")
class Producer(Handle, AwaitingSender, items.Sending, items.Reserving, _core.Producer):
    """A registered producer, from `Channel.producer`. One thread at a time may use it.

    Leaving a `with` block closes it; so does dropping the last reference.

    Example:
        >>> import bchan
        >>> ch = bchan.Channel("u4", capacity=8, mode="mpsc", max_producers=2)
        >>> with ch.producer() as tx:
        ...     tx.send(1)
        ...     tx.send_batch([2, 3])
        >>> list(ch.consumer())
        [1, 2, 3]
    """

    __slots__ = ("_channel",)

    def batch(self, n: int, timeout: float | None = None) -> AbstractContextManager[Array[Any]]:
        """Write a batch in place: reserve, then commit on success or abort on an exception.

        Args:
            n: Slots wanted, at least 1.
            timeout: Seconds to wait at most for the first free slot; None for ever.

        Yields:
            Writable array over the ring itself, 1 to n long. All of it is sent at the end of the
            block, unless the block has committed or aborted by itself.

        Raises:
            TimeoutError: The ring stayed full.
            Closed: The channel or this handle was closed.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel("f8", capacity=8, mode="spsc")
            >>> with ch.producer() as tx, tx.batch(2) as slots:
            ...     slots[:] = [0.5, 1.5]
            >>> list(ch.consumer())
            [0.5, 1.5]
        """
        return in_place(partial(self.reserve, n, timeout), self._is_open, self.commit, self.abort)
