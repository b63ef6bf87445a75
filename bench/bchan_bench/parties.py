"""What each side of a run does: sends, receives, calls and answers; in a thread or in a task.

A party makes its end of the link, waits until all are ready, does its part, and tells when that
began and ended. Clocks are the machine's, so the times of several processes can be compared. What
arrived is kept, and checked when the clock has stopped.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bchan_bench.arrivals import MismatchError, arrivals_of
from bchan_bench.children import Ready
from bchan_bench.rivals.rival import Rival
from bchan_bench.workload import streams

Links = Sequence[Rival]
"""What a run's parties are connected by: one, or one there and one back."""

Times = NDArray[np.int64]
"""Nanoseconds."""

STOP = (1 << 48) - 1  # a message that says that there are no more; no other is as large

_perf = time.perf_counter_ns


@dataclass(frozen=True)
class Moment:
    """Nanoseconds of the machine's clock, and CPU time of this process."""

    clock: int
    cpu: int


@dataclass(frozen=True)
class Done:
    """What a party tells: when its part began and ended, and what it saw."""

    start: Moment
    end: Moment
    result: Any = None


@dataclass(frozen=True)
class Schedule:
    """When messages are to be sent.

    Attributes:
        seconds: How long.
        rate: Messages a second; 0 for each as soon as the one before it is sent, or answered.
        most: Messages, if the time has not passed before.
    """

    seconds: float
    rate: float = 0.0
    most: int = 100_000

    @property
    def interval(self) -> int:
        """Nanoseconds from one message to the next."""
        return round(1e9 / self.rate) if self.rate else 0

    @property
    def count(self) -> int:
        """Messages that the schedule has room for."""
        return min(self.most, round(self.seconds * self.rate)) if self.rate else self.most


