"""Objects between processes: every type, every way, in order, or refused by the sender."""

import asyncio
import copyreg
import gc
import io
import multiprocessing as mp
import os
import pickle
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import bchan
from bchan import Channel, Closed, EndOfChannel, PickledChannel
from bchan._types import Mode
from tests.support import DEADLINE, Task

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared channels need Linux")

MODES: list[Mode] = ["spsc", "mpsc", "spmc", "mpmc"]
MUCH = 1 << 18  # from here on the GIL is let go while bytes are copied


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Mode:
    mode: Mode = request.param
    return mode


@pytest.fixture(params=["fork", "spawn"])
def ctx(request: pytest.FixtureRequest) -> Any:
    return mp.get_context(request.param)


def pickled(capacity: int, mode: Mode = "mpmc") -> PickledChannel:
    ch = Channel(object, capacity, mode, shared=True)
    assert isinstance(ch, PickledChannel)
    return ch


class Point:
    """Something of a class."""

    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and other.x == self.x

    __hash__ = None  # type: ignore[assignment]


class Text(str):
    """A subclass of a built-in."""

    __slots__ = ()


def fail(message: str) -> None:
    raise LookupError(message)


class Poison:
    """Raises where it arrives."""

    def __reduce__(self) -> tuple[Any, ...]:
        return fail, ("poison",)


OBJECTS: list[Any] = [
    *(None, True, False, NotImplemented, ..., Point, len),
    *(0, 1, -1, 255, 2**31, -(2**63), 2**63 - 1, 2**63, -(2**63) - 1, 1 << 1000),
    *(0.0, -0.0, 1.5, float("inf"), 5e-324, 1 + 2j),
    *("", "ascii", "é", "\0", "😀" * 100, "\ud800", "a" * 10_000, Text("of a subclass")),
    *(b"", b"\0\xff", bytes(10_000), bytearray(b"abc"), bytes(MUCH + 1), "b" * (MUCH + 1)),
    *([[[[[[[[[[1]]]]]]]]]], [None, b"b", 1.5], {"a": {"b": [True, {}]}}, {1: 2}, ("x" * 300, 1)),
    *(tuple(range(256)), list(range(255)), {"\ud800": 1}, [1 << 70], {"é": ("é",)}),
    *((), [], {}, set(), (1, [2.0, {"three": (None,)}]), Point(5), [Point(n) for n in range(50)]),
    *(np.float64(1.5), np.int8(-5), np.datetime64("2024-01-01")),
]
ARRAYS: list[Any] = [
    np.zeros(0),
    np.array(5),
    np.arange(3),
    np.arange(4096.0).reshape(64, 64),
    np.asfortranarray(np.arange(4096.0).reshape(64, 64)),
    np.arange(4096)[::2],
    np.arange(4096.0).reshape(64, 64)[:, 3:9],
    np.arange(MUCH, dtype="i8"),
    np.array([(n, n / 2, "x") for n in range(500)], dtype=[("n", "i4"), ("f", ">f8"), ("s", "U3")]),
    np.array([None, "objects", 5], dtype=object),
    np.broadcast_to(np.arange(1000), (3, 1000)),
]


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())
    return a is b or (a == b and repr(a) == repr(b)) or (isinstance(a, Point) and a == b)


@pytest.mark.parametrize("place", range(len(OBJECTS)))
def test_every_object_arrives_alone_and_in_a_batch(place: int) -> None:
    item = OBJECTS[place]
    for mode in MODES:
        ch = pickled(1 << 14, mode)
        tx, rx = ch.producer(), ch.consumer()
        tx.send(item)
        assert same(rx.receive(), item) or isinstance(item, list)
        assert tx.try_send([item])
        assert rx.try_receive() == [item]
        tx.send_batch([item, item])
        assert rx.receive() == item
        with rx.view() as seen:
            assert seen == item
        assert ch.stats().sent == ch.stats().received
        assert rx.try_receive(default="empty") == "empty"


@pytest.mark.parametrize("place", range(len(ARRAYS)))
def test_every_array_arrives_and_can_be_written_to(place: int) -> None:
    array = ARRAYS[place]
    for mode in MODES:
        ch = pickled(1 << 17, mode)
        tx, rx = ch.producer(), ch.consumer()
        tx.send(array)
        got = rx.receive()
        assert same(got, array)
        tx.send({"first": array, "second": [array, array[:0] if array.ndim else 0]})
        got = rx.receive()
        assert same(got["first"], array)
        tx.send_batch([array, 5, array.copy()])
        assert same(rx.receive(), array)
        assert rx.receive() == 5
        last = rx.receive()
        assert same(last, array)
        writable = np.ascontiguousarray(array)
        tx.send(writable)
        last = rx.receive()
        assert last.flags.writeable
        last[...] = last[...]


