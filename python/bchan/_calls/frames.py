"""The calls of channels of bytes, and of their handles."""

from collections.abc import Iterable
from typing import Any

from bchan._types import Bytes


class Sending:
    """The calls that send."""

    __slots__ = ()

    def send(self, message: Bytes, /, timeout: float | None = None) -> None:
        """Send one message, waiting while there is no room.

        Args:
            message: `bytes`, or any other contiguous buffer, which is copied; at most
                `max_message_size` long.
            timeout: Seconds to wait at most; None for ever.

        Raises:
            TimeoutError: There was no room.
            Closed: The channel or this handle was closed.
            TypeError: Not a buffer.
            ValueError: Too long, or a buffer with gaps.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel(bytes, capacity=4, mode="spsc")
            >>> tx, rx = ch.producer(), ch.consumer()
            >>> tx.send(b"some")
            >>> tx.send(bytearray(70), timeout=1.5)
            >>> rx.receive(), len(rx.receive())
            (b'some', 70)
        """

    def try_send(self, message: Bytes, /) -> bool:
        """Send one message if there is room, and tell whether; never waits.

        Args:
            message: As for `send`.

        Returns:
            False if there is no room for it.

        Raises:
            Closed: The channel or this handle was closed.
            TypeError: Not a buffer.
            ValueError: Too long, or a buffer with gaps.

        Example:
            >>> import bchan
            >>> tx = bchan.Channel(bytes, capacity=2, mode="spsc").producer()
            >>> tx.try_send(b"one slot"), tx.try_send(bytes(65)), tx.try_send(b"another")
            (True, False, True)
        """

    def send_batch(self, batch: Iterable[Bytes], /, timeout: float | None = None) -> None:
        """Send all messages of an iterable in order, waiting while there is no room.

        Args:
            batch: An iterable of what `send` takes. A list, a tuple or an array is looked through
                before anything is sent.
            timeout: Seconds to wait at most, in all; None for ever.

        Raises:
            TimeoutError: There was no room for too long.
            Closed: The channel or this handle was closed.
            TypeError: Not all are buffers.
            ValueError: Too long, or a buffer with gaps.

        What is raised while sending has the attributes `sent`, how many messages went, and
        `unsent`, a list of those that were drawn and did not go.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel(bytes, capacity=2, mode="spsc")
            >>> tx = ch.producer()
            >>> try:
            ...     tx.send_batch([b"a", b"b", b"c"], timeout=0)
            ... except TimeoutError as late:
            ...     print(late.sent, late.unsent)
            2 [b'c']
        """

    def try_send_batch(self, batch: Iterable[Bytes], /) -> int:
        """Send the first messages of a list, tuple or array that there is room for; never waits.

        Args:
            batch: A list, a tuple or an array of what `send` takes.

        Returns:
            How many went.

        Raises what `send_batch` does, but TimeoutError.

        Example:
            >>> import bchan
            >>> tx = bchan.Channel(bytes, capacity=2, mode="spsc").producer()
            >>> tx.try_send_batch([b"a", b"b", b"c"])
            2
        """

    def _send_ready(self, message: object, /) -> bool:
        """Send one message if that needs no wait, and no pause."""


class Reserving:
    """The calls that write in the ring itself."""

    __slots__ = ()

    def reserve(self, nbytes: int, /, timeout: float | None = None) -> memoryview:
        """Claim room for a message, to be written in place, waiting for it.

        One reservation at a time; it ends with `commit` or `abort`, and its view is read-only after
        that.

        Args:
            nbytes: Bytes wanted, 0 to `max_message_size`.
            timeout: Seconds to wait at most; None for ever.

        Returns:
            Writable memoryview over the ring itself, just nbytes long, with whatever was there
            before.

        Raises:
            TimeoutError: There was no room.
            Closed: The channel or this handle was closed.
            RuntimeError: A reservation is open.
            ValueError: nbytes is beyond `max_message_size`.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel(bytes, capacity=4, mode="spsc")
            >>> tx, rx = ch.producer(), ch.consumer()
            >>> room = tx.reserve(100)
            >>> room[:5] = b"hello"
            >>> tx.commit(5)
            >>> rx.receive()
            b'hello'
        """

    def try_reserve(self, nbytes: int, /) -> memoryview | None:
        """Claim room for a message, to be written in place; never waits.

        Args:
            nbytes: Bytes wanted, 0 to `max_message_size`.

        Returns:
            As `reserve`, or None if there is no room.

        Raises what `reserve` does, but TimeoutError.

        Example:
            >>> import bchan
            >>> tx = bchan.Channel(bytes, capacity=1, mode="spsc").producer()
            >>> tx.send(b"")
            >>> tx.try_reserve(1) is None
            True
        """

    def commit(self, /, n: int | None = None) -> None:
        """Send the first n bytes of the reservation as a message, and ends it.

        Args:
            n: Bytes to send, 0 to the reservation's length; None for all.

        Raises:
            Closed: The channel was closed; nothing is sent.
            RuntimeError: No reservation is open.
            ValueError: n is beyond the reservation.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel(bytes, capacity=4, mode="spsc")
            >>> tx = ch.producer()
            >>> tx.reserve(3)[:] = b"all"
            >>> tx.commit()
            >>> ch.consumer().receive()
            b'all'
        """

    def abort(self, /) -> None:
        """End the reservation and sends nothing.

        Raises:
            RuntimeError: No reservation is open.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel(bytes, capacity=4, mode="spsc")
            >>> tx = ch.producer()
            >>> room = tx.reserve(4)
            >>> tx.abort()
            >>> len(ch)
            0
        """


