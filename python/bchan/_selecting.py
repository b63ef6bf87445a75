"""Taking exactly one of several operations: the one that is ready.

Nothing polls, but for greenlets. A thread sleeps on the futexes of all the channels at once, if the
system can do that for so many (Linux, 128); otherwise, and in an event loop, they all get the same
eventfd to write.
"""

import math
import os
import select as system
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, TypeAlias, cast

from bchan._alarms import checkpoint
from bchan._awaiting import Message, encoded
from bchan._bytes import BytesConsumer, BytesProducer
from bchan._channel import Channel
from bchan._consumer import Consumer
from bchan._cooperative import PAUSE, sleep_of_hub
from bchan._core import (
    MOST_CASES,
    NOTHING,
    ChannelError,
    is_in_a_hurry,
    may_go_on,
    shuffled,
    wait_for_any,
)
from bchan._lines import do_in_turn, in_line
from bchan._pickled import PickledConsumer, PickledProducer
from bchan._producer import Producer
from bchan._timers import LONGEST, Timer

Source: TypeAlias = Consumer | BytesConsumer | PickledConsumer | Channel | Timer
Target: TypeAlias = Producer | BytesProducer | PickledProducer | Channel
Case: TypeAlias = Source | tuple[Target, Any]


class Selected(NamedTuple):
    """The operation that was done."""

    who: Source | Target
    """The receiver or sender of it, as it was given."""
    item: Any
    """What was received, or sent."""


class _Receive(Message):
    """A receiver, as a case."""

    who: Any

    def attempt(self) -> Any:
        return self.who.try_receive(NOTHING)

    due = math.inf


class _Send:
    """A sender with an item, as a case."""

    def __init__(self, who: Target, item: Any) -> None:
        self.who, self.item = who, item
        self._message: Any = NOTHING

    @property
    def message(self) -> Any:
        """The item, encoded when it is first needed."""
        if self._message is NOTHING:
            self._message = encoded(self.who, self.item)
        return self._message

    def attempt(self) -> Any:
        return self.item if self.who.try_send(self.message) else NOTHING

    def arm(self, fd: int) -> bool:
        return self.who._arm_send(fd, self.message)

    def disarm(self, fd: int) -> None:
        self.who._disarm_send(fd)

    due = math.inf


class _Moment:
    """A timer, as a case."""

    def __init__(self, who: Timer) -> None:
        self.who = who

    def attempt(self) -> Any:
        return self.who.try_receive(NOTHING)

    def arm(self, fd: int) -> bool:
        del fd
        return False

    def disarm(self, fd: int) -> None:
        pass

    @property
    def due(self) -> float:
        return math.inf if self.who.due is None else self.who.due


_Operation: TypeAlias = _Receive | _Send | _Moment

_Wait: TypeAlias = Callable[[list[_Operation], float], Any]
"""Sleeps until one of the operations may be possible, or until then, and attempts it."""


def select(cases: Iterable[Case], timeout: float | None = None) -> Selected:
    """Wait until one of several operations can be done, and do exactly that one.

    Each operation that is ready is equally likely to be chosen.

    Args:
        cases: Receivers (consumers, mpmc channels, timers from `after` and `tick`), and pairs of a
            sender (a producer, or an mpmc channel) and the item to send. Each handle is used by
            this thread alone, as in any call.
        timeout: Seconds to wait at most; None for ever.

    Returns:
        The receiver or sender, and the item that was received or sent.

    Raises:
        TimeoutError: None became ready.
        EndOfChannel: A receiver has ended; its attribute `who` is that receiver.
        Closed: A sender or its channel was closed, or a receiver; `who` is that one.
        ValueError: No cases and no timeout, which would wait for ever, or a negative timeout.
        TypeError: A case that is neither a receiver nor a pair.

    Example:
        >>> import bchan
        >>> numbers, words = bchan.Channel(), bchan.Channel()
        >>> words.send("hello")
        >>> who, item = bchan.select([numbers, words])
        >>> who is words, item
        (True, 'hello')
        >>> bchan.select([(numbers, 5), bchan.after(1)]).item
        5
    """
    operations, end = _operations(cases), _end(timeout)
    if timeout is None:
        _check_any(operations)
    done: Selected | Any = _attempt(operations)
    while done is NOTHING:
        if time.monotonic() >= end:
            raise TimeoutError(f"select timed out after {timeout} s: no case is ready")
        done = _way_to_wait(operations)(operations, end)
    return cast("Selected", done)


