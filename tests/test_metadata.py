"""Notes, which tell those who attach what kind of channel it is: they may say anything."""

import ast
import os
import random
import sys
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bchan
from bchan import Channel, Tuning, _sharing
from bchan._metadata import Metadata
from tests.support import RECORD

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared channels need Linux")


def read(metadata: bytes) -> None:
    """Whatever it says: it is read, or it is a ValueError."""
    try:
        read_metadata = Metadata.of(metadata)
    except ValueError:
        return
    assert isinstance(read_metadata.tuning, Tuning)
    assert Metadata.of(read_metadata.to_bytes()) == read_metadata


GOOD = ast.literal_eval(Metadata(np.dtype("u8"), "spsc", "name", Tuning()).to_bytes().decode())
TUNING = GOOD[4]

ABSURD: list[Any] = [-1, "x", None, [], 10**400, 1e400, -1e400, 2**70]
DTYPES: list[Any] = [
    *(7, [], (), {}, b"<u8", "", "u", "x8", "T", "u8,u8", "O4", "<V", "<u3", "<f99", "V0"),
    *("U99999999999", "S-1", "(2,)u8", "M8[", "<M8[parsec]", "f8\0", "<u8 ", "|u8", ">u1"),
    *("ml_dtypes.nothing", "ml_dtypes.finfo", "ml_dtypes", "os.system", "numpy.float64"),
    *(("array",), ("array", "<u8"), ("array", "<u8", -1), ("array", "<u8", (-1,))),
    *(("array", "<u8", (2**40, 2**40)), ("array", "<u8", ("x",)), ("array", [], (1,))),
    *(("record",), ("record", 8, False, None), ("record", 8, False, [7])),
    *(("record", 8, False, [("a",)]), ("record", 8, False, [(7, "<u8")])),
    *(("record", 4, False, [("a", "<u8")]), ("record", -8, False, [("a", "<u8")])),
    *(("record", 8, False, [("a", "<u8", -1)]), ("record", 8, False, [("a", "<u8", 1)])),
    *(("record", 8, False, [("a", "<u4"), ("a", "<u4")]), ("record", 2**70, False, [])),
    *(("record", 8, True, [("a", "<u4", 1)]), ("record", 0, False, [])),
    *(("record", 8, False, [("a", "<u8", 0, [])]), ("metadata", "<u8", 7)),
    *(("metadata", "<u8"), ("metadata", "O", {"a": 1}), ("metadata", "<u8", 1, 2)),
]
NONSENSE: dict[str, Any] = {
    "nothing": b"",
    "not UTF-8": b"\xff",
    "zeros": bytes(3072),
    "a call": b"__import__('os').getpid()",
    "deep": b"[" * 1500 + b"]" * 1500,
    "deep signs": b"-" * 3000 + b"1",
    "deep sums": b"1" + b"+1j" * 1000,
    "a long number": b"9" * 3072,
    "a number": 7,
    "text": "spsc!",
    "too few": GOOD[:4],
    "too many": (*GOOD, 1),
    "a set": {1, 2, 3, 4, 5},
    "another version": (2, *GOOD[1:]),
    "a version that can't be compared": (["3"], *GOOD[1:]),
    "no mode": (*GOOD[:2], "mpm", *GOOD[3:]),
    "a mode that can't be hashed": (*GOOD[:2], [], *GOOD[3:]),
    "a name that is none": (*GOOD[:3], "a/b", TUNING),
    "a name that is too long": (*GOOD[:3], "x" * 201, TUNING),
    "a name of bytes": (*GOOD[:3], b"name", TUNING),
    "a name that is a number": (*GOOD[:3], 7, TUNING),
    "no tuning": (*GOOD[:4], None),
    "tuning with numbers as keys": (*GOOD[:4], {1: 2}),
    "tuning with another field": (*GOOD[:4], {**TUNING, "also": 1}),
    "tuning that is a list": (*GOOD[:4], [1]),
    **{
        f"tuning with {field}={value!r:.20}": (*GOOD[:4], {**TUNING, field: value})
        for field in TUNING
        for value in ABSURD
    },
    **{f"dtype {dtype!r:.40}": (GOOD[0], dtype, *GOOD[2:]) for dtype in DTYPES},
}


def bytes_of(metadata: Any) -> bytes:
    return metadata if isinstance(metadata, bytes) else repr(metadata).encode()


@pytest.mark.parametrize("kind", NONSENSE)
def test_a_note_of_nonsense_is_a_value_error(kind: str) -> None:
    metadata = bytes_of(NONSENSE[kind])[:3072]
    with pytest.raises(ValueError, match="not a channel to attach to"):
        attached(metadata)


def attached(metadata: bytes, dtype: npt.DTypeLike = "u8") -> Channel:
    """Attach to the memory of a channel for unsigned integers, whose metadata says that."""
    kind = bchan._core.Channel
    made = kind(np.dtype(dtype), 8, "spsc", 1, Tuning(), False, False, metadata)
    return _sharing.look(made._fd)


