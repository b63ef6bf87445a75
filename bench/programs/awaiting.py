"""Messages into and inside an event loop: bchan beside janus, culsans and asyncio.Queue.

A thread sends integers to a task; or one task sends them to another in the same loop. All
contenders of a table take turns in one run; every message that arrives is checked, in order. Those
that are not installed (`pip install --group compare`) are named.

    python bench/programs/awaiting.py
"""

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from importlib import import_module
from statistics import median
from typing import Any

import bchan
import effort
from bchan.asyncio import Queue
from bchan_bench.machine import this_machine

RUNS = effort.runs(5)
CAPACITIES = (1024, 65_536)
BATCH = 64
MESSAGES = effort.count(100_000)  # of one run; for the slowest a second or two

Run = Callable[["Arrivals"], Awaitable[float]]


class WrongError(Exception):
    """What arrived is not what was sent."""


class Arrivals:
    """What a task received, compared with 0, 1, 2 and so on when the clock has stopped.

    Args:
        n: Messages to receive.
        capacity: Messages that the channel or queue shall hold.
    """

    def __init__(self, n: int, capacity: int) -> None:
        self._n = n
        self.capacity = capacity
        self._items: list[int] = []

    async def each(self, get: Callable[[], Awaitable[int]]) -> None:
        """Receive one a call."""
        append = self._items.append
        for _ in range(self._n):
            append(await get())

    async def batches(self, get: Callable[[], Awaitable[list[int]]]) -> None:
        """Receive many a call."""
        items = self._items
        while len(items) < self._n:
            items += await get()

    def check(self) -> None:
        """Refuse anything but all messages, once and in order."""
        if self._items != list(range(self._n)):
            raise WrongError(f"{len(self._items):,} messages arrived, not those sent")


async def _from_thread(put: Callable[[int], object], receiving: Awaitable[None]) -> float:
    """Seconds until all is received that a thread sends."""

    def send() -> None:
        for item in range(MESSAGES):
            put(item)

    thread = threading.Thread(target=send)
    start = time.perf_counter()
    thread.start()
    await receiving
    seconds = time.perf_counter() - start
    await asyncio.to_thread(thread.join)
    return seconds


async def _from_task(sending: Coroutine[Any, Any, None], receiving: Awaitable[None]) -> float:
    """Seconds until all is received that another task sends."""
    start = time.perf_counter()
    task = asyncio.create_task(sending)
    await receiving
    seconds = time.perf_counter() - start
    await task
    return seconds


async def _send_each(put: Callable[[int], Awaitable[None]]) -> None:
    for item in range(MESSAGES):
        await put(item)


async def _send_batches(
    put: Callable[[list[int]], Awaitable[None]], batches: list[list[int]]
) -> None:
    for batch in batches:
        await put(batch)


async def thread_to_channel(arrivals: Arrivals) -> float:
    """One a call."""
    ch = bchan.Channel(capacity=arrivals.capacity)
    return await _from_thread(ch.send, arrivals.each(ch.areceive))


async def thread_to_channel_in_batches(arrivals: Arrivals) -> float:
    """Sent one a call, received as many as are there."""
    ch = bchan.Channel(capacity=arrivals.capacity)
    return await _from_thread(ch.send, arrivals.batches(lambda: ch.areceive_batch(BATCH)))


async def thread_to_janus(arrivals: Arrivals) -> float:
    """One a call."""
    queue = import_module("janus").Queue(maxsize=arrivals.capacity)
    seconds = await _from_thread(queue.sync_q.put, arrivals.each(queue.async_q.get))
    queue.close()
    await queue.wait_closed()
    return seconds


async def thread_to_culsans(arrivals: Arrivals) -> float:
    """One a call."""
    queue = import_module("culsans").Queue(maxsize=arrivals.capacity)
    return await _from_thread(queue.sync_q.put, arrivals.each(queue.async_q.get))


async def task_to_channel(arrivals: Arrivals) -> float:
    """One a call."""
    ch = bchan.Channel(capacity=arrivals.capacity)
    return await _from_task(_send_each(ch.asend), arrivals.each(ch.areceive))


async def task_to_channel_in_batches(arrivals: Arrivals) -> float:
    """Batches both ways."""
    ch = bchan.Channel(capacity=arrivals.capacity)
    starts = range(0, MESSAGES, BATCH)
    batches = [list(range(first, min(first + BATCH, MESSAGES))) for first in starts]
    receiving = arrivals.batches(lambda: ch.areceive_batch(BATCH))
    return await _from_task(_send_batches(ch.asend_batch, batches), receiving)


async def task_to_queue(arrivals: Arrivals) -> float:
    """Through our drop-in."""
    queue: Queue[int] = Queue(arrivals.capacity)
    return await _from_task(_send_each(queue.put), arrivals.each(queue.get))


async def task_to_asyncio(arrivals: Arrivals) -> float:
    """Through the standard library's."""
    queue: asyncio.Queue[int] = asyncio.Queue(arrivals.capacity)
    return await _from_task(_send_each(queue.put), arrivals.each(queue.get))


def table(title: str, capacity: int, contenders: dict[str, Run], reference: str) -> None:
    """Measure all in turn, and print medians beside that of the reference."""
    figures: dict[str, list[float]] = {}
    absent: dict[str, str] = {}
    for _ in range(RUNS):
        for name, run in contenders.items():
            try:
                figures.setdefault(name, []).append(asyncio.run(_rate(run, capacity)))
            except ImportError as error:
                absent[name] = str(error)
    medians = {name: median(values) for name, values in figures.items() if values}
    base = medians.get(reference)
    print(f"\n{title:46}{'median':>9}{'min':>9}{'max':>9}{'ratio':>9}")
    for name, middle in medians.items():
        ratio = f"{middle / base:9.2f}" if base else ""
        print(f"{name:46}{middle:9.3f}{min(figures[name]):9.3f}{max(figures[name]):9.3f}{ratio}")
    for name, reason in absent.items():
        print(f"{name:46}{reason}")


async def _rate(run: Run, capacity: int) -> float:
    """Millions of messages received a second, of one run whose arrivals were right."""
    arrivals = Arrivals(MESSAGES, capacity)
    seconds = await run(arrivals)
    arrivals.check()
    return MESSAGES / seconds / 1e6


def main() -> None:
    """Measure and print."""
    print(*this_machine().lines, sep="\n")
    print(
        f"M messages a second, medians of {RUNS}, contenders in turn; ratio: to the one named last"
    )
    with_janus: dict[str, Run] = {
        "bchan: ch.send, ch.areceive": thread_to_channel,
        f"bchan: ch.send, ch.areceive_batch({BATCH})": thread_to_channel_in_batches,
        "culsans": thread_to_culsans,
        "janus": thread_to_janus,
    }
    with_asyncio: dict[str, Run] = {
        "bchan: ch.asend, ch.areceive": task_to_channel,
        f"bchan: asend_batch, areceive_batch of {BATCH}": task_to_channel_in_batches,
        "bchan.asyncio.Queue": task_to_queue,
        "asyncio.Queue": task_to_asyncio,
    }
    try:
        for capacity in CAPACITIES:
            table(f"thread to event loop, capacity {capacity:,}", capacity, with_janus, "janus")
        title = f"inside one loop, capacity {CAPACITIES[0]:,}"
        table(title, CAPACITIES[0], with_asyncio, "asyncio.Queue")
    except WrongError as error:
        sys.exit(str(error))
    print("\nall that was sent arrived, once and in order")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
