"""Leaving a `with` block."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from types import TracebackType
from typing import Protocol, Self, TypeVar

_View = TypeVar("_View")


def masking_nothing(error: BaseException | None) -> AbstractContextManager[None]:
    """For closing while `error` is on its way: what closing may say must not take its place.

    It matters in the child of a fork, where `SystemExit` leaves the blocks of the parent's handles.
    """
    return nullcontext() if error is None else suppress(RuntimeError)


class _Closes(Protocol):
    def close(self) -> None: ...


class Closing:
    """What closes when its `with` block is left."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self: _Closes,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with masking_nothing(error):
            self.close()


@contextmanager
def in_place(
    begin: Callable[[], _View],
    is_open: Callable[[_View], bool],
    done: Callable[[], None],
    undone: Callable[[], None],
) -> Iterator[_View]:
    """A view of the ring for a `with` block: done with at its end, undone by an exception.

    Neither, if the block has ended the view itself.
    """
    view = begin()
    try:
        yield view
    except BaseException:
        if is_open(view):
            undone()
        raise
    if is_open(view):
        done()
