"""What the tests have in common: threads and processes whose failures are seen, waits that end."""

import gc
import multiprocessing
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import bchan
from bchan import _names

T = TypeVar("T")

DEADLINE = 30.0
"""Seconds after which a test that waits has failed."""

RECORD = [("price", "f8"), ("volume", "u4"), ("side", "S1")]
"""A structured dtype with padding-free, unaligned fields."""


class Task(Generic[T]):
    """A thread that keeps what its function returned or raised."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result.append(self._work())
        except BaseException as error:  # raised again in result()
            self._error = error

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    @property
    def native_id(self) -> int:
        return self._thread.native_id or 0

    def result(self, timeout: float = DEADLINE) -> T:
        """Wait for the end; return or raise what came of it."""
        self._thread.join(timeout)
        if self.running:
            raise AssertionError(f"a thread has not ended within {timeout} s")
        if self._error is not None:
            raise self._error
        return self._result[0]


def until(condition: Callable[[], bool], timeout: float = DEADLINE) -> None:
    """Wait for a condition that another thread brings about."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"the condition has not come true within {timeout} s")
        time.sleep(0.001)


def until_parked(channel: bchan.Channel, waits: int = 1) -> None:
    """Wait until threads have parked on the channel that often."""
    until(lambda: channel.stats().waits >= waits)


def until_asleep(pid: int, thread: int) -> None:
    """Wait until a thread sleeps in the kernel."""
    stat = Path(f"/proc/{pid}/task/{thread}/stat")
    until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "S")


def until_interruptible() -> None:
    """Wait until the main thread, which has parked, sleeps; a signal before that ends no sleep."""
    if sys.platform == "linux":
        until_asleep(os.getpid(), os.getpid())
    time.sleep(0.02)


def errors_after_ctrl_c(program: str) -> str:
    """What a program says to stderr that is interrupted once it has said "goes", and ends."""
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "goes\n"
        child.send_signal(signal.SIGINT)
        return child.communicate(timeout=DEADLINE)[1]
    finally:
        child.kill()


def drain(rx: bchan.Consumer | bchan.BytesConsumer, n: int = 256) -> list[Any]:
    """All messages until the end of the channel."""
    return [
        item
        for batch in rx.batches(n)
        for item in (batch if isinstance(batch, list) else batch.tolist())
    ]


def together(works: Sequence[Callable[[], T]]) -> list[T]:
    """Run all at once, each in a thread of its own."""
    start = threading.Barrier(len(works))

    def run(work: Callable[[], T]) -> T:
        start.wait(DEADLINE)
        return work()

    tasks = [Task(lambda work=work: run(work)) for work in works]  # type: ignore[misc]
    return [task.result() for task in tasks]


def start(ctx: Any, work: Callable[..., object], *args: object) -> Any:
    """Run in a process of its own."""
    process = ctx.Process(target=work, args=args)
    process.start()
    return process


def end(*processes: Any) -> None:
    """Wait for their end, and refuse one that failed."""
    for process in processes:
        process.join(DEADLINE)
        assert process.exitcode == 0


def _is_held_here(name: str) -> bool:
    try:
        return os.getpid() in {holder.pid for holder in _names.holders(name).alive}
    except OSError:  # it has gone meanwhile
        return False


@contextmanager
def forked(work: Callable[[], object]) -> Iterator[int]:
    """A child that works and ends without more ado; it goes with the block, whatever it runs."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


def in_child(work: Callable[[], T]) -> T:
    """What work in a child returns or raises, if that can be pickled."""
    reads, writes = os.pipe()

    def tell() -> None:
        try:
            outcome: tuple[Any, BaseException | None] = work(), None
        except BaseException as error:
            outcome = None, error
        with os.fdopen(writes, "wb") as pipe:
            pickle.dump(outcome, pipe)

    with forked(tell), os.fdopen(reads, "rb") as pipe:
        os.close(writes)
        assert select.select([pipe], [], [], DEADLINE)[0], "a child has not ended"
        result, error = pickle.load(pipe)
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]


def leaving_nothing() -> Iterator[None]:
    """As a fixture: no process, no name, no descriptor stays behind."""
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    yield
    for process in multiprocessing.active_children():
        process.kill()
        process.join()
    gc.collect()
    # Another test that runs at the same time, in another process, has names of its own.
    assert not [name for name in _names.names() if _is_held_here(name)]
    # The server of forkserver and the tracker of spawn keep some, once.
    assert len(os.listdir("/proc/self/fd")) <= before + 8  # noqa: PTH208
