"""What the producers send.

A message is `producer << 48 | sequence`. Making it must not cost more than sending it: one NumPy
call takes longer than `send_batch` of 64 needs for ten batches. So each producer prepares one
block before the clock starts and sends that again and again. When the order is to be verified,
the block moves on in place after each pass, about 0.2 ns a message, so that every message of the
run is another one.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Messages = NDArray[np.uint64]

SEQUENCE_BITS = 48
MODULO = 1 << 64
BLOCK = 1 << 14  # 128 KiB a producer: stays in a core's second-level cache


class Stream:
    """The messages of one producer, in passes over one prepared block.

    Args:
        producer: Number of the producer, from 0.
        count: Messages to send, at least 1.
        batch: Messages a call.
        numbered: The sequence grows from 0 to `count - 1`; otherwise it starts again with
            every pass.
    """

    def __init__(self, producer: int, count: int, batch: int, *, numbered: bool) -> None:
        length = min(count, batch * max(1, BLOCK // batch))
        self.first = producer << SEQUENCE_BITS
        self.count = count
        self._batch = batch
        self._numbered = numbered
        self._block = np.arange(self.first, self.first + length, dtype=np.uint64)

    @property
    def checksum(self) -> int:
        """Sum of all that is to be sent, modulo 2**64."""
        if self._numbered:
            return sum_of_run(self.first, self.count) % MODULO
        length = len(self._block)
        full, rest = divmod(self.count, length)
        return (full * sum_of_run(self.first, length) + sum_of_run(self.first, rest)) % MODULO

    @property
    def squares(self) -> int:
        """Sum of the squares of all that is to be sent, numbered, modulo 2**64."""
        last = self.first + self.count
        return (sum_of_squares(last) - sum_of_squares(self.first)) % MODULO

    def batches(self) -> Iterator[list[Messages]]:
        """The stream as passes of views, prepared now."""
        views = _split(self._block, self._batch)
        return (
            views if block is self._block else _split(block, self._batch)
            for block in self._passes()
        )

    def singles(self) -> Iterator[list[int]]:
        """The stream as passes of integers, prepared now unless they are numbered."""
        if self._numbered:
            return (block.tolist() for block in self._passes())
        whole: list[int] = self._block.tolist()
        return (whole if block is self._block else whole[: len(block)] for block in self._passes())

    def _passes(self) -> Iterator[Messages]:
        length = len(self._block)
        full, rest = divmod(self.count, length)
        for _ in range(full):
            yield self._block
            if self._numbered:
                self._block += np.uint64(length)
        if rest:
            yield self._block[:rest]


def streams(shares: list[int], batch: int, *, numbered: bool) -> list[Stream]:
    """One stream for each producer."""
    return [
        Stream(producer, count, batch, numbered=numbered) for producer, count in enumerate(shares)
    ]


def sum_of_run(first: int, count: int) -> int:
    """The sum `first + (first + 1) + …` of `count` terms."""
    return first * count + count * (count - 1) // 2


def sum_of_squares(end: int) -> int:
    """The sum of the squares of the integers from 0 up to `end`, without it."""
    return (end - 1) * end * (2 * end - 1) // 6


def _split(block: Messages, batch: int) -> list[Messages]:
    return [block[start : start + batch] for start in range(0, len(block), batch)]
