"""A thread that selects, woken by a message: by futexes, and by the eventfd that stands in.

One thread sends to several channels in turn and waits for the answer of another, which selects over
them all. Both ways take turns; each answer is checked.

    python bench/programs/selecting.py
"""

import threading
import time
from contextlib import suppress
from statistics import median

import bchan
import effort
from bchan import _core, _selecting
from bchan_bench.machine import this_machine

RUNS = effort.runs(7)
ROUNDS = effort.count(5000)
CHANNELS = (2, 16)


def run(channels: int, most_cases: int) -> tuple[float, float]:
    """Microseconds of one round, and of CPU for it."""
    setattr(_selecting, "MOST_CASES", most_cases)  # noqa: B010
    calls = [bchan.Channel() for _ in range(channels)]
    answers = bchan.Channel()

    def answer() -> None:
        for _ in range(ROUNDS):
            answers.send(bchan.select(calls).item)

    thread = threading.Thread(target=answer)
    thread.start()
    start, cpu = time.perf_counter(), time.process_time()
    for n in range(ROUNDS):
        calls[n % channels].send(n)
        if (got := answers.receive()) != n:
            raise SystemExit(f"{n} was sent, {got} came back")
    took = time.perf_counter() - start, time.process_time() - cpu
    thread.join()
    return took[0] / ROUNDS * 1e6, took[1] / ROUNDS * 1e6


def main() -> None:
    """Measure and print."""
    print(*this_machine().lines, sep="\n")
    print(f"µs of a round, and of CPU for it: medians of {RUNS} runs in turn, least to most\n")
    for channels in CHANNELS:
        ways = {"futex_waitv": _core.MOST_CASES, "eventfd": 0}
        figures = [{way: run(channels, most) for way, most in ways.items()} for _ in range(RUNS)]
        for way in ways:
            rounds, cpus = zip(*(figure[way] for figure in figures), strict=True)
            spreads = [f"{median(of):6.1f} ({min(of):.1f}-{max(of):.1f})" for of in (rounds, cpus)]
            print(f"{channels:3} channels, {way:12}", *(f"{spread:24}" for spread in spreads))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
