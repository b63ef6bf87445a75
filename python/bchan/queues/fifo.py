"""The queues of the standard library that are first in, first out, on a ring."""

import threading
from typing import Self, TypeVar

from bchan import _core
from bchan._calls import native
from bchan._calls.queue import Passing

T = TypeVar("T")


@native("items")
class SimpleQueue(Passing[T], _core.Queue[T]):
    """Drop-in for `queue.SimpleQueue`: a queue without limit, and without `join`.

    Example:
        >>> import bchan
        >>> q = bchan.SimpleQueue()
        >>> q.put(1)
        >>> q.get(), q.empty()
        (1, True)
    """

    __slots__ = ()

    def __new__(cls) -> Self:
        """Make a queue."""
        return super().__new__(cls)

    def empty(self) -> bool:
        """Tell whether there is nothing in the queue; another thread may change that at once."""
        return self.qsize() == 0


@native("items")
class Queue(Passing[T], _core.Queue[T]):
    """Drop-in for `queue.Queue`: first in, first out, between any number of threads.

    It runs on the same ring as a `Channel` of objects, and waits as one. A queue without a limit
    has a ring for 65,536 items; what does not fit goes into an overflow until consumers have caught
    up, so nothing is refused, and memory is used for what is in the queue.

    It has no hooks: overriding `_put`, `_get` or `_qsize` has no effect, and there is no `mutex` to
    hold. As every channel it belongs to its process: in the child of a fork it refuses to work.

    Args:
        maxsize: Items that may be in the queue at once, at most 67,108,864; 0 or less for any
            number.

    Raises:
        ValueError: A maxsize beyond the limit.

    Example:
        >>> import bchan, threading
        >>> q = bchan.Queue(maxsize=100)
        >>> def work() -> None:
        ...     while True:
        ...         try:
        ...             q.get()
        ...         except bchan.ShutDown:
        ...             return
        ...         q.task_done()
        >>> worker = threading.Thread(target=work)
        >>> worker.start()
        >>> for n in range(1000):
        ...     q.put(n)
        >>> q.join()
        >>> q.shutdown()
        >>> worker.join()
    """

    __slots__ = ("_all_done",)

    def __init__(self, maxsize: int = 0) -> None:
        del maxsize  # seen by __new__
        self._all_done = threading.Condition()

    def empty(self) -> bool:
        """Tell whether there is nothing in the queue; another thread may change that at once."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Tell whether the queue has reached its limit; another thread may change that at once."""
        size = self.qsize()
        return 0 < self.maxsize <= size

    def task_done(self) -> None:
        """Report an item that was got as done.

        Raises:
            ValueError: All items that were put are done already.
        """
        left = self._task_done()
        if left < 0:
            raise ValueError("task_done() called too many times")
        if left == 0:
            self._say_all_done()

    def join(self) -> None:
        """Wait until every item that was put is reported done.

        Example:
            >>> import bchan
            >>> q = bchan.Queue()
            >>> q.join()
        """
        # The child of a fork is refused here, before a lock that a thread may have had.
        if self.unfinished_tasks:
            with self._all_done:
                while self.unfinished_tasks:
                    self._all_done.wait()

    def shutdown(self, immediate: bool = False) -> None:
        """Refuse items from now on, and end the waiting: `put` and `get` raise `ShutDown`.

        Args:
            immediate: Take away what is in the queue, and count it as done; otherwise `get` gives
                it out first.

        Example:
            >>> import bchan
            >>> q = bchan.Queue()
            >>> q.put(1)
            >>> q.shutdown()
            >>> q.get()
            1
        """
        self._shutdown(immediate)
        if immediate:
            self._say_all_done()

    def _say_all_done(self) -> None:
        with self._all_done:
            self._all_done.notify_all()