def test_the_order_of_one_producer_is_kept(mode: Mode) -> None:
    ch = pickled(64, mode)
    tx, rx = ch.producer(), ch.consumer()
    items: list[Any] = [n if n % 3 else (n, "x" * (n % 200)) for n in range(3000)]

    def send() -> None:
        with tx:
            for start in range(0, 3000, 100):
                for item in items[start : start + 30]:
                    tx.send(item, timeout=DEADLINE)
                tx.send_batch(items[start + 30 : start + 100], timeout=DEADLINE)

    sending = Task(send)
    got: list[Any] = []
    while len(got) < 2000:
        got.append(rx.receive(timeout=DEADLINE))
        got += rx.receive_batch(7, timeout=DEADLINE)
    got += [item for batch in rx.batches(100) for item in batch]
    sending.result()
    assert got == items


# Batches.


def test_the_next_consumer_goes_on_in_the_middle_of_a_batch(mode: Mode) -> None:
    ch = pickled(1024, mode)
    items: list[Any] = [(n, str(n)) for n in range(300)]
    with ch.producer() as tx:
        tx.send_batch(items)
    assert len(ch) == 2  # messages of 255 and 45
    got: list[Any] = []
    for n in range(1, 20):
        with ch.consumer() as rx:
            got += [rx.receive() for _ in range(n)] if n % 2 else rx.receive_batch(n)
            rx._view(DEADLINE)  # left open: it stays
    if mode == "mpmc":
        got += [ch.receive() for _ in range(10)]
        got += ch.receive_batch(20)
    with ch.consumer() as rx:
        got += list(rx)
    assert got == items


def test_several_consumers_share_what_is_behind_a_batch() -> None:
    ch = pickled(64, "mpmc")
    with ch.producer() as tx:
        tx.send_batch([1, 2, 3])
        tx.send_batch([4, 5, 6])
    one, other = ch.consumer(), ch.consumer()
    assert [one.receive(), other.receive(), one.receive(), other.receive()] == [1, 4, 2, 5]
    one.close()
    assert ch.receive() == 3
    other.close()
    assert ch.receive() == 6
    with pytest.raises(EndOfChannel):
        ch.receive()


def test_a_batch_that_is_cut_short_says_what_went(mode: Mode) -> None:
    ch = pickled(4, mode)
    tx, rx = ch.producer(), ch.consumer()
    items = ["x" * 100, "y" * 100, "z" * 100]
    with pytest.raises(TimeoutError, match="send_batch timed out") as late:
        tx.send_batch(items, timeout=0.01)
    assert (late.value.sent, late.value.unsent) == (2, items[2:])  # type: ignore[attr-defined]
    assert rx.receive_batch(9) == items[:2]
    assert tx.try_send_batch(items) == 2
    assert tx.try_send_batch(items[2:]) == 0
    assert rx.receive_batch(9) == items[:2]
    assert tx.try_send_batch(list(range(8))) == 8  # one slot
    assert rx.receive_batch(100) == list(range(8))
    tx.send("fill" * 40)
    numbers = [10**9 + n for n in range(255)]
    sent = tx.try_send_batch(numbers)  # as many as there is room for
    assert 0 < sent < 255
    ch.close()
    with pytest.raises(Closed) as closed:
        tx.send_batch(numbers)
    assert closed.value.sent == 0  # type: ignore[attr-defined]
    assert list(rx) == ["fill" * 40, *numbers[:sent]]


def test_an_iterator_is_sent_one_by_one() -> None:
    ch = pickled(64)

    def items() -> Any:
        for n in range(3):
            assert len(ch) == n
            yield n
        yield lambda: 0

    with pytest.raises((pickle.PicklingError, AttributeError)) as error:
        ch.send_batch(items())
    assert error.value.sent == 3  # type: ignore[attr-defined]
    assert ch.receive_batch(9) == [0, 1, 2]


def test_what_occurs_twice_inside_an_object_does_so_again(mode: Mode) -> None:
    ch = pickled(1024, mode)
    tx, rx = ch.producer(), ch.consumer()
    shared: list[Any] = [1]
    cycle: list[Any] = []
    cycle.append((cycle,))
    tx.send({"a": shared, "b": (shared,)})
    tx.send_batch([(shared, shared), cycle])
    got = rx.receive()
    assert got["a"] is got["b"][0]
    got = rx.receive()
    assert got[0] is got[1]
    got = rx.receive()
    assert got[0][0] is got


