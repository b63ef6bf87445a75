"""Dtypes as plain text, for other processes: all that a dtype says comes back, or it is refused."""

import ast
import importlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

_SIMPLE = re.compile(r"[<>|=]?[biufcmMSUVO]\d{0,10}(\[\d{0,10}[a-zA-Zμ]{1,7}\])?")
_EXTENDED = re.compile(r"ml_dtypes\.([a-z][a-z0-9_]{1,30})")
MOST_NESTED = 32

Dtype = np.dtype[Any]
_dtype: "Callable[..., Dtype]" = np.dtype
"""For what its type hints leave out."""


def encode(dtype: Dtype, nested: int = 0) -> Any:
    """A dtype as a Python literal.

    Raises:
        TypeError: Another process would not get the same dtype.
        ValueError: It is nested too deep.
    """
    if nested > MOST_NESTED:
        raise ValueError(f"dtype must be nested at most {MOST_NESTED} deep in a shared channel")
    code = _encode(dtype, nested)
    metadata = dict(dtype.metadata or {})
    if metadata:
        code = ("metadata", code, metadata)
    if nested == 0 and not _is_told(dtype, code):
        raise TypeError(
            "dtype must be one of NumPy or ml_dtypes in a shared channel, with metadata of plain "
            "Python literals if any, so that other processes can have it, got "
            f"{dtype!r} of {dtype.type.__module__}"
        )
    return code


def decode(code: Any, nested: int = 0) -> Dtype:
    """The dtype of a literal, whatever the literal is.

    Raises:
        ValueError: It is none; or another error of those that NumPy raises for nonsense.
    """
    if nested > MOST_NESTED:
        raise ValueError(f"a dtype nested more than {MOST_NESTED} deep")
    if isinstance(code, str):
        return _decode_simple(code)
    kind, *rest = code
    if kind == "metadata":
        base, metadata = rest
        return _dtype(decode(base, nested + 1), metadata=dict(metadata))
    if kind == "array":
        base, shape = rest
        return np.dtype((decode(base, nested + 1), tuple(map(int, shape))))
    if kind == "record":
        return _decode_record(*rest, nested=nested)
    raise ValueError(f"no dtype: {kind!r}")


def _is_told(dtype: Dtype, code: Any) -> bool:
    """Whether what another process reads is the very same."""
    try:
        return _is_same(decode(ast.literal_eval(repr(code))), dtype)
    except (ImportError, LookupError, RecursionError, SyntaxError, TypeError, ValueError):
        return False


def _is_same(one: Dtype, other: Dtype) -> bool:
    if one != other or one.isalignedstruct != other.isalignedstruct or one.type != other.type:
        return False
    if dict(one.metadata or {}) != dict(other.metadata or {}):
        return False
    if one.subdtype is not None and other.subdtype is not None:
        return _is_same(one.base, other.base)
    fields, others = _fields(one), _fields(other)
    return fields.keys() == others.keys() and all(
        _is_same(field[0], others[name][0]) and field[1:] == others[name][1:]
        for name, field in fields.items()
    )


def _fields(dtype: Dtype) -> dict[str, tuple[Any, ...]]:
    return dict(dtype.fields or {})


def _encode(dtype: Dtype, nested: int) -> Any:
    if dtype.subdtype is not None:
        return ("array", encode(dtype.base, nested + 1), dtype.shape)
    if dtype.names is not None:
        return _encode_record(dtype, nested)
    module, name = dtype.type.__module__, dtype.type.__name__
    return f"{module}.{name}" if module == "ml_dtypes" else dtype.str


def _encode_record(dtype: Dtype, nested: int) -> Any:
    known, fields, end = _fields(dtype), [], 0
    for name in dtype.names or ():
        base, offset, *title = known[name]
        field = (name, encode(base, nested + 1))
        # In the plainest case, one after the other, where a field lies says itself.
        fields.append((*field, offset, *title) if title or offset != end else field)
        end = offset + base.itemsize
    return ("record", dtype.itemsize, dtype.isalignedstruct, fields)


def _decode_simple(code: str) -> Dtype:
    extended = _EXTENDED.fullmatch(code)
    if extended is not None:
        kind = getattr(importlib.import_module("ml_dtypes"), extended[1])
        if not (isinstance(kind, type) and issubclass(kind, np.generic)):
            raise ValueError(f"no dtype: {code!r}")
        return np.dtype(kind)
    if not _SIMPLE.fullmatch(code):
        raise ValueError(f"no dtype: {code!r}")
    dtype = np.dtype(code)
    if dtype.str != code:
        raise ValueError(f"no dtype: {code!r}")
    return dtype


class _Fields(NamedTuple):
    """What a record is made of, as NumPy takes it."""

    names: list[str]
    formats: list[Dtype]
    offsets: list[int]
    titles: list[str | None]


def _decode_record(itemsize: int, is_aligned: bool, coded: Any, *, nested: int) -> Dtype:
    fields, end = _Fields([], [], [], []), 0
    for name, code, *place in coded:
        base = decode(code, nested + 1)
        offset = int(place[0]) if place else end
        title: Any = place[1] if len(place) > 1 else None
        is_named = isinstance(name, str) and isinstance(title, str | None)
        if not (is_named and 0 <= offset <= itemsize and len(place) <= 2):
            raise ValueError(f"no field: {name!r}, {place!r}")
        fields.names.append(name)
        fields.formats.append(base)
        fields.offsets.append(offset)
        fields.titles.append(title)
        end = offset + base.itemsize
    parts = {**fields._asdict(), "itemsize": int(itemsize)}
    if not any(title is not None for title in fields.titles):
        del parts["titles"]
    return _dtype(parts, align=bool(is_aligned))
