"""Steady state allocates nothing, and what was allocated goes."""

import ctypes
import gc
import sys
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any, get_args

import numpy as np
import psutil
import pytest

from bchan import Channel, EndOfChannel
from bchan._types import Mode
from tests.support import Task

RING_BYTES = 1 << 20
MAPS = Path("/proc/self/maps")


def rss() -> int:
    return int(psutil.Process().memory_info().rss)


def test_ten_million_messages_allocate_nothing() -> None:
    ch = Channel("u8", capacity=65_536, mode="mpsc", max_producers=2)
    tx, rx = ch.producer(), ch.consumer()
    batch, buffer = np.arange(64, dtype="u8"), np.zeros(64, dtype="u8")

    def turn(n: int) -> None:
        for _ in range(n):
            tx.send_batch(batch)
            rx.receive_into(buffer)
            tx.send(7)
            rx.receive()

    turn(2000)  # every slot of the ring was used once
    gc.collect()
    blocks, memory = sys.getallocatedblocks(), rss()
    turn(10_000_000 // 65)
    assert abs(sys.getallocatedblocks() - blocks) < 50
    assert rss() - memory < 1 << 20


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def most_at_once(turn: Callable[[], object], turns: int) -> int:
    """Bytes that Python's allocators gave out at once at most, what was freed at once included."""
    calls = repeat(None, turns)
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    for _ in calls:
        turn()
    return tracemalloc.get_traced_memory()[1] - before


class MallInfo(ctypes.Structure):
    """What glibc tells of its heap."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def heap() -> int:
    """Bytes that `malloc` has given out, to whatever language; 0 where it does not tell."""
    mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo2 is None:
        return 0
    mallinfo2.restype = MallInfo
    told = mallinfo2()
    return int(told.uordblks + told.hblkhd)


def turns_of(mode: Mode) -> list[tuple[Channel, Callable[[], object]]]:
    """Ways to send and receive that have no reason to allocate, and where they do."""
    ch, objects = Channel("u8", capacity=1024, mode=mode), Channel(capacity=1024, mode=mode)
    messages = Channel(bytes, capacity=1024, mode=mode)
    tx, rx = ch.producer(), ch.consumer()
    object_tx, object_rx = objects.producer(), objects.consumer()
    bytes_tx, bytes_rx = messages.producer(), messages.consumer()
    batch, room = np.arange(64, dtype="u8"), np.zeros(64, dtype="u8")
    message, buffer = bytes(100), bytearray(100)

    # No assert here: what pytest makes of it allocates.
    def batches() -> None:
        tx.send_batch(batch)
        rx.receive_into(room)

    def tried_batches() -> None:
        tx.try_send_batch(batch)
        rx.try_receive_into(room)

    def singles() -> None:
        tx.send(7)
        rx.receive()

    def tried_singles() -> None:
        tx.try_send(7)
        rx.try_receive()

    def of_objects() -> None:
        object_tx.send(batch)
        object_rx.receive()

    def of_bytes() -> None:
        bytes_tx.send(message)
        bytes_rx.receive_into(buffer)

    def without_a_handle() -> None:
        ch.send(7)
        ch.receive()

    ways: list[tuple[Channel, Callable[[], object]]]
    ways = [(ch, turn) for turn in (batches, tried_batches, singles, tried_singles)]
    ways += [(objects, of_objects), (messages, of_bytes)]
    return [*ways, (ch, without_a_handle)] if mode == "mpmc" else ways


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("mode", get_args(Mode))
def test_no_call_of_the_hot_path_allocates_not_even_for_a_moment(mode: Mode) -> None:
    nothing = most_at_once(lambda: None, 1000)
    assert most_at_once(lambda: object(), 1000) > nothing  # so one small object would be seen
    for channel, turn in turns_of(mode):
        most_at_once(turn, 2000)  # every slot was used once
        gc.collect()
        memory, received = heap(), channel.stats().received
        assert most_at_once(turn, 100_000) <= nothing, turn
        assert heap() - memory < 10_000, turn
        assert channel.stats().received - received >= 100_000
        assert len(channel) == 0


def test_a_heap_that_grows_is_seen() -> None:
    before = heap()
    if before == 0:
        pytest.skip("this system's malloc does not tell")
    kept = [np.zeros(4000, dtype="u1") for _ in range(100)]
    assert heap() - before > 100 * 4000
    del kept


@pytest.mark.skipif(not MAPS.exists(), reason="not told here")
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("mode", get_args(Mode))
def test_resident_memory_grows_by_the_pages_that_messages_touch(mode: Mode, shared: bool) -> None:
    ch = Channel("u8", capacity=RING_BYTES // 8, mode=mode, shared=shared)
    tx, rx = ch.producer(), ch.consumer()
    before = ch.resident_bytes()
    half = np.zeros(RING_BYTES // 16, dtype="u8")
    tx.send_batch(half)
    grown = ch.resident_bytes() - before
    assert RING_BYTES // 2 <= grown < RING_BYTES * 3 // 4
    rx.receive_into(half)
    assert ch.resident_bytes() - before == grown
    assert ch.resident_bytes() <= ch.stats().bytes_mapped


def test_waiting_allocates_nothing_either() -> None:
    ch = Channel("u8", capacity=16, mode="spsc")
    rx, batch = ch.consumer(), np.arange(64, dtype="u8")

    def produce() -> None:
        with ch.producer() as tx:
            for _ in range(10_000):
                tx.send_batch(batch)

    sending, buffer = Task(produce), np.zeros(64, dtype="u8")
    for _ in range(1000):
        rx.receive_into(buffer)
    blocks = sys.getallocatedblocks()
    received = 0
    try:
        while True:
            received += rx.receive_into(buffer)
    except EndOfChannel:
        pass
    assert received > 600_000 - 64_000
    assert sys.getallocatedblocks() - blocks < 100
    sending.result()


def maps() -> int:
    return len(MAPS.read_text("ascii").splitlines())


@pytest.mark.skipif(not MAPS.exists(), reason="no list of maps here")
def test_dropped_channels_leave_no_map_no_memory_and_no_file() -> None:
    def one_channel() -> None:
        ch = Channel("u8", capacity=RING_BYTES // 8, mode="mpsc", max_producers=3)
        producers = [ch.producer() for _ in range(3)]
        for tx in producers:
            tx.send_batch(np.zeros(1000, dtype="u8"))
        ch.consumer().peek(10)

    one_channel()
    gc.collect()
    process = psutil.Process()
    before = (maps(), process.num_fds(), process.num_threads(), sys.getallocatedblocks())
    memory = rss()
    for _ in range(300):
        one_channel()
    gc.collect()
    after = (maps(), process.num_fds(), process.num_threads(), sys.getallocatedblocks())
    assert after[1:3] == before[1:3]
    assert after[0] - before[0] < 10
    assert abs(after[3] - before[3]) < 100
    assert rss() - memory < 8 << 20


def test_unused_lanes_cost_address_space_and_no_memory() -> None:
    before = rss()
    ch = Channel("u8", capacity=65_536, mode="mpsc", max_producers=4096)
    producers = [ch.producer() for _ in range(100)]
    producers[50].send(1)
    assert ch.consumer().receive() == 1
    assert ch.stats().bytes_mapped > 4096 * 65_536 * 8
    assert rss() - before < 16 << 20


def test_stats_count_what_was_done() -> None:
    ch = Channel("u8", capacity=8, mode="mpsc", max_producers=3)
    first, second, rx = ch.producer(), ch.producer(), ch.consumer()
    first.send_batch(range(5))
    second.send(1)
    rx.receive_batch(2)
    stats = ch.stats()
    assert (stats.sent, stats.received, len(ch)) == (6, 2, 4)
    assert (stats.waits, stats.wakes, stats.time_parked) == (0, 0, 0.0)
    assert stats.barrier in ("membarrier", "fence")
    with pytest.raises(TimeoutError):
        Channel("u8", mode="spsc").consumer().receive(timeout=0.01)


@pytest.mark.parametrize("kind", [{"dtype": "u1"}, {"dtype": bytes}, {"shared": True}])
def test_a_cycle_through_an_iterator_is_collected(kind: dict[str, Any]) -> None:
    class Kept:
        """What a number of messages may be: `batches` keeps it."""

        def __index__(self) -> int:
            return 1

    kept = Kept()
    kept.batches = Channel(mode="spsc", **kind).consumer().batches(kept)  # type: ignore[attr-defined]
    gone = weakref.ref(kept)
    del kept
    gc.collect()
    assert gone() is None


def test_errors_leave_nothing_behind() -> None:
    ch = Channel("u8", capacity=1, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    tx.send(1)

    def fail() -> None:
        for call in (
            lambda: tx.send(2, timeout=0),
            lambda: tx.send_batch([2], timeout=0),
            lambda: tx.send(-1),
            lambda: tx.reserve(0),
            lambda: tx.commit(1),
        ):
            with pytest.raises((TimeoutError, OverflowError, ValueError, RuntimeError)):
                call()

    def left_by(n: int) -> int:
        gc.collect()
        blocks = sys.getallocatedblocks()
        for _ in range(n):
            fail()
        gc.collect()
        return sys.getallocatedblocks() - blocks

    fail()
    # Without the GIL the interpreter's own caches take some hundred calls to fill up.
    assert min(left_by(300) for _ in range(5)) < 200
    assert rx.receive() == 1
