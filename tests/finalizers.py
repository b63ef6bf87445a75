"""Storms: calls on handles out of finalizers, weakref callbacks, signal handlers and conversions.

Python code may run in the middle of a call: until CPython 3.12 whatever makes an object that the
garbage collector tracks may run the collector. A storm forces that: it collects at each allocation,
with garbage whose finalizers use the very handles that a call is being made on. A record of every
call tells in the end whether each message came once, and in order.
"""

import bisect
import gc
import itertools
import os
import random
import re
import signal
import sys
import threading
import time
import traceback
import weakref
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np

import bchan
from tests.payloads import Payload
from tests.support import until

Span = tuple[int, int]
"""When a call began and when it had ended, in nanoseconds."""

REFUSED = re.compile("in use|is open|needs an open|places are taken")
EXPECTED = (bchan.ChannelError, TimeoutError)
DEEPEST = 2
"""Calls within calls within calls."""
NOTHING = object()
GIL = getattr(sys, "_is_gil_enabled", lambda: True)()
BELL = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
"""What nobody reads."""


class Sent(NamedTuple):
    """A message that was accepted."""

    span: Span
    lane: int
    """Of which of the producers, one after the other, in modes with a ring for each."""
    is_ordered: bool


class Storm:
    """One channel, its handles, and what became of its messages."""

    def __init__(self, payload: Payload, mode: Any, shared: bool, seed: int) -> None:
        self.payload, self.mode, self.shared = payload, mode, shared
        self.rng = random.Random(seed)
        self.numbers = itertools.count(1)
        self.sent: dict[int, Sent] = {}
        self.received: dict[int, list[Span]] = defaultdict(list)
        self.shown: set[int] = set()
        self.faults: list[str] = []
        self.alive: weakref.WeakSet[Any] = weakref.WeakSet()
        self.refs: deque[object] = deque(maxlen=64)
        self.depths: dict[int, int] = defaultdict(int)
        self.is_over = False
        self.main = threading.get_ident()
        self.lane = 0
        self.view: Any = None
        self.viewed: list[int] = []
        self.slots: Any = None
        self.calls = 0
        capacity = 64 if payload.is_framed(shared) else 8
        self.ch: Any = bchan.Channel(payload.dtype, capacity, mode, shared=shared, keep_open=True)
        self.tx, self.rx = self.ch.producer(), self.ch.consumer()
        self.senders = [self.tx] + ([self.ch] if mode == "mpmc" else [])
        self.receivers = [self.rx] + ([self.ch] if mode == "mpmc" else [])

    # What runs in the midst of other calls.

    def intrude(self, *_: object) -> None:
        """Make a call, from wherever this is called."""
        thread = threading.get_ident()
        self.depths[thread] += 1
        try:
            if not self.is_over and self.depths[thread] <= DEEPEST and self.rng.random() >= 0.4:
                self.step()
        finally:
            self.depths[thread] -= 1

    def step(self) -> None:
        """Make a call, whatever comes of it."""
        self.calls += 1
        calls = EVERYWHERE if self.is_intruder() else EVERYWHERE + OWN
        try:
            self.rng.choice(calls)(self)
        except EXPECTED:
            pass
        except RuntimeError as error:
            if isinstance(error, RecursionError) or not REFUSED.search(str(error)):
                self.faults.append(traceback.format_exc())
        except BaseException:
            self.faults.append(traceback.format_exc())

    def is_intruder(self) -> bool:
        thread = threading.get_ident()
        return thread != self.main or self.depths[thread] > 0

    def litter(self) -> None:
        """Leave garbage behind whose end makes calls."""
        for _ in range(self.rng.randrange(3)):
            if self.rng.random() < 0.5:
                Finalized(self)
            else:
                self.refs.append(weakref.ref(Cycle(), self.intrude))

    # Messages.

    def make(self) -> tuple[int, Any]:
        number = next(self.numbers)
        item = self.payload.make(number, self)
        if isinstance(item, Counted):
            self.alive.add(item)
        return number, item

    def accepted(self, numbers: list[int], start: int, lane: int, is_ordered: bool = True) -> None:
        span = (start, time.monotonic_ns())
        for number in numbers:
            self.sent[number] = Sent(span, lane, is_ordered)

    def got(self, numbers: list[int], start: int) -> None:
        span = (start, time.monotonic_ns())
        for number in numbers:
            self.received[number].append(span)

    def number(self, item: Any) -> int:
        return self.payload.number(item)

    # Calls that may be made from anywhere.

    def send(self) -> None:
        who, lane, (number, item) = self.rng.choice(self.senders), self.lane, self.make()
        how = self.rng.randrange(4)
        start = time.monotonic_ns()
        if how == 0:
            who.send(item, timeout=Seconds(self, 0.0005))
        elif how == 1:
            if not who.try_send(item):
                return
        elif how == 2:
            bchan.select([(who, item)], timeout=0)
        else:
            who.send(item, timeout=0)
        self.accepted([number], start, lane)

    def send_batch(self) -> None:
        who, lane = self.rng.choice(self.senders), self.lane
        made = [self.make() for _ in range(self.rng.randrange(1, 6))]
        numbers, items = [number for number, _ in made], [item for _, item in made]
        how = self.rng.randrange(3)
        is_ordered = not self.payload.is_packed(self.shared)
        start = time.monotonic_ns()
        try:
            if how == 0:
                numbers = numbers[: who.try_send_batch(items)]
            elif how == 1:
                who.send_batch(items, timeout=Seconds(self, 0.0005))
            else:
                who.send_batch(self.drawn(items), timeout=0)
        except BaseException as error:
            self.accepted(numbers[: getattr(error, "sent", 0)], start, lane, is_ordered)
            raise
        self.accepted(numbers, start, lane, is_ordered)

    def drawn(self, items: list[Any]) -> Iterator[Any]:
        for item in items:
            self.intrude()
            yield item

    def receive(self) -> None:
        who, how = self.rng.choice(self.receivers), self.rng.randrange(4)
        start = time.monotonic_ns()
        if how == 0:
            item = who.receive(timeout=Seconds(self, 0.0005))
        elif how == 1:
            item = bchan.select([who], timeout=0).item
        else:
            item = who.try_receive(NOTHING)
        if item is not NOTHING:
            self.got([self.number(item)], start)

    def receive_batch(self) -> None:
        who, n = self.rng.choice(self.receivers), Count(self, self.rng.randrange(1, 6))
        is_waiting = self.rng.random() < 0.3
        start = time.monotonic_ns()
        batch = who.receive_batch(n, timeout=0.0005) if is_waiting else who.try_receive_batch(n)
        self.got([self.number(item) for item in batch], start)

    def receive_into(self) -> None:
        if self.payload.buffer is None:
            return
        who, buffer = self.rng.choice(self.receivers), self.payload.buffer(4)
        start = time.monotonic_ns()
        n = who.try_receive_into(buffer)
        if self.payload.dtype is bytes:
            self.got([] if n is None else [self.number(buffer[:n])], start)
        else:
            self.got([self.number(item) for item in buffer[:n]], start)

    def ask(self) -> None:
        for what in (self.ch, self.tx, self.rx):
            assert repr(what)
        assert len(self.ch) >= 0
        assert self.ch.stats().sent >= 0
        assert self.ch.active_producers >= 0
        assert self.tx.closed in (True, False)

    def arm(self) -> None:
        item = self.payload.make(0, self)
        sender, receiver = self.rng.choice(self.senders), self.rng.choice(self.receivers)
        try:
            sender._arm_send(BELL, item)
            receiver._arm_receive(BELL)
        finally:
            sender._disarm_send(BELL)
            receiver._disarm_receive(BELL)

    def shown_in(self, raw: bytes) -> list[int]:
        is_bytes = self.payload.dtype is bytes
        items = [raw] if is_bytes else np.frombuffer(raw, self.payload.dtype)
        return [self.number(item) for item in items]

    def may_claim(self) -> bool:
        """Whether a claim can't be ended by another thread just as it is read or written."""
        return GIL or threading.get_ident() == self.main

    def look(self) -> None:
        """Show messages and let go of some; nothing may write them meanwhile."""
        if not (self.payload.has_views and self.may_claim()):
            return
        rx = self.rx
        start = time.monotonic_ns()
        wanted = () if self.payload.dtype is bytes else (Count(self, 4),)
        view = rx.try_peek(*wanted) if self.rng.random() < 0.7 else rx.peek(*wanted, timeout=0)
        if view is None:
            return
        before = view.tobytes()
        if not rx._is_open(view):
            return  # its handle was closed, or another ended it
        shown = self.shown_in(before)
        self.shown.update(shown)
        if not self.is_intruder():
            self.view, self.viewed = view, shown
        self.litter()
        after = view.tobytes()
        if rx._is_open(view) and before != after:
            self.faults.append(f"a view changed: {before!r}, {after!r}")
        n = self.rng.randrange(len(shown) + 1)
        rx.release(n)
        self.got(shown[:n], start)

    def release_anothers(self) -> None:
        """End the view that the main program has open, in the midst of what it does."""
        view, viewed = self.view, self.viewed
        with self.alone() as is_alone:
            if is_alone and view is not None and self.rx._is_open(view):
                start = time.monotonic_ns()
                self.rx.release()
                self.got(viewed, start)

    def reserve(self) -> None:
        """Write in place."""
        if not (self.payload.has_views and self.may_claim()):
            return
        tx, lane, is_bytes = self.tx, self.lane, self.payload.dtype is bytes
        made = [self.make() for _ in range(1 if is_bytes else self.rng.randrange(1, 5))]
        start = time.monotonic_ns()
        n = Count(self, len(made[0][1]) if is_bytes else len(made))
        slots = tx.try_reserve(n) if self.rng.random() < 0.7 else tx.reserve(n, timeout=0)
        if slots is None:
            return
        if not self.is_intruder():
            self.slots = slots
        self.litter()
        made = made[: len(slots)]
        try:
            slots[:] = made[0][1] if is_bytes else np.array([item for _, item in made], slots.dtype)
        except (ValueError, TypeError) as error:
            if "read-only" not in str(error) or tx._is_open(slots):
                raise
        if self.rng.random() < 0.2:
            tx.abort()
            return
        tx.commit(*(() if is_bytes else (len(made),)))
        self.accepted([number for number, _ in made], start, lane)

    def abort_anothers(self) -> None:
        """End the reservation that the main program has open, in the midst of what it does."""
        slots = self.slots
        with self.alone() as is_alone:
            if is_alone and slots is not None and self.tx._is_open(slots):
                self.tx.abort()

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """In an intruder of the main thread, let no other come in between question and call."""
        is_first = threading.get_ident() == self.main and self.depths[self.main] == 1
        self.depths[threading.get_ident()] += DEEPEST
        try:
            yield is_first
        finally:
            self.depths[threading.get_ident()] -= DEEPEST

    # Calls that the main program makes.

    def close_consumer(self) -> None:
        if self.rng.random() < 0.1:
            self.rx.close()
            self.rx = self.receivers[0] = self.ch.consumer()

    def close_producer(self) -> None:
        if self.mode in ("mpsc", "mpmc") and self.rng.random() < 0.1:
            old, new = self.tx, self.ch.producer()
            self.tx = self.senders[0] = new
            self.lane += 1
            old.close()

    # The whole of it.

    def blow(self, steps: int) -> None:
        """Make so many calls, and others in their midst."""
        for _ in range(steps):
            self.litter()
            self.step()

    def end(self) -> None:
        """Receive what is left, and say whether each message came once, and in order."""
        self.view = self.slots = None
        # The collector works in any thread of the process, also in the test runner's.
        until(lambda: not any(list(self.depths.values())))
        if self.payload.has_views:
            with suppress(RuntimeError):
                self.rx.release(0)
        assert not self.faults, "\n".join(self.faults)
        self.tx.close()
        while True:
            start = time.monotonic_ns()
            try:
                item = self.rx.try_receive(NOTHING)
            except bchan.EndOfChannel:
                break
            assert item is not NOTHING, f"{len(self.ch)} messages are stuck"
            self.got([self.number(item)], start)
            del item
        self.check_once()
        self.check_order()

    def check_once(self) -> None:
        twice = {number: spans for number, spans in self.received.items() if len(spans) > 1}
        assert not twice, f"received more than once: {sorted(twice)}"
        lost, never_sent = set(self.sent) - set(self.received), set(self.received) - set(self.sent)
        assert not lost, f"sent and not received: {sorted(lost)}"
        assert not never_sent, f"received and not sent: {sorted(never_sent)}"

    def check_order(self) -> None:
        """Of two messages, one sent before the other, the other was not received before it."""
        by_lane: dict[int, list[int]] = defaultdict(list)
        is_one_ring = self.mode in ("spmc", "mpmc")
        for number, sent in self.sent.items():
            # What was handed back to a ring that all share may be overtaken.
            is_back = is_one_ring and (number in self.shown or not sent.is_ordered)
            if not is_back:
                by_lane[0 if is_one_ring else sent.lane].append(number)
        for numbers in by_lane.values():
            numbers.sort(key=lambda number: self.received[number][0][1])
            ends = [self.received[number][0][1] for number in numbers]
            latest = list(itertools.accumulate((self.sent[n].span[0] for n in numbers), max))
            for number in numbers:
                before = bisect.bisect_left(ends, self.received[number][0][0])
                is_overtaken = before and latest[before - 1] > self.sent[number].span[1]
                assert not is_overtaken, f"{number} was overtaken by one that was sent after it"


