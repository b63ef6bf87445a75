"""Receivers whose messages are moments: what a `select` waits for besides channels."""

import time
from typing import Any, Final, final

from bchan._alarms import sleep
from bchan._core import EndOfChannel

LONGEST: Final = 2_000_000.0
"""Seconds that the system sleeps at once; then one looks again."""
SHORTEST: Final = 1e-9
"""Seconds between two moments at least."""


class Timer:
    """A receiver that has a message when its time has come: the moment, by `time.monotonic`."""

    __slots__ = ("_due",)

    def __init__(self, due: float) -> None:
        self._due: float | None = due

    @property
    def due(self) -> float | None:
        """When the next message comes, by `time.monotonic`; None if none will."""
        return self._due

    def _next(self, due: float, now: float) -> float | None:
        raise NotImplementedError

    def try_receive(self, /, default: Any = None) -> Any:
        """Receive the moment if it has come; never wait.

        Raises:
            EndOfChannel: Nothing more will come.
        """
        if self._due is None:
            raise EndOfChannel("nothing more will come: this timer has been received")
        now = time.monotonic()
        if now < self._due:
            return default
        due, self._due = self._due, self._next(self._due, now)
        return due

    def receive(self, /, timeout: float | None = None) -> float:
        """Receive the next moment, waiting for it.

        Args:
            timeout: Seconds to wait at most; None for ever.

        Raises:
            EndOfChannel: Nothing more will come.
            TimeoutError: It has not come.
        """
        left = self._left()
        if timeout is not None and timeout < left:
            time.sleep(min(timeout, LONGEST))
            raise TimeoutError(f"receive timed out after {timeout} s: the timer is not due")
        while (moment := self.try_receive()) is None:
            time.sleep(min(self._left(), LONGEST))
        return float(moment)

    async def areceive(self) -> float:
        """Receive the next moment, waiting in the event loop.

        Raises:
            EndOfChannel: Nothing more will come.
        """
        while (moment := self.try_receive()) is None:
            await sleep(min(self._left(), LONGEST))
        return float(moment)

    def _left(self) -> float:
        return 0.0 if self._due is None else max(self._due - time.monotonic(), 0.0)


@final
class _After(Timer):
    __slots__ = ()

    def _next(self, due: float, now: float) -> None:
        del due, now


@final
class _Tick(Timer):
    __slots__ = ("_seconds",)

    def __init__(self, seconds: float) -> None:
        super().__init__(time.monotonic() + seconds)
        self._seconds = seconds

    def _next(self, due: float, now: float) -> float:
        # Moments that were not received in time are left out.
        missed = (now - due) // self._seconds
        return due + (missed + 1) * self._seconds


def after(seconds: float) -> Timer:
    """Make a receiver that has one message, some seconds from now.

    Args:
        seconds: At least 0.

    Returns:
        A receiver for `select`, for one thread or task at a time; it can be received from by
        itself, too. Its message is the moment by `time.monotonic`, and then it has ended.

    Raises:
        ValueError: A negative number of seconds, or NaN.

    Example:
        >>> import bchan
        >>> ch = bchan.Channel()
        >>> late = bchan.after(0.01)
        >>> bchan.select([ch, late]).who is late
        True
    """
    return _After(time.monotonic() + _checked(seconds, 0.0))


def tick(seconds: float) -> Timer:
    """Make a receiver that has a message every so many seconds, for ever.

    Args:
        seconds: At least 1e-9.

    Returns:
        A receiver for `select`, as `after` makes. Moments that pass while no thread receives are
        left out, except one.

    Raises:
        ValueError: Fewer seconds, or NaN.

    Example:
        >>> import bchan
        >>> ticks = bchan.tick(0.01)
        >>> first, second = ticks.receive(), ticks.receive()
        >>> 0.009 < second - first
        True
    """
    return _Tick(_checked(seconds, SHORTEST))


def _checked(seconds: float, least: float) -> float:
    if not seconds >= least:
        raise ValueError(f"seconds must be at least {least:g}, got {seconds!r}")
    return float(seconds)
