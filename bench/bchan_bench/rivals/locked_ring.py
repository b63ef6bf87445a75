"""A bounded queue as one writes it with a lock: a ring in a list, one lock, two conditions.

It is what bchan is compared with, so it is made as well as it can be in Python: the list is
allocated once, a batch takes the lock once and moves by slices, and nobody is woken who cannot go
on.
"""

import threading
from typing import Any


class LockedRing:
    """A ring for any number of threads.

    Args:
        capacity: Items that it holds, at least 1.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self._slots: list[Any] = [None] * capacity
        self._capacity = capacity
        self._head = 0  # Place of the next item to take; below the capacity.
        self._count = 0
        lock = threading.Lock()
        self._not_empty = threading.Condition(lock)
        self._not_full = threading.Condition(lock)

    def __len__(self) -> int:
        return self._count

    def put(self, item: object) -> None:
        """Put one item, waiting while the ring is full."""
        with self._not_full:
            while self._count == self._capacity:
                self._not_full.wait()
            self._slots[(self._head + self._count) % self._capacity] = item
            self._count += 1
            self._not_empty.notify()

    def get(self) -> Any:
        """Take one item, waiting while there is none."""
        with self._not_empty:
            while not self._count:
                self._not_empty.wait()
            head = self._head
            item, self._slots[head] = self._slots[head], None
            self._head = (head + 1) % self._capacity
            self._count -= 1
            self._not_full.notify()
            return item

    def put_many(self, items: list[Any]) -> None:
        """Put all items, as many at a time as there is room for."""
        done = 0
        with self._not_full:
            while done < len(items):
                while self._count == self._capacity:
                    self._not_full.wait()
                done += self._store(items[done : done + self._capacity - self._count])
                self._not_empty.notify()

    def get_many(self, most: int) -> list[Any]:
        """Take what is there, at least one item and at most so many."""
        with self._not_empty:
            while not self._count:
                self._not_empty.wait()
            items = self._take(min(most, self._count))
            self._not_full.notify()
            if self._count:
                self._not_empty.notify()
            return items

    def _store(self, items: list[Any]) -> int:
        """Write into free slots, in two pieces where they run over the ring's end."""
        tail = (self._head + self._count) % self._capacity
        before_end = min(len(items), self._capacity - tail)
        self._slots[tail : tail + before_end] = items[:before_end]
        self._slots[: len(items) - before_end] = items[before_end:]
        self._count += len(items)
        return len(items)

    def _take(self, n: int) -> list[Any]:
        """Read full slots, and keep nothing in them alive."""
        head = self._head
        before_end = min(n, self._capacity - head)
        items = self._slots[head : head + before_end] + self._slots[: n - before_end]
        self._slots[head : head + before_end] = [None] * before_end
        self._slots[: n - before_end] = [None] * (n - before_end)
        self._head = (head + n) % self._capacity
        self._count -= n
        return items
