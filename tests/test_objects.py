"""Objects in channels: whose they are, what the collector sees, and code that runs in between."""

import gc
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from bchan import Channel, Closed, Queue
from bchan._types import Mode
from tests.support import DEADLINE, Task, until_parked

MODES: list[Mode] = ["spsc", "mpsc", "spmc", "mpmc"]


class Thing:
    """Something that can be watched."""


def ends(ch: Channel) -> tuple[Any, Any]:
    return ch.producer(), ch.consumer()


@pytest.mark.parametrize("mode", MODES)
def test_the_very_object_arrives_and_nobody_else_keeps_it(mode: Mode) -> None:
    ch = Channel(mode=mode)
    tx, rx = ends(ch)
    thing = Thing()
    before = sys.getrefcount(thing)
    tx.send(thing)
    assert rx.receive() is thing
    tx.send_batch([thing, thing])
    tx.send_batch(thing for _ in range(3))
    assert tx.try_send_batch((thing,)) == 1
    assert [item is thing for item in rx.receive_batch(2)] == [True] * 2
    assert [item is thing for item in rx.try_receive_batch(100)] == [True] * 4
    for _ in range(50):
        tx.send(thing)
        next(iter(rx))
    assert sys.getrefcount(thing) == before


@pytest.mark.parametrize("mode", MODES)
def test_what_is_left_is_released_with_the_last_handle(mode: Mode) -> None:
    ch = Channel(capacity=8, mode=mode)
    tx, rx = ends(ch)
    things = [Thing() for _ in range(8)]
    tx.send_batch(things)
    rx.receive()
    watched = [weakref.ref(thing) for thing in things]
    del things
    gc.collect()
    assert [ref() is None for ref in watched] == [True] + [False] * 7
    del ch, tx
    gc.collect()
    assert watched[1]() is not None, "the consumer can still receive it"
    del rx
    gc.collect()
    assert all(ref() is None for ref in watched)


@pytest.mark.parametrize("kept", ["channel", "producer", "consumer", "batches", "queue"])
@pytest.mark.parametrize("mode", MODES)
def test_a_cycle_through_the_channel_is_collected(mode: Mode, kept: str) -> None:
    thing: Any = Thing()
    if kept == "queue":
        queue = Queue[Any]()
        queue.put(thing)
        thing.link = queue
        del queue
    else:
        ch = Channel(mode=mode)
        tx, rx = ends(ch)
        tx.send(thing)
        kinds = {"channel": ch, "producer": tx, "consumer": rx, "batches": rx.batches(1)}
        thing.link = kinds[kept]
        del ch, tx, rx, kinds
    watched = weakref.ref(thing)
    del thing
    gc.collect()
    assert watched() is None


def test_an_overflowing_queue_is_collected_too() -> None:
    queue = Queue[Any]()
    thing: Any = Thing()
    for _ in range(70_000):
        queue.put(None)
    queue.put(thing)
    thing.link = queue
    watched = weakref.ref(thing)
    del thing, queue
    gc.collect()
    assert watched() is None


def test_live_messages_survive_the_collector_during_use() -> None:
    ch = Channel(capacity=64)
    stop = threading.Event()

    def collect() -> None:
        while not stop.is_set():
            gc.collect()
            stop.wait(0.005)  # without the GIL a collection stops all threads

    def produce() -> None:
        with ch.producer() as tx:
            for n in range(20_000):
                tx.send([n, ch], timeout=DEADLINE)

    collecting, sending = Task(collect), Task(produce)
    received = [item[0] for item in ch.consumer()]
    stop.set()
    collecting.result()
    sending.result()
    assert received == list(range(20_000))


def test_finalizers_may_use_the_same_channel() -> None:
    ch = Channel(capacity=4)
    tx, rx = ends(ch)

    class Sends:
        def __del__(self) -> None:
            assert ch.try_send("from __del__") is not None
            ch.try_receive()
            tx.try_send("again")

    for _ in range(100):
        ch.send(Sends())
        ch.receive()
        ch.try_receive_batch(10)
    tx.send(Sends())
    rx.receive()
    gc.collect()
    assert ch.try_receive() == "again"


def test_a_finalizer_in_a_dropped_channel_may_use_another() -> None:
    other = Channel()

    class Sends:
        def __del__(self) -> None:
            other.send("bye")

    ch = Channel()
    ch.send_batch([Sends(), Sends()])
    del ch
    gc.collect()
    assert other.receive_batch(5) == ["bye", "bye"]


def test_a_signal_handler_may_use_the_channel_that_is_waited_on() -> None:
    ch = Channel()
    old = signal.signal(signal.SIGUSR1, lambda *_: ch.send("from the handler"))
    try:
        killer = threading.Timer(
            0.05, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        )
        killer.start()
        assert ch.receive(timeout=DEADLINE) == "from the handler"
        killer.join()
    finally:
        signal.signal(signal.SIGUSR1, old)


