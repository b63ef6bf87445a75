"""The queues under a lock: order, waiting, and `shutdown` on every Python."""

import pickle
import queue
import random
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from types import GenericAlias
from typing import Any, TypeAlias, assert_type, get_args, get_origin

import pytest

import bchan
from bchan import Empty, Full, LifoQueue, PriorityQueue, ShutDown
from bchan.asyncio import Queue as AsyncQueue
from bchan.queues.locked import LockedQueue
from tests.support import DEADLINE, Task, together, until

Kind: TypeAlias = type[LifoQueue[Any]] | type[PriorityQueue[Any]]

KINDS: list[Kind] = [LifoQueue, PriorityQueue]
every_kind = pytest.mark.parametrize("kind", KINDS)


def until_waiting(condition: threading.Condition, threads: int = 1) -> None:
    """Wait until so many threads wait for one of a queue's conditions."""
    waiters: Any = vars(condition)["_waiters"]
    until(lambda: len(waiters) == threads)


def filled(kind: Kind, *items: object, maxsize: int = 0) -> LockedQueue[Any]:
    q: LockedQueue[Any] = kind(maxsize)
    for item in items:
        q.put(item)
    return q


def drained(q: LockedQueue[Any]) -> list[Any]:
    return [q.get_nowait() for _ in range(q.qsize())]


def test_the_last_item_comes_out_first() -> None:
    assert drained(filled(LifoQueue, 2, 3, 1)) == [1, 3, 2]


def test_the_smallest_item_comes_out_first() -> None:
    items = [(random.Random(1).randrange(50), n) for n in range(200)]
    assert drained(filled(PriorityQueue, *items)) == sorted(items)


@every_kind
def test_errors_and_bases_are_those_of_the_standard_library(kind: Kind) -> None:
    assert issubclass(kind, getattr(queue, kind.__name__))
    assert (Empty, Full) == (queue.Empty, queue.Full)
    assert not issubclass(ShutDown, (Empty, Full))
    if sys.version_info >= (3, 13):
        assert ShutDown is queue.ShutDown
    assert type(pickle.loads(pickle.dumps(ShutDown()))) is ShutDown
    assert isinstance(kind.__class_getitem__(int), GenericAlias)


@every_kind
def test_a_full_queue_takes_nothing_more_and_an_empty_one_gives_nothing(kind: Kind) -> None:
    q = filled(kind, 1, 2, maxsize=2)
    assert (q.full(), q.empty(), q.qsize(), q.maxsize) == (True, False, 2, 2)
    for late in ({"block": False}, {"timeout": 0}, {"timeout": 0.01}):
        with pytest.raises(Full):
            q.put(3, **late)
    drained(q)
    assert (q.full(), q.empty(), q.qsize()) == (False, True, 0)
    for late in ({"block": False}, {"timeout": 0}, {"timeout": 0.01}):
        with pytest.raises(Empty):
            q.get(**late)


@every_kind
@pytest.mark.parametrize("maxsize", [0, -1])
def test_a_queue_without_a_limit_is_never_full(kind: Kind, maxsize: int) -> None:
    q = filled(kind, *range(1000), maxsize=maxsize)
    assert not q.full()


@every_kind
@pytest.mark.parametrize("items", [[], [1]])
def test_negative_timeouts_are_refused_where_there_might_be_a_wait(
    kind: Kind, items: list[int]
) -> None:
    q = filled(kind, *items, maxsize=1)
    for call in (partial(q.put, 2), q.get):
        with pytest.raises(ValueError, match=r"^'timeout' must be a non-negative number$"):
            call(timeout=-0.1)
    assert q.qsize() == len(items)
    kind().put(2, timeout=-1)
    filled(kind, 1).get(block=False, timeout=-1)


@every_kind
@pytest.mark.parametrize("timeout", [None, DEADLINE])
def test_waiting_ends_when_the_other_side_comes(kind: Kind, timeout: float | None) -> None:
    q = filled(kind, maxsize=1)
    getting = Task(partial(q.get, timeout=timeout))
    until_waiting(q.not_empty)
    q.put(1)
    assert getting.result() == 1
    q.put(2)
    putting = Task(partial(q.put, 3, timeout=timeout))
    until_waiting(q.not_full)
    assert q.get() == 2
    putting.result()
    assert q.get() == 3