def test_a_note_that_is_right_is_read() -> None:
    assert attached(repr(GOOD).encode()).dtype == np.uint64


@pytest.mark.parametrize(
    "metadata",
    [
        Metadata(np.dtype("u4"), "spsc", None, Tuning()),
        Metadata(np.dtype("V8"), "mpmc", None, Tuning()),
        Metadata(np.dtype("u8"), "spmc", None, Tuning()),
        Metadata(np.dtype("u8"), "mpmc", None, Tuning()),
        Metadata(np.dtype("O"), "spsc", None, Tuning()),
        Metadata(None, "spsc", None, Tuning()),
        Metadata(np.dtype("(2,)u4"), "spsc", None, Tuning()),
        Metadata(np.dtype("m8"), "spsc", None, Tuning()),
    ],
    ids=str,
)
def test_a_note_of_another_kind_of_channel_is_a_value_error(metadata: Metadata) -> None:
    with pytest.raises(ValueError, match="must"):
        attached(metadata.to_bytes())


def test_items_are_no_messages_of_any_length() -> None:
    frames = Channel(bytes, 8, "spsc", shared=True)
    metadata = Metadata(np.dtype("V64"), "spsc", None, Tuning())
    with pytest.raises(ValueError, match="must be of any length"):
        Channel._of_metadata(metadata, frames._fd)


