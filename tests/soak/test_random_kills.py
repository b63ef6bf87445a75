"""A producer's process is killed within its first two seconds, at any moment: the channel ends.

`BCHAN_SOAK_ROUNDS` says how often for each start method, `BCHAN_SEED` with which moments.
"""

import multiprocessing as mp
import os
import random
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bchan import Channel, EndOfChannel
from tests.soak.rounds import rounds
from tests.support import DEADLINE

ROUNDS = int(os.environ.get("BCHAN_SOAK_ROUNDS", "5"))
SEED = int(os.environ.get("BCHAN_SEED", str(random.SystemRandom().randrange(2**32))))
AT_ONCE = 8
LATEST = 2.0
"""Seconds until the latest kill."""
KINDS: list[tuple[Any, Any]] = [("u8", 7), (bytes, b"seven"), (object, ["seven", 7])]

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="shared channels need Linux"),
    pytest.mark.timeout(0),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning"),
]
METHODS = ["spawn", "forkserver", "fork"]
_starting = threading.Lock()


def send_on(tx: Any, item: object) -> None:
    with tx:
        while True:
            tx.send(item)
            time.sleep(0.001)


def one_kill(ctx: Any, seed: int, number: int) -> bool:
    """Start, kill, and see the end; tells whether the producer had come to send."""
    moment = random.Random(seed + number).uniform(0, LATEST)
    dtype, item = KINDS[number % len(KINDS)]
    ch = Channel(dtype, 64, ("spsc", "mpsc", "spmc", "mpmc")[number % 4], shared=True)
    rx: Any = ch.consumer()
    kept = [ch.producer()]
    # As the docs show it, and with the handle kept by its maker.
    args = (kept[0] if number % 2 else kept.pop(), item)
    process = ctx.Process(target=send_on, args=args)
    del args
    with _starting:
        process.start()
    timer = threading.Timer(moment, process.kill)
    timer.start()
    n = 0
    for _ in iter(lambda: _next(rx, item), False):
        n += 1
    process.join(DEADLINE)
    timer.join()
    assert process.exitcode == -signal.SIGKILL, "it lost its handle while it lived"
    assert ch.active_producers == 0
    return n > 0


def _next(rx: Any, item: object) -> bool:
    try:
        assert rx.receive(timeout=LATEST + DEADLINE) == item
    except EndOfChannel:
        return False
    return True


def kill(method: str, count: int, seed: int) -> int:
    """As many kills, several at once; how many producers had come to send."""
    ctx = mp.get_context(method)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return sum(threads.map(lambda number: one_kill(ctx, seed, number), range(count)))


@pytest.mark.parametrize("method", METHODS)
def test_a_producer_that_is_killed_at_any_moment_ends_its_channel(method: str) -> None:
    came = kill(method, ROUNDS, SEED)
    print(f"{method}: {ROUNDS} clean ends, {came} after a message came; BCHAN_SEED={SEED}")


@pytest.mark.soak
@pytest.mark.parametrize("method", METHODS)
def test_producers_are_killed_at_any_moment_until_the_time_is_over(method: str) -> None:
    for chance in rounds(f"kills of producers, {method}"):
        kill(method, AT_ONCE, chance.randrange(2**32))
