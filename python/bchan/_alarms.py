"""Waiting in an event loop: an eventfd that a channel writes, and a task that it wakes.

A task arms an alarm only when there is nothing to do, and the channel writes it once: a busy loop
is left alone, and one wake-up stands for any number of messages. No thread helps.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Protocol
from weakref import WeakKeyDictionary


class Alarm(Protocol):
    """An eventfd that wakes a task."""

    fd: int
    disarm: Callable[[int], object] | None
    """What takes it back while it is armed: it must not be closed before."""

    async def wait(self, timeout: float | None = None) -> None:
        """Wait until it is written, for so many seconds at most, or for no reason."""


class _Eventfd:
    """An eventfd, closed when no task will wait for it: a loop may end before its tasks."""

    fd = -1
    """Of one that could not be made."""
    disarm: Callable[[int], object] | None = None

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def _was_written(self) -> bool:
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            return False
        return True

    def __del__(self) -> None:
        fd, self.fd = self.fd, -1
        if self.disarm is not None:
            self.disarm(fd)
        if fd >= 0:
            os.close(fd)


class _LoopAlarm(_Eventfd):
    """An alarm that an asyncio loop watches, for as long as the loop lives."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._waiter: asyncio.Future[None] | None = None
        loop.add_reader(self.fd, self._rang)

    def _rang(self) -> None:
        if self._was_written():
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, timeout: float | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        late = None if timeout is None else loop.call_later(timeout, self._wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if late is not None:
                late.cancel()


class _OtherAlarm(_Eventfd):
    """An alarm in a loop that anyio knows, as trio's."""

    async def wait(self, timeout: float | None = None) -> None:
        import anyio

        with anyio.move_on_after(timeout):
            await anyio.wait_readable(self.fd)
            self._was_written()


_idle: WeakKeyDictionary[asyncio.AbstractEventLoop, list[_LoopAlarm]] = WeakKeyDictionary()
"""Alarms that no task waits for: for a new one a loop would have to make some system calls."""


class LentAlarm:
    """Lends an alarm to the running task, for a `with` block."""

    __slots__ = ("_alarm", "_idle")

    def __enter__(self) -> Alarm:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._idle: list[_LoopAlarm] | None = None
            return _OtherAlarm()
        self._idle = _idle.get(loop)
        if self._idle is None:
            self._idle = _idle[loop] = []
        self._alarm = self._idle.pop() if self._idle else _LoopAlarm(loop)
        return self._alarm

    def __exit__(self, *_: object) -> None:
        if self._idle is not None:
            self._idle.append(self._alarm)


async def sleep(seconds: float) -> None:
    """Let other tasks run for so long."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        import anyio

        await anyio.sleep(seconds)
    else:
        await asyncio.sleep(seconds)


async def checkpoint() -> None:
    """Let other tasks run."""
    await sleep(0)
