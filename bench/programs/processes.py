"""Between processes: throughput, frames beside memcpy, round trips beside a pipe and a futex.

Contenders of a table take turns in one run, medians of 5. All messages that arrived are compared
with those sent once the clock has stopped.

    python bench/programs/processes.py
"""

import ctypes
import mmap
import multiprocessing as mp
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np

import bchan
import effort
from bchan_bench.arrivals import Arrivals, OrderedArrivals
from bchan_bench.machine import this_machine
from bchan_bench.workload import Stream

RUNS = effort.runs(5)
PRODUCERS = 4
MESSAGES = effort.count(20_000_000)  # of each producer
FRAME = 65_536
FRAMES = effort.count(4096)
ROUNDS = effort.count(20_000)

ctx = mp.get_context("fork")


class WrongError(Exception):
    """What arrived is not what was sent."""


def in_processes(*works: Callable[[], object]) -> list[Any]:
    """Start a process for each, which waits for `go`; to be joined."""
    processes = [ctx.Process(target=work) for work in works]
    for process in processes:
        process.start()
    return processes


def join(processes: list[Any]) -> None:
    """Wait for the end of all, and refuse one that failed."""
    for process in processes:
        process.join()
        if process.exitcode != 0:
            raise WrongError(f"process {process.pid} ended with {process.exitcode}")


# Throughput of small messages.


def batches(batch: int, *, ordered: bool = False) -> float:
    """M messages a second, from four processes to one, in batches of u64; counted and summed."""
    ch = bchan.Channel("u8", 131_072, "mpsc", max_producers=PRODUCERS, shared=True)
    go = ctx.Barrier(PRODUCERS + 1)
    streams = [Stream(i, MESSAGES, batch, numbered=ordered) for i in range(PRODUCERS)]

    def produce(tx: bchan.Producer, stream: Stream) -> None:
        send = tx.send_batch
        passes = stream.batches()
        go.wait()
        for views in passes:
            for view in views:
                send(view)
        tx.close()

    works = [partial(produce, ch.producer(), stream) for stream in streams]
    processes = in_processes(*works)
    arrivals = OrderedArrivals(PRODUCERS) if ordered else Arrivals()
    rx, buffer = ch.consumer(), np.empty(16_384, dtype="u8")
    go.wait()
    start = time.perf_counter()
    try:
        while True:
            arrivals.take(buffer[: rx.receive_into(buffer)])
    except bchan.EndOfChannel:
        seconds = time.perf_counter() - start
    join(processes)
    arrivals.check(streams)
    return PRODUCERS * MESSAGES / seconds / 1e6


# Frames.


def _patterns() -> Any:
    """Sixteen frames that differ in every byte."""
    return np.arange(16 * FRAME, dtype="u4").astype("u1").reshape(16, FRAME) + np.arange(
        16, dtype="u1"
    ).reshape(16, 1)


def memcpy() -> float:
    """GB a second of copying frames to where they have room, half of what a copy in and out is."""
    source, target = _patterns(), np.ones((FRAMES, FRAME), dtype="u1")
    start = time.perf_counter()
    for i in range(FRAMES):
        target[i] = source[i % 16]
    return FRAMES * FRAME / (time.perf_counter() - start) / 1e9


def frames_copied() -> float:
    """GB a second, copied in by one process and out by the other."""
    ch = bchan.Channel(bytes, 65_536, "spsc", shared=True)
    go = ctx.Barrier(2)

    def produce(tx: Any) -> None:
        source = list(_patterns())
        go.wait()
        for i in range(FRAMES):
            tx.send(source[i % 16])
        tx.close()

    processes = in_processes(partial(produce, ch.producer()))
    target = np.ones((FRAMES, FRAME), dtype="u1")
    rows = list(target)
    rx: Any = ch.consumer()
    go.wait()
    start = time.perf_counter()
    for row in rows:
        rx.receive_into(row)
    seconds = time.perf_counter() - start
    join(processes)
    source = _patterns()
    if not all(np.array_equal(target[i], source[i % 16]) for i in range(FRAMES)):
        raise WrongError("a frame is not what was sent")
    return FRAMES * FRAME / seconds / 1e9


def frames_in_place() -> float:
    """GB a second handed over, where each side touches 8 bytes of a frame and copies none."""
    ch = bchan.Channel(bytes, 65_536, "spsc", shared=True)
    go, n = ctx.Barrier(2), FRAMES * 8

    def produce(tx: Any) -> None:
        go.wait()
        for i in range(n):
            tx.reserve(FRAME)[-8:] = i.to_bytes(8, "little")
            tx.commit()
        tx.close()

    processes = in_processes(partial(produce, ch.producer()))
    rx: Any = ch.consumer()
    seen = []
    go.wait()
    start = time.perf_counter()
    for _ in range(n):
        seen.append(bytes(rx.peek()[-8:]))
        rx.release()
    seconds = time.perf_counter() - start
    join(processes)
    if seen != [i.to_bytes(8, "little") for i in range(n)]:
        raise WrongError("a frame is not what was sent")
    return n * FRAME / seconds / 1e9


