"""Storms, one after the other: see `tests.finalizers`."""

import os
import random
import time

import pytest

from tests.finalizers import leaving_all_else_out, weather
from tests.payloads import PAYLOADS

SECONDS = float(os.environ.get("BCHAN_SOAK_SECONDS", "5"))
SEED = int(os.environ.get("BCHAN_SEED", os.getpid()))

_quick = pytest.fixture(autouse=True)(leaving_all_else_out)


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 120)
def test_calls_out_of_finalizers_lose_double_and_overwrite_nothing() -> None:
    end, seed, calls = time.monotonic() + SECONDS, SEED, 0
    while seed == SEED or time.monotonic() < end:
        rng = random.Random(seed)
        shared = rng.random() < 0.5
        payload = rng.choice([it for it in PAYLOADS if it.goes(shared)])
        mode = rng.choice(["spsc", "mpsc", "spmc", "mpmc"])
        calls += weather(payload, mode, shared, seed, rng.randrange(20, 200))
        seed += 1
    print(f"finalizers: {seed - SEED} rounds of {calls} calls, BCHAN_SEED={SEED}")