Call = Callable[[Storm], None]
EVERYWHERE: list[Call] = [
    *[Storm.send, Storm.receive, Storm.look, Storm.reserve] * 3,
    *[Storm.send_batch, Storm.receive_batch, Storm.receive_into] * 2,
    *[Storm.ask, Storm.arm, Storm.release_anothers, Storm.abort_anothers],
]
OWN: list[Call] = [Storm.close_consumer, Storm.close_producer]


class Cycle:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.me = self


class Finalized(Cycle):
    """Garbage whose finalizer makes a call."""

    def __init__(self, storm: Any) -> None:
        super().__init__()
        self.storm = storm

    def __del__(self) -> None:
        self.storm.intrude()


class Counted:
    """A message that is an object, whose finalizer makes a call."""

    def __init__(self, number: int, storm: Storm) -> None:
        self.number, self.storm = number, storm

    def __del__(self) -> None:
        self.storm.intrude()


class Seconds:
    """A timeout whose conversion makes a call."""

    def __init__(self, storm: Storm, seconds: float) -> None:
        self.storm, self.seconds = storm, seconds

    def __float__(self) -> float:
        self.storm.intrude()
        return self.seconds


class Count:
    """A number whose conversion makes a call."""

    def __init__(self, storm: Storm, n: int) -> None:
        self.storm, self.n = storm, n

    def __index__(self) -> int:
        self.storm.intrude()
        return self.n


