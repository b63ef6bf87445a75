"""The calls of `queues.Queue` and `queues.SimpleQueue`."""

from types import GenericAlias
from typing import TYPE_CHECKING, Generic, TypeVar

T = TypeVar("T")


class Passing(Generic[T]):
    """The calls of a queue."""

    __slots__ = ()

    if not TYPE_CHECKING:
        # As in the standard library: `Queue[int]` is an alias of the class.
        __class_getitem__ = classmethod(GenericAlias)

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Put an item into the queue, waiting while it is full.

        Args:
            item: Any object.
            block: Whether to wait.
            timeout: Seconds to wait at most; None for ever.

        Raises:
            Full: It stayed full.
            ShutDown: The queue was shut down.
            ValueError: A negative timeout.

        Example:
            >>> import bchan
            >>> q = bchan.Queue(maxsize=1)
            >>> q.put("a")
            >>> q.put("b", timeout=0.01)
            Traceback (most recent call last):
            ...
            queue.Full
        """

    def put_nowait(self, item: T, /) -> None:
        """Put an item into the queue; never waits.

        Raises:
            Full: It is full.
            ShutDown: The queue was shut down.

        Example:
            >>> import bchan
            >>> q = bchan.Queue()
            >>> q.put_nowait("a")
            >>> q.qsize()
            1
        """

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Get the next item, waiting for it.

        Args:
            block: Whether to wait.
            timeout: Seconds to wait at most; None for ever.

        Raises:
            Empty: Nothing came.
            ShutDown: The queue was shut down and is empty.
            ValueError: A negative timeout.

        Example:
            >>> import bchan
            >>> q = bchan.Queue()
            >>> q.put("a")
            >>> q.get()
            'a'
        """

    def get_nowait(self, /) -> T:
        """Get the next item; never waits.

        Raises:
            Empty: There is none.
            ShutDown: The queue was shut down and is empty.

        Example:
            >>> import bchan
            >>> bchan.Queue().get_nowait()
            Traceback (most recent call last):
            ...
            _queue.Empty
        """
