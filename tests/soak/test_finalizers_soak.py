"""Storms, one after the other: see `tests.finalizers`."""

import pytest

from tests.finalizers import leaving_all_else_out, weather
from tests.payloads import PAYLOADS
from tests.soak.rounds import SECONDS, rounds

_quick = pytest.fixture(autouse=True)(leaving_all_else_out)


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 120)
def test_calls_out_of_finalizers_lose_double_and_overwrite_nothing() -> None:
    for rng in rounds("calls out of finalizers"):
        shared = rng.random() < 0.5
        payload = rng.choice([it for it in PAYLOADS if it.goes(shared)])
        mode = rng.choice(["spsc", "mpsc", "spmc", "mpmc"])
        weather(payload, mode, shared, rng.randrange(1 << 32), rng.randrange(20, 200))
