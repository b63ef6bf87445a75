"""A message that no object can be made of is taken, and says so; what is behind it arrives."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import bchan
from bchan import Channel
from tests.support import DEADLINE, Task, until_parked

MODES = ["spsc", "mpsc", "spmc", "mpmc"]
PLACES = pytest.mark.parametrize("shared", [False, True], ids=["heap", "shared"])


async def _anext(rx: Any) -> Any:
    return await rx.__anext__()


CALLS: dict[str, Callable[[Any], Any]] = {
    "receive": lambda rx: rx.receive(timeout=DEADLINE),
    "try_receive": lambda rx: rx.try_receive(),
    "next": next,
    "select": lambda rx: bchan.select([rx], timeout=DEADLINE).item,
    "areceive": lambda rx: asyncio.run(rx.areceive()),
    "anext": lambda rx: asyncio.run(_anext(rx)),
    "aselect": lambda rx: asyncio.run(bchan.aselect([rx])).item,
}


def receivers(ch: Any, call: str) -> list[Any]:
    """Whoever can receive by this call."""
    has_no_handle = ch.mode == "mpmc" and call != "next"
    return [ch.consumer()] + ([ch] if has_no_handle else [])


@PLACES
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_text_of_a_code_point_that_is_none_is_taken_and_named(
    call: str, mode: Any, shared: bool, order: str
) -> None:
    raw = np.array([[97, 0], [98, 0x110000], [99, 0]], f"{order}u4")
    ch: Any = Channel(f"{order}U2", capacity=8, mode=mode, shared=shared)
    tx = ch.producer()
    for rx in receivers(ch, call):
        tx.send_batch(raw.view(f"{order}U2")[:, 0])
        assert CALLS[call](rx) == "a"
        with pytest.raises(ValueError, match="up to 0x10ffff, got 0x110000; it was taken"):
            CALLS[call](rx)
        assert CALLS[call](rx) == "c"
        assert len(ch) == 0


@PLACES
@pytest.mark.parametrize("mode", MODES)
def test_batches_and_views_show_such_text_as_it_is(mode: Any, shared: bool) -> None:
    raw = np.array([0x110000, 97], "u4")
    ch: Any = Channel("U1", capacity=8, mode=mode, shared=shared)
    tx, rx = ch.producer(), ch.consumer()
    for _ in range(3):
        tx.send_batch(raw.view("U1"))
    with rx.view(2) as view:
        assert view.view("u4").tolist() == raw.tolist()
    assert rx.receive_batch(2).view("u4").tolist() == raw.tolist()
    buffer = np.zeros(2, "U1")
    assert rx.receive_into(buffer) == 2
    assert buffer.view("u4").tolist() == raw.tolist()


@PLACES
def test_what_can_be_made_an_object_of_arrives_however_odd_it_is(shared: bool) -> None:
    text = np.dtype([("text", "U1"), ("n", "u4")])
    odd = [
        np.array([0xD800, 0xDFFF], "u4").view("U1"),
        np.array([-(1 << 63), 1 - (1 << 63), (1 << 63) - 1], "i8").view("M8[Y]"),
        np.array([(1 << 63) - 1], "i8").view("m8[ns]"),
        np.array([2, 255], "u1").view("?"),
        np.array([0x110000, 5], "u4").view(text),
        np.array([0xFF] * 16, "u1").view("S16"),
        np.array([0xFF] * 16, "u1").view("c16"),
    ]
    if not shared:
        # Another process can't be told of this one.
        odd.append(np.array([0x110000, 5], "u4").view(np.dtype((np.record, text))))
    for batch in odd:
        ch: Any = Channel(batch.dtype, capacity=8, mode="mpmc", shared=shared)
        rx = ch.consumer()
        for receiver in (ch, rx):
            ch.send_batch(batch)
            received = [receiver.receive(timeout=DEADLINE) for _ in batch]
            assert [np.array([it], batch.dtype).tobytes() for it in received] == [
                np.array([it], batch.dtype).tobytes() for it in batch
            ] or batch.dtype.kind in "b"
            assert len(ch) == 0


def test_the_scalar_of_a_class_of_python_is_of_that_class() -> None:
    dtype = np.dtype((np.record, [("n", "u4")]))
    ch: Any = Channel(dtype, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    tx.send((7,))
    received = rx.receive()
    assert type(received) is np.record
    assert received.n == 7


@PLACES
@pytest.mark.parametrize("mode", MODES)
def test_a_batch_with_an_item_that_is_none_sends_nothing(mode: Any, shared: bool) -> None:
    for dtype, good, bad in (("U4", "ok", object()), ("u1", 5, 256), ("M8[s]", 0, "no date")):
        ch: Any = Channel(dtype, capacity=8, mode=mode, shared=shared)
        tx, rx = ch.producer(), ch.consumer()

        class Raising:
            def __str__(self) -> str:
                raise LookupError

            __index__ = __float__ = __array__ = __str__

        for item in (bad, Raising()):
            if item is bad and dtype == "U4":
                continue
            for call in (tx.send_batch, tx.try_send_batch):
                with pytest.raises((TypeError, ValueError, OverflowError, LookupError)):
                    call([good, good, item])
            with pytest.raises((TypeError, ValueError, OverflowError, LookupError)):
                tx.send(item)
        assert len(ch) == 0
        tx.send(good)
        assert len(rx.receive_batch(8)) == 1


class Unloadable:
    """An object that can be pickled and not unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse, ()


