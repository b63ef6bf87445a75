"""Drop-ins for the queues of the standard library's `multiprocessing`.

They are made of channels between processes, so they have no feeder thread: once `put` has returned,
the object is in the queue, and arrives even if this process is killed then. Killing a process does
not block the others:

- An unbounded queue is one channel, and nothing else.
- `maxsize` counts messages, of which a ring knows nothing: it counts slots. So there is a second
  channel with a *place* for each message. `put` peeks at a place, sends, and only then releases
  it; `get` peeks at a message, adds a place, and only then releases the message. What a dead
  process had peeked at comes again. So no place is ever lost. A kill just between two of these
  steps leaves one too many, which is taken away when the queue is next empty.
- `task_done` and `join` count in a channel, too, with one message for each task that is not done.
  Under `multiprocessing`'s locks a process that dies while it holds one stops all others. The
  process that takes the last message wakes those in `join`; in case it is killed just then, they
  check once a second. A task whose worker is killed is never done, nor is one whose producer is
  killed inside `put`: `join` waits for them, as that of the standard library does.

Example:
    >>> import multiprocessing
    >>> from bchan.multiprocessing import Queue
    >>> def work(tasks: Queue[int], results: Queue[int]) -> None:
    ...     for n in iter(tasks.get, 0):
    ...         results.put(n * n)
    >>> tasks, results = Queue(maxsize=10), Queue()
    >>> fork = multiprocessing.get_context("fork")
    >>> worker = fork.Process(target=work, args=(tasks, results))
    >>> worker.start()
    >>> for n in (3, 2, 1, 0):
    ...     tasks.put(n)
    >>> [results.get() for _ in range(3)]
    [9, 4, 1]
    >>> worker.join()
"""

import copyreg
import io
import os
import socket
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from queue import Empty, Full
from typing import Any, Generic, TypeVar

import numpy as np

from bchan import _core
from bchan._channel import Channel, PickledChannel
from bchan._consumer import Consumer

__all__ = ["Empty", "Full", "JoinableQueue", "Queue", "SimpleQueue"]

T = TypeVar("T")

MAX_BYTES = 1 << 26
"""Of messages, pickled, that may be in a queue, unless its maker says otherwise."""
MOST_MESSAGES = 1 << 25
"""What `maxsize` may be."""
MOST_TASKS = 1 << 22
"""Of a `JoinableQueue` that may be waiting to be done."""
SPARE_PLACES = 8192
"""Of the ring that counts messages: see `_places`."""
LOOK_AGAIN = 1.0
"""Seconds after which `join` checks whether the process that was to wake it has died."""

_TOKEN = 0
_NOTHING = object()


class SimpleQueue(Generic[T]):
    """Drop-in for `multiprocessing.SimpleQueue`: `put`, `get`, `empty` and `close`.

    Args:
        ctx: Not used: a queue goes to processes of every start method.
        max_bytes: Of messages, pickled, that may be in the queue, and of the longest; rounded up to
            a multiple of 64. `put` waits beyond it. Memory is used where messages have been: all of
            it once so much has passed through.

    Raises:
        ValueError: `max_bytes` out of range.

    Example:
        >>> from bchan.multiprocessing import SimpleQueue
        >>> q = SimpleQueue()
        >>> q.put({"any": "object"})
        >>> q.get(), q.empty()
        ({'any': 'object'}, True)
    """

    def __init__(self, *, ctx: object = None, max_bytes: int = MAX_BYTES) -> None:
        del ctx
        self._channel: PickledChannel | None = _channel_of(max_bytes)

    def __getstate__(self) -> tuple[Any, ...]:
        """The queue's own state alone, as in the original: what a subclass adds stays behind."""
        return (self._channel,)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        (self._channel,) = state

    def put(self, obj: T) -> None:
        """Put an object into the queue, waiting for room.

        Raises:
            OSError: This queue was closed.
            PicklingError, ...: What pickling it raised.
            ValueError: It is longer than `max_bytes`.
        """
        self._open().send(obj)

    def get(self) -> T:
        """Take the next object out of the queue, waiting for it.

        Raises:
            OSError: This queue was closed.
        """
        item: T = self._open().receive()
        return item

    def empty(self) -> bool:
        """Tell whether there is nothing in the queue; another process may change that at once.

        Raises:
            OSError: This queue was closed.
        """
        return len(self._open()) == 0

    def close(self) -> None:
        """Let go of the queue; other processes that have it go on."""
        self._channel = None

    def _open(self) -> PickledChannel:
        if self._channel is None:
            raise OSError("handle is closed")
        return self._channel


