"""What can only go wrong without the GIL: another thread stands still in the midst of a call."""

import fcntl
import gc
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

import bchan
from bchan import Queue, ShutDown
from tests.support import DEADLINE, Task

pytestmark = pytest.mark.skipif(
    not bchan.build_info().free_threaded or not Path("/proc/self/task").exists(),
    reason="with the GIL all others stand still, too",
)

RING = 65_536
"""Items that the ring of a queue without a limit holds."""


class Frost:
    """Stops a thread at whatever instruction it is, for a while.

    A signal goes to the thread, and CPython's handler writes a byte to a pipe that is full.
    """

    LONGEST = 0.1
    """Seconds: others may have to wait for it, also in the interpreter.

    Who ends it is another process: a thread of this one could be among them.
    """

    def __init__(self) -> None:
        self.out, self.into = os.pipe()
        fcntl.fcntl(self.into, fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(self.out, False)
        os.set_blocking(self.into, False)
        self._before = signal.set_wakeup_fd(self.into, warn_on_full_buffer=False)
        self._handler = signal.signal(signal.SIGUSR1, lambda *_: None)

    def close(self) -> None:
        signal.set_wakeup_fd(self._before)
        signal.signal(signal.SIGUSR1, self._handler)
        os.close(self.out)
        os.close(self.into)

    @contextmanager
    def stops(self, work: Callable[[], object], is_ready: Callable[[], bool]) -> Iterator[None]:
        """Run work in a thread that stands still during the block, and then goes on to its end."""
        os.set_blocking(self.into, False)
        with suppress(BlockingIOError):
            while True:
                os.write(self.into, bytes(4096))
        os.set_blocking(self.into, True)
        go = threading.Event()
        thread = threading.Thread(target=lambda: (go.wait(DEADLINE), work()))
        thread.start()
        thaw = subprocess.Popen(
            ["/bin/sh", "-c", f"sleep {self.LONGEST}; exec cat"],
            stdin=self.out,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        go.set()
        # No sleep in between: who wakes up late finds much more to do.
        while not is_ready():
            pass
        signal.pthread_kill(thread.ident or 0, signal.SIGUSR1)
        state = Path(f"/proc/self/task/{thread.native_id}/stat")
        while not (thaw.poll() is not None or ") S " in state.read_text("ascii")):
            pass
        try:
            yield
        finally:
            self._thaw()
            thread.join(DEADLINE)
            thaw.kill()
            thaw.wait()
            assert not thread.is_alive()

    def _thaw(self) -> None:
        with suppress(BlockingIOError):
            os.read(self.out, 1 << 20)


@pytest.fixture
def frost() -> Iterator[Frost]:
    gc.disable()  # a collection waits for all threads, also for one that stands still
    frost = Frost()
    yield frost
    frost.close()
    gc.enable()


def put_until(stop: threading.Event, q: Queue[int]) -> int:
    accepted = 0
    with suppress(ShutDown):
        while not stop.is_set():
            q.put(0)
            accepted += 1
    return accepted


def has_some(q: Queue[int]) -> bool:
    return q.qsize() > 10


def test_every_item_that_a_queue_accepts_comes_out_before_it_says_shut_down(frost: Frost) -> None:
    for _ in range(40):
        q, accepted, received = Queue[int](), list[int](), 0
        for n in range(RING + 1):
            q.put(n)
        for _ in range(RING):
            q.get()

        def put(q: Queue[int] = q, accepted: list[int] = accepted) -> None:
            accepted.append(put_until(threading.Event(), q))

        with frost.stops(put, partial(has_some, q)):
            q.shutdown()
            with suppress(ShutDown):
                while True:
                    q.get()
                    received += 1
        assert [received] == [accepted[0] + 1]


def test_the_overflow_of_a_queue_waits_for_what_is_being_put_before(frost: Frost) -> None:
    for _ in range(40):
        q, stop, items = Queue[int](), threading.Event(), list[int]()
        with frost.stops(partial(put_until, stop, q), partial(has_some, q)):
            stop.set()
            for n in range(1, RING + 10):
                q.put(n)
            while len(items) < RING + 9:
                items += filter(None, [q.get(timeout=DEADLINE)])
        assert items == list(range(1, RING + 10))


def test_an_immediate_shutdown_leaves_nothing_in_a_queue(frost: Frost) -> None:
    for _ in range(40):
        q = Queue[int]()
        with frost.stops(partial(put_until, threading.Event(), q), partial(has_some, q)):
            q.shutdown(immediate=True)
        assert (q.qsize(), q.unfinished_tasks) == (0, 0)


def test_an_item_that_is_refused_is_not_waited_for(frost: Frost) -> None:
    for _ in range(40):
        q, stop = Queue[int](1), threading.Event()
        q.put(1)
        q.shutdown()

        def put(q: Queue[int] = q, stop: threading.Event = stop) -> None:
            while not stop.is_set():
                with suppress(ShutDown):
                    q.put(2)

        with frost.stops(put, lambda: True):
            stop.set()
            q.get()
            joining = Task(q.join)
            q.task_done()
        joining.result()
