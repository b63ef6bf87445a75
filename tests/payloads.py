"""Messages of every kind, each with a number in it by which it is known again."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

RECORD = np.dtype([("price", "f8"), ("number", "u4"), ("side", "S1")])


class Payload(NamedTuple):
    """What the messages of a channel are."""

    name: str
    dtype: Any
    make: Callable[[int, Any], Any]
    """A message of a number, for a storm."""
    number: Callable[[Any], int]
    """The number of what came of it."""
    buffer: Callable[[int], Any] | None = None
    """Room for so many, of those that can be received into any."""

    def is_packed(self, shared: bool) -> bool:
        """Whether several messages of a batch may go as one."""
        return shared and self.dtype is object

    def is_framed(self, shared: bool) -> bool:
        return self.dtype is bytes or self.is_packed(shared)

    def goes(self, shared: bool) -> bool:
        """Whether there are such channels."""
        return self.name not in (("objects", "rows") if shared else ("pickled",))

    @property
    def has_views(self) -> bool:
        return self.dtype is not object


def _bytes(number: int, storm: object) -> bytes:
    return number.to_bytes(4) * (2 + number % 40)


def _number_of_bytes(message: Any) -> int:
    message = bytes(message)
    number = int.from_bytes(message[:4])
    assert message == _bytes(number, None), f"a message of several: {message!r}"
    return number


def _record(number: int, storm: object) -> Any:
    return (float(number), number, b"x")


def _number_of_record(record: Any) -> int:
    assert record["price"] == record["number"], record
    return int(record["number"])


def _counted(number: int, storm: Any) -> Any:
    from tests.finalizers import Counted

    return Counted(number, storm)


class Index:
    """An integer whose conversion makes a call."""

    def __init__(self, number: int, storm: Any) -> None:
        self.number, self.storm = number, storm

    def __index__(self) -> int:
        self.storm.intrude()
        return self.number


class Parcel:
    """An object whose pickling and unpickling make calls."""

    storm: Any = None

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple[Any, ...]:
        Parcel.storm.intrude()
        return unpacked, (self.number,)


def unpacked(number: int) -> Parcel:
    Parcel.storm.intrude()
    return Parcel(number)


def _pickled(number: int, storm: Any) -> Any:
    Parcel.storm = storm
    match number % 4:
        case 0:
            return Parcel(number)
        case 1:
            return (number, ["plain", {"number": number}])
        case 2:
            return np.full(200, number)
        case _:
            return number


def _number_of_pickled(item: Any) -> int:
    if isinstance(item, Parcel):
        return item.number
    if isinstance(item, np.ndarray):
        assert (item == item[0]).all()
        return int(item[0])
    return int(item[0]) if isinstance(item, tuple) else int(item)


def _array(dtype: Any) -> Callable[[int], Any]:
    return lambda n: np.zeros(n, dtype)


_OF_PYTHON = np.dtype((np.record, RECORD))

PAYLOADS = (
    Payload("objects", object, _counted, lambda item: int(item.number)),
    Payload("u8", "u8", lambda number, _: number, int, _array("u8")),
    Payload("converted", "u8", Index, int, _array("u8")),
    Payload("records", RECORD, _record, _number_of_record, _array(RECORD)),
    Payload("rows", _OF_PYTHON, _record, _number_of_record, _array(_OF_PYTHON)),
    Payload("text", "U8", lambda number, _: f"{number:08}", int, _array("U8")),
    Payload("bytes", bytes, _bytes, _number_of_bytes, lambda _: bytearray(168)),
    Payload("pickled", object, _pickled, _number_of_pickled),
)
"""Of several kinds; see `Payload.goes`."""
