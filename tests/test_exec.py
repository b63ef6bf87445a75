"""A process that executes another program has left its channels, as one that was killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

import bchan
from bchan import Channel, EndOfChannel, _core
from bchan._types import Mode
from tests.support import DEADLINE, Task, drain, forked, leaving_nothing, until, until_parked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared channels need Linux")
nothing_left = pytest.fixture(autouse=True)(leaving_nothing)

MODES: list[Mode] = ["spsc", "mpsc", "spmc", "mpmc"]
KINDS: list[tuple[Any, Callable[[int], Any]]] = [
    ("u8", int),
    (bytes, lambda n: bytes([n]) * 100),
    (object, lambda n: {"n": [n] * 50}),
]
SOON = 2.0
"""Seconds within which survivors go on, on a loaded machine."""


@pytest.fixture(params=KINDS, ids=["u8", "bytes", "object"])
def kind(request: pytest.FixtureRequest) -> tuple[Any, Callable[[int], Any]]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def word() -> Iterator[tuple[Callable[[], None], Callable[[], None]]]:
    """A way to be given the word by another process, and to give it."""
    reads, writes = os.pipe()
    yield lambda: assert_(os.read(reads, 1)), lambda: assert_(os.write(writes, b"!"))
    os.close(reads)
    os.close(writes)


def assert_(what: object) -> None:
    assert what


def execute() -> None:
    """Become another program, which lives for longer than a test."""
    os.execv("/bin/sleep", ["sleep", "600"])  # noqa: S606


def runs_sleep(pid: int) -> bool:
    return Path(f"/proc/{pid}/comm").read_text().strip() == "sleep"


@pytest.mark.parametrize("mode", MODES)
def test_exec_of_the_last_producer_ends_the_channel(mode: Mode, kind: Any, word: Any) -> None:
    dtype, item = kind
    wait, give = word
    ch = Channel(dtype, 64, mode, shared=True)
    tx, rx = ch.producer(), ch.consumer()

    def produce() -> None:
        tx.send(item(1))
        wait()
        execute()

    with forked(produce) as pid:
        del tx
        assert rx.receive(timeout=DEADLINE) == item(1)
        waits = ch.stats().waits
        receiver = Task(rx.receive)  # without a deadline: told by the exec alone
        until_parked(ch, waits + 1)
        give()
        until(lambda: runs_sleep(pid))
        since = time.monotonic()
        with pytest.raises(EndOfChannel):
            receiver.result()
        assert time.monotonic() - since < SOON
        assert os.waitpid(pid, os.WNOHANG) == (0, 0), "the process still runs"
        assert ch.stats().deaths == 1


@pytest.mark.parametrize("mode", MODES)
def test_what_an_executing_consumer_had_claimed_comes_again(mode: Mode) -> None:
    ch = Channel("u8", 16, mode, shared=True, keep_open=True)
    tx, rx = ch.producer(), ch.consumer()
    tx.send_batch(np.arange(16, dtype="u8"))

    def consume() -> None:
        assert rx.receive(timeout=DEADLINE) == 0
        assert len(rx.peek(4)) > 0
        execute()

    with forked(consume):
        del rx
        tx.send(16, timeout=DEADLINE)
        tx.close()

        def consumer() -> bool:
            try:
                again.append(ch.consumer())
            except RuntimeError:
                return False  # the place of the dead, until somebody has cleared up
            return True

        again: list[Any] = []
        until(consumer)
        # In a ring that consumers share what comes again may come after what came meanwhile.
        assert sorted(drain(again[0])) == list(range(1, 17))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["u8", bytes])
def test_what_an_executing_producer_had_reserved_holds_nobody_up(mode: Mode, dtype: Any) -> None:
    ch = Channel(dtype, 64, mode, shared=True)
    tx, rx = ch.producer(), ch.consumer()
    one = 7 if dtype == "u8" else b"7" * 100

    def produce() -> None:
        tx.send(one)
        tx.reserve(3)
        execute()

    with forked(produce):
        del tx
        assert rx.receive(timeout=DEADLINE) == one
        with pytest.raises(EndOfChannel):
            rx.receive(timeout=DEADLINE)


def drain_what_is_there(ch: Any) -> None:
    with suppress(TimeoutError):
        while True:
            ch.receive_batch(256, timeout=0.1)


@pytest.mark.parametrize("dtype", ["u8", bytes, object])
def test_exec_amid_claims_of_other_threads_leaves_the_channel_usable(dtype: Any) -> None:
    many: dict[Any, Any] = {
        "u8": np.arange(200, dtype="u8"),
        bytes: b"x" * 1_000_000,
        object: ["x" * 50_000] * 20,
    }
    one: Any = {"u8": 7, bytes: b"7", object: ("7",)}[dtype]
    for turn in range(12):
        ch = Channel(dtype, 256 if dtype == "u8" else 1 << 16, "mpmc", shared=True)

        def send(ch: Channel = ch) -> None:
            while True:
                (ch.send if dtype is bytes else ch.send_batch)(many[dtype])

        def produce(ch: Channel = ch, send: Any = send, turn: int = turn) -> None:
            for _ in range(3):
                threading.Thread(target=send, daemon=True).start()
            until(lambda: ch.stats().sent > 3 * turn)
            execute()

        with forked(produce) as pid:
            while not runs_sleep(pid):
                ch.try_receive_batch(64)
            # Drained by what waits, and so clears up; then one message goes through.
            drain_what_is_there(ch)
            ch.send(one, timeout=DEADLINE)
            assert ch.receive(timeout=DEADLINE) == one
            assert not len(ch)


def test_a_program_that_a_process_starts_is_not_its_own_exec(word: Any) -> None:
    wait, give = word
    ch = Channel("u8", 64, "spsc", shared=True)
    tx, rx = ch.producer(), ch.consumer()

    def produce() -> None:
        with tx:
            for n in range(20):
                tx.send(n)
                subprocess.run(["/bin/true"], check=True)
                with forked(execute) as child:
                    until(lambda child=child: runs_sleep(child))  # type: ignore[misc]
            give()
            wait()

    with forked(produce):
        del tx
        assert [rx.receive(timeout=DEADLINE) for _ in range(20)] == list(range(20))
        assert ch.stats().deaths == 0
        assert ch.active_producers == 1
        give()
        with pytest.raises(EndOfChannel):
            rx.receive(timeout=DEADLINE)
        assert ch.stats().deaths == 0


def test_a_process_that_closes_all_descriptors_is_not_dead() -> None:
    ch = Channel("u8", 4, "spsc", shared=True)
    tx, rx = ch.producer(), ch.consumer()

    def produce() -> None:
        tx.send(0)
        os.closerange(3, 1024)  # as those do that become daemons
        for n in range(1, 2_000):
            tx.send(n)
        execute()

    with forked(produce):
        del tx
        assert [rx.receive(timeout=DEADLINE) for _ in range(2_000)] == list(range(2_000))
        # It has no lifeline any more, and is looked at now and then.
        with pytest.raises(EndOfChannel):
            rx.receive(timeout=DEADLINE)


def test_a_child_that_lives_on_does_not_hide_its_parents_exec(word: Any) -> None:
    wait, _ = word
    ch = Channel("u8", 4, "spsc", shared=True)
    tx, rx = ch.producer(), ch.consumer()

    def produce() -> None:
        tx.send(1)
        if os.fork():
            execute()
        wait()

    with forked(produce):
        del tx
        assert rx.receive(timeout=DEADLINE) == 1
        with pytest.raises(EndOfChannel):
            rx.receive(timeout=DEADLINE)
        word[1]()


def test_a_program_that_executes_itself_is_another_participant() -> None:
    ch = Channel("u8", 64, "mpsc", max_producers=3, shared=True)
    tx, rx, ours = ch.producer(), ch.consumer(), ch.producer()
    ours.send(0)
    assert rx.receive() == 0
    again = dedent(
        """
        import os, sys, time, bchan
        ch = bchan._sharing.look(int(sys.argv[1]))
        with ch.producer() as tx:
            tx.send(os.getpid())
            tx.send(ch.active_producers)
        time.sleep(600)
        """
    )

    def produce() -> None:
        tx.send(os.getpid())
        fd = os.dup(ch._fd)
        os.set_inheritable(fd, True)
        os.execv(sys.executable, [sys.executable, "-c", again, str(fd)])  # noqa: S606

    with forked(produce) as pid:
        del tx
        assert rx.receive(timeout=DEADLINE) == pid
        # The old one is dead, and the new one, of the same id, is not.
        assert rx.receive(timeout=DEADLINE) == pid
        assert rx.receive(timeout=DEADLINE) in (2, 3)
        until(lambda: ch.active_producers == 1)
        assert ch.stats().deaths == 1
        ours.close()
        with pytest.raises(EndOfChannel):
            rx.receive(timeout=DEADLINE)


def test_whether_a_process_lives_is_told_by_its_program(word: Any) -> None:
    wait, give = word
    reads, writes = os.pipe()

    def tell() -> None:
        os.write(writes, _core.this_process().to_bytes(8, "little"))
        wait()
        execute()

    with forked(tell) as pid:
        number = int.from_bytes(os.read(reads, 8), "little")
        assert _core.process_lives(number) is True
        assert _core.process_lives(_core.this_process()) is True
        give()
        until(lambda: runs_sleep(pid))
        assert _core.process_lives(number) is False
    os.close(reads)
    os.close(writes)


def test_exec_of_a_process_that_sleeps_in_a_call(word: Any) -> None:
    wait, give = word
    ch: Channel = Channel("u8", 4, "mpmc", shared=True)

    def consume() -> None:
        Task(ch.receive)
        until_parked(ch)
        wait()
        execute()

    with forked(consume) as pid:
        until_parked(ch)
        give()
        until(lambda: runs_sleep(pid))
        # A wake-up that the dead one might take reaches the living.
        receiver = Task(ch.receive)
        ch.send(1)
        assert receiver.result() == 1


def test_undertaker_is_not_the_one_that_executed() -> None:
    # Whoever was about to clear up, or to close, may execute another program amid that.
    ch = Channel("u8", 4, "mpmc", shared=True)
    tx, rx = ch.producer(), ch.consumer()

    def close() -> None:
        def again_and_again() -> None:
            while True:
                ch.close()

        Task(again_and_again)
        until(lambda: ch.closed)
        execute()

    with forked(close) as pid:
        until(lambda: runs_sleep(pid))
        with pytest.raises(bchan.Closed):
            tx.send(1, timeout=DEADLINE)
        with pytest.raises(EndOfChannel):
            rx.receive(timeout=DEADLINE)
    with forked(lambda: os.kill(os.getpid(), signal.SIGKILL)):
        ch.close()