# What goes wrong.


@pytest.mark.parametrize(
    "bad", [lambda: 0, threading.Lock(), io.StringIO(), (1, iter([]), len, lambda: 1)]
)
def test_what_cannot_be_pickled_raises_and_nothing_is_sent(mode: Mode, bad: Any) -> None:
    ch = pickled(64, mode)
    tx, rx = ch.producer(), ch.consumer()
    calls: list[Callable[[], Any]] = [
        partial(tx.send, bad),
        partial(tx.try_send, bad),
        partial(tx.send_batch, [*range(600), bad]),
        partial(tx.try_send_batch, [1, bad]),
    ]
    if isinstance(bad, io.StringIO):
        tx.send(bad)
        assert rx.receive().getvalue() == ""
        return
    for call in calls:
        with pytest.raises((pickle.PicklingError, TypeError, AttributeError)) as error:
            call()
        assert getattr(error.value, "sent", 0) == 0
    assert (len(ch), ch.stats().sent) == (0, 0)
    tx.send("fine")
    assert rx.receive() == "fine"


def test_what_raises_when_unpickled_is_gone_and_the_rest_is_not(mode: Mode) -> None:
    ch = pickled(64, mode)
    tx, rx = ch.producer(), ch.consumer()
    tx.send(Poison())
    tx.send("after")
    with pytest.raises(LookupError, match="poison"):
        rx.receive()
    assert rx.receive() == "after"
    for item in (1, Poison(), 3):
        tx.send(item)
    with pytest.raises(LookupError) as error:
        rx.receive_batch(9)
    assert error.value.received == [1]  # type: ignore[attr-defined]
    assert rx.receive_batch(9) == [3]
    tx.send_batch([1, Poison()])  # as one pickle: each of them raises
    tx.send("after")
    for _ in range(2):
        with pytest.raises(LookupError):
            rx.try_receive()
    assert rx.receive() == "after"
    tx.send(Poison())
    with pytest.raises(LookupError), rx.view():
        pass
    assert len(ch) == 0


def test_what_is_too_large_is_refused_with_its_size(mode: Mode) -> None:
    ch = pickled(64, mode)
    assert ch.max_message_size == 4096
    tx, rx = ch.producer(), ch.consumer()
    tx.send(bytes(4096))
    assert rx.receive() == bytes(4096)
    for large in (bytes(4097), "x" * 4097, np.zeros(513), [bytes(4096)]):
        for call in (tx.send, tx.try_send, lambda item: tx.send_batch([1, item])):
            with pytest.raises(
                ValueError, match=r"at most 4096 bytes \(max_message_size\) long, got "
            ):
                call(large)
    assert (len(ch), ch.stats().sent) == (0, 1)
    items = [np.full(300, n, "u1") for n in range(100)]  # far more than fits at once
    sending = Task(partial(tx.send_batch, items, timeout=DEADLINE))
    got = [rx.receive(timeout=DEADLINE) for _ in range(100)]
    sending.result()
    assert all(same(a, b) for a, b in zip(got, items, strict=True))


def test_timeouts(mode: Mode) -> None:
    ch = pickled(1, mode)
    tx, rx = ch.producer(), ch.consumer()
    with pytest.raises(TimeoutError, match="receive timed out"):
        rx.receive(timeout=0.01)
    with pytest.raises(TimeoutError, match="receive_batch timed out"):
        rx.receive_batch(3, timeout=0.01)
    with pytest.raises(TimeoutError, match="view timed out"), rx.view(timeout=0):
        pass
    tx.send((1,))
    with pytest.raises(TimeoutError, match=r"send timed out after 0\.01 s: no room for"):
        tx.send((2,), timeout=0.01)
    assert not tx.try_send((2,))
    assert rx.receive() == (1,)


class Reentrant:
    """Uses its channel while it is pickled and unpickled."""

    channel: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        type(self).channel.try_send("from pickling")
        return _receive_more, ()


def _receive_more() -> Any:
    return ("inside", Reentrant.channel.try_receive())


def test_pickling_may_use_the_same_channel() -> None:
    ch = pickled(64)
    Reentrant.channel = ch
    ch.send(Reentrant())
    ch.send("last")
    assert ch.receive() == "from pickling"
    assert ch.receive() == ("inside", "last")
    Reentrant.channel = None


