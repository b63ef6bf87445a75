"""What it costs to be counted, and to be asked for the counts.

First `stats()` itself, and `resident_bytes()`, by mode and places for producers. Then `send` and
`receive` in one thread: alone, beside a thread that wakes up to a thousand times a second, and
beside one that calls `stats()` as often. What the last two differ by is the cost of the question;
what the first two differ by is that of a second thread, which wants the GIL.

    python bench/programs/stats_cost.py
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from timeit import Timer

import numpy as np

import effort
from bchan import Channel
from bchan._types import Mode
from bchan_bench.machine import this_machine

REPEATS = effort.runs(7)
CALLS = effort.count(100_000)  # of one repeat
SLOW_CALLS = effort.count(100)
PAIRS = effort.count(2_000_000)
CAPACITY = 65_536
SECONDS_BETWEEN_QUESTIONS = 0.001
SWITCH = 0.0002  # seconds after which a thread with the GIL is asked for it: 5 ms would be 200/s

PLACES: list[tuple[Mode, int]] = [("spsc", 1), ("mpsc", 4), ("mpsc", 64), ("mpsc", 4096)]
SHAPES: list[tuple[Mode, int]] = [*PLACES, ("mpmc", 4096)]


def line(name: str, costs: list[float]) -> None:
    """Print the figures of some repeats."""
    figures = (median(costs), min(costs), max(costs))
    print(f"{name:52}" + "".join(f"{figure:12,.1f}" for figure in figures))


def nanoseconds(call: Callable[[], object], calls: int) -> list[float]:
    """What a call costs, in each repeat."""
    return [seconds / calls * 1e9 for seconds in Timer(call).repeat(REPEATS, calls)]


def questions() -> None:
    """The calls themselves."""
    for mode, places in SHAPES:
        channel = Channel(np.uint64, CAPACITY, mode, max_producers=places)
        with channel.producer() as tx:
            tx.send(7)
        name = f"{mode}, {places:,} place{'' if places == 1 else 's'}"
        line(f"stats(), {name}", nanoseconds(channel.stats, CALLS if places < 100 else SLOW_CALLS))
        line(f"resident_bytes(), {name}", nanoseconds(channel.resident_bytes, SLOW_CALLS))


@contextmanager
def beside(ask: Callable[[], object] | None) -> Iterator[list[int]]:
    """A thread that asks again and again; the list's only item says how often it did."""
    asked, over = [0], threading.Event()

    def go_on(question: Callable[[], object]) -> None:
        while not over.wait(SECONDS_BETWEEN_QUESTIONS):
            question()
            asked[0] += 1

    if ask is None:
        yield asked
        return
    thread = threading.Thread(target=go_on, args=[ask])
    thread.start()
    try:
        yield asked
    finally:
        over.set()
        thread.join()


def pairs() -> None:
    """`send` and `receive`, alone and beside others."""
    channel = Channel(np.uint64, CAPACITY, "spsc")
    tx, rx = channel.producer(), channel.consumer()
    timer = Timer(
        "send(item); receive()", globals={"send": tx.send, "receive": rx.receive, "item": 42}
    )
    others: dict[str, Callable[[], object] | None] = {
        "alone": None,
        "beside a thread that wakes": lambda: None,
        "beside a thread that calls stats()": channel.stats,
    }
    sys.setswitchinterval(SWITCH)
    for name, ask in others.items():
        with beside(ask) as asked:
            seconds = timer.repeat(REPEATS, PAIRS)
        each_second = asked[0] / sum(seconds)
        often = f", {each_second:,.0f}/s" if ask else ""
        line(f"send + receive, {name}{often}", [one / PAIRS * 1e9 for one in seconds])
    stats, due = channel.stats(), len(others) * REPEATS * PAIRS
    if not stats.sent == stats.received == due:
        sys.exit(f"{stats.received:,} of {due:,} messages arrived")


def main() -> None:
    """Measure and print; fail if anything was lost."""
    print(*this_machine().lines, sep="\n")
    print(f"ns, {REPEATS} repeats\n")
    print(f"{'':52}{'median':>12}{'min':>12}{'max':>12}")
    questions()
    pairs()
    print("\nall that was sent arrived")


if __name__ == "__main__":
    main()
