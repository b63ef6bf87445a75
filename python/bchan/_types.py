"""Types for the annotations."""

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np

if TYPE_CHECKING:
    from typing_extensions import Buffer

_Item = TypeVar("_Item", bound=np.generic)
Array: TypeAlias = np.ndarray[tuple[int], np.dtype[_Item]]
"""A one-dimensional array."""

Mode = Literal["spsc", "mpsc", "spmc", "mpmc"]
Bytes: TypeAlias = "Buffer | np.ndarray[Any, Any]"
"""Anything that has a buffer."""
Messages = Literal["items", "bytes", "pickled"]
"""What messages are: items or objects of this process, bytes, objects for any process."""
