"""How long a soak test goes on, and where it says what it did.

`BCHAN_SOAK_SECONDS` is the time for each test, `BCHAN_SEED` the first seed: that of a round that
failed repeats it. `BCHAN_SOAK_SUMMARY` names a file that gets a line for each test.
"""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

SECONDS = float(os.environ.get("BCHAN_SOAK_SECONDS", "5"))
SEED = int(os.environ.get("BCHAN_SEED", os.getpid()))


def rounds(kind: str) -> Iterator[random.Random]:
    """Give each round its random numbers, until the time is over; one round at least."""
    end, seed = time.monotonic() + SECONDS, SEED
    while seed == SEED or time.monotonic() < end:
        print(f"{kind}: BCHAN_SEED={seed}")
        yield random.Random(seed)
        seed += 1
    report(kind, seed - SEED)


def report(kind: str, done: int) -> None:
    """Say how many rounds there were."""
    print(f"{kind}: {done} rounds")
    if summary := os.environ.get("BCHAN_SOAK_SUMMARY"):
        with Path(summary).open("a") as file:
            file.write(f"{kind}\t{done}\n")
