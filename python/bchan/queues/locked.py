"""Queues under a lock: the last item first, or the smallest.

These are the standard library's classes, with the `shutdown` that it has had since Python 3.13. All
Pythons run the same code, so the tests that 3.13 ships for `shutdown` check what 3.11 runs.
"""

from collections.abc import Callable
from threading import Condition
from typing import TYPE_CHECKING, TypeVar

from bchan.queues.errors import Empty, Full, ShutDown
from bchan.queues.home import Home
from bchan.queues.standard import standard_queue

if TYPE_CHECKING:
    import queue

    from _typeshed import SupportsRichComparison
else:
    queue = standard_queue()

T = TypeVar("T")
Ranked = TypeVar("Ranked", bound="SupportsRichComparison")
NEGATIVE_TIMEOUT = "'timeout' must be a non-negative number"


class LockedQueue(queue.Queue[T]):
    """The standard library's `Queue`, with `shutdown`, and for the process that made it alone."""

    is_shutdown: bool = False
    """Whether `shutdown` was called. Written under `mutex`."""

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self._home = Home("queue")

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Put an item into the queue, waiting for space.

        Args:
            item: The item.
            block: Whether to wait if the queue is full.
            timeout: Seconds to wait at most; None for ever.

        Raises:
            Full: There was no space, or none within the time.
            ShutDown: The queue was shut down, before the call or while it waited.
            ValueError: A negative timeout.

        Example:
            >>> import bchan
            >>> q = bchan.LifoQueue(maxsize=1)
            >>> q.put("a")
            >>> q.put("b", timeout=0.01)
            Traceback (most recent call last):
            ...
            queue.Full
        """
        self._home.check()
        with self.not_full:
            if self.is_shutdown:
                raise ShutDown
            if self.maxsize > 0:
                if block and timeout is not None and timeout < 0:
                    raise ValueError(NEGATIVE_TIMEOUT)
                if self._qsize() >= self.maxsize:
                    self._wait_until(self._has_space, self.not_full, block, timeout, late=Full)
            self._put(item)
            self.unfinished_tasks += 1
            self.not_empty.notify()

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Take the next item out of the queue, waiting for one.

        Args:
            block: Whether to wait if the queue is empty.
            timeout: Seconds to wait at most; None for ever.

        Returns:
            The item.

        Raises:
            Empty: There was no item, or none within the time.
            ShutDown: The queue was shut down, before the call or while it waited, and is empty.
            ValueError: A negative timeout.

        Example:
            >>> import bchan
            >>> q = bchan.LifoQueue()
            >>> q.put("a")
            >>> q.get()
            'a'
        """
        self._home.check()
        with self.not_empty:
            if self.is_shutdown and not self._qsize():
                raise ShutDown
            if block and timeout is not None and timeout < 0:
                raise ValueError(NEGATIVE_TIMEOUT)
            if not self._qsize():
                self._wait_until(self._qsize, self.not_empty, block, timeout, late=Empty)
            item = self._get()
            self.not_full.notify()
            return item

    def shutdown(self, immediate: bool = False) -> None:
        """Shut the queue down: from now on `put` raises ShutDown, and so does `get` once empty.

        All that wait in `put`, and all that wait in `get`, are woken.

        Args:
            immediate: Whether to drop what is in the queue, so that `get` raises at once. Each item
                dropped counts as done, which may end a `join`.

        Example:
            >>> import bchan
            >>> q = bchan.LifoQueue()
            >>> q.put("a")
            >>> q.shutdown()
            >>> q.get()
            'a'
            >>> q.is_shutdown
            True
        """
        self._home.check()
        with self.mutex:
            self.is_shutdown = True
            if immediate:
                self._drop_all()
            self.not_empty.notify_all()
            self.not_full.notify_all()

    def qsize(self) -> int:
        """Tell how many items there are; another thread may change that at once."""
        self._home.check()
        return super().qsize()

    def empty(self) -> bool:
        """Tell whether there is nothing in the queue; another thread may change that at once."""
        self._home.check()
        return super().empty()

    def full(self) -> bool:
        """Tell whether the queue has reached its limit; another thread may change that at once."""
        self._home.check()
        return super().full()

    def task_done(self) -> None:
        """Report an item that was got as done.

        Raises:
            ValueError: All items that were put are done already.
        """
        self._home.check()
        super().task_done()

    def join(self) -> None:
        """Wait until every item that was put is reported done."""
        self._home.check()
        super().join()

    def _has_space(self) -> bool:
        """Whether an item may be put into a bounded queue. Called with the lock held."""
        return not self.is_shutdown and self._qsize() < self.maxsize

    def _wait_until(
        self,
        ready: Callable[[], object],
        condition: Condition,
        block: bool,
        timeout: float | None,
        late: type[Exception],
    ) -> None:
        """Return once ready, or raise. Called with the lock held, and woken by the condition."""
        if block:
            condition.wait_for(lambda: ready() or self.is_shutdown, timeout)
        if not ready():
            raise ShutDown if self.is_shutdown else late

    def _drop_all(self) -> None:
        """Drop what is in the queue, as done. Called with the lock held."""
        while self._qsize():
            self._get()
            # An item may have been called done before it was taken out.
            self.unfinished_tasks = max(0, self.unfinished_tasks - 1)
        self.all_tasks_done.notify_all()


class LifoQueue(LockedQueue[T], queue.LifoQueue[T]):
    """A queue whose last item comes out first: a drop-in for `queue.LifoQueue`.

    Args:
        maxsize: Items that it holds at most; 0 or less for any number.

    Example:
        >>> import bchan
        >>> q = bchan.LifoQueue()
        >>> for word in ("one", "two", "three"):
        ...     q.put(word)
        >>> q.get()
        'three'
    """


class PriorityQueue(LockedQueue[Ranked], queue.PriorityQueue[Ranked]):
    """A queue whose smallest item comes out first: a drop-in for `queue.PriorityQueue`.

    Items are compared with `<`; tuples such as `(priority, number, data)` are usual. Items of equal
    rank come out in any order.

    Args:
        maxsize: Items that it holds at most; 0 or less for any number.

    Example:
        >>> import bchan
        >>> q = bchan.PriorityQueue()
        >>> for word in ("one", "two", "three"):
        ...     q.put(word)
        >>> q.get()
        'one'
    """
