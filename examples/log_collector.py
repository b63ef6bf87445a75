"""A log collector that any program may attach to by name.

    python examples/log_collector.py              # shows itself: three programs log to a collector
    python examples/log_collector.py collect      # collects until Ctrl-C
    python examples/log_collector.py log "text"   # logs a line to it, from any terminal

Records are bytes, so the collector unpickles nothing that it was sent.
"""

import logging
import os
import subprocess
import sys
from collections import Counter
from contextlib import suppress

import bchan

NAME = "bchan-example-log"
PROGRAMS = 3
LINES = 1000


class ChannelHandler(logging.Handler):
    """A logging handler that sends formatted records to a collector.

    It never waits: what finds the channel full is counted and dropped, as a program should not
    stand still because its log does.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._channel = bchan.Channel.attach(name)
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        line = f"{os.getpid()} {record.levelname} {self.format(record)}".encode()
        if not self._channel.try_send(line):
            self.dropped += 1


def log(lines: list[str]) -> None:
    """Be a program that logs."""
    logger = logging.getLogger("example")
    logger.setLevel(logging.INFO)
    handler = ChannelHandler(NAME)
    logger.addHandler(handler)
    for line in lines:
        logger.info(line)
    if handler.dropped:
        sys.exit(f"{handler.dropped} lines were dropped: the collector is too slow")


def collect() -> None:
    """Print what any program logs, until Ctrl-C."""
    channel = bchan.Channel(bytes, capacity=1 << 16, name=NAME)
    with suppress(KeyboardInterrupt), channel.consumer() as rx:
        for line in rx:
            print(line.decode(errors="replace"))


def show() -> None:
    """Collect from three programs, and check that all that they logged arrived, in order."""
    channel = bchan.Channel(bytes, capacity=1 << 16, name=NAME)
    command = [sys.executable, __file__, "log", *(str(i) for i in range(LINES))]
    programs = [subprocess.Popen(command) for _ in range(PROGRAMS)]  # noqa: S603
    received: Counter[str] = Counter()
    with channel.consumer() as rx:
        for _ in range(PROGRAMS * LINES):
            pid, level, line = rx.receive(timeout=60).decode().split(" ", 2)
            if level != "INFO" or line != str(received[pid]):
                sys.exit(f"{line!r} of program {pid} is out of place")
            received[pid] += 1
    if any(program.wait() for program in programs):
        sys.exit("a program failed")
    print(f"{sum(received.values()):,} lines of {len(received)} programs, each in its order")


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            show()
        case ["collect"]:
            collect()
        case ["log", *lines]:
            log(lines)
        case _:
            sys.exit(__doc__)
