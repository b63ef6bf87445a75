"""Taking exactly one of several operations: the one that is ready.

Nothing polls, but for greenlets. A thread sleeps on the futexes of all the channels at once, if the
system can do that for so many (Linux, 128); otherwise, and in an event loop, they all get the same
eventfd to write.
"""

import math
import os
import random
import select as system
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from bchan._alarms import LentAlarm
from bchan._bytes import BytesConsumer, BytesProducer
from bchan._channel import BytesChannel, Channel, PickledChannel
from bchan._consumer import Consumer
from bchan._cooperative import PAUSE, sleep_of_hub
from bchan._core import MOST_CASES, ChannelError, wait_for_any
from bchan._pickled import PickledConsumer, PickledProducer
from bchan._producer import Producer
from bchan._timers import LONGEST, Timer

Source: TypeAlias = Consumer | BytesConsumer | PickledConsumer | Channel | Timer
Target: TypeAlias = Producer | BytesProducer | PickledProducer | Channel
Case: TypeAlias = Source | tuple[Target, Any]

# Their senders wait for room of different sizes, which one futex can't tell.
_OF_FRAMES: Final = (
    BytesChannel,
    BytesConsumer,
    BytesProducer,
    PickledChannel,
    PickledConsumer,
    PickledProducer,
)
_nothing: Final = object()


class Selected(NamedTuple):
    """The operation that was done."""

    who: Source | Target
    """The receiver or sender of it, as it was given."""
    item: Any
    """What was received, or sent."""


class _Receive:
    """A receiver, as a case."""

    def __init__(self, who: Consumer | BytesConsumer | PickledConsumer | Channel) -> None:
        self.who = who

    def attempt(self) -> Any:
        return self.who.try_receive(_nothing)

    def arm(self, fd: int) -> bool:
        return self.who._arm_receive(fd)

    def disarm(self, fd: int) -> None:
        self.who._disarm_receive(fd)

    due = math.inf


class _Send:
    """A sender with an item, as a case."""

    def __init__(self, who: Target, item: Any) -> None:
        self.who, self.item = who, item

    def attempt(self) -> Any:
        return self.item if self.who.try_send(self.item) else _nothing

    def arm(self, fd: int) -> bool:
        return self.who._arm_send(fd, self.item)

    def disarm(self, fd: int) -> None:
        self.who._disarm_send(fd)

    due = math.inf


class _Moment:
    """A timer, as a case."""

    def __init__(self, who: Timer) -> None:
        self.who = who

    def attempt(self) -> Any:
        return self.who.try_receive(_nothing)

    def arm(self, fd: int) -> bool:
        del fd
        return False

    def disarm(self, fd: int) -> None:
        pass

    @property
    def due(self) -> float:
        return math.inf if self.who.due is None else self.who.due


_Operation: TypeAlias = _Receive | _Send | _Moment

_Wait: TypeAlias = Callable[[Sequence[_Operation], float], AbstractContextManager[object]]
"""Sleeps until one of the operations may be possible, or so many seconds. Others are woken for what
is left, of what it was woken for, at the end of the `with` block."""