@contextmanager
def collecting(storm: Storm) -> Iterator[None]:
    """Collect at each allocation, and interrupt at any time, with calls in the midst of both."""
    handler = signal.signal(signal.SIGALRM, storm.intrude)
    hook, report = sys.unraisablehook, lambda unraised: storm.faults.append(repr(unraised))
    before, callback = gc.get_threshold(), storm.intrude
    gc.callbacks.append(callback)
    sys.unraisablehook = report
    gc.set_threshold(1)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        storm.is_over = True
        gc.set_threshold(*before)
        gc.callbacks.remove(callback)
        gc.collect()
        sys.unraisablehook = hook
        signal.signal(signal.SIGALRM, handler)


def weather(payload: Payload, mode: str, shared: bool, seed: int, steps: int) -> int:
    """Let a storm blow, in this thread and beside it in another; tell how many calls were made."""
    storm = Storm(payload, mode, shared, seed)
    another = threading.Thread(target=storm.blow, args=(steps,))
    try:
        with collecting(storm):
            another.start()
            storm.blow(steps)
            another.join()
        storm.end()
    except BaseException as error:
        error.add_note(f"seed {seed}, {payload.name}, {mode}, shared={shared}")
        raise
    finally:
        storm.is_over = True
    calls, alive = storm.calls, storm.alive
    storm.refs.clear()
    del storm, another
    gc.collect()
    assert not len(alive), f"seed {seed}: {len(alive)} messages are still referred to"
    return calls


def leaving_all_else_out() -> Iterator[None]:
    """As a fixture: the collector does not look at what there was before, so it takes no time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
