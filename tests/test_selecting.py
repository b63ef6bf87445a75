"""select: exactly one of several operations, fairly, without polling."""

import asyncio
import itertools
import math
import random
import threading
import time
from collections import Counter
from typing import Any

import pytest

from bchan import Channel, Closed, EndOfChannel, after, aselect, select, tick
from tests.support import DEADLINE, Task


def test_the_one_that_is_ready_is_done_and_no_other() -> None:
    first, second, full = Channel(), Channel(), Channel(capacity=1)
    full.send("old")
    second.send("hello")
    who, item = select([first, second, (full, "new")])
    assert (who, item) == (second, "hello")
    assert (len(first), len(second), len(full)) == (0, 0, 1)
    full.receive()
    assert select([first, second, (full, "new")]) == (full, "new")
    assert full.receive() == "new"


def test_a_case_that_becomes_ready_ends_the_waiting() -> None:
    for mode in ("spsc", "mpsc", "spmc", "mpmc"):
        channels = [Channel(mode=mode) for _ in range(3)]
        consumers = [ch.consumer() for ch in channels]
        selecting = Task(lambda: select(consumers, timeout=DEADLINE))  # noqa: B023
        time.sleep(0.01)
        channels[1].producer().send("x")
        who, item = selecting.result()
        assert (who, item) == (consumers[1], "x")


def test_space_that_comes_ends_the_waiting() -> None:
    ch = Channel("u4", capacity=1, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    tx.send(1)
    selecting = Task(lambda: select([(tx, 2)], timeout=DEADLINE))
    time.sleep(0.01)
    assert rx.receive() == 1
    assert selecting.result() == (tx, 2)
    assert rx.receive() == 2


def test_of_several_that_are_ready_each_gets_its_turn() -> None:
    channels = [Channel(capacity=4096) for _ in range(3)]
    for ch in channels:
        ch.send_batch(range(1000))
    done = Counter(id(select(channels).who) for _ in range(900))
    assert min(done[id(ch)] for ch in channels) > 200


@pytest.mark.parametrize("timeout", [0, 0.02])
def test_a_timeout_does_nothing(timeout: float) -> None:
    ch, full = Channel(), Channel(capacity=1)
    full.send(1)
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=f"after {timeout} s"):
        select([ch, (full, 2)], timeout=timeout)
    assert time.monotonic() - start >= timeout
    ch.send("later")
    assert (ch.receive(), full.receive(), len(full)) == ("later", 1, 0)


def test_the_end_and_closing_name_their_handle() -> None:
    ended, other, closed = Channel(mode="mpsc"), Channel(), Channel()
    ended.producer().close()
    rx = ended.consumer()
    with pytest.raises(EndOfChannel) as end:
        select([rx, other])
    assert end.value.who is rx  # type: ignore[attr-defined]
    closed.close()
    with pytest.raises(Closed) as refused:
        select([(closed, 1), other])
    assert refused.value.who is closed  # type: ignore[attr-defined]


def test_closing_wakes_a_select() -> None:
    ch, other = Channel(), Channel()
    selecting = Task(lambda: select([ch, other], timeout=DEADLINE))
    time.sleep(0.02)
    ch.close()
    with pytest.raises(EndOfChannel):
        selecting.result()


