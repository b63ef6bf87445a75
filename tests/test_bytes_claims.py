"""Messages written and read in place, and how a handle of bytes can't be misused."""

import contextlib
import gc
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import bchan
from bchan import BytesConsumer, BytesProducer, Channel, Closed, EndOfChannel
from bchan._types import Mode
from tests.support import DEADLINE, Task, drain, until_parked
from tests.test_misuse import in_child

MODES: list[Mode] = ["spsc", "mpsc", "spmc", "mpmc"]


@pytest.mark.parametrize("mode", MODES)
def test_room_is_just_as_long_as_asked_for_and_sent_by_commit(mode: Mode) -> None:
    ch = Channel(bytes, capacity=8, mode=mode)
    tx, rx = ch.producer(), ch.consumer()
    for length in (0, 1, 64, 65, 512):
        room = tx.reserve(length)
        assert isinstance(room, memoryview)
        assert (len(room), room.nbytes, room.readonly, room.format) == (length, length, False, "B")
        room[:] = bytes(range(256))[:length] if length <= 256 else bytes(length)
        assert rx.try_receive() is None
        tx.commit()
        assert len(rx.receive()) == length


@pytest.mark.parametrize("mode", MODES)
def test_a_part_of_the_room_may_be_sent_or_nothing(mode: Mode) -> None:
    ch = Channel(bytes, capacity=8, mode=mode)
    tx, rx = ch.producer(), ch.consumer()
    for n in (0, 1, 64, 100, 512):
        tx.reserve(512)[:] = bytes(range(256)) * 2
        tx.commit(n)
        assert rx.receive() == (bytes(range(256)) * 2)[:n]
    tx.reserve(512)
    tx.abort()
    assert rx.try_receive() is None
    tx.reserve(10)
    tx.commit(None)
    assert rx.receive_batch(9)
    tx.reserve(10)
    for n in (11, -1):
        with pytest.raises(ValueError, match=f"got {n}"):
            tx.commit(n)
    tx.commit(10)
    for call, name in ((tx.commit, "commit"), (tx.abort, "abort")):
        with pytest.raises(RuntimeError, match=rf"{name}\(\) needs an open reservation"):
            call()
    for nbytes in (-1, 513):
        with pytest.raises(ValueError, match=f"got {nbytes}"):
            tx.reserve(nbytes)


