"""A channel holds as many messages as were asked for, whatever the number."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

import bchan
import bchan.asyncio
import bchan.multiprocessing

MODES = ["spsc", "mpsc", "spmc", "mpmc"]
CAPACITIES = [1, 2, 3, 5, 6, 7, 100]
PLACES = [False, True] if sys.platform == "linux" else [False]
MESSAGES: dict[Any, Any] = {"u8": 7, object: "word", bytes: b"word", "U3": "abc"}


def every_channel(dtype: Any) -> Iterator[tuple[int, bchan.Channel]]:
    for mode in MODES:
        for capacity in CAPACITIES:
            for shared in PLACES:
                yield (
                    capacity,
                    bchan.Channel(dtype, capacity, mode, shared=shared),  # type: ignore[call-overload]
                )


def accepted(send: Callable[[], object]) -> int:
    """How often it can be sent before the channel is full."""
    n = 0
    while send():
        n += 1
    return n


@pytest.mark.parametrize("dtype", MESSAGES, ids=str)
def test_a_channel_holds_what_was_asked_for_and_says_so(dtype: Any) -> None:
    for capacity, channel in every_channel(dtype):
        assert channel.capacity == capacity
        tx, rx = channel.producer(), channel.consumer()
        for _ in range(3):
            assert accepted(partial(tx.try_send, MESSAGES[dtype])) == capacity
            assert len(channel) == capacity
            assert [rx.try_receive() for _ in range(capacity + 1)] == [
                *[MESSAGES[dtype]] * capacity,
                None,
            ]


def test_a_message_that_is_looked_at_takes_room() -> None:
    for capacity, channel in every_channel("u8"):
        tx, rx = channel.producer(), channel.consumer()
        tx.send(1)
        rx.peek(1)
        assert accepted(partial(tx.try_send, 7)) == capacity - 1
        rx.release(1)
        assert accepted(partial(tx.try_send, 7)) == 1


def test_a_batch_and_a_reservation_are_cut_to_the_capacity() -> None:
    for capacity, channel in every_channel("u8"):
        tx, rx = channel.producer(), channel.consumer()
        for turn in range(3):
            view = tx.reserve(capacity + 1)
            assert len(view) <= capacity
            tx.abort()
            batch = np.arange(turn, capacity + 2 + turn, dtype="u8")
            assert tx.try_send_batch(batch) == capacity
            assert list(rx.receive_batch(capacity + 2)) == list(batch[:capacity])


def test_bytes_take_as_many_slots_as_were_asked_for() -> None:
    for capacity, channel in every_channel(bytes):
        assert channel.max_message_size == 64 * capacity
        tx, rx = channel.producer(), channel.consumer()
        longest = bytes(64 * capacity)
        assert tx.try_send(longest)
        assert not tx.try_send(b"")
        assert rx.receive() == longest
        with pytest.raises(ValueError, match=str(64 * capacity)):
            tx.send(longest + b"\0")
        assert rx.try_receive() is None


@pytest.mark.parametrize("kind", [bchan.Queue, bchan.LifoQueue, bchan.PriorityQueue])
@pytest.mark.parametrize("maxsize", CAPACITIES)
def test_a_queue_holds_its_maxsize(kind: type[Any], maxsize: int) -> None:
    queue = kind(maxsize)
    for _ in range(2):
        for n in range(maxsize):
            assert not queue.full()
            queue.put_nowait(n)
        assert queue.full()
        with pytest.raises(bchan.Full):
            queue.put_nowait(0)
        for _ in range(maxsize):
            queue.get_nowait()


@pytest.mark.skipif(sys.platform != "linux", reason="shared channels need Linux")
def test_a_queue_between_processes_holds_its_maxsize() -> None:
    context = multiprocessing.get_context("spawn")
    for kind in (bchan.multiprocessing.Queue, bchan.multiprocessing.JoinableQueue):
        queue: Any = kind(3, ctx=context)
        for n in range(3):
            queue.put_nowait(n)
        assert queue.full()
        with pytest.raises(bchan.multiprocessing.Full):
            queue.put_nowait(0)
        assert [queue.get() for _ in range(3)] == [0, 1, 2]


@pytest.mark.skipif(sys.platform != "linux", reason="shared channels need Linux")
def test_who_attaches_finds_the_same_capacity() -> None:
    channel = bchan.Channel("u8", 3, name=f"capacity-{os.getpid()}")
    again = bchan.Channel.attach(f"capacity-{os.getpid()}")
    assert again.capacity == 3
    assert accepted(lambda: again.try_send(7)) == 3
    assert len(channel) == 3
