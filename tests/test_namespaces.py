"""A process that can't be seen is refused, and those who share the channel lose nothing."""

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pytest

from bchan import Channel, EndOfChannel, _sharing
from bchan._types import Mode
from tests.support import DEADLINE, Task, forked, in_child, leaving_nothing

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared channels need Linux")
nothing_left = pytest.fixture(autouse=True)(leaving_nothing)

MODES: list[Mode] = ["spsc", "mpsc", "spmc", "mpmc"]
CLONE_NEWNS, CLONE_NEWPID = 0x0002_0000, 0x2000_0000
MS_REC, MS_PRIVATE, MNT_DETACH = 1 << 14, 1 << 18, 2
T = TypeVar("T")


def call(function: str, *args: Any) -> None:
    """Call the C library; what it refuses is an OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*args) != 0:
        raise OSError(ctypes.get_errno(), f"{function} is not permitted")


def own_mounts(flags: int = CLONE_NEWNS) -> None:
    call("unshare", flags)
    call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)


def without_proc(work: Callable[[], T]) -> T:
    """Work in a child that has no /proc."""

    def run() -> T:
        own_mounts()
        while os.path.exists("/proc/version"):  # noqa: PTH110
            call("umount2", b"/proc", MNT_DETACH)
        return work()

    return in_child(run)


def elsewhere(work: Callable[[], T], *, has_proc: bool = True) -> T:
    """Work in a pid namespace of its own, with or without its /proc."""

    def run() -> T:
        own_mounts(CLONE_NEWNS | CLONE_NEWPID)
        return in_child(inside)  # a child is the first to be in it

    def inside() -> T:
        if has_proc:
            call("mount", b"proc", b"/proc", b"proc", 0, None)
        return work()

    return in_child(run)


@pytest.fixture(autouse=True, scope="module")
def may_unshare() -> None:
    try:
        elsewhere(lambda: None)
        without_proc(lambda: None)
    except OSError as error:
        pytest.skip(f"needs the right to make namespaces: {error}")


@pytest.mark.parametrize("has_proc", [True, False], ids=["own /proc", "no own /proc"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["u8", bytes, object])
def test_process_of_another_pid_namespace_is_refused(
    mode: Mode, dtype: Any, has_proc: bool
) -> None:
    ch = Channel(dtype, 64, mode, shared=True)
    tx, rx = ch.producer(), ch.consumer()
    one = 7 if dtype == "u8" else b"7"
    uses: list[Callable[[], Any]] = [
        lambda: tx.send(one),
        lambda: rx.receive(timeout=1),
        lambda: ch.producer(),
        lambda: ch.consumer(),
        ch.close,
        lambda: _sharing.look(ch._fd),
    ]
    if mode == "mpmc":
        uses += [lambda: ch.send(one), lambda: ch.receive(timeout=1)]

    def refusals() -> list[str]:
        messages = []
        for use in uses:
            with pytest.raises(OSError, match="pid namespace") as caught:
                use()
            messages.append(str(caught.value))
        return messages

    here = str(os.stat("/proc/self/ns/pid").st_ino)  # noqa: PTH116
    for message in elsewhere(refusals, has_proc=has_proc):
        assert not has_proc or here in message
    # The parent's handles are its own as before.
    tx.send(one)
    assert rx.receive(timeout=DEADLINE) == one
    tx.close()
    with pytest.raises(EndOfChannel):
        rx.receive(timeout=DEADLINE)
    assert ch.stats().deaths == 0


@pytest.mark.parametrize("mode", MODES)
def test_refused_process_costs_the_others_nothing(mode: Mode) -> None:
    ch = Channel("u8", 64, mode, shared=True)
    tx, rx = ch.producer(), ch.consumer()
    total = 5_000

    def produce() -> None:
        with tx:
            tx.send_batch(np.arange(total, dtype="u8"))

    def look() -> None:
        assert repr(ch)
        assert ch.stats().sent >= 0 <= len(ch)
        ch._participants()

    with forked(produce):
        del tx
        receiver = Task(lambda: [n for batch in rx.batches(8) for n in batch.tolist()])
        for _ in range(3):
            for has_proc in (True, False):
                with pytest.raises(OSError, match="namespace"):
                    elsewhere(ch.consumer, has_proc=has_proc)
                # To look harms nobody.
                elsewhere(look, has_proc=has_proc)
        assert receiver.result() == list(range(total))
        assert ch.stats().deaths == 0


def test_channels_within_a_pid_namespace_work() -> None:
    def talk() -> list[int]:
        ch = Channel("u8", 4, "spsc", shared=True)
        tx, rx = ch.producer(), ch.consumer()

        def produce() -> None:
            with tx:
                for n in range(100):
                    tx.send(n)

        with forked(produce):
            del tx
            return list(map(int, rx))

    assert elsewhere(talk) == list(range(100))


def test_channel_needs_the_proc_of_its_own_namespace() -> None:
    with pytest.raises(OSError, match="/proc is of another pid namespace"):
        elsewhere(lambda: Channel("u8", shared=True), has_proc=False)


def test_channel_without_proc_is_refused_at_creation() -> None:
    def make() -> tuple[int, int]:
        before = os.dup(0)
        os.close(before)
        with pytest.raises(OSError, match="not mounted here"):
            Channel("u8", shared=True)
        with pytest.raises(OSError, match="not mounted here"):
            _sharing.look(ch._fd)
        after = os.dup(0)
        os.close(after)
        heap = Channel("u8")
        heap.send(1)
        assert heap.receive() == 1
        return before, after

    ch = Channel("u8", shared=True)
    before, after = without_proc(make)
    assert before == after, "a descriptor was left"


def test_forked_child_without_proc_is_told_so() -> None:
    ch = Channel("u8", 4, "spsc", shared=True)
    tx, rx = ch.producer(), ch.consumer()
    with pytest.raises(OSError, match="not mounted here"):
        without_proc(lambda: tx.send(1))
    tx.send(2)
    assert rx.receive(timeout=DEADLINE) == 2
