"""Zero-copy on both sides: what a view may do, and what it can't do any harm with."""

import gc
import warnings
import weakref
from typing import Any, cast

import numpy as np
import pytest

from bchan import Channel
from tests.support import RECORD


def test_reserved_slots_are_sent_by_commit_and_no_sooner() -> None:
    ch = Channel("f8", capacity=8, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    slots = tx.reserve(5)
    assert isinstance(slots, np.ndarray)
    assert (len(slots), slots.dtype, slots.flags.writeable) == (5, np.dtype("f8"), True)
    slots[:] = range(5)
    assert rx.try_receive() is None
    tx.commit(3)
    assert rx.receive_batch(8).tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("dtype", ["u1", bytes])
@pytest.mark.parametrize("all_of_it", [(), (None,)])
def test_commit_and_release_without_a_number_are_for_all(dtype: Any, all_of_it: Any) -> None:
    ch = Channel(dtype, capacity=8, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    tx.reserve(3)[:] = bytearray(b"abc") if dtype is bytes else list(b"abc")
    tx.commit(*all_of_it)
    view = rx.peek() if dtype is bytes else rx.peek(8)
    assert bytes(view) == b"abc"
    rx.release(*all_of_it)
    assert len(ch) == 0


def test_a_reservation_gets_what_is_free() -> None:
    ch = Channel("u1", capacity=8, mode="spsc")
    tx = ch.producer()
    tx.send_batch([0] * 5)
    assert len(tx.reserve(100)) == 3
    tx.commit(3)
    assert tx.try_reserve(1) is None
    with pytest.raises(TimeoutError, match="reserve timed out"):
        tx.reserve(1, timeout=0)


def test_a_reservation_is_one_piece_also_across_the_rings_end() -> None:
    for dtype in ("u1", "u8", RECORD, "V24", "V100"):
        ch = Channel(dtype, capacity=1024, mode="spsc")
        tx, rx = ch.producer(), ch.consumer()
        assert ch.stats().mirrored
        for _ in range(40):
            slots = tx.reserve(1000)
            assert len(slots) == 1000
            raw = np.random.default_rng().integers(1, 99, slots.nbytes, dtype=np.uint8)
            slots.view(np.uint8)[:] = raw
            tx.commit(1000)
            view = rx.peek(1000)
            assert view.tobytes() == raw.tobytes()
            rx.release(1000)


def test_items_that_cannot_be_mirrored_still_arrive_whole() -> None:
    dtype = np.dtype("V100001")
    ch = Channel(dtype, capacity=4, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    for n in range(20):
        sent = np.frombuffer(bytes([n]) * 300_003, dtype=dtype)
        tx.send_batch(sent)
        with rx.view(3) as view:
            assert 1 <= len(view) <= 3
        rest = 3 - len(view)
        if rest:
            assert rx.receive_batch(rest).tobytes() == sent[:rest].tobytes()
    assert not ch.stats().mirrored
    assert len(ch) == 0


def test_the_order_of_reserve_commit_and_abort_is_checked() -> None:
    ch = Channel("u4", capacity=8, mode="spsc")
    tx = ch.producer()
    for call in (tx.abort, lambda: tx.commit(0), lambda: tx.commit(1)):
        with pytest.raises(RuntimeError, match="needs an open reservation"):
            call()
    tx.reserve(4)
    for refuse in (
        lambda: tx.reserve(1),
        lambda: tx.try_reserve(1),
        lambda: tx.send(1),
        lambda: tx.try_send(1),
        lambda: tx.send_batch([1]),
        lambda: tx.try_send_batch([1]),
    ):
        with pytest.raises(RuntimeError, match="a reservation is open"):
            refuse()
    for n in (5, 1 << 70, -1):
        with pytest.raises(ValueError, match="n must be"):
            tx.commit(n)
    with pytest.raises(TypeError, match="n must be an integer, got 'x'"):
        tx.commit("x")  # type: ignore[arg-type]
    tx.commit(0)
    tx.reserve(4)
    tx.abort()
    assert len(ch) == 0
    tx.send(1)
    assert len(ch) == 1


@pytest.mark.parametrize("n", [0, -1, -(1 << 70), 1 << 70])
def test_counts_out_of_range_are_refused(n: int) -> None:
    ch = Channel("u4", capacity=8, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    tx.send(1)
    calls = [
        tx.reserve,
        tx.try_reserve,
        rx.peek,
        rx.try_peek,
        rx.receive_batch,
        rx.try_receive_batch,
    ]
    for call in calls:
        with pytest.raises(ValueError, match=f"n must be at least 1.*got {n}"):
            call(n)
    for call in calls:
        with pytest.raises(TypeError, match=r"n must be an integer, got 1\.5"):
            call(1.5)  # type: ignore[arg-type]
    assert rx.receive() == 1


def test_an_exception_in_a_batch_block_sends_nothing() -> None:
    ch = Channel("u4", capacity=8, mode="spsc")
    tx = ch.producer()
    with pytest.raises(KeyError), tx.batch(4) as slots:  # noqa: PT012
        slots[:] = 1
        raise KeyError
    assert len(ch) == 0
    with tx.batch(2) as slots:
        slots[:] = [5, 6]
    assert ch.consumer().receive_batch(8).tolist() == [5, 6]


def test_a_batch_block_may_settle_by_itself() -> None:
    ch = Channel("u4", capacity=8, mode="spsc")
    with ch.producer() as tx:
        with tx.batch(4) as slots:
            slots[0] = 7
            tx.commit(1)
        with tx.batch(4):
            tx.abort()
        with tx.batch(4) as slots:
            slots[:] = 9
            tx.close()
    assert list(ch.consumer()) == [7]


def test_an_exception_in_a_view_block_keeps_the_messages() -> None:
    ch = Channel("u4", capacity=8, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    tx.send_batch([1, 2, 3])
    with pytest.raises(KeyError), rx.view(2):
        raise KeyError
    with rx.view(2) as view:
        assert view.tolist() == [1, 2]
    assert rx.receive() == 3


def test_a_view_block_may_release_by_itself() -> None:
    ch = Channel("u4", capacity=8, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    tx.send_batch([1, 2, 3])
    with rx.view(3):
        rx.release(1)
    with rx.view(3) as view:
        assert view.tolist() == [2, 3]
        rx.close()


def test_the_order_of_peek_and_release_is_checked() -> None:
    ch = Channel("u4", capacity=8, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    tx.send_batch([1, 2, 3])
    with pytest.raises(RuntimeError, match="needs an open view"):
        rx.release(0)
    view = rx.peek(2)
    for refuse in (
        lambda: rx.peek(1),
        lambda: rx.try_peek(1),
        rx.receive,
        rx.try_receive,
        lambda: rx.receive_batch(1),
        lambda: rx.receive_into(np.zeros(1, dtype="u4")),
        lambda: next(rx),
    ):
        with pytest.raises(RuntimeError, match="a view is open"):
            refuse()
    for n in (3, 1 << 70, -1):
        with pytest.raises(ValueError, match="n must be"):
            rx.release(n)
    with pytest.raises(TypeError, match="n must be an integer, got 'x'"):
        rx.release("x")  # type: ignore[arg-type]
    assert view.tolist() == [1, 2]
    rx.release(0)
    assert rx.peek(5).tolist() == [1, 2, 3]


def test_a_consumers_view_can_never_be_written() -> None:
    ch = Channel("u4", capacity=8, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    tx.send_batch([1, 2, 3])
    view = rx.peek(3)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 9
    with pytest.raises(ValueError, match="WRITEABLE"):
        view.flags.writeable = True
    with pytest.raises(ValueError, match="WRITEABLE"):
        view[:2].flags.writeable = True
    rx.release(0)
    assert rx.receive() == 1


def test_a_producers_view_is_read_only_once_its_slots_are_gone() -> None:
    ch = Channel("u4", capacity=8, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    first = tx.reserve(2)
    first[:] = 1
    tx.commit(2)
    second = tx.reserve(2)
    tx.abort()
    third = tx.reserve(2)
    tx.close()
    for slots in (first, second, third):
        with pytest.raises(ValueError, match="read-only"):
            slots[0] = 9
    assert rx.receive_batch(8).tolist() == [1, 1]


def test_views_keep_the_memory_when_all_else_is_gone() -> None:
    ch = Channel("u8", capacity=4096, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    tx.send_batch(range(4096))
    view, slots = rx.peek(4096), None
    rx.release(4096)
    slots = tx.reserve(4096)
    piece = slots[100:200]
    del tx, rx, ch, slots
    gc.collect()
    piece[:] = 5  # a stale slice of a reservation: it reaches the ring, and nothing else
    assert view[150] == 5
    assert view[300] == 300
    assert piece.base is not None


def test_a_callback_of_a_dying_view_meets_a_handle_at_rest() -> None:
    ch = Channel("u4", capacity=4, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    slots = tx.reserve(2)
    slots[:] = [1, 2]
    watch = weakref.ref(slots, lambda _: tx.send(3))
    del slots
    tx.commit(2)
    view = rx.peek(3)
    assert view.tolist() == [1, 2, 3]
    seen: list[int] = []
    watch_too = weakref.ref(view, lambda _: seen.append(rx.receive()))
    del view
    rx.release(2)
    assert (seen, len(ch)) == ([3], 0)
    slots = tx.reserve(2)
    refused: list[bool] = []
    watch_again = weakref.ref(slots, lambda _: refused.append(tx.closed))
    del slots
    tx.close()
    assert refused == [True]
    assert (watch(), watch_too(), watch_again()) == (None, None, None)


def test_a_reservation_of_a_dropped_producer_is_read_only() -> None:
    ch = Channel("u4", capacity=8, mode="spsc")
    slots = ch.producer().reserve(4)
    with pytest.raises(ValueError, match="read-only"):
        slots[:] = 99


def test_a_block_sends_what_it_reserved_though_its_view_changed_its_shape() -> None:
    ch = Channel("u4", capacity=8, mode="spsc")
    tx = ch.producer()
    with tx.batch(4) as slots:
        slots[:] = 1
        with warnings.catch_warnings(action="ignore"):  # NumPy 2.5 calls it deprecated
            cast("Any", slots).shape = (2, 2)
    assert len(ch) == 4
