"""Misuse is an error, never corruption: promise 8, a test for each of its words."""

import contextlib
import gc
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import bchan
from bchan import Channel, Closed, Consumer, Producer
from tests.support import DEADLINE, Task, drain, until, until_parked


@pytest.mark.parametrize("capacity", [0, -1, (1 << 40) + 1, 1 << 70])
def test_a_bad_capacity_is_refused_with_the_limit(capacity: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1 and at most {1 << 40}, got {capacity}"):
        Channel("u8", capacity=capacity)


@pytest.mark.parametrize("producers", [0, -1, 4097, 1 << 70])
def test_a_bad_number_of_producers_is_refused_with_the_limit(producers: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1 and at most 4096, got {producers}"):
        Channel("u8", max_producers=producers)
    with pytest.raises(ValueError, match="must be 1 in mode 'spsc', got 2"):
        Channel("u8", mode="spsc", max_producers=2)


@pytest.mark.parametrize("value", [1.5, "8", [8], 1j])
def test_numbers_that_are_no_integers_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=re.escape(f"capacity must be an integer, got {value!r}")):
        Channel("u8", capacity=value)


@pytest.mark.parametrize("mode", ["MPSC", "", None, 5])
def test_an_unknown_mode_is_refused_with_those_there_are(mode: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"'spmc', 'mpmc', got {mode!r}")):
        Channel("u8", mode=mode)


