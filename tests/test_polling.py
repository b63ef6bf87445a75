"""A process that only polls, and never waits, notices a death as one that waits does."""

import multiprocessing as mp
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pytest

import bchan
from bchan import Channel, EndOfChannel
from bchan._types import Mode
from tests.support import DEADLINE, leaving_nothing, start, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared channels need Linux")
nothing_left = pytest.fixture(autouse=True)(leaving_nothing)

MODES: list[Mode] = ["spsc", "mpsc", "spmc", "mpmc"]
ITEMS: dict[str, tuple[Any, Any]] = {
    "items": ("u8", 7),
    "bytes": (bytes, b"x"),
    "long bytes": (bytes, b"x" * 100),
    "objects": (object, "x"),
    "long objects": (object, "x" * 100),
}
PAYLOADS = list(ITEMS)

SENDING: dict[str, Callable[[Any, Any], object]] = {
    "try_send": lambda tx, item: tx.try_send(item),
    "try_send_batch": lambda tx, item: tx.try_send_batch([item, item]),
    "try_reserve": lambda tx, item: tx.try_reserve(1 if item == 7 else len(item)),
    "select": lambda tx, item: _select((tx, item)),
}
RECEIVING: dict[str, Callable[[Any, Any], object]] = {
    "try_receive": lambda rx, _: rx.try_receive(),
    "try_receive_batch": lambda rx, _: rx.try_receive_batch(3),
    "try_receive_into": lambda rx, item: rx.try_receive_into(_buffer(item)),
    "try_peek": lambda rx, item: rx.try_peek(2) if item == 7 else rx.try_peek(),
    "select": lambda rx, _: _select(rx),
}
OF_HANDLES_ALONE = ("try_reserve", "try_peek")
"""Calls that a channel without a handle does not have."""
NOT_OF_OBJECTS = ("try_reserve", "try_peek", "try_receive_into")


def _select(case: Any) -> None:
    with suppress(TimeoutError):
        bchan.select([case], timeout=0)


def _buffer(item: Any) -> Any:
    return np.zeros(3, "u8") if item == 7 else bytearray(4096)


def _cases(calls: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (payload, call)
        for payload in PAYLOADS
        for call in calls
        if "objects" not in payload or call not in NOT_OF_OBJECTS
    ]


def _use(handle: Any, what: str, item: Any, ready: Connection) -> None:
    """Make the handle this process' own, and keep it until the end."""
    if what == "send":
        assert handle.try_send(item)
    else:
        assert handle.try_receive() == item
    ready.send("used")
    time.sleep(DEADLINE)


def _killed(handle: Any, what: str, item: Any) -> None:
    """A process that used the handle and was killed."""
    ctx = mp.get_context("fork")
    ready, theirs = ctx.Pipe()
    process = start(ctx, _use, handle, what, item, theirs)
    assert ready.poll(DEADLINE)
    process.kill()
    process.join()
    ready.close()
    theirs.close()


def _fill(tx: Any, item: Any) -> None:
    """Leave no room for one more, without a call that finds none."""
    for _ in range(3 if isinstance(item, int) or len(item) == 1 else 1):
        assert tx.try_send(item)


def _until_noticed(ch: Any, call: Callable[[], object]) -> None:
    def has_noticed() -> bool:
        with suppress(EndOfChannel):
            call()
        return bool(ch.stats().deaths)

    until(has_noticed)
    assert ch.stats().deaths == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("payload", "call"), _cases(SENDING))
def test_a_sender_that_polls_notices_that_a_consumer_died(
    mode: Mode, payload: str, call: str
) -> None:
    dtype, item = ITEMS[payload]
    ch = Channel(dtype, 4, mode, shared=True, keep_open=True)
    tx = ch.producer()
    assert tx.try_send(item)
    assert tx.try_send(item)
    _killed(ch.consumer(), "receive", item)
    _fill(tx, item)
    _until_noticed(ch, lambda: SENDING[call](tx, item))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("payload", "call"), _cases(RECEIVING))
def test_a_receiver_that_polls_notices_that_a_producer_died(
    mode: Mode, payload: str, call: str
) -> None:
    dtype, item = ITEMS[payload]
    ch = Channel(dtype, 4, mode, shared=True, keep_open=True)
    rx = ch.consumer()
    tx = ch.producer() if mode in ("mpsc", "mpmc") else None
    _killed(ch.producer(), "send", item)
    assert rx.try_receive() == item
    _until_noticed(ch, lambda: RECEIVING[call](rx, item))
    if tx is not None:
        assert tx.try_send(item)
        assert rx.try_receive() == item


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("call", [*SENDING, *RECEIVING])
def test_a_channel_that_is_polled_without_a_handle_notices_a_death(payload: str, call: str) -> None:
    dtype, item = ITEMS[payload]
    ch = Channel(dtype, 4, "mpmc", shared=True, keep_open=True)
    if call in OF_HANDLES_ALONE or ("objects" in payload and call in NOT_OF_OBJECTS):
        return
    assert ch.try_send(item)
    assert ch.try_send(item)
    _killed(ch.consumer(), "receive", item)
    if call in SENDING and call != "select":
        _fill(ch, item)
        _until_noticed(ch, lambda: SENDING[call](ch, item))
    else:
        assert ch.try_receive() == item
        _until_noticed(ch, lambda: RECEIVING[call](ch, item))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("what", ["len", "active_producers"])
def test_a_process_that_only_counts_notices_a_death(mode: Mode, payload: str, what: str) -> None:
    dtype, item = ITEMS[payload]
    ch = Channel(dtype, 4, mode, shared=True, keep_open=True)
    rx = ch.consumer()
    _killed(ch.producer(), "send", item)
    count = {"len": lambda: len(ch), "active_producers": lambda: ch.active_producers}[what]
    _until_noticed(ch, count)
    assert ch.active_producers == 0
    assert rx.try_receive() == item
    assert len(ch) == 0