@every_kind
@pytest.mark.parametrize("immediate", [False, True])
@pytest.mark.parametrize("timeout", [None, DEADLINE])
def test_shutdown_wakes_all_that_wait_in_put(
    kind: Kind, immediate: bool, timeout: float | None
) -> None:
    q = filled(kind, 1, maxsize=1)
    putting = [Task(partial(q.put, n, timeout=timeout)) for n in range(3)]
    until_waiting(q.not_full, 3)
    q.shutdown(immediate)
    for task in putting:
        with pytest.raises(ShutDown):
            task.result()
    assert drained(q) == ([] if immediate else [1])


@every_kind
@pytest.mark.parametrize("immediate", [False, True])
@pytest.mark.parametrize("timeout", [None, DEADLINE])
def test_shutdown_wakes_all_that_wait_in_get(
    kind: Kind, immediate: bool, timeout: float | None
) -> None:
    q = filled(kind)
    getting = [Task(partial(q.get, timeout=timeout)) for _ in range(3)]
    until_waiting(q.not_empty, 3)
    q.shutdown(immediate)
    for task in getting:
        with pytest.raises(ShutDown):
            task.result()


@every_kind
def test_after_shutdown_what_is_there_comes_out_and_nothing_goes_in(kind: Kind) -> None:
    q = filled(kind, 1, 1)
    assert not q.is_shutdown
    q.shutdown()
    assert q.is_shutdown
    puts = [partial(q.put, 2), partial(q.put, 2, timeout=-1), partial(q.put_nowait, 2)]
    gets: list[Callable[[], Any]] = [q.get, partial(q.get, timeout=-1), q.get_nowait]
    assert all_raise_shutdown(puts)
    assert (q.get(), q.get_nowait()) == (1, 1)
    assert all_raise_shutdown([*puts, *gets])


def all_raise_shutdown(calls: list[Callable[[], Any]]) -> bool:
    for call in calls:
        with pytest.raises(ShutDown):
            call()
    return True


@every_kind
def test_immediate_shutdown_drops_all_and_ends_join(kind: Kind) -> None:
    q = filled(kind, 1, 2, 3)
    joining = [Task(q.join) for _ in range(2)]
    until_waiting(q.all_tasks_done, 2)
    q.shutdown(immediate=True)
    for task in joining:
        task.result()
    assert (q.qsize(), q.empty()) == (0, True)
    assert all_raise_shutdown([q.get, q.get_nowait])
    with pytest.raises(ValueError, match=r"^task_done\(\) called too many times$"):
        q.task_done()


@every_kind
def test_join_waits_for_the_item_that_was_out_at_an_immediate_shutdown(kind: Kind) -> None:
    q = filled(kind, 1, 2)
    q.get()
    joining = Task(q.join)
    until_waiting(q.all_tasks_done)
    q.shutdown(immediate=True)
    until_waiting(q.all_tasks_done)
    assert joining.running
    q.task_done()
    joining.result()


@every_kind
def test_an_item_done_before_it_was_dropped_is_counted_once(kind: Kind) -> None:
    q = filled(kind, 1)
    q.task_done()
    q.shutdown(immediate=True)
    assert q.unfinished_tasks == 0
    q.join()


@every_kind
def test_a_second_shutdown_may_be_immediate_and_none_is_undone(kind: Kind) -> None:
    q = filled(kind, 1)
    q.shutdown()
    q.shutdown(immediate=True)
    q.shutdown(immediate=False)
    assert (q.is_shutdown, q.qsize()) == (True, 0)


@every_kind
def test_join_waits_until_every_item_is_done(kind: Kind) -> None:
    q = filled(kind, 1, 2)
    joining = Task(q.join)
    drained(q)
    q.task_done()
    until_waiting(q.all_tasks_done)
    q.task_done()
    joining.result()
    with pytest.raises(ValueError, match=r"^task_done\(\) called too many times$"):
        q.task_done()


def test_a_subclass_may_keep_its_items_as_it_likes() -> None:
    class Dearest(PriorityQueue[int]):
        def _put(self, item: int) -> None:
            super()._put(-item)

        def _get(self) -> int:
            return -super()._get()

    q = Dearest()
    for item in (2, 3, 1):
        q.put(item)
    assert q.get() == 3
    q.shutdown(immediate=True)
    assert q.empty()


