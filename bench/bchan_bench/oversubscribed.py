"""More threads than cores, and all of them on one CPU: nobody starves, nothing stands still."""

import os
import sys
from collections.abc import Sequence

from bchan.affinity import pinned
from bchan_bench.adapting import adapted_all
from bchan_bench.case import Case, Run, take_turns
from bchan_bench.progress import Progress
from bchan_bench.sections import Section
from bchan_bench.settings import BATCH_BUFFER, Mode, Settings
from bchan_bench.throughput import run_channel

NAME = "oversubscribed"
SECONDS = 0.4  # of a run

# Mode, producers, consumers.
CROWDS: tuple[tuple[Mode, int, int], ...] = (
    ("mpsc", 4, 1),
    ("mpsc", 16, 1),
    ("mpsc", 64, 1),
    ("mpmc", 16, 16),
    ("mpmc", 64, 64),
)


def measure(
    runs: int,
    progress: Progress,
    *,
    seconds: float = SECONDS,
    crowds: Sequence[tuple[Mode, int, int]] = CROWDS,
) -> Section:
    """Measure every crowd on all CPUs, and on one.

    Args:
        runs: How often.
        progress: Told before each run.
        seconds: About how long a run takes.
        crowds: Mode, producers and consumers of each case.

    Raises:
        MismatchError: What arrived is not what was sent.
        TimeoutError: A run stood still.
    """
    settings = [_settings(*crowd, runs) for crowd in crowds]
    cases = [Case(f"{one.label}, all CPUs", one, run_channel) for one in settings]
    if sys.platform == "linux":
        cases += [Case(f"{one.label}, one CPU", one, run_on_one_cpu) for one in settings]
    return Section(
        NAME,
        "More threads than cores",
        (
            "one CPU: all threads are kept on the same one, as by taskset",
            f"capacity {settings[0].capacity:,}; a run takes about {seconds:g} s, and twice round "
            "each ring at least; count and checksum of all that arrived are checked",
        ),
        take_turns(adapted_all(cases, seconds, progress), progress),
    )


def run_on_one_cpu(settings: Settings) -> Run:
    """Make a run with all threads on the first CPU that this one may use.

    Raises:
        MismatchError: What arrived is not what was sent.
        TimeoutError: Nothing arrived for a minute.
    """
    with pinned(min(os.sched_getaffinity(0))):
        return run_channel(settings)


def _settings(mode: Mode, producers: int, consumers: int, runs: int) -> Settings:
    return Settings(
        mode=mode,
        item="batch",
        producers=producers,
        consumers=consumers,
        batch=64,
        capacity=65_536,
        buffer=BATCH_BUFFER // consumers,
        messages=producers,  # adapted before it is measured
        runs=runs,
    )