def _refuse() -> None:
    raise LookupError("it can't be unpickled")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("call", [*CALLS, "view"])
def test_an_object_that_cannot_be_unpickled_is_taken(call: str, mode: Any) -> None:
    def view(rx: Any) -> Any:
        with rx.view(timeout=DEADLINE) as item:
            return item

    receive = CALLS.get(call, view)
    ch: Any = Channel(mode=mode, shared=True)
    tx = ch.producer()
    for rx in receivers(ch, call) if call != "view" else [ch.consumer()]:
        for item in (1, Unloadable(), 2):
            tx.send(item)
        assert receive(rx) == 1
        with pytest.raises(LookupError, match="can't be unpickled"):
            receive(rx)
        assert receive(rx) == 2
        assert len(ch) == 0


_while_unpickling: list[Callable[[], None]] = []


class Meddling:
    """An object whose unpickling does something else, too."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _meddle, ()


def _meddle() -> str:
    _while_unpickling[0]()
    return "meddling"


def meddled_batches(meddle: Callable[[Any, Any], None], mode: Any, call: str) -> Any:
    """A batch of two objects, while the second of them is unpickled, and the handles."""
    ch: Any = Channel(mode=mode, shared=True)
    tx, rx = ch.producer(), ch.consumer()
    tx.send("first")
    tx.send(Meddling())
    _while_unpickling[:] = [lambda: meddle(ch, rx)]
    calls: dict[str, Callable[[], Any]] = {
        "receive_batch": partial(rx.receive_batch, 8, DEADLINE),
        "try_receive_batch": partial(rx.try_receive_batch, 8),
        "batches": partial(next, rx.batches(8)),
        "areceive_batch": lambda: asyncio.run(rx.areceive_batch(8)),
    }
    return calls[call](), ch, tx, rx


BATCH_CALLS = ["receive_batch", "try_receive_batch", "batches", "areceive_batch"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("call", BATCH_CALLS)
def test_a_batch_ends_where_another_thread_comes_to_use_the_handle(call: str, mode: Any) -> None:
    others = []

    def come_in(ch: Any, rx: Any) -> None:
        others.append(Task(partial(rx.receive, timeout=DEADLINE)))
        until_parked(ch)

    batch, _, tx, rx = meddled_batches(come_in, mode, call)
    assert batch == ["first", "meddling"]
    with pytest.raises(RuntimeError, match="in use by another thread"):
        rx.try_receive_batch(8)
    tx.send("last")
    assert others[0].result() == "last"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("call", BATCH_CALLS)
def test_a_batch_ends_where_unpickling_closes_the_handle_or_opens_a_view(
    call: str, mode: Any
) -> None:
    batch, *_, rx = meddled_batches(lambda _, rx: rx.close(), mode, call)
    assert batch == ["first", "meddling"]
    with pytest.raises(bchan.Closed):
        rx.try_receive_batch(8)

    views = []

    def look(ch: Any, rx: Any) -> None:
        ch.producer().send("third") if mode in ("mpsc", "mpmc") else None
        if mode in ("mpsc", "mpmc"):
            views.append(rx.view())
            assert views[-1].__enter__() == "third"

    batch, *_, rx = meddled_batches(look, mode, call)
    assert batch == ["first", "meddling"]
    if views:
        views[0].__exit__(None, None, None)
    assert rx.try_receive() is None


def test_threads_that_share_a_consumer_lose_nothing_of_their_batches() -> None:
    ch: Any = Channel(shared=True, mode="mpsc", capacity=4096)
    tx, rx = ch.producer(), ch.consumer()
    received: list[list[int]] = [[], []]
    is_done = threading.Event()

    def receive(mine: list[int]) -> None:
        while not (is_done.is_set() and len(ch) == 0):
            try:
                mine.extend(rx.try_receive_batch(16))
            except RuntimeError as error:
                assert "in use by another" in str(error)  # noqa: PT017

    tasks = [Task(partial(receive, mine)) for mine in received]
    for n in range(0, 4000, 2):
        tx.send(n)
        tx.send_batch([n + 1])
    is_done.set()
    for task in tasks:
        task.result()
    assert sorted(received[0] + received[1]) == list(range(4000))