@pytest.mark.parametrize(
    ("cases", "error", "match"),
    [
        ([], ValueError, "at least 1"),
        ([5], TypeError, "got 5"),
        ([("x", 1)], TypeError, "pair"),
        ([Channel(mode="mpsc")], RuntimeError, "mpmc"),
    ],
)
def test_what_cannot_be_selected_is_refused(cases: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        select(cases, timeout=0)


@pytest.mark.parametrize("timeout", [-1, math.nan])
def test_a_bad_timeout_is_refused(timeout: float) -> None:
    with pytest.raises(ValueError, match=f"at least 0 seconds, got {timeout}"):
        select([Channel()], timeout=timeout)


def test_an_idle_select_uses_no_cpu() -> None:
    channels = [Channel() for _ in range(10)]
    before = time.thread_time()
    with pytest.raises(TimeoutError):
        select(channels, timeout=0.5)
    assert time.thread_time() - before < 0.02


def test_many_selects_over_the_same_channels_lose_nothing() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    channels = [Channel(capacity=4) for _ in range(3)]
    count, lock, seen = 1500, threading.Lock(), []

    def receive() -> None:
        while True:
            _, item = select(channels, timeout=DEADLINE)
            if item is None:
                return
            with lock:
                seen.append(item)

    receivers = [Task(receive) for _ in range(3)]
    rng = random.Random(seed)
    for n in range(count):
        select([(rng.choice(channels), n)], timeout=DEADLINE)
    for _ in receivers:
        select([(channels[0], None)], timeout=DEADLINE)
    for receiver in receivers:
        receiver.result()
    # Who got None stopped; what lay in the other channels then is still there.
    left = [ch.try_receive() for ch in channels for _ in range(len(ch))]
    assert sorted(seen + left) == list(range(count))


def test_after_comes_once() -> None:
    late = after(0.02)
    start = time.monotonic()
    who, moment = select([Channel(), late])
    assert who is late
    assert time.monotonic() - start >= 0.02
    assert abs(moment - start - 0.02) < 0.02
    for receive in (late.receive, late.try_receive):
        with pytest.raises(EndOfChannel):
            receive()


def test_tick_keeps_its_pace_and_leaves_out_what_nobody_received() -> None:
    ticks = tick(0.02)
    moments = [select([Channel(), ticks]).item for _ in range(3)]
    assert [b - a for a, b in itertools.pairwise(moments)] == pytest.approx([0.02] * 2)
    time.sleep(0.1)
    ticks.receive()
    assert ticks.receive() - ticks.receive() == pytest.approx(-0.02)


@pytest.mark.parametrize("make", [after, tick])
@pytest.mark.parametrize("seconds", [-1, math.nan])
def test_bad_seconds_are_refused(make: Any, seconds: float) -> None:
    with pytest.raises(ValueError, match=f"got {seconds}"):
        make(seconds)
    with pytest.raises(ValueError, match="at least 1e-09, got 0"):
        tick(0)


def test_a_month_is_not_too_long() -> None:
    ch = Channel()
    selecting = Task(lambda: select([ch, after(1e300), after(math.inf)], timeout=1e300))
    time.sleep(0.01)
    ch.send("now")
    assert selecting.result() == (ch, "now")


def test_timers_wait_for_themselves() -> None:
    with pytest.raises(TimeoutError):
        after(5).receive(timeout=0.01)
    assert after(0.01).receive() <= time.monotonic()
    assert asyncio.run(after(0.01).areceive()) <= time.monotonic()


def test_select_in_a_loop() -> None:
    async def main() -> None:
        first, second = Channel(), Channel(capacity=1)
        second.send("full")
        selecting = asyncio.create_task(aselect([first, (second, "x"), after(DEADLINE)]))
        await asyncio.sleep(0.01)
        assert not selecting.done()
        Task(lambda: first.send("hello")).result()
        assert await selecting == (first, "hello")
        late = after(0.01)
        assert (await aselect([first, late])).who is late

    asyncio.run(main())


def test_a_cancelled_select_takes_nothing() -> None:
    async def main() -> None:
        for n in range(200):
            channels = [Channel(), Channel()]
            selecting = asyncio.create_task(aselect(channels))
            await asyncio.sleep(0)
            channels[n % 2].send(n)
            selecting.cancel()
            outcome = await asyncio.gather(selecting, return_exceptions=True)
            left = sum(len(ch) for ch in channels)
            assert left == isinstance(outcome[0], asyncio.CancelledError)

    asyncio.run(main())
