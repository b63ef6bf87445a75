"""Handles on their way to another process: one that never arrives holds nothing open."""

import copy
import functools
import gc
import importlib
import multiprocessing as mp
import os
import pickle
import signal
import subprocess
import sys
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from bchan import Channel, Closed, EndOfChannel, _reaching
from bchan._types import Mode
from tests.support import DEADLINE, Task, end, leaving_nothing, start, until, until_parked
from tests.test_processes import program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared channels need Linux")
nothing_left = pytest.fixture(autouse=True)(leaving_nothing)

METHODS = ["fork", "spawn", "forkserver"]
PICKLING = ["spawn", "forkserver"]
KINDS = {"typed": "u8", "bytes": bytes, "objects": object}
ITEMS = {"typed": 7, "bytes": b"seven", "objects": ("seven", 7)}
MODES: list[Mode] = ["spsc", "mpsc", "spmc", "mpmc"]
SOON = 10.0
"""Seconds within which a place is free on a loaded machine; the promise is 1."""


@pytest.fixture(params=METHODS)
def ctx(request: pytest.FixtureRequest) -> Any:
    return mp.get_context(request.param)


@pytest.fixture(params=PICKLING)
def pickling(request: pytest.FixtureRequest) -> Any:
    """A start method that pickles."""
    return mp.get_context(request.param)


def shared(kind: str = "typed", mode: Mode = "spsc") -> Channel:
    dtype: Any = KINDS[kind]
    ch: Channel = Channel(dtype, 8, mode, shared=True)
    return ch


class Waiting:
    """A consumer that sleeps in `receive` until the channel ends."""

    def __init__(self, channel: Channel) -> None:
        rx = channel.consumer()
        self._task = Task(lambda: self._received(rx))
        until_parked(channel)

    def _received(self, rx: Any) -> list[object]:
        with rx:
            return list(rx)

    def ends_soon(self) -> bool:
        return not self._task.result(SOON)


# What children do.


def nothing(*_args: object, **_kwargs: object) -> None:
    """A worker that finds nothing to send."""


def sleep_long(*_args: object) -> None:
    time.sleep(DEADLINE)


def fail(*_args: object) -> None:
    raise RuntimeError("an initializer that fails")


