"""What the consumers got, counted, summed and, if asked for, checked message by message.

All of it is computed from what arrived, a received batch at a time, as part of the timed run. What
is wrong is kept for the end of the run, so that no thread waits for one that gave up.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from bchan_bench.workload import MODULO, SEQUENCE_BITS, Messages, Stream

_add = np.add.reduce  # np.sum without its Python wrapper


class MismatchError(Exception):
    """What arrived is not what was sent."""


class Arrivals:
    """Count and checksum of what arrived."""

    def __init__(self) -> None:
        self.count = 0
        self.checksum = 0

    def take(self, messages: Messages) -> None:
        """Account for one received batch, which may lie in the ring: nothing is kept."""
        self.count += len(messages)
        self.checksum += int(_add(messages))

    def take_integers(self, messages: list[int]) -> None:
        """Account for messages received one by one."""
        self.count += len(messages)
        self.checksum += sum(messages)

    def add(self, other: Self) -> None:
        """Account for what another consumer of the same channel got."""
        self.count += other.count
        self.checksum += other.checksum

    def check(self, expected: Sequence[Stream]) -> None:
        """Compare with what was to be sent, when all has arrived.

        Raises:
            MismatchError: A message is missing, came twice, was changed or is out of place.
        """
        sent = sum(stream.count for stream in expected)
        if self.count != sent:
            raise MismatchError(f"received {self.count:_} messages, sent {sent:_}")
        received, checksum = self.checksum % MODULO, sum(s.checksum for s in expected) % MODULO
        if received != checksum:
            raise MismatchError(f"received checksum {received:#018x}, sent {checksum:#018x}")


class OrderedArrivals(Arrivals):
    """Checks as well that each producer's messages arrive as 0, 1, 2 and so on.

    A batch is cut into runs of successive messages; a run must start where its producer's last
    one ended. So the work for a message is one subtraction and one comparison in NumPy, and all
    else is done once a run.
    """

    def __init__(self, producers: int) -> None:
        super().__init__()
        self._misplaced: str | None = None
        # Next message due from each producer.
        self._due = np.arange(producers, dtype=np.uint64) << np.uint64(SEQUENCE_BITS)

    def take(self, messages: Messages) -> None:
        """Account for one received batch, and note the first message that is out of place."""
        super().take(messages)
        breaks = np.flatnonzero(messages[1:] - messages[:-1] != 1) + 1
        starts = np.concatenate(([0], breaks))
        lengths = np.diff(starts, append=len(messages)).astype(np.uint64)
        if self._misplaced is None:
            self._misplaced = self._follow(messages[starts], lengths)

    def take_integers(self, messages: list[int]) -> None:
        """Account for messages received one by one, in the order of the list."""
        if messages:
            self.take(np.array(messages, dtype=np.uint64))

    def check(self, expected: Sequence[Stream]) -> None:
        """Compare with what was to be sent, first of all each message's place."""
        if self._misplaced is not None:
            raise MismatchError(self._misplaced)
        super().check(expected)

    def _follow(self, firsts: Messages, lengths: Messages) -> str | None:
        """Follow every producer's order over these runs; say what is out of place."""
        producers = (firsts >> np.uint64(SEQUENCE_BITS)).astype(np.intp)
        if (unknown := producers.max()) >= len(self._due):
            return f"a message of producer {unknown} arrived, who does not exist"
        by_producer = np.argsort(producers, kind="stable")
        producers, firsts = producers[by_producer], firsts[by_producer]
        ends = firsts + lengths[by_producer]
        due = self._due[producers]
        same = np.flatnonzero(producers[1:] == producers[:-1])
        due[same + 1] = ends[same]
        if (wrong := np.flatnonzero(firsts != due)).size:
            return _misplaced(int(firsts[wrong[0]]), int(due[wrong[0]]))
        self._due[producers] = ends  # of a producer's several runs the last one stays
        return None


class ScatteredArrivals(Arrivals):
    """Checks one of several consumers: each producer's messages arrive in a growing order.

    That together they got each message once is told by a second checksum, of the squares: beside
    the count and the sum, a message that came twice in place of another shows in it.
    """

    def __init__(self, producers: int) -> None:
        super().__init__()
        self._misplaced: str | None = None
        self._squares = 0
        # Least message that may come from each producer.
        self._due = np.arange(producers, dtype=np.uint64) << np.uint64(SEQUENCE_BITS)

    def take(self, messages: Messages) -> None:
        """Account for one received batch, and note the first message that comes too late."""
        super().take(messages)
        self._squares += int(_add(messages * messages))
        by_producer = messages[np.argsort(messages >> np.uint64(SEQUENCE_BITS), kind="stable")]
        producers = (by_producer >> np.uint64(SEQUENCE_BITS)).astype(np.intp)
        if self._misplaced is None:
            self._misplaced = self._follow(by_producer, producers)

    def take_integers(self, messages: list[int]) -> None:
        """Account for messages received one by one, in the order of the list."""
        if messages:
            self.take(np.array(messages, dtype=np.uint64))

    def add(self, other: Self) -> None:
        """Account for what another consumer of the same channel got."""
        super().add(other)
        self._squares += other._squares
        self._misplaced = self._misplaced or other._misplaced

    def check(self, expected: Sequence[Stream]) -> None:
        """Compare with what was to be sent, first of all the order."""
        if self._misplaced is not None:
            raise MismatchError(self._misplaced)
        super().check(expected)
        squares = sum(stream.squares for stream in expected)
        if (self._squares - squares) % MODULO:
            raise MismatchError("a message came twice in place of another")

    def _follow(self, messages: Messages, producers: np.ndarray[Any, Any]) -> str | None:
        """Follow every producer's order; say what is out of place."""
        if (unknown := producers.max()) >= len(self._due):
            return f"a message of producer {unknown} arrived, who does not exist"
        due = self._due[producers]
        same = np.flatnonzero(producers[1:] == producers[:-1])
        due[same + 1] = messages[same] + np.uint64(1)
        if (wrong := np.flatnonzero(messages < due)).size:
            return _misplaced(int(messages[wrong[0]]), int(due[wrong[0]]))
        self._due[producers] = messages + np.uint64(1)  # of several the last one stays
        return None


def arrivals_of(producers: int, consumers: int = 1, *, verify: bool) -> list[Arrivals]:
    """What the consumers of a run need: the cheap checks, or all."""
    if not verify:
        return [Arrivals() for _ in range(consumers)]
    if consumers == 1:
        return [OrderedArrivals(producers)]
    return [ScatteredArrivals(producers) for _ in range(consumers)]


def check_all(arrivals: Sequence[Arrivals], expected: Sequence[Stream]) -> int:
    """Compare what all consumers got with what was to be sent; gives how much that is.

    Raises:
        MismatchError: A message is missing, came twice, was changed or is out of place.
    """
    first, *others = arrivals
    for other in others:
        first.add(other)
    first.check(expected)
    return first.count


def _misplaced(arrived: int, due: int) -> str:
    place = (1 << SEQUENCE_BITS) - 1
    producer = arrived >> SEQUENCE_BITS
    return f"producer {producer}: message {arrived & place:_} arrived, {due & place:_} was due"
