"""Messages into and inside an event loop: bchan beside janus, culsans and asyncio.Queue.

A thread sends integers to a task; or one task sends them to another in the same loop. All
contenders of a table take turns in one run; every message that arrives is checked, in order. Those
that are not installed (`pip install --group compare`) are named.

    python benchmarks/awaiting.py
"""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from importlib import import_module
from statistics import median

import bchan
from bchan.asyncio import Queue
from bchan.bench.machine import this_machine

RUNS = 5
CAPACITY = 1024
BATCH = 64
MESSAGES = 100_000  # of one run; for the slowest a second or two

Run = Callable[[int], Awaitable[float]]


class WrongError(Exception):
    """What arrived is not what was sent."""


async def _timed(n: int, received: AsyncIterator[int]) -> float:
    """Millions of messages received a second, which must be 0, 1, 2 and so on."""
    start, due = time.perf_counter(), 0
    async for item in received:
        if item != due:
            raise WrongError(f"{item!r} arrived, {due} was due")
        due += 1
        if due == n:
            break
    return n / (time.perf_counter() - start) / 1e6


async def _each(get: Callable[[], Awaitable[int]]) -> AsyncIterator[int]:
    while True:
        yield await get()


async def _each_of(get: Callable[[], Awaitable[Iterable[int]]]) -> AsyncIterator[int]:
    while True:
        for item in await get():
            yield item


async def _from_thread(n: int, put: Callable[[int], object], received: AsyncIterator[int]) -> float:
    def send() -> None:
        for item in range(n):
            put(item)

    thread = threading.Thread(target=send)
    thread.start()
    rate = await _timed(n, received)
    await asyncio.to_thread(thread.join)
    return rate


async def _from_task(
    n: int, put: Callable[[int], Awaitable[None]], received: AsyncIterator[int]
) -> float:
    async def send() -> None:
        for item in range(n):
            await put(item)

    task = asyncio.create_task(send())
    rate = await _timed(n, received)
    await task
    return rate


async def thread_to_channel(n: int) -> float:
    """One a call."""
    ch = bchan.Channel(capacity=CAPACITY)
    return await _from_thread(n, ch.send, _each(ch.areceive))


async def thread_to_channel_in_batches(n: int) -> float:
    """Sent one a call, received as many as are there."""
    ch = bchan.Channel(capacity=CAPACITY)
    return await _from_thread(n, ch.send, _each_of(lambda: ch.areceive_batch(BATCH)))


async def thread_to_janus(n: int) -> float:
    """One a call."""
    queue = import_module("janus").Queue(maxsize=CAPACITY)
    rate = await _from_thread(n, queue.sync_q.put, _each(queue.async_q.get))
    queue.close()
    await queue.wait_closed()
    return rate


async def thread_to_culsans(n: int) -> float:
    """One a call."""
    queue = import_module("culsans").Queue(maxsize=CAPACITY)
    return await _from_thread(n, queue.sync_q.put, _each(queue.async_q.get))


async def task_to_channel(n: int) -> float:
    """One a call."""
    ch = bchan.Channel(capacity=CAPACITY)
    return await _from_task(n, ch.asend, _each(ch.areceive))


async def task_to_channel_in_batches(n: int) -> float:
    """Batches both ways."""
    ch = bchan.Channel(capacity=CAPACITY)

    async def send() -> None:
        for first in range(0, n, BATCH):
            await ch.asend_batch(list(range(first, min(first + BATCH, n))))

    async def receive() -> float:
        start, due = time.perf_counter(), 0
        while due < n:
            items = await ch.areceive_batch(BATCH)
            if items != list(range(due, due + len(items))):
                raise WrongError(f"{items} arrived, {due} was due")
            due += len(items)
        return n / (time.perf_counter() - start) / 1e6

    task = asyncio.create_task(send())
    rate = await receive()
    await task
    return rate


async def task_to_queue(n: int) -> float:
    """Through our drop-in."""
    queue: Queue[int] = Queue(CAPACITY)
    return await _from_task(n, queue.put, _each(queue.get))


async def task_to_asyncio(n: int) -> float:
    """Through the standard library's."""
    queue: asyncio.Queue[int] = asyncio.Queue(CAPACITY)
    return await _from_task(n, queue.put, _each(queue.get))


def table(title: str, contenders: dict[str, Run], reference: str) -> None:
    """Measure all in turn, and print medians beside that of the reference."""
    figures: dict[str, list[float]] = {}
    absent: dict[str, str] = {}
    for _ in range(RUNS):
        for name, run in contenders.items():
            try:
                figures.setdefault(name, []).append(asyncio.run(_started(run)))
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


async def _started(run: Run) -> float:
    return await run(MESSAGES)


def main() -> None:
    """Measure and print."""
    print(*this_machine().lines, sep="\n")
    print(f"M messages a second, capacity {CAPACITY:,}, medians of {RUNS}, contenders in turn")
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
        table("thread to event loop (ratio: to janus)", with_janus, "janus")
        table("inside one loop (ratio: to asyncio.Queue)", with_asyncio, "asyncio.Queue")
    except WrongError as error:
        sys.exit(str(error))
    print("\nall that was sent arrived, once and in order")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