def select(cases: Iterable[Case], timeout: float | None = None) -> Selected:
    """Wait until one of several operations can be done, and do just that one.

    Of several that are ready one is chosen at random, so that none has to wait for ever.

    Args:
        cases: Receivers (consumers, mpmc channels, timers from `after` and `tick`), and pairs of a
            sender (a producer, or an mpmc channel) and the item to send. Each handle is used by
            this thread alone, as in any call.
        timeout: Seconds to wait at most; None for ever.

    Returns:
        Who did it, and the item that was received or sent.

    Raises:
        TimeoutError: None became ready.
        EndOfChannel: A receiver has ended; its attribute `who` is that receiver.
        Closed: A sender or its channel was closed; `who` is that sender.
        ValueError: No cases, or a negative timeout.
        TypeError: A case that is neither.

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
    done = _attempt(operations)
    while done is None:
        if time.monotonic() >= end:
            raise TimeoutError(f"select timed out after {timeout} s: no case is ready")
        wait = _way_to_wait(operations)
        with wait(operations, max(_earliest(operations, end) - time.monotonic(), 0.0)):
            done = _attempt(operations)
    return done


async def aselect(cases: Iterable[Case]) -> Selected:
    """Wait in the event loop until one of several operations can be done, and do just that one.

    Cancelling it does none.

    Args:
        cases: As for `select`.

    Returns:
        Who did it, and the item that was received or sent.

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
    while True:
        done = _attempt(operations)
        if done is not None:
            return done
        with LentAlarm() as bell:
            bell.disarm = lambda fd: _disarm(operations, fd)
            try:
                if not _arm(operations, bell.fd):
                    seconds = _earliest(operations, math.inf) - time.monotonic()
                    await bell.wait(None if seconds == math.inf else max(seconds, 0.0))
            finally:
                _disarm(operations, bell.fd)
                bell.disarm = None


def _operations(cases: Iterable[Case]) -> list[_Operation]:
    operations = [_operation(case) for case in cases]
    if not operations:
        raise ValueError("cases must be at least 1, got none")
    return operations


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
    if not timeout >= 0:
        raise ValueError(f"timeout must be at least 0 seconds, got {timeout!r}")
    return time.monotonic() + timeout


def _attempt(operations: Sequence[_Operation]) -> Selected | None:
    """Do the first operation that can be done, from a random one on."""
    first = random.randrange(len(operations))
    for operation in (*operations[first:], *operations[:first]):
        try:
            item = operation.attempt()
        except ChannelError as error:
            error.who = operation.who  # type: ignore[attr-defined]
            raise
        if item is not _nothing:
            return Selected(operation.who, item)
    return None


def _earliest(operations: Sequence[_Operation], end: float) -> float:
    return min(end, *(operation.due for operation in operations))


def _way_to_wait(operations: Sequence[_Operation]) -> _Wait:
    if "greenlet" in sys.modules and (sleep := sleep_of_hub()) is not None:
        return partial(_by_hub, sleep)
    channels = [operation.who for operation in operations if not isinstance(operation, _Moment)]
    is_of_items = not any(isinstance(who, _OF_FRAMES) for who in channels)
    return _by_futexes if is_of_items and 1 <= len(channels) <= MOST_CASES else _by_eventfd


def _by_futexes(operations: Sequence[_Operation], seconds: float) -> AbstractContextManager[object]:
    receivers: list[Any] = [each.who for each in operations if isinstance(each, _Receive)]
    senders: list[Any] = [each.who for each in operations if isinstance(each, _Send)]
    return wait_for_any(receivers, senders, seconds)


def _by_hub(
    sleep: Callable[[float], object], operations: Sequence[_Operation], seconds: float
) -> AbstractContextManager[object]:
    """Let other greenlets run; then one looks again."""
    del operations
    sleep(min(seconds, PAUSE))
    return nullcontext()


@contextmanager
def _by_eventfd(operations: Sequence[_Operation], seconds: float) -> Iterator[None]:
    fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    try:
        if not _arm(operations, fd):
            _sleep(fd, seconds)
        yield
    finally:
        _disarm(operations, fd)
        os.close(fd)


def _arm(operations: Sequence[_Operation], fd: int) -> bool:
    """Have all channels write the eventfd, unless an operation is ready now: then true."""
    return any(operation.arm(fd) for operation in operations)


def _disarm(operations: Sequence[_Operation], fd: int) -> None:
    for operation in operations:
        operation.disarm(fd)


def _sleep(fd: int, seconds: float) -> None:
    """Sleep until the eventfd is written, a month at most; never wake too early."""
    poll = system.poll()
    poll.register(fd, system.POLLIN)
    poll.poll(math.ceil(min(seconds, LONGEST) * 1000))
