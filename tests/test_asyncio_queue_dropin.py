"""The standard library's own tests for `asyncio.Queue`, against the class that stands in for it."""

import asyncio

import pytest

from bchan.asyncio import Queue, QueueShutDown
from tests.stdlib_suite import Absent, Tests, assert_none_passes, load, run


def load_with(kind: type) -> Tests:
    """The tests of `asyncio.Queue` as tests of this class; asyncio's other queues stay its own."""
    tests = load(
        "test.test_asyncio.test_queues",
        "asyncio",
        vars(asyncio) | {"Queue": kind, "QueueShutDown": QueueShutDown},
    )
    others = ("LifoQueue", "PriorityQueue")
    return {name: test for name, test in tests.items() if not name.startswith(others)}


TESTS = load_with(Queue)

CANNOT_APPLY: dict[str, str] = {}
"""Why a test can't apply, by its name; what only some Pythons have goes under a condition."""


@pytest.mark.parametrize("name", TESTS)
def test_stdlib(name: str) -> None:
    run(TESTS, name, CANNOT_APPLY)


def test_every_test_that_cannot_apply_exists() -> None:
    assert CANNOT_APPLY.keys() <= TESTS.keys()


def test_no_test_passes_without_our_class() -> None:
    assert_none_passes(load_with(Absent))


def test_a_broken_class_is_caught() -> None:
    class NeverFull(Queue[int]):
        def full(self) -> bool:
            return False

    with pytest.raises(pytest.fail.Exception, match=r"self.assertTrue\(q.full\(\)\)"):
        run(load_with(NeverFull), "QueueBasicTests.test_full", {})


@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_ends_the_waiting_on_every_python(immediate: bool) -> None:
    async def main() -> None:
        full: Queue[int] = Queue(1)
        full.put_nowait(1)
        empty: Queue[int] = Queue()
        putting, getting = asyncio.create_task(full.put(2)), asyncio.create_task(empty.get())
        joining = asyncio.create_task(full.join())
        await asyncio.sleep(0)
        full.shutdown(immediate)
        empty.shutdown(immediate)
        for task in (putting, getting):
            with pytest.raises(QueueShutDown):
                await task
        with pytest.raises(QueueShutDown):
            full.put_nowait(3)
        if not immediate:
            assert await full.get() == 1
            full.task_done()
        await joining
        with pytest.raises(QueueShutDown):
            await full.get()

    asyncio.run(main())


def test_the_repr_says_once_that_the_queue_is_shut_down_on_every_python() -> None:
    queue: Queue[int] = Queue(3)
    assert "shutdown" not in repr(queue)
    queue.put_nowait(1)
    queue.shutdown()
    assert repr(queue).endswith("maxsize=3 _queue=[1] tasks=1 shutdown>")
    assert repr(queue).count("shutdown") == 1
    assert str(queue).endswith("shutdown>")
