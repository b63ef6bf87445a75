"""A process that may start no thread: its calls look after the dead themselves, or say so."""

import asyncio
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

import bchan
from bchan import Channel, EndOfChannel
from bchan._types import Mode
from tests.support import DEADLINE, Task, forked, in_child, leaving_nothing, until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="shared channels need Linux"),
    pytest.mark.skipif(
        not hasattr(os, "geteuid") or os.geteuid() != 0,
        reason="the limit is a user's, so it takes root to be a user that has no other process",
    ),
]
nothing_left = pytest.fixture(autouse=True)(leaving_nothing)

MODES: list[Mode] = ["spsc", "mpsc", "spmc", "mpmc"]
USER = 61_234
"""Of no other process, for the limit counts them all."""
T = TypeVar("T")


def limit(threads: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    resource.setrlimit(resource.RLIMIT_NPROC, (threads, hard))


def without_threads(work: Callable[[], T]) -> T:
    """Work in a child that can start no thread."""

    def run() -> T:
        os.setgroups([])
        os.setgid(USER)
        os.setuid(USER)
        limit(1)
        with pytest.raises(RuntimeError):
            threading.Thread(target=int).start()
        return work()

    return in_child(run)


def die(tx: bchan.Producer) -> Callable[[], None]:
    def work() -> None:
        tx.send(1)
        time.sleep(0.3)  # so that the other waits by then, most often
        os.kill(os.getpid(), 9)

    return work


def end_of(receive: Callable[[], Any]) -> float:
    """How long it took to be told the end, of which only a death could tell."""
    receive()
    since = time.monotonic()
    with pytest.raises(EndOfChannel):
        receive()
    return time.monotonic() - since


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("dtype", "timeout"), [("u8", None), ("u8", 0.005), (object, DEADLINE)])
def test_death_is_noticed_without_a_thread(mode: Mode, dtype: Any, timeout: float | None) -> None:
    ch = Channel(dtype, 64, mode, shared=True)
    tx, rx = ch.producer(), ch.consumer()

    def receive() -> Any:
        while True:
            try:
                return rx.receive(timeout=timeout)
            except TimeoutError:  # what is asked for in small portions is as good
                assert timeout == 0.005

    with forked(die(tx)):
        del tx
        assert without_threads(lambda: end_of(receive)) < DEADLINE / 2


def test_death_of_a_consumer_is_noticed_without_a_thread() -> None:
    ch = Channel("u8", 4, "mpmc", shared=True)
    tx, rx = ch.producer(), ch.consumer()

    def hold() -> None:
        tx.send_batch([1, 2, 3, 4])
        rx.peek(4)
        time.sleep(0.3)
        os.kill(os.getpid(), 9)

    with forked(hold):
        del tx, rx
        until(lambda: len(ch) == 4 or ch.stats().received == 4)
        again = without_threads(lambda: [ch.receive(timeout=DEADLINE) for _ in range(4)])
        assert sorted(again) == [1, 2, 3, 4]


def test_select_notices_a_death_without_a_thread() -> None:
    ch, other = Channel("u8", 4, "spsc", shared=True), Channel("u8", 4, "spsc", shared=True)
    tx, rx, idle, waits = ch.producer(), ch.consumer(), other.producer(), other.consumer()

    def select() -> float:
        return end_of(lambda: bchan.select([rx, waits], timeout=DEADLINE))

    with forked(die(tx)):
        del tx
        assert without_threads(select) < DEADLINE / 2
    idle.close()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["u8", bytes, object])
def test_event_loop_is_told_that_no_thread_can_wait_for_it(mode: Mode, dtype: Any) -> None:
    ch = Channel(dtype, 64, mode, shared=True)
    tx, rx = ch.producer(), ch.consumer()
    one = 1 if dtype == "u8" else b"1"

    async def receive() -> None:
        with pytest.raises(RuntimeError, match="can't start the thread"):
            await rx.areceive()
        with pytest.raises(RuntimeError, match="can't start the thread"):
            await bchan.aselect([rx])
        # What need not wait needs no thread.
        tx.send(one)
        assert await rx.areceive() == one
        while tx.try_send(one):
            pass
        with pytest.raises(RuntimeError, match="can't start the thread"):
            await tx.asend(one)
        assert await rx.areceive() == one

    without_threads(lambda: asyncio.run(receive()))


def test_thread_is_started_once_it_can_be() -> None:
    ch = Channel("u8", 64, "spsc", shared=True)
    tx, rx = ch.producer(), ch.consumer()

    async def receive() -> int:
        with pytest.raises(RuntimeError, match="can't start the thread"):
            await rx.areceive()
        limit(50)
        waiter = asyncio.ensure_future(rx.areceive())
        await asyncio.sleep(0)
        Task(lambda: tx.send(5)).result()
        return int(await asyncio.wait_for(waiter, DEADLINE))

    assert without_threads(lambda: asyncio.run(receive())) == 5


def test_watch_begins_once_a_thread_can_be_had() -> None:
    ch = Channel("u8", 64, "spsc", shared=True)
    tx, rx = ch.producer(), ch.consumer()

    def threads() -> int:
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208

    def receive() -> int:
        rx.receive(timeout=DEADLINE)
        with pytest.raises(TimeoutError):
            rx.receive(timeout=0.1)
        assert threads() == 1
        limit(50)
        with pytest.raises(TimeoutError):
            rx.receive(timeout=0.1)
        return threads()

    def produce() -> None:
        tx.send(1)
        time.sleep(DEADLINE)

    with forked(produce):
        del tx
        assert without_threads(receive) == 2


def test_waiters_are_not_left_asleep_by_a_fork_after_which_no_thread_can_be_had() -> None:
    ch, sign = Channel("u8", 64, "spsc", shared=True), Channel("u8", 4, "mpmc", shared=True)
    tx, rx = ch.producer(), ch.consumer()

    def produce() -> None:
        tx.send(1)
        sign.receive(timeout=DEADLINE)
        os.kill(os.getpid(), 9)

    def receive() -> None:
        limit(50)
        assert rx.receive(timeout=DEADLINE) == 1
        waits = ch.stats().waits
        receiver = Task(rx.receive)
        until(lambda: ch.stats().waits > waits)
        limit(2)  # this thread and the receiver: the watch ends for the fork, and can't come back
        with pytest.raises(BlockingIOError):
            os.fork()
        sign.send(1)
        with pytest.raises(EndOfChannel):
            receiver.result()

    with forked(produce):
        del tx
        without_threads(receive)
