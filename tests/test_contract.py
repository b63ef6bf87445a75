"""The promises, over every place, mode, message type and way of sending and receiving."""

import random
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from bchan import Channel, Closed, Consumer, EndOfChannel, PickledChannel, Producer
from bchan._types import Mode
from tests.support import DEADLINE, RECORD, Task, drain, together, until, until_parked

MODES: list[Mode] = ["spsc", "mpsc", "spmc", "mpmc"]
MANY: list[Mode] = ["mpsc", "mpmc"]
DTYPES = [
    bytes,
    "O",
    "u1",
    "i2",
    "u4",
    "i8",
    "u8",
    "f4",
    "f8",
    "c16",
    ">i4",
    "M8[us]",
    "S12",
    RECORD,
    "V3",
]
CAPACITIES = [1, 2, 64, 4096]

Make = Callable[..., Channel]
Send = Callable[[Producer, np.ndarray[Any, Any]], object]
Receive = Callable[[Consumer], Iterator[Any]]


def send_singles(tx: Producer, items: np.ndarray[Any, Any]) -> None:
    for item in items:
        tx.send(item, timeout=DEADLINE)


def send_batches(tx: Producer, items: np.ndarray[Any, Any]) -> None:
    for start in range(0, len(items), 100):
        tx.send_batch(items[start : start + 100], timeout=DEADLINE)


def send_in_place(tx: Producer, items: np.ndarray[Any, Any]) -> None:
    sent = 0
    while sent < len(items):
        with tx.batch(min(37, len(items) - sent), timeout=DEADLINE) as slots:
            slots[:] = items[sent : sent + len(slots)]
        sent += len(slots)


def send_messages_in_place(tx: Any, messages: np.ndarray[Any, Any]) -> None:
    for message in messages:
        with tx.batch(len(message), timeout=DEADLINE) as room:
            room[:] = message


def receive_singles(rx: Consumer) -> Iterator[Any]:
    for item in rx:
        yield item if isinstance(item, (str, bytes)) else np.asarray(item).item()


def receive_batches(rx: Consumer) -> Iterator[Any]:
    for batch in rx.batches(50):
        yield from batch if isinstance(batch, list) else batch.tolist()


def receive_into(rx: Consumer, dtype: np.dtype[Any]) -> Iterator[Any]:
    buffer = np.zeros(33, dtype=dtype)
    while True:
        try:
            n = rx.receive_into(buffer, timeout=DEADLINE)
        except EndOfChannel:
            return
        yield from buffer[:n].tolist()


def receive_in_place(rx: Consumer) -> Iterator[Any]:
    while True:
        try:
            with rx.view(41, timeout=DEADLINE) as view:
                yield from view.tolist()
        except EndOfChannel:
            return


def receive_messages_into(rx: Any) -> Iterator[bytes]:
    buffer = bytearray(100)
    while True:
        try:
            n = rx.receive_into(buffer, timeout=DEADLINE)
        except EndOfChannel:
            return
        yield bytes(buffer[:n])


def receive_messages_in_place(rx: Any) -> Iterator[bytes]:
    while True:
        try:
            with rx.view(timeout=DEADLINE) as view:
                yield bytes(view)
        except EndOfChannel:
            return


SENDS: list[Send] = [send_singles, send_batches, send_in_place]


def items_of(dtype: Any, n: int, seed: int = 7) -> np.ndarray[Any, Any]:
    """n random items: random bytes, but no NaN, which equals nothing; or objects of their own."""
    if dtype is bytes:
        rng = random.Random(seed)
        messages = np.empty(n, dtype=object)
        messages[:] = [
            rng.randbytes(rng.choice([0, 1, rng.randrange(65), 63, 64])) for _ in range(n)
        ]
        return messages
    dtype = np.dtype(dtype)
    if dtype.hasobject:
        return np.array([f"{seed}: {i}" for i in range(n)], dtype=object)
    raw = np.random.default_rng(seed).integers(0, 256, (n, dtype.itemsize), dtype=np.uint8)
    if dtype.kind in "fc" or dtype.names:
        raw %= 64  # exponents that are neither NaN nor infinite
    if dtype.kind == "S" or dtype.names:
        raw |= 1  # no zero bytes, which NumPy strips from strings
    return raw.reshape(-1).view(dtype)


@pytest.fixture(params=["heap", "shared"])
def make(request: pytest.FixtureRequest) -> Make:
    """What makes a channel in a place: in this process, or in memory that processes share."""
    if request.param == "heap":
        return Channel
    if sys.platform != "linux":
        pytest.skip("shared channels need Linux")
    return partial(Channel, shared=True)