literals = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8)
    | st.sampled_from(["<u8", "|S3", "record", "array", "metadata", "O", "spsc", "ml_dtypes.int4"]),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_a_value_error(metadata: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the parser, on escapes
        read(metadata)


@settings(max_examples=300, deadline=None)
@given(literals)
def test_any_literal_is_a_value_error(metadata: Any) -> None:
    read(repr(metadata).encode())


@settings(max_examples=600, deadline=None)
@given(st.integers(0, 4), literals, st.randoms(use_true_random=False))
def test_a_note_with_any_part_replaced_is_read_or_a_value_error(
    part: int, value: Any, rng: random.Random
) -> None:
    parts = list(GOOD)
    if part == 4 and rng.random() < 0.8:
        parts[4] = {**TUNING, rng.choice(list(TUNING)): value}
    else:
        parts[part] = value
    read(repr(tuple(parts)).encode())


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_note_with_any_bytes_replaced_is_read_or_a_value_error(data: st.DataObject) -> None:
    metadata = bytearray(Metadata(np.dtype(RECORD), "mpsc", "name", Tuning()).to_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        metadata[data.draw(st.integers(0, len(metadata) - 1))] = data.draw(st.integers(32, 126))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read(bytes(metadata))


# What a metadata can tell.

TOLD: dict[str, npt.DTypeLike] = {
    "number": "f8",
    "other byte order": ">u4",
    "complex": "c16",
    "text": "U7",
    "bytes": "S7",
    "raw": "V7",
    "time": "M8[25s]",
    "time step": "m8[ns]",
    "generic": "?",
    "record": RECORD,
    "nested": [("a", RECORD, (2, 3)), ("b", [("c", [("d", "<M8[us]")])])],
    "aligned": np.dtype("u1,f8,u2", align=True),
    "gaps": np.dtype({"names": ["a", "b"], "formats": ["u1", "f8"], "offsets": [3, 20]}),
    "room at the end": np.dtype({"names": ["a"], "formats": ["u1"], "itemsize": 64}),
    "out of order": np.dtype({"names": ["a", "b"], "formats": ["i4", "i4"], "offsets": [4, 0]}),
    "overlapping": np.dtype({"names": ["a", "b"], "formats": ["i8", "i4"], "offsets": [0, 2]}),
    "titles": np.dtype([(("the price", "p"), "f8"), ("v", "u4")]),
    "odd names": [("", "u1"), ("ä\n'", "u2"), ("a b", "S3")],
    "metadata": np.dtype("f8", metadata={"unit": "m/s", "scale": (1, 2.5)}),
    "metadata in a field": [("a", np.dtype("f8", metadata={"unit": "m"})), ("b", "u1")],
    "metadata of a record": np.dtype([("a", "f8")], metadata={"table": 1}),
    "metadata of an array": [("a", np.dtype("f8", metadata={"unit": "m"}), (3,))],
    "long record": [(f"field_{n:03}", "<f8") for n in range(120)],
}


@pytest.mark.parametrize("kind", TOLD)
def test_a_dtype_arrives_as_it_is(kind: str) -> None:
    dtype = np.dtype(TOLD[kind])
    ch = Channel(dtype, 8, "mpmc", shared=True)
    other = _sharing.look(ch._fd)
    assert (other.dtype, repr(other.dtype)) == (dtype, repr(dtype))
    assert (other.dtype.metadata, other.dtype.isalignedstruct) == (
        (dtype.metadata, dtype.isalignedstruct)
    )
    for name in dtype.names or ():
        assert other.dtype.fields is not None
        assert dtype.fields is not None
        assert other.dtype.fields[name] == dtype.fields[name]
        assert other.dtype[name].metadata == dtype[name].metadata
    sent = np.frombuffer(bytes(range(dtype.itemsize % 100)) * 99, "u1")[: 2 * dtype.itemsize]
    items = np.zeros(2, dtype) if dtype.kind in "U?" else sent.copy().view(dtype)
    ch.send_batch(items)
    assert other.receive_batch(2).tobytes() == items.tobytes()
    ch.send(items[0])
    assert str(np.asarray([other.receive()], dtype)) == str(items[:1])


REFUSED: dict[str, Any] = {
    "metadata that is no literal": np.dtype("f8", metadata={"type": object}),
    "metadata that changes": np.dtype("f8", metadata={"of": np.float64(1)}),
    "metadata in a field": np.dtype([("a", np.dtype("f8", metadata={"type": object}))]),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_dtype_that_can_not_be_told_is_refused_when_the_channel_is_made(kind: str) -> None:
    with pytest.raises(TypeError, match="metadata of plain Python literals"):
        Channel(REFUSED[kind], shared=True)
    assert Channel(REFUSED[kind]).dtype is REFUSED[kind]


@pytest.mark.skipif(not hasattr(np, "dtypes"), reason="NumPy has no dtypes of the new kind")
@pytest.mark.parametrize("shared", [False, True])
def test_text_of_any_length_is_refused(shared: bool) -> None:
    kind = getattr(np.dtypes, "StringDType", None)
    if kind is None:
        pytest.skip("NumPy has no such dtype")
    for dtype in (kind(), kind(na_object=None), kind(coerce=False)):
        with pytest.raises(TypeError, match="StringDType"):
            Channel(dtype, shared=shared)


def test_a_record_that_is_too_long_to_tell_says_so() -> None:
    dtype = [(f"a_field_with_a_long_name_{n:04}", "<f8") for n in range(200)]
    Channel(dtype)
    with pytest.raises(ValueError, match="in 3072 bytes, with name and tuning, got"):
        Channel(dtype, shared=True)


def test_a_record_that_is_nested_too_deep_to_tell_says_so() -> None:
    dtype: np.dtype[Any] = np.dtype("u1")
    for _ in range(40):
        dtype = np.dtype([("a", dtype)])
    with pytest.raises(ValueError, match="nested at most"):
        Channel(dtype, shared=True)


# Dtypes of others.


def extended() -> list[Any]:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    found = [getattr(ml_dtypes, name) for name in sorted(dir(ml_dtypes))]
    return [kind for kind in found if isinstance(kind, type) and issubclass(kind, np.generic)]


@pytest.mark.parametrize("shared", [False, True])
def test_dtypes_of_others_arrive_as_they_are_or_are_refused(shared: bool) -> None:
    carried = []
    for kind in extended():
        dtype = np.dtype(kind)
        if dtype.kind == "W":  # ml_dtypes' own kind, of complex numbers
            with pytest.raises(TypeError, match=dtype.name):
                Channel(dtype, 8, shared=shared)
            continue
        ch = Channel(dtype, 8, shared=shared)
        other = _sharing.look(ch._fd) if shared else ch
        assert other.dtype == dtype
        assert other.dtype.type is kind
        items = np.array([0, 1, 1, 0], dtype)
        ch.send_batch(items)
        ch.send(kind(1))
        got = other.receive_batch(4)
        assert got.dtype == dtype
        assert got.tobytes() == items.tobytes()
        one = other.receive()
        assert (type(one), one) == (kind, kind(1))
        carried.append(dtype.name)
    assert {"bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4"} <= set(carried)


def test_a_record_with_dtypes_of_others_arrives_as_it_is() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = np.dtype([("w", ml_dtypes.bfloat16, (2,)), ("q", ml_dtypes.int4), ("n", "u4")])
    ch = Channel(dtype, 8, shared=True)
    other = _sharing.look(ch._fd)
    assert other.dtype == dtype
    assert other.dtype["w"].base.type is ml_dtypes.bfloat16
    item = np.array([([1.5, 2.5], 3, 4)], dtype)
    ch.send_batch(item)
    assert other.receive_batch(1).tobytes() == item.tobytes()


def test_without_the_module_of_a_dtype_attaching_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    ch = Channel(ml_dtypes.bfloat16, 8, shared=True)
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(ValueError, match="ml_dtypes"):
        _sharing.look(ch._fd)


def test_a_dtype_of_an_unknown_module_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    monkeypatch.setattr(ml_dtypes.bfloat16, "__module__", "somewhere")
    with pytest.raises(TypeError, match=r"bfloat16.* of somewhere"):
        Channel(ml_dtypes.bfloat16, shared=True)


def test_nothing_is_left_of_a_channel_that_was_refused() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(10):
        with pytest.raises(TypeError):
            Channel(REFUSED["metadata that is no literal"], name="test-refused")
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert not [name for name in bchan._names.names() if name == "test-refused"]