def test_a_ring_beyond_memory_is_refused_and_a_sparse_one_is_not() -> None:
    memory = psutil.virtual_memory().total + psutil.swap_memory().total
    with pytest.raises(MemoryError, match=rf"needs \d+ bytes, this machine has {memory} bytes"):
        Channel("u8", capacity=memory // 4)
    with pytest.raises(MemoryError):
        Channel("V1000000000", capacity=1 << 40)
    before = psutil.Process().memory_info().rss
    sparse = Channel("u8", capacity=1 << 28, mode="spsc")
    sparse.producer().send(1)
    assert sparse.stats().bytes_mapped > 1 << 31
    assert psutil.Process().memory_info().rss - before < 1 << 26


def test_a_map_that_the_system_refuses_is_a_memory_error() -> None:
    code = """
        import resource, bchan
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        try:
            bchan.Channel("u8", capacity=1 << 24, mode="mpsc", max_producers=100)
        except MemoryError as error:
            print(error)
        bchan.Channel("u8", capacity=4, mode="spsc").producer().send(1)
    """
    said = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith("no memory map of 1342"), said.stdout


@pytest.mark.parametrize("options", [{"dtype": "u8"}, {"dtype": bytes}, {"shared": True}], ids=str)
def test_a_wrong_batch_size_is_refused_when_the_iterator_is_made(options: Any) -> None:
    rx = bchan.Channel(capacity=4, mode="spsc", **options).consumer()
    for wrong, error in ((1.5, TypeError), (0, ValueError), (None, TypeError)):
        with pytest.raises(error, match="n must be"):
            rx.batches(wrong)


def test_all_places_taken_is_an_error_and_a_closed_handle_frees_its_place() -> None:
    ch = Channel("u8", mode="mpsc", max_producers=2)
    first, second = ch.producer(), ch.producer()
    with pytest.raises(RuntimeError, match=re.escape("taken (max_producers=2)")):
        ch.producer()
    first.close()
    third = ch.producer()
    assert (ch.active_producers, second.closed, third.closed) == (2, False, False)
    rx = ch.consumer()
    with pytest.raises(RuntimeError, match="one consumer is already open"):
        ch.consumer()
    rx.close()
    ch.consumer()


def test_a_closed_handle_refuses_every_call_and_closing_twice_is_harmless() -> None:
    ch = Channel("u8", capacity=4, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    for handle in (tx, rx):
        assert not handle.closed
        handle.close()
        handle.close()
        assert handle.closed
    buffer = np.zeros(1, dtype="u8")
    calls: list[Callable[[], object]] = [
        partial(tx.send, 1),
        partial(tx.try_send, 1),
        partial(tx.send_batch, [1]),
        partial(tx.try_send_batch, [1]),
        partial(tx.reserve, 1),
        partial(tx.try_reserve, 1),
        partial(tx.commit, 0),
        tx.abort,
        rx.receive,
        rx.try_receive,
        partial(rx.receive_batch, 1),
        partial(rx.try_receive_batch, 1),
        partial(rx.receive_into, buffer),
        partial(rx.try_receive_into, buffer),
        partial(rx.peek, 1),
        partial(rx.try_peek, 1),
        partial(rx.release, 0),
        partial(next, rx),
        partial(next, rx.batches(1)),
        partial(rx.view(1).__enter__),
        partial(tx.batch(1).__enter__),
    ]
    for call in calls:
        with pytest.raises(Closed, match=r"this (producer|consumer) is closed"):
            call()


def test_one_handle_in_two_threads_is_found_out_and_the_channel_goes_on() -> None:
    ch = Channel("u8", capacity=4, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    receiving = Task(partial(rx.receive, timeout=DEADLINE))
    until_parked(ch)
    calls: list[Callable[[], object]] = [rx.receive, rx.try_receive, partial(rx.peek, 1)]
    calls.append(partial(next, rx))
    for call in calls:
        with pytest.raises(RuntimeError, match="this consumer is in use by another thread"):
            call()
    tx.send_batch([1, 2, 3, 4])
    assert receiving.result() == 1
    tx.send(5)
    sending = Task(partial(tx.send_batch, [6, 7], timeout=DEADLINE))
    until_parked(ch, 2)
    calls = [tx.abort, partial(tx.send, 1), partial(tx.try_send_batch, [1])]
    for call in calls:
        with pytest.raises(RuntimeError, match="this producer is in use by another thread"):
            call()
    assert rx.receive_batch(2).tolist() == [2, 3]
    sending.result()
    assert rx.receive_batch(9).tolist() == [4, 5, 6, 7]


def test_hammering_one_handle_from_many_threads_loses_nothing_that_was_accepted() -> None:
    ch = Channel("u8", capacity=64, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    stop = threading.Event()

    def hammer(number: int) -> int:
        accepted = 0
        while not stop.is_set():
            try:
                accepted += tx.try_send(number)
                accepted += tx.try_send_batch([number] * 3)
                with tx.batch(2, timeout=0.001) as slots:
                    slots[:] = number
                    n = len(slots)
                accepted += n
            except (RuntimeError, TimeoutError):
                pass
        return accepted

    received = 0

    def hammer_receiver() -> int:
        got = 0
        while not stop.is_set():
            try:
                got += rx.try_receive() is not None
                got += len(rx.try_receive_batch(10))
                with rx.view(10, timeout=0.001) as view:
                    n = len(view)
                got += n
            except (RuntimeError, TimeoutError):
                pass
        return got

    senders = [Task(partial(hammer, number)) for number in range(1, 4)]
    receivers = [Task(hammer_receiver) for _ in range(3)]
    threading.Event().wait(1.0)
    stop.set()
    accepted = sum(task.result() for task in senders)
    received = sum(task.result() for task in receivers)
    # An interrupted `with` block may leave a claim open: settle both sides.
    for settle in (tx.abort, partial(rx.release, 0)):
        with contextlib.suppress(RuntimeError):
            settle()
    tx.close()
    received += len(drain(rx))
    assert received == ch.stats().sent == ch.stats().received
    assert received >= accepted > 0


def in_child(work: Callable[[], None]) -> int:
    """Run in a forked child; its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_handles_that_came_through_a_fork_are_refused_and_the_parent_goes_on() -> None:
    ch = Channel("u8", capacity=4, mode="mpsc", max_producers=3)
    tx, rx, slots = ch.producer(), ch.consumer(), ch.producer()
    tx.send(1)
    view = slots.reserve(2)

    def use_all() -> None:
        for call in (
            partial(tx.send, 2),
            partial(tx.send_batch, [2]),
            tx.close,
            rx.receive,
            rx.try_receive,
            rx.close,
            partial(slots.commit, 2),
            ch.producer,
            ch.consumer,
            ch.close,
            ch.stats,
            partial(len, ch),
        ):
            with pytest.raises(RuntimeError, match="came through a fork and belongs to the parent"):
                call()
        own = Channel("u8", capacity=4, mode="spsc")
        own.producer().send(5)
        assert own.consumer().receive() == 5

    def drop_all() -> None:
        nonlocal ch, tx, rx, slots, view
        del ch, tx, rx, slots, view
        gc.collect()

    assert in_child(use_all) == 0
    assert in_child(drop_all) == 0
    assert ch.active_producers == 2
    tx.send(2)
    view[:] = [3, 4]
    slots.commit(2)
    slots.close()
    tx.close()
    assert sorted(drain(rx)) == [1, 2, 3, 4]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_fork_while_threads_are_blocked_hangs_neither_process() -> None:
    ch = Channel("u8", capacity=4, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    receiving = Task(partial(rx.receive, timeout=DEADLINE))
    until_parked(ch)

    def use() -> None:
        with pytest.raises(RuntimeError, match="came through a fork"):
            rx.receive()

    assert in_child(use) == 0
    tx.send(1)
    assert receiving.result() == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_fork_while_an_alarm_is_written_leaves_a_child_that_can_disarm_it() -> None:
    ch, (out, into) = Channel("u8", capacity=1 << 16), os.pipe()
    tx, rx = ch.producer(), ch.consumer()
    os.set_blocking(into, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(into, bytes(4096))
    os.set_blocking(into, True)
    assert not ch._arm_receive(into)
    # So long a batch goes without the GIL; then the full pipe stops its thread, which has a lock.
    sending = Task(partial(ch.send_batch, np.zeros(1 << 15, dtype="u8")))
    until(lambda: ") S " in Path(f"/proc/self/task/{sending.native_id}/stat").read_text("ascii"))
    assert len(ch) > 0

    def disarm() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(10)
        ch._disarm_receive(into)
        ch._disarm_send(into)
        tx._disarm_send(into)
        rx._disarm_receive(into)

    try:
        assert in_child(disarm) == 0
    finally:
        os.read(out, 1 << 20)
        sending.result()
        os.close(out)
        os.close(into)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_queue_that_came_through_a_fork_is_refused_and_keeps_its_limit() -> None:
    q = bchan.Queue[int](4)
    q.put(1)

    def use() -> None:
        for call in (partial(q.put, 2), q.get, q.qsize, q.empty, partial(setattr, q, "maxsize", 1)):
            with pytest.raises(RuntimeError, match="came through a fork and belongs to the parent"):
                call()

    assert in_child(use) == 0
    for n in (2, 3, 4):
        q.put_nowait(n)
    assert [q.get() for _ in range(4)] == [1, 2, 3, 4]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_representation_in_a_child_says_whose_the_channel_is() -> None:
    ch, parent = Channel("u8", capacity=4, mode="spsc"), os.getpid()
    tx, rx = ch.producer(), ch.consumer()

    def represent() -> None:
        assert repr(ch) == f"<bchan.Channel of uint64, spsc, of process {parent}>"
        assert (repr(tx), repr(rx)) == ("<bchan.Producer open>", "<bchan.Consumer open>")

    assert in_child(represent) == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_fork_in_a_signal_handler_does_not_let_the_child_wait_on() -> None:
    ch = Channel("u8", capacity=4, mode="spsc")
    tx, rx = ch.producer(), ch.consumer()
    children: list[int] = []

    def handler(*_: object) -> None:
        children.append(os.fork())

    def press() -> None:
        until_parked(ch)
        threading.Event().wait(0.02)
        os.kill(os.getpid(), signal.SIGUSR1)
        until(lambda: bool(children))
        tx.send(1)

    before = signal.signal(signal.SIGUSR1, handler)
    pressing = Task(press)
    try:
        assert rx.receive(timeout=DEADLINE) == 1
    except RuntimeError as refused:
        os._exit("came through a fork" not in str(refused))  # this is the child
    finally:
        signal.signal(signal.SIGUSR1, before)
    pressing.result()
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_leaving_the_parents_blocks_in_a_child_masks_nothing() -> None:
    code = """
        import os, sys, bchan
        with bchan.Channel("u8", mode="spsc") as ch, ch.producer() as tx, ch.consumer() as rx:
            if os.fork() == 0:
                sys.exit(7)
            assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
            tx.send(1)
            assert rx.receive() == 1
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], timeout=DEADLINE, check=True)


def test_a_fork_that_python_knows_nothing_of_is_noticed() -> None:
    code = """
        import ctypes, os, bchan
        ch = bchan.Channel("u8", mode="spsc")
        tx = ch.producer()
        pid = ctypes.PyDLL(None).fork()
        if pid == 0:
            try:
                tx.send(1)
            except RuntimeError:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert len(ch) == 0
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], timeout=DEADLINE, check=True)


def test_a_channel_cannot_be_collected_while_a_thread_is_blocked_on_it() -> None:
    ch = Channel("u8", capacity=4, mode="spsc")
    gone = weakref.ref(ch)
    tx = ch.producer()
    receiving = Task(partial(lambda rx: rx.receive(timeout=DEADLINE), ch.consumer()))
    until_parked(ch)
    del ch
    gc.collect()
    assert gone() is None, "the Python object goes; what it stands for stays with the handles"
    tx.send(1)
    assert receiving.result() == 1


def test_dropping_the_last_producer_wakes_a_blocked_receiver() -> None:
    ch = Channel("u8", capacity=4, mode="spsc")
    tx = ch.producer()
    receiving = Task(partial(drain, ch.consumer()))
    until_parked(ch)
    del tx
    gc.collect()
    assert receiving.result() == []


def test_handles_are_made_by_channels_alone() -> None:
    for make in (Producer, Consumer):
        with pytest.raises(TypeError):
            make()  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            make("no channel")  # type: ignore[arg-type]


def test_hot_methods_check_the_class_of_self() -> None:
    for bad in (None, 5, Channel("u8"), Channel("u8").consumer()):
        with pytest.raises(TypeError):
            Producer.send(bad, 1)  # type: ignore[arg-type]
    ch = Channel("u8", capacity=1, mode="spsc")
    tx = ch.producer()
    Producer.send(tx, 1)
    bchan._core.Producer.close(tx)
    with pytest.raises(TypeError, match="must be of producers, consumers, channels or queues"):
        bchan._core.hot_methods(int, "items", str)


def test_subclasses_work_like_their_bases() -> None:
    class OurProducer(Producer):
        def twice(self, item: int) -> None:
            self.send(item)
            self.send(item)

    ch = Channel("u8", capacity=4, mode="spsc")
    OurProducer(ch).twice(3)
    assert drain(ch.consumer()) == [3, 3]


def test_an_item_that_closes_the_handle_while_it_is_converted_is_refused() -> None:
    ch = Channel("u8", capacity=4, mode="spsc")
    tx = ch.producer()

    class Closing:
        def __index__(self) -> int:
            tx.close()
            return 1

    with pytest.raises(Closed):
        tx.send(Closing())
    ch = Channel("u8", capacity=4, mode="spsc")
    tx = ch.producer()
    with pytest.raises(Closed):
        tx.send_batch([1, Closing()])
    assert drain(ch.consumer()) == []


def test_an_item_that_sends_while_it_is_converted_comes_after_what_it_sent() -> None:
    ch = Channel("u8", capacity=4, mode="spsc")
    tx = ch.producer()

    class Sending:
        def __index__(self) -> int:
            tx.send(1)
            return 2

    tx.send(Sending())
    assert ch.consumer().receive_batch(4).tolist() == [1, 2]


SHUTDOWN = """
    import threading
    import bchan

    ch = bchan.Channel("u8", capacity=2, mode="mpsc", max_producers=4, keep_open=True)
    idle, tx, rx = ch.producer(), ch.producer(), ch.consumer()
    tx.send_batch([1, 2])
    {keep}

    def receive():
        other = bchan.Channel("u8", mode="spsc")
        tx = other.producer()
        other.consumer().receive({timeout})

    threading.Thread(target=lambda: tx.send(3, {timeout}), daemon=True).start()
    threading.Thread(target=receive, daemon=True).start()
    def send_batch():
        ch.producer().send_batch(range(9), {timeout})

    threading.Thread(target=send_batch, daemon=True).start()
    while ch.stats().waits < 2:
        pass
    print("bye", flush=True)
"""


@pytest.mark.parametrize("keep", ["", "import builtins; builtins.kept = (ch, tx, rx)", "del rx"])
@pytest.mark.parametrize("timeout", ["timeout=None", "timeout=0.0005", "timeout=0.1"])
def test_the_interpreter_shuts_down_with_blocked_daemon_threads(keep: str, timeout: str) -> None:
    code = textwrap.dedent(SHUTDOWN).format(keep=keep, timeout=timeout)
    if timeout == "timeout=0.0005":
        code = code.replace("while ch.stats().waits < 2:\n    pass\n", "")
        code = "import sys, threading; threading.excepthook = lambda *_: None\n" + code
    for _ in range(3):
        ended = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert (ended.returncode, ended.stdout) == (0, "bye\n"), ended.stderr


@pytest.mark.parametrize("batch", ["slow()", "[Slow()]"])
def test_the_interpreter_shuts_down_while_a_call_runs_python_code(batch: str) -> None:
    code = """
        import threading, time
        import bchan

        tx = bchan.Channel("u8", mode="spsc").producer()
        started = threading.Event()

        def slow():
            while True:
                started.set()
                time.sleep(0.001)
                yield 1

        class Slow:
            def __index__(self):
                return sum(slow())

        threading.Thread(target=lambda: tx.send_batch(BATCH), daemon=True).start()
        started.wait()
    """
    code = textwrap.dedent(code).replace("BATCH", batch)
    for _ in range(5):
        subprocess.run([sys.executable, "-c", code], timeout=DEADLINE, check=True)


def test_ctrl_c_ends_a_program_that_waits() -> None:
    code = """
        import bchan
        ch = bchan.Channel("u8", mode="spsc")
        tx, rx = ch.producer(), ch.consumer()
        print("ready", flush=True)
        rx.receive()
    """
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    process = psutil.Process(program.pid)
    while process.status() != psutil.STATUS_SLEEPING:
        pass
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=DEADLINE)
    assert "KeyboardInterrupt" in errors
    assert program.returncode == -signal.SIGINT


def nested(depth: int, innermost: Any = "u1") -> np.dtype[Any]:
    """A record in a record, so many deep."""
    dtype: np.dtype[Any] = np.dtype(innermost)
    for _ in range(depth):
        dtype = np.dtype([("a", dtype)])
    return dtype


@pytest.mark.parametrize("shared", [False, True], ids=["heap", "shared"])
@pytest.mark.parametrize("depth", [33, 100, 1_000, 20_000])
def test_a_dtype_nested_deeper_than_the_limit_is_refused(depth: int, shared: bool) -> None:
    with pytest.raises(ValueError, match="nested at most 32 deep"):
        Channel(nested(depth), shared=shared)


@pytest.mark.parametrize("shared", [False, True], ids=["heap", "shared"])
def test_a_dtype_nested_as_deep_as_the_limit_works(shared: bool) -> None:
    dtype = nested(32)
    ch: Any = Channel(dtype, shared=shared)
    ch.send_batch(np.array([7], "u1").view(dtype))
    assert ch.receive(timeout=DEADLINE).tobytes() == b"\x07"
    if shared:
        again: Any = bchan._sharing.look(ch._fd)
        assert again.dtype == dtype
    with pytest.raises(TypeError, match="array must have the channel's dtype"):
        ch.send_batch(np.zeros(1, nested(200)))


def test_a_record_of_a_billion_numbers_is_looked_through_at_once() -> None:
    dtype: np.dtype[Any] = np.dtype("u1")
    for _ in range(30):
        dtype = np.dtype([("a", dtype), ("b", dtype)])
    bchan._core.check_dtype(dtype)


def test_times_without_a_unit_are_found_however_deep_they_are() -> None:
    with pytest.raises(ValueError, match="a unit for its times"):
        Channel(nested(32, "M8"))