def kill_itself(*_args: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def become_another_program(*_args: object) -> None:
    os.execv("/bin/sleep", ["sleep", str(DEADLINE)])  # noqa: S606


def send_one(tx: Any, item: object) -> None:
    with tx:
        tx.send(item)


def receive_all(rx: Any) -> None:
    with rx:
        list(rx)


def send_own(txs: list[Any], own: int) -> None:
    with txs[own] as tx:
        tx.send(own)


def use_late(tx: Any, go: Any, said: Any) -> None:
    go.recv()
    try:
        tx.send(1)
        said.send("sent")
    except Closed as error:
        said.send(str(error))


_ENDS: dict[str, Callable[[], object]] = {
    "killed": kill_itself,
    "exits": lambda: os._exit(3),
    "fails": lambda: fail(),
    "Ctrl-C": lambda: os.kill(os.getpid(), signal.SIGINT),
    "import": lambda: __import__("no_such_module_of_bchan"),
}


def _end(how: str) -> None:
    _ENDS[how]()


class Ends:
    """An argument whose unpickling ends the child, so that what comes after it never arrives."""

    def __init__(self, how: str) -> None:
        self._how = how

    def __reduce__(self) -> tuple[Any, ...]:
        return _end, (self._how,)


class Executes:
    """An argument whose unpickling makes another program of the child."""

    def __reduce__(self) -> tuple[Any, ...]:
        return become_another_program, ()


class Refuses:
    """An argument that can't be pickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise ValueError("can't be pickled")


# Children that are gone.


@pytest.mark.parametrize("how", _ENDS)
def test_a_producer_whose_child_ends_before_it_arrives_ends_the_channel(
    pickling: Any, how: str
) -> None:
    ch = shared()
    waiting = Waiting(ch)
    process = start(pickling, nothing, Ends(how), ch.producer())
    process.join(DEADLINE)
    assert waiting.ends_soon()
    assert ch.active_producers == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_channel_ends_when_its_producer_never_arrives(kind: str, mode: Mode) -> None:
    for method in PICKLING:
        ch = shared(kind, mode)
        waiting = Waiting(ch)
        start(mp.get_context(method), nothing, Ends("killed"), ch.producer()).join(DEADLINE)
        assert waiting.ends_soon()


@pytest.mark.parametrize("kind", KINDS)
def test_a_consumer_that_never_arrives_can_be_replaced(pickling: Any, kind: str) -> None:
    ch = shared(kind)
    rx, tx = ch.consumer(), ch.producer()
    tx.send(ITEMS[kind])
    start(pickling, nothing, Ends("killed"), rx).join(DEADLINE)
    until(lambda: rx.closed, SOON)
    with ch.consumer() as other:
        assert other.receive(timeout=SOON) == ITEMS[kind]


def test_a_handle_that_its_maker_keeps_is_closed_when_its_child_is_gone(pickling: Any) -> None:
    ch = shared(mode="mpsc")
    kept = [ch.producer() for _ in range(3)]
    waiting = Waiting(ch)
    for process in [start(pickling, nothing, Ends("exits"), tx) for tx in kept]:
        process.join(DEADLINE)
    assert waiting.ends_soon()
    for tx in kept:
        assert tx.closed
        with pytest.raises(Closed, match="closed"):
            tx.send(1)
        tx.close()


def test_a_handle_of_several_children_is_free_when_the_last_is_gone(pickling: Any) -> None:
    ch = shared()
    tx = ch.producer()
    first = start(pickling, nothing, Ends("killed"), tx)
    ours, theirs = pickling.Pipe()
    second = start(pickling, nothing, _Halts(ours), tx)
    first.join(DEADLINE)
    assert not tx.closed
    theirs.send(None)
    second.join(DEADLINE)
    until(lambda: tx.closed, SOON)
    assert ch.active_producers == 0


def _halt(pipe: Any) -> None:
    pipe.recv()
    os._exit(3)


class _Halts:
    """An argument whose unpickling waits for a word, and ends the child."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe

    def __reduce__(self) -> tuple[Any, ...]:
        return _halt, (self._pipe,)


def test_a_child_that_arrives_has_its_handle(ctx: Any) -> None:
    ch = shared(mode="mpsc")
    kept = [ch.producer() for _ in range(2)]
    processes = [start(ctx, send_one, tx, 7) for tx in kept]
    assert sorted(ch.consumer()) == [7, 7]
    end(*processes)


@pytest.mark.parametrize("kind", KINDS)
def test_a_handle_that_its_child_used_and_closed_says_closed_to_its_maker(
    ctx: Any, kind: str
) -> None:
    ch = shared(kind)
    tx, rx = ch.producer(), ch.consumer()
    end(start(ctx, send_one, tx, ITEMS[kind]))
    end(start(ctx, receive_all, rx))
    with pytest.raises(Closed, match="another process had it"):
        tx.try_send(ITEMS[kind])
    with pytest.raises(Closed, match="another process had it"):
        rx.try_receive()


# A start that fails.


@pytest.mark.parametrize("kind", KINDS)
def test_a_start_that_raises_leaves_the_handle_to_its_maker(pickling: Any, kind: str) -> None:
    ch = shared(kind)
    tx = ch.producer()
    with pytest.raises(ValueError, match="pickled") as kept:
        start(pickling, nothing, tx, Refuses())
    tx.send(ITEMS[kind])
    tx.close()
    assert list(ch.consumer()) == [ITEMS[kind]]
    assert kept.tb is not None


def test_a_handle_is_closed_and_dropped_as_ever_after_a_start_that_raised(pickling: Any) -> None:
    ch = shared()
    tx = ch.producer()
    with pytest.raises(ValueError, match="pickled") as kept:
        start(pickling, nothing, tx, Refuses())
    tx.close()
    assert ch.active_producers == 0
    assert kept.tb is not None
    other = ch.producer()
    with pytest.raises(ValueError, match="pickled"):
        start(pickling, nothing, other, Refuses())
    del other
    gc.collect()
    until(lambda: ch.active_producers == 0, SOON)


def test_a_handle_goes_to_the_next_child_after_a_start_that_raised(pickling: Any) -> None:
    ch = shared()
    tx = ch.producer()
    with pytest.raises(ValueError, match="pickled"):
        start(pickling, nothing, tx, Refuses())
    process = start(pickling, send_one, tx, 7)
    assert list(ch.consumer()) == [7]
    end(process)


def test_a_server_that_cannot_be_reached_leaves_the_handle_to_its_maker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from multiprocessing import forkserver

    def refuse(_fds: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(forkserver, "connect_to_new_process", refuse)
    ch = shared()
    tx = ch.producer()
    with pytest.raises(ConnectionRefusedError) as kept:
        start(mp.get_context("forkserver"), nothing, tx)
    tx.send(7)
    tx.close()
    assert list(ch.consumer()) == [7]
    assert kept.tb is not None


def test_an_interpreter_that_is_not_there_ends_the_channel() -> None:
    ctx = mp.get_context("spawn")
    ch = shared()
    waiting = Waiting(ch)
    before = sys.executable
    ctx.set_executable("/no/such/interpreter")
    try:
        start(ctx, nothing, ch.producer())
    finally:
        ctx.set_executable(before)
    assert waiting.ends_soon()


def test_a_handle_made_while_its_child_is_started_goes_with_it(pickling: Any) -> None:
    ch = shared()
    waiting = Waiting(ch)
    start(pickling, nothing, Ends("killed"), _MakesOne(ch)).join(DEADLINE)
    assert waiting.ends_soon()


class _MakesOne:
    """Takes its producer when it is pickled."""

    def __init__(self, ch: Channel) -> None:
        self._ch = ch

    def __reduce__(self) -> tuple[Any, ...]:
        return nothing, (self._ch.producer(),)


# Forks.


@pytest.mark.parametrize("work", [nothing, kill_itself, fail, become_another_program])
def test_a_producer_that_its_child_never_uses_is_closed_when_that_is_gone(
    work: Callable[..., None],
) -> None:
    ch = shared(mode="mpsc")
    kept = [ch.producer() for _ in range(3)]
    waiting = Waiting(ch)
    processes = [start(mp.get_context("fork"), work, tx) for tx in kept]
    assert waiting.ends_soon()
    for tx in kept:
        with pytest.raises(Closed, match="closed"):
            tx.send(1)
    for process in processes:
        process.kill()
        process.join(DEADLINE)


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_a_child_that_became_another_program_before_its_parent_went_on_is_noticed(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    popen_class = importlib.import_module(f"multiprocessing.popen_{method}").Popen
    launch = popen_class._launch

    def launch_and_dawdle(popen: Any, process: Any) -> None:
        launch(popen, process)
        until(lambda: "sleep" in Path(f"/proc/{popen.pid}/stat").read_text())

    monkeypatch.setattr(popen_class, "_launch", launch_and_dawdle)
    ch = shared()
    waiting = Waiting(ch)
    if method == "fork":
        process = start(mp.get_context(method), become_another_program, ch.producer())
    else:
        process = start(mp.get_context(method), nothing, Executes(), ch.producer())
    assert waiting.ends_soon()
    process.kill()
    process.join(DEADLINE)


def test_the_natural_way_to_start_producers_ends_cleanly(ctx: Any) -> None:
    ch = shared(mode="mpsc")
    txs = [ch.producer() for _ in range(4)]
    rx = ch.consumer()
    processes = [start(ctx, nothing if i % 2 else send_one, tx, i) for i, tx in enumerate(txs)]
    assert sorted(rx) == [0, 2]
    end(*processes)


def test_children_that_get_all_producers_take_their_own_alone() -> None:
    ch = shared(mode="mpsc")
    txs = [ch.producer() for _ in range(4)]
    # One after the other: what one child merely reached goes to the next.
    for i in range(4):
        end(start(mp.get_context("fork"), send_own, txs, i))
    with ch.consumer() as rx:
        assert sorted(rx) == [0, 1, 2, 3]


def test_producers_of_which_no_child_chose_one_are_free_when_their_maker_drops_them() -> None:
    ch = shared(mode="mpsc")
    txs = [ch.producer() for _ in range(4)]
    waiting = Waiting(ch)
    processes = [start(mp.get_context("fork"), nothing, txs, i) for i in range(4)]
    end(*processes)
    assert ch.active_producers == 4
    del txs
    assert waiting.ends_soon()


def test_a_killed_child_frees_its_producer_while_another_lives() -> None:
    ch = shared(mode="mpsc")
    ctx = mp.get_context("fork")
    waiting = Waiting(ch)
    other = start(ctx, sleep_long)
    victim = ctx.Process(target=sleep_long, args=(ch.producer(),))
    victim.start()
    another = start(ctx, sleep_long)
    victim.kill()
    victim.join(DEADLINE)
    assert waiting.ends_soon()
    for process in (other, another):
        process.kill()
        process.join(DEADLINE)


def test_a_consumer_that_its_child_never_uses_can_be_replaced() -> None:
    ch = shared()
    rx = ch.consumer()
    tx = ch.producer()
    tx.send(7)
    start(mp.get_context("fork"), kill_itself, rx).join(DEADLINE)
    until(lambda: rx.closed, SOON)
    assert ch.consumer().receive(timeout=SOON) == 7


class _Worker(mp.get_context("fork").Process):  # type: ignore[misc]
    """A process with its producer as an attribute."""

    def __init__(self, tx: Any) -> None:
        super().__init__()
        self._tx = tx

    def run(self) -> None:
        kill_itself()


class _Holder:
    def __init__(self, tx: Any, rx: Any = None) -> None:
        self.tx, self.rx = {"the producer": [tx]}, rx

    def work(self) -> None:
        kill_itself()


def _processes(tx: Any) -> "Iterator[Any]":
    process = mp.get_context("fork").Process
    yield lambda: process(target=kill_itself, args=(tx,))
    yield lambda: process(target=kill_itself, kwargs={"deep": [{"in": (tx,)}]})
    yield lambda: process(target=functools.partial(kill_itself, tx))
    yield lambda: process(target=_Holder(tx).work)
    yield lambda: process(target=lambda: kill_itself(tx))
    yield lambda: _Worker(tx)


@pytest.mark.parametrize("way", range(6))
def test_a_producer_is_its_childs_in_whatever_way_it_was_given(way: int) -> None:
    ch = shared()
    tx = ch.producer()
    process = list(_processes(tx))[way]()
    process.start()
    process.join(DEADLINE)
    until(lambda: tx.closed, SOON)
    assert ch.active_producers == 0


def test_a_consumer_beside_the_method_that_a_child_runs_stays_its_parents() -> None:
    ch = shared()
    tx, rx = ch.producer(), ch.consumer()
    holder = _Holder(tx, rx)
    process = start(mp.get_context("fork"), holder.work)
    process.join(DEADLINE)
    until(lambda: tx.closed, SOON)
    with pytest.raises(EndOfChannel):
        rx.receive(timeout=SOON)


def test_a_child_that_enters_its_producer_has_it() -> None:
    ch = shared()
    tx = ch.producer()
    waiting = Waiting(ch)
    process = start(mp.get_context("fork"), _enter_and_stay, tx)
    assert waiting.ends_soon()
    process.kill()
    process.join(DEADLINE)


def _enter_and_stay(tx: Any) -> None:
    with tx:
        pass
    time.sleep(DEADLINE)


def test_starts_are_noticed_once_however_many_threads_make_the_first_channel() -> None:
    done = program(
        """
        import multiprocessing as mp, sys, threading

        sys.setswitchinterval(1e-6)
        import bchan

        def send(tx):
            with tx:
                tx.send(7)

        def work(n):
            together.wait()
            ch = bchan.Channel("u8", 8, "spsc", shared=True)
            process = mp.get_context("fork").Process(target=send, args=(ch.producer(),))
            with starting:
                process.start()
            results[n] = list(ch.consumer())
            process.join()

        together, starting, results = threading.Barrier(8), threading.Lock(), [None] * 8
        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(results)
        """
    )
    assert done.stdout == f"{[[7]] * 8}\n", done.stderr


class _Lazy:
    """A proxy whose class can't be asked for, as those of web frameworks outside of a request."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        raise RuntimeError("outside of a request")


def _dead_proxy() -> object:
    holder = _Holder(None)
    return weakref.proxy(holder)


class _Renamed(mp.get_context("fork").Process):  # type: ignore[misc]
    """A process whose attributes have the names of those of its base."""

    def __init__(self, tx: Any) -> None:
        super().__init__()
        self._tx, self._args, self._kwargs = tx, 42, None

    def run(self) -> None:
        kill_itself()


@pytest.mark.parametrize("odd", [_Lazy, _dead_proxy])
def test_a_producer_beside_an_argument_that_cannot_be_asked_for_its_class_is_its_childs(
    odd: Callable[[], object],
) -> None:
    ch = shared()
    tx = ch.producer()
    start(mp.get_context("fork"), nothing, odd(), [odd()], tx).join(DEADLINE)
    until(lambda: tx.closed, SOON)


def test_a_producer_of_a_process_with_attributes_of_its_bases_names_is_its_childs() -> None:
    ch = shared()
    process = _Renamed(tx := ch.producer())
    process.start()
    process.join(DEADLINE)
    until(lambda: tx.closed, SOON)


def test_a_fork_looks_at_a_bounded_number_of_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = Counter[str]()
    held_by = _reaching._held_by

    def counted(thing: object) -> Any:
        looked["at"] += 1
        return held_by(thing)

    monkeypatch.setattr(_reaching, "_held_by", counted)
    monkeypatch.setattr(_reaching, "_MOST", 1000)
    ch = shared()
    tx = ch.producer()
    process = mp.get_context("fork").Process(target=nothing, args=(tx, [[i] for i in range(5000)]))
    assert [handle for handle, _ in _reaching.handles_of(process)] == [tx]
    assert looked["at"] <= 2000, "1000 for each of the two searches"


# Closing, and being late.


def test_close_frees_the_place_at_once_whoever_has_a_copy(ctx: Any) -> None:
    ch = shared()
    tx, rx = ch.producer(), ch.consumer()
    other = start(ctx, sleep_long)
    (go, going), (said, saying) = ctx.Pipe(), ctx.Pipe()
    if ctx.get_start_method() == "fork":
        process = start(ctx, use_late, tx, going, saying)
    tx.close()
    assert ch.active_producers == 0
    with pytest.raises(EndOfChannel):
        rx.receive(timeout=SOON)
    if ctx.get_start_method() == "fork":
        go.send(None)
        assert said.poll(DEADLINE)
        assert "maker closed it" in said.recv()
        end(process)
    other.kill()
    other.join(DEADLINE)


def test_a_pickle_in_flight_is_closed_by_its_maker() -> None:
    ch = Channel("u8", 8, "mpsc", name="test-late")
    tx, rx = ch.producer(), ch.consumer()
    late = pickle.dumps(tx)
    tx.close()
    assert ch.active_producers == 0
    with pytest.raises(EndOfChannel):
        rx.receive(timeout=SOON)
    with pytest.raises(Closed, match="maker closed it"):
        pickle.loads(late)
    del ch, tx, rx
    gc.collect()


def test_a_late_copy_never_takes_the_place_of_a_newer_handle() -> None:
    ch = Channel("u8", 8, "spsc", name="test-newer")
    rx = ch.consumer()
    late = []
    for n in range(1500):
        tx = ch.producer()
        late.append(pickle.dumps(tx))
        if n < 1499:
            tx.close()
    for one in late[:-1]:
        with pytest.raises(Closed, match="maker closed it"):
            pickle.loads(one)
    with pickle.loads(late[-1]) as arrived:
        arrived.send(7)
    tx.close()
    assert list(rx) == [7]
    del ch, tx, rx, arrived
    gc.collect()


def test_a_child_of_a_fork_never_takes_the_place_of_a_newer_handle() -> None:
    ch = shared(mode="mpsc")
    ctx = mp.get_context("fork")
    keeper, tx = ch.producer(), ch.producer()
    keeper.send(0)
    (go, going), (said, saying) = ctx.Pipe(), ctx.Pipe()
    process = start(ctx, use_late, tx, going, saying)
    tx.close()
    newer = [ch.producer() for _ in range(ch.max_producers - 1)]
    go.send(None)
    assert said.poll(DEADLINE)
    assert "maker closed it" in said.recv()
    for other in newer:
        other.send(1)
    end(process)


# Executors and pools.


@pytest.mark.parametrize("initializer", [fail, kill_itself])
def test_an_executor_whose_workers_never_use_its_producer_ends_the_channel(
    ctx: Any, initializer: Callable[..., None]
) -> None:
    ch = shared()
    waiting = Waiting(ch)
    initargs = (ch.producer(),)
    with (
        ProcessPoolExecutor(1, ctx, initializer, initargs) as executor,
        pytest.raises(BrokenProcessPool),
    ):
        executor.submit(nothing).result(DEADLINE)
    assert waiting.ends_soon()


def test_an_executor_whose_worker_dies_before_its_initializer_ends_the_channel(
    pickling: Any,
) -> None:
    ch = shared()
    waiting = Waiting(ch)
    initargs = (Ends("killed"), ch.producer())
    with (
        ProcessPoolExecutor(1, pickling, nothing, initargs) as executor,
        pytest.raises(BrokenProcessPool),
    ):
        executor.submit(nothing).result(DEADLINE)
    assert waiting.ends_soon()


# Copies.


@pytest.mark.parametrize("copying", [copy.copy, copy.deepcopy])
@pytest.mark.parametrize("kind", KINDS)
def test_a_handle_cannot_be_copied(kind: str, copying: Callable[[Any], Any]) -> None:
    ch = shared(kind)
    for handle in (ch.producer(), ch.consumer()):
        with pytest.raises(TypeError, match="can't be copied"):
            copying(handle)
        assert not handle.closed
    local = Channel("u8", 8, "spsc")
    with pytest.raises(TypeError, match="can't be copied"):
        copying(local.producer())


# Forks that were made by hand.


def test_a_child_that_is_older_than_a_handle_does_not_keep_it() -> None:
    ch = shared()
    keeper = ch.consumer()
    older = start(mp.get_context("fork"), sleep_long)
    child = os.fork()
    if child == 0:
        time.sleep(DEADLINE)
        os._exit(0)
    tx = ch.producer()
    del tx
    with pytest.raises(EndOfChannel):
        keeper.receive(timeout=SOON)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    older.kill()
    older.join(DEADLINE)


class ForkedSender:
    """The child of a fork that sends with what came along, once it is told to."""

    def __init__(self, tx: Any) -> None:
        self._reader, self._writer = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.read(self._reader, 1)
            tx.send(7)
            tx.close()
            os._exit(0)

    def received(self, rx: Any) -> list[int]:
        """Tell it, and receive until the end."""
        os.write(self._writer, b"!")
        received = list(rx)
        os.waitpid(self._pid, 0)
        os.close(self._reader)
        os.close(self._writer)
        return received


def test_a_handle_that_was_dropped_stays_for_the_child_of_a_fork() -> None:
    ch = shared()
    tx, rx = ch.producer(), ch.consumer()
    child = ForkedSender(tx)
    del tx
    assert ch.active_producers == 1
    assert child.received(rx) == [7]


@pytest.mark.parametrize("is_before", [True, False])
def test_a_child_that_became_another_program_keeps_no_handle(is_before: bool) -> None:
    ch = shared()
    tx, rx = ch.producer(), ch.consumer()
    (go, going), (became, becoming) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.read(go, 1)
        os.execv("/bin/sleep", ["sleep", str(DEADLINE)])  # noqa: S606
    os.close(becoming)
    if is_before:
        os.write(going, b"!")
        # Closed as the child executes the program.
        assert os.read(became, 1) == b""
    del tx
    os.write(going, b"!")
    with pytest.raises(EndOfChannel):
        rx.receive(timeout=SOON)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for fd in (go, going, became):
        os.close(fd)


def test_a_child_finds_what_was_left_for_it_after_more_forks_than_are_counted() -> None:
    ch = shared()
    tx, rx = ch.producer(), ch.consumer()
    child = ForkedSender(tx)
    for _ in range(1100):
        other = os.fork()
        if other == 0:
            os._exit(0)
        os.waitpid(other, 0)
    del tx
    assert child.received(rx) == [7]


def test_a_program_that_a_process_starts_keeps_no_handle() -> None:
    ch = shared()
    tx, rx = ch.producer(), ch.consumer()
    # With something to do before, it is forked as any child is.
    sleep = subprocess.Popen(["/bin/sleep", str(DEADLINE)], preexec_fn=os.setsid)
    del tx
    with pytest.raises(EndOfChannel):
        rx.receive(timeout=SOON)
    sleep.kill()
    sleep.wait(DEADLINE)


def test_what_the_dead_had_pickled_says_closed() -> None:
    ctx = mp.get_context("fork")
    ch = Channel("u8", 8, "mpsc", name="test-dead-maker")
    theirs, ours = ctx.Pipe()
    process = start(ctx, _pickle_and_die, ch, theirs)
    assert ours.poll(DEADLINE)
    late = ours.recv_bytes()
    process.join(DEADLINE)
    rx = ch.consumer()
    with pytest.raises(EndOfChannel):
        rx.receive(timeout=SOON)
    with pytest.raises(Closed, match="maker closed it or has ended"):
        pickle.loads(late)
    del ch, rx
    gc.collect()


def _pickle_and_die(ch: Channel, pipe: Any) -> None:
    pipe.send_bytes(pickle.dumps(ch.producer()))
    kill_itself()


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_child_sent_waits_for_its_parents_consumer_that_came_along(kind: str) -> None:
    dtype: Any = KINDS[kind]
    ch = Channel(dtype, capacity=1024, mode="mpmc", shared=True)
    ends = ch.producer(), ch.consumer()
    message = b"x" if kind == "bytes" else 7

    def produce() -> None:
        ends[0].send(message)

    process = mp.get_context("fork").Process(target=produce)
    process.start()
    process.join(DEADLINE)
    # What the child was given is cleared up after.
    until(lambda: ch.active_producers == 0)
    assert ends[1].receive(timeout=DEADLINE) == message
    with pytest.raises(EndOfChannel):
        ends[1].receive(timeout=DEADLINE)
