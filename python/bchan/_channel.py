"""The channel."""

import operator
from types import TracebackType
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from bchan import _core
from bchan._awaiting import AwaitingReceiver, AwaitingSender
from bchan._consumer import Consumer
from bchan._leaving import masking_nothing
from bchan._producer import Producer
from bchan._stats import Stats

Mode = Literal["spsc", "mpsc", "spmc", "mpmc"]
DEFAULT_CAPACITY = 1024
DEFAULT_MAX_PRODUCERS = {"spsc": 1, "mpsc": 64, "spmc": 1, "mpmc": _core.MAX_PRODUCERS}


@_core.hot_methods
class Channel(AwaitingSender, AwaitingReceiver, _core.Channel):
    """A bounded channel between threads: of any Python objects, or of typed messages.

    In the modes `"mpmc"` and `"spmc"` all share one ring, and its messages have one order for all.
    Every message goes to one consumer. An mpmc channel can be used from any thread without a
    handle: `ch.send(x)`, `ch.receive()`.

    In the modes `"spsc"` and `"mpsc"` every producer has a ring of its own, so producers never wait
    for each other; the one consumer goes round the rings that have something. Messages of one
    producer arrive in the order sent. They are the fastest.

    A channel ends when its last producer has closed and all is received, or after `close` when all
    is received. A channel without a consumer fills up, and its senders wait: leave its `with`
    block, or close it, if no consumer will come.

    Args:
        dtype: What a message is: `object` for any Python object, or anything that `numpy.dtype`
            takes and that is plain bytes, as numbers, times, fixed-length strings, and records of
            them.
        capacity: Messages that may be in flight, at least 1; rounded up to a power of two. In the
            modes spsc and mpsc it is what each producer may have in flight. Memory is used only
            where messages have been.
        mode: How many producers and consumers there may be at a time: `"mpmc"` any number of both,
            `"spmc"` one producer, `"mpsc"` one consumer, `"spsc"` one of each.
        max_producers: Producers that may be registered at once, 1 to 4096; None for 64 in mode mpsc
            and 4096 in mode mpmc.

    Raises:
        TypeError: A dtype that is neither object nor plain bytes.
        ValueError: A number out of range, or an unknown mode.
        MemoryError: One ring would not fit into this machine's memory.

    Example:
        >>> import bchan
        >>> ch = bchan.Channel()
        >>> ch.send({"any": "object"})
        >>> ch.receive()
        {'any': 'object'}
        >>> bchan.Channel("u8", capacity=1000, mode="mpsc", max_producers=4)
        <bchan.Channel of uint64, mpsc, 0/1024, 0 of 4 producers>
    """

    __slots__ = ("_mode",)
    _mode: Mode

    def __new__(
        cls,
        dtype: npt.DTypeLike = object,
        capacity: int = DEFAULT_CAPACITY,
        mode: Mode = "mpmc",
        *,
        max_producers: int | None = None,
    ) -> Self:
        """Make a channel; see the class."""
        most = _max_producers(mode, max_producers)
        capacity = _checked("capacity", capacity, _core.MAX_CAPACITY)
        self = super().__new__(cls, np.dtype(dtype), capacity, mode, most)
        self._mode = mode
        return self

    @property
    def mode(self) -> Mode:
        """Who may use the channel at once: `"spsc"`, `"mpsc"`, `"spmc"` or `"mpmc"`."""
        return self._mode

    def producer(self) -> Producer:
        """Register a producer, at any time and from any thread.

        Returns:
            A handle for one thread at a time. Closing it gives its place back.

        Raises:
            Closed: The channel was closed, or has ended.
            RuntimeError: All places are taken.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel("u8", mode="spsc")
            >>> tx = ch.producer()
            >>> ch.producer()
            Traceback (most recent call last):
            ...
            RuntimeError: all producers' places are taken (max_producers=1)
        """
        return Producer(self)

    def consumer(self) -> Consumer:
        """Register a consumer; in the modes spsc and mpsc there is one at a time.

        Returns:
            A handle for one thread at a time. Closing it gives its place to the next consumer.

        Raises:
            RuntimeError: All places are taken.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel("u8", mode="spsc")
            >>> with ch.consumer() as rx:
            ...     rx.try_receive(default="nothing yet")
            'nothing yet'
        """
        return Consumer(self)

    def stats(self) -> Stats:
        """Tell what the channel has done so far.

        Returns:
            Counts of messages, waits, wakes and spins, time parked, and what memory it takes.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel("u8", mode="spsc")
            >>> with ch.producer() as tx:
            ...     tx.send_batch([1, 2, 3])
            >>> ch.stats().sent, ch.stats().received
            (3, 0)
        """
        return Stats(*self._stats())

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
        fill = f"{len(self)}/{self.capacity}"
        producers = f"{self.active_producers} of {self.max_producers} producers"
        closed = ", closed" if self.closed else ""
        return f"<bchan.Channel of {self.dtype}, {self.mode}, {fill}, {producers}{closed}>"


def _max_producers(mode: Mode, max_producers: int | None) -> int:
    """How many producers a channel of this mode has room for."""
    if mode not in get_args(Mode):
        raise ValueError(
            f"mode must be one of {', '.join(map(repr, get_args(Mode)))}, got {mode!r}"
        )
    if max_producers is None:
        return DEFAULT_MAX_PRODUCERS[mode]
    if mode in ("spsc", "spmc") and max_producers != 1:
        raise ValueError(f"max_producers must be 1 in mode {mode!r}, got {max_producers!r}")
    return _checked("max_producers", max_producers, _core.MAX_PRODUCERS)


def _checked(name: str, value: Any, most: int) -> int:
    """An integer from 1 to most, or an error that names it."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if not 1 <= number <= most:
        raise ValueError(f"{name} must be at least 1 and at most {most}, got {number}")
    return number
