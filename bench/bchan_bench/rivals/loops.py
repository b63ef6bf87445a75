"""Contenders into, and inside, an event loop."""

import asyncio
import queue
from importlib import import_module
from typing import Any

from bchan_bench.rivals.rival import AsyncReceive, AsyncSend, Place, Receive, Rival, Send, Shape


class _TwoFaced(Rival):
    """A queue with a face for threads, `sync_q`, and one for tasks, `async_q`."""

    places = frozenset({Place.INTO_LOOP, Place.IN_LOOP})

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        assert self.module is not None
        self._queue: Any = import_module(self.module).Queue(maxsize=shape.capacity)

    def sender(self) -> Send:
        """From a thread."""
        return self._queue.sync_q.put  # type: ignore[no-any-return]

    def receiver(self) -> Receive:
        """In a thread."""
        return self._queue.sync_q.get  # type: ignore[no-any-return]

    def task_sender(self) -> AsyncSend:
        """From a task."""
        return self._queue.async_q.put  # type: ignore[no-any-return]

    def task_receiver(self) -> AsyncReceive:
        """In a task."""
        return self._queue.async_q.get  # type: ignore[no-any-return]


class Culsans(_TwoFaced):
    """Between threads as well."""

    label = "culsans"
    places = frozenset({Place.THREADS, Place.INTO_LOOP, Place.IN_LOOP})
    module = package = "culsans"


class Janus(_TwoFaced):
    """Its threads need the loop."""

    label = "janus"
    module = package = "janus"

    async def aclose(self) -> None:
        """Wait for what it has left in the loop."""
        await self._queue.aclose()


class StandardLoopQueue(Rival):
    """The standard library's, for the tasks of one loop."""

    label = "asyncio.Queue"
    places = frozenset({Place.IN_LOOP})

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self._queue: asyncio.Queue[int] = asyncio.Queue(shape.capacity)

    def task_sender(self) -> AsyncSend:
        """From a task."""
        return self._queue.put

    def task_receiver(self) -> AsyncReceive:
        """In a task."""
        return self._queue.get


class CalledSoon(Rival):
    """What one does without a library: `call_soon_threadsafe` there, a `SimpleQueue` back."""

    label = "asyncio.Queue by call_soon_threadsafe (unbounded)"
    places = frozenset({Place.INTO_LOOP})

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self._loop = asyncio.get_running_loop()
        self._there: asyncio.Queue[int] = asyncio.Queue()
        self._back: queue.SimpleQueue[int] = queue.SimpleQueue()

    def sender(self) -> Send:
        """From a thread."""
        call_soon, put = self._loop.call_soon_threadsafe, self._there.put_nowait

        def send(item: int) -> None:
            call_soon(put, item)

        return send

    def receiver(self) -> Receive:
        """In a thread."""
        return self._back.get

    def task_sender(self) -> AsyncSend:
        """From a task; it never waits."""
        put = self._back.put

        async def send(item: int) -> None:
            put(item)

        return send

    def task_receiver(self) -> AsyncReceive:
        """In a task."""
        return self._there.get
