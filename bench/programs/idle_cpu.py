"""What a blocked consumer costs, and what it takes to wake it.

A consumer waits for five seconds for its first message. Its thread must use next to no CPU, and
the message must wake it with one system call.

    python bench/programs/idle_cpu.py
"""

import sys
import threading
import time

import numpy as np

import effort
from bchan import Channel
from bchan_bench.machine import this_machine

SECONDS = 0.5 if effort.QUICK else 5.0
MOST_CPU = 0.020  # seconds
DEADLINE = 10.0
MESSAGE = 0x0123_4567_89AB_CDEF


class Waiting(threading.Thread):
    """A consumer that receives one message, and looks at its CPU time before and after."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(daemon=True)
        self._rx = channel.consumer()
        self.received: object = None
        self.cpu = 0.0

    def run(self) -> None:
        """Wait for one message."""
        before = time.thread_time()
        self.received = self._rx.receive()
        self.cpu = time.thread_time() - before


def wait_until_quiet() -> None:
    """Wait until nothing runs here: NumPy's BLAS has threads that spin when they start."""
    used = time.process_time()
    while True:
        time.sleep(0.1)
        used, before = time.process_time(), used
        if used - before < 0.001:
            return


def main() -> None:
    """Measure, print, and fail if waiting was not free."""
    print(*this_machine().lines, sep="\n")
    channel = Channel(np.uint64, mode="spsc")
    tx, consumer = channel.producer(), Waiting(channel)
    wait_until_quiet()
    process_before = time.process_time()
    consumer.start()
    time.sleep(SECONDS)
    process = time.process_time() - process_before
    before = channel.stats()
    tx.send(MESSAGE)
    consumer.join(DEADLINE)
    after = channel.stats()
    wakes = after.wakes - before.wakes
    print(f"\nblocked for {SECONDS:.0f} s, parked {after.waits} time(s)")
    print(f"CPU: {consumer.cpu * 1e3:.3f} ms of the thread, {process * 1e3:.3f} ms of the process")
    print(f"futex wakes for the one message: {wakes}")
    if consumer.received != MESSAGE:
        sys.exit(f"received {consumer.received!r}, sent {MESSAGE!r}")
    if max(consumer.cpu, process) > MOST_CPU:
        sys.exit(f"waiting took more than {MOST_CPU * 1e3:.0f} ms of CPU")
    if wakes != 1:
        sys.exit(f"one message must take one wake, took {wakes}")


if __name__ == "__main__":
    main()