class Queue(Generic[T]):
    """Drop-in for `multiprocessing.Queue`: between any number of processes and their threads.

    `put` pickles, and raises what can't be pickled to its caller. A class of its own may take that
    in `_on_queue_feeder_error`. Queues travel as channels do: to child processes of every start
    method, and in the messages of other queues.

    Args:
        maxsize: Messages that may be in the queue at once, at most 33,554,432; 0 or less for any
            number.
        ctx: Not used: a queue goes to processes of every start method.
        max_bytes: Of messages, pickled, that may be in the queue, and of the longest; rounded up to
            a multiple of 64, and to 64 for each of `maxsize`. `put` waits beyond it, too. Memory is
            used where messages have been: all of it once so much has passed through.

    Raises:
        ValueError: A number beyond its limit.

    Example:
        >>> from bchan.multiprocessing import Full, Queue
        >>> q = Queue(maxsize=1)
        >>> q.put(1)
        >>> try:
        ...     q.put(2, timeout=0.01)
        ... except Full:
        ...     print("full")
        full
        >>> q.get()
        1
    """

    def __init__(self, maxsize: int = 0, *, ctx: object = None, max_bytes: int = MAX_BYTES) -> None:
        del ctx
        if maxsize > MOST_MESSAGES:
            raise ValueError(f"maxsize must be at most {MOST_MESSAGES}, got {maxsize}")
        self._maxsize = max(maxsize, 0)
        self._channel = _channel_of(max(max_bytes, self._maxsize * _core.FRAME_SLOT))
        self._places = _places(self._maxsize) if self._maxsize else None
        self._reset()

    def _reset(self) -> None:
        """What each process has for itself."""
        self._closed = False
        self._mine = threading.local()
        self._deaths_settled = 0

    def __getstate__(self) -> tuple[Any, ...]:
        """The queue's own state alone, as in the original: what a subclass adds stays behind."""
        return self._maxsize, self._channel, self._places

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._maxsize, self._channel, self._places = state
        self._reset()

    def put(self, obj: T, block: bool = True, timeout: float | None = None) -> None:
        """Put an object into the queue, waiting for space.

        Args:
            obj: What can be pickled.
            block: Whether to wait if the queue is full.
            timeout: Seconds to wait at most; None for ever.

        Raises:
            Full: There was no space, or none within the time.
            ValueError: This queue was closed, or the object is longer than `max_bytes`.
            PicklingError, ...: What pickling it raised; nothing was sent.
        """
        self._check_open()
        deadline = _deadline(block, timeout)
        if self._places is None:
            self._send(obj, deadline)
            return
        ends = self._ends(self._places)
        try:
            ends.place.peek(1, _left(deadline))
            ends.place.release(int(self._send(obj, deadline)))
        except TimeoutError:
            self._mine.ends = ends
            raise Full from None
        except BaseException:
            # Also if it came between two lines, as Ctrl-C may: the place is there again.
            ends.close()
            raise
        self._mine.ends = ends

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Take the next object out of the queue, waiting for one.

        Args:
            block: Whether to wait if the queue is empty.
            timeout: Seconds to wait at most; None for ever.

        Raises:
            Empty: There was no object, or none within the time.
            ValueError: This queue was closed.
        """
        self._check_open()
        deadline = _deadline(block, timeout)
        if self._places is not None:
            return self._get_and_give_place(self._places, deadline)
        if not block:
            item = self._channel.try_receive(_NOTHING)
            if item is _NOTHING:
                raise Empty
        else:
            try:
                item = self._channel.receive(_left(deadline))
            except TimeoutError:
                raise Empty from None
        taken: T = item
        return taken

    def put_nowait(self, obj: T) -> None:
        """Put an object into the queue; never wait."""
        self.put(obj, False)

    def get_nowait(self) -> T:
        """Take the next object out of the queue; never wait."""
        return self.get(False)

    def qsize(self) -> int:
        """Tell how many objects there are; another process may change that at once."""
        n = len(self._channel)
        return min(n, self._maxsize) if self._maxsize else n

    def empty(self) -> bool:
        """Tell whether there is nothing in the queue; another process may change that at once."""
        return len(self._channel) == 0

    def full(self) -> bool:
        """Tell whether there are `maxsize` objects; another process may change that at once."""
        return self._places is not None and len(self._places) == 0

    def close(self) -> None:
        """Let this process neither put nor get any more; the others go on."""
        self._closed = True

    def join_thread(self) -> None:
        """Do nothing: there is no thread, and what was put is in the queue.

        Raises:
            AssertionError: This queue is not closed.
        """
        if not self._closed:
            raise AssertionError(f"Queue {self!r} not closed")

    def cancel_join_thread(self) -> None:
        """Do nothing: there is no thread."""

    @staticmethod
    def _on_queue_feeder_error(e: Exception, obj: object) -> None:
        """Take what pickling an object raised in `put`: to be overridden by who will not raise."""
        del obj
        raise e

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"Queue {self!r} is closed")

    def _send(self, obj: T, deadline: float | None) -> bool:
        """Send an object; tell whether it went."""
        try:
            self._channel.send(obj, _left(deadline))
        except TimeoutError:
            raise Full from None
        except Exception as error:
            self._on_queue_feeder_error(error, obj)
            return False
        return True

    def _get_and_give_place(self, places: Channel, deadline: float | None) -> T:
        ends = self._ends(places)
        try:
            ends.message._hold(_left(deadline))
        except TimeoutError:
            self._mine.ends = ends
            raise Empty from None
        try:
            places.send(_TOKEN)
            item: T = ends.message.receive()
            if not len(self._channel):
                self._settle(ends.place, places)
        except BaseException:
            # As in `put`: the message is there again, unless it was the one that raised.
            ends.close()
            raise
        self._mine.ends = ends
        return item

    def _settle(self, place: Consumer, places: Channel) -> None:
        """Remove surplus places, left by a death, when there are no messages.

        Only a claim proves that there are any: one of more than `maxsize` places.
        """
        deaths = places.stats().deaths
        while deaths != self._deaths_settled:
            free = place.try_peek(self._maxsize + 1)
            if free is None:
                return
            if len(free) > self._maxsize:
                place.release(1)
            elif len(free) == len(places):
                place.release(0)
                self._deaths_settled = deaths
            else:
                # Those that came again come apart from the others: to the end with them.
                places.send_batch(free.copy())
                place.release(len(free))
                return

    def _ends(self, places: Channel) -> "_Ends":
        """The handles of this thread, for one call.

        A call inside that, as a `__reduce__` may make, has its own. A fork has left the parent's.
        """
        ends: _Ends | None = vars(self._mine).pop("ends", None)
        if ends is None or ends.process != os.getpid():
            return _Ends(self._channel, places)
        return ends


class JoinableQueue(Queue[T]):
    """Drop-in for `multiprocessing.JoinableQueue`: a `Queue` with `task_done` and `join`.

    Up to 4,194,304 objects may be put and not yet reported done; beyond that `put` waits.

    Args:
        maxsize: As for `Queue`.
        ctx: As for `Queue`.
        max_bytes: As for `Queue`.

    Raises:
        ValueError: A number beyond its limit.

    Example:
        >>> from bchan.multiprocessing import JoinableQueue
        >>> q = JoinableQueue()
        >>> q.put("task")
        >>> q.get()
        'task'
        >>> q.task_done()
        >>> q.join()
    """

    def __init__(self, maxsize: int = 0, *, ctx: object = None, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(maxsize, ctx=ctx, max_bytes=max_bytes)
        self._tasks = Channel("u1", MOST_TASKS, shared=True, keep_open=True)
        self._all_done = Channel("u1", 1, shared=True, keep_open=True)

    def __getstate__(self) -> tuple[Any, ...]:
        return super().__getstate__(), self._tasks, self._all_done

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        own, self._tasks, self._all_done = state
        super().__setstate__(own)

    def task_done(self) -> None:
        """Report an object that was got as done.

        Raises:
            ValueError: All objects that were put are done already.
        """
        if not self._end_task():
            raise ValueError("task_done() called too many times")

    def join(self) -> None:
        """Wait until every object that was put is reported done."""
        while len(self._tasks):
            with suppress(TimeoutError):
                self._all_done.receive(LOOK_AGAIN)
        # For another process that waits.
        self._all_done.try_send(_TOKEN)

    def _send(self, obj: T, deadline: float | None) -> bool:
        # First: else its task could be done before it was counted.
        try:
            self._tasks.send(_TOKEN, _left(deadline))
        except TimeoutError:
            raise Full from None
        is_sent = False
        try:
            is_sent = super()._send(obj, deadline)
        finally:
            if not is_sent:
                self._end_task()
        return is_sent

    def _end_task(self) -> bool:
        """Count a task as done; False if all are."""
        while len(self._tasks):
            # The next may not be there yet, though one behind it is.
            with suppress(TimeoutError):
                self._tasks.receive(LOOK_AGAIN)
                if not len(self._tasks):
                    self._all_done.try_send(_TOKEN)
                return True
        return False


class _Ends:
    """The handles that one thread of one process has of a queue with places."""

    __slots__ = ("message", "place", "process")

    def __init__(self, channel: PickledChannel, places: Channel) -> None:
        self.process = os.getpid()
        self.message = channel.consumer()
        self.place = places.consumer()

    def close(self) -> None:
        """Give back what they hold."""
        self.message.close()
        self.place.close()


def _deadline(block: bool, timeout: float | None) -> float | None:
    """Until when a call may wait, by the monotonic clock; None for ever."""
    if not block:
        return 0.0
    return None if timeout is None else time.monotonic() + timeout


def _left(deadline: float | None) -> float | None:
    """Seconds until then; None for ever."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _channel_of(max_bytes: int) -> PickledChannel:
    return PickledChannel(object, -(-max_bytes // _core.FRAME_SLOT), shared=True, keep_open=True)


def _places(n: int) -> Channel:
    """A channel with n places; see the module.

    A ring can't get further than a lap ahead of a process that has stopped while it peeks at a
    place. So it is long: `get` must not wait for that process, nor for recovery if it died.
    """
    places = Channel("u1", 2 * n + SPARE_PLACES, shared=True, keep_open=True)
    places.send_batch(np.full(n, _TOKEN, dtype="u1"))
    return places


def _reduce_as_multiprocessing_does() -> None:
    """Have connections and sockets travel in channels, as they do in the queues of the original.

    `pickle` alone refuses sockets, and passes connections on as numbers of descriptors that mean
    something else over there.
    """
    reducers = ForkingPickler(io.BytesIO()).dispatch_table
    for kind in (Connection, socket.socket):
        copyreg.pickle(kind, reducers[kind])


_reduce_as_multiprocessing_does()
