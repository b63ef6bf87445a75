"""Items and arrays of every type: converted right, or refused with the value and the limit."""

from decimal import Decimal
from typing import Any, cast

import numpy as np
import pytest

from bchan import Channel
from tests.support import RECORD

INTEGERS = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"]


def there_and_back(dtype: Any, item: Any) -> Any:
    ch = Channel(dtype, capacity=4, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    tx.send(item)
    return rx.receive()


class Index:
    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_of_the_whole_range_come_back_as_int(dtype: str) -> None:
    limits = np.iinfo(dtype)
    for value in {limits.min, limits.min + 1, -1, 0, 1, 200, limits.max - 1, limits.max}:
        if limits.min <= value <= limits.max:
            received = there_and_back(dtype, value)
            assert (type(received), received) == (int, value)
            assert there_and_back(dtype, Index(value)) == value
            assert there_and_back(dtype, np.dtype(dtype).type(value)) == value


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_out_of_range_are_refused_with_the_limits(dtype: str) -> None:
    limits = np.iinfo(dtype)
    for value in (limits.min - 1, limits.max + 1, 1 << 64, -(1 << 63) - 1, 1 << 200):
        with pytest.raises(
            OverflowError, match=f"{limits.min} and at most {limits.max}, got {value}"
        ):
            there_and_back(dtype, value)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize(
    "item", [1.5, "7", None, 3 + 0j, [1], np.float64(3), object()], ids=lambda item: str(type(item))
)
def test_what_is_no_integer_is_refused(dtype: str, item: object) -> None:
    with pytest.raises(TypeError, match="must be an integer, got"):
        there_and_back(dtype, item)


def test_floats_come_back_as_float() -> None:
    for value in (0.0, -0.0, 1.5, -2.25, float("inf"), 5e-324, 1.7e308):
        received = there_and_back("f8", value)
        assert (type(received), received) == (float, value)
    assert np.isnan(there_and_back("f8", float("nan")))
    assert there_and_back("f4", 0.1) == float(np.float32(0.1))
    assert there_and_back("f8", 3) == 3.0
    assert there_and_back("f8", np.float32(2.5)) == 2.5
    assert there_and_back("f8", Decimal("0.5")) == 0.5


@pytest.mark.parametrize("item", ["1.5", None, 1j, [1.0]], ids=repr)
def test_what_is_no_number_is_refused(item: object) -> None:
    with pytest.raises(TypeError, match="must be a number, got"):
        there_and_back("f8", item)


def test_an_exception_of_the_item_itself_comes_through() -> None:
    class Broken:
        def __float__(self) -> float:
            raise LookupError("from __float__")

    with pytest.raises(LookupError, match="from __float__"):
        there_and_back("f8", Broken())


def test_bools_are_bools() -> None:
    assert there_and_back("?", True) is True
    assert there_and_back("?", np.False_) is False
    with pytest.raises(TypeError, match="must be a bool, got 2"):
        there_and_back("?", 2)


def test_other_dtypes_come_back_as_numpy_scalars() -> None:
    cases: list[tuple[Any, Any]] = [
        ("c16", 1 + 2j),
        ("f2", np.float16(1.5)),
        ("g", np.longdouble("1.25")),
        (">u4", 5),
        ("M8[s]", np.datetime64("2026-11-23T09:00:00")),
        ("m8[ns]", np.timedelta64(5, "ns")),
        ("S5", b"abc"),
        ("U5", "äbc"),
    ]
    for dtype, item in cases:
        received = there_and_back(dtype, item)
        assert received == item
        assert isinstance(received, np.generic)


def test_a_record_comes_back_as_a_copy_with_its_fields() -> None:
    ch = Channel(RECORD, capacity=1, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    tx.send((99.5, 7, b"B"))
    record = rx.receive()
    tx.send((1.0, 2, b"S"))
    assert (record["price"], record["volume"], record["side"]) == (99.5, 7, b"B")
    assert rx.receive().item() == (1.0, 2, b"S")
    with pytest.raises((TypeError, ValueError)):
        tx.send("no record")
    with pytest.raises((TypeError, ValueError)):
        tx.send([(1.0, 2, b"S"), (1.0, 2, b"S")])
    assert len(ch) == 0


@pytest.mark.parametrize(
    "dtype",
    [
        [("a", "u4"), ("b", object)],
        np.dtypes.StringDType() if hasattr(np.dtypes, "StringDType") else [("o", "O"), ("n", "i4")],
    ],
    ids=str,
)
def test_dtypes_with_references_are_refused(dtype: Any) -> None:
    with pytest.raises(TypeError, match="items of plain bytes"):
        Channel(dtype)


def test_dtypes_without_a_size_of_their_own_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 byte"):
        Channel("V0")
    with pytest.raises(TypeError, match="subarray"):
        Channel(np.dtype(("f4", (3,))))
    with pytest.raises(TypeError):
        Channel("no such type")


@pytest.mark.parametrize(
    "dtype", ["m8", "M8", [("a", "u4"), ("b", "m8", (2,))], [("r", [("t", "M8")])]]
)
def test_times_without_a_unit_are_refused(dtype: Any) -> None:
    with pytest.raises(ValueError, match="dtype must have a unit for its times"):
        Channel(dtype)


def test_a_record_of_subarrays_is_fine() -> None:
    dtype = np.dtype([("xyz", "f4", 3)])
    ch = Channel(dtype, capacity=4, mode="spsc")
    items = np.array([([1, 2, 3],), ([4, 5, 6],)], dtype=dtype)
    ch.producer().send_batch(items)
    assert ch.consumer().receive_batch(4)["xyz"].tolist() == [[1, 2, 3], [4, 5, 6]]


# Batches


def batch_back(dtype: Any, batch: Any) -> Any:
    ch = Channel(dtype, capacity=64, mode="spsc")
    with ch.producer() as tx:
        tx.send_batch(batch)
    return ch.consumer().receive_batch(64).tolist()


def test_arrays_with_gaps_are_sent_item_by_item() -> None:
    items = np.arange(40, dtype="u4")
    assert batch_back("u4", items[::3]) == items[::3].tolist()
    assert batch_back("u4", items[::-1]) == items[::-1].tolist()
    assert batch_back("u4", items.reshape(8, 5)[:, 2]) == items.reshape(8, 5)[:, 2].tolist()


def test_read_only_subclassed_and_unaligned_arrays_are_sent() -> None:
    class Ours(np.ndarray[Any, Any]):
        pass

    items = np.arange(9, dtype="u4")
    items.flags.writeable = False
    assert batch_back("u4", items) == list(range(9))
    assert batch_back("u4", items.view(Ours)) == list(range(9))
    unaligned = np.frombuffer(b"\0" + items.tobytes(), dtype=np.uint8)[1:].view("u4")
    assert batch_back("u4", unaligned) == list(range(9))


def test_equal_record_dtypes_need_not_be_the_same_object() -> None:
    items = np.array([(1.5, 2, b"x")], dtype=np.dtype(RECORD))
    assert batch_back(np.dtype(RECORD), items) == items.tolist()


@pytest.mark.parametrize("dtype", ["i8", "u4", ">u8", "f8", "O", "S8", "V8"])
def test_arrays_of_another_dtype_are_refused_and_not_cast(dtype: str) -> None:
    with pytest.raises(TypeError, match="channel's dtype uint64, got"):
        batch_back("u8", np.zeros(3, dtype=dtype))


@pytest.mark.parametrize("shape", [(), (2, 3), (3, 1)])
def test_arrays_of_other_dimensions_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"of 1 dimension, got {len(shape)}"):
        batch_back("u8", np.zeros(shape, dtype="u8"))


def test_any_iterable_of_items_is_a_batch() -> None:
    assert batch_back("u1", [1, 2, 3]) == [1, 2, 3]
    assert batch_back("u1", bytes([7, 8])) == [7, 8]
    assert batch_back("i4", range(-2, 2)) == [-2, -1, 0, 1]
    assert batch_back("f8", (x / 2 for x in range(3))) == [0.0, 0.5, 1.0]
    assert batch_back(RECORD, [(1.0, 2, b"a"), (3.0, 4, b"b")]) == [(1.0, 2, b"a"), (3.0, 4, b"b")]


def test_a_batch_with_one_bad_item_sends_nothing() -> None:
    ch = Channel("u1", capacity=8, mode="spsc")
    tx = ch.producer()
    with pytest.raises(OverflowError, match="got 256"):
        tx.send_batch([1, 2, 256])
    with pytest.raises(TypeError, match=r"must be an integer, got 1\.5"):
        tx.try_send_batch([1, 1.5])
    with pytest.raises(TypeError, match="an array or an iterable, got 5"):
        tx.send_batch(5)
    assert len(ch) == 0


def test_an_empty_batch_is_nothing_to_do() -> None:
    ch = Channel("u4", capacity=1, mode="spsc")
    tx = ch.producer()
    tx.send(1)
    tx.send_batch([])
    tx.send_batch(np.zeros(0, dtype="u4"), timeout=0)
    assert tx.try_send_batch(()) == 0
    assert len(ch) == 1


# Buffers


def test_a_buffer_is_filled_from_the_front_and_no_further() -> None:
    ch = Channel("u4", capacity=8, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    tx.send_batch([1, 2, 3])
    buffer = np.full(6, 9, dtype="u4")
    assert rx.receive_into(buffer[1:5]) == 3
    assert buffer.tolist() == [9, 1, 2, 3, 9, 9]
    tx.send_batch([4, 5, 6])
    assert rx.try_receive_into(buffer[:2]) == 2
    assert rx.try_receive_into(buffer[:2]) == 1
    assert rx.try_receive_into(buffer[:2]) == 0


def test_buffers_that_cannot_be_filled_are_refused_and_nothing_is_lost() -> None:
    ch = Channel("u4", capacity=8, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    tx.send(1)
    read_only = np.zeros(4, dtype="u4")
    read_only.flags.writeable = False
    cases: list[tuple[Any, type[Exception], str]] = [
        (read_only, ValueError, "read-only"),
        (np.zeros(8, dtype="u4")[::2], ValueError, "contiguous"),
        (np.zeros(0, dtype="u4"), ValueError, "at least 1, got 0"),
        (np.zeros((2, 2), dtype="u4"), ValueError, "1 dimension, got 2"),
        (np.zeros(4, dtype="i4"), TypeError, "channel's dtype uint32, got int32"),
        (np.zeros(4, dtype=">u4"), TypeError, "got >u4"),
        (np.zeros(4, dtype=object), TypeError, "got object"),
        (bytearray(16), TypeError, "NumPy array"),
        ([0, 0], TypeError, "NumPy array"),
        (None, TypeError, "NumPy array"),
    ]
    for buffer, error, match in cases:
        for receive in (rx.receive_into, rx.try_receive_into):
            with pytest.raises(error, match=match):
                receive(buffer)
    assert rx.receive() == 1


def test_a_subclass_cannot_change_the_copy_that_is_sent() -> None:
    class Shifty(np.ndarray[Any, Any]):
        def __array_finalize__(self, _: object) -> None:
            if self.base is None and self.flags.owndata:
                self.shape = (1, -1)

    items = np.arange(16, dtype="u4").view(Shifty)
    assert batch_back("u4", items[::2]) == list(range(0, 16, 2))


def test_exceptions_of_the_callers_objects_come_through() -> None:
    class Broken:
        def __index__(self) -> int:
            raise KeyboardInterrupt

        __float__ = __iter__ = __index__

    ch = Channel("u4", capacity=8, mode="spsc")
    tx, rx, broken = ch.producer(), ch.consumer(), cast("Any", Broken())
    tx.send(1)
    for call in (
        lambda: tx.send(broken),
        lambda: tx.send(2, timeout=broken),
        lambda: tx.send_batch(broken),
        lambda: tx.reserve(broken),
        lambda: tx.commit(broken),
        lambda: rx.peek(broken),
        lambda: rx.release(broken),
    ):
        with pytest.raises(KeyboardInterrupt):
            call()
    assert rx.receive() == 1


GAPS = {
    "offsets": np.dtype(
        {"names": ["a", "b"], "formats": ["u1", "f8"], "offsets": [3, 20], "itemsize": 40}
    ),
    "aligned": np.dtype([("a", "u1"), ("b", [("c", "u1"), ("d", "u8")])], align=True),
    "subarray": np.dtype([("a", np.dtype([("c", "u1"), ("d", "u4")], align=True), (2, 3))]),
    "overlapping": np.dtype(
        {"names": ["a", "b"], "formats": ["u4", "u2"], "offsets": [4, 6], "itemsize": 16}
    ),
    "long": np.dtype("longdouble"),
    "complex": np.dtype([("z", "clongdouble")]),
}


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("way", ["send", "batch", "strided"])
def test_bytes_between_the_fields_of_a_record_are_sent_as_zeros(gaps: str, way: str) -> None:
    dtype = GAPS[gaps]
    ch = Channel(dtype, capacity=4, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    used = np.zeros((), dtype)
    used.view()[...] = np.ones(1, dtype)[0]
    item, expected = used[()], None
    for filler in (b"\xab", b"\xcd"):
        for _ in range(50):
            # What the allocators hand out next has these bytes.
            junk = [np.frombuffer(filler * dtype.itemsize, "u1").copy() for _ in range(8)]
            del junk
            batch = np.frombuffer(filler * (6 * dtype.itemsize), "u1").copy().view(dtype)
            batch[...] = item if dtype.names is None else item.item()
            if way == "send":
                tx.send(batch[0] if dtype.names is None else item.item())
            elif way == "batch":
                tx.send_batch([item if dtype.names is None else item.item()])
            else:
                tx.send_batch(batch[::3])
            raw = rx.receive_batch(2)[:1].tobytes()
            expected = raw if expected is None else expected
            assert raw == expected
    assert expected is not None
    assert b"\xab" not in expected
