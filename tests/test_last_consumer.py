"""Senders learn that the last consumer is gone."""

import asyncio
import gc
import multiprocessing as mp
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from bchan import Channel, Closed, EndOfChannel, select
from bchan._types import Mode
from tests.support import DEADLINE, Task, end, errors_after_ctrl_c, start, until, until_parked

MODES: list[Mode] = ["spsc", "mpsc", "spmc", "mpmc"]
KINDS: dict[str, tuple[Any, Any]] = {
    "typed": ("u8", 7),
    "bytes": (bytes, b"7"),
    "objects": ("O", "7"),
}
GONE = "last consumer has left or died"
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="shared channels need Linux")
places = pytest.mark.parametrize("shared", [False, pytest.param(True, marks=needs_linux)])
kinds = pytest.mark.parametrize("kind", KINDS)
modes = pytest.mark.parametrize("mode", MODES)


def full(kind: str, mode: Mode, shared: bool, **how: Any) -> tuple[Any, Any]:
    """A channel without room, and its producer."""
    dtype, item = KINDS[kind]
    ch = Channel(dtype, 1, mode, shared=shared, **how)
    tx = ch.producer()
    while tx.try_send(item):
        pass
    return ch, tx


def calls(kind: str) -> list[Callable[[Any], object]]:
    """Ways to wait for room."""
    item = KINDS[kind][1]
    ways: list[Callable[[Any], object]] = [
        lambda tx: tx.send(item),
        lambda tx: tx.send(item, timeout=DEADLINE),
        lambda tx: tx.send_batch([item] * 3),
        lambda tx: select([(tx, item), Channel("u4")]),
        lambda tx: asyncio.run(tx.asend(item)),
    ]
    return ways if kind == "objects" else [*ways, lambda tx: tx.reserve(1)]


def is_parked(ch: Any) -> bool:
    return bool(ch.stats().waits)


@places
@modes
@kinds
def test_a_sender_that_waits_gets_closed_when_the_last_consumer_leaves(
    kind: str, mode: Mode, shared: bool
) -> None:
    for call in calls(kind):
        ch, tx = full(kind, mode, shared)
        rx = ch.consumer()
        waiting = Task(partial(call, tx))
        # A task sleeps at an eventfd, which is not counted.
        with suppress(AssertionError):
            until(partial(is_parked, ch), 0.3)
        rx.close()
        with pytest.raises(Closed, match=GONE):
            waiting.result(DEADLINE)
        with pytest.raises(Closed, match=GONE):
            tx.try_send(KINDS[kind][1])
        assert ch.closed


@places
@modes
@kinds
def test_a_consumer_that_is_dropped_has_left(kind: str, mode: Mode, shared: bool) -> None:
    ch, tx = full(kind, mode, shared)
    rx = ch.consumer()
    waiting = Task(partial(tx.send, KINDS[kind][1]))
    until_parked(ch)
    del rx
    gc.collect()
    with pytest.raises(Closed, match=GONE):
        waiting.result(DEADLINE)


@places
@modes
@kinds
def test_what_was_sent_can_still_be_received_and_then_comes_the_end(
    kind: str, mode: Mode, shared: bool
) -> None:
    ch, tx = full(kind, mode, shared)
    sent = len(ch)
    ch.consumer().close()
    tx.close()
    with ch.consumer() as rx:
        assert len(list(rx)) == sent > 0
        with pytest.raises(EndOfChannel):
            rx.receive()


@places
@modes
@kinds
def test_without_a_consumer_yet_senders_wait(kind: str, mode: Mode, shared: bool) -> None:
    ch, tx = full(kind, mode, shared)
    with pytest.raises(TimeoutError):
        tx.send(KINDS[kind][1], timeout=0.01)
    waiting = Task(partial(tx.send, KINDS[kind][1]))
    with ch.consumer() as rx:
        rx.receive(timeout=DEADLINE)
        waiting.result(DEADLINE)


