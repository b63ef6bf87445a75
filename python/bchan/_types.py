"""Types for the annotations."""

from typing import TypeAlias, TypeVar

import numpy as np

_Item = TypeVar("_Item", bound=np.generic)
Array: TypeAlias = np.ndarray[tuple[int], np.dtype[_Item]]
"""A one-dimensional array."""