class Receiving:
    """The calls that receive."""

    __slots__ = ()

    def receive(self, /, timeout: float | None = None) -> bytes:
        """Receive one message, waiting for it.

        Args:
            timeout: Seconds to wait at most; None for ever.

        Returns:
            The message, as bytes.

        Raises:
            EndOfChannel: Nothing more will come.
            TimeoutError: Nothing came.
            Closed: This handle was closed.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel(bytes, capacity=4)
            >>> ch.send(b"any length")
            >>> ch.receive(timeout=1)
            b'any length'
        """

    def try_receive(self, /, default: Any = None) -> Any:
        """Receive one message if there is one; never waits.

        Args:
            default: What to return when the channel is empty.

        Returns:
            The message, as bytes, or the default.

        Raises:
            EndOfChannel: Nothing more will come.
            Closed: This handle was closed.

        Example:
            >>> import bchan
            >>> rx = bchan.Channel(bytes, mode="spsc").consumer()
            >>> rx.try_receive(default="nothing yet")
            'nothing yet'
        """

    def receive_batch(self, n: int, /, timeout: float | None = None) -> list[bytes]:
        """Receive what is there, waiting for the first message.

        Args:
            n: Messages wanted at most, at least 1.
            timeout: Seconds to wait at most; None for ever.

        Returns:
            A new list of bytes, 1 to n long.

        Raises:
            EndOfChannel: Nothing more will come.
            TimeoutError: Nothing came.
            Closed: This handle was closed.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel(bytes, capacity=4)
            >>> ch.send_batch([b"a", b"b", b"c"])
            >>> ch.receive_batch(2)
            [b'a', b'b']
        """

    def try_receive_batch(self, n: int, /) -> list[bytes]:
        """Receive what is there; never waits.

        Args:
            n: Messages wanted at most, at least 1.

        Returns:
            A new list of bytes, 0 to n long.

        Raises:
            EndOfChannel: Nothing more will come.
            Closed: This handle was closed.

        Example:
            >>> import bchan
            >>> bchan.Channel(bytes).try_receive_batch(8)
            []
        """

    def _receive_ready(self, /) -> Any:
        """Receive one message if that needs no wait, and no pause; else `NOTHING`."""


class ReceivingInto:
    """The calls that receive into a buffer."""

    __slots__ = ()

    def receive_into(self, buffer: Bytes, /, timeout: float | None = None) -> int:
        r"""Receive one message into a buffer, waiting for it. Allocates nothing.

        Args:
            buffer: Writable, contiguous buffer with room for the message.
            timeout: Seconds to wait at most; None for ever.

        Returns:
            How many bytes were written to the front of the buffer, the message's length.

        Raises:
            EndOfChannel: Nothing more will come.
            TimeoutError: Nothing came.
            Closed: This handle was closed.
            TypeError: Not a buffer.
            ValueError: A buffer that is read-only or has gaps; or that is too small, and then the
                message stays.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel(bytes, capacity=4)
            >>> ch.send(b"hello")
            >>> buffer = bytearray(8)
            >>> ch.receive_into(buffer), buffer
            (5, bytearray(b'hello\x00\x00\x00'))
        """

    def try_receive_into(self, buffer: Bytes, /) -> int | None:
        """Receive one message into a buffer if there is one; never waits, and allocates nothing.

        Args:
            buffer: As for `receive_into`.

        Returns:
            The message's length; None when the channel is empty.

        Raises what `receive_into` does, but TimeoutError.

        Example:
            >>> import bchan
            >>> bchan.Channel(bytes).try_receive_into(bytearray(8)) is None
            True
        """


class Peeking:
    """The calls that read in the ring itself."""

    __slots__ = ()

    def peek(self, /, timeout: float | None = None) -> memoryview:
        """Show the next message where it is, waiting for it. It stays until released.

        One view at a time; it ends with `release`. After that its slots are written again, so don't
        read a view that was released: it shows other messages, though it can't crash.

        Args:
            timeout: Seconds to wait at most; None for ever.

        Returns:
            Read-only memoryview over the ring itself, as long as the message.

        Raises:
            EndOfChannel: Nothing more will come.
            TimeoutError: Nothing came.
            Closed: This handle was closed.
            RuntimeError: A view is open.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel(bytes, capacity=4, mode="spsc")
            >>> tx, rx = ch.producer(), ch.consumer()
            >>> tx.send(b"look")
            >>> view = rx.peek()
            >>> len(view), bytes(view[1:3])
            (4, b'oo')
            >>> rx.release()
        """

    def try_peek(self, /) -> memoryview | None:
        """Show the next message where it is; never waits.

        Returns:
            As `peek`, or None when the channel is empty.

        Raises:
            EndOfChannel: Nothing more will come.
            Closed: This handle was closed.
            RuntimeError: A view is open.

        Example:
            >>> import bchan
            >>> bchan.Channel(bytes, mode="spsc").consumer().try_peek() is None
            True
        """

    def release(self, /, n: int | None = None) -> None:
        """End the view of `peek` and takes its message off the channel.

        Args:
            n: Messages that are done with: 1, or 0 to leave it; then it comes again. None is 1.

        Raises:
            RuntimeError: No view is open.
            ValueError: n is beyond 1.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel(bytes, capacity=4, mode="spsc")
            >>> tx, rx = ch.producer(), ch.consumer()
            >>> tx.send(b"again")
            >>> bytes(rx.peek())
            b'again'
            >>> rx.release(0)
            >>> rx.receive()
            b'again'
        """
