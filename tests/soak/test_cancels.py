"""Calls that are cancelled, that time out, and that signals interrupt: each is done, or was not."""

import asyncio
import itertools
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

import bchan
from tests.soak.rounds import rounds
from tests.support import Task

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]


def a_channel(rng: random.Random) -> bchan.Channel:
    capacity = rng.randint(1, 8)
    kinds: list[dict[str, Any]] = [{}, {"dtype": "u8"}, {"dtype": "u8", "shared": True}]
    channel: bchan.Channel = bchan.Channel(capacity=capacity, **rng.choice(kinds))
    return channel


def rest(ch: bchan.Channel) -> list[int]:
    """What nobody has received."""
    items = []
    while (item := ch.try_receive()) is not None:
        items.append(int(item))
    return items


async def cancel_some(rng: random.Random) -> None:
    ch, sent, received = a_channel(rng), [], []

    async def send(number: int) -> None:
        await ch.asend(number)
        sent.append(number)

    async def receive() -> None:
        received.append(int(await ch.areceive()))

    tasks = []
    for number in range(60):
        work = send(number) if rng.random() < 0.5 else receive()
        tasks.append(asyncio.ensure_future(work))
        if rng.random() < 0.3:
            await asyncio.sleep(0)
        if rng.random() < 0.3:
            rng.choice(tasks).cancel()
    for _ in range(rng.randint(0, 5)):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert sorted(sent) == sorted(received + rest(ch))


def test_cancelled_tasks_lose_and_double_nothing() -> None:
    for rng in rounds("cancels of tasks"):
        asyncio.run(cancel_some(rng))


TIMEOUTS = [0.0, 1e-5, 1e-3]


def send_in_time(ch: bchan.Channel, seed: float, first: int) -> list[int]:
    """Send with short timeouts; what went."""
    rng, sent = random.Random(seed), []
    for number in range(first, first + 200):
        with suppress(TimeoutError):
            ch.send(number, rng.choice(TIMEOUTS))
            sent.append(number)
    return sent


def receive_in_time(ch: bchan.Channel, seed: float, over: threading.Event) -> list[int]:
    """Receive with short timeouts; what came."""
    rng, received = random.Random(seed), []
    while not over.is_set():
        with suppress(TimeoutError):
            received.append(int(ch.receive(rng.choice(TIMEOUTS))))
    return received


def test_calls_that_time_out_lose_and_double_nothing() -> None:
    for rng in rounds("timeouts of threads"):
        ch, over = a_channel(rng), threading.Event()
        senders = [Task(partial(send_in_time, ch, rng.random(), first)) for first in (0, 1000)]
        receivers = [Task(partial(receive_in_time, ch, rng.random(), over)) for _ in range(2)]
        sent = [number for task in senders for number in task.result()]
        over.set()
        received = [number for task in receivers for number in task.result()]
        assert sorted(sent) == sorted(received + rest(ch))


def test_signals_within_calls_lose_and_double_nothing() -> None:
    for rng in rounds("signals"):
        ch, back = a_channel(rng), bchan.Channel(capacity=100_000)
        told: list[int] = []
        numbers = itertools.count()

        # On a slow machine a handler may interrupt another.
        def handle(
            *_: object,
            back: bchan.Channel = back,
            told: list[int] = told,
            numbers: Iterator[int] = numbers,
        ) -> None:
            number = next(numbers)
            back.send(number)
            told.append(number)

        before = signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005 + rng.random() * 0.001)
        try:
            task = Task(partial(ch.send_batch, range(300)))
            received = [int(ch.receive()) for _ in range(300)]
            task.result()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert received == list(range(300))
        assert sorted(rest(back)) == sorted(told)
