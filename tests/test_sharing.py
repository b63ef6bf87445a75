"""Channels that any number of threads share: one ring, with handles and without."""

import gc
import random
import threading
from collections import defaultdict
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import pytest

from bchan import Channel, Closed, EndOfChannel
from bchan._types import Mode
from tests.support import DEADLINE, Task, drain, together, until_parked

SHARED: list[Mode] = ["spmc", "mpmc"]


def in_order(lists: list[list[int]], producers: int, each: int) -> None:
    """Every message once, and each producer's in its order at each consumer."""
    for items in lists:
        by_producer = defaultdict(list)
        for item in items:
            by_producer[item >> 32].append(item)
        for mine in by_producer.values():
            assert mine == sorted(mine)
    assert sorted(item for items in lists for item in items) == [
        number << 32 | n for number in range(producers) for n in range(each)
    ]


@pytest.mark.parametrize("dtype", ["O", "u8"])
@pytest.mark.parametrize("capacity", [1, 8, 1024])
@pytest.mark.parametrize("mode", SHARED)
def test_each_message_goes_to_one_consumer(mode: Mode, capacity: int, dtype: str) -> None:
    producers, each = (1, 4000) if mode == "spmc" else (4, 1000)
    ch = Channel(dtype, capacity=capacity, mode=mode)

    def produce(number: int, tx: Any) -> None:
        rng = random.Random(number)
        items = [number << 32 | n for n in range(each)]
        with tx:
            while items:
                n = rng.choice([1, 3, 50])
                tx.send_batch(items[:n], timeout=DEADLINE)
                items = items[n:]

    receiving = [Task(partial(drain, ch.consumer(), n)) for n in (1, 5, 100)]
    together([partial(produce, number, ch.producer()) for number in range(producers)])
    in_order([task.result() for task in receiving], producers, each)
    assert len(ch) == 0
    assert ch.stats().sent == ch.stats().received == producers * each


@pytest.mark.parametrize("dtype", ["O", "u8"])
def test_threads_hammer_one_channel_without_handles(dtype: str) -> None:
    ch, each, threads = Channel(dtype, capacity=16), 2000, 4

    def send(number: int) -> list[int]:
        for n in range(each):
            ch.send(number << 32 | n, timeout=DEADLINE)
        return []

    def receive() -> list[int]:
        items = [ch.receive(timeout=DEADLINE) for _ in range(each)]
        return [int(item) for item in items]

    lists = together([partial(send, n) for n in range(threads)] + [receive] * threads)
    in_order(lists, threads, each)


def test_every_way_of_using_a_channel_without_handles() -> None:
    ch = Channel("u4", capacity=8)
    assert ch.try_receive() is None
    ch.send(1)
    assert ch.try_send(2)
    ch.send_batch(np.arange(3, 5, dtype=np.uint32))
    assert ch.try_send_batch(range(5, 20)) == 4
    assert not ch.try_send(9)
    with pytest.raises(TimeoutError, match="all 8 slots are full"):
        ch.send(9, timeout=0)
    assert ch.receive() == 1
    buffer = np.zeros(2, dtype=np.uint32)
    assert (ch.receive_into(buffer), buffer.tolist()) == (2, [2, 3])
    assert ch.receive_batch(3).tolist() == [4, 5, 6]
    assert ch.try_receive_into(buffer) == 2
    assert ch.try_receive_batch(3).tolist() == []
    with pytest.raises(TimeoutError, match="the channel is empty"):
        ch.receive(timeout=0)
    ch.close()
    with pytest.raises(Closed):
        ch.send(1)
    with pytest.raises(EndOfChannel):
        ch.receive()


@pytest.mark.parametrize("mode", ["spsc", "mpsc", "spmc"])
def test_other_modes_need_handles(mode: Mode) -> None:
    ch = Channel(mode=mode)
    for call in (partial(ch.send, 1), ch.receive, ch.try_receive, partial(ch.send_batch, [1])):
        with pytest.raises(RuntimeError, match="only a channel of mode 'mpmc'"):
            call()


def test_a_channel_used_without_handles_ends_when_it_is_closed() -> None:
    ch = Channel()
    receiving = [Task(partial(ch.receive, timeout=DEADLINE)) for _ in range(3)]
    until_parked(ch, 3)
    ch.send("last")
    ch.close()
    ended = 0
    for task in receiving:
        try:
            assert task.result() == "last"
        except EndOfChannel:
            ended += 1
    assert ended == 2


def test_who_sends_without_a_handle_after_the_end_is_refused() -> None:
    ch = Channel()
    with ch.producer() as tx:
        tx.send(1)
    ch.send(2)
    assert drain(ch.consumer()) == [1, 2]
    with pytest.raises(Closed):
        ch.send(3)


