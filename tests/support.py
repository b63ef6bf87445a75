"""What the tests have in common: threads whose exceptions are seen, and waits with a deadline."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import bchan

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
