"""Waiting in line: tasks, and threads that wait by an eventfd, until an operation is done.

First come, first served: a task that is woken does its operation first and leaves the line after
that. Woken in vain, because a newcomer was faster, it waits on at its old place.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from bchan._alarms import LentAlarm, checkpoint
from bchan._core import NOTHING, hurry


class Operation(Protocol):
    """What is waited for."""

    @property
    def who(self) -> Any: ...
    def arm(self, fd: int) -> bool:
        """Have an eventfd written in turn, or say that there is no need to wait."""

    def disarm(self, fd: int) -> None:
        """Leave the line, and let the next one go on with what is left."""


class _SharedHandle(Protocol):
    """A handle, which several may wait with."""

    def _must_look(self) -> bool: ...


_lock = threading.RLock()
_alarms: Final[dict[int, list[int]]] = {}
"""For each handle that tasks wait with, by its id, their alarms, oldest first."""


def _begin_anew() -> None:
    """In the child of a fork: the alarms are the parent's, and a lost thread may have the lock."""
    global _lock
    _lock = threading.RLock()
    _alarms.clear()


os.register_at_fork(after_in_child=_begin_anew)


def wake_all(handle: object) -> None:
    """Wake all tasks that wait with a handle: it was closed."""
    with _lock:
        for fd in _alarms.get(id(handle), ()):
            os.eventfd_write(fd, 1)


class _Place:
    """The place of an alarm in the lines of all its operations."""

    def __init__(self, operations: Sequence[Operation], fd: int) -> None:
        self._operations, self._fd = operations, fd
        # A channel itself wakes the next one. A handle announces no messages that it keeps.
        self._handles = {id(it.who): it.who for it in operations if hasattr(it.who, "_must_look")}
        with _lock:
            for handle in self._handles:
                _alarms.setdefault(handle, []).append(fd)

    def arm(self) -> bool:
        """Have all channels write the alarm, unless an operation is ready now: then true."""
        return any(operation.arm(self._fd) for operation in self._operations)

    def leave(self, _: int = -1) -> None:
        """Leave all lines; leaving twice is harmless."""
        operations, self._operations = self._operations, ()
        for operation in operations:
            operation.disarm(self._fd)
        while self._handles:
            self._leave(*self._handles.popitem())

    def _leave(self, key: int, handle: _SharedHandle) -> None:
        with _lock:
            # In the child of a fork there is no other task.
            others = _alarms.get(key, [])
            if self._fd in others:
                others.remove(self._fd)
            if not others:
                _alarms.pop(key, None)
        if others and handle._must_look():
            with _lock:
                for fd in others[:1]:
                    os.eventfd_write(fd, 1)


@contextmanager
def in_line(operations: Sequence[Operation], fd: int) -> Iterator[_Place]:
    """Wait for the operations with an eventfd, until the block is left."""
    place = _Place(operations, fd)
    try:
        yield place
    finally:
        place.leave()


async def do_in_turn(
    operations: Sequence[Operation],
    attempt: Callable[[], Any],
    seconds: Callable[[], float | None] = lambda: None,
) -> Any:
    """Wait in an event loop, in line, until `attempt` does something, and give what it gives.

    Args:
        operations: What it may do.
        attempt: Does one of them, if it can now; otherwise it gives `NOTHING`.
        seconds: How long until an attempt is due in any case; None for never.
    """
    with LentAlarm() as bell, in_line(operations, bell.fd) as place:
        bell.disarm = place.leave
        try:
            while True:
                is_ready = place.arm()
                if not is_ready:
                    await bell.wait(seconds())
                done = attempt()
                if done is not NOTHING:
                    return done
                hurry()
                if is_ready:
                    await checkpoint()
        finally:
            bell.disarm = None
