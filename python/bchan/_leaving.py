"""Leaving a `with` block."""

from contextlib import AbstractContextManager, nullcontext, suppress


def masking_nothing(error: BaseException | None) -> AbstractContextManager[None]:
    """For closing while `error` is on its way: what closing may say must not take its place.

    It matters in the child of a fork, where `SystemExit` leaves the blocks of the parent's handles.
    """
    return nullcontext() if error is None else suppress(RuntimeError)