# Views.


def address_in_map(address: int) -> bool:
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        if start <= address < end:
            return "bchan" in line or "memfd" in line
    return False


def test_a_view_shows_buffers_in_the_ring_itself(mode: Mode) -> None:
    ch = pickled(1 << 12, mode)
    tx, rx = ch.producer(), ch.consumer()
    data = np.arange(4096.0)
    tx.send({"data": data, "name": "x"})
    tx.send("next")
    with pytest.raises(KeyError), rx.view() as item:
        raise KeyError
    assert len(ch) == 2
    with rx.view() as item:
        array = item["data"]
        assert same(array, data)
        assert address_in_map(array.ctypes.data)
        assert array.ctypes.data % 64 == 0
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
        with pytest.raises(RuntimeError, match="a view is open"):
            rx.receive()
        with pytest.raises(RuntimeError, match="a view is open"), rx.view():
            pass
        assert len(ch) == 2
    with rx.view() as item:
        assert item == "next"
    assert len(ch) == 0
    tx.close()
    rx.close()
    del tx, rx, ch, item
    gc.collect()
    array.sum()  # mapped as long as it lives


def test_views_go_through_a_batch(mode: Mode) -> None:
    ch = pickled(1 << 12, mode)
    tx, rx = ch.producer(), ch.consumer()
    tx.send_batch([np.full(200, n, "i8") for n in range(6)])
    for n in range(6):
        if n % 2:
            assert rx.receive()[0] == n
        else:
            with rx.view() as array:
                assert address_in_map(array.ctypes.data)
                assert (array == n).all()
    assert len(ch) == 0
    tx.send(1)
    with rx.view() as one:
        assert one == 1
        rx.close()
    assert len(ch) == 1
    with ch.consumer() as rx:
        assert rx.receive() == 1


def test_a_message_that_is_held_is_received_by_its_holder_or_comes_again(mode: Mode) -> None:
    ch = pickled(64, mode)
    tx, rx = ch.producer(), ch.consumer()
    with pytest.raises(TimeoutError, match="hold timed out"):
        rx._hold(0.01)
    tx.send_batch([1, 2])
    tx.send({"three": 3})
    for n in (1, 2):
        rx._hold(DEADLINE)
        rx._hold(0)
        assert rx.receive() == n
    rx._hold(0)
    assert len(ch) == 1
    if mode in ("spmc", "mpmc"):
        with ch.consumer() as other:
            assert other.try_receive(default="empty") == "empty"
    rx.close()
    with pytest.raises(Closed):
        rx._hold(0)
    with ch.consumer() as rx:
        with rx.view(), pytest.raises(RuntimeError, match="a view is open"):
            rx._hold(0)
        tx.close()
        with pytest.raises(EndOfChannel):
            rx._hold(DEADLINE)


# Processes.


def _send_all(tx: Any, batch: int) -> None:
    items = [(n, f"item {n}", np.full(n % 3 * 100, n)) for n in range(600)]
    with tx:
        if batch == 1:
            for item in items:
                tx.send(item, timeout=DEADLINE)
        else:
            for start in range(0, 600, batch):
                tx.send_batch(items[start : start + batch], timeout=DEADLINE)


@pytest.mark.parametrize("batch", [1, 50])
def test_a_child_sends(ctx: Any, mode: Mode, batch: int) -> None:
    ch = pickled(512, mode)
    process = ctx.Process(target=_send_all, args=(ch.producer(), batch))
    process.start()
    with ch.consumer() as rx:
        for n, (number, text, array) in enumerate(rx):
            assert (number, text) == (n, f"item {n}")
            assert same(array, np.full(n % 3 * 100, n))
    assert n == 599
    process.join(DEADLINE)
    assert process.exitcode == 0


def _double(requests: Channel, results: Any) -> None:
    with results, requests.consumer() as rx:
        for item in rx:
            results.send({"twice": item * 2}, timeout=DEADLINE)


def test_a_child_receives_and_answers(ctx: Any) -> None:
    requests, results = pickled(64), pickled(64, "mpsc")
    process = ctx.Process(target=_double, args=(requests, results.producer()))
    process.start()
    with requests.producer() as tx:
        tx.send_batch(["ab", 5, (1,)], timeout=DEADLINE)
    with results.consumer() as rx:
        answers = [rx.receive(timeout=DEADLINE), *rx]
    assert answers == [{"twice": "abab"}, {"twice": 10}, {"twice": (1, 1)}]
    process.join(DEADLINE)
    assert process.exitcode == 0


