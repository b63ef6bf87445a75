"""Contenders between threads."""

import queue
import time
from collections import deque
from typing import Any

from bchan_bench.rivals.locked_ring import LockedRing
from bchan_bench.rivals.rival import Place, Receive, Rival, Send, Shape
from bchan_bench.rivals.zeromq import ZeroMQ

_THREADS = frozenset({Place.THREADS})


class StandardQueue(Rival):
    """The standard library's queue: a deque, a lock and three conditions, in Python."""

    label = "queue.Queue"
    places = _THREADS

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self._queue: queue.Queue[int] = queue.Queue(shape.capacity)

    def sender(self) -> Send:
        """One a call."""
        return self._queue.put

    def receiver(self) -> Receive:
        """One a call."""
        return self._queue.get


class SimpleQueue(Rival):
    """The standard library's queue in C."""

    label = "queue.SimpleQueue (unbounded)"
    places = _THREADS

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self._queue: queue.SimpleQueue[int] = queue.SimpleQueue()

    def sender(self) -> Send:
        """One a call."""
        return self._queue.put

    def receiver(self) -> Receive:
        """One a call."""
        return self._queue.get


class Deque(Rival):
    """A deque has no call that waits: the receiver looks again and again, and lets others run."""

    label = "collections.deque (unbounded, append and polled popleft)"
    places = _THREADS

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self._items: deque[int] = deque()

    def sender(self) -> Send:
        """One a call."""
        return self._items.append

    def receiver(self) -> Receive:
        """One a call, polled."""
        popleft, sleep = self._items.popleft, time.sleep

        def receive() -> int:
            while True:
                try:
                    return popleft()
                except IndexError:
                    sleep(0)

        return receive


class LockedRingQueue(Rival):
    """A lock and two conditions around a list, in Python."""

    label = "ring with a lock and conditions"
    places = _THREADS
    batches = "list"

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self._ring = LockedRing(shape.capacity)

    def sender(self) -> Send:
        """One or many a call."""
        return self._ring.put if self.shape.batch == 1 else self._ring.put_many

    def receiver(self) -> Receive:
        """One or many a call."""
        if self.shape.batch == 1:
            return self._ring.get
        get_many, most = self._ring.get_many, self.shape.batch

        def receive() -> list[Any]:
            return get_many(most)

        return receive


class Inproc(ZeroMQ):
    """ZeroMQ between the threads of a process."""

    label = "pyzmq, inproc"
    places = _THREADS

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.context = self.new_context()
        self.address = f"inproc://bchan-bench-{id(self)}"
