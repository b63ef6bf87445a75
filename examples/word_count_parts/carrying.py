"""From the producer threads to the consumer: one mpsc channel, or `queue.Queue` in two ways."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from time import perf_counter
from typing import Any, Protocol

import numpy as np

import bchan
from word_count_parts.adding import Received, Row
from word_count_parts.reading import PRODUCERS, RECORD, Records

CAPACITY = 1 << 14  # records that each producer may have in flight
RECEIVED = 1 << 13  # most records that the consumer takes at once
QUEUE_CAPACITY = 1024


class Transport(Protocol):
    """A way from the producer threads to the consumer."""

    def pack(self, records: Records) -> Sequence[Any]:
        """The messages that carry these records."""

    def send(self, producer: int, messages: Iterable[Any], /) -> None:
        """Send all messages of one producer, in its own thread."""

    def received(self) -> Iterator[Received]:
        """All that arrives, until every producer is done."""


class ThroughChannel:
    """One mpsc channel of records. Batches are copied into the ring, so they may be views."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._channel = bchan.Channel(RECORD, CAPACITY, "mpsc", max_producers=PRODUCERS)
        self._senders = [self._channel.producer() for _ in range(PRODUCERS)]

    def pack(self, records: Records) -> Sequence[Records]:
        """Cut into batches."""
        return in_batches(records, self._batch)

    def send(self, producer: int, messages: Iterable[Records], /) -> None:
        """Send the batches; leaving the handle tells the consumer that this producer is done."""
        with self._senders[producer] as tx:
            for batch in messages:
                tx.send_batch(batch)

    def received(self) -> Iterator[Received]:
        """Take what is there each time, of whichever producers."""
        with self._channel, self._channel.consumer() as rx:
            yield from rx.batches(RECEIVED)


class BatchesThroughQueue:
    """Arrays of `batch` records through `queue.Queue`, cut and joined by hand.

    A queue passes references and copies nothing: the larger the batches, the closer it comes, and
    with some thousand records in each it is ahead (try `--batch 4096`).
    """

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._queue: queue.Queue[Any] = queue.Queue(QUEUE_CAPACITY)

    def pack(self, records: Records) -> Sequence[Any]:
        """Cut into batches."""
        return in_batches(records, self._batch)

    def send(self, _producer: int, messages: Iterable[Any], /) -> None:
        """Send the messages, then None: this producer is done, or failed."""
        put = self._queue.put
        try:
            for message in messages:
                put(message)
        finally:
            put(None)

    def received(self) -> Iterator[Received]:
        """Join batches, so that as many are added up at once as the channel hands out."""
        batches = self._messages()
        while got := list(islice(batches, max(1, RECEIVED // self._batch))):
            yield np.concatenate(got)

    def _messages(self) -> Iterator[Any]:
        """Take one message after the other until each producer has sent its None."""
        get, sending = self._queue.get, PRODUCERS
        while sending:
            message = get()
            if message is None:
                sending -= 1
            else:
                yield message


class RecordsThroughQueue(BatchesThroughQueue):
    """One record a message through `queue.Queue`, as a tuple."""

    def pack(self, records: Records) -> Sequence[Row]:
        """Make each record a tuple."""
        rows: list[Row] = records.tolist()
        return rows

    def received(self) -> Iterator[Received]:
        """Collect records, so that they are added up many at a time here as well."""
        rows = self._messages()
        while got := list(islice(rows, RECEIVED)):
            yield got


def in_batches(records: Records, batch: int) -> list[Records]:
    """Views of at most `batch` records each."""
    return [records[start : start + batch] for start in range(0, len(records), batch)]


def carry(
    transport: Transport,
    sources: Iterable[Iterable[Any]],
    take: Callable[[Received], None],
) -> float:
    """Send every source's messages in a thread of its own, take all here.

    Returns:
        Seconds from the start of the threads to the last record taken.
    """
    threads = [
        threading.Thread(target=transport.send, args=(producer, messages), daemon=True)
        for producer, messages in enumerate(sources)
    ]
    started = perf_counter()
    for thread in threads:
        thread.start()
    for received in transport.received():
        take(received)
    seconds = perf_counter() - started
    for thread in threads:
        thread.join()
    return seconds
