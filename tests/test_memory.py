"""Steady state allocates nothing, and what was allocated goes."""

import gc
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from bchan import Channel, EndOfChannel
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

    fail()
    gc.collect()
    blocks = sys.getallocatedblocks()
    for _ in range(300):
        fail()
    gc.collect()
    assert sys.getallocatedblocks() - blocks < 200
    assert rx.receive() == 1
