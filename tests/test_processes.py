"""Channels between processes: passed on in every way, named, and outliving the dead."""

import asyncio
import gc
import multiprocessing as mp
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

import bchan
from bchan import Channel, Closed, Consumer, EndOfChannel, Producer
from bchan._types import Mode
from tests.support import DEADLINE, Task, end, leaving_nothing, start, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared channels need Linux")
nothing_left = pytest.fixture(autouse=True)(leaving_nothing)

MODES: list[Mode] = ["spsc", "mpsc", "spmc", "mpmc"]
METHODS = ["fork", "spawn", "forkserver"]
SOON = 2.0
"""Seconds within which survivors go on on a loaded machine; the promise is 0.2."""


@pytest.fixture(params=METHODS)
def ctx(request: pytest.FixtureRequest) -> Any:
    return mp.get_context(request.param)


def count_up(tx: Producer, n: int, first: int = 0) -> None:
    with tx:
        tx.send(first)
        if n > 2:
            with tx.batch(1) as slots:
                slots[:] = first + 1
        rest = np.arange(first + min(n, 2) if n > 2 else first + 1, first + n, dtype="u8")
        tx.send_batch(rest, timeout=DEADLINE)


def add_up(rx: Consumer, total: Producer) -> None:
    with rx, total:
        total.send(sum(int(batch.sum()) for batch in rx.batches(100)))


@pytest.mark.parametrize("mode", MODES)
def test_a_fresh_producer_goes_to_a_child(ctx: Any, mode: Mode) -> None:
    ch = Channel("u8", 64, mode, shared=True)
    process = start(ctx, count_up, ch.producer(), 10_000)
    with ch.consumer() as rx:
        assert [x for batch in rx.batches(1000) for x in batch.tolist()] == list(range(10_000))
    end(process)
    assert ch.stats().deaths == 0


@pytest.mark.parametrize("mode", MODES)
def test_a_fresh_consumer_goes_to_a_child(ctx: Any, mode: Mode) -> None:
    ch, totals = Channel("u8", 64, mode, shared=True), Channel("u8", 4, "mpsc", shared=True)
    process = start(ctx, add_up, ch.consumer(), totals.producer())
    with ch.producer() as tx:
        tx.send_batch(np.arange(5000, dtype="u8"), timeout=DEADLINE)
    assert totals.consumer().receive(timeout=DEADLINE) == 4999 * 5000 // 2
    end(process)


def produce_and_consume(ch: Channel, n: int) -> None:
    for i in range(n):
        ch.send(i, timeout=DEADLINE)