def test_a_buffer_may_be_filled_by_others() -> None:
    ch = Channel(bytes, capacity=64, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    with tx.batch(80) as room:
        np.frombuffer(room, dtype="f8")[:] = np.arange(10)
    with rx.view() as view:
        assert np.frombuffer(view, dtype="f8").tolist() == list(range(10))
        with pytest.raises(ValueError, match="read-only"):
            np.frombuffer(view, dtype="f8")[0] = 1


def test_blocks_commit_on_success_and_abort_on_an_exception() -> None:
    ch = Channel(bytes, capacity=8, mode="mpmc")
    tx, rx = ch.producer(), ch.consumer()
    with tx.batch(5) as room:
        room[:] = b"hello"
    with pytest.raises(ZeroDivisionError), tx.batch(5) as room:
        room[0] = 1 // 0
    with tx.batch(5) as room:
        room[:] = b"early"
        tx.commit(3)
    with tx.batch(5):
        tx.abort()
    assert rx.receive_batch(9) == [b"hello", b"ear"]
    tx.send(b"again")
    with pytest.raises(ZeroDivisionError), rx.view() as view:
        assert bytes(view)[1 // 0] == 1
    with rx.view() as view:
        assert bytes(view) == b"again"
        rx.release(0)
    with rx.view() as view:
        assert bytes(view) == b"again"
    assert rx.try_receive() is None


@pytest.mark.parametrize("mode", MODES)
def test_a_message_that_is_looked_at_stays_until_released(mode: Mode) -> None:
    ch = Channel(bytes, capacity=8, mode=mode)
    tx, rx = ch.producer(), ch.consumer()
    tx.send_batch([bytes(range(100)), b"next"])
    view = rx.peek()
    assert (view.readonly, len(view), bytes(view)) == (True, 100, bytes(range(100)))
    with pytest.raises(TypeError, match="read-only"):
        view[0] = 1
    with pytest.raises(ValueError, match="at most 1"):
        rx.release(2)
    rx.release(0)
    assert len(ch) == 2
    assert len(rx.peek(timeout=1)) == 100
    rx.release()
    seen = rx.try_peek()
    assert seen is not None
    assert bytes(seen) == b"next"
    rx.release(n=1)
    assert rx.try_peek() is None
    with pytest.raises(RuntimeError, match=r"release\(\) needs an open view"):
        rx.release()
    with pytest.raises(TimeoutError, match="peek timed out"):
        rx.peek(timeout=0)
    tx.close()
    for call in (rx.peek, rx.try_peek):
        with pytest.raises(EndOfChannel):
            call()


def test_room_is_read_only_once_its_slots_are_gone() -> None:
    ch = Channel(bytes, capacity=8, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    first = tx.reserve(4)
    first[:] = b"good"
    lease: Any = first.obj
    assert not memoryview(lease).readonly
    tx.commit()
    second = tx.reserve(2)
    tx.abort()
    third = tx.reserve(2)
    tx.close()
    fourth_of = Channel(bytes, mode="spsc")
    fourth = fourth_of.producer().reserve(4)  # its producer is dropped
    for room in (first, second, third, fourth):
        assert room.readonly
        with pytest.raises(TypeError, match="read-only"):
            room[0] = 9
    assert memoryview(lease).readonly
    assert rx.receive() == b"good"


def test_a_view_that_its_user_has_released_is_committed_all_the_same() -> None:
    ch = Channel(bytes, capacity=8, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    with tx.reserve(4) as room:
        room[:] = b"gone"
    tx.commit()
    with rx.peek() as view:
        assert bytes(view) == b"gone"
    rx.release()
    assert len(ch) == 0


def test_a_view_that_its_user_has_released_leads_to_no_freed_memory() -> None:
    code = """
    from bchan import Channel
    ch = Channel(bytes, capacity=8, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    for _ in range(100):
        tx.reserve(4).release()
        tx.commit()
        rx.peek().release()
        rx.release()
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONMALLOC": "debug"},  # what is freed is overwritten
        timeout=DEADLINE,
        check=True,
    )


def test_views_keep_the_memory_when_all_else_is_gone() -> None:
    ch = Channel(bytes, capacity=1024, mode="mpmc")
    tx, rx = ch.producer(), ch.consumer()
    tx.send(b"message" * 1000)
    view, room = rx.peek(), tx.reserve(100)
    piece, numbers = room[10:20], np.frombuffer(view, dtype="u1")
    del tx, rx, ch, room, view
    gc.collect()
    piece[:] = b"0123456789"  # a stale slice of a reservation: it reaches the ring, nothing else
    assert numbers[:7].tobytes() == b"message"
    assert bytes(piece) == b"0123456789"


def test_a_reservation_that_fails_is_passed_and_counted() -> None:
    ch = Channel(bytes, capacity=16)
    tx, other, rx = ch.producer(), ch.producer(), ch.consumer()
    tx.reserve(5 * 64)
    other.send(b"after")
    assert rx.try_receive() is None
    tx.commit(65)
    assert [len(message) for message in rx.receive_batch(9)] == [65, 5]
    assert ch.stats().abandoned == 3
    tx.reserve(64)
    other.send(b"after")
    tx.abort()
    assert rx.receive() == b"after"
    assert ch.stats().abandoned == 4
    assert other.try_send(bytes(16 * 64)), "all slots are free again"


def test_a_thread_that_ends_between_reserve_and_commit_holds_nobody_up() -> None:
    ch = Channel(bytes, capacity=16)
    tx, other, rx = ch.producer(), ch.producer(), ch.consumer()

    def stall() -> None:
        tx.reserve(100)
        other.send(b"after")

    receiving = Task(partial(rx.receive, timeout=DEADLINE))
    until_parked(ch)
    Task(stall).result()
    assert receiving.result() == b"after"
    assert ch.stats().abandoned == 2
    with pytest.raises(RuntimeError, match="needs an open reservation"):
        tx.commit()
    tx.send(b"goes on")
    assert rx.receive() == b"goes on"


# Misuse.


def producer_calls(tx: BytesProducer) -> list[Callable[[], object]]:
    return [
        partial(tx.send, b""),
        partial(tx.send, bytearray(3)),
        partial(tx.try_send, b""),
        partial(tx.send_batch, [b""]),
        partial(tx.send_batch, iter([b""])),
        partial(tx.try_send_batch, [b""]),
        partial(tx.reserve, 1),
        partial(tx.try_reserve, 1),
        tx.batch(1).__enter__,
    ]


def consumer_calls(rx: BytesConsumer) -> list[Callable[[], object]]:
    return [
        rx.receive,
        rx.try_receive,
        partial(rx.receive_batch, 1),
        partial(rx.try_receive_batch, 1),
        partial(rx.receive_into, bytearray(9)),
        partial(rx.try_receive_into, bytearray(9)),
        rx.peek,
        rx.try_peek,
        partial(next, rx),
        partial(next, rx.batches(1)),
        rx.view().__enter__,
    ]


def test_a_closed_handle_refuses_every_call_and_closing_twice_is_harmless() -> None:
    ch = Channel(bytes, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    for handle in (tx, rx):
        handle.close()
        handle.close()
        assert handle.closed
    for call in [*producer_calls(tx), *consumer_calls(rx), tx.commit, tx.abort, rx.release]:
        with pytest.raises(Closed, match=r"this (producer|consumer) is closed"):
            call()


@pytest.mark.parametrize("mode", MODES)
def test_a_closed_channel_refuses_senders(mode: Mode) -> None:
    ch = Channel(bytes, mode=mode)
    tx = ch.producer()
    tx.send(b"before")
    ch.close()
    for call in producer_calls(tx):
        with pytest.raises(Closed, match="the channel is closed"):
            call()
    rx = ch.consumer()
    assert drain(rx) == [b"before"]
    for call in consumer_calls(rx)[:8]:
        with pytest.raises(EndOfChannel):
            call()


@pytest.mark.parametrize("mode", MODES)
def test_a_reservation_open_at_close_is_refused(mode: Mode) -> None:
    ch = Channel(bytes, mode=mode)
    tx, rx = ch.producer(), ch.consumer()
    room = tx.reserve(3)
    ch.close()
    with pytest.raises(Closed):
        tx.commit()
    assert room.readonly
    with pytest.raises(EndOfChannel):
        rx.receive()


def test_an_open_claim_refuses_other_calls() -> None:
    ch = Channel(bytes, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    tx.send(b"x")
    tx.reserve(1)
    for call in producer_calls(tx):
        with pytest.raises(RuntimeError, match="a reservation is open"):
            call()
    rx.peek()
    for call in consumer_calls(rx):
        with pytest.raises(RuntimeError, match="a view is open"):
            call()
    tx.abort()
    rx.release()


def test_one_handle_in_two_threads_is_found_out_and_the_channel_goes_on() -> None:
    ch = Channel(bytes, capacity=1, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    receiving = Task(rx.receive)
    until_parked(ch)
    for call in consumer_calls(rx):
        with pytest.raises(RuntimeError, match="this consumer is in use by another thread"):
            call()
    tx.send(b"1")
    assert receiving.result() == b"1"
    tx.send(b"2")
    waits = ch.stats().waits
    sending = Task(partial(tx.send, b"3"))
    until_parked(ch, waits + 1)
    for call in producer_calls(tx):
        with pytest.raises(RuntimeError, match="this producer is in use by another thread"):
            call()
    assert (rx.receive(), rx.receive(timeout=DEADLINE)) == (b"2", b"3")
    sending.result()


@pytest.mark.parametrize("mode", ["spsc", "mpmc"])
def test_hammering_one_handle_from_many_threads_loses_nothing_that_was_accepted(mode: Mode) -> None:
    ch = Channel(bytes, capacity=64, mode=mode)
    tx, rx = ch.producer(), ch.consumer()
    stop = threading.Event()

    def hammer(number: int) -> int:
        accepted = 0
        while not stop.is_set():
            try:
                accepted += tx.try_send(bytes([number]) * 100)
                accepted += tx.try_send_batch([bytes([number])] * 3)
                with tx.batch(70, timeout=0.001) as room:
                    room[:] = bytes([number]) * 70
                accepted += 1
            except (RuntimeError, TimeoutError):
                pass
        return accepted

    def hammer_receiver() -> int:
        received = 0
        while not stop.is_set():
            try:
                message = rx.try_receive()
                received += message is not None
                assert len(set(message or b"")) <= 1, "torn"
                received += len(rx.try_receive_batch(10))
                with rx.view(timeout=0.001) as view:
                    assert len(set(view)) == 1, "torn"
                received += 1
            except (RuntimeError, TimeoutError):
                pass
        return received

    senders = [Task(partial(hammer, number)) for number in range(1, 4)]
    receivers = [Task(hammer_receiver) for _ in range(3)]
    threading.Event().wait(1.0)
    stop.set()
    accepted = sum(task.result() for task in senders)
    received = sum(task.result() for task in receivers)
    # An interrupted `with` block may leave a claim open: settle both sides.
    for settle in (tx.abort, partial(rx.release, 0)):
        with contextlib.suppress(RuntimeError):
            settle()
    tx.close()
    received += len(drain(rx))
    assert received == ch.stats().sent == ch.stats().received
    assert received >= accepted > 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_handles_that_came_through_a_fork_are_refused_and_the_parent_goes_on() -> None:
    ch = Channel(bytes, capacity=16)
    tx, rx, third = ch.producer(), ch.consumer(), ch.producer()
    tx.send(b"1")
    room = third.reserve(2)

    def use_all() -> None:
        calls: list[Any] = [*producer_calls(tx), *consumer_calls(rx)]
        calls += [third.commit, tx.close, rx.close]
        for call in [*calls, partial(ch.send, b""), ch.receive, ch.producer, ch.consumer]:
            with pytest.raises(RuntimeError, match="came through a fork and belongs to the parent"):
                call()
        own = Channel(bytes)
        own.send(b"5")
        assert own.receive() == b"5"

    def drop_all() -> None:
        nonlocal ch, tx, rx, third, room
        del ch, tx, rx, third, room
        gc.collect()

    assert in_child(use_all) == 0
    assert in_child(drop_all) == 0
    room[:] = b"ok"
    third.commit()
    tx.close()
    third.close()
    assert drain(rx) == [b"1", b"ok"]


def test_handles_and_calls_of_the_other_kind_are_refused() -> None:
    of_bytes, of_items = Channel(bytes), Channel("u8")
    make: Any
    call: Any
    for make in (bchan.Producer, bchan.Consumer):
        with pytest.raises(TypeError, match="channel must be of items or objects"):
            make(of_bytes)
    for make in (BytesProducer, BytesConsumer):
        with pytest.raises(TypeError, match="channel must be of bytes"):
            make(of_items)
    tx: Any = of_bytes.producer()
    base: Any = Channel
    for call in (
        partial(base.send, of_bytes, 5),
        partial(base.try_send, of_bytes, 5),
        partial(base.send_batch, of_bytes, np.zeros(3, dtype="u1")),
        partial(base.receive, of_bytes),
        partial(base.receive_into, of_bytes, np.zeros(3, dtype="u1")),
    ):
        with pytest.raises(RuntimeError, match="mode 'mpmc'"):
            call()
    with pytest.raises(TypeError, match="descriptor 'send'"):
        bchan.Producer.send(tx, 5)
    assert len(of_bytes) == 0


def test_a_buffer_made_in_python_may_use_the_handle_that_it_is_sent_with() -> None:
    ch = Channel(bytes, capacity=4, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()

    class Closing:
        """Its attributes run Python code where the buffer protocol does (CPython 3.12)."""

        def __buffer__(self, flags: int) -> memoryview:
            tx.send(b"inner")
            return memoryview(b"outer")

        def __release_buffer__(self, view: memoryview) -> None:
            tx.send(b"after")

    message: Any = Closing()
    try:
        memoryview(message).release()
    except TypeError:
        pytest.skip("classes have no buffers before CPython 3.12")
    drain_now = rx.try_receive_batch(9)
    assert drain_now == [b"inner", b"after"]
    tx.send(message)
    assert rx.receive_batch(9) == [b"inner", b"outer", b"after"]