def test_a_reservation_that_fails_is_passed_and_counted() -> None:
    ch = Channel("u4", capacity=8)
    first, second, rx = ch.producer(), ch.producer(), ch.consumer()
    with suppress(KeyError), first.batch(2):
        second.send(7)
        assert rx.try_receive() is None, "the reservation comes first"
        raise KeyError
    assert rx.receive() == 7
    assert ch.stats().abandoned == 2


def test_a_thread_that_ends_between_reserve_and_commit_holds_nobody_up() -> None:
    ch = Channel("u4", capacity=8)

    stalled, tx = ch.producer(), ch.producer()

    def stall() -> None:
        stalled.reserve(1)
        tx.send(5)

    receiving = Task(partial(ch.receive, timeout=DEADLINE))
    until_parked(ch)
    Task(stall).result()
    assert receiving.result() == 5
    assert ch.stats().abandoned == 1
    with pytest.raises(RuntimeError, match="open reservation"):
        stalled.commit(1)
    stalled.send(6)
    assert ch.receive() == 6


def test_a_thread_that_ends_gives_up_its_reservation_also_while_others_are_in_the_handle() -> None:
    ch, stop = Channel("u4", capacity=8), threading.Event()
    tx = ch.producer()

    def knock() -> None:
        while not stop.is_set():
            with suppress(RuntimeError, ValueError):
                tx.commit(1000)  # refused: there is no such reservation

    def reserve() -> None:
        while True:
            with suppress(RuntimeError):  # the other thread is inside
                tx.reserve(1)
                return

    knocking = Task(knock)
    try:
        for _ in range(200):
            Task(reserve).result()
            ch.send(5)
            assert ch.receive(timeout=DEADLINE) == 5
    finally:
        stop.set()
        knocking.result()


def test_a_reservation_may_go_on_to_another_thread_while_its_own_lives() -> None:
    ch = Channel("u4", capacity=8)
    tx = ch.producer()
    for n in range(20):
        tx.reserve(1)[0] = n
        Task(partial(tx.commit, 1)).result()
        assert ch.receive() == n


@pytest.mark.parametrize("way", ["release", "exception", "close"])
def test_messages_that_were_looked_at_come_again(way: str) -> None:
    ch = Channel("u4", capacity=8)
    first, second = ch.consumer(), ch.consumer()
    ch.send_batch([1, 2, 3, 4])
    if way == "exception":
        with suppress(KeyError), first.view(3):
            assert second.receive() == 4
            raise KeyError
    else:
        assert first.peek(3).tolist() == [1, 2, 3]
        assert second.receive() == 4
        first.release(0) if way == "release" else first.close()
    assert len(ch) == 3
    assert second.receive_batch(8).tolist() == [1, 2, 3]


def test_views_of_two_consumers_show_different_messages() -> None:
    ch = Channel("u4", capacity=8)
    first, second = ch.consumer(), ch.consumer()
    ch.send_batch(range(6))
    assert (first.peek(2).tolist(), second.peek(2).tolist()) == ([0, 1], [2, 3])
    second.release(2)
    first.release(2)
    assert ch.receive_batch(8).tolist() == [4, 5]


def test_one_handle_in_two_threads_is_refused() -> None:
    ch = Channel()
    rx = ch.consumer()
    receiving = Task(partial(rx.receive, timeout=DEADLINE))
    until_parked(ch)
    with pytest.raises(RuntimeError, match="in use by another thread"):
        rx.try_receive()
    ch.send(1)
    assert receiving.result() == 1


def test_threads_that_hammer_one_handle_get_errors_and_lose_nothing() -> None:
    ch = Channel("u8", capacity=64)
    tx, rx, count, stop = ch.producer(), ch.consumer(), 300, threading.Event()
    sent: list[int] = []

    def send(number: int) -> None:
        for n in range(count):
            while True:
                try:
                    if tx.try_send(number << 32 | n):
                        break
                except RuntimeError:
                    continue
            sent.append(number << 32 | n)

    def receive() -> list[int]:
        items = []
        while not (stop.is_set() and len(ch) == 0):
            try:
                item = rx.try_receive()
            except RuntimeError:
                continue
            if item is not None:
                items.append(item)
        return items

    receiving = [Task(receive) for _ in range(2)]
    together([partial(send, number) for number in range(3)])
    stop.set()
    received = [item for task in receiving for item in task.result()]
    assert sorted(received) == sorted(sent)


def test_a_finalizer_may_reserve_while_another_reservation_is_made() -> None:
    ch, other = Channel("u4", capacity=8), Channel("u4", capacity=8)

    class Reserves:
        def __init__(self) -> None:
            self.me = self
            self.tx = other.producer()

        def __del__(self) -> None:
            if self.tx.try_reserve(1) is not None:
                self.tx.abort()

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(200):
            Reserves()
            tx = ch.producer()
            tx.reserve(1)
            tx.abort()
    finally:
        gc.set_threshold(*before)
    assert len(ch) == len(other) == 0
