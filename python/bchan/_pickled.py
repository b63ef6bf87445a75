"""The handles of a channel of objects for any process."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from bchan import _core, _sharing
from bchan._awaiting import AwaitingReceiver, AwaitingSender
from bchan._leaving import masking_nothing

if TYPE_CHECKING:
    from bchan._channel import Channel


@_core.pickled_methods
class PickledProducer(AwaitingSender, _core.PickledProducer):
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
    _channel: "Channel | None"

    def __new__(cls, channel: "Channel", ticket: tuple[int, int] | None = None) -> Self:
        """Register; see `Channel.producer`."""
        self = super().__new__(cls, channel, ticket)
        # With it the handle is passed to another process.
        self._channel = channel if channel.shared else None
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (_sharing.checked(self._channel), self._ticket())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with masking_nothing(error):
            self.close()

    def __repr__(self) -> str:
        return f"<bchan.PickledProducer {'closed' if self.closed else 'open'}>"


@_core.pickled_methods
class PickledConsumer(AwaitingReceiver, _core.PickledConsumer):
    """The consumer of a channel of pickled objects, from `Channel.consumer`. One thread at a time.

    Iterating over it gives one object after the other and stops when the last producer has closed
    and all is received. Leaving a `with` block closes it; the channel's next consumer goes on
    where it was, also in the middle of a batch.

    Unpickling trusts whoever can write to the channel's memory.

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
    _channel: "Channel | None"

    def __new__(cls, channel: "Channel", ticket: tuple[int, int] | None = None) -> Self:
        """Register; see `Channel.consumer`."""
        self = super().__new__(cls, channel, ticket)
        # With it the handle is passed to another process.
        self._channel = channel if channel.shared else None
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (_sharing.checked(self._channel), self._ticket())

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
        return _core.PickledBatches(self, n)

    @contextmanager
    def view(self, timeout: float | None = None) -> Iterator[Any]:
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
        item = self._view(timeout)
        try:
            yield item
        except BaseException:
            self._end_view(False)
            raise
        self._end_view(True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with masking_nothing(error):
            self.close()

    def __repr__(self) -> str:
        return f"<bchan.PickledConsumer {'closed' if self.closed else 'open'}>"