@pytest.mark.parametrize("mode", ["mpsc", "mpmc"])
def test_several_producers_end_the_channel_together(ctx: Any, mode: Mode) -> None:
    ch = Channel("u8", 64, mode, shared=True)
    processes = [start(ctx, count_up, ch.producer(), 2000, 2000 * i) for i in range(3)]
    with ch.consumer() as rx:
        items = [x for batch in rx.batches(100) for x in batch.tolist()]
    end(*processes)
    assert sorted(items) == list(range(6000))
    for i in range(3):
        mine = [x for x in items if x // 2000 == i]
        assert mine == sorted(mine)


def test_a_channel_goes_to_a_child_and_is_used_without_handles(ctx: Any) -> None:
    ch = Channel("u8", 16, shared=True)
    process = start(ctx, produce_and_consume, ch, 1000)
    assert [ch.receive(timeout=DEADLINE) for _ in range(1000)] == list(range(1000))
    end(process)


_worker_channel: Channel


def _initialise(ch: Channel) -> None:
    global _worker_channel
    _worker_channel = ch


def _work(x: int) -> int:
    _worker_channel.send(x, timeout=DEADLINE)
    return os.getpid()


def test_a_channel_goes_to_the_workers_of_an_executor(ctx: Any) -> None:
    ch = Channel("i8", 64, shared=True)
    with ProcessPoolExecutor(2, mp_context=ctx, initializer=_initialise, initargs=(ch,)) as pool:
        assert os.getpid() not in set(pool.map(_work, range(50)))
    assert sorted(ch.receive(timeout=DEADLINE) for _ in range(50)) == list(range(50))


def _use_all(tx: Producer, rx: Consumer, out: Producer) -> None:
    said = []
    for use in (lambda: tx.send(1), lambda: rx.try_receive(), tx.close, rx.close):
        try:
            use()
            said.append(0)
        except RuntimeError as error:
            said.append(int("fork" in str(error) or "process" in str(error)))
    out.send_batch(said)


def test_a_used_handle_is_refused_in_the_child_of_a_fork() -> None:
    ch, out = Channel("u8", 8, "mpsc", shared=True), Channel("i8", 8, "spsc", shared=True)
    tx, rx = ch.producer(), ch.consumer()
    tx.send(7)
    assert rx.try_receive() == 7
    process = start(mp.get_context("fork"), _use_all, tx, rx, out.producer())
    assert out.consumer().receive_batch(4, timeout=DEADLINE).tolist() == [1, 1, 1, 1]
    end(process)
    tx.send(8)
    assert rx.receive() == 8


def test_of_parent_and_child_the_first_to_use_a_handle_has_it() -> None:
    ch = Channel("u8", 8, "mpsc", shared=True)
    tx = ch.producer()
    process = start(mp.get_context("fork"), count_up, tx, 1)
    end(process)
    with pytest.raises((RuntimeError, Closed), match=r"in use by process|another process had it"):
        tx.send(1)
    assert list(ch.consumer()) == [0]


def test_a_channel_in_the_memory_of_one_process_cannot_be_passed_on() -> None:
    ch = Channel("u8", mode="mpsc")
    for what in (ch, ch.producer(), ch.consumer()):
        with pytest.raises(TypeError, match="shared=True"):
            pickle.dumps(what)


def test_a_used_handle_cannot_be_pickled() -> None:
    ch = Channel("u8", mode="mpsc", name="test-used")
    tx = ch.producer()
    tx.send(1)
    with pytest.raises(RuntimeError, match="never used"):
        pickle.dumps(tx)
    del ch, tx
    gc.collect()


def test_a_pickled_handle_is_taken_over_once() -> None:
    ch = Channel("u8", mode="mpsc", name="test-once")
    tx = ch.producer()
    pickled = pickle.dumps(tx)
    with pickle.loads(pickled) as other:
        other.send(1)
        with pytest.raises(RuntimeError, match="in use"):
            pickle.loads(pickled)
        with pytest.raises(RuntimeError, match="in use"):
            tx.send(2)
        tx.close()
        assert ch.active_producers == 1
    assert list(ch.consumer()) == [1]


def test_a_handle_that_no_child_uses_is_left_when_the_last_child_is_gone() -> None:
    ch = Channel("u8", 8, "mpsc", shared=True)
    tx = ch.producer()
    process = start(mp.get_context("fork"), time.sleep, DEADLINE)
    del tx
    assert ch.active_producers == 1, "the child may yet use its copy"
    process.kill()
    with ch.consumer() as rx, pytest.raises(EndOfChannel):
        rx.receive(timeout=DEADLINE)
    process.join()


# Names.


def test_a_child_that_is_slow_to_come_finds_what_was_left_for_it() -> None:
    done = program(
        """
        import ctypes, os, time

        @ctypes.CFUNCTYPE(None)
        def slowly():
            time.sleep(0.2)

        # Of another library, that came before.
        ctypes.CDLL(None).__register_atfork(None, None, slowly, None)
        import bchan

        ch = bchan.Channel("u8", mode="spsc", shared=True)
        tx, rx = ch.producer(), ch.consumer()
        child = os.fork()
        if child == 0:
            os._exit(rx.receive(timeout=10))
        del rx
        tx.send(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """
    )
    assert done.stdout == "7\n", done.stderr


def test_a_child_that_was_killed_before_it_came_keeps_nothing() -> None:
    done = program(
        """
        import ctypes, os, signal, subprocess, time

        @ctypes.CFUNCTYPE(None)
        def slowly():
            time.sleep(10)

        ctypes.CDLL(None).__register_atfork(None, None, slowly, None)
        import bchan

        ch = bchan.Channel("u8", mode="spsc", shared=True)
        tx, rx = ch.producer(), ch.consumer()
        # It has nothing to do with channels, and goes on.
        with subprocess.Popen(["sleep", "60"]) as other:
            child = os.fork()
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            del tx
            try:
                rx.receive(timeout=10)
            except bchan.EndOfChannel:
                print("ended")
            finally:
                other.kill()
        """
    )
    assert done.stdout == "ended\n", done.stderr


def python(code: str) -> "subprocess.CompletedProcess[str]":
    return program("import bchan\n" + code)


def program(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", dedent(code)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def test_another_program_finds_a_channel_by_name() -> None:
    ch = Channel([("price", "f8"), ("side", "S1")], 16, "mpmc", name="test-found")
    done = python("ch = bchan.Channel.attach('test-found'); ch.send((1.5, b'B')); print(ch.name)")
    assert done.stdout == "test-found\n", done.stderr
    assert ch.receive(timeout=DEADLINE).tolist() == (1.5, b"B")
    assert pickle.loads(pickle.dumps(ch)).name == "test-found"


def test_a_name_is_free_again_when_all_have_let_go() -> None:
    ch = Channel("u8", name="test-free")
    with pytest.raises(FileExistsError, match=r"test-free.*process"):
        Channel("u8", name="test-free")
    other = Channel.attach("test-free")
    del ch
    gc.collect()
    other.send(1)
    assert Channel.attach("test-free").receive() == 1
    del other
    gc.collect()
    with pytest.raises(FileNotFoundError, match="test-free"):
        Channel.attach("test-free")
    Channel("u8", name="test-free")
    gc.collect()


def test_the_name_of_the_dead_is_free() -> None:
    dead = python("import os; ch = bchan.Channel('u8', name='test-dead'); os.kill(os.getpid(), 9)")
    assert dead.returncode == -signal.SIGKILL
    with pytest.raises(FileNotFoundError, match="gone"):
        Channel.attach("test-dead")
    python("import os; ch = bchan.Channel('u8', name='test-dead'); os.kill(os.getpid(), 9)")
    assert Channel("u8", name="test-dead").name == "test-dead"
    gc.collect()


@pytest.mark.parametrize("name", ["", "a/b", "../x", "x" * 201, "a b", "\0"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name must be"):
        Channel("u8", name=name)


def test_a_card_that_others_can_write_is_refused() -> None:
    ch = Channel("u8", name="test-mode")
    card = Path(f"/dev/shm/bchan-{os.geteuid()}-test-mode")  # noqa: S108
    assert card.stat().st_mode & 0o777 == 0o600
    card.chmod(0o666)
    with pytest.raises(PermissionError, match="no other may use"):
        Channel.attach("test-mode")
    card.chmod(0o600)
    del ch
    gc.collect()


def test_memory_that_is_no_channel_is_refused() -> None:
    fd = os.memfd_create("nonsense", os.MFD_ALLOW_SEALING)
    try:
        with pytest.raises(ValueError, match="not sealed"):
            bchan._core.read_metadata(fd)
        os.write(fd, os.urandom(1 << 20))
        import fcntl

        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        with pytest.raises(ValueError, match="starts with"):
            bchan._core.read_metadata(fd)
    finally:
        os.close(fd)


# Death.


def _die_with(what: str, tx: Producer, rx: Consumer | None, ready: Producer) -> None:
    if what == "idle":
        tx.send(1)
    elif what == "reserved":
        tx.send(1)
        tx.reserve(2)[:] = 99
    elif what == "blocked":
        with suppress(BaseException):
            tx.send_batch(np.arange(1, 1000, dtype="u8"))
    ready.send(1)
    time.sleep(DEADLINE)


@pytest.mark.parametrize("what", ["idle", "reserved"])
@pytest.mark.parametrize("mode", MODES)
def test_a_killed_producer_counts_as_closed(mode: Mode, what: str) -> None:
    ch, ready = Channel("u8", 8, mode, shared=True), Channel("u8", 2, "spsc", shared=True)
    process = start(mp.get_context("fork"), _die_with, what, ch.producer(), None, ready.producer())
    rx = ch.consumer()
    assert rx.receive(timeout=DEADLINE) == 1
    assert ready.consumer().receive(timeout=DEADLINE) == 1
    waiting = Task(lambda: rx.receive(timeout=DEADLINE))
    until(lambda: ch.stats().waits > 0)
    process.kill()
    killed = time.monotonic()
    with pytest.raises(EndOfChannel):
        waiting.result()
    assert time.monotonic() - killed < SOON
    process.join()
    assert ch.stats().deaths == 1
    assert ch._dead() == [process.pid]
    assert ch.stats().abandoned == (2 if what == "reserved" and mode in ("spmc", "mpmc") else 0)


def _hold(rx: Consumer, n: int, ready: Producer) -> None:
    rx.peek(n)
    ready.send(1)
    time.sleep(DEADLINE)


@pytest.mark.parametrize("mode", MODES)
def test_what_a_killed_consumer_held_comes_again(mode: Mode) -> None:
    ch, ready = Channel("u8", 8, mode, shared=True), Channel("u8", 2, "spsc", shared=True)
    tx = ch.producer()
    tx.send_batch([1, 2, 3, 4])
    process = start(mp.get_context("fork"), _hold, ch.consumer(), 3, ready.producer())
    assert ready.consumer().receive(timeout=DEADLINE) == 1
    process.kill()
    process.join()
    tx.close()
    with ch.consumer() as rx:
        received = sorted(x for batch in rx.batches(8) for x in batch.tolist())
    assert received == [1, 2, 3, 4]


def _compete(ch: Channel, first: int) -> None:
    tx = ch.producer()
    n = first
    while True:
        tx.send(n)
        n += 1


def test_killing_producers_loses_nothing_and_hangs_nobody() -> None:
    """Random kills for a while: what arrives of each is 0, 1, 2 and so on, without a gap."""
    ch = Channel("u8", 16, "mpmc", shared=True)
    ctx, rx = mp.get_context("fork"), ch.consumer()
    keeper = ch.producer()
    seen: dict[int, int] = {}
    until_end = time.monotonic() + 3
    number = 0
    processes = []
    while time.monotonic() < until_end:
        processes.append(start(ctx, _compete, ch, number << 32))
        number += 1
        for _ in range(300):
            item = int(rx.receive(timeout=DEADLINE))
            source, n = item >> 32, item & 0xFFFFFFFF
            assert n == seen.get(source, -1) + 1
            seen[source] = n
        if len(processes) > 2:
            victim = processes.pop(0)
            victim.kill()
            victim.join()
    for process in processes:
        process.kill()
        process.join()
    # It was never used, and its heirs are dead.
    keeper.close()
    with suppress(EndOfChannel):
        while True:
            item = int(rx.receive(timeout=DEADLINE))
            source, n = item >> 32, item & 0xFFFFFFFF
            assert n == seen.get(source, -1) + 1
            seen[source] = n
    # Some may have died before they had a handle, or had sent anything.
    assert 10 < len(seen) <= ch.stats().deaths <= number
    assert ch.active_producers == 0


def test_many_channels_leave_nothing_behind() -> None:
    """Ten thousand in `bench/programs/many_channels.py`; a few hundred here."""
    ctx = mp.get_context("fork")

    def use(channels: list[Channel], dies: bool) -> None:
        for ch in channels:
            ch.producer().send(1)
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)

    def maps() -> int:
        return len(Path("/proc/self/maps").read_text().splitlines())

    before = None
    for round_ in range(6):
        channels = [Channel("u8", 8, shared=True) for _ in range(50)]
        process = start(ctx, use, channels, round_ % 2 == 0)
        for ch in channels:
            assert ch.receive(timeout=DEADLINE) == 1
        del ch
        process.join()
        del channels
        gc.collect()
        now = (len(os.listdir("/proc/self/fd")), maps())  # noqa: PTH208
        before = before or now
        assert now[0] <= before[0] + 2
        assert now[1] <= before[1] + 20
    assert threading.active_count() < 20


# Event loops.


def _send_slowly(tx: Any, items: list[Any]) -> None:
    with tx:
        for item in items:
            time.sleep(0.001)
            tx.send(item, timeout=DEADLINE)


async def _all_of(rx: Any) -> list[Any]:
    return [item async for item in rx]


@pytest.mark.parametrize("dtype", ["u8", bytes])
@pytest.mark.parametrize("mode", MODES)
def test_a_loop_receives_from_another_process(ctx: Any, mode: Mode, dtype: Any) -> None:
    ch = Channel(dtype, 8, mode, shared=True)
    items = [b"%d" % i if dtype is bytes else i for i in range(100)]
    process = start(ctx, _send_slowly, ch.producer(), items)
    assert asyncio.run(asyncio.wait_for(_all_of(ch.consumer()), DEADLINE)) == items
    end(process)


def _receive_slowly(rx: Any, out: Producer) -> None:
    with out:
        for item in rx:
            time.sleep(0.001)
            out.send(len(item) if isinstance(item, bytes) else int(item))


@pytest.mark.parametrize("dtype", ["u8", bytes])
@pytest.mark.parametrize("mode", MODES)
def test_a_loop_sends_to_another_process(mode: Mode, dtype: Any) -> None:
    ch, out = Channel(dtype, 4, mode, shared=True), Channel("u8", 256, "spsc", shared=True)
    process = start(mp.get_context("fork"), _receive_slowly, ch.consumer(), out.producer())

    async def send() -> None:
        with ch.producer() as tx:
            for i in range(1, 101):
                await tx.asend(bytes(i) if dtype is bytes else i)

    asyncio.run(asyncio.wait_for(send(), DEADLINE))
    assert sum(out.consumer()) == 5050
    end(process)


def test_many_loops_wait_without_polling_and_leave_no_thread() -> None:
    """More alarms than one relay takes; while nothing comes, nobody runs."""
    channels = [Channel("u8", 4, shared=True) for _ in range(200)]

    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    before = threads()

    async def wait_for_all() -> list[int]:
        tasks = [asyncio.create_task(ch.areceive()) for ch in channels]
        await asyncio.sleep(0.05)
        # Two words for each channel: one for messages, one for newcomers.
        assert before < threads() <= before + 5
        used = time.process_time()
        await asyncio.sleep(0.5)
        assert time.process_time() - used < 0.05
        process = start(mp.get_context("fork"), _send_each, channels)
        received = await asyncio.gather(*tasks)
        await asyncio.to_thread(end, process)
        return received

    assert asyncio.run(wait_for_all()) == list(range(200))
    until(lambda: threads() <= before + 1)


def _send_each(channels: list[Channel]) -> None:
    for i, ch in enumerate(channels):
        ch.send(i)


def test_a_task_learns_of_a_death() -> None:
    ch, ready = Channel("u8", 8, "mpsc", shared=True), Channel("u8", 2, "spsc", shared=True)
    process = start(
        mp.get_context("fork"), _die_with, "idle", ch.producer(), None, ready.producer()
    )
    rx = ch.consumer()

    async def receive_until_the_end() -> float:
        assert await rx.areceive() == 1
        assert await ready.consumer().areceive() == 1
        waiting = asyncio.create_task(rx.areceive())
        await asyncio.sleep(0.05)
        process.kill()
        killed = time.monotonic()
        with pytest.raises(EndOfChannel):
            await waiting
        return time.monotonic() - killed

    assert asyncio.run(asyncio.wait_for(receive_until_the_end(), DEADLINE)) < SOON
    process.join()


def test_select_takes_from_another_process() -> None:
    numbers, words = Channel("u8", 8, "mpsc", shared=True), Channel(bytes, 8, shared=True)
    process = start(mp.get_context("fork"), _send_slowly, numbers.producer(), [1, 2, 3])
    rx = numbers.consumer()
    for i in (1, 2, 3):
        assert bchan.select([rx, bchan.after(DEADLINE)]) == (rx, i)
    other = start(mp.get_context("fork"), _send_slowly, words.producer(), [b"word"])
    assert bchan.select([words, bchan.after(DEADLINE)]).item == b"word"
    end(process, other)
