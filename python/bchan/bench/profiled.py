"""What `bchan profile` looks at: verified runs of a case, one after the other, for some seconds.

python -m bchan.bench.profiled mpsc batch 10
"""

import sys
from time import monotonic
from typing import cast

from bchan.bench.settings import Item, Mode, Settings, default_buffer, default_messages
from bchan.bench.throughput import run_channel

CAPACITY, BATCH = 65_536, 64

# Mode, producers, consumers of the benchmarks of these names.
CASES: dict[str, tuple[Mode, int, int]] = {
    "mpsc": ("mpsc", 4, 1),
    "spsc": ("spsc", 1, 1),
    "vyukov": ("mpmc", 4, 4),
}


def settings_of(case: str, item: Item) -> Settings:
    """As the benchmark's own, but for shorter runs, so that one ends soon after its time."""
    mode, producers, consumers = CASES[case]
    batch = 1 if item == "single" else BATCH
    return Settings(
        mode=mode,
        item=item,
        producers=producers,
        consumers=consumers,
        batch=batch,
        capacity=CAPACITY,
        buffer=default_buffer(item, CAPACITY),
        messages=default_messages(item, batch) // 20,
        runs=1,
    )


def run_for(settings: Settings, seconds: float) -> None:
    """Make at least one run, and no further one once the time is up."""
    end = monotonic() + seconds
    run_channel(settings)
    while monotonic() < end:
        run_channel(settings)


if __name__ == "__main__":
    case, item, seconds = sys.argv[1:]
    run_for(settings_of(case, cast("Item", item)), float(seconds))
