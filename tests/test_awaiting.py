"""Handles and channels in event loops: asyncio, uvloop, and trio through anyio."""

import asyncio
import gc
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest

from bchan import Channel, Closed, EndOfChannel, aselect, select
from bchan._core import READY_IN_A_ROW
from bchan._types import Mode
from tests.support import DEADLINE, Task, until

MODES: list[Mode] = ["spsc", "mpsc", "spmc", "mpmc"]


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run in a new loop, with a deadline."""
    return asyncio.run(asyncio.wait_for(main, DEADLINE))


@pytest.mark.parametrize("dtype", ["O", "u8"])
@pytest.mark.parametrize("capacity", [1, 4, 1024])
@pytest.mark.parametrize("mode", MODES)
def test_a_thread_sends_to_a_loop(mode: Mode, capacity: int, dtype: str) -> None:
    ch = Channel(dtype, capacity=capacity, mode=mode)

    def produce() -> None:
        with ch.producer() as tx:
            for n in range(2000):
                tx.send(n, timeout=DEADLINE)

    async def main() -> list[int]:
        sending = Task(produce)
        received = [n async for n in ch.consumer()]
        sending.result()
        return received

    assert run(main()) == list(range(2000))


@pytest.mark.parametrize("dtype", ["O", "u8"])
@pytest.mark.parametrize("capacity", [1, 4, 1024])
@pytest.mark.parametrize("mode", MODES)
def test_a_loop_sends_to_a_thread(mode: Mode, capacity: int, dtype: str) -> None:
    ch = Channel(dtype, capacity=capacity, mode=mode)
    rx = ch.consumer()

    async def main() -> None:
        with ch.producer() as tx:
            for n in range(1000):
                await tx.asend(n)
            await tx.asend_batch(range(1000, 2000))

    receiving = Task(lambda: list(rx))
    run(main())
    assert receiving.result() == list(range(2000))


@pytest.mark.parametrize("capacity", [1, 16])
def test_tasks_of_several_loops_and_threads_share_a_channel(capacity: int) -> None:
    ch = Channel(capacity=capacity)
    each, keeper = 400, ch.producer()

    async def send(number: int) -> None:
        for n in range(each):
            await ch.asend((number, n))

    async def receive() -> list[tuple[int, int]]:
        return [item async for item in ch.consumer()]

    async def send_all(numbers: list[int]) -> None:
        await asyncio.gather(*(send(number) for number in numbers))

    async def receive_all() -> list[list[tuple[int, int]]]:
        return await asyncio.gather(*(receive() for _ in range(3)))

    receiving = [Task(lambda: run(receive_all())) for _ in range(2)]
    thread = Task(lambda: list(ch.consumer()))
    sending = [Task(partial(run, send_all([loop * 2, loop * 2 + 1]))) for loop in range(2)]
    for n in range(each):
        ch.send((9, n))
    for task in sending:
        task.result()
    keeper.close()
    lists = [items for task in receiving for items in task.result()] + [thread.result()]
    for items in lists:
        for number in (0, 1, 2, 3, 9):
            mine = [n for who, n in items if who == number]
            assert mine == sorted(mine)
    together = sorted(item for items in lists for item in items)
    assert together == sorted((number, n) for number in (0, 1, 2, 3, 9) for n in range(each))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("dtype", ["O", "u8", bytes])
@pytest.mark.parametrize("mode", MODES)
def test_tasks_that_share_a_handle_all_come_to_their_turn(
    mode: Mode, dtype: Any, shared: bool
) -> None:
    ch = Channel(dtype, 2, mode, shared=shared)
    items: list[Any] = [b"%d" % n for n in range(8)] if dtype is bytes else list(range(8))

    async def main() -> list[Any]:
        with ch.producer() as tx, ch.consumer() as rx:
            receiving = [asyncio.create_task(rx.areceive()) for _ in range(3)]
            await asyncio.sleep(0.01)
            for item in items[:3]:
                await tx.asend(item)
            received = await asyncio.gather(*receiving)
            # Two have room, three wait; both slots become free at once.
            sending = [asyncio.create_task(tx.asend(item)) for item in items[3:]]
            await asyncio.sleep(0.01)
            while len(received) < 8:
                received += [await rx.areceive()]
            await asyncio.gather(*sending)
            return received

    assert sorted(run(main())) == items


def test_cancelling_a_receiver_loses_no_message() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    ch = Channel(capacity=4)
    count = 3000

    async def main() -> list[int]:
        sending = Task(lambda: ch.send_batch(range(count), timeout=DEADLINE))
        received: list[int] = []
        while len(received) < count:
            task = asyncio.create_task(ch.areceive())
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
            if rng.random() < 0.5:
                task.cancel()
            try:
                received.append(await task)
            except asyncio.CancelledError:
                continue
        sending.result()
        return received

    assert run(main()) == list(range(count))


def test_cancelling_when_the_message_arrives_together_with_it() -> None:
    async def main() -> None:
        for n in range(500):
            ch = Channel()
            task = asyncio.create_task(ch.areceive())
            await asyncio.sleep(0)
            ch.send(n)
            task.cancel()
            outcome = await asyncio.gather(task, return_exceptions=True)
            taken = [item for item in outcome if isinstance(item, int)]
            assert taken + [ch.receive() for _ in range(len(ch))] == [n]

    run(main())


def test_cancelling_a_sender_sends_nothing() -> None:
    async def main() -> None:
        for n in range(300):
            ch = Channel(capacity=1)
            ch.send("first")
            task = asyncio.create_task(ch.asend(n))
            await asyncio.sleep(0)
            assert ch.receive() == "first"
            task.cancel()
            outcome = await asyncio.gather(task, return_exceptions=True)
            assert len(ch) == (outcome[0] is None)

    run(main())


def test_a_cancelled_batch_tells_how_many_went() -> None:
    async def main() -> None:
        ch = Channel("u4", capacity=4, mode="spsc")
        tx = ch.producer()
        task = asyncio.create_task(tx.asend_batch(np.arange(10, dtype=np.uint32)))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await task
        assert cancelled.value.sent == 4  # type: ignore[attr-defined]

    run(main())


def test_a_wake_up_that_a_cancelled_task_had_goes_to_the_next() -> None:
    async def main() -> None:
        for _ in range(200):
            ch = Channel()
            first, second = (asyncio.create_task(ch.areceive()) for _ in range(2))
            await asyncio.sleep(0)
            ch.send("one")  # wakes the first
            first.cancel()
            done, _ = await asyncio.wait(
                [first, second], return_when=asyncio.ALL_COMPLETED, timeout=5
            )
            assert second in done, "nobody looked"
            assert second.result() == "one"

    run(main())


def test_the_end_and_closing_reach_tasks_that_wait() -> None:
    async def main() -> None:
        for mode in MODES:
            ch = Channel(mode=mode)
            tx, rx = ch.producer(), ch.consumer()
            task = asyncio.create_task(rx.areceive_batch(3))
            await asyncio.sleep(0.01)
            tx.close()
            with pytest.raises(EndOfChannel):
                await task
            ch = Channel(capacity=1, mode=mode)
            tx = ch.producer()
            tx.send(1)
            sending = asyncio.create_task(tx.asend(2))
            await asyncio.sleep(0.01)
            ch.close()
            with pytest.raises(Closed):
                await sending

    run(main())


def test_many_messages_take_few_wake_ups() -> None:
    ch = Channel(capacity=1024)

    async def main() -> int:
        receiving = asyncio.create_task(ch.areceive())
        await asyncio.sleep(0.05)
        Task(lambda: ch.send_batch(range(1000))).result()
        assert await receiving == 0
        return sum([await ch.areceive() for _ in range(999)])

    assert run(main()) == sum(range(1000))
    assert ch.stats().wakes == 1


def test_a_task_that_never_waits_lets_others_run() -> None:
    async def main() -> int:
        ch = Channel(capacity=1024)
        ch.send_batch(range(1000))
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        ticking = asyncio.create_task(tick())
        for _ in range(1000):
            await ch.areceive()
        ticking.cancel()
        return ticks

    assert run(main()) >= 1000 // READY_IN_A_ROW - 1


def test_an_idle_task_costs_nothing_and_no_thread_helps() -> None:
    ch = Channel()

    async def main() -> float:
        threads = threading.active_count()
        task = asyncio.create_task(ch.areceive())
        await asyncio.sleep(0.1)
        before = os.times()
        await asyncio.sleep(0.5)
        after = os.times()
        assert threading.active_count() == threads
        task.cancel()
        return after.user + after.system - before.user - before.system

    assert run(main()) < 0.1


def test_alarms_are_given_back() -> None:
    def descriptors() -> int:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    async def main() -> None:
        ch = Channel()
        tasks = [asyncio.create_task(ch.areceive()) for _ in range(20)]
        await asyncio.sleep(0)
        for n in range(20):
            ch.send(n)
        await asyncio.gather(*tasks)

    run(main())
    before = descriptors()
    for _ in range(20):
        run(main())
    assert descriptors() <= before


def waits_on_handles(mode: Mode, dtype: Any, shared: bool) -> list[tuple[Any, Any]]:
    """Handles, and calls that wait with them for something that never comes."""
    item: Any = b"x" if dtype is bytes else 1
    waits: list[tuple[Any, Any]] = []
    for call in ("asend", "asend_batch", "aselect"):
        ch = Channel(dtype, capacity=1, mode=mode, shared=shared)
        tx = ch.producer()
        while tx.try_send(item):
            pass
        sends = {
            "asend": lambda tx=tx: tx.asend(item),
            "asend_batch": lambda tx=tx: tx.asend_batch([item] * 3),
            "aselect": lambda tx=tx: aselect([(tx, item), Channel()]),
        }
        waits.append((tx, sends[call]))
    for call in ("areceive", "areceive_batch", "aselect", "anext"):
        ch = Channel(dtype, capacity=1, mode=mode, shared=shared)
        rx, keeper = ch.consumer(), ch.producer()
        receives = {
            "areceive": lambda rx=rx, _=keeper: rx.areceive(),
            "areceive_batch": lambda rx=rx, _=keeper: rx.areceive_batch(3),
            "aselect": lambda rx=rx, _=keeper: aselect([Channel(), rx]),
            "anext": lambda rx=rx, _=keeper: rx.__anext__(),
        }
        waits.append((rx, receives[call]))
    return waits


async def closed_at_once(handle: Any, call: Any, tasks: int = 2) -> None:
    """Close a handle under the tasks that wait with it."""
    waiting = [asyncio.ensure_future(call()) for _ in range(tasks)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    handle.close()
    for task in waiting:
        with pytest.raises(Closed, match="closed"):
            await asyncio.wait_for(task, 5)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("dtype", ["O", "u8", bytes])
@pytest.mark.parametrize("mode", MODES)
def test_closing_a_handle_ends_what_waits_with_it_at_once(
    mode: Mode, dtype: Any, shared: bool
) -> None:
    async def main() -> None:
        for handle, call in waits_on_handles(mode, dtype, shared):
            await closed_at_once(handle, call)

    run(main())


def test_closing_a_handle_from_a_thread_ends_what_waits_with_it() -> None:
    async def main() -> None:
        for mode in MODES:
            for handle, call in waits_on_handles(mode, "O", False):
                waiting = asyncio.ensure_future(call())
                await asyncio.sleep(0.01)
                Task(handle.close).result()
                with pytest.raises(Closed):
                    await asyncio.wait_for(waiting, 5)

    run(main())


def test_what_a_closed_handle_left_goes_to_the_others() -> None:
    async def main() -> None:
        ch = Channel()
        rx = ch.consumer()
        first = asyncio.create_task(rx.areceive())
        await asyncio.sleep(0.01)
        second = asyncio.create_task(ch.areceive())
        await asyncio.sleep(0.01)
        ch.send("one")  # wakes the first
        rx.close()
        assert await asyncio.wait_for(second, 5) == "one"
        with pytest.raises(Closed):
            await first

    run(main())


class Counted:
    """An object that says how often it was pickled."""

    times = 0

    def __reduce__(self) -> tuple[Any, ...]:
        Counted.times += 1
        return (Counted, ())


@pytest.mark.parametrize("way", ["asend", "asend_batch", "aselect", "select", "send"])
@pytest.mark.parametrize("mode", MODES)
def test_an_object_that_waits_is_pickled_once(mode: Mode, way: str) -> None:
    ch = Channel(shared=True, capacity=64, mode=mode)
    tx, rx = ch.producer(), ch.consumer()
    while tx.try_send("x"):
        pass
    Counted.times = 0
    other = Channel()

    async def wait(thing: Counted) -> None:
        match way:
            case "asend":
                await tx.asend(thing)
            case "asend_batch":
                await tx.asend_batch([thing, thing, "last"])
            case _:
                await aselect([other, (tx, thing)])

    def work() -> None:
        match way:
            case "select":
                select([other, (tx, Counted())], timeout=DEADLINE)
            case "send":
                tx.send(Counted(), timeout=DEADLINE)
            case _:
                run(wait(Counted()))

    sending = Task(work)
    until(lambda: Counted.times > 0)
    received: list[Any] = []
    while sending.running:
        received.append(rx.try_receive())
        time.sleep(0.005)
    sending.result()
    received += [rx.try_receive() for _ in range(80)]
    arrived = sum(isinstance(item, Counted) for item in received)
    assert arrived == (2 if way == "asend_batch" else 1)
    assert Counted.times == 1


class Fragile:
    """An object whose pickling fails."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise ZeroDivisionError


