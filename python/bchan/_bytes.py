"""The handles of a channel of bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from bchan import _core, _sharing
from bchan._awaiting import AwaitingReceiver, AwaitingSender
from bchan._leaving import masking_nothing

if TYPE_CHECKING:
    from bchan._channel import Channel


@_core.bytes_methods
class BytesProducer(AwaitingSender, _core.BytesProducer):
    """A registered producer of bytes, from `Channel.producer`. One thread at a time may use it.

    Leaving a `with` block closes it; so does dropping the last reference.

    Example:
        >>> import bchan
        >>> ch = bchan.Channel(bytes, capacity=8, mode="mpsc", max_producers=2)
        >>> with ch.producer() as tx:
        ...     tx.send(b"one")
        ...     tx.send_batch([b"", b"three"])
        >>> list(ch.consumer())
        [b'one', b'', b'three']
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

    @contextmanager
    def batch(self, nbytes: int, timeout: float | None = None) -> Iterator[memoryview]:
        """Write a message in place: reserve, then commit on success or abort on an exception.

        Args:
            nbytes: Bytes wanted, 0 to `max_message_size`.
            timeout: Seconds to wait at most for the room; None for ever.

        Yields:
            Writable memoryview over the ring itself, nbytes long. All of it is sent at the end of
            the block, unless the block has committed or aborted by itself.

        Raises:
            TimeoutError: There was no room.
            Closed: The channel or this handle was closed.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel(bytes, capacity=8, mode="spsc")
            >>> with ch.producer() as tx, tx.batch(4) as room:
            ...     room[:] = b"four"
            >>> list(ch.consumer())
            [b'four']
        """
        room = self.reserve(nbytes, timeout)
        try:
            yield room
        except BaseException:
            if self._is_open(room):
                self.abort()
            raise
        if self._is_open(room):
            self.commit()

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
        return f"<bchan.BytesProducer {'closed' if self.closed else 'open'}>"


@_core.bytes_methods
class BytesConsumer(AwaitingReceiver, _core.BytesConsumer):
    """The consumer of a channel of bytes, from `Channel.consumer`. One thread at a time may use it.

    Iterating over it gives one message after the other and stops when the last producer has closed
    and all is received. Leaving a `with` block closes it; the channel's next consumer goes on
    where it was.

    Example:
        >>> import bchan
        >>> ch = bchan.Channel(bytes, capacity=8, mode="spsc")
        >>> with ch.producer() as tx:
        ...     tx.send(b"hello")
        >>> with ch.consumer() as rx:
        ...     for message in rx:
        ...         print(message)
        b'hello'
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

    def batches(self, n: int) -> Iterator[list[bytes]]:
        """Iterate over batches of what is there, until the end of the channel.

        Args:
            n: Messages in a batch at most, at least 1.

        Returns:
            Iterator over new lists, 1 to n long.

        Raises:
            Closed: This handle was closed.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel(bytes, capacity=8, mode="spsc")
            >>> with ch.producer() as tx:
            ...     tx.send_batch([b"1", b"2", b"3"])
            >>> list(ch.consumer().batches(2))
            [[b'1', b'2'], [b'3']]
        """
        return _core.BytesBatches(self, n)

    @contextmanager
    def view(self, timeout: float | None = None) -> Iterator[memoryview]:
        """Read a message where it is: peek, then release it unless an exception comes.

        Args:
            timeout: Seconds to wait at most for it; None for ever.

        Yields:
            Read-only memoryview over the ring itself, as long as the message. It is released at the
            end of the block, unless the block has done so by itself. After an exception the message
            stays in the channel, and comes again.

        Raises:
            EndOfChannel: Nothing more will come.
            TimeoutError: Nothing came.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel(bytes, capacity=8, mode="spsc")
            >>> with ch.producer() as tx:
            ...     tx.send(bytes([3, 1, 2]))
            >>> with ch.consumer().view() as view:
            ...     max(view)
            3
        """
        view = self.peek(timeout)
        try:
            yield view
        except BaseException:
            if self._is_open(view):
                self.release(0)
            raise
        if self._is_open(view):
            self.release()

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
        return f"<bchan.BytesConsumer {'closed' if self.closed else 'open'}>"
