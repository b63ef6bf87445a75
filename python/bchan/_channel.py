"""The channel."""

import os
from typing import Any, Self, get_args, overload

import numpy as np
import numpy.typing as npt

from bchan import _core, _handover, _names, _sharing
from bchan._awaiting import AwaitingReceiver, AwaitingSender
from bchan._bytes import BytesConsumer, BytesProducer
from bchan._calls import frames, items, native, pickled
from bchan._consumer import Consumer
from bchan._leaving import Closing
from bchan._metadata import Metadata
from bchan._pickled import PickledConsumer, PickledProducer
from bchan._producer import Producer
from bchan._stats import Stats
from bchan._tuning import Tuning, checked_number
from bchan._types import Mode

_DEFAULT_TUNING = Tuning()
DEFAULT_MAX_PRODUCERS = {"spsc": 1, "mpsc": 64, "spmc": 1, "mpmc": _core.MAX_PRODUCERS}


@native("items")
class Channel(
    Closing,
    AwaitingSender,
    AwaitingReceiver,
    items.Sending,
    items.Receiving,
    items.ReceivingInto,
    _core.Channel,
):
    """A bounded channel between threads: of any Python objects, of typed messages, or of bytes.

    In the modes `"mpmc"` and `"spmc"` all handles share one ring, whose messages have one order.
    Every message goes to one consumer. An mpmc channel can be used from any thread without a
    handle: `ch.send(x)`, `ch.receive()`.

    In the modes `"spsc"` and `"mpsc"` every producer has a ring of its own, so producers never wait
    for each other; the one consumer goes round the rings that have messages. Messages of one
    producer arrive in the order sent. These modes are the fastest.

    A channel ends when its last producer has closed and all messages are received, or after
    `close` when all messages are received. It is closed, too, when its last consumer has closed or
    died: senders that wait get `Closed`. A channel that no consumer has joined yet fills up, and
    its senders wait.

    Args:
        dtype: What a message is: `object` for any Python object; `bytes` for bytes of any length,
            which makes a `BytesChannel`; or anything that `numpy.dtype` takes and that is plain
            bytes, as numbers, times, fixed-length strings, and records of them.
        capacity: Messages that may be in flight, at least 1; None for that of the tuning, 1024 if
            there is none. In the modes spsc and mpsc each producer has that capacity. For
            messages of bytes it counts slots of 64 bytes. Memory is used only where messages
            have been.
        mode: How many producers and consumers there may be at a time: `"mpmc"` any number of both,
            `"spmc"` one producer, `"mpsc"` one consumer, `"spsc"` one of each.
        max_producers: Producers that may be registered at once, 1 to 4096; None for 64 in mode mpsc
            and 4096 in mode mpmc.
        shared: Whether the channel lives in memory that processes share. Then it, and handles that
            were never used, can be passed to other processes, through `multiprocessing` or a fork.
            Linux. Objects are pickled then: see `PickledChannel`.
        name: A name by which other programs of the same user find the channel, with
            `Channel.attach`: letters, digits, dots, dashes, underscores. It is shared then, too.
            The name is free again when no process has the channel any more.
        keep_open: Whether the channel stays open when its last consumer leaves, for one that comes
            later; a consumer that is restarted, say. It goes on where the last one stopped.
        tuning: How to wait; None for `Tuning()`. Other processes wait as their channel's maker
            said.

    Raises:
        TypeError: A dtype that is neither object nor plain bytes, or that can't be described to
            other processes.
        ValueError: A number out of range, an unknown mode, an invalid name, or records nested more
            than 32 deep.
        FileExistsError: A channel of that name exists, or may exist.
        OSError: The name can't be written; it says what is missing.
        MemoryError: One ring would not fit into this machine's memory.
        NotImplementedError: A shared channel on a system that does not support it.

    Example:
        >>> import bchan
        >>> ch = bchan.Channel()
        >>> ch.send({"any": "object"})
        >>> ch.receive()
        {'any': 'object'}
        >>> bchan.Channel("u8", capacity=1000, mode="mpsc", max_producers=4)
        <bchan.Channel of uint64, mpsc, 0/1000, 0 of 4 producers>
    """

    __slots__ = ("_mode", "_name", "_process", "_tuning")
    _mode: Mode
    _name: str | None
    _process: int
    _tuning: Tuning

    @overload
    def __new__(
        cls,
        dtype: type[bytes],
        capacity: int | None = None,
        mode: Mode = "mpmc",
        *,
        max_producers: int | None = None,
        shared: bool = False,
        name: str | None = None,
        keep_open: bool = False,
        tuning: Tuning | None = None,
    ) -> "BytesChannel": ...

    @overload
    def __new__(
        cls,
        dtype: npt.DTypeLike = object,
        capacity: int | None = None,
        mode: Mode = "mpmc",
        *,
        max_producers: int | None = None,
        shared: bool = False,
        name: str | None = None,
        keep_open: bool = False,
        tuning: Tuning | None = None,
    ) -> Self: ...

    def __new__(
        cls,
        dtype: Any = object,
        capacity: int | None = None,
        mode: Mode = "mpmc",
        *,
        max_producers: int | None = None,
        shared: bool = False,
        name: str | None = None,
        keep_open: bool = False,
        tuning: Tuning | None = None,
    ) -> "Channel":
        """Make a channel; see the class."""
        most = _max_producers(mode, max_producers)
        tuning = _checked_tuning(tuning)
        capacity = tuning.capacity if capacity is None else capacity
        capacity = checked_number("capacity", capacity, _core.MAX_CAPACITY)
        of_bytes, is_shared = dtype is bytes, shared or name is not None
        item = np.dtype(np.uint8 if of_bytes else dtype)
        _core.check_dtype(item)
        of_pickles = is_shared and item.kind == "O"
        best = BytesChannel if of_bytes else PickledChannel if of_pickles else cls
        kind: type[Channel] = best if cls is Channel else cls
        if issubclass(kind, BytesChannel) != of_bytes:
            raise TypeError(f"dtype must {'not ' if of_bytes else ''}be bytes, got {dtype!r}")
        if issubclass(kind, PickledChannel) != of_pickles:
            raise TypeError(
                "dtype must be object, and shared, for a PickledChannel and no other class, got "
                f"{dtype!r}, shared={is_shared}"
            )
        is_framed = issubclass(kind, _FramedChannel)
        metadata = None
        if is_shared:
            _handover.notice_starts()
            what = None if of_bytes else item
            called = None if name is None else _names.checked(name)
            metadata = Metadata(what, mode, called, tuning)
        packed = None if metadata is None else metadata.to_bytes()
        self = super().__new__(
            kind, item, capacity, mode, most, tuning, is_framed, keep_open, packed
        )
        self._mode, self._name, self._process, self._tuning = mode, name, os.getpid(), tuning
        if name is not None:
            _sharing.hold(self, _names.claim(name, self._fd))
        return self

    @classmethod
    def _of_metadata(cls, metadata: Metadata, fd: int) -> "Channel":
        """The channel of a descriptor, which stays the caller's, with what its metadata says."""
        item = np.dtype(np.uint8) if metadata.dtype is None else metadata.dtype
        of_objects = PickledChannel if item.kind == "O" else cls
        kind = BytesChannel if metadata.dtype is None else of_objects
        is_framed = issubclass(kind, _FramedChannel)
        tuning = metadata.tuning
        _handover.notice_starts()
        self = super().__new__(kind, item, 1, metadata.mode, 1, tuning, is_framed, False, None, fd)
        self._mode, self._name, self._tuning = metadata.mode, metadata.name, tuning
        self._process = os.getpid()
        return self

    @staticmethod
    def attach(name: str) -> "Channel":
        """Find a channel that another program of this user made, by its name.

        Args:
            name: As the maker gave it.

        Returns:
            The same channel, so that what one process sends, the other receives.

        Raises:
            FileNotFoundError: There is none, or the processes that had it are gone.
            PermissionError: It is another user's, or its processes can't be looked into: they are
                in another container, or have changed their user.
            TimeoutError: Another process was stopped as it changed the name.
            OSError: This process lacks a resource, as file descriptors.
            ValueError: An invalid name, or memory that holds no channel of this version.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel("u8", name="example-of-attach")
            >>> bchan.Channel.attach("example-of-attach").send(7)
            >>> ch.receive()
            7
        """
        return _sharing.attach(name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _sharing.reduce_channel(self)

    @property
    def mode(self) -> Mode:
        """How many producers and consumers there may be: spsc, mpsc, spmc or mpmc."""
        return self._mode

    @property
    def name(self) -> str | None:
        """The name by which other programs find the channel, or None."""
        return self._name

    @property
    def tuning(self) -> Tuning:
        """How its handles wait in this process."""
        return self._tuning

    @property
    def shared(self) -> bool:
        """Whether the channel lives in memory that processes share."""
        return self._fd >= 0

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
            Counts of messages, waits, wakes and spins, time parked, and the memory it takes.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel("u8", mode="spsc")
            >>> with ch.producer() as tx:
            ...     tx.send_batch([1, 2, 3])
            >>> ch.stats().sent, ch.stats().received
            (3, 0)
        """
        return Stats(*self._stats())

    def resident_bytes(self) -> int:
        """Tell how much memory the channel takes now.

        Not one of the stats, as it asks the system about every page: microseconds for a small
        channel, milliseconds for gigabytes of address space.

        Returns:
            Bytes of the pages in memory, whichever process touched them.

        Raises:
            NotImplementedError: The system can't tell; Linux can.

        Example:
            >>> import bchan
            >>> ch = bchan.Channel("u8", capacity=65_536, mode="spsc")
            >>> before = ch.resident_bytes()
            >>> with ch.producer() as tx:
            ...     tx.send_batch(range(4096))
            >>> ch.resident_bytes() - before
            32768
        """
        return self._resident_bytes()

    def __repr__(self) -> str:
        if self._process != os.getpid() and not self.shared:
            return f"<bchan.Channel of {self._kind()}, {self.mode}, of process {self._process}>"
        producers = f"{self.active_producers} of {self.max_producers} producers"
        closed = ", closed" if self.closed else ""
        kind, fill = self._kind(), self._fill()
        return f"<bchan.Channel of {kind}, {self.mode}, {fill}, {producers}{closed}>"

    def _kind(self) -> str:
        return str(self.dtype)

    def _fill(self) -> str:
        return f"{len(self)}/{self.capacity}"


class _FramedChannel(Channel):
    """A channel whose messages take as many slots as they need."""

    __slots__ = ()

    @property
    def max_message_size(self) -> int:
        """Bytes of the longest message, as it is sent: all slots."""
        return self.capacity * _core.FRAME_SLOT

    def _fill(self) -> str:
        return f"{len(self)} in {self.capacity} slots"


@native("bytes")
class BytesChannel(  # type: ignore[misc]  # other messages than its base's
    frames.Sending, frames.Receiving, frames.ReceivingInto, _FramedChannel
):
    """A channel whose messages are bytes of any length: what `Channel(bytes)` makes.

    A message takes as many slots of 64 bytes as it needs, at least one; `capacity` counts
    slots. `send` takes any contiguous buffer and copies it; `receive` gives bytes. `reserve` and
    `peek` write and read a message in place.

    Args:
        dtype: `bytes`.
        capacity: Slots that may be in flight, at least 1. In the modes spsc and
            mpsc it is what each producer may have in flight.
        mode: As for `Channel`.
        max_producers: As for `Channel`.

    Raises:
        TypeError: Another dtype.
        ValueError: A number out of range, or an unknown mode.
        MemoryError: One ring would not fit into this machine's memory.

    Example:
        >>> import bchan
        >>> ch = bchan.Channel(bytes, capacity=1024)
        >>> ch.send(b"as long as you like")
        >>> ch.receive()
        b'as long as you like'
        >>> ch.max_message_size
        65536
        >>> ch
        <bchan.Channel of bytes, mpmc, 0 in 1024 slots, 0 of 4096 producers>
    """

    __slots__ = ()

    @property
    def dtype(self) -> type[bytes]:  # type: ignore[override]
        """What a message is: `bytes`."""
        return bytes

    def producer(self) -> BytesProducer:  # type: ignore[override]
        """Register a producer; see `Channel.producer`."""
        return BytesProducer(self)

    def consumer(self) -> BytesConsumer:  # type: ignore[override]
        """Register a consumer; see `Channel.consumer`."""
        return BytesConsumer(self)

    def _kind(self) -> str:
        return "bytes"


@native("pickled")
class PickledChannel(  # type: ignore[misc]  # sends what its base sends, and any iterable
    pickled.Sending, pickled.Receiving, _FramedChannel
):
    """A channel of objects between processes: what `Channel(shared=True)` or a name makes.

    Small built-ins (None, bools, ints, floats, strings, bytes, and tuples, lists and dicts of
    those) are sent as they are, all others pickled by protocol 5, and large buffers, as those of
    NumPy arrays, beside the pickle: copied once into the channel and once out, or not at all on
    the receiving side by `rx.view()`. An object that can't be pickled raises in the sender, and
    nothing is sent.

    Unpickling can run any code that is chosen by a process that can write to the channel's memory,
    a process of the same user. If you don't trust those processes, use `Channel(bytes)`.

    A message takes as many slots of 64 bytes as it needs, at least one; `capacity` counts
    slots. `send_batch` puts up to 255 objects of a list into one message; `len` and `stats` count
    messages.

    Args:
        dtype: `object`.
        capacity: Slots that may be in flight, at least 1. In the modes spsc and
            mpsc it is what each producer may have in flight.
        mode: As for `Channel`.
        max_producers: As for `Channel`.
        shared: As for `Channel`; True, unless there is a name.
        name: As for `Channel`.

    Raises:
        TypeError: Another dtype.
        ValueError: A number out of range, or an unknown mode.
        MemoryError: One ring would not fit into this machine's memory.

    Example:
        >>> import bchan, numpy as np
        >>> ch = bchan.Channel(shared=True)
        >>> ch.send({"any": "object", "array": np.arange(3)})
        >>> ch.receive()
        {'any': 'object', 'array': array([0, 1, 2])}
        >>> ch
        <bchan.Channel of pickled objects, mpmc, 0 in 1024 slots, 0 of 4096 producers>
    """

    __slots__ = ()

    def producer(self) -> PickledProducer:  # type: ignore[override]
        """Register a producer; see `Channel.producer`."""
        return PickledProducer(self)

    def consumer(self) -> PickledConsumer:  # type: ignore[override]
        """Register a consumer; see `Channel.consumer`."""
        return PickledConsumer(self)

    def _kind(self) -> str:
        return "pickled objects"


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
    return checked_number("max_producers", max_producers, _core.MAX_PRODUCERS)


def _checked_tuning(tuning: Tuning | None) -> Tuning:
    if tuning is None:
        return _DEFAULT_TUNING
    if not isinstance(tuning, Tuning):
        raise TypeError(f"tuning must be a bchan.Tuning, got {tuning!r}")
    return tuning