# Round trips.


def _ping(send: Callable[[int], object], receive: Callable[[], int]) -> float:
    """Microseconds of one round trip, the median of all; each number must come back."""
    times = []
    for i in range(ROUNDS):
        start = time.perf_counter()
        send(i)
        back = receive()
        times.append(time.perf_counter() - start)
        if back != i:
            raise WrongError(f"{back} came back for {i}")
    return median(times) * 1e6


def _pong(send: Callable[[int], object], receive: Callable[[], int]) -> None:
    for _ in range(ROUNDS):
        send(receive())


def round_trip_of_channels(tuning: bchan.Tuning) -> float:
    """`send` and `receive`, which wait as the tuning says."""
    there, back = (bchan.Channel("i8", 16, "spsc", shared=True, tuning=tuning) for _ in range(2))
    tx, rx = there.producer(), back.consumer()
    echo = (back.producer(), there.consumer())
    processes = in_processes(lambda: _pong(echo[0].send, echo[1].receive))
    us = _ping(tx.send, rx.receive)
    join(processes)
    return us


def round_trip_of_a_pipe() -> float:
    """`multiprocessing.Pipe`."""
    here, there = ctx.Pipe()
    processes = in_processes(lambda: _pong(there.send, there.recv))
    us = _ping(here.send, here.recv)
    join(processes)
    return us


_SYS_FUTEX = 202 if ctypes.sizeof(ctypes.c_void_p) == 8 else 240
_libc = ctypes.CDLL(None, use_errno=True)


def round_trip_of_a_futex() -> float:
    """Two words, a wait and a wake each: what the kernel's part of a parked round trip costs."""
    page = mmap.mmap(-1, 4096)
    words = [ctypes.c_uint32.from_buffer(page, at) for at in (0, 2048)]
    at = [ctypes.addressof(word) for word in words]

    def send(which: int, i: int) -> None:
        words[which].value = i + 1
        _libc.syscall(_SYS_FUTEX, ctypes.c_void_p(at[which]), 1, 1, None, None, 0)

    def receive(which: int, i: int) -> int:
        while words[which].value == i:
            _libc.syscall(_SYS_FUTEX, ctypes.c_void_p(at[which]), 0, i, None, None, 0)
        return int(words[which].value) - 1

    def echo() -> None:
        for i in range(ROUNDS):
            send(1, receive(0, i))

    processes = in_processes(echo)
    times = []
    for i in range(ROUNDS):
        start = time.perf_counter()
        send(0, i)
        back = receive(1, i)
        times.append(time.perf_counter() - start)
        if back != i:
            raise WrongError(f"{back} came back for {i}")
    join(processes)
    return median(times) * 1e6


def table(title: str, unit: str, contenders: dict[str, Callable[[], float]]) -> None:
    """Measure all in turn, and print medians beside the first."""
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(RUNS):
        for name, run in contenders.items():
            figures[name].append(run())
    base = median(next(iter(figures.values())))
    print(f"\n{title + ', ' + unit:52}{'median':>10}{'min':>10}{'max':>10}{'ratio':>8}")
    for name, values in figures.items():
        middle = median(values)
        print(f"{name:52}{middle:10.2f}{min(values):10.2f}{max(values):10.2f}{middle / base:8.2f}")


def main() -> None:
    """Measure and print."""
    print(*this_machine().lines, sep="\n")
    print(f"medians of {RUNS}, contenders in turn; ratio: to the first")
    table(
        f"{PRODUCERS} producer processes, 1 consumer, u64",
        "M/s",
        {
            "batches of 64": partial(batches, 64),
            "batches of 1,024": partial(batches, 1024),
            "batches of 64, the order checked, too": partial(batches, 64, ordered=True),
        },
    )
    table(
        "frames of 64 KiB, 1 and 1",
        "GB/s",
        {
            "memcpy, one copy": memcpy,
            "bchan, copied in and out": frames_copied,
            "bchan, in place on both sides": frames_in_place,
        },
    )
    table(
        "round trip of an integer",
        "us",
        {
            "multiprocessing.Pipe": round_trip_of_a_pipe,
            "bare futex": round_trip_of_a_futex,
            "bchan, as it is": partial(round_trip_of_channels, bchan.Tuning()),
            "bchan, parking at once": partial(round_trip_of_channels, bchan.Tuning(spin=0)),
            "bchan, spinning": partial(
                round_trip_of_channels, bchan.Tuning(spin=1, adaptive=False)
            ),
        },
    )
    print("\nall that was sent arrived, once and in order")


if __name__ == "__main__":
    main()