def test_what_cannot_be_pickled_is_refused_before_the_wait() -> None:
    ch = Channel(shared=True, capacity=4)
    while ch.try_send("x"):
        pass

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await ch.asend(Fragile())
        with pytest.raises(ZeroDivisionError) as refused:
            await ch.asend_batch(["y", Fragile()])
        assert refused.value.sent == 0  # type: ignore[attr-defined]
        with pytest.raises(ZeroDivisionError):
            await aselect([(ch, Fragile())])

    run(main())


WITHOUT_DESCRIPTORS = """
import asyncio, gc, os, resource, sys
import bchan

loops = sys.argv[1]
shared = sys.argv[2] == "True"

async def main():
    empty, full = bchan.Channel(shared=shared), bchan.Channel(capacity=1, shared=shared)
    while full.try_send(1):
        pass
    rx, tx = empty.consumer(), full.producer()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    taken = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 2, hard))
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        pass
    calls = [
        empty.areceive, rx.areceive, lambda: rx.areceive_batch(2), lambda: full.asend(2),
        lambda: tx.asend(2), lambda: tx.asend_batch([2, 3]),
        lambda: bchan.aselect([empty, (full, 2)]), lambda: bchan.aselect([rx, (tx, 2)]),
    ]
    for call in calls:
        for _ in range(3):
            try:
                await call()
            except OSError as error:
                assert error.errno == 24, error
            else:
                raise AssertionError("it has not raised")
    gc.collect()
    for fd in taken:
        os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    # The channels go on.
    receiving, sending = asyncio.create_task(rx.areceive()), asyncio.create_task(tx.asend(2))
    await asyncio.sleep(0.01)
    empty.send("hello")
    while full.try_receive() is not None:
        pass
    assert await asyncio.wait_for(receiving, 20) == "hello"
    await asyncio.wait_for(sending, 20)

if loops == "uvloop":
    from uvloop import run
else:
    from asyncio import run

# A loop keeps what it has: each begins without.
run(main())
gc.collect()
before = len(os.listdir("/proc/self/fd"))
for _ in range(3):
    run(main())
gc.collect()
assert len(os.listdir("/proc/self/fd")) <= before, "descriptors were lost"
"""


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_task_that_finds_no_descriptor_raises_and_the_channel_goes_on(
    loop: str, shared: bool
) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    command = [sys.executable, "-c", WITHOUT_DESCRIPTORS, loop, str(shared)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


Backend = tuple[str, dict[str, Any]]
BACKENDS: list[Backend] = [
    ("asyncio", {"use_uvloop": False}),
    ("asyncio", {"use_uvloop": True}),
    ("trio", {}),
]


@pytest.mark.parametrize(("backend", "options"), BACKENDS, ids=["asyncio", "uvloop", "trio"])
def test_every_loop_sends_receives_and_cancels(backend: str, options: dict[str, Any]) -> None:
    if options.get("use_uvloop"):
        pytest.importorskip("uvloop")
    if backend == "trio":
        pytest.importorskip("trio")
    ch = Channel(capacity=2)

    async def main() -> list[int]:
        received: list[int] = []
        with anyio.move_on_after(0.01) as scope:
            await ch.areceive()
        assert scope.cancelled_caught
        async with anyio.create_task_group() as tasks:

            async def send() -> None:
                with ch.producer():
                    for n in range(500):
                        await ch.asend(n)

            tasks.start_soon(send)
            received += [item async for item in ch.consumer()]
        return received

    assert anyio.run(main, backend=backend, backend_options=options) == list(range(500))


def call_everything(ch: Channel) -> list[Callable[[], Awaitable[Any]]]:
    return [lambda: ch.asend(1), lambda: ch.areceive(), lambda: ch.areceive_batch(2)]


def test_lanes_need_handles_in_loops_too() -> None:
    for call in call_everything(Channel(mode="mpsc")):
        with pytest.raises(RuntimeError, match="only a channel of mode 'mpmc'"):
            run(call())  # type: ignore[arg-type]


def test_waiting_tasks_are_seen_by_until() -> None:
    ch = Channel()

    async def main() -> None:
        task = asyncio.create_task(ch.areceive())
        await asyncio.sleep(0)
        Task(partial(ch.send, 1)).result()
        assert await task == 1

    run(main())
    until(lambda: ch.stats().received == 1)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("dtype", ["O", "u8", bytes])
def test_arrays_are_batches_of_any_channel(dtype: Any, shared: bool) -> None:
    ch = Channel(dtype, capacity=64, mode="spsc", shared=shared)
    tx, rx = ch.producer(), ch.consumer()
    batch = np.arange(3, dtype=np.uint64)
    run(tx.asend_batch(batch))
    assert tx.try_send_batch(batch) == 3
    expected = list(batch) if dtype is not bytes else [item.tobytes() for item in batch]
    assert list(rx.receive_batch(8)) + list(rx.try_receive_batch(8)) == expected * 2