def failing(after: int) -> Iterator[int]:
    yield from range(after)
    raise KeyError("no more")


def test_an_iterable_that_raises_tells_what_went() -> None:
    ch = Channel(capacity=64)
    with pytest.raises(KeyError) as error:
        ch.send_batch(failing(5))
    assert (error.value.sent, error.value.unsent) == (5, [])  # type: ignore[attr-defined]
    assert ch.receive_batch(100) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", ["list", "tuple", "generator"])
def test_a_batch_that_times_out_keeps_what_was_not_sent(kind: str) -> None:
    ch = Channel(capacity=4)
    items = range(10)
    batch: Any = {"list": list(items), "tuple": tuple(items), "generator": iter(items)}[kind]
    with pytest.raises(TimeoutError) as error:
        ch.send_batch(batch, timeout=0.01)
    sent, unsent = error.value.sent, error.value.unsent  # type: ignore[attr-defined]
    rest = list(batch) if kind == "generator" else []
    assert sent == 4
    assert ch.receive_batch(100) + unsent + rest == list(items)


def test_a_batch_that_is_interrupted_keeps_what_was_not_sent() -> None:
    ch = Channel(capacity=2)

    def interrupt(*_: object) -> None:
        raise InterruptedError

    old = signal.signal(signal.SIGUSR1, interrupt)
    try:
        killer = threading.Timer(
            0.05, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        )
        killer.start()
        with pytest.raises(InterruptedError) as error:
            ch.send_batch(["a", "b", "c"], timeout=DEADLINE)
        killer.join()
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert (error.value.sent, error.value.unsent) == (2, ["c"])  # type: ignore[attr-defined]


def test_a_slow_iterable_does_not_hold_its_items_back() -> None:
    ch = Channel()

    def slow() -> Iterator[int]:
        yield 1
        assert ch.receive(timeout=DEADLINE) == 1
        yield 2

    ch.send_batch(slow())
    assert ch.receive() == 2


def test_try_send_batch_takes_only_what_can_be_given_back() -> None:
    ch = Channel(capacity=2)
    with pytest.raises(TypeError, match="a list, a tuple or an array"):
        ch.try_send_batch(iter("abc"))
    assert ch.try_send_batch(list("abc")) == 2
    with pytest.raises(TypeError, match="iterable, got 5"):
        ch.send_batch(5)


@pytest.mark.parametrize("mode", MODES)
def test_what_needs_arrays_is_refused(mode: Mode) -> None:
    ch = Channel(mode=mode)
    tx, rx = ends(ch)
    buffer = np.zeros(4, dtype=object)
    calls: list[Callable[[], object]] = [
        lambda: tx.reserve(1),
        lambda: tx.try_reserve(1),
        lambda: rx.peek(1),
        lambda: rx.try_peek(1),
        lambda: rx.receive_into(buffer),
        lambda: rx.try_receive_into(buffer),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="dtype is object"):
            call()


@pytest.mark.parametrize("mode", MODES)
def test_an_object_refused_by_a_closed_channel_stays_with_its_sender(mode: Mode) -> None:
    ch = Channel(capacity=1, mode=mode)
    tx = ch.producer()
    thing = Thing()
    before = sys.getrefcount(thing)
    tx.send("full")
    sending = Task(lambda: tx.send(thing))
    until_parked(ch)
    ch.close()
    with pytest.raises(Closed):
        sending.result()
    for call in (tx.send, tx.try_send, lambda item: tx.send_batch([item])):
        with pytest.raises(Closed):
            call(thing)
    del sending
    gc.collect()
    deadline = time.monotonic() + DEADLINE
    while sys.getrefcount(thing) != before and time.monotonic() < deadline:
        time.sleep(0.01)  # the thread's frame goes a moment after its result
    assert sys.getrefcount(thing) == before


def test_a_limit_is_refused_while_a_queue_overflows() -> None:
    queue = Queue[Any]()
    for n in range(65_537):
        queue.put(n)
    with pytest.raises(ValueError, match="can't be lowered"):
        queue.maxsize = 100
    assert [queue.get() for _ in range(65_537)] == list(range(65_537))
    queue.maxsize = 100
    queue.put(1, timeout=DEADLINE)


def test_an_array_that_a_blocked_call_fills_is_not_resized() -> None:
    ch = Channel("u8", mode="spsc")
    rx, arrays = ch.consumer(), [np.zeros(60_000, dtype=np.uint64)]
    receiving = Task(lambda: rx.receive_into(arrays[0], timeout=DEADLINE))
    until_parked(ch)
    with pytest.raises(ValueError, match="referenced"):
        arrays.pop().resize(4)
    ch.producer().send(1)
    assert receiving.result() == 1
