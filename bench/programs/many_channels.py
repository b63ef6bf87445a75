"""Ten thousand channels between processes made, used and dropped, a tenth of their users killed.

Each round makes channels of several kinds, some of them with a name, and as many children as take
part in all of them. One child in ten does not stop sending: it is killed in the midst of it. The
others send some messages through each channel, all of which must arrive, each once and in order.
When all rounds are over, this process must have no more descriptors and maps than after the first,
no child, no thread, and no file in /dev/shm.

    python bench/programs/many_channels.py
"""

import gc
import multiprocessing as mp
import os
import sys
import threading
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import bchan
import effort
from bchan_bench.machine import this_machine

CHANNELS = effort.count(10_000, 200)
AT_ONCE = 100
"""Channels of a round."""
CHILDREN = 10
"""Of a round: the last of them is killed."""
EACH = 3
"""Messages of each child through each channel."""
SLACK_MAPS = 20
"""What the allocator may come to have in between."""
PATIENCE = 20.0

NAME = f"many-channels-{os.getpid()}"
ctx = mp.get_context("fork")


class WrongError(Exception):
    """Something was lost, or something is left."""


class Kind(NamedTuple):
    """A kind of channel, and what a number is as its message."""

    make: Callable[[int], bchan.Channel]
    message: Callable[[int], Any] = int
    number: Callable[[Any], int] = int


KINDS = [
    Kind(lambda _: bchan.Channel("u8", 16, "mpmc", shared=True, keep_open=True)),
    Kind(
        lambda _: bchan.Channel(
            "u8", 16, "mpsc", max_producers=CHILDREN + 1, shared=True, keep_open=True
        )
    ),
    Kind(lambda n: bchan.Channel("u8", 16, "mpmc", name=f"{NAME}-{n}", keep_open=True)),
    Kind(
        lambda _: bchan.Channel(bytes, 16, "mpmc", shared=True, keep_open=True),
        lambda n: b"%d" % n,
    ),
    Kind(
        lambda _: bchan.Channel(object, 16, "mpmc", shared=True, keep_open=True),
        lambda n: {"number": n},
        lambda message: int(message["number"]),
    ),
]
Round = list[tuple[Kind, bchan.Channel]]


class Left(NamedTuple):
    """What this process has."""

    descriptors: int
    maps: int
    files: int
    children: int
    threads: int

    @classmethod
    def now(cls) -> "Left":
        """Once the garbage is collected."""
        gc.collect()
        return cls(
            len(list(Path("/proc/self/fd").iterdir())),
            len(Path("/proc/self/maps").read_text().splitlines()),
            len(list(Path("/dev/shm").glob(f"bchan-*-{NAME}-*"))),  # noqa: S108
            len(mp.active_children()),
            threading.active_count(),
        )


def send_some(channels: Round, child: int) -> None:
    """What one who lives does."""
    for kind, channel in channels:
        with channel.producer() as tx:
            for n in range(EACH):
                tx.send(kind.message(child * EACH + n), timeout=PATIENCE)


def send_for_ever(channels: Round, child: int) -> None:
    """What one does who is killed: it has a handle of each, and sends until a ring is full."""
    ends = [(kind, channel.producer()) for kind, channel in channels]
    for kind, tx in cycle(ends):
        tx.send(kind.message(child * EACH))


def receive(kind: Kind, channel: bchan.Channel) -> int:
    """Receive what the living send; tells how much there was of the other."""
    living = (CHILDREN - 1) * EACH
    arrived: list[list[int]] = [[] for _ in range(CHILDREN)]
    with channel.consumer() as rx:
        while sum(map(len, arrived[:-1])) < living:
            child, n = divmod(kind.number(rx.receive(timeout=PATIENCE)), EACH)
            arrived[child].append(n)
    if arrived[:-1] != [list(range(EACH))] * (CHILDREN - 1):
        raise WrongError(f"{channel}: what arrived is not what was sent: {arrived[:-1]}")
    return len(arrived[-1])


def run_round(number: int) -> tuple[int, int]:
    """Make channels, use them and drop them; tells of the dead how many handles, and messages."""
    kinds = islice(cycle(KINDS), AT_ONCE)
    channels = [(kind, kind.make(number * AT_ONCE + i)) for i, kind in enumerate(kinds)]
    # The end shall not come before the last child.
    keepers = [channel.producer() for _, channel in channels]
    works = [send_some] * (CHILDREN - 1) + [send_for_ever]
    children: list[Any] = [
        ctx.Process(target=work, args=(channels, child)) for child, work in enumerate(works)
    ]
    *living, doomed = children
    # The others come when it has sent through each of them, and is in the midst of it.
    doomed.start()
    while not all(len(channel) for _, channel in channels):
        time.sleep(0.001)
    for child in living:
        child.start()
    half = AT_ONCE // 2
    extra = sum(receive(kind, channel) for kind, channel in channels[:half])
    doomed.kill()
    extra += sum(receive(kind, channel) for kind, channel in channels[half:])
    for child in children:
        child.join()
        child.close()
    del keepers
    # A dead producer counts as closed: each channel has an end.
    for _, channel in channels:
        with channel.consumer() as rx:
            while True:
                try:
                    rx.receive(timeout=PATIENCE)
                    extra += 1
                except bchan.EndOfChannel:
                    break
    deaths = sum(channel.stats().deaths for _, channel in channels)
    if deaths != AT_ONCE:
        raise WrongError(f"{deaths} handles of the dead were found, not {AT_ONCE}")
    return deaths, extra


def main() -> None:
    """Run all rounds, and print what was found."""
    print(*this_machine().lines, sep="\n")
    start = time.perf_counter()
    rounds = CHANNELS // AT_ONCE
    deaths, extra = run_round(0)
    before = Left.now()
    for number in range(1, rounds):
        more = run_round(number)
        deaths, extra = deaths + more[0], extra + more[1]
    left = Left.now()
    seconds = time.perf_counter() - start
    processes = rounds * CHILDREN
    print(f"\n{rounds * AT_ONCE} channels, {AT_ONCE} at a time, in {seconds:.1f} s")
    print(f"{processes} child processes, of which {rounds} were killed while they were sending")
    print(f"{deaths} handles of the dead, all given back; {extra} messages of the dead arrived")
    print(f"{rounds * AT_ONCE * (CHILDREN - 1) * EACH} messages of the living, each once, in order")
    print(f"\n{'left, of this process':28}{'after round 1':>16}{'at the end':>16}")
    for name, then, now in zip(Left._fields, before, left, strict=True):
        print(f"{name:28}{then:16}{now:16}")
    if left.maps > before.maps + SLACK_MAPS or left._replace(maps=0) != before._replace(maps=0):
        raise WrongError("something is left behind")
    if left.files or left.children:
        raise WrongError("files or children are left behind")


if __name__ == "__main__":
    try:
        main()
    except (WrongError, TimeoutError) as error:
        sys.exit(str(error))
