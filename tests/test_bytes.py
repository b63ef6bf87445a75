"""Messages of any length: every length, every buffer, every way, and what is refused."""

import array
import contextlib
import ctypes
import gc
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import numpy as np
import pytest

import bchan
from bchan import BytesChannel, Channel, Closed, EndOfChannel
from bchan._types import Mode
from tests.support import DEADLINE, Task, drain, together

MODES: list[Mode] = ["spsc", "mpsc", "spmc", "mpmc"]
MUCH = 1 << 18  # from here on the GIL is let go while bytes are copied


@pytest.mark.parametrize("mode", MODES)
def test_every_length_arrives_from_every_place_in_the_ring(mode: Mode) -> None:
    ch = Channel(bytes, capacity=8, mode=mode)
    tx, rx = ch.producer(), ch.consumer()
    rng = random.Random(1)
    for start in range(8):
        for length in (0, 1, 63, 64, 65, 127, 128, 129, 511, 512):
            message = rng.randbytes(length)
            tx.send(message)
            assert len(ch) == 1
            assert rx.receive() == message
            used = max(1, -(-length // 64))
            for _ in range((start - used) % 8):
                tx.send(b"")
                assert rx.receive() == b""


@pytest.mark.parametrize("length", [MUCH - 1, MUCH, 3 * MUCH + 1])
@pytest.mark.parametrize("mode", MODES)
def test_large_messages_arrive_whole(mode: Mode, length: int) -> None:
    ch = Channel(bytes, capacity=1 << 15, mode=mode)
    messages = [random.Random(n).randbytes(length + n) for n in range(5)]
    rx = ch.consumer()
    with ch.producer() as tx:
        sending = Task(partial(_send_and_close, tx, messages))
        buffer = bytearray(length + 5)
        assert rx.receive(timeout=DEADLINE) == messages[0]
        assert rx.receive_into(buffer, timeout=DEADLINE) == length + 1
        assert buffer[: length + 1] == messages[1]
        assert drain(rx, 2) == messages[2:]
        sending.result()


def _send_and_close(tx: bchan.BytesProducer, messages: list[bytes]) -> None:
    with tx:
        for message in messages[:2]:
            tx.send(message, timeout=DEADLINE)
        tx.send_batch(iter(messages[2:]), timeout=DEADLINE)


BUFFERS: list[Any] = [
    b"plain",
    type("Sub", (bytes,), {})(b"subclass"),
    bytearray(b"growing"),
    memoryview(b"0123456789")[2:7],
    memoryview(array.array("d", [1.5, 2.5])),
    array.array("i", range(40)),
    np.arange(12, dtype="f8").reshape(3, 4),
    np.zeros(0),
    np.float64(1.5),
]


@pytest.mark.parametrize("mode", MODES)
def test_any_contiguous_buffer_is_a_message(mode: Mode) -> None:
    ch = Channel(bytes, capacity=64, mode=mode)
    tx, rx = ch.producer(), ch.consumer()
    expected = [memoryview(buffer).tobytes() for buffer in BUFFERS]
    for buffer in BUFFERS:
        tx.send(buffer)
    assert [rx.receive() for _ in BUFFERS] == expected
    assert all(tx.try_send(buffer) for buffer in BUFFERS)
    assert rx.receive_batch(100) == expected
    tx.send_batch(BUFFERS)
    assert [rx.receive() for _ in BUFFERS] == expected


def test_buffers_are_let_go_when_the_call_ends() -> None:
    ch = Channel(bytes, capacity=2, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    message, room = bytearray(10), bytearray(10)
    tx.send(message)
    assert tx.try_send_batch([message, message]) == 1
    with pytest.raises(TimeoutError):
        tx.send(message, timeout=0)
    rx.receive_into(room)
    rx.try_receive_into(room)
    assert rx.try_receive_into(room) is None
    message.append(1)
    room.append(1)  # a BufferError if one were still held


@pytest.mark.parametrize(
    ("message", "error", "match"),
    [
        ("text", TypeError, "message must be a contiguous buffer, as bytes are, got 'text'"),
        (5, TypeError, "got 5"),
        (None, TypeError, "got None"),
        (memoryview(b"abcdef")[::2], ValueError, "message must be a contiguous buffer"),
        (np.zeros((4, 4))[:, 1], ValueError, "message must be a contiguous buffer"),
        (bytes(513), ValueError, r"at most 512 bytes \(max_message_size\) long, got 513"),
        (np.zeros(65), ValueError, "got 520"),
    ],
)
def test_what_is_no_message_is_refused_before_anything_is_sent(
    message: Any, error: type[Exception], match: str
) -> None:
    ch = Channel(bytes, capacity=8)
    tx = ch.producer()
    sender: Any
    for sender in (ch, tx):
        for call in (
            partial(sender.send, message),
            partial(sender.send, message, timeout=0),
            partial(sender.try_send, message),
            partial(sender.send_batch, [b"first", message]),
            partial(sender.try_send_batch, [b"first", message]),
        ):
            with pytest.raises(error, match=match):
                call()
    assert (len(ch), ch.stats().sent) == (0, 0)


def test_the_longest_message_is_the_whole_ring() -> None:
    for capacity in (1, 8, 1000):
        ch = Channel(bytes, capacity=capacity, mode="mpsc")
        assert ch.max_message_size == ch.capacity * 64
        tx, rx = ch.producer(), ch.consumer()
        tx.send(bytes(ch.max_message_size))
        assert not tx.try_send(b"")
        assert len(rx.receive()) == ch.max_message_size
        with pytest.raises(ValueError, match=f"at most {ch.capacity * 64} bytes"):
            tx.reserve(ch.max_message_size + 1)
    assert Channel("u8").max_message_size is None
    assert Channel().max_message_size is None


def test_a_channel_of_bytes_says_so() -> None:
    ch = Channel(bytes, capacity=5, mode="mpsc", max_producers=2)
    assert isinstance(ch, BytesChannel)
    assert (ch.dtype, ch.capacity, ch.mode) == (bytes, 5, "mpsc")
    assert repr(ch) == "<bchan.Channel of bytes, mpsc, 0 in 5 slots, 0 of 2 producers>"
    tx, rx = ch.producer(), ch.consumer()
    assert isinstance(tx, bchan.BytesProducer)
    assert isinstance(rx, bchan.BytesConsumer)
    assert (repr(tx), repr(rx)) == ("<bchan.BytesProducer open>", "<bchan.BytesConsumer open>")
    assert type(BytesChannel(bytes)) is BytesChannel
    assert type(type("Sub", (BytesChannel,), {})(bytes)).__name__ == "Sub"
    with pytest.raises(TypeError, match="dtype must be bytes, got 'u8'"):
        BytesChannel("u8")
    with pytest.raises(TypeError, match="dtype must not be bytes"):
        type("Sub", (Channel,), {})(bytes)


@pytest.mark.parametrize("mode", MODES)
def test_messages_are_counted_and_not_their_slots(mode: Mode) -> None:
    ch = Channel(bytes, capacity=16, mode=mode)
    tx, rx = ch.producer(), ch.consumer()
    tx.send_batch([bytes(100), b"", bytes(64)])
    assert (len(ch), ch.stats().sent, ch.stats().received) == (3, 3, 0)
    rx.receive()
    assert (len(ch), ch.stats().sent, ch.stats().received) == (2, 3, 1)
    room = tx.reserve(300)
    assert (len(ch), ch.stats().sent) == (2, 3)
    tx.commit(10)
    assert (len(ch), ch.stats().sent, len(room)) == (3, 4, 300)
    rx.peek()
    assert (len(ch), ch.stats().received) == (3, 1)
    rx.release()
    assert (len(ch), ch.stats().received) == (2, 2)


# Batches.


def test_a_batch_longer_than_the_ring_goes_as_space_comes() -> None:
    ch = Channel(bytes, capacity=4, mode="spsc")
    messages = [random.Random(n).randbytes(n % 256) for n in range(3000)]
    rx = ch.consumer()
    with ch.producer() as tx:

        def send() -> None:
            with tx:
                tx.send_batch(messages[:1500], timeout=DEADLINE)
                tx.send_batch(iter(messages[1500:]), timeout=DEADLINE)

        sending = Task(send)
        assert drain(rx, 7) == messages
        sending.result()


def test_a_batch_that_is_cut_short_says_what_went() -> None:
    ch = Channel(bytes, capacity=4)
    with pytest.raises(
        TimeoutError, match=r"send_batch timed out after 0\.01 s: no room for 65"
    ) as late:
        ch.send_batch([b"a", bytes(100), bytes(65), b"d"], timeout=0.01)
    assert (late.value.sent, late.value.unsent) == (2, [bytes(65), b"d"])  # type: ignore[attr-defined]
    assert ch.receive_batch(9) == [b"a", bytes(100)]

    def broken() -> Iterator[bytes]:
        yield b"one"
        yield b"two"
        raise OSError

    with pytest.raises(OSError) as error:  # noqa: PT011
        ch.send_batch(broken())
    assert (error.value.sent, error.value.unsent) == (2, [])  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="got 5") as wrong:
        ch.send_batch(iter([b"three", 5]))  # type: ignore[arg-type]
    assert (wrong.value.sent, wrong.value.unsent) == (1, [5])  # type: ignore[attr-defined]
    assert ch.receive_batch(9) == [b"one", b"two", b"three"]
    with pytest.raises(TypeError, match="batch must be an iterable, got 5"):
        ch.send_batch(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="batch must be a list, a tuple or an array"):
        ch.try_send_batch(iter([b"x"]))
    assert ch.try_send_batch([b"1", bytes(64 * 3), b"3"]) == 2
    assert ch.try_receive_batch(9) == [b"1", bytes(192)]
    ch.send_batch([])
    assert ch.try_send_batch(()) == 0
    ch.close()
    with pytest.raises(Closed) as closed:
        ch.send_batch([b"late"])
    assert (closed.value.sent, closed.value.unsent) == (0, [b"late"])  # type: ignore[attr-defined]
    with pytest.raises(Closed):
        ch.try_send_batch([b"late"])


def test_batches_are_lists_of_at_most_n() -> None:
    ch = Channel(bytes, capacity=16, mode="mpsc")
    with ch.producer() as tx:
        tx.send_batch([b"%d" % n for n in range(7)])
    rx = ch.consumer()
    assert rx.receive_batch(3) == [b"0", b"1", b"2"]
    assert list(rx.batches(3)) == [[b"3", b"4", b"5"], [b"6"]]
    for n in (0, -1):
        with pytest.raises(ValueError, match="n must be at least 1"):
            rx.receive_batch(n)
    with pytest.raises(EndOfChannel):
        rx.try_receive_batch(1)


# Into a buffer.


@pytest.mark.parametrize("mode", MODES)
def test_a_buffer_that_is_too_small_leaves_the_message(mode: Mode) -> None:
    ch = Channel(bytes, capacity=8, mode=mode)
    tx, rx = ch.producer(), ch.consumer()
    tx.send_batch([b"0123456789", b"next"])
    for call in (rx.receive_into, rx.try_receive_into):
        with pytest.raises(ValueError, match="next message of 10 bytes, got 9 bytes"):
            call(bytearray(9))
    assert len(ch) == 2
    buffer = np.zeros(4, dtype="u4")
    assert rx.receive_into(buffer) == 10
    assert buffer.tobytes() == b"0123456789" + bytes(6)
    assert rx.try_receive_into(bytearray(4)) == 4
    assert rx.try_receive_into(bytearray(4)) is None
    tx.send(b"")
    assert rx.receive_into(bytearray()) == 0


@pytest.mark.parametrize(
    ("buffer", "error", "match"),
    [
        (b"read-only", ValueError, "buffer must be a writable, contiguous buffer"),
        (memoryview(bytearray(9))[::2], ValueError, "buffer must be a writable, contiguous buffer"),
        (np.zeros((3, 3))[:, 0], ValueError, "buffer must be a writable, contiguous buffer"),
        ([0] * 9, TypeError, r"contiguous buffer, got \[0"),
        (9, TypeError, "contiguous buffer, got 9"),
    ],
)
def test_what_cannot_be_received_into_is_refused(
    buffer: Any, error: type[Exception], match: str
) -> None:
    ch = Channel(bytes, capacity=8)
    ch.send(b"stays")
    rx: Any
    for rx in (ch, ch.consumer()):
        for call in (rx.receive_into, rx.try_receive_into):
            with pytest.raises(error, match=match):
                call(buffer)
    assert ch.receive() == b"stays"


# Threads.


def send_somehow(tx: bchan.BytesProducer, data: bytes, most: int, rng: random.Random) -> None:
    match rng.randrange(4):
        case 0:
            with tx.batch(len(data), timeout=DEADLINE) as room:
                room[:] = data
        case 1:
            room = tx.reserve(most, timeout=DEADLINE)
            if rng.randrange(2):
                tx.abort()
                room = tx.reserve(most, timeout=DEADLINE)
            room[: len(data)] = data
            tx.commit(len(data))
        case 2:
            tx.send_batch([data], timeout=DEADLINE)
        case _:
            tx.send(data, timeout=DEADLINE)


def receive_somehow(rx: bchan.BytesConsumer, most: int, rng: random.Random) -> list[bytes]:
    match rng.randrange(5):
        case 0:
            seen = bytes(rx.peek(timeout=DEADLINE))
            rx.release()
            return [seen]
        case 1:
            rx.peek(timeout=DEADLINE)
            rx.release(0)
            return []
        case 2:
            return rx.receive_batch(rng.randrange(1, 9), timeout=DEADLINE)
        case 3:
            buffer = bytearray(most)
            n = rx.receive_into(buffer, timeout=DEADLINE)
            return [bytes(buffer[:n])]
        case _:
            return [rx.receive(timeout=DEADLINE)]


@pytest.mark.parametrize("capacity", [1, 4, 64])
@pytest.mark.parametrize("mode", MODES)
def test_random_messages_between_threads(mode: Mode, capacity: int) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    most, count = capacity * 64, 400
    producers = 3 if mode in ("mpsc", "mpmc") else 1
    consumers = 3 if mode in ("spmc", "mpmc") else 1
    ch = Channel(bytes, capacity=capacity, mode=mode)
    handles = [ch.producer() for _ in range(producers)]

    def message(number: int, n: int) -> bytes:
        rng = random.Random(f"{seed} {number} {n}")
        head = b"%d %d " % (number, n)
        return head + rng.randbytes(rng.choice([0, 30, 200, most]))[: most - len(head)]

    def produce(number: int, tx: bchan.BytesProducer) -> None:
        rng = random.Random(f"{seed} {number}")
        with tx:
            for n in range(count):
                send_somehow(tx, message(number, n), most, rng)

    def consume(number: int, rx: bchan.BytesConsumer) -> list[bytes]:
        rng = random.Random(f"{seed} consumer {number}")
        got: list[bytes] = []
        with contextlib.suppress(EndOfChannel):
            while True:
                got += receive_somehow(rx, most, rng)
        return got

    receiving = [Task(partial(consume, n, ch.consumer())) for n in range(consumers)]
    together([partial(produce, number, tx) for number, tx in enumerate(handles)])
    received: dict[int, list[int]] = defaultdict(list)
    for data in (data for task in receiving for data in task.result()):
        who, n = (int(part) for part in data.split(b" ", 2)[:2])
        assert data == message(who, n)
        received[who].append(n)
    for who in range(producers):
        in_order = received[who] if consumers == 1 else sorted(received[who])
        assert in_order == list(range(count))
    stats = ch.stats()
    assert (stats.sent, stats.received, len(ch)) == (producers * count, producers * count, 0)


def test_threads_hammer_one_channel_without_handles() -> None:
    ch = Channel(bytes, capacity=16)

    def produce(number: int) -> None:
        for n in range(1000):
            ch.send(b"%d %d" % (number, n) + bytes(n % 300), timeout=DEADLINE)

    def consume() -> list[bytes]:
        return [ch.receive(timeout=DEADLINE) for _ in range(1000)]

    works: list[Any] = [partial(produce, number) for number in range(4)] + [consume] * 4
    got = [data for part in together(works) for data in part or ()]
    expected = [b"%d %d" % (number, n) + bytes(n % 300) for number in range(4) for n in range(1000)]
    assert sorted(got) == sorted(expected)


# Without handles.


def test_every_way_of_using_a_channel_of_bytes_without_handles() -> None:
    ch = Channel(bytes, capacity=8)
    buffer = bytearray(4)
    ch.send(b"one")
    assert ch.try_send(b"two")
    ch.send_batch([b"three", b"four"])
    assert ch.try_send_batch((b"five",)) == 1
    assert ch.receive() == b"one"
    assert ch.try_receive() == b"two"
    assert ch.receive_batch(1) == [b"three"]
    assert (ch.receive_into(buffer), bytes(buffer)) == (4, b"four")
    assert ch.try_receive_batch(9) == [b"five"]
    assert ch.try_receive(default=5) == 5
    assert ch.try_receive_into(buffer) is None
    with pytest.raises(TimeoutError):
        ch.receive(timeout=0.01)
    ch.close()
    with pytest.raises(Closed):
        ch.send(b"late")
    for call in (ch.receive, ch.try_receive, partial(ch.receive_into, buffer)):
        with pytest.raises(EndOfChannel):
            call()


@pytest.mark.parametrize("mode", ["spsc", "mpsc", "spmc"])
def test_other_modes_need_handles(mode: Mode) -> None:
    ch = Channel(bytes, mode=mode)
    for call in (partial(ch.send, b""), ch.receive, partial(ch.send_batch, [b""])):
        with pytest.raises(RuntimeError, match="only a channel of mode 'mpmc'"):
            call()


# Memory.


def test_bytes_in_steady_state_allocate_nothing() -> None:
    ch = Channel(bytes, capacity=64, mode="mpsc")
    tx, rx = ch.producer(), ch.consumer()
    message, buffer = bytearray(100), bytearray(100)

    def turn(n: int) -> None:
        for _ in range(n):
            tx.send(message)
            rx.receive_into(buffer)
            with tx.batch(70) as room:
                room[0] = 1
            with rx.view() as view:
                assert view[0] == 1
            tx.send(b"short")
            rx.receive()

    turn(500)
    gc.collect()
    blocks = sys.getallocatedblocks()
    turn(20_000)
    gc.collect()
    assert sys.getallocatedblocks() - blocks < 50


def test_rings_of_bytes_are_whole_without_a_second_map() -> None:
    ch = Channel(bytes, capacity=1024, mode="spsc")
    ch.producer().send(b"x")
    stats = ch.stats()
    assert not stats.mirrored
    assert stats.bytes_mapped >= 2 * 1024 * 64


OF_OBJECTS: dict[str, Callable[[], Any]] = {
    "array": lambda: np.full(3, None, "O"),
    "record": lambda: np.zeros(2, [("when", "M8[s]"), ("what", "O")]),
    "scalar": lambda: np.zeros(1, [("a", "u8"), ("what", "O")])[0],
    "memoryview": lambda: memoryview(cast("Any", np.full(3, None, "O"))),
    "ctypes": lambda: cast("Any", ctypes.py_object * 3)(None, None, None),
}


@pytest.mark.parametrize("kind", OF_OBJECTS)
def test_references_to_objects_are_neither_sent_nor_overwritten(kind: str) -> None:
    buffer = OF_OBJECTS[kind]()
    ch = Channel(bytes, capacity=8)
    tx, rx = ch.producer(), ch.consumer()
    for call in (tx.send, tx.try_send, ch.send, lambda it: tx.send_batch([it])):
        with pytest.raises(TypeError, match="without references to objects"):
            call(buffer)
    assert len(ch) == 0
    ch.send(b"\xff" * 8)
    for receive in (rx.receive_into, rx.try_receive_into, ch.receive_into):
        with pytest.raises((TypeError, ValueError)):
            receive(buffer)
    assert ch.receive() == b"\xff" * 8


def test_buffers_whose_owner_tells_no_format_or_names_an_o_are_messages() -> None:
    ch = Channel(bytes, capacity=8)
    times = np.zeros(2, "M8[s]")
    named = memoryview(cast("Any", np.zeros(2, [("O", "u4")])))
    for buffer in (times, named):
        ch.send(buffer)
        assert ch.receive() == bytes(8 if buffer is named else 16)
