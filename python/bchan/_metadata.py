"""What the maker of a channel leaves in its memory, for those who attach."""

import ast
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from bchan import _dtypes, _names
from bchan._tuning import Tuning
from bchan._types import Mode

_MODES = ("spsc", "mpsc", "spmc", "mpmc")
_VERSION = 3
_MOST_BYTES = 3072
"""As much as the memory has room for."""

_OF_NONSENSE = (
    *(ArithmeticError, AttributeError, ImportError, LookupError, RecursionError, SyntaxError),
    *(TypeError, ValueError),
)
"""What reading something raises that is nothing."""


class Metadata(NamedTuple):
    """What kind of channel it is."""

    dtype: np.dtype[Any] | None
    """None for messages of bytes."""
    mode: Mode
    name: str | None
    tuning: Tuning

    def to_bytes(self) -> bytes:
        """As a Python literal: it is read without running anything.

        Raises:
            TypeError: A dtype that would not come back as it is.
            ValueError: A dtype that is too long, or nested too deep.
        """
        dtype = None if self.dtype is None else _dtypes.encode(self.dtype)
        metadata = repr((_VERSION, dtype, self.mode, self.name, asdict(self.tuning))).encode()
        if len(metadata) > _MOST_BYTES:
            raise ValueError(
                f"dtype must be told to other processes in {_MOST_BYTES} bytes, with name and "
                f"tuning, got {len(metadata)}"
            )
        return metadata

    @classmethod
    def of(cls, metadata: bytes) -> "Metadata":
        """What a metadata says; a process that can write to the memory may have written anything.

        Raises:
            ValueError: Nonsense, or the metadata of another version.
        """
        try:
            return cls._of(ast.literal_eval(metadata.decode()))
        except _OF_NONSENSE as error:
            raise ValueError(
                f"not a channel to attach to: its metadata is {metadata[:100]!r}: "
                f"{type(error).__name__}: {str(error)[:100]}"
            ) from error

    @classmethod
    def _of(cls, parts: Any) -> "Metadata":
        version, dtype, mode, name, tuning = parts
        if version != _VERSION:
            raise ValueError("it is of another version of bchan")
        if mode not in _MODES:
            raise ValueError("it has no mode")
        if name is not None:
            _names.checked(name)
        return cls(None if dtype is None else _dtypes.decode(dtype), mode, name, Tuning(**tuning))