@places
@modes
@kinds
def test_a_channel_that_is_kept_open_waits_for_the_next_consumer(
    kind: str, mode: Mode, shared: bool
) -> None:
    ch, tx = full(kind, mode, shared, keep_open=True)
    ch.consumer().close()
    with pytest.raises(TimeoutError):
        tx.send(KINDS[kind][1], timeout=0.01)
    assert not ch.closed
    waiting = Task(partial(tx.send, KINDS[kind][1]))
    with ch.consumer() as rx:
        rx.receive(timeout=DEADLINE)
        waiting.result(DEADLINE)


@places
@pytest.mark.parametrize("mode", ["spmc", "mpmc"])
def test_only_the_last_of_several_closes(mode: Mode, shared: bool) -> None:
    ch = Channel("u8", 4, mode, shared=shared)
    tx, first, second = ch.producer(), ch.consumer(), ch.consumer()
    first.close()
    tx.send(1)
    assert second.receive(timeout=DEADLINE) == 1
    second.close()
    with pytest.raises(Closed, match=GONE):
        tx.send(2)


@modes
def test_a_producer_that_comes_too_late_is_told_why(mode: Mode) -> None:
    ch = Channel("u8", 4, mode)
    ch.consumer().close()
    with pytest.raises(Closed, match=GONE):
        ch.producer()


def test_a_channel_that_was_closed_says_that() -> None:
    ch = Channel("u8", 4, "mpsc")
    tx, rx = ch.producer(), ch.consumer()
    ch.close()
    rx.close()
    with pytest.raises(Closed, match=r"^the channel is closed$"):
        tx.send(1)


def test_consumers_that_leave_at_once_close_it() -> None:
    for _ in range(200):
        ch = Channel("u8", 4, "mpmc")
        consumers = [ch.consumer() for _ in range(3)]
        for task in [Task(rx.close) for rx in consumers]:
            task.result()
        assert ch.closed


def _wait_for_kill(rx: Any, ready: Any) -> None:
    rx.receive()
    ready.send(None)
    signal.pause()


@needs_linux
@pytest.mark.parametrize("method", ["fork", "spawn"])
@kinds
def test_a_sender_gets_closed_when_the_last_consumer_is_killed(kind: str, method: str) -> None:
    ctx: Any = mp.get_context(method)
    dtype, item = KINDS[kind]
    ch = Channel(dtype, 1, "spsc", shared=True)
    tx: Any = ch.producer()
    ours, theirs = ctx.Pipe()
    process = start(ctx, _wait_for_kill, ch.consumer(), theirs)
    tx.send(item)
    ours.recv()
    while tx.try_send(item):
        pass
    waiting = Task(partial(tx.send, item))
    until_parked(ch)
    process.kill()
    with pytest.raises(Closed, match=GONE):
        waiting.result(DEADLINE)
    process.join(DEADLINE)


def _drop(rx: Any) -> None:
    rx.close()


@needs_linux
def test_a_consumer_that_a_child_closes_was_the_last() -> None:
    ctx = mp.get_context("spawn")
    ch, tx = full("typed", "spsc", shared=True)
    end(start(ctx, _drop, ch.consumer()))
    until(lambda: ch.closed)
    with pytest.raises(Closed, match=GONE):
        tx.send(1)


@needs_linux
def test_a_process_that_attaches_keeps_open_what_its_maker_keeps_open() -> None:
    name = f"keep-open-{os.getpid()}"
    with Channel("u8", 4, "mpsc", name=name, keep_open=True) as ch:
        tx = ch.producer()
        other = Channel.attach(name)
        other.consumer().close()
        tx.send(7)
        assert other.consumer().receive(timeout=DEADLINE) == 7


TUTORIAL = """
import itertools, threading
import bchan

ch = bchan.Channel(capacity=64, mode="mpsc")

def feed(tx):
    with tx:
        for n in itertools.count():
            tx.send(n)

for _ in range(2):
    threading.Thread(target=feed, args=(ch.producer(),)).start()
for n in ch.consumer():
    if n == 1000:
        print("goes", flush=True)
"""


def test_ctrl_c_in_a_loop_over_a_consumer_ends_the_threads_that_send() -> None:
    errors = errors_after_ctrl_c(TUTORIAL)
    assert "KeyboardInterrupt" in errors
    assert errors.count(GONE) == 2