def _take_and_wait(rx: Any, n: int, ready: Any) -> None:
    for _ in range(n):
        rx.receive(timeout=DEADLINE)
    ready.set()
    time.sleep(DEADLINE)


def test_of_a_batch_the_rest_comes_again_when_its_consumer_is_killed(mode: Mode) -> None:
    ch = pickled(1024, mode)
    ctx = mp.get_context("fork")
    ready, tx = ctx.Event(), ch.producer()
    tx.send_batch([(n,) for n in range(100)])
    process = ctx.Process(target=_take_and_wait, args=(ch.consumer(), 37, ready))
    process.start()
    assert ready.wait(DEADLINE)
    os.kill(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
    process.join()
    tx.close()
    with ch.consumer() as rx:
        assert list(rx) == [(n,) for n in range(37, 100)]


def test_a_name_finds_it() -> None:
    ch = Channel(name="test-pickled")
    other = Channel.attach("test-pickled")
    assert isinstance(other, PickledChannel)
    other.send({"found": True})
    assert ch.receive() == {"found": True}
    assert other.dtype == np.dtype(object)


def test_a_raw_object_never_gets_into_shared_memory() -> None:
    ch = Channel(shared=True)
    assert type(ch) is PickledChannel
    assert type(Channel("O", shared=True)) is PickledChannel
    assert type(Channel()) is Channel
    for make in (
        lambda: type("Sub", (Channel,), {})(shared=True),
        lambda: PickledChannel(),
        lambda: PickledChannel("u8", shared=True),
        lambda: PickledChannel(bytes, shared=True),
        lambda: bchan.BytesChannel(object, shared=True),
        lambda: bchan._core.Channel(np.dtype("O"), 8, "mpmc", 8, ch.tuning, False, False, b"note"),
        lambda: bchan.BytesProducer(ch),
        lambda: bchan.Producer(ch),
        lambda: bchan.PickledProducer(Channel()),
        lambda: bchan.PickledConsumer(Channel(bytes)),
    ):
        with pytest.raises(TypeError):
            make()


def test_what_is_written_to_the_memory_is_checked() -> None:
    ch = Channel(bytes, 64, "spsc", shared=True)
    raw, rx = ch.producer(), None
    del raw, rx
    # The same memory, as objects: frames of plain bytes are no messages of it.
    note = bchan._metadata.Metadata(np.dtype(object), "spsc", None, ch.tuning)
    objects = PickledChannel._of_metadata(note, ch._fd)
    tx = ch.producer()
    tx.send(b"just bytes")
    tx.send(b"")
    rx = objects.consumer()
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            rx.receive()
    assert rx.try_receive() is None


# Tasks.


def test_tasks_and_select() -> None:
    ch = pickled(4)

    async def main() -> list[Any]:
        got: list[Any] = []

        async def receive() -> None:
            got.extend([item async for item in ch])

        async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
            tasks.create_task(receive())
            for n in range(50):
                await ch.asend((n, "x" * 50))
            await ch.asend_batch([(n, "x" * 50) for n in range(50, 400)])
            ch.close()
        return got

    assert asyncio.run(main()) == [(n, "x" * 50) for n in range(400)]
    first, second = pickled(1024), pickled(1024)
    rx = second.consumer()
    second.send_batch(["a", "b"])
    assert rx.receive() == "a"
    assert bchan.select([first, rx], timeout=DEADLINE) == (rx, "b")
    assert bchan.select([first, (first, [1])], timeout=DEADLINE) == (first, [1])
    assert first.receive() == [1]


def test_registered_reducers_are_used() -> None:
    ch = Channel(shared=True)
    copyreg.pickle(type(ch.stats().__class__), lambda kind: (getattr, (bchan, kind.__name__)))
    try:
        ch.send(bchan.Stats)
        assert ch.receive() is bchan.Stats
    finally:
        copyreg.dispatch_table.pop(type, None)


def test_a_handle_says_what_it_is() -> None:
    ch = pickled(1024, "mpsc")
    tx, rx = ch.producer(), ch.consumer()
    assert (repr(tx), repr(rx)) == ("<bchan.PickledProducer open>", "<bchan.PickledConsumer open>")
    tx.close()
    rx.close()
    for call in (partial(tx.send, 1), rx.receive, partial(tx.try_send, (1,))):
        with pytest.raises(Closed):
            call()
