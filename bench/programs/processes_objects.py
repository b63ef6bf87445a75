"""Objects from process to process: bchan beside `multiprocessing.Queue` and `faster-fifo`.

One producer process sends, this process receives. What is sent is made before the clock starts;
every object that arrives is kept, and compared once it has stopped: all of them, each once, in
order. The clock runs from the producer's start signal to the last object received. The contenders
take turns in one run. The garbage collector is off: it would go through all that arrived.

    python bench/programs/processes_objects.py
"""

import functools
import gc
import multiprocessing as mp
import queue
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from statistics import median
from typing import Any

import bchan
import bchan.multiprocessing
import effort
from bchan_bench.machine import this_machine

RUNS = effort.runs(5)
BATCH = 64
CAPACITY = 1 << 14
FIFO_BYTES = CAPACITY * 64
PATIENCE = 60.0
"""Seconds after which a run that gets nothing is given up."""

Objects = list[Any]
KINDS: dict[str, Callable[[int], Any]] = {
    "ints": lambda n: n,
    "tuples (int, str)": lambda n: (n, f"item {n}"),
    "dicts of 3": lambda n: {"id": n, "name": f"item {n}", "price": n / 4},
}
"""Small objects, each other than the one before."""


class WrongError(Exception):
    """What arrived is not what was sent."""


@dataclass(frozen=True)
class Contender:
    """A way to carry objects: what makes it, and how it sends and receives them all."""

    name: str
    make: Callable[[], Any]
    send: Callable[[Any, Objects], None]
    receive: Callable[[Any, int], Objects]
    count: int
    """How many objects a run takes."""


def _bchan(mode: str) -> Any:
    ch = bchan.Channel(object, CAPACITY, mode, shared=True)  # type: ignore[call-overload]
    return ch.producer(), ch.consumer()


def _bchan_send(ends: Any, objects: Objects) -> None:
    send = ends[0].send
    for item in objects:
        send(item)


def _bchan_receive(ends: Any, n: int) -> Objects:
    receive = ends[1].receive
    return [receive(PATIENCE) for _ in range(n)]


def _bchan_send_batches(ends: Any, objects: Objects) -> None:
    for start in range(0, len(objects), BATCH):
        ends[0].send_batch(objects[start : start + BATCH])


def _bchan_receive_batches(ends: Any, n: int) -> Objects:
    arrived: Objects = []
    while len(arrived) < n:
        arrived += ends[1].receive_batch(BATCH, PATIENCE)
    return arrived


def _queue_send(q: Any, objects: Objects) -> None:
    for item in objects:
        q.put(item)


def _queue_receive(q: Any, n: int) -> Objects:
    return [q.get(timeout=PATIENCE) for _ in range(n)]


def _fifo() -> Any:
    return import_module("faster_fifo").Queue(FIFO_BYTES)


def _fifo_send(q: Any, objects: Objects) -> None:
    for item in objects:
        q.put(item, timeout=PATIENCE)


def _fifo_receive(q: Any, n: int) -> Objects:
    return [q.get(timeout=PATIENCE) for _ in range(n)]


def _fifo_send_many(q: Any, objects: Objects) -> None:
    for start in range(0, len(objects), BATCH):
        q.put_many(objects[start : start + BATCH], timeout=PATIENCE)


def _fifo_receive_many(q: Any, n: int) -> Objects:
    arrived: Objects = []
    while len(arrived) < n:
        arrived += q.get_many(timeout=PATIENCE, max_messages_to_get=BATCH)
    return arrived


def contenders() -> list[Contender]:
    """Those that are installed; the others are named."""
    ctx = mp.get_context("fork")
    make_spsc, make_mpmc = (functools.partial(_bchan, mode) for mode in ("spsc", "mpmc"))
    batches = (_bchan_send_batches, _bchan_receive_batches)
    found = [
        Contender("bchan, spsc", make_spsc, _bchan_send, _bchan_receive, 400_000),
        Contender("bchan, mpmc", make_mpmc, _bchan_send, _bchan_receive, 400_000),
        Contender(f"bchan, spsc, batches of {BATCH}", make_spsc, *batches, 1_000_000),
        Contender(f"bchan, mpmc, batches of {BATCH}", make_mpmc, *batches, 1_000_000),
        Contender(
            "bchan.multiprocessing.Queue",
            functools.partial(bchan.multiprocessing.Queue, CAPACITY),
            _queue_send,
            _queue_receive,
            200_000,
        ),
        Contender(
            "multiprocessing.Queue",
            functools.partial(ctx.Queue, CAPACITY),
            _queue_send,
            _queue_receive,
            50_000,
        ),
    ]
    if find_spec("faster_fifo") is None:
        print("faster-fifo is not installed, and left out: pip install faster-fifo")
        return found
    many = (_fifo_send_many, _fifo_receive_many)
    return [
        *found,
        Contender("faster-fifo", _fifo, _fifo_send, _fifo_receive, 100_000),
        Contender(f"faster-fifo, put_many of {BATCH}", _fifo, *many, 400_000),
    ]


def rate(contender: Contender, make: Callable[[int], Any]) -> float:
    """Million objects a second.

    Raises:
        WrongError: They did not all arrive, each once, in order and as they were sent.
    """
    ctx = mp.get_context("fork")
    objects = [make(n) for n in range(effort.count(contender.count))]
    carrier, ready, go = contender.make(), ctx.Event(), ctx.Event()

    def produce() -> None:
        ready.set()
        go.wait()
        contender.send(carrier, objects)

    process = ctx.Process(target=produce)
    process.start()
    ready.wait()
    start = time.perf_counter()
    go.set()
    try:
        arrived = contender.receive(carrier, len(objects))
    except (queue.Empty, bchan.ChannelError, TimeoutError) as error:
        process.kill()
        raise WrongError(f"{contender.name}: objects are missing") from error
    seconds = time.perf_counter() - start
    process.join()
    if arrived != objects:
        raise WrongError(f"{contender.name}: what arrived is not what was sent")
    return len(objects) / seconds / 1e6


def table(kind: str, all_contenders: list[Contender]) -> None:
    """Measure one kind of object, and print."""
    figures: dict[str, list[float]] = {contender.name: [] for contender in all_contenders}
    for _ in range(RUNS):
        for contender in all_contenders:
            figures[contender.name].append(rate(contender, KINDS[kind]))
    rivals = [name for name in ("multiprocessing.Queue", "faster-fifo") if name in figures]
    print(f"\n{kind + ', M/s':32}{'median':>9}{'min':>9}{'max':>9}", end="")
    print(*(f"{'of ' + name:>26}" for name in rivals), sep="")
    for name, values in figures.items():
        middle = median(values)
        print(f"{name:32}{middle:9.3f}{min(values):9.3f}{max(values):9.3f}", end="")
        print(*(f"{middle / median(figures[rival]):26.1f}" for rival in rivals), sep="")


def main() -> None:
    """Measure and print."""
    print(*this_machine().lines, sep="\n")
    print(f"1 producer process, 1 consumer process, medians of {RUNS} runs, contenders in turn")
    found = contenders()
    gc.disable()
    try:
        for kind in KINDS:
            table(kind, found)
    except WrongError as error:
        sys.exit(str(error))
    print("\nall that was sent arrived, each once, in order and as it was sent")


if __name__ == "__main__":
    main()
