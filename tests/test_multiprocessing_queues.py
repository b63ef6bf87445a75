"""The queues for processes: just `maxsize` messages, whoever dies."""

import gc
import multiprocessing
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bchan import multiprocessing as queues
from bchan.multiprocessing import Empty, Full, JoinableQueue, Queue, SimpleQueue
from tests.support import DEADLINE, Task, end, leaving_nothing, start, together, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared channels need Linux")
nothing_left = pytest.fixture(autouse=True)(leaving_nothing)

FORK = multiprocessing.get_context("fork")
BOUNDS = [1, 3, 8]
KINDS = [Queue, JoinableQueue]


def fill(q: Queue[Any], item: object = None) -> int:
    """Put until it is full; tells how many went."""
    n = 0
    try:
        while True:
            q.put_nowait(item)
            n += 1
    except Full:
        return n


def drain(q: Queue[Any]) -> list[Any]:
    """Get until it is empty."""
    items = []
    try:
        while True:
            items.append(q.get_nowait())
    except Empty:
        return items


def fill_and_tell(q: Queue[Any], told: SimpleQueue[int]) -> None:
    told.put(fill(q, bytes(1000)))


# How many there may be.


@pytest.mark.parametrize("maxsize", BOUNDS)
@pytest.mark.parametrize("kind", KINDS)
def test_just_maxsize_messages_go_whoever_puts_them(kind: type[Queue[Any]], maxsize: int) -> None:
    q, told = kind(maxsize), SimpleQueue[int]()
    for _ in range(3):
        processes = [start(FORK, fill_and_tell, q, told) for _ in range(3)]
        here = sum(together([lambda: fill(q)] * 2))
        end(*processes)
        assert here + sum(told.get() for _ in processes) == maxsize == q.qsize()
        assert q.full()
        with pytest.raises(Full):
            q.put(None, timeout=0.01)
        assert len(drain(q)) == maxsize
        assert (q.empty(), q.full(), q.qsize()) == (True, False, 0)


@pytest.mark.parametrize("maxsize", [0, *BOUNDS])
def test_threads_of_processes_put_and_get_all_at_once(maxsize: int) -> None:
    tasks, results = Queue[tuple[int, int] | None](maxsize), Queue[list[tuple[int, int]]](maxsize)
    each = 200

    def put(first: int) -> None:
        def put_all(number: int) -> None:
            for n in range(each):
                tasks.put((number, n), timeout=DEADLINE)

        together([lambda number=first + i: put_all(number) for i in range(2)])  # type: ignore[misc]

    def get() -> None:
        def get_all() -> None:
            results.put(list(iter(lambda: tasks.get(timeout=DEADLINE), None)), timeout=DEADLINE)

        together([get_all] * 2)

    producers = [start(FORK, put, 10 * i) for i in range(2)]
    consumers = [start(FORK, get) for _ in range(2)]
    end(*producers)
    for _ in range(4):
        tasks.put(None, timeout=DEADLINE)
    lists = [results.get(timeout=DEADLINE) for _ in range(4)]
    end(*consumers)
    for items in lists:
        by_producer = defaultdict(list)
        for number, n in items:
            by_producer[number].append(n)
        assert all(mine == sorted(mine) for mine in by_producer.values())
    expected = sorted((number, n) for number in (0, 1, 10, 11) for n in range(each))
    assert sorted(item for items in lists for item in items) == expected
    assert tasks.empty()
    if maxsize:
        assert fill(tasks) == maxsize


def test_maxsize_has_a_limit() -> None:
    with pytest.raises(ValueError, match=r"maxsize must be at most 33554432, got 33554433"):
        Queue((1 << 25) + 1)
    assert fill(Queue(3000, max_bytes=64)) == 3000, "there are slots for all of them"
    assert Queue(-5).full() is False


def test_max_bytes_bounds_the_queue_and_its_longest_message() -> None:
    q = Queue[bytes](max_bytes=4096)
    with pytest.raises(ValueError, match="at most 4096 bytes"):
        q.put(bytes(5000))
    q.put(bytes(3000))
    with pytest.raises(Full):
        q.put(bytes(3000), timeout=0.01)
    with pytest.raises(Full):
        q.put_nowait(bytes(3000))
    putting = Task(lambda: q.put(bytes(3000), timeout=DEADLINE))
    assert (len(q.get()), len(q.get(timeout=DEADLINE))) == (3000, 3000)
    putting.result()


# What goes through.