@every_kind
@pytest.mark.parametrize("maxsize", [0, 1, 3])
def test_every_item_arrives_once_and_shutdown_ends_all_threads(kind: Kind, maxsize: int) -> None:
    q = filled(kind, maxsize=maxsize)
    threads, each = 4, 250
    producing = threading.Barrier(threads + 1)

    def produce(first: int) -> list[int]:
        for item in range(first, first + each):
            q.put(item, timeout=DEADLINE)
        producing.wait(DEADLINE)
        return []

    def consume() -> list[int]:
        items = []
        while True:
            try:
                items.append(q.get(timeout=DEADLINE))
            except ShutDown:
                return items

    def end() -> list[int]:
        producing.wait(DEADLINE)
        q.shutdown()
        return []

    producers: list[Callable[[], list[int]]] = [partial(produce, n * each) for n in range(threads)]
    received = together([*producers, *[consume] * threads, end])
    assert sorted(item for items in received for item in items) == list(range(threads * each))


Call = tuple[str, tuple[object, ...]]


def outcome(q: Any, call: Call) -> object:
    method, arguments = call
    try:
        return getattr(q, method)(*arguments)
    except Exception as error:  # its type and text are what we compare
        return type(error), str(error)


@every_kind
@pytest.mark.parametrize("maxsize", [0, 1, 4])
def test_does_what_the_standard_library_does(kind: Kind, maxsize: int) -> None:
    """Random calls that never wait, on a queue and on its model, until both have seen all."""
    seed = time.time_ns()
    rng = random.Random(seed)
    methods = ["put", "get", "task_done", "qsize", "empty", "full"]
    if sys.version_info >= (3, 13):
        methods.append("shutdown")
    for _ in range(200):
        ours, model = kind(maxsize), getattr(queue, kind.__name__)(maxsize)
        for _ in range(30):
            method = rng.choice(methods)
            waiting = (rng.random() < 0.5, rng.choice([0, -1, "soon"]))
            arguments = {
                "put": (rng.randrange(9), *waiting),
                "get": waiting,
                "shutdown": (rng.random() < 0.5,),
            }
            call = (method, arguments.get(method, ()))
            assert outcome(ours, call) == outcome(model, call), f"{call}, seed {seed}"
        assert ours.unfinished_tasks == model.unfinished_tasks


@pytest.mark.parametrize("maxsize", [1 << 70, (1 << 26) + 1])
def test_a_limit_beyond_the_largest_is_refused_with_both(maxsize: int) -> None:
    with pytest.raises(ValueError, match=f"at most {1 << 26}, or 0 for no limit, got {maxsize}"):
        bchan.Queue(maxsize)
    q = bchan.Queue[int](4)
    with pytest.raises(ValueError, match=f"got {maxsize}"):
        q.maxsize = maxsize
    assert q.maxsize == 4


@pytest.mark.parametrize("maxsize", [-1, -(1 << 70)])
def test_any_negative_limit_is_none(maxsize: int) -> None:
    q = bchan.Queue[int](maxsize)
    for n in range(70_000):
        q.put_nowait(n)
    assert not q.full()


class Words(bchan.Queue[str]):
    """A queue whose items have a type, by its base."""


def test_type_checkers_know_what_is_in_a_queue() -> None:
    """Half of this test is mypy's: it checks the assertions about types, and the annotations."""
    ints: bchan.Queue[int] = bchan.Queue(maxsize=2)
    ints.put(1)
    assert_type(ints.get(), int)
    simple: bchan.SimpleQueue[str] = bchan.SimpleQueue()
    simple.put("a")
    assert_type(simple.get_nowait(), str)
    last: bchan.LifoQueue[int] = bchan.LifoQueue()
    last.put(1)
    assert_type(last.get(), int)
    least: bchan.PriorityQueue[tuple[int, str]] = bchan.PriorityQueue()
    least.put((1, "a"))
    assert_type(least.get(), tuple[int, str])
    of_a_task: AsyncQueue[bytes] = AsyncQueue()
    of_a_task.put_nowait(b"a")
    assert_type(of_a_task.get_nowait(), bytes)
    words = Words()
    words.put("a")
    assert_type(words.get(), str)


def test_every_queue_can_be_subscripted_as_the_standard_librarys() -> None:
    kinds: list[Any] = [bchan.Queue, bchan.SimpleQueue, LifoQueue, PriorityQueue, AsyncQueue]
    for kind in kinds:
        alias = kind[int]
        assert isinstance(alias, GenericAlias)
        assert (get_origin(alias), get_args(alias)) == (kind, (int,))
        assert type(kind[int]()) is kind


def test_the_package_exports_what_its_queues_module_exports() -> None:
    from bchan import queues

    for name in queues.__all__:
        assert getattr(bchan, name) is getattr(queues, name)
