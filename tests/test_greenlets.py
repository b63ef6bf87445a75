"""Where gevent or eventlet has patched `threading`, calls that wait let other greenlets run."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.support import DEADLINE

PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
}
PATCHED = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed here"),
    )
    for name in PATCHES
]

BEGIN = """
import faulthandler, sys, threading, time
faulthandler.dump_traceback_later(20, exit=True)
import bchan

def together(*works):
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

def raised(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except Exception as error:
        return type(error)
"""

QUEUES = """
for make in (bchan.Queue, bchan.LifoQueue, bchan.PriorityQueue):
    q, out = make(1), []
    def work():
        for _ in range(10):
            out.append(q.get())
            q.task_done()
    together(lambda: [q.put(i) for i in range(10)], work, q.join)
    assert sorted(out) == list(range(10)), out
q, out = bchan.SimpleQueue(), []
together(lambda: [out.append(q.get()) for _ in range(10)], lambda: [q.put(i) for i in range(10)])
assert out == list(range(10)), out
q = bchan.Queue(1)
assert raised(q.get, timeout=0.05) is bchan.Empty
q.put(1)
assert raised(q.put, 2, timeout=0.05) is bchan.Full
together(lambda: out.append(raised(q.put, 3)), q.shutdown)
assert out[-1] is bchan.ShutDown, out
"""

CHANNELS = """
for mode in ("spsc", "mpsc", "spmc", "mpmc"):
    for dtype, message in (("u8", int), (object, str), (bytes, lambda n: b"%d" % n)):
        for shared in (False, True):
            ch = bchan.Channel(dtype, 1, mode, shared=shared)
            tx, rx, out = ch.producer(), ch.consumer(), []
            wanted = [message(n) for n in range(10)]
            def send():
                with tx:
                    for item in wanted:
                        tx.send(item)
            together(lambda: out.extend(rx), send)
            assert out == wanted, (mode, dtype, shared, out)
ch, out = bchan.Channel(capacity=1), []
receive = lambda: [out.append(ch.receive()) for i in range(10)]
together(lambda: [ch.send(i) for i in range(10)], receive)
assert out == list(range(10)), out
assert raised(ch.receive, timeout=0.05) is TimeoutError
together(lambda: out.append(raised(ch.receive)), ch.close)
assert out[-1] is bchan.EndOfChannel, out
"""

BATCHES = """
import numpy as np
for mode in ("spsc", "mpmc"):
    ch = bchan.Channel("u8", 4, mode)
    tx, rx, out = ch.producer(), ch.consumer(), []
    wanted = np.arange(100, dtype="u8")
    def send():
        with tx:
            tx.send_batch(wanted[:50])
            for start in range(50, 100, 2):
                done = 0
                while done < 2:
                    view = tx.reserve(2 - done)
                    view[:] = wanted[start + done : start + done + len(view)]
                    tx.commit()
                    done += len(view)
    def receive():
        out.extend(rx.receive_batch(3))
        room = np.zeros(3, "u8")
        out.extend(room[: rx.receive_into(room)])
        out.extend(rx.peek(3))
        rx.release()
        for batch in rx.batches(5):
            out.extend(batch)
    together(receive, send)
    assert out == list(wanted), (mode, out)
"""

SELECT = """
numbers, words, out = bchan.Channel(capacity=1), bchan.Channel(bytes, capacity=1), []
def work():
    for _ in range(20):
        out.append(bchan.select([numbers, words, bchan.after(10)]).item)
send_words = lambda: [words.send(b"w") for i in range(10)]
together(work, lambda: [numbers.send(i) for i in range(10)], send_words)
assert sorted(map(str, out)) == sorted([*map(str, range(10)), *["b'w'"] * 10]), out
assert raised(bchan.select, [numbers], timeout=0.05) is TimeoutError
receive = lambda: [out.append(numbers.receive()) for i in range(10)]
together(lambda: [bchan.select([(numbers, i)]) for i in range(10)], receive)
assert out[-10:] == list(range(10)), out
"""

BUSY = """
ch, out = bchan.Channel("u8", 1, "spsc"), []
rx = ch.consumer()
receive = lambda: out.append(rx.receive())
together(receive, lambda: out.append(raised(rx.receive)), lambda: ch.producer().send(7))
assert sorted(map(str, out)) == sorted(["7", "<class 'RuntimeError'>"]), out
"""

KILLED = """
import gevent
ch = bchan.Channel("u8", 1)
waiting = gevent.spawn(ch.receive)
gevent.sleep(0.01)
waiting.kill()
ch.send(7)
with gevent.Timeout(0.05, False):
    ch.send(8)
assert (ch.receive(), ch.try_receive()) == (7, None)
"""

PROGRAMS = {
    "queues": QUEUES,
    "channels": CHANNELS,
    "batches": BATCHES,
    "select": SELECT,
    "a handle in use": BUSY,
}


def run(patch: str, program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{PATCHES[patch]}\n{BEGIN}\n{program}"],
        capture_output=True,
        text=True,
        timeout=4 * DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("patch", PATCHED)
@pytest.mark.parametrize("program", PROGRAMS)
def test_greenlets_that_wait_for_each_other_all_go_on(patch: str, program: str) -> None:
    run(patch, PROGRAMS[program])


@pytest.mark.skipif(find_spec("gevent") is None, reason="gevent is not installed here")
def test_a_greenlet_that_is_killed_while_it_waits_has_touched_nothing() -> None:
    run("gevent", KILLED)


@pytest.mark.parametrize("patch", PATCHED)
def test_real_threads_are_not_asked_again_and_again(patch: str) -> None:
    """The hub is there, and `threading` not patched: a thread parks as ever."""
    program = f"""
import {patch}, threading, bchan
ch = bchan.Channel("u8")
thread = threading.Thread(target=ch.receive)
thread.start()
while not ch.stats().waits:
    pass
ch.send(1)
thread.join()
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
