"""select: exactly one of several operations, fairly, without polling."""

import asyncio
import gc
import itertools
import math
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, cast

import pytest

from bchan import (
    Channel,
    Closed,
    Consumer,
    EndOfChannel,
    Producer,
    _selecting,
    after,
    aselect,
    select,
    tick,
)
from bchan._core import MOST_CASES
from tests.support import DEADLINE, Task, until, until_interruptible, until_parked


@pytest.fixture(params=["futexes", "eventfd"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How a select sleeps."""
    if request.param == "eventfd":
        monkeypatch.setattr(_selecting, "MOST_CASES", 0)
    elif MOST_CASES == 0:
        pytest.skip("this system has no futex_waitv")
    return str(request.param)


both_ways = pytest.mark.usefixtures("way")
needs_futexes = pytest.mark.skipif(MOST_CASES == 0, reason="this system has no futex_waitv")


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


@both_ways
def test_a_case_that_becomes_ready_ends_the_waiting() -> None:
    for mode in ("spsc", "mpsc", "spmc", "mpmc"):
        channels = [Channel(mode=mode) for _ in range(3)]
        consumers = [ch.consumer() for ch in channels]
        selecting = Task(lambda: select(consumers, timeout=DEADLINE))  # noqa: B023
        time.sleep(0.01)
        channels[1].producer().send("x")
        who, item = selecting.result()
        assert (who, item) == (consumers[1], "x")


@both_ways
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


@both_ways
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


@both_ways
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
        ([5], TypeError, "got 5"),
        ([("x", 1)], TypeError, "pair"),
        ([Channel(mode="mpsc")], RuntimeError, "mpmc"),
    ],
)
def test_what_cannot_be_selected_is_refused(cases: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        select(cases, timeout=0)


@pytest.mark.parametrize("timeout", [0, 0.02])
def test_no_cases_time_out_as_others_do(timeout: float) -> None:
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=f"after {timeout} s"):
        select([], timeout=timeout)
    assert time.monotonic() - start >= timeout


def test_no_cases_and_no_timeout_would_wait_for_ever_and_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 unless there is a timeout"):
        select([])
    with pytest.raises(ValueError, match="at least 1 unless there is a timeout"):
        asyncio.run(aselect([]))


def chi_square(counts: Sequence[int]) -> float:
    expected = sum(counts) / len(counts)
    return sum((count - expected) ** 2 / expected for count in counts)


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("dtype", ["O", "u8", bytes])
@pytest.mark.parametrize("in_a_loop", [False, True])
@pytest.mark.parametrize("idle", [(0, 0), (62, 0), (3, 30)])
def test_each_case_that_is_ready_is_as_likely_as_the_others(
    idle: tuple[int, int], in_a_loop: bool, dtype: Any, waits: bool
) -> None:
    item: Any = b"x" if dtype is bytes else 1
    ready = [Channel(dtype, capacity=4096, mode=mode) for mode in ("mpmc", "spsc", "mpmc")]
    txs = [ch.producer() for ch in ready]
    rxs = [ready[0], ready[1].consumer(), ready[2]]
    for tx in txs:
        for _ in range(2000):
            tx.send(item)
    before, between = ([Channel(dtype) for _ in range(n)] for n in idle)
    # Three receivers, and a sender that always has room.
    cases: list[Any] = [*before, rxs[0], *between, *rxs[1:], (Channel(dtype, 4096), item)]
    places = {id(case[0] if isinstance(case, tuple) else case): n for n, case in enumerate(cases)}
    if waits:
        cases.append(after(DEADLINE))

    async def select_in_a_loop() -> Counter[int]:
        return Counter([places[id((await aselect(cases)).who)] for _ in range(1200)])

    if in_a_loop:
        chosen = asyncio.run(select_in_a_loop())
    else:
        chosen = Counter(places[id(select(cases).who)] for _ in range(1200))
    assert len(chosen) == 4
    # Three degrees of freedom: one in a million is beyond 30.7.
    assert chi_square(list(chosen.values())) < 30.7, chosen


@both_ways
def test_cases_that_become_ready_together_are_equally_likely() -> None:
    chosen: Counter[int] = Counter()
    for _ in range(400):
        channels = [Channel("u4") for _ in range(2)]
        go = Channel("u4")

        def work(channels: list[Any] = channels, go: Any = go) -> int:
            # Asleep at all three; both others are ready when it has been woken by the third.
            select([go, after(DEADLINE)])
            return channels.index(select(channels, timeout=DEADLINE).who)

        selecting = Task(work)
        for ch in channels:
            ch.send(1)
        go.send(1)
        chosen[selecting.result()] += 1
    assert chi_square([chosen[0], chosen[1]]) < 23.9, chosen  # one in a million


@pytest.mark.parametrize("timeout", [-1, math.nan])
def test_a_bad_timeout_is_refused(timeout: float) -> None:
    with pytest.raises(ValueError, match=f"at least 0 seconds, got {timeout}"):
        select([Channel()], timeout=timeout)


@both_ways
def test_an_idle_select_uses_no_cpu() -> None:
    channels = [Channel() for _ in range(10)]
    before = time.thread_time()
    with pytest.raises(TimeoutError):
        select(channels, timeout=0.5)
    assert time.thread_time() - before < 0.02


@both_ways
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


@both_ways
def test_after_comes_once() -> None:
    start = time.monotonic()
    late = after(0.02)
    made = time.monotonic()
    who, moment = select([Channel(), late])
    assert who is late
    assert time.monotonic() - start >= 0.02
    assert start + 0.02 <= moment <= made + 0.02
    for receive in (late.receive, late.try_receive):
        with pytest.raises(EndOfChannel):
            receive()


@both_ways
def test_tick_keeps_its_pace_and_leaves_out_what_nobody_received() -> None:
    ticks = tick(0.02)
    moments = [select([Channel(), ticks]).item for _ in range(3)]
    paces = [(b - a) / 0.02 for a, b in itertools.pairwise(moments)]
    # More than one where the machine was busy meanwhile: what nobody received in time is left out.
    assert paces == pytest.approx([max(round(pace), 1) for pace in paces])
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


@both_ways
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


@pytest.fixture
def no_eventfd(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> int:
        raise AssertionError("an eventfd is made")

    monkeypatch.setattr(os, "eventfd", refuse)


@needs_futexes
@pytest.mark.usefixtures("no_eventfd")
def test_a_select_parks_at_all_its_channels_and_costs_one_wake() -> None:
    channels = [Channel("u4", mode=mode) for mode in ("spsc", "mpsc", "spmc", "mpmc")]
    txs = [ch.producer() for ch in channels]
    full = Channel("u4", capacity=1, mode="spsc")
    sender, drainer = full.producer(), full.consumer()
    sender.send(1)
    cases: list[Any] = [*[ch.consumer() for ch in channels[:3]], channels[3], (sender, 2)]
    for place, tx in enumerate(txs):
        before = [ch.stats() for ch in (*channels, full)]
        selecting = Task(lambda: select(cases, timeout=DEADLINE))
        for ch, then in zip((*channels, full), before, strict=True):
            until_parked(ch, then.waits + 1)
        time.sleep(0.01)
        tx.send(7)
        assert selecting.result() == (cases[place], 7)
        for ch, then in zip((*channels, full), before, strict=True):
            now = ch.stats()
            assert now.waits == then.waits + 1
            assert now.wakes == then.wakes + (ch is channels[place])
            assert now.time_parked >= then.time_parked + 0.009
    waits = full.stats().waits
    selecting = Task(lambda: select(cases, timeout=DEADLINE))
    until_parked(full, waits + 1)
    assert drainer.receive() == 1
    assert selecting.result() == (sender, 2)


@needs_futexes
@pytest.mark.usefixtures("no_eventfd")
@pytest.mark.parametrize(("dtype", "shared"), [(bytes, False), (bytes, True), ("O", True)])
def test_a_select_over_messages_of_any_length_parks_at_all_its_channels(
    dtype: Any, shared: bool
) -> None:
    channels = [
        Channel(dtype, mode=mode, capacity=8, shared=shared)
        for mode in ("spsc", "mpsc", "spmc", "mpmc")
    ]
    txs, full = [ch.producer() for ch in channels], Channel(dtype, capacity=4, shared=shared)
    while full.try_send(b""):
        pass
    long = b"x" * 200
    cases: list[Any] = [*[ch.consumer() for ch in channels[:3]], channels[3], (full, long)]
    for place, tx in enumerate(txs):
        before = [ch.stats() for ch in (*channels, full)]
        selecting = Task(lambda: select(cases, timeout=DEADLINE))
        for ch, then in zip((*channels, full), before, strict=True):
            until_parked(ch, then.waits + 1)
        tx.send(b"y")
        assert selecting.result() == (cases[place], b"y")
        for ch, then in zip((*channels, full), before, strict=True):
            assert ch.stats().waits == then.waits + 1
    waits = full.stats().waits
    selecting = Task(lambda: select(cases, timeout=DEADLINE))
    until_parked(full, waits + 1)
    while full.try_receive() is not None:
        pass
    assert selecting.result() == (full, long)
    assert full.receive() == long


@needs_futexes
@pytest.mark.usefixtures("no_eventfd")
def test_of_two_messages_to_one_sender_the_one_that_fits_is_sent() -> None:
    full = Channel(bytes, capacity=4)
    while full.try_send(b""):
        pass
    long, short = b"l" * 200, b"s"
    selecting = Task(lambda: select([(full, long), (full, short)], timeout=DEADLINE))
    until_parked(full, 1)
    full.receive()
    assert selecting.result() == (full, short)


@needs_futexes
@pytest.mark.usefixtures("no_eventfd")
def test_of_several_who_select_a_message_wakes_one() -> None:
    jobs, stop = Channel(), Channel()
    selecting = [Task(lambda: select([jobs, stop], timeout=DEADLINE)) for _ in range(3)]
    until_parked(stop, 3)
    time.sleep(0.02)
    jobs.send("job")
    until(lambda: sum(task.running for task in selecting) == 2)
    assert jobs.stats().wakes == 1
    stop.close()
    outcomes = [_outcome(task) for task in selecting]
    assert sorted(outcomes) == ["EndOfChannel", "EndOfChannel", "job"]


def _outcome(task: Task[Any]) -> str:
    try:
        return str(task.result().item)
    except EndOfChannel:
        return "EndOfChannel"


@pytest.mark.parametrize("count", [128, 129, 300])
def test_any_number_of_cases(count: int, way: str) -> None:
    channels = [Channel("u1", capacity=1) for _ in range(count)]
    for ch in (channels[0], channels[-1]):
        waits = ch.stats().waits
        selecting = Task(lambda: select([*channels, after(DEADLINE)], timeout=DEADLINE))
        if way == "futexes" and count <= 128:
            until_parked(ch, waits + 1)
        else:
            time.sleep(0.02)
        ch.send(5)
        assert selecting.result() == (ch, 5)
        assert (ch.stats().waits > waits) == (way == "futexes" and count <= 128)


@both_ways
def test_one_handle_in_several_cases() -> None:
    ch = Channel(capacity=1, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    selecting = Task(lambda: select([rx, rx], timeout=DEADLINE))
    time.sleep(0.01)
    tx.send("x")
    assert selecting.result() == (rx, "x")
    tx.send("full")
    sending = Task(lambda: select([(tx, 1), (tx, 2)], timeout=DEADLINE))
    time.sleep(0.01)
    assert rx.receive() == "full"
    assert sending.result().item == rx.receive()
    mpmc = Channel()
    selecting_all = Task(lambda: select([mpmc, mpmc.consumer(), mpmc], timeout=DEADLINE))
    time.sleep(0.01)
    mpmc.send("y")
    assert selecting_all.result().item == "y"


@needs_futexes
def test_a_handle_in_use_by_a_select_is_refused_to_others() -> None:
    ch, full, other = Channel("u4", mode="mpsc"), Channel("u4", capacity=1, mode="spsc"), Channel()
    rx, tx, feeder = ch.consumer(), full.producer(), ch.producer()
    tx.send(1)
    selecting = Task(lambda: select([rx, (tx, 2), other], timeout=DEADLINE))
    until_parked(ch)
    uses: list[Callable[[], object]] = [
        rx.try_receive,
        lambda: tx.try_send(3),
        lambda: select([rx], timeout=0.1),
        lambda: select([other, (tx, 2)], timeout=0.1),
    ]
    for use in uses:
        with pytest.raises(RuntimeError, match="in use by another thread"):
            use()
    assert other.try_receive() is None
    feeder.send(9)
    assert selecting.result() == (rx, 9)
    with full.consumer() as first:
        assert first.receive() == 1
        assert tx.try_send(3)


@both_ways
def test_what_is_waited_for_lives_on_when_all_others_let_go_of_it() -> None:
    channels = [Channel("u4", mode=mode) for mode in ("mpsc", "mpmc")]
    rxs, txs = [ch.consumer() for ch in channels], [ch.producer() for ch in channels]
    selecting = Task(lambda rxs=rxs: select(rxs, timeout=DEADLINE).item)  # type: ignore[misc]
    time.sleep(0.02)
    del rxs, channels
    txs.pop()
    gc.collect()
    with pytest.raises(EndOfChannel):
        selecting.result()


@contextmanager
def signal_when_parked(ch: Channel, number: int, way: str) -> Iterator[None]:
    """A signal reaches the main thread once it sleeps."""

    def press() -> None:
        if way == "futexes":
            until_parked(ch)
        until_interruptible()
        os.kill(os.getpid(), number)

    pressing = Task(press)
    yield
    pressing.result()


def test_ctrl_c_interrupts_a_select_and_loses_nothing(way: str) -> None:
    shared, ch = Channel(), Channel(mode="mpsc")
    rx = ch.consumer()
    with pytest.raises(KeyboardInterrupt), signal_when_parked(shared, signal.SIGINT, way):
        select([shared, rx], timeout=DEADLINE)
    for who, send in ((shared, shared.send), (rx, ch.producer().send)):
        send("x")
        assert select([shared, rx]) == (who, "x")


def test_a_signal_handler_may_use_the_channel_that_is_selected(way: str) -> None:
    ch, other = Channel(), Channel()
    before = signal.signal(signal.SIGUSR1, lambda *_: ch.send("from the handler"))
    try:
        with signal_when_parked(ch, signal.SIGUSR1, way):
            assert select([other, ch], timeout=DEADLINE) == (ch, "from the handler")
    finally:
        signal.signal(signal.SIGUSR1, before)


@needs_futexes
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_fork_in_a_signal_handler_does_not_let_the_child_select_on() -> None:
    ch, other = Channel("u8", mode="spsc"), Channel()
    tx, rx = ch.producer(), ch.consumer()
    children: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: children.append(os.fork()))

    def feed() -> None:
        until(lambda: bool(children))
        tx.send(1)

    feeding = Task(feed)
    try:
        with signal_when_parked(ch, signal.SIGUSR1, "futexes"):
            assert select([other, rx], timeout=DEADLINE) == (rx, 1)
    except RuntimeError as refused:
        os._exit("came through a fork" not in str(refused))  # this is the child
    finally:
        signal.signal(signal.SIGUSR1, before)
    feeding.result()
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0


class FussyError(Exception):
    pass


class Fussy:
    """A number that can't be read when it matters."""

    def __init__(self, readable: int) -> None:
        self.readable = readable

    def __index__(self) -> int:
        self.readable -= 1
        if self.readable < 0:
            raise FussyError
        return 7


def test_a_select_that_fails_after_its_wake_up_leaves_it_to_another(way: str) -> None:
    full = Channel("u4", capacity=1)
    full.send(1)
    # Whether there is space is asked after the item was read.
    failing = Task(lambda: select([(full, Fussy(1))], timeout=DEADLINE))
    until_parked(full) if way == "futexes" else time.sleep(0.02)
    time.sleep(0.02)
    waits = full.stats().waits
    sending = Task(lambda: full.send(2))
    until_parked(full, waits + 1)
    time.sleep(0.02)
    assert full.receive() == 1
    with pytest.raises(FussyError):
        failing.result()
    sending.result()
    assert full.receive() == 2


@both_ways
@pytest.mark.parametrize("dtype", ["u8", object])
def test_selects_and_plain_calls_on_the_same_channels_lose_nothing(dtype: Any) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    channels = [Channel(dtype, capacity=2) for _ in range(3)]
    lanes = Channel(dtype, capacity=2, mode="mpsc", max_producers=2)
    count = 3000

    def receive_any(rx: Consumer | None) -> list[int]:
        seen: list[int] = []
        alive: list[Any] = [*channels, *([] if rx is None else [rx])]
        while alive:
            try:
                seen.append(select(alive, timeout=DEADLINE).item)
            except EndOfChannel as end:
                alive.remove(end.who)  # type: ignore[attr-defined]
        return seen

    def receive_one(ch: Channel) -> list[int]:
        return list(ch.consumer())

    def send(first: int, tx: Producer, how: random.Random) -> None:
        with tx:
            for n in range(first, first + count):
                targets: list[Any] = [(ch, n) for ch in how.sample(channels, 2)]
                select([*targets, (tx, n)], timeout=DEADLINE)

    receivers = [
        Task(lambda: receive_any(lanes.consumer())),
        Task(lambda: receive_any(None)),
        Task(lambda: receive_any(None)),
        Task(lambda: receive_one(channels[0])),
        Task(lambda: receive_one(channels[1])),
    ]
    txs = [lanes.producer(), lanes.producer()]
    senders = [
        Task(lambda k=k, tx=tx: send(k * count, tx, random.Random(seed + k)))  # type: ignore[misc]
        for k, tx in enumerate(txs)
    ]
    for sender in senders:
        sender.result()
    for ch in (*channels, lanes):
        ch.close()
    seen = [item for receiver in receivers for item in receiver.result()]
    assert sorted(seen) == list(range(2 * count))


@pytest.mark.parametrize("timeout", ["1", b"1", [1], {}])
def test_a_timeout_that_is_no_number_is_named(timeout: Any) -> None:
    with pytest.raises(TypeError, match=r"timeout must be seconds or None, got "):
        select([Channel()], timeout)
    with pytest.raises(ValueError, match="timeout must be at least 0 seconds, got Fraction"):
        select([Channel()], cast("float", Fraction(-1)))
    with pytest.raises(TimeoutError):
        select([Channel()], cast("float", Fraction(0)))
