"""Somebody scribbles in a channel's memory: messages may be wrong, but no call crashes or hangs."""

import mmap
import multiprocessing
import os
import random
import sys
from collections.abc import Callable
from typing import Any

import pytest

import bchan
from tests.soak.rounds import rounds
from tests.support import DEADLINE

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(0),
    pytest.mark.skipif(sys.platform != "linux", reason="shared channels need Linux"),
]
FORK = multiprocessing.get_context("fork")
SHORT = 0.001
EXPECTED = (bchan.ChannelError, ValueError, RuntimeError, TimeoutError, ArithmeticError)
MODES: list[Any] = ["spsc", "mpsc", "spmc", "mpmc"]
MESSAGES: dict[Any, Any] = {"u8": 7, bytes: b"a message"}


def calls_on(ch: bchan.Channel, tx: Any, rx: Any, message: Any) -> list[Callable[[], object]]:
    return [
        lambda: tx.send(message, SHORT),
        lambda: tx.try_send(message),
        lambda: tx.send_batch([message] * 3, SHORT),
        lambda: rx.receive(SHORT),
        rx.try_receive,
        lambda: rx.receive_batch(5, SHORT),
        lambda: (rx.try_peek(2) if message == 7 else rx.try_peek(), rx.release()),
        lambda: (tx.try_reserve(2), tx.abort()),
        lambda: bchan.select([rx], SHORT),
        lambda: len(ch),
        ch.stats,
        lambda: ch.active_producers,
        lambda: ch.closed,
    ]


def scribble(rng: random.Random) -> None:
    """What the child does: calls, and nonsense in between."""
    dtype = rng.choice(list(MESSAGES))
    ch = bchan.Channel(dtype, rng.randint(1, 32), rng.choice(MODES), shared=True)
    tx, rx = ch.producer(), ch.consumer()
    calls = calls_on(ch, tx, rx, MESSAGES[dtype])
    size = os.fstat(ch._fd).st_size
    # What was read when it was made is not believed again; what lies behind is fair game.
    with mmap.mmap(ch._fd, size) as memory:
        for _ in range(200):
            start = rng.randrange(size - 8)
            memory[start : start + 8] = rng.choice(
                [rng.randbytes(8), bytes(8), b"\xff" * 8, b"\1" + bytes(7)]
            )
            try:
                rng.choice(calls)()
            except EXPECTED:
                pass
            except OSError as error:
                # The nonsense may have hit the word that names the namespace.
                if "pid namespace" not in str(error):
                    raise


def leave(rng: random.Random) -> None:
    scribble(rng)
    os._exit(0)


def test_nonsense_in_a_channels_memory_harms_no_process() -> None:
    for rng in rounds("hostile memory"):
        child = FORK.Process(target=leave, args=(rng,))
        child.start()
        child.join(DEADLINE)
        is_stuck = child.is_alive()
        if is_stuck:
            child.kill()
            child.join()
        assert (is_stuck, child.exitcode) == (False, 0)
