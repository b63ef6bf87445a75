"""A drop-in for the queue of asyncio.

For messages between threads and event loops, or between loops, use a `bchan.Channel`: its `asend`
and `areceive` work on any side. This queue stays in one loop, as its model does.

Example:
    >>> import asyncio
    >>> from bchan.asyncio import Queue
    >>> async def main():
    ...     queue = Queue(maxsize=2)
    ...     await queue.put("a")
    ...     queue.shutdown()
    ...     return await queue.get()
    >>> asyncio.run(main())
    'a'
"""

import asyncio
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from bchan.queues.home import Home

if sys.version_info >= (3, 13):
    from asyncio import QueueShutDown
else:

    class QueueShutDown(Exception):  # noqa: N818
        """The queue was shut down."""


__all__ = ["Queue", "QueueShutDown"]

T = TypeVar("T")
_Waiters = deque[asyncio.Future[None]]


class Queue(asyncio.Queue[T]):
    """Drop-in for `asyncio.Queue`, with `shutdown` on every Python.

    In the child of a fork it refuses to work, with a `RuntimeError`.

    Args:
        maxsize: Items that may be in the queue at once; 0 or less for any number.
    """

    if TYPE_CHECKING:
        _getters: _Waiters
        _putters: _Waiters
        _unfinished_tasks: int
        _finished: asyncio.Event

        def _get_loop(self) -> asyncio.AbstractEventLoop: ...
        def _wakeup_next(self, waiters: _Waiters) -> None: ...
        def _format(self) -> str: ...

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self._is_shutdown = False
        self._home = Home("queue")

    async def put(self, item: T) -> None:
        """Put an item into the queue, waiting while it is full.

        Raises:
            QueueShutDown: The queue was shut down.
        """
        while self.full() and not self._is_shutdown:
            await self._wait(self._putters, lambda: not self.full())
        self.put_nowait(item)

    def put_nowait(self, item: T) -> None:
        """Put an item into the queue; never wait.

        Raises:
            QueueFull: It is full.
            QueueShutDown: The queue was shut down.
        """
        self._home.check()
        if self._is_shutdown:
            raise QueueShutDown
        if self.full():
            raise asyncio.QueueFull
        self._put(item)
        self._unfinished_tasks += 1
        if self._unfinished_tasks == 1:
            self._finished.clear()
        if self._getters:
            self._wakeup_next(self._getters)

    async def get(self) -> T:
        """Get the next item, waiting for it.

        Raises:
            QueueShutDown: The queue was shut down and is empty.
        """
        while self.empty() and not self._is_shutdown:
            await self._wait(self._getters, lambda: not self.empty())
        return self.get_nowait()

    def get_nowait(self) -> T:
        """Get the next item; never wait.

        Raises:
            QueueEmpty: There is none.
            QueueShutDown: The queue was shut down and is empty.
        """
        if self.empty():
            raise QueueShutDown if self._is_shutdown else asyncio.QueueEmpty
        item: T = self._get()
        if self._putters:
            self._wakeup_next(self._putters)
        return item

    async def _wait(self, waiters: _Waiters, is_ready: Any) -> None:
        """Wait for a turn; a task that is cancelled in its turn wakes the next."""
        waiter = self._get_loop().create_future()
        waiters.append(waiter)
        try:
            await waiter
        except BaseException:
            waiter.cancel()
            if waiter in waiters:
                waiters.remove(waiter)
            if is_ready() and not waiter.cancelled():
                self._wakeup_next(waiters)
            raise

    def shutdown(self, immediate: bool = False) -> None:
        """Refuse items from now on, and end the waiting: `put` and `get` raise `QueueShutDown`.

        Args:
            immediate: Take away what is in the queue, and count it as done; otherwise `get` gives
                it out first.
        """
        self._home.check()
        self._is_shutdown = True
        if immediate:
            while not self.empty():
                self._get()
                self._unfinished_tasks -= self._unfinished_tasks > 0
            if self._unfinished_tasks == 0:
                self._finished.set()
        for waiters in (self._getters, self._putters):
            while waiters:
                self._wakeup_next(waiters)

    def qsize(self) -> int:
        """Tell how many items there are."""
        self._home.check()
        return super().qsize()

    def empty(self) -> bool:
        """Tell whether there is nothing in the queue."""
        self._home.check()
        return super().empty()

    def full(self) -> bool:
        """Tell whether the queue has reached its limit."""
        self._home.check()
        return super().full()

    def task_done(self) -> None:
        """Report an item that was got as done.

        Raises:
            ValueError: All items that were put are done already.
        """
        self._home.check()
        super().task_done()

    async def join(self) -> None:
        """Wait until every item that was put is reported done."""
        self._home.check()
        await super().join()

    if sys.version_info < (3, 13):

        def _format(self) -> str:
            return super()._format() + (" shutdown" if self._is_shutdown else "")
