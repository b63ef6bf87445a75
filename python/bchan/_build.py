"""How the native part was built, and a warning if that was not for use."""

import warnings
from dataclasses import dataclass

from bchan import _core


@dataclass(frozen=True, slots=True)
class BuildInfo:
    """How the native part was built."""

    version: str
    """Version of the package."""
    profile: str
    """`"release"`, or `"debug"` for a build without optimisation."""
    target: str
    """The machine it was built for, as Rust names it, like `"x86_64-unknown-linux-gnu"`."""
    target_cpu: str
    """`"generic"`, or the processor whose instructions it may use."""
    free_threaded: bool
    """Whether it was built for an interpreter without the GIL."""


_INFO = BuildInfo(*_core._build())
__version__ = _INFO.version

if _INFO.profile == "debug":
    warnings.warn(
        "this is a debug build of bchan, many times slower; use `maturin develop --release`",
        RuntimeWarning,
        stacklevel=3,
    )


def build_info() -> BuildInfo:
    """Tell how the native part was built.

    Returns:
        Version, profile, target, processor, and whether it is for an interpreter without the GIL.

    Example:
        >>> import bchan
        >>> bchan.build_info().version == bchan.__version__
        True
    """
    return _INFO
