"""Does a channel in steady state take memory? Ten million messages from thread to thread tell.

Both threads stand still when memory is looked at: after a warm-up, in which every page of the ring
is touched, and after ten million further messages. Python's allocated blocks and the process's
resident memory must be what they were.

    python bench/programs/steady_state.py
"""

import gc
import sys
import threading
from array import array
from collections.abc import Callable
from itertools import repeat

import numpy as np
import psutil

import effort
from bchan import Channel, Consumer, Producer
from bchan_bench.machine import this_machine

CAPACITY = 65_536
BATCH = 64
WARM_UP = 16 * CAPACITY
MESSAGES = effort.count(10_000_000, 1_000_000)
PARTS = (WARM_UP, WARM_UP, MESSAGES)  # to look for the first time takes a block that stays
MESSAGE = 1 << 40  # no small integer, which Python keeps ready
DEADLINE = 60.0

# Other parts of the process may take a little, and the kernel counts pages in coarse steps.
MOST_BLOCKS = 100
MOST_BYTES = 1_000_000

Send = Callable[[Producer, int], None]
Receive = Callable[[Consumer, int], None]


def send_each(tx: Producer, n: int) -> None:
    """Integers."""
    for _ in repeat(None, n):
        tx.send(MESSAGE)


def receive_each(rx: Consumer, n: int) -> None:
    """Integers."""
    for _ in repeat(None, n):
        rx.receive()


def send_batches(tx: Producer, n: int) -> None:
    """Copied from one array."""
    batch = np.full(BATCH, MESSAGE, dtype=np.uint64)
    for _ in repeat(None, n // BATCH):
        tx.send_batch(batch)


def receive_into(rx: Consumer, n: int) -> None:
    """Copied into one array."""
    room = np.zeros(BATCH, dtype=np.uint64)
    while n:
        n -= rx.receive_into(room)


def receive_batches(rx: Consumer, n: int) -> None:
    """A new array for each batch."""
    while n:
        n -= len(rx.receive_batch(BATCH))


def send_in_place(tx: Producer, n: int) -> None:
    """Views of the ring, written to."""
    while n:
        slots = tx.reserve(min(n, BATCH))
        slots.fill(MESSAGE)
        tx.commit(len(slots))
        n -= len(slots)


def receive_in_place(rx: Consumer, n: int) -> None:
    """Views of the ring."""
    while n:
        view = rx.peek(BATCH)
        rx.release(len(view))
        n -= len(view)


WAYS: dict[str, tuple[Send, Receive]] = {
    "send, receive": (send_each, receive_each),
    "send_batch, receive_into": (send_batches, receive_into),
    "send_batch, receive_batch": (send_batches, receive_batches),
    "reserve, peek": (send_in_place, receive_in_place),
}


class Looks:
    """What is allocated at the last two looks; to look allocates nothing that stays."""

    def __init__(self) -> None:
        self.blocks = array("q", (0, 0))
        self.bytes = array("q", (0, 0))
        self._process = psutil.Process()

    def look(self) -> None:
        """Once more."""
        gc.collect()
        self.bytes[0], self.bytes[1] = self.bytes[1], self._process.memory_info().rss
        self.blocks[0], self.blocks[1] = self.blocks[1], sys.getallocatedblocks()


def growth(send: Send, receive: Receive) -> tuple[int, int]:
    """Python's blocks and the process's bytes that ten million messages leave behind."""
    channel, looks = Channel(np.uint64, CAPACITY, "mpsc", max_producers=1), Looks()
    both = threading.Barrier(2, looks.look)

    def producer(tx: Producer) -> None:
        for n in PARTS:
            send(tx, n)
            both.wait(DEADLINE)

    thread = threading.Thread(target=producer, args=(channel.producer(),), daemon=True)
    thread.start()
    rx = channel.consumer()
    for n in PARTS:
        receive(rx, n)
        both.wait(DEADLINE)
    thread.join(DEADLINE)
    return looks.blocks[1] - looks.blocks[0], looks.bytes[1] - looks.bytes[0]


def main() -> None:
    """Measure, print, and fail if anything grew."""
    print(*this_machine().lines, sep="\n")
    print(f"growth over {MESSAGES:,} messages\n")
    print(f"{'':28}{'blocks':>8}{'KiB':>8}")
    grown = []
    for name, (send, receive) in WAYS.items():
        blocks, size = growth(send, receive)
        print(f"{name:28}{blocks:8,}{size / 1024:8,.0f}")
        if blocks > MOST_BLOCKS or size > MOST_BYTES:
            grown.append(name)
    if grown:
        sys.exit(f"memory grew: {'; '.join(grown)}")


if __name__ == "__main__":
    main()