class Pace:
    """When the next message is due, and from when on its latency counts.

    A message that is due while its sender is still held up by an earlier one counts from when it
    was due: to leave that wait out is what is called coordinated omission. If the sender slept
    until then, it counts from when the sender woke: that the system wakes it some 50 us late is
    not the channel's doing.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._interval = schedule.interval
        times = 2 if schedule.rate else 1  # a rate that can't be kept ends, too
        self._length = round(times * schedule.seconds * 1e9)
        self._due = self._end = 0

    def wait(self) -> int:
        """Sleep until the next message is due; tell from when it counts, 0 if time is over."""
        begin, early = self._next()
        if early:
            time.sleep(early / 1e9)
            return _perf()
        return begin

    async def wait_in_task(self) -> int:
        """The same in a task."""
        begin, early = self._next()
        if early:
            await asyncio.sleep(early / 1e9)
            return _perf()
        return begin

    def _next(self) -> tuple[int, int]:
        """From when the next message counts, and how long it is until then."""
        now = _perf()
        if not self._end:  # the first is always sent
            self._due, self._end = now + self._interval, now + self._length
        elif now >= self._end:
            return 0, 0
        if not self._interval:
            return now, 0
        due = self._due
        self._due += self._interval
        return due, max(0, due - now)


def _now() -> Moment:
    return Moment(_perf(), time.process_time_ns())


# Throughput.


def send_all(links: Links, ready: Ready, pieces: Sequence[Any]) -> Done:
    """Send what is prepared."""
    (link,) = links
    send = link.sender()
    ready()
    start = _now()
    for piece in pieces:
        send(piece)
    return Done(start, _now())


async def send_all_in_task(links: Links, ready: Ready, pieces: Sequence[Any]) -> Done:
    """The same in a task."""
    (link,) = links
    send = link.task_sender()
    ready()
    start = _now()
    for piece in pieces:
        await send(piece)
    return Done(start, _now())


def receive_all(links: Links, ready: Ready, shares: list[int]) -> Done:
    """Receive what all producers send, and check it."""
    (link,) = links
    receive, n = link.receiver(), sum(shares)
    arrived: list[Any] = []
    ready()
    start = _now()
    if link.shape.batch == 1:
        arrived = [receive() for _ in range(n)]
    elif link.batches == "list":
        while len(arrived) < n:
            arrived += receive()
    else:
        while n > 0:
            arrived.append(batch := receive())
            n -= len(batch)
    end = _now()
    check(arrived, shares)
    return Done(start, end)


async def receive_all_in_task(links: Links, ready: Ready, shares: list[int]) -> Done:
    """The same in a task."""
    (link,) = links
    receive, n = link.task_receiver(), sum(shares)
    arrived: list[Any] = []
    ready()
    start = _now()
    if link.shape.batch == 1:
        arrived = [await receive() for _ in range(n)]
    elif link.batches == "list":
        while len(arrived) < n:
            arrived += await receive()
    else:
        while n > 0:
            arrived.append(batch := await receive())
            n -= len(batch)
    end = _now()
    check(arrived, shares)
    return Done(start, end)


def check(arrived: Sequence[Any], shares: list[int]) -> None:
    """Refuse anything but each producer's messages, each once and in order.

    Args:
        arrived: Integers, or arrays of them.
        shares: How many messages each producer sent.

    Raises:
        MismatchError: It is not so.
    """
    (arrivals,) = arrivals_of(len(shares), verify=True)
    if arrived:
        is_split = isinstance(arrived[0], np.ndarray)
        arrivals.take(np.concatenate(arrived) if is_split else np.array(arrived, dtype=np.uint64))
    arrivals.check(streams(shares, 1, numbered=True))


# One way, each message with its times.


def send_stamped(links: Links, ready: Ready, schedule: Schedule) -> Done:
    """Send at the given times; the result is from when each message counts."""
    (link,) = links
    send, stamps = link.sender(), np.zeros(schedule.count, dtype=np.int64)
    sent = 0
    ready()
    start, pace = _now(), Pace(schedule)
    while sent < len(stamps) and (begin := pace.wait()):
        stamps[sent] = begin
        send(sent)
        sent += 1
    send(STOP)
    return Done(start, _now(), stamps[:sent])


def receive_stamped(links: Links, ready: Ready) -> Done:
    """The result is when each message was received."""
    (link,) = links
    receive, items, stamps = link.receiver(), list[int](), list[int]()
    ready()
    start = _now()
    while (item := receive()) != STOP:
        stamps.append(_perf())
        items.append(item)
    return _stamped(start, items, stamps)


async def send_stamped_in_task(links: Links, ready: Ready, schedule: Schedule) -> Done:
    """The same in a task."""
    (link,) = links
    send, stamps = link.task_sender(), np.zeros(schedule.count, dtype=np.int64)
    sent = 0
    ready()
    start, pace = _now(), Pace(schedule)
    while sent < len(stamps) and (begin := await pace.wait_in_task()):
        stamps[sent] = begin
        await send(sent)
        sent += 1
    await send(STOP)
    return Done(start, _now(), stamps[:sent])


async def receive_stamped_in_task(links: Links, ready: Ready) -> Done:
    """The same in a task."""
    (link,) = links
    receive, items, stamps = link.task_receiver(), list[int](), list[int]()
    ready()
    start = _now()
    while (item := await receive()) != STOP:
        stamps.append(_perf())
        items.append(item)
    return _stamped(start, items, stamps)


def _stamped(start: Moment, items: list[int], stamps: list[int]) -> Done:
    end = _now()
    check(items, [len(items)])
    return Done(start, end, np.array(stamps, dtype=np.int64))


# There and back.


def call(links: Links, ready: Ready, schedule: Schedule) -> Done:
    """Send, wait for the answer, and so on; the result is how long each took."""
    there, back = links
    send, receive, took = there.sender(), back.receiver(), list[int]()
    ready()
    start, pace = _now(), Pace(schedule)
    while len(took) < schedule.count and (begin := pace.wait()):
        send(len(took))
        answer = receive()
        took.append(_perf() - begin)
        _check_answer(answer, len(took) - 1)
    send(STOP)
    return Done(start, _now(), np.array(took, dtype=np.int64))


async def call_in_task(links: Links, ready: Ready, schedule: Schedule) -> Done:
    """The same in a task."""
    there, back = links
    send, receive, took = there.task_sender(), back.task_receiver(), list[int]()
    ready()
    start, pace = _now(), Pace(schedule)
    while len(took) < schedule.count and (begin := await pace.wait_in_task()):
        await send(len(took))
        answer = await receive()
        took.append(_perf() - begin)
        _check_answer(answer, len(took) - 1)
    await send(STOP)
    return Done(start, _now(), np.array(took, dtype=np.int64))


def answer(links: Links, ready: Ready) -> Done:
    """Send back what comes."""
    there, back = links
    receive, send = there.receiver(), back.sender()
    ready()
    start = _now()
    while (item := receive()) != STOP:
        send(item)
    return Done(start, _now())


async def answer_in_task(links: Links, ready: Ready) -> Done:
    """The same in a task."""
    there, back = links
    receive, send = there.task_receiver(), back.task_sender()
    ready()
    start = _now()
    while (item := await receive()) != STOP:
        await send(item)
    return Done(start, _now())


def _check_answer(answer: object, due: int) -> None:
    if answer != due:
        raise MismatchError(f"{answer!r} came back for {due}")
