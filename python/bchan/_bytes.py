"""The handles of a channel of bytes."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING

from bchan import _core
from bchan._awaiting import AwaitingReceiver, AwaitingSender
from bchan._calls import frames, native
from bchan._handle import Handle
from bchan._leaving import in_place


@native("bytes")
class BytesProducer(Handle, AwaitingSender, frames.Sending, frames.Reserving, _core.Producer):
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
    _messages = "bytes"

    def batch(
        self, nbytes: int, timeout: float | None = None
    ) -> AbstractContextManager[memoryview]:
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
        begin = partial(self.reserve, nbytes, timeout)
        return in_place(begin, self._is_open, self.commit, self.abort)


@native("bytes")
class BytesConsumer(
    Handle,
    AwaitingReceiver,
    frames.Receiving,
    frames.ReceivingInto,
    frames.Peeking,
    _core.Consumer,
):
    """The consumer of a channel of bytes, from `Channel.consumer`. One thread at a time may use it.

    Iterating over it gives one message after the other and stops when the last producer has closed
    and all is received. Leaving a `with` block closes it. Another consumer goes on where it was;
    the last one that leaves closes the channel, unless that is kept open.

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
    _messages = "bytes"

    if TYPE_CHECKING:

        def __next__(self) -> bytes: ...

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
        return _core.Batches(self, n)

    def view(self, timeout: float | None = None) -> AbstractContextManager[memoryview]:
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
        begin = partial(self.peek, timeout)
        return in_place(begin, self._is_open, self.release, partial(self.release, 0))
