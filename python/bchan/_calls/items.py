"""The calls of channels of items, and of their handles."""

from collections.abc import Iterable
from typing import Any

import numpy.typing as npt

from bchan._types import Array


class Sending:
    """The calls that send."""

    __slots__ = ()

    def send(self, item: object, /, timeout: float | None = None) -> None:
        """Send one item, waiting while the ring is full.

        Args:
            item: What the channel's dtype can hold.
            timeout: Seconds to wait at most; None for ever.

        Raises:
            TimeoutError: The ring stayed full.
            Closed: The channel or this handle was closed.
            TypeError, OverflowError: The dtype can't hold the item.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel("u1", capacity=2, mode="spsc")
            >>> tx, rx = ch.producer(), ch.consumer()
            >>> tx.send(7)
            >>> tx.send(8, timeout=1.5)
            >>> rx.receive(), rx.receive()
            (7, 8)
        """

    def try_send(self, item: object, /) -> bool:
        """Send one item if there is space, and tell whether; never waits.

        Args:
            item: What the channel's dtype can hold.

        Returns:
            False if the ring is full.

        Raises:
            Closed: The channel or this handle was closed.
            TypeError, OverflowError: The dtype can't hold the item.

        Example:
            >>> import bchan
            >>> tx = bchan.Channel("u1", capacity=1, mode="spsc").producer()
            >>> tx.try_send(7), tx.try_send(8)
            (True, False)
        """

    def send_batch(
        self, batch: npt.ArrayLike | Iterable[object], /, timeout: float | None = None
    ) -> None:
        """Send all items of a batch in order, waiting while the ring is full.

        Args:
            batch: One-dimensional array of the channel's dtype, or an iterable of items; of any
                length.
            timeout: Seconds to wait at most, in all; None for ever.

        Raises:
            TimeoutError: The ring was full for too long.
            Closed: The channel or this handle was closed.
            TypeError: Another dtype.
            ValueError: More than one dimension.

        An exception raised while sending has an attribute `sent`: how many items were sent.

        Example:
            >>> import bchan, numpy as np
            >>> ch = bchan.Channel(np.uint64, capacity=4, mode="spsc")
            >>> tx = ch.producer()
            >>> tx.send_batch(np.arange(3, dtype=np.uint64))
            >>> try:
            ...     tx.send_batch([3, 4, 5], timeout=0)
            ... except TimeoutError as late:
            ...     print(late.sent)
            1
        """

    def try_send_batch(self, batch: npt.ArrayLike | Iterable[object], /) -> int:
        """Send the first items of a batch, as many as there is space for; never waits.

        Args:
            batch: As for `send_batch`.

        Returns:
            How many items were sent.

        Raises:
            Closed: The channel or this handle was closed.
            TypeError: Another dtype.
            ValueError: More than one dimension.

        Example:
            >>> import bchan
            >>> tx = bchan.Channel("u1", capacity=2, mode="spsc").producer()
            >>> tx.try_send_batch([7, 8, 9])
            2
        """

    def _send_ready(self, item: object, /) -> bool:
        """Send one message if that needs no wait, and no pause."""


