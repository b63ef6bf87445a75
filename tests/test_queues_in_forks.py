"""In the child of a fork a drop-in queue refuses every call, as it is not that process's queue."""

import asyncio
import multiprocessing
import os
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any

import pytest

import bchan
import bchan.asyncio
from tests.support import DEADLINE

FORK = multiprocessing.get_context("fork")
QUEUES: dict[str, Callable[[], Any]] = {
    "Queue": bchan.Queue,
    "LifoQueue": bchan.LifoQueue,
    "PriorityQueue": bchan.PriorityQueue,
    "SimpleQueue": bchan.SimpleQueue,
    "asyncio.Queue": bchan.asyncio.Queue,
}
CALLS: dict[str, Callable[[Any], object]] = {
    "put": lambda q: q.put(2),
    "get": lambda q: q.get(),
    "put_nowait": lambda q: q.put_nowait(2),
    "get_nowait": lambda q: q.get_nowait(),
    "qsize": lambda q: q.qsize(),
    "empty": lambda q: q.empty(),
    "full": lambda q: q.full(),
    "task_done": lambda q: q.task_done(),
    "join": lambda q: q.join(),
    "shutdown": lambda q: q.shutdown(),
}
SIMPLE = {"put", "get", "put_nowait", "get_nowait", "qsize", "empty"}


def is_refused(call: Callable[[Any], object], queue: Any) -> bool:
    """Whether it raises what every call in a child does."""
    try:
        made = call(queue)
        if asyncio.iscoroutine(made):
            asyncio.run(made)
    except RuntimeError as error:
        return "came through a fork" in str(error)
    return False


def holds_in_child(claim: Callable[[], bool]) -> bool:
    """Whether something is so in the child of a fork."""
    child = FORK.Process(target=lambda: os._exit(0 if claim() else 1))
    child.start()
    child.join(DEADLINE)
    if child.is_alive():
        child.kill()
        child.join()
    return child.exitcode == 0


@pytest.mark.parametrize(
    ("kind", "call"),
    [(kind, call) for kind in QUEUES for call in CALLS if kind != "SimpleQueue" or call in SIMPLE],
)
def test_every_call_of_a_queue_is_refused_in_the_child_of_a_fork(kind: str, call: str) -> None:
    queue = QUEUES[kind]()
    put = queue.put(1)
    if asyncio.iscoroutine(put):
        asyncio.run(put)
    assert holds_in_child(lambda: is_refused(CALLS[call], queue))
    assert queue.qsize() == 1
    if hasattr(queue, "task_done"):
        queue.task_done()


def test_what_a_queue_counts_is_refused_in_the_child_of_a_fork() -> None:
    queue: bchan.Queue[int] = bchan.Queue()
    for name in ("unfinished_tasks", "is_shutdown"):
        assert holds_in_child(partial(is_refused, attrgetter(name), queue))


def test_a_queue_made_in_the_child_is_the_childs() -> None:
    def works() -> bool:
        queue: bchan.LifoQueue[int] = bchan.LifoQueue()
        queue.put(os.getpid())
        return queue.get() == os.getpid()

    assert holds_in_child(works)
