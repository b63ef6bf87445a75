"""Tuning: checked, carried to where it is used, and the promises stay whatever it says."""

import multiprocessing as mp
import sys
import threading
import time
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

import bchan
from bchan import Tuning
from tests.support import DEADLINE

PRESETS = {
    "default": Tuning(),
    "low latency": Tuning.low_latency(),
    "throughput": Tuning.throughput(),
    "energy": Tuning.energy(),
    "never parks": Tuning(park=False),
}


@pytest.mark.parametrize(
    ("field", "value", "error", "says"),
    [
        ("spin", -1e-9, ValueError, "at least 0 and at most 1 second, got -1e-09"),
        ("spin", 1.5, ValueError, "got 1.5"),
        ("spin", float("nan"), ValueError, "got nan"),
        ("spin", "1", TypeError, "spin must be a number of seconds, got '1'"),
        ("adaptive", 1, TypeError, "adaptive must be True or False, got 1"),
        ("park", None, TypeError, "park must be True or False, got None"),
        ("wake", "never", ValueError, "'at once' or 'half drained', got 'never'"),
        ("capacity", 0, ValueError, "capacity must be at least 1"),
        ("capacity", 1.5, TypeError, "capacity must be an integer, got 1.5"),
        ("batch", 0, ValueError, "batch must be at least 1"),
    ],
)
def test_what_is_wrong_is_named(
    field: str, value: object, error: type[Exception], says: str
) -> None:
    wrong: dict[str, Any] = {field: value}
    with pytest.raises(error, match=says):
        Tuning(**wrong)


def test_only_a_tuning_is_taken() -> None:
    with pytest.raises(TypeError, match=r"tuning must be a bchan\.Tuning, got 'fast'"):
        bchan.Channel(tuning="fast")  # type: ignore[call-overload]


def test_capacity_is_the_tunings_unless_it_is_given() -> None:
    tuning = Tuning(capacity=256)
    assert bchan.Channel(tuning=tuning).capacity == 256
    assert bchan.Channel(capacity=8, tuning=tuning).capacity == 8
    assert bchan.Channel().capacity == 1024
    with pytest.raises(ValueError, match="got 0"):
        bchan.Channel(capacity=0, tuning=tuning)


@pytest.mark.parametrize("tuning", PRESETS.values(), ids=PRESETS)
@pytest.mark.parametrize("mode", ["spsc", "mpsc", "spmc", "mpmc"])
@pytest.mark.parametrize("dtype", ["u8", object, bytes])
def test_all_arrive_in_order_and_the_end_comes(mode: Any, dtype: Any, tuning: Tuning) -> None:
    ch = bchan.Channel(dtype, 16, mode, tuning=tuning)
    items: list[Any] = [str(i).encode() for i in range(500)] if dtype is bytes else [*range(500)]

    def produce(tx: Any) -> None:
        with tx:
            for item in items:
                tx.send(item, timeout=DEADLINE)

    producer = threading.Thread(target=produce, args=(ch.producer(),))
    with ch.consumer() as rx:
        producer.start()
        assert list(rx) == items
    producer.join()
    if not tuning.park:
        assert ch.stats().waits == 0


@pytest.mark.parametrize("tuning", PRESETS.values(), ids=PRESETS)
def test_timeouts_hold(tuning: Tuning) -> None:
    ch = bchan.Channel("u8", 1, "spsc", tuning=tuning)
    with ch.producer() as tx, ch.consumer() as rx:
        start = time.monotonic()
        with pytest.raises(TimeoutError):
            rx.receive(timeout=0.02)
        tx.send(1)
        with pytest.raises(TimeoutError):
            tx.send(2, timeout=0.02)
        assert 0.04 <= time.monotonic() - start < DEADLINE


def test_who_never_parks_lets_other_threads_of_python_run() -> None:
    ch = bchan.Channel("u8", 1, "spsc", tuning=Tuning(park=False))
    with ch.producer() as tx, ch.consumer() as rx:
        waiting = threading.Thread(target=rx.receive)
        waiting.start()
        # Would stand still if the GIL were held.
        assert sum(range(10**6)) == 499999500000
        tx.send(1)
        waiting.join(DEADLINE)
        assert not waiting.is_alive()


def test_producer_goes_on_although_half_the_ring_is_never_drained() -> None:
    ch = bchan.Channel("u8", 64, "spsc", tuning=Tuning(spin=0, wake="half drained"))
    with ch.producer() as tx, ch.consumer() as rx:
        tx.send_batch(np.arange(64, dtype="u8"))
        sender = threading.Thread(target=tx.send, args=(64,))
        sender.start()
        while ch.stats().waits == 0:
            time.sleep(0)
        assert rx.receive() == 0
        sender.join(DEADLINE)
        assert not sender.is_alive()


def _tuning_of(ch: Any, answer: Any) -> None:
    answer.send(asdict(ch.tuning))


@pytest.mark.skipif(sys.platform != "linux", reason="shared channels need Linux")
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_other_processes_wait_as_the_maker_said(start: str) -> None:
    ctx: Any = mp.get_context(start)
    tuning = Tuning(spin=np.float64(3e-6), wake="at once", batch=np.int64(7))  # type: ignore[arg-type]
    ch = bchan.Channel("u8", shared=True, tuning=tuning)
    here, there = ctx.Pipe()
    process = ctx.Process(target=_tuning_of, args=(ch, there))
    process.start()
    assert here.recv() == asdict(tuning)
    process.join(DEADLINE)
    assert process.exitcode == 0