class Poison:
    """Raises where it arrives."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.stat, ("/no such file",)


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_pickled_raises_at_once_and_nothing_is_sent(kind: type[Queue[Any]]) -> None:
    q = kind(2)
    for bad in (lambda: 0, threading.Lock(), [1, iter([])] * 500 + [lambda: 0]):
        for put in (q.put, q.put_nowait, SimpleQueue[Any]().put):
            with pytest.raises((pickle.PicklingError, TypeError, AttributeError)):
                put(bad)
    assert (q.qsize(), q.empty(), fill(q)) == (0, True, 2)
    if isinstance(q, JoinableQueue):
        for _ in drain(q):
            q.task_done()
        q.join()


def test_a_class_of_its_own_may_take_what_cannot_be_pickled() -> None:
    taken = []

    class Lenient(JoinableQueue[Any]):
        @staticmethod
        def _on_queue_feeder_error(e: Exception, obj: object) -> None:
            taken.append((type(e), obj))

    q, bad = Lenient(1), threading.Lock()
    q.put(bad)
    assert taken == [(TypeError, bad)]
    q.join()
    assert fill(q) == 1


def test_what_raises_when_unpickled_is_gone_and_its_place_is_free() -> None:
    q = Queue[Any](1)
    for _ in range(3):
        q.put(Poison())
        with pytest.raises(FileNotFoundError):
            q.get()
    assert fill(q, 5) == 1
    assert q.get() == 5


class Reentrant:
    """Puts into its queue while it is pickled, and gets from it while it is unpickled."""

    queue: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        type(self).queue.put("from pickling")
        return _get_more, ()


def _get_more() -> Any:
    return "inside", Reentrant.queue.get_nowait()


def test_pickling_may_use_the_same_queue() -> None:
    q = Reentrant.queue = JoinableQueue[Any](3)
    q.put(Reentrant())
    q.put("last")
    assert q.full()
    assert q.get() == "from pickling"
    assert q.get() == ("inside", "last")
    assert fill(q) == 3
    Reentrant.queue = None


def answer(q: Queue[Any]) -> None:
    connection, sock, other = q.get(timeout=DEADLINE)
    with connection, sock:
        connection.send("by connection")
        sock.sendall(b"by socket")
    other.put("by queue")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_connections_sockets_and_queues_travel_through_a_queue(method: str) -> None:
    ctx = multiprocessing.get_context(method)
    q, other = Queue[Any](), Queue[str](1)
    (here, there), (sock, far) = ctx.Pipe(), socket.socketpair()
    process = start(ctx, answer, q)
    q.put((there, far, other))
    assert other.get(timeout=DEADLINE) == "by queue"
    assert (here.recv(), sock.recv(100)) == ("by connection", b"by socket")
    end(process)
    for each in (here, there, sock, far):
        each.close()
    multiprocessing.resource_sharer.stop(timeout=DEADLINE)


def use_both_ways(q: Queue[int]) -> None:
    q.put(q.get(timeout=DEADLINE) + 1, timeout=DEADLINE)


def test_a_queue_in_use_can_be_taken_through_a_fork() -> None:
    q = Queue[int](1)
    q.put(0)
    assert q.get() == 0
    for n in range(3):
        q.put(n)
        pid = os.fork()
        if not pid:
            use_both_ways(q)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert q.get(timeout=DEADLINE) == n + 1


def test_one_process_may_close_while_others_go_on() -> None:
    q = Queue[int](1)
    q.put(1)
    q.close()
    for call in (lambda: q.put(2), q.get, q.get_nowait):
        with pytest.raises(ValueError, match="is closed"):
            call()
    q.join_thread()
    q.cancel_join_thread()
    process = start(FORK, use_both_ways, pickled_for(FORK, q))
    end(process)
    with pytest.raises(AssertionError, match="not closed"):
        Queue[int]().join_thread()
    simple = SimpleQueue[int]()
    simple.close()
    for use in (lambda: simple.put(1), simple.get, simple.empty):
        with pytest.raises(OSError, match="is closed"):
            use()


def pickled_for(ctx: Any, q: Queue[int]) -> Queue[int]:
    """As it arrives in another process, where nobody has closed it."""
    through = SimpleQueue[Queue[int]]()
    through.put(q)
    return through.get()


# Tasks.


def work(q: JoinableQueue[float | None]) -> None:
    for seconds in iter(q.get, None):
        time.sleep(seconds or 0)
        q.task_done()
    q.task_done()


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_join_waits_for_the_tasks_of_several_processes(method: str) -> None:
    ctx, q = multiprocessing.get_context(method), JoinableQueue[float | None](5)
    q.join()
    workers = [start(ctx, work, q) for _ in range(3)]
    for round_ in range(3):
        for _ in range(20):
            q.put(0.002, timeout=DEADLINE)
        joining = [Task(q.join) for _ in range(3)]
        for task in joining:
            task.result()
        assert (q.empty(), len(q._tasks)) == (True, 0), f"round {round_}"
    for _ in workers:
        q.put(None)
    q.join()
    end(*workers)
    with pytest.raises(ValueError, match="too many times"):
        q.task_done()


def test_the_last_task_wakes_those_in_join(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "LOOK_AGAIN", DEADLINE)
    q = JoinableQueue[int]()
    for n in range(2):
        q.put(n)
    joining = [Task(q.join) for _ in range(3)]
    until(lambda: q._all_done.stats().waits >= 3)
    q.task_done()
    assert all(task.running for task in joining)
    q.task_done()
    for task in joining:
        task.result(DEADLINE / 2)


def test_a_task_that_does_not_go_is_not_waited_for() -> None:
    q = JoinableQueue[int](1)
    q.put(1)
    for _ in range(3):
        with pytest.raises(Full):
            q.put(2, timeout=0.01)
    q.task_done()
    q.join()


# Death.


def get_one(q: Queue[Any]) -> None:
    q.get()


def put_one(q: Queue[Any]) -> None:
    q.put("from the dead")


@pytest.mark.parametrize("maxsize", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_others_go_on_when_one_is_killed_who_waits_in_get(
    kind: type[Queue[Any]], maxsize: int
) -> None:
    q = kind(maxsize)
    dying = [start(FORK, get_one, q) for _ in range(2)]
    for process in dying:
        until(lambda: q._channel.stats().waits >= 2)
        process.kill()
        process.join()
    for n in range(5):
        q.put(n, timeout=DEADLINE)
        assert q.get(timeout=DEADLINE) == n


@pytest.mark.parametrize("kind", KINDS)
def test_others_go_on_when_one_is_killed_who_waits_in_put(kind: type[Queue[Any]]) -> None:
    q = kind(2)
    assert fill(q) == 2
    dying = [start(FORK, put_one, q) for _ in range(2)]
    assert q._places is not None
    places = q._places
    for process in dying:
        until(lambda: places.stats().waits >= 2)
        process.kill()
        process.join()
    assert drain(q) == [None, None]
    assert fill(q) == 2


def kill_me() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_put(q: Any, is_sent: bool) -> None:
    send = q._send

    def send_last(*arguments: object) -> None:
        if is_sent:
            send(*arguments)
        kill_me()

    q._send = send_last
    q.put("from the dead")


def die_in_get(q: Any, is_place_given: bool) -> None:
    places = q._places

    def give_last(place: object) -> None:
        if is_place_given:
            places.send(place)
        kill_me()

    q._mine.ends = q._ends(places)
    q._places = SimpleNamespace(send=give_last)
    q.get()


def die_after_the_last_task(q: JoinableQueue[Any]) -> None:
    q._tasks.receive(DEADLINE)
    kill_me()


def killed(work: Callable[..., None], *args: object) -> None:
    process = start(FORK, work, *args)
    process.join(DEADLINE)
    assert process.exitcode == -signal.SIGKILL


def becomes_as_new(q: Queue[Any], maxsize: int) -> None:
    """See to it that no place is lost, and that those that are too many go."""
    # What a dead process had claimed is there once that has been cleared up.
    for n in range(maxsize):
        q.put(n, timeout=DEADLINE)
    assert drain(q)[:maxsize] == list(range(maxsize))
    until(lambda: fill(q) == len(drain(q)) == maxsize)


@pytest.mark.parametrize("is_sent", [False, True])
def test_who_dies_in_put_takes_no_place_along(is_sent: bool) -> None:
    q = Queue[str](2)
    for _ in range(5):
        killed(die_in_put, q, is_sent)
    assert [q.get(timeout=DEADLINE) for _ in range(5 * is_sent)] == ["from the dead"] * 5 * is_sent
    becomes_as_new(q, 2)


@pytest.mark.parametrize("is_place_given", [False, True])
def test_who_dies_in_get_takes_no_place_and_no_message_along(is_place_given: bool) -> None:
    q = Queue[int](2)
    for n in range(2):
        q.put(n)
    for _ in range(5):
        killed(die_in_get, q, is_place_given)
    assert sorted(q.get(timeout=DEADLINE) for _ in range(2)) == [0, 1]
    becomes_as_new(q, 2)


def test_join_ends_though_who_did_the_last_task_dies_before_he_says_so() -> None:
    q = JoinableQueue[int]()
    q.put(1)
    joining = Task(q.join)
    until(lambda: q._all_done.stats().waits > 0)
    killed(die_after_the_last_task, q)
    joining.result()


def put_numbers(q: Queue[tuple[int, int]], source: int) -> None:
    n = 0
    while True:
        q.put((source, n))
        n += 1


def get_for_ever(q: Queue[tuple[int, int]], seen: Queue[tuple[int, int]]) -> None:
    while True:
        seen.put(q.get())


@pytest.mark.parametrize("kind", KINDS)
def test_killing_at_random_loses_no_place_and_hangs_nobody(kind: type[Queue[Any]]) -> None:
    """What arrives of each producer is 0, 1, 2 and so on, but for what dead consumers had got."""
    q, gone = kind(2), Queue[tuple[int, int]]()
    count = 0
    arrived: list[tuple[int, int]] = []
    until_then = time.monotonic() + 2
    putting: list[Any] = []
    getting: list[Any] = []
    while time.monotonic() < until_then:
        putting.append(start(FORK, put_numbers, q, count))
        getting.append(start(FORK, get_for_ever, q, gone))
        count += 1
        arrived += [q.get(timeout=DEADLINE) for _ in range(50)]
        for processes in (putting, getting):
            if len(processes) > 2:
                victim = processes.pop(0)
                victim.kill()
                victim.join()
    for process in putting + getting:
        process.kill()
        process.join()
    for rest in (q, gone):
        # What is behind the last claim of a dead process comes when that has been cleared up.
        while not rest.empty():
            with suppress(Empty):
                arrived.append(rest.get(timeout=0.1))
    by_producer = defaultdict(set)
    for source, n in arrived:
        by_producer[source].add(n)
    missing = sum(max(mine) + 1 - len(mine) for mine in by_producer.values())
    assert missing <= count, "what one had got who was killed before he said so"
    becomes_as_new(q, 2)


# What is left.


def test_an_interrupted_call_leaves_the_queue_as_it_was() -> None:
    class InterruptError(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise InterruptError

    q = Queue[int](1)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(3):
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            with pytest.raises(InterruptError):
                q.get()
            q.put(1)
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            with pytest.raises(InterruptError):
                q.put(2)
            assert Task(lambda: q.get(timeout=DEADLINE)).result() == 1
    finally:
        signal.signal(signal.SIGALRM, before)
    assert fill(q) == 1


@pytest.mark.alone
def test_queues_that_were_used_and_dropped_leave_nothing() -> None:
    def count() -> tuple[int, int, int]:
        gc.collect()
        maps = len(Path("/proc/self/maps").read_text().splitlines())
        return len(os.listdir("/proc/self/fd")), maps, len(os.listdir("/dev/shm"))  # noqa: PTH208, S108

    def use_all(*used: Any) -> None:
        for q in used:
            q.put(1)

    before = None
    for round_ in range(6):
        used: list[Any] = [kind(2) for kind in KINDS for _ in range(3)] + [SimpleQueue(), Queue()]
        process = start(FORK, use_all, *used)
        assert [q.get() for q in used] == [1] * len(used)
        for q in used:
            q.put("left in it")
        if round_ % 2:
            process.kill()
        process.join()
        del q, used, process
        now = count()
        before = before or now
        assert now[0] <= before[0] + 2
        assert now[1] <= before[1] + 20
        assert now[2] == before[2]


# Subclasses.


class LockedQueue(Queue[Any]):
    """As an executor's call queue: with what can't be pickled, and a hook of its own."""

    def __init__(self, maxsize: int = 0, *, ctx: Any = None, pending: dict[int, object]) -> None:
        self.lock, self.pending = threading.Lock(), pending
        super().__init__(maxsize, ctx=ctx)

    def _on_queue_feeder_error(self, e: Exception, obj: object) -> None:  # type: ignore[override]
        self.pending[id(obj)] = e


class LockedJoinableQueue(JoinableQueue[Any]):
    def __init__(self, ctx: Any) -> None:
        self.lock = threading.Lock()
        super().__init__(ctx=ctx)


class LockedSimpleQueue(SimpleQueue[Any]):
    def __init__(self, ctx: Any) -> None:
        self.lock = threading.Lock()
        super().__init__(ctx=ctx)


def put_what_it_is(q: Any) -> None:
    q.put((type(q).__name__, hasattr(q, "lock")))
    if isinstance(q, JoinableQueue):
        q.task_done()


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
@pytest.mark.parametrize(
    "make",
    [
        lambda ctx: LockedQueue(3, ctx=ctx, pending={}),
        lambda ctx: LockedQueue(ctx=ctx, pending={}),
        LockedJoinableQueue,
        LockedSimpleQueue,
    ],
    ids=["Queue(3)", "Queue", "JoinableQueue", "SimpleQueue"],
)
def test_of_a_subclass_the_queues_own_state_travels(
    make: Callable[[Any], Any], method: str
) -> None:
    ctx = multiprocessing.get_context(method)
    q = make(ctx)
    process = start(ctx, put_what_it_is, q)
    assert q.get() == (type(q).__name__, method == "fork")
    end(process)
    assert hasattr(q, "lock")
    if isinstance(q, JoinableQueue):
        q.join()


def test_a_subclass_takes_what_pickling_raised_as_an_executor_does() -> None:
    pending: dict[int, object] = {}
    q = LockedQueue(3, pending=pending)
    unpicklable = threading.Lock()
    q.put(unpicklable)
    assert list(pending) == [id(unpicklable)]
    assert q.empty()
