"""The calls of channels of objects between processes, and of their handles."""

from collections.abc import Iterable
from typing import Any

from bchan._types import Array


class Sending:
    """The calls that send."""

    __slots__ = ()

    def send(self, item: object, /, timeout: float | None = None) -> None:
        """Send one object, waiting while there is no room.

        It is pickled first: what can't be raises here, and nothing is sent.

        Args:
            item: What `pickle` takes, at most `max_message_size` long once pickled.
            timeout: Seconds to wait at most; None for ever.

        Raises:
            TimeoutError: There was no room.
            Closed: The channel or this handle was closed.
            ValueError: Too long.
            PicklingError, TypeError, ...: What pickling it raised.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel(shared=True, mode="spsc")
            >>> tx, rx = ch.producer(), ch.consumer()
            >>> tx.send({"any": "object"})
            >>> tx.send(lambda: 0)
            Traceback (most recent call last):
            ...
            _pickle.PicklingError: Can't pickle <function <lambda> at ...>: ...
            >>> rx.receive()
            {'any': 'object'}
        """

    def try_send(self, item: object, /) -> bool:
        """Send one object if there is room, and tell whether; never waits.

        Args:
            item: As for `send`.

        Returns:
            False if there is no room for it.

        Raises what `send` does, but TimeoutError.

        Example:
            >>> import bchan
            >>> tx = bchan.Channel(shared=True, capacity=1, mode="spsc").producer()
            >>> tx.try_send("one slot"), tx.try_send("another")
            (True, False)
        """

    def send_batch(self, batch: Iterable[object], /, timeout: float | None = None) -> None:
        """Send all objects of an iterable in order, waiting while there is no room.

        The objects of a list, a tuple or an array are all pickled before the first is sent, up to
        255 together, which is far faster than one by one. What occurs twice in those may arrive as
        one object, twice.

        Args:
            batch: Iterable of what `send` takes, of any length.
            timeout: Seconds to wait at most, in all; None for ever.

        Raises what `send` does. What is raised has the attributes `sent`, how many objects went,
        and `unsent`, a list of those that were drawn and did not go.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel(shared=True)
            >>> ch.send_batch([1, "two", 3.0])
            >>> ch.receive_batch(8)
            [1, 'two', 3.0]
        """

    def try_send_batch(self, batch: list[Any] | tuple[Any, ...] | Array[Any], /) -> int:
        """Send the first objects of a list, tuple or array that there is room for; never waits.

        Args:
            batch: A list, a tuple or an array of what `send` takes.

        Returns:
            How many went.

        Raises what `send` does, but TimeoutError.

        Example:
            >>> import bchan
            >>> tx = bchan.Channel(shared=True, mode="spsc").producer()
            >>> tx.try_send_batch(["a", "b"])
            2
        """

    def _send_ready(self, item: object, /) -> bool:
        """Send one message if that needs no wait, and no pause."""


class Receiving:
    """The calls that receive."""

    __slots__ = ()

    def receive(self, /, timeout: float | None = None) -> Any:
        """Receive one object, waiting for it.

        Unpickling can run any code chosen by a process that can write to the channel's memory. If
        it raises, the object is gone.

        Args:
            timeout: Seconds to wait at most; None for ever.

        Returns:
            A new object; arrays in it can be written to.

        Raises:
            EndOfChannel: Nothing more will come.
            TimeoutError: Nothing came.
            Closed: This handle was closed.
            ValueError: What came is no message.
            Exception: What unpickling it raised.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel(shared=True)
            >>> ch.send(("any", "object"))
            >>> ch.receive(timeout=1)
            ('any', 'object')
        """

    def try_receive(self, /, default: Any = None) -> Any:
        """Receive one object if there is one; never waits.

        Args:
            default: What to return when the channel is empty.

        Returns:
            As `receive`, or the default.

        Raises what `receive` does, but TimeoutError.

        Example:
            >>> import bchan
            >>> rx = bchan.Channel(shared=True, mode="spsc").consumer()
            >>> rx.try_receive(default="nothing yet")
            'nothing yet'
        """

    def receive_batch(self, n: int, /, timeout: float | None = None) -> list[Any]:
        """Receive what is there, waiting for the first object.

        Args:
            n: Objects wanted at most, at least 1.
            timeout: Seconds to wait at most; None for ever.

        Returns:
            A new list, 1 to n long.

        Raises what `receive` does. What unpickling raises has an attribute `received`, a list of
        the objects before.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel(shared=True)
            >>> ch.send_batch([1, 2, 3])
            >>> ch.receive_batch(2)
            [1, 2]
        """

    def try_receive_batch(self, n: int, /) -> list[Any]:
        """Receive what is there; never waits.

        Args:
            n: Objects wanted at most, at least 1.

        Returns:
            A new list, 0 to n long.

        Raises what `receive_batch` does, but TimeoutError.

        Example:
            >>> import bchan
            >>> bchan.Channel(shared=True).try_receive_batch(8)
            []
        """

    def _receive_ready(self, /) -> Any:
        """Receive one message if that needs no wait, and no pause; else `NOTHING`."""