class Reserving:
    """The calls that write in the ring itself."""

    __slots__ = ()

    def reserve(self, n: int, /, timeout: float | None = None) -> Array[Any]:
        """Claim free slots to write in place, waiting for the first.

        One reservation at a time; it ends with `commit` or `abort`, and its view is read-only after
        that.

        Args:
            n: Slots wanted, at least 1.
            timeout: Seconds to wait at most; None for ever.

        Returns:
            Writable one-dimensional array over the ring itself, 1 to n long, with arbitrary
            contents.

        Raises:
            TimeoutError: The ring stayed full.
            Closed: The channel or this handle was closed.
            RuntimeError: A reservation is open.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel("f8", capacity=4, mode="spsc")
            >>> tx, rx = ch.producer(), ch.consumer()
            >>> slots = tx.reserve(3)
            >>> slots[:] = [0.5, 1.5, 2.5]
            >>> tx.commit(2)
            >>> rx.receive_batch(3)
            array([0.5, 1.5])
        """

    def try_reserve(self, n: int, /) -> Array[Any] | None:
        """Claim free slots to write in place; never waits.

        Args:
            n: Slots wanted, at least 1.

        Returns:
            As `reserve`, or None if this producer's ring is full.

        Raises:
            Closed: The channel or this handle was closed.
            RuntimeError: A reservation is open.

        Example:
            >>> import bchan
            >>> tx = bchan.Channel("f8", capacity=1, mode="spsc").producer()
            >>> tx.send(0.5)
            >>> tx.try_reserve(1) is None
            True
        """

    def commit(self, /, n: int | None = None) -> None:
        """Send the first n slots of the reservation, and end it.

        Args:
            n: Slots to send, 0 to the reservation's length; None for all.

        Raises:
            Closed: The channel was closed; nothing is sent.
            RuntimeError: No reservation is open.
            ValueError: n is beyond the reservation.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel("f8", capacity=4, mode="spsc")
            >>> tx = ch.producer()
            >>> tx.reserve(4)[0] = 0.5
            >>> tx.commit(1)
            >>> len(ch)
            1
        """

    def abort(self, /) -> None:
        """End the reservation and send nothing.

        Raises:
            RuntimeError: No reservation is open.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel("f8", capacity=4, mode="spsc")
            >>> tx = ch.producer()
            >>> slots = tx.reserve(4)
            >>> tx.abort()
            >>> len(ch)
            0
        """


class Receiving:
    """The calls that receive."""

    __slots__ = ()

    def receive(self, /, timeout: float | None = None) -> Any:
        """Receive one message, waiting for it.

        Args:
            timeout: Seconds to wait at most; None for ever.

        Returns:
            An int, float or bool for those dtypes, a NumPy scalar for any other (a copy).

        Raises:
            EndOfChannel: Nothing more will come.
            TimeoutError: Nothing came.
            Closed: This handle was closed.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel("i4", capacity=4, mode="spsc")
            >>> rx = ch.consumer()
            >>> with ch.producer() as tx:
            ...     tx.send(-5)
            >>> rx.receive(timeout=1)
            -5
            >>> rx.receive()
            Traceback (most recent call last):
            ...
            bchan.EndOfChannel: nothing more will come: all producers are closed and all is received
        """

    def try_receive(self, /, default: Any = None) -> Any:
        """Receive one message if there is one; never waits.

        Args:
            default: What to return when the channel is empty.

        Returns:
            As `receive`, or the default.

        Raises:
            EndOfChannel: Nothing more will come.
            Closed: This handle was closed.

        Example:
            >>> import bchan
            >>> rx = bchan.Channel("i4", capacity=4, mode="spsc").consumer()
            >>> rx.try_receive(default=-1)
            -1
        """

    def receive_batch(self, n: int, /, timeout: float | None = None) -> Any:
        """Receive what is there, waiting for the first message.

        Args:
            n: Messages wanted at most, at least 1.
            timeout: Seconds to wait at most; None for ever.

        Returns:
            A new one-dimensional array, 1 to n long.

        Raises:
            EndOfChannel: Nothing more will come.
            TimeoutError: Nothing came.
            Closed: This handle was closed.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel("i4", capacity=4, mode="spsc")
            >>> tx, rx = ch.producer(), ch.consumer()
            >>> tx.send_batch([1, 2, 3])
            >>> rx.receive_batch(2)
            array([1, 2], dtype=int32)
        """

    def try_receive_batch(self, n: int, /) -> Any:
        """Receive what is there; never waits.

        Args:
            n: Messages wanted at most, at least 1.

        Returns:
            A new one-dimensional array, 0 to n long.

        Raises:
            EndOfChannel: Nothing more will come.
            Closed: This handle was closed.

        Example:
            >>> import bchan
            >>> rx = bchan.Channel("i4", capacity=4, mode="spsc").consumer()
            >>> len(rx.try_receive_batch(8))
            0
        """

    def _receive_ready(self, /) -> Any:
        """Receive one message if that needs no wait, and no pause; else `NOTHING`."""


