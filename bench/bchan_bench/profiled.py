"""What `bchan profile` looks at: verified runs of a case, one after the other, for some seconds.

python -m bchan_bench.profiled mpsc batch 10
"""

import sys
from dataclasses import replace
from time import monotonic
from typing import cast

from bchan_bench.settings import Item, Mode, Settings, settings_for
from bchan_bench.throughput import run_channel

BATCH = 64

# Mode, producers, consumers of the benchmarks of these names.
CASES: dict[str, tuple[Mode, int, int]] = {
    "mpsc": ("mpsc", 4, 1),
    "spsc": ("spsc", 1, 1),
    "vyukov": ("mpmc", 4, 4),
}


def settings_of(case: str, item: Item) -> Settings:
    """As the benchmark's own, but for shorter runs, so that one ends soon after its time."""
    settings = settings_for(*CASES[case], item, 1 if item == "single" else BATCH)
    return replace(settings, messages=settings.messages // 20)


def run_for(settings: Settings, seconds: float) -> None:
    """Make at least one run, and no further one once the time is up."""
    end = monotonic() + seconds
    run_channel(settings)
    while monotonic() < end:
        run_channel(settings)


if __name__ == "__main__":
    case, item, seconds = sys.argv[1:]
    run_for(settings_of(case, cast("Item", item)), float(seconds))
