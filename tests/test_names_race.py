"""Many processes that make, find, give up and lose the same names, and are killed meanwhile.

Each says in shared memory what it holds; others check what they get against what some process held
all the time that their call took. `BCHAN_SEED` repeats a run, `BCHAN_STRESS` makes it longer.
"""

import gc
import multiprocessing as mp
import os
import pickle
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from ctypes import c_long
from typing import Any
from uuid import uuid4

import pytest

from bchan import Channel, _names
from tests.support import DEADLINE, leaving_nothing

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="names are for Linux"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning"),
]
nothing_left = pytest.fixture(autouse=True)(leaving_nothing)

WORKERS = 5
NAMES = 3
SECONDS = 3.0 * float(os.environ.get("BCHAN_STRESS", "1"))


class Board:
    """What each worker holds under each name: the memory's inode, and a count of changes."""

    def __init__(self) -> None:
        self.held = mp.RawArray(c_long, WORKERS * NAMES)
        self.changes = mp.RawArray(c_long, WORKERS * NAMES)
        self.lives = mp.RawArray(c_long, WORKERS)
        """Odd while a worker may be checked; even from before it is killed until it runs again."""
        self.calls = mp.RawArray(c_long, WORKERS)

    def hold(self, worker: int, name: int, inode: int) -> None:
        at = worker * NAMES + name
        self.changes[at] += 1
        self.held[at] = inode
        self.changes[at] += 1

    def look(self, name: int) -> list[tuple[int, ...]]:
        """What each worker holds of a name, so that two looks differ if it changed in between."""
        ats = [(worker, worker * NAMES + name) for worker in range(WORKERS)]
        return [
            (self.lives[worker], self.changes[at], self.held[at], self.changes[at])
            for worker, at in ats
        ]


def held_throughout(before: list[tuple[int, ...]], after: list[tuple[int, ...]]) -> set[int]:
    """The memories that a worker held all the time."""
    return {
        one[2]
        for one, other in zip(before, after, strict=True)
        if one == other and one[0] % 2 and one[1] == one[3] and not one[1] % 2 and one[2]
    }


class Worker:
    def __init__(self, number: int, base: str, board: Board, seed: int) -> None:
        self.number, self.base, self.board = number, base, board
        self.rng = random.Random(seed)
        self.mine: dict[int, Channel] = {}
        self.pickled: dict[int, tuple[bytes, int]] = {}
        self.children: list[int] = []

    def run(self, until: float) -> None:
        for name in range(NAMES):
            self.board.hold(self.number, name, 0)
        self.board.lives[self.number] += 1
        works: list[Callable[[int], None]] = [
            self.make,
            self.find,
            self.find,
            self.drop,
            self.drop,
            self.remove,
            self.list_all,
        ]
        works += [self.unpickle, self.fork]
        while time.monotonic() < until:
            self.rng.choice(works)(self.rng.randrange(NAMES))
            self.board.calls[self.number] += 1
        for name in list(self.mine):
            self.drop(name)
        for child in self.children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def checked(self, name: int, call: Callable[[], Any]) -> tuple[Any, set[int]]:
        """What a call returned, or raised, and what others held all the time."""
        before = self.board.look(name)
        try:
            done = call()
        except (FileNotFoundError, FileExistsError) as error:
            done = error
        return done, held_throughout(before, self.board.look(name))

    def called(self, name: int) -> str:
        return f"{self.base}-{name}"

    def make(self, name: int) -> None:
        done, held = self.checked(name, lambda: Channel("u8", 8, name=self.called(name)))
        if isinstance(done, Channel):
            assert not held, f"made a channel whose name one of memory {held} has"
            self.keep(name, done)
        else:
            assert isinstance(done, FileExistsError), done

    def find(self, name: int) -> None:
        done, held = self.checked(name, lambda: Channel.attach(self.called(name)))
        if isinstance(done, Channel):
            assert done.name == self.called(name)
            assert held <= {os.fstat(done._fd).st_ino}, "found another channel"
            self.keep(name, done)
        else:
            assert not held, f"{done}, but it is there: {held}"

    def remove(self, name: int) -> None:
        done, held = self.checked(name, lambda: _names.remove(self.called(name), force=False))
        assert done is not None or not held, "took away the name of a channel that lives"

    def list_all(self, name: int) -> None:
        done, held = self.checked(name, _names.names)
        assert not held or self.called(name) in done, f"{done}, without {name}"

    def unpickle(self, name: int) -> None:
        if name not in self.pickled:
            return
        data, inode = self.pickled[name]
        done, held = self.checked(name, lambda: pickle.loads(data))
        if isinstance(done, Channel):
            assert os.fstat(done._fd).st_ino == inode, "a pickle became another channel"
            assert held <= {inode}
            self.keep(name, done)
        else:
            assert inode not in held, done

    def fork(self, _: int) -> None:
        """A child that has what this one has, for a while."""
        if len(self.children) > 2:
            child = self.children.pop(0)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        child = os.fork()
        if child == 0:
            signal.alarm(2)  # should this worker be killed
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            while True:
                signal.pause()
        self.children.append(child)

    def keep(self, name: int, channel: Channel) -> None:
        inode = os.fstat(channel._fd).st_ino
        self.pickled[name] = (pickle.dumps(channel), inode)
        self.drop(name)
        self.mine[name] = channel
        self.board.hold(self.number, name, inode)

    def drop(self, name: int) -> None:
        self.board.hold(self.number, name, 0)
        self.mine.pop(name, None)


def work(number: int, base: str, board: Board, seed: int, until: float) -> None:
    code = 1
    try:
        Worker(number, base, board, seed).run(until)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        gc.collect()
        sys.stderr.flush()
        os._exit(code)


def test_no_name_is_lost_or_mistaken_while_processes_come_and_die() -> None:
    seed = int(os.environ.get("BCHAN_SEED", random.randrange(1 << 32)))
    print(f"BCHAN_SEED={seed}")
    rng, base, board = random.Random(seed), f"test-race-{uuid4().hex[:8]}", Board()
    ctx, end, kills = mp.get_context("fork"), time.monotonic() + SECONDS, 0

    def begin(number: int) -> Any:
        board.lives[number] += board.lives[number] % 2
        args = (number, base, board, rng.getrandbits(32), end)
        process = ctx.Process(target=work, args=args)
        process.start()
        return process

    workers = [begin(number) for number in range(WORKERS)]
    while time.monotonic() < end:
        number = rng.randrange(WORKERS)
        victim = workers[number]
        goal = board.calls[number] + rng.randrange(1, 100)
        while board.calls[number] < goal and victim.is_alive() and time.monotonic() < end:
            time.sleep(rng.random() * 0.003)
        if not victim.is_alive() or time.monotonic() > end:
            break
        board.lives[number] += 1  # from here on nobody relies on it
        victim.kill()
        victim.join(DEADLINE)
        kills += 1
        workers[number] = begin(number)
    for worker in workers:
        worker.join(DEADLINE)
    codes = [worker.exitcode for worker in workers]
    assert codes == [0] * WORKERS, f"seed {seed}"
    assert kills > 0
    assert min(board.calls) > 0
    deadline = time.monotonic() + DEADLINE
    while left := [name for name in _names.names() if name.startswith(base)]:
        assert time.monotonic() < deadline, f"the names of the dead stay: {left}, seed {seed}"
        time.sleep(0.05)  # for the children of those that were killed
    with suppress(ValueError):
        print(f"{kills} kills, {sum(board.calls)} calls")