class ReceivingInto:
    """The calls that receive into a buffer."""

    __slots__ = ()

    def receive_into(self, buffer: Array[Any], /, timeout: float | None = None) -> int:
        """Receive into an array what is there, waiting for the first message. Allocates nothing.

        Args:
            buffer: Writable, contiguous, one-dimensional array of the channel's dtype, at least 1
                long.
            timeout: Seconds to wait at most; None for ever.

        Returns:
            How many messages were written to the front of the buffer, at least 1.

        Raises:
            EndOfChannel: Nothing more will come.
            TimeoutError: Nothing came.
            Closed: This handle was closed.
            TypeError: Another dtype, or no array.
            ValueError: A buffer that is empty, read-only, not contiguous, or of more than one
                dimension.

        Example:
            >>> import bchan, numpy as np
            >>> ch = bchan.Channel(np.int32, capacity=4, mode="spsc")
            >>> tx, rx = ch.producer(), ch.consumer()
            >>> tx.send_batch([1, 2, 3])
            >>> buffer = np.zeros(4, dtype=np.int32)
            >>> rx.receive_into(buffer), buffer.tolist()
            (3, [1, 2, 3, 0])
        """

    def try_receive_into(self, buffer: Array[Any], /) -> int:
        """Receive into an array what is there; never waits, and allocates nothing.

        Args:
            buffer: As for `receive_into`.

        Returns:
            How many messages were written to the front of the buffer; 0 when the channel is empty.

        Raises:
            As `receive_into`, but TimeoutError.

        Example:
            >>> import bchan, numpy as np
            >>> rx = bchan.Channel(np.int32, capacity=4, mode="spsc").consumer()
            >>> rx.try_receive_into(np.zeros(4, dtype=np.int32))
            0
        """


class Peeking:
    """The calls that read in the ring itself."""

    __slots__ = ()

    def peek(self, n: int, /, timeout: float | None = None) -> Array[Any]:
        """Show messages where they are, waiting for the first. They stay until released.

        One view at a time; it ends with `release`. After that its slots are written again by the
        producer, so don't read a view that was released: it shows other messages, though it can't
        crash.

        Args:
            n: Messages wanted at most, at least 1.
            timeout: Seconds to wait at most; None for ever.

        Returns:
            Read-only one-dimensional array over the ring itself, 1 to n long.

        Raises:
            EndOfChannel: Nothing more will come.
            TimeoutError: Nothing came.
            Closed: This handle was closed.
            RuntimeError: A view is open.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel("i4", capacity=4, mode="spsc")
            >>> tx, rx = ch.producer(), ch.consumer()
            >>> tx.send_batch([1, 2, 3])
            >>> view = rx.peek(8)
            >>> int(view.sum())
            6
            >>> rx.release(len(view))
        """

    def try_peek(self, n: int, /) -> Array[Any] | None:
        """Show messages where they are; never waits.

        Args:
            n: Messages wanted at most, at least 1.

        Returns:
            As `peek`, or None when the channel is empty.

        Raises:
            EndOfChannel: Nothing more will come.
            Closed: This handle was closed.
            RuntimeError: A view is open.

        Example:
            >>> import bchan
            >>> rx = bchan.Channel("i4", capacity=4, mode="spsc").consumer()
            >>> rx.try_peek(8) is None
            True
        """

    def release(self, /, n: int | None = None) -> None:
        """End the view of `peek` and gives the slots of its first n messages back.

        The others stay in the channel and come again.

        Args:
            n: Messages that are done with, 0 to the view's length; None for all.

        Raises:
            RuntimeError: No view is open.
            ValueError: n is beyond the view.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel("i4", capacity=4, mode="spsc")
            >>> tx, rx = ch.producer(), ch.consumer()
            >>> tx.send_batch([1, 2, 3])
            >>> rx.peek(3).tolist()
            [1, 2, 3]
            >>> rx.release(1)
            >>> rx.receive()
            2
        """
