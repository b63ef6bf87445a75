"""Closing a handle ends the call of another thread that waits with it."""

import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from bchan import Channel, Closed, EndOfChannel, select
from bchan._core import MOST_CASES
from bchan._types import Mode
from tests.support import (
    DEADLINE,
    Task,
    errors_after_ctrl_c,
    together,
    until,
    until_interruptible,
    until_parked,
)

MODES: list[Mode] = ["spsc", "mpsc", "spmc", "mpmc"]
Made = tuple[Any, Any, Callable[[], object]]


def waits(mode: Mode, dtype: Any, shared: bool) -> list[Made]:
    """Channels, handles, and calls that wait with them for something that never comes."""
    item: Any = b"x" if dtype is bytes else 1
    made: list[Made] = []

    def sender(call: Callable[[Any], object]) -> None:
        ch = Channel(dtype, capacity=1, mode=mode, shared=shared)
        tx = ch.producer()
        while tx.try_send(item):
            pass
        made.append((ch, tx, partial(call, tx)))

    def receiver(call: Callable[[Any], object]) -> None:
        ch = Channel(dtype, capacity=1, mode=mode, shared=shared)
        rx, keeper = ch.consumer(), ch.producer()
        made.append((ch, rx, lambda: (call(rx), keeper)))

    other = Channel("u4")
    sender(lambda tx: tx.send(item))
    sender(lambda tx: tx.send(item, timeout=DEADLINE))
    sender(lambda tx: tx.send_batch([item] * 3))
    sender(lambda tx: select([other, (tx, item)]))
    receiver(lambda rx: rx.receive())
    receiver(lambda rx: rx.receive(timeout=DEADLINE))
    receiver(lambda rx: rx.receive_batch(3))
    receiver(lambda rx: next(iter(rx)))
    receiver(lambda rx: next(iter(rx.batches(2))))
    receiver(lambda rx: select([rx, other]))
    if dtype != "O":
        sender(lambda tx: tx.reserve(1))
        receiver(lambda rx: rx.peek() if dtype is bytes else rx.peek(1))
    return made


def is_parked(ch: Any) -> bool:
    return bool(ch.stats().waits)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("dtype", ["O", "u8", bytes])
@pytest.mark.parametrize("mode", MODES)
def test_closing_a_handle_ends_the_call_that_waits_with_it(
    mode: Mode, dtype: Any, shared: bool
) -> None:
    for ch, handle, call in waits(mode, dtype, shared):
        producers = ch.active_producers
        waiting = Task(call)
        if MOST_CASES > 0:
            until(partial(is_parked, ch))
        else:
            # Here a select sleeps at an eventfd, which is not counted.
            time.sleep(0.05)
        handle.close()
        assert handle.closed
        with pytest.raises(Closed, match="closed"):
            waiting.result(10)
        # Its place is free.
        is_producer = hasattr(handle, "send")
        assert ch.active_producers == producers - is_producer
        (ch.producer if is_producer else ch.consumer)().close()
        handle.close()


@pytest.mark.parametrize("mode", MODES)
def test_a_producer_that_is_closed_under_its_send_ends_the_channel(mode: Mode) -> None:
    ch = Channel("u8", capacity=1, mode=mode)
    tx, rx = ch.producer(), ch.consumer()
    tx.send(1)
    sent = 1
    while tx.try_send(1):
        sent += 1
    sending = Task(partial(tx.send, 2))
    until_parked(ch)
    tx.close()
    with pytest.raises(Closed):
        sending.result(10)
    assert list(rx) == [1] * sent


def test_closing_races_with_messages_and_loses_none() -> None:
    for n in range(300):
        ch = Channel("u4", capacity=4, mode="spmc" if n % 2 else "mpmc")
        tx, first, second = ch.producer(), ch.consumer(), ch.consumer()
        got: list[int] = []

        def receive(rx: Any, got: list[int] = got) -> None:
            try:
                while True:
                    got.append(int(rx.receive(timeout=DEADLINE)))
            except (Closed, EndOfChannel):
                pass

        receiving = [Task(partial(receive, rx)) for rx in (first, second)]
        start = threading.Barrier(2)

        def close(start: threading.Barrier = start, first: Any = first) -> None:
            start.wait(DEADLINE)
            first.close()

        closing = Task(close)
        start.wait(DEADLINE)
        tx.send_batch(list(range(20)))
        tx.close()
        for task in receiving:
            task.result()
        closing.result()
        assert sorted(got) == list(range(20))


def call_until_closed(handle: Any, call: str) -> None:
    item = () if "receive" in call else (1,)
    try:
        while True:
            getattr(handle, call)(*item)
    except Closed as closed:
        assert "closed" in str(closed)  # noqa: PT017


def exchange(tx: Any, rx: Any, call: str) -> None:
    """Give the calls something to do, for a while."""
    with suppress(EndOfChannel):
        for _ in range(5):
            tx.try_send(1) if "receive" in call else rx.try_receive()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("call", ["receive", "try_receive", "send", "try_send"])
def test_two_threads_may_close_a_handle_at_any_moment_of_the_calls_of_a_third(
    mode: Mode, call: str
) -> None:
    one_by_one = threading.Lock()

    def close(ch: Channel, handle: Any) -> None:
        handle.close()
        assert handle.closed
        # Its place is free, whichever of the two has closed it.
        if hasattr(handle, "send"):
            assert ch.active_producers == 0
        else:
            with one_by_one:
                ch.consumer().close()

    for _ in range(60):
        ch = Channel("u4", capacity=2, mode=mode, keep_open=True)
        tx, rx = ch.producer(), ch.consumer()
        handle = rx if "receive" in call else tx
        closing = partial(close, ch, handle)
        using, other = partial(call_until_closed, handle, call), partial(exchange, tx, rx, call)
        together([using, closing, closing, other])


def test_a_signal_handler_may_close_what_its_thread_waits_with() -> None:
    ch = Channel("u4", mode="spsc")
    rx, _keeper = ch.consumer(), ch.producer()
    before = signal.signal(signal.SIGUSR1, lambda *_: rx.close())

    def press() -> None:
        until_parked(ch)
        until_interruptible()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    pressing = Task(press)
    try:
        with pytest.raises(Closed):
            rx.receive(timeout=DEADLINE)
    finally:
        signal.signal(signal.SIGUSR1, before)
    pressing.result()
    ch.consumer().close()


ENDLESS = """
import itertools, threading
import bchan

ch = bchan.Channel(capacity=64, mode="mpsc", max_producers=2)

def feed(tx):
    with tx:
        try:
            for n in itertools.count():
                tx.send(n)
        except bchan.Closed:
            pass

threads = [threading.Thread(target=feed, args=(ch.producer(),)) for _ in range(2)]
with ch:
    for thread in threads:
        thread.start()
    for n in ch.consumer():
        if n == 1000:
            print("goes", flush=True)
"""


def test_ctrl_c_in_a_loop_that_closes_its_channel_ends_the_threads_that_send() -> None:
    errors = errors_after_ctrl_c(ENDLESS)
    assert errors.rstrip().endswith("KeyboardInterrupt")
