"""The sending side."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from bchan import _core, _sharing
from bchan._awaiting import AwaitingSender
from bchan._leaving import masking_nothing
from bchan._types import Array

if TYPE_CHECKING:
    from bchan._channel import Channel


@_core.hot_methods
class Producer(AwaitingSender, _core.Producer):
    """A registered producer, from `Channel.producer`. One thread at a time may use it.

    Leaving a `with` block closes it; so does dropping the last reference.

    Example:
        >>> import bchan
        >>> ch = bchan.Channel("u4", capacity=8, mode="mpsc", max_producers=2)
        >>> with ch.producer() as tx:
        ...     tx.send(1)
        ...     tx.send_batch([2, 3])
        >>> list(ch.consumer())
        [1, 2, 3]
    """

    __slots__ = ("_channel",)
    _channel: "Channel | None"

    def __new__(cls, channel: "Channel", ticket: tuple[int, int] | None = None) -> Self:
        """Register; see `Channel.producer`."""
        self = super().__new__(cls, channel, ticket)
        # With it the handle is passed to another process.
        self._channel = channel if channel.shared else None
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (_sharing.checked(self._channel), self._ticket())

    @contextmanager
    def batch(self, n: int, timeout: float | None = None) -> Iterator[Array[Any]]:
        """Write a batch in place: reserve, then commit on success or abort on an exception.

        Args:
            n: Slots wanted, at least 1.
            timeout: Seconds to wait at most for the first free slot; None for ever.

        Yields:
            Writable array over the ring itself, 1 to n long. All of it is sent at the end of the
            block, unless the block has committed or aborted by itself.

        Raises:
            TimeoutError: The ring stayed full.
            Closed: The channel or this handle was closed.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel("f8", capacity=8, mode="spsc")
            >>> with ch.producer() as tx, tx.batch(2) as slots:
            ...     slots[:] = [0.5, 1.5]
            >>> list(ch.consumer())
            [0.5, 1.5]
        """
        slots = self.reserve(n, timeout)
        length = len(slots)
        try:
            yield slots
        except BaseException:
            if self._is_open(slots):
                self.abort()
            raise
        if self._is_open(slots):
            self.commit(length)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with masking_nothing(error):
            self.close()

    def __repr__(self) -> str:
        return f"<bchan.Producer {'closed' if self.closed else 'open'}>"
