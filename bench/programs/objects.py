"""Python objects, one a call: bchan beside the queues of the standard library.

One thread (what a `put` and a `get` cost), one producer and one consumer, and four of each. All
contenders of a table take turns in one run; every object that arrives is checked, after the clock
has stopped: each once, and those of a producer in its order.

    python bench/programs/objects.py
"""

import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from timeit import Timer

import bchan
import effort
from bchan_bench.machine import this_machine

RUNS = effort.runs(5)
PAIRS = effort.count(1_000_000)  # of one run in one thread
MESSAGES = effort.count(600_000)  # of one run between threads, all producers together

Send = Callable[[object], object]
Receive = Callable[[], object]


class WrongError(Exception):
    """What arrived is not what was sent."""


@dataclass(frozen=True)
class Contender:
    """A way to carry objects: a name, and what makes its two calls."""

    name: str
    make: Callable[[], tuple[Send, Receive]]


def channel(capacity: int, mode: str = "mpmc") -> Contender:
    """A channel, used without handles if it can be."""

    def make() -> tuple[Send, Receive]:
        ch = bchan.Channel(capacity=capacity, mode=mode)  # type: ignore[call-overload]
        if mode == "mpmc":
            return ch.send, ch.receive
        return ch.producer().send, ch.consumer().receive

    return Contender(f"bchan.Channel({capacity:,}), {mode}", make)


def queue_of(kind: type, *arguments: int) -> Contender:
    """A queue of the standard library, or one that looks like it."""

    def make() -> tuple[Send, Receive]:
        q = kind(*arguments)
        return q.put, q.get

    limits = ", ".join(f"{argument:,}" for argument in arguments)
    module = kind.__module__.split(".")[0].strip("_")
    return Contender(f"{module}.{kind.__name__}({limits})", make)


def cost(contender: Contender) -> float:
    """Nanoseconds for sending one object and receiving it, in one thread."""
    send, receive = contender.make()
    item = object()
    send(item)
    if receive() is not item:
        raise WrongError(f"{contender.name}: another object arrived than was sent")
    timer = Timer("send(item); receive()", globals={"send": send, "receive": receive, "item": item})
    return timer.timeit(PAIRS) / PAIRS * 1e9


def rate(contender: Contender, producers: int, consumers: int) -> float:
    """Millions of objects received a second, between threads."""
    send, receive = contender.make()
    each = MESSAGES // producers
    sent = [[number << 32 | n for n in range(each)] for number in range(producers)]
    received: list[list[object]] = [[] for _ in range(consumers)]
    started = threading.Barrier(producers + consumers + 1)

    def produce(items: Sequence[int]) -> None:
        started.wait()
        for item in items:
            send(item)

    def consume(arrived: list[object]) -> None:
        started.wait()
        arrived.extend(iter(receive, None))

    senders = [threading.Thread(target=produce, args=(items,)) for items in sent]
    receivers = [threading.Thread(target=consume, args=(arrived,)) for arrived in received]
    for thread in senders + receivers:
        thread.start()
    started.wait()
    start = time.perf_counter()
    for thread in senders:
        thread.join()
    for _ in receivers:
        send(None)
    for thread in receivers:
        thread.join()
    seconds = time.perf_counter() - start
    check(contender, sent, received)
    return producers * each / seconds / 1e6


def check(contender: Contender, sent: list[list[int]], received: list[list[object]]) -> None:
    """Every object once, and each producer's in its order at each consumer.

    Raises:
        WrongError: It is not so.
    """
    arrived = [item for items in received for item in items if isinstance(item, int)]
    if sorted(arrived) != [item for items in sent for item in items]:
        raise WrongError(f"{contender.name}: {len(arrived):,} objects arrived, not those sent")
    for items in received:
        last: dict[int, int] = {}
        for item in items:
            if not isinstance(item, int) or last.get(item >> 32, -1) >= item:
                raise WrongError(f"{contender.name}: {item!r} arrived out of order")
            last[item >> 32] = item


def table(
    title: str,
    contenders: Sequence[Contender],
    reference: str,
    measure: Callable[[Contender], float],
) -> None:
    """Measure all in turn, and print medians beside that of the reference."""
    figures: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for _ in range(RUNS):
        for contender in contenders:
            figures[contender.name].append(measure(contender))
    base = median(figures[reference])
    print(f"\n{title:46}{'median':>9}{'min':>9}{'max':>9}{'ratio':>9}")
    for name, values in figures.items():
        middle = median(values)
        print(f"{name:46}{middle:9.2f}{min(values):9.2f}{max(values):9.2f}{middle / base:9.2f}")


def main() -> None:
    """Measure and print."""
    print(*this_machine().lines, sep="\n")
    print(f"medians of {RUNS} runs, contenders in turn; ratio: to the one named last")
    simple, bounded = queue_of(queue.SimpleQueue), queue_of(queue.Queue, 1024)
    ours, small = queue_of(bchan.Queue, 1024), channel(1024)
    modes = [channel(1024, mode) for mode in ("spsc", "mpsc", "spmc")]
    try:
        table(
            "one thread, ns a pair",
            [small, *modes, ours, queue_of(bchan.SimpleQueue), bounded, simple],
            simple.name,
            cost,
        )
        table(
            "1 producer, 1 consumer, M/s",
            [small, *modes, ours, bounded],
            bounded.name,
            lambda contender: rate(contender, 1, 1),
        )
        table(
            "1 producer, 1 consumer, M/s",
            [channel(65_536), channel(65_536, "spsc"), queue_of(bchan.SimpleQueue), simple],
            simple.name,
            lambda contender: rate(contender, 1, 1),
        )
        table(
            "4 producers, 4 consumers, M/s",
            [small, ours, bounded],
            bounded.name,
            lambda contender: rate(contender, 4, 4),
        )
    except WrongError as error:
        sys.exit(str(error))
    print("\nall that was sent arrived, each once and in order")


if __name__ == "__main__":
    main()
