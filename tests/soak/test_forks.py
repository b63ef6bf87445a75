"""Children that are forked while threads use channels, and some of them killed."""

import multiprocessing
import random
import sys
import threading
import time
from collections import defaultdict
from typing import Any

import pytest

import bchan
from tests.soak.rounds import rounds
from tests.support import DEADLINE, Task

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(0),
    pytest.mark.skipif(sys.platform != "linux", reason="shared channels need Linux"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]
FORK = multiprocessing.get_context("fork")
KINDS: list[Any] = ["u8", bytes, object]


def as_message(dtype: Any, number: int) -> Any:
    return {"u8": number, bytes: b"%d" % number, object: (number, "text")}[dtype]


def as_number(message: Any) -> int:
    return int(message[0] if isinstance(message, tuple) else message)


def produce(ch: bchan.Channel, own: bchan.Channel, dtype: Any, child: int, count: int) -> None:
    """What a child does: the parent's own channel is refused, the shared one works."""
    with pytest.raises(RuntimeError, match="fork"):
        own.send(0)
    for n in range(count):
        ch.send(as_message(dtype, child * 1_000_000 + n), DEADLINE)


class Round:
    """Channels, threads that use them, and children that join in."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.dtype = rng, rng.choice(KINDS)
        self.ch = bchan.Channel(self.dtype, rng.randint(1, 64), shared=True)
        self.own, self.over = bchan.Channel(capacity=rng.randint(1, 8)), threading.Event()
        self.counts = [rng.randint(0, 300) for _ in range(rng.randint(1, 4))]
        self.doomed = rng.randrange(len(self.counts)) if rng.random() < 0.5 else None
        self.received: dict[int, list[int]] = defaultdict(list)

    def receive(self) -> None:
        while True:
            try:
                item = self.ch.receive(0.02)
            except TimeoutError:
                if self.over.is_set():
                    return
            else:
                child, n = divmod(as_number(item), 1_000_000)
                self.received[child].append(n)

    def talk_to_oneself(self) -> None:
        while not self.over.is_set():
            self.own.send(1)
            self.own.receive()

    def fork(self) -> list[Any]:
        """Start the children, kill one perhaps, and wait for them."""
        children = [
            FORK.Process(target=produce, args=(self.ch, self.own, self.dtype, child, count))
            for child, count in enumerate(self.counts)
        ]
        for process in children:
            process.start()
        if self.doomed is not None:
            time.sleep(self.rng.random() * 0.02)
            children[self.doomed].kill()
        for process in children:
            process.join(DEADLINE)
        return [process.exitcode for process in children]

    def run(self) -> None:
        threads = [Task(self.receive), Task(self.talk_to_oneself)]
        codes = self.fork()
        self.over.set()
        for thread in threads:
            thread.result()
        for child, code in enumerate(codes):
            count = len(self.received[child])
            if child != self.doomed:
                assert (code, count) == (0, self.counts[child])
            assert self.received[child] == list(range(count))
        assert len(self.ch) == 0


def test_forks_while_threads_use_channels_lose_nothing() -> None:
    for rng in rounds("forks"):
        Round(rng).run()