@pytest.mark.parametrize("capacity", CAPACITIES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_every_type_arrives_unchanged_in_order_and_once(
    make: Make, mode: Any, dtype: Any, capacity: int
) -> None:
    items = items_of(dtype, 500)
    sends, receives = list(SENDS), [receive_singles, receive_batches]
    if dtype is bytes:
        sends[sends.index(send_in_place)] = send_messages_in_place
        receives += [receive_messages_into, receive_messages_in_place]
    elif items.dtype == object:
        sends.remove(send_in_place)
    else:
        receives += [partial(receive_into, dtype=items.dtype), receive_in_place]
    for send in sends:
        for receive in receives:
            ch = make(dtype, capacity=capacity, mode=mode)
            rx = ch.consumer()
            with ch.producer() as tx:
                sending = Task(partial(_send_and_close, send, tx, items))
                assert list(receive(rx)) == items.tolist()
                sending.result()
            stats = ch.stats()
            assert (stats.received, len(ch)) == (stats.sent, 0)
            # Objects between processes may go several in one message.
            assert stats.sent == 500 or (isinstance(ch, PickledChannel) and stats.sent < 500)


def _send_and_close(send: Send, tx: Producer, items: np.ndarray[Any, Any]) -> None:
    with tx:
        send(tx, items)


@pytest.mark.parametrize("producers", [1, 2, 5, 40])
@pytest.mark.parametrize("capacity", [1, 8, 1024])
@pytest.mark.parametrize("dtype", ["u8", "O"])
@pytest.mark.parametrize("mode", MANY)
def test_each_producers_messages_arrive_in_its_order(
    make: Make, mode: Mode, dtype: str, producers: int, capacity: int
) -> None:
    each = (30_000 if capacity > 1 else 6_000) // producers
    ch = make(dtype, capacity=capacity, mode=mode, max_producers=producers)

    def produce(number: int, tx: Producer) -> None:
        rng = random.Random(number)
        items = np.arange(each, dtype=np.uint64) + np.uint64(number << 32)
        with tx:
            while len(items):
                n = min(rng.choice([1, 3, 64, 500]), len(items))
                if n == 1:
                    tx.send(int(items[0]), timeout=DEADLINE)
                else:
                    batch = items[:n]
                    tx.send_batch(batch.tolist() if dtype == "O" else batch, timeout=DEADLINE)
                items = items[n:]

    works = [partial(produce, number, ch.producer()) for number in range(producers)]
    rx = ch.consumer()
    receiving = Task(lambda: drain(rx))
    together(works)
    by_producer = defaultdict(list)
    for item in receiving.result():
        by_producer[item >> 32].append(item & 0xFFFFFFFF)
    assert by_producer == {number: list(range(each)) for number in range(producers)}


@pytest.mark.parametrize("capacity", [1, 2, 100])
@pytest.mark.parametrize("mode", MANY)
def test_no_more_than_capacity_messages_are_in_flight(
    make: Make, mode: Mode, capacity: int
) -> None:
    ch = make("u2", capacity=capacity, mode=mode, max_producers=2)
    tx, other = ch.producer(), ch.producer()
    while tx.try_send(1):
        assert len(ch) <= ch.capacity
    assert len(ch) == ch.capacity
    assert tx.try_send_batch([1, 2, 3]) == 0
    assert tx.try_reserve(1) is None
    with pytest.raises(TimeoutError, match=f"all {ch.capacity} slots are full"):
        tx.send(2, timeout=0.01)
    has_its_own = mode == "mpsc"
    assert other.try_send(3) == has_its_own
    assert ch.stats().sent == ch.capacity + has_its_own


def test_capacity_is_what_was_asked_for(make: Make) -> None:
    capacities = [make("u1", capacity=c).capacity for c in (1, 2, 3, 5, 1000, 1024)]
    assert capacities == [1, 2, 3, 5, 1000, 1024]


def test_a_batch_longer_than_the_ring_goes_in_pieces(make: Make) -> None:
    ch = make("u4", capacity=16, mode="spsc")
    items = np.arange(10_000, dtype=np.uint32)
    with ch.producer() as tx:
        sending = Task(partial(_send_and_close, Producer.send_batch, tx, items))
        assert drain(ch.consumer()) == items.tolist()
        sending.result()


def test_a_large_batch_is_copied_without_the_gil_and_arrives_whole(make: Make) -> None:
    ch = make("u8", capacity=1 << 18, mode="spsc")
    items = np.arange(1 << 20, dtype=np.uint64)
    buffer = np.zeros(1 << 20, dtype=np.uint64)
    rx, received = ch.consumer(), 0
    with ch.producer() as tx:
        sending = Task(partial(_send_and_close, Producer.send_batch, tx, items))
        while received < len(items):
            received += rx.receive_into(buffer[received:], timeout=DEADLINE)
        sending.result()
    assert np.array_equal(buffer, items)
    with pytest.raises(EndOfChannel):
        rx.receive_into(buffer, timeout=DEADLINE)


@pytest.mark.parametrize("mode", MANY)
def test_an_idle_producer_delays_nobody(make: Make, mode: Mode) -> None:
    ch = make("u4", capacity=8, mode=mode, max_producers=512)
    idle = [ch.producer() for _ in range(511)]
    rx = ch.consumer()
    with ch.producer() as tx:
        for n in range(5000):
            tx.send(n)
            assert rx.receive(timeout=DEADLINE) == n
    assert len(idle) == ch.active_producers == 511


@pytest.mark.parametrize("mode", MANY)
def test_a_producer_may_come_late_and_leave_early_and_its_place_is_used_again(
    make: Make, mode: Mode
) -> None:
    ch = make("u4", capacity=64, mode=mode, max_producers=2)
    keeper, rx, expected = ch.producer(), ch.consumer(), []
    for n in range(300):
        with ch.producer() as tx:
            tx.send_batch([n, n + 1])
            expected += [n, n + 1]
        if n % 7 == 0:
            assert rx.receive_batch(100).tolist() == expected
            expected = []
    assert ch.active_producers == 1
    keeper.close()
    assert drain(rx) == expected


def test_a_flooding_producer_does_not_starve_another(make: Make) -> None:
    ch = make("u4", capacity=65_536, mode="mpsc", max_producers=2)
    flood, other, rx = ch.producer(), ch.producer(), ch.consumer()
    flood.send_batch(np.zeros(65_536, dtype=np.uint32))
    assert rx.receive() == 0
    other.send(1)
    before = 1 + [rx.receive() for _ in range(600)].index(1)
    assert before <= 256, "one turn of the other lane at most"


@pytest.mark.parametrize("mode", MANY)
def test_producers_come_and_go_from_many_threads_at_any_time(make: Make, mode: Mode) -> None:
    ch = make("u8", capacity=32, mode=mode, max_producers=4)
    keeper, rx = ch.producer(), ch.consumer()
    registered = threading.Semaphore(3)

    def visit(number: int) -> None:
        for n in range(100):
            with registered, ch.producer() as tx:
                tx.send_batch([number << 16 | n] * 3, timeout=DEADLINE)

    receiving = Task(lambda: drain(rx))
    together([partial(visit, number) for number in range(8)])
    keeper.close()
    expected = sorted(number << 16 | n for number in range(8) for n in range(100) for _ in range(3))
    assert sorted(receiving.result()) == expected


@pytest.mark.parametrize("mode", MANY)
def test_the_end_comes_when_the_last_producer_has_closed_and_all_is_received(
    make: Make, mode: Mode
) -> None:
    ch = make("u4", capacity=8, mode=mode, max_producers=2)
    first, second, rx = ch.producer(), ch.producer(), ch.consumer()
    first.send(1)
    first.close()
    assert rx.receive() == 1
    assert rx.try_receive(default="empty") == "empty", "the second producer is still there"
    second.send(2)
    second.close()
    assert rx.receive() == 2
    for ask in (rx.receive, rx.try_receive, partial(rx.receive_batch, 5), partial(rx.peek, 5)):
        with pytest.raises(EndOfChannel):
            ask()
    assert list(rx) == []
    with pytest.raises(Closed, match="has ended"):
        ch.producer()


@pytest.mark.parametrize("mode", MODES)
def test_a_channel_without_producers_yet_has_not_ended(make: Make, mode: Mode) -> None:
    ch = make("u4", mode=mode)
    rx = ch.consumer()
    assert rx.try_receive() is None
    receiving = Task(lambda: drain(rx))
    until_parked(ch)
    with ch.producer() as tx:
        tx.send(5)
    assert receiving.result() == [5]


@pytest.mark.parametrize("mode", MODES)
def test_a_dropped_producer_leaves_like_a_closed_one(make: Make, mode: Mode) -> None:
    ch = make("u4", mode=mode)
    ch.producer().send(1)
    assert ch.active_producers == 0
    assert drain(ch.consumer()) == [1]


@pytest.mark.parametrize("way", ["close", "leave"])
@pytest.mark.parametrize("dtype", ["u4", "O", bytes])
@pytest.mark.parametrize("mode", MODES)
def test_a_blocked_receiver_learns_of_the_end(make: Make, mode: Mode, dtype: Any, way: str) -> None:
    ch = make(dtype, mode=mode)
    tx, rx = ch.producer(), ch.consumer()
    receiving = Task(rx.receive)
    until_parked(ch)
    ch.close() if way == "close" else tx.close()
    with pytest.raises(EndOfChannel):
        receiving.result()


def test_closing_refuses_senders_and_wakes_the_blocked_ones(make: Make) -> None:
    ch = make("u4", capacity=4, mode="mpsc", max_producers=3)
    blocked, batch, idle = ch.producer(), ch.producer(), ch.producer()
    blocked.send_batch([1, 2, 3, 4])
    sending = Task(partial(blocked.send, 5))
    sending_batch = Task(partial(batch.send_batch, range(11, 21)))
    until_parked(ch, 2)
    assert not ch.closed
    ch.close()
    ch.close()
    assert ch.closed
    with pytest.raises(Closed):
        sending.result()
    with pytest.raises(Closed) as refused:
        sending_batch.result()
    assert refused.value.sent == 4
    for refuse in (
        partial(idle.send, 1),
        partial(idle.try_send, 1),
        partial(idle.send_batch, [1]),
        partial(idle.try_send_batch, [1]),
        partial(idle.reserve, 1),
        partial(idle.try_reserve, 1),
        ch.producer,
    ):
        with pytest.raises(Closed, match="the channel is closed"):
            refuse()
    assert sorted(drain(ch.consumer())) == [1, 2, 3, 4, 11, 12, 13, 14]


@pytest.mark.parametrize("mode", MODES)
def test_committing_to_a_closed_channel_sends_nothing(make: Make, mode: Mode) -> None:
    ch = make("u4", capacity=4, mode=mode)
    tx = ch.producer()
    tx.reserve(2)[:] = 7
    ch.close()
    with pytest.raises(Closed):
        tx.commit(2)
    with pytest.raises(EndOfChannel):
        ch.consumer().receive()
    assert ch.stats().sent == 0


@pytest.mark.parametrize("dtype", ["u8", "O"])
@pytest.mark.parametrize("mode", MANY)
def test_what_was_accepted_while_closing_is_received(make: Make, mode: Mode, dtype: str) -> None:
    for seed in range(30):
        rng = random.Random(seed)
        ch = make(dtype, capacity=rng.choice([1, 4, 64]), mode=mode, max_producers=3)

        def produce(tx: Producer, number: int) -> int:
            accepted = 0
            try:
                while True:
                    tx.send(number << 32 | accepted, timeout=DEADLINE)
                    accepted += 1
            except Closed:
                return accepted

        producing = [Task(partial(produce, ch.producer(), number)) for number in range(3)]
        rx = ch.consumer()
        receiving = Task(lambda: drain(rx))  # noqa: B023
        closing_at = rng.randrange(2000)
        until(lambda: ch.stats().sent >= closing_at)  # noqa: B023
        ch.close()
        expected = [
            number << 32 | n for number in range(3) for n in range(producing[number].result())
        ]
        assert sorted(receiving.result()) == expected, f"seed {seed}"


@pytest.mark.parametrize("mode", MANY)
def test_the_next_consumer_goes_on_where_the_last_one_was(make: Make, mode: Mode) -> None:
    ch = make("u4", capacity=64, mode=mode, max_producers=3, keep_open=True)
    producers = [ch.producer() for _ in range(3)]
    for number, tx in enumerate(producers):
        tx.send_batch(range(number * 10, number * 10 + 5))
        if number < 2:
            tx.close()
    received = []
    for _ in range(5):
        with ch.consumer() as rx:
            received += [rx.receive(), rx.receive()]
    producers[2].send(99)
    with ch.consumer() as rx:
        received += rx.receive_batch(100).tolist()
        received += rx.try_receive_batch(100).tolist()
    assert sorted(received) == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 20, 21, 22, 23, 24, 99]


@pytest.mark.parametrize("mode", MODES)
def test_leaving_the_channels_block_closes_it(make: Make, mode: Mode) -> None:
    with make("u4", capacity=2, mode=mode) as ch:
        tx = ch.producer()
        tx.send(1)
    with pytest.raises(Closed):
        tx.send(2)
    assert ch.closed
    assert drain(ch.consumer()) == [1]
