"""The loops that are timed: as little Python as possible between two calls.

Each sender goes over passes of prepared pieces; each receiver goes on until the channel has ended.
A deadline is not theirs: the thread that waits for them has it (`race`).
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from queue import SimpleQueue
from typing import TypeVar

import numpy as np

from bchan import Consumer, EndOfChannel, Producer
from bchan_bench.arrivals import Arrivals
from bchan_bench.workload import Messages

T = TypeVar("T")

_SINGLES = 4096  # messages received one by one between two checks
_ROOMS = 3  # one being filled, one being checked, one between them


def send_each(send: Callable[[T], object], passes: Iterable[list[T]]) -> None:
    """One call for each piece: an integer or a batch."""
    for pieces in passes:
        for piece in pieces:
            send(piece)


def send_in_place(tx: Producer, passes: Iterable[list[Messages]]) -> None:
    """Each batch written into the ring, usually in one piece."""
    reserve, commit = tx.reserve, tx.commit
    for batches in passes:
        for batch in batches:
            while (got := len(slots := reserve(len(batch)))) < len(batch):  # less room than wanted
                slots[...] = batch[:got]
                commit(got)
                batch = batch[got:]
            slots[...] = batch
            commit(got)


def receive_each(messages: Iterator[int], arrivals: Arrivals) -> None:
    """One call for each message."""
    while got := list(islice(messages, _SINGLES)):
        arrivals.take_integers(got)


def receive_in_place(rx: Consumer, buffer: int, arrivals: Arrivals) -> None:
    """As many as lie in one piece with each call, up to `buffer`, read where they lie."""
    peek, release, take = rx.peek, rx.release, arrivals.take
    try:
        while True:
            messages = peek(buffer)
            take(messages)
            release(len(messages))
    except EndOfChannel:
        return


def receive_copied(rx: Consumer, buffer: int, arrivals: Arrivals) -> None:
    """As many as are there with each call, up to a buffer full, copied and added up."""
    room = np.ones(buffer, dtype=np.uint64)
    receive_into, take = rx.receive_into, arrivals.take
    try:
        while True:
            take(room[: receive_into(room)])
    except EndOfChannel:
        return


class Relay:
    """Buffers that go round between the consumer, which fills them, and a thread that checks them.

    NumPy lets go of the GIL to add up a buffer and then queues for it again, behind every sender.
    A consumer that adds up by itself queues twice a call, and receives a quarter less.
    """

    def __init__(self, buffer: int) -> None:
        self._filled: SimpleQueue[tuple[Messages, int] | None] = SimpleQueue()
        self._free: SimpleQueue[Messages] = SimpleQueue()
        for _ in range(_ROOMS):
            self._free.put(np.ones(buffer, dtype=np.uint64))  # written to: its pages exist

    def receive(self, rx: Consumer) -> None:
        """As many as are there with each call, up to a buffer full, copied."""
        receive_into, free, fill = rx.receive_into, self._free.get, self._filled.put
        try:
            while True:
                room = free()
                fill((room, receive_into(room)))
        except EndOfChannel:
            return
        finally:
            fill(None)

    def check(self, arrivals: Arrivals) -> None:
        """Account for every buffer, until the consumer has left."""
        for room, received in iter(self._filled.get, None):
            arrivals.take(room[:received])
            self._free.put(room)