async def aselect(cases: Iterable[Case]) -> Selected:
    """Wait in the event loop until one of several operations can be done, and do exactly that one.

    If it is cancelled, none was done.

    Args:
        cases: As for `select`.

    Returns:
        The receiver or sender, and the item that was received or sent.

    Raises:
        EndOfChannel, Closed, ValueError, TypeError: As `select`.

    Example:
        >>> import asyncio, bchan
        >>> ch = bchan.Channel()
        >>> async def main():
        ...     return await bchan.aselect([ch, bchan.after(0.01)])
        >>> asyncio.run(main()).who is ch
        False
    """
    operations = _operations(cases)
    _check_any(operations)
    if not may_go_on():
        await checkpoint()
    done: Selected | Any = NOTHING if is_in_a_hurry() else _attempt(operations)
    if done is NOTHING:
        attempt, seconds = partial(_attempt, operations), partial(_until_due, operations)
        done = await do_in_turn(operations, attempt, seconds)
    return cast("Selected", done)


def _operations(cases: Iterable[Case]) -> list[_Operation]:
    return [_operation(case) for case in cases]


def _check_any(operations: Sequence[_Operation]) -> None:
    if not operations:
        raise ValueError("cases must be at least 1 unless there is a timeout, got none")


def _operation(case: Case) -> _Operation:
    match case:
        case Timer():
            return _Moment(case)
        case Consumer() | BytesConsumer() | PickledConsumer() | Channel():
            return _Receive(case)
        case (Producer() | BytesProducer() | PickledProducer() | Channel() as sender, item):
            return _Send(sender, item)
        case _:
            raise TypeError(
                f"a case must be a receiver, or a pair of a sender and an item, got {case!r}"
            )


def _end(timeout: float | None) -> float:
    """When to give up, by `time.monotonic`."""
    if timeout is None:
        return math.inf
    try:
        # Of whatever is a number to the other calls, too.
        seconds = math.ldexp(timeout, 0)
    except TypeError:
        raise TypeError(f"timeout must be seconds or None, got {timeout!r}") from None
    except OverflowError:
        seconds = math.inf if timeout > 0 else -math.inf
    if not seconds >= 0:
        raise ValueError(f"timeout must be at least 0 seconds, got {timeout!r}")
    return time.monotonic() + seconds


def _attempt(operations: list[_Operation]) -> Any:
    """Do one of those that can be done, each as likely as the others; or give `NOTHING`."""
    for operation in shuffled(operations):
        try:
            item = operation.attempt()
        except ChannelError as error:
            error.who = operation.who  # type: ignore[attr-defined]
            raise
        if item is not NOTHING:
            return Selected(operation.who, item)
    return NOTHING


def _seconds_left(operations: Sequence[_Operation], end: float) -> float:
    """How long to wait at most: until the end, or the first timer."""
    return max(min((end, *(operation.due for operation in operations))) - time.monotonic(), 0.0)


def _until_due(operations: Sequence[_Operation]) -> float | None:
    seconds = _seconds_left(operations, math.inf)
    return None if seconds == math.inf else seconds


def _way_to_wait(operations: Sequence[_Operation]) -> _Wait:
    if "greenlet" in sys.modules and (sleep := sleep_of_hub()) is not None:
        return partial(_by_hub, sleep)
    channels = [operation.who for operation in operations if not isinstance(operation, _Moment)]
    return _by_futexes if 1 <= len(channels) <= MOST_CASES else _by_eventfd


def _by_futexes(operations: list[_Operation], end: float) -> Any:
    receivers: list[Any] = [each.who for each in operations if isinstance(each, _Receive)]
    sends = [each for each in operations if isinstance(each, _Send)]
    senders: list[Any] = [each.who for each in sends]
    messages = [each.message for each in sends]
    # Others are woken at the end of the block for what is left of what this was woken for.
    with wait_for_any(receivers, senders, messages, _seconds_left(operations, end)):
        return _attempt(operations)


def _by_hub(sleep: Callable[[float], object], operations: list[_Operation], end: float) -> Any:
    """Let other greenlets run, and look again."""
    sleep(min(_seconds_left(operations, end), PAUSE))
    return _attempt(operations)


def _by_eventfd(operations: list[_Operation], end: float) -> Any:
    fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    try:
        with in_line(operations, fd) as place:
            while True:
                if not place.arm():
                    _sleep(fd, _seconds_left(operations, end))
                done = _attempt(operations)
                if done is not NOTHING or time.monotonic() >= end:
                    return done
                with suppress(BlockingIOError):
                    os.eventfd_read(fd)
    finally:
        os.close(fd)


def _sleep(fd: int, seconds: float) -> None:
    """Sleep until the eventfd is written, a month at most; never wake too early."""
    poll = system.poll()
    poll.register(fd, system.POLLIN)
    poll.poll(math.ceil(min(seconds, LONGEST) * 1000))
