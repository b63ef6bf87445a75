"""Whichever allocation of the interpreter fails inside a call: MemoryError, and no message is lost.

Each program runs in a child, where `_testcapi` has the nth allocation fail, alone or with all after
it. An error that was due anyway keeps its class, and may lose its text.
"""

import subprocess
import sys
import sysconfig

import pytest

from tests.support import DEADLINE

pytest.importorskip("_testcapi")
pytestmark = pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    reason="a list that CPython 3.13 has no memory for corrupts its heap",
)

BEGIN = """
import faulthandler, gc, sys
import _testcapi
import bchan
faulthandler.dump_traceback_later(50, exit=True)
gc.disable()

def outcomes(call, before=lambda: None, most=30):
    '''What comes of a call whose nth allocation fails, alone or with all after it.'''
    for alone in (True, False):
        for n in range(most):
            before()
            _testcapi.set_nomemory(n, n + 1 if alone else 0)
            try:
                outcome = call()
            except BaseException as error:
                _testcapi.remove_mem_hooks()
                outcome = error
            else:
                _testcapi.remove_mem_hooks()
            yield n, outcome

def refuse_others(name, call, *allowed, before=lambda: None):
    try:
        call()
    except (MemoryError, *allowed):
        pass
    for n, outcome in outcomes(call, before):
        is_fine = not isinstance(outcome, BaseException) or type(outcome) in (MemoryError, *allowed)
        assert is_fine, (name, n, type(outcome), outcome)

payload, mode = sys.argv[1:]
options, item = {
    "numbers": (dict(dtype="u8"), lambda n: 2**40 + n),
    "shared numbers": (dict(dtype="u8", shared=True), lambda n: 2**40 + n),
    "records": (dict(dtype=[("a", "u4"), ("b", "f8")]), lambda n: (n, 2.0)),
    "objects": (dict(dtype=object), lambda n: [n]),
    "bytes": (dict(dtype=bytes), lambda n: b"%1000d" % n),
    "pickled": (dict(shared=True), lambda n: "%100d" % n),
}[payload]
ch = bchan.Channel(capacity=4096, mode=mode, **options)
tx, rx = ch.producer(), ch.consumer()
items = [item(n) for n in range(3)]
plain = lambda batch: [it.item() if hasattr(it, "item") else it for it in batch]

def all_left():
    left = []
    while len(batch := rx.try_receive_batch(64)):
        left += plain(batch)
    return left

for _ in range(2):
    tx.send_batch(items)
    assert all_left() == items
"""

PROGRAMS = {
    "attributes": """
q = bchan.Queue(3)
for name in (
    *("capacity", "max_producers", "max_message_size"),
    *("active_producers", "closed", "dtype", "mode"),
):
    refuse_others(name, lambda: getattr(ch, name))
for name in ("maxsize", "unfinished_tasks", "is_shutdown"):
    refuse_others(name, lambda: getattr(q, name))
refuse_others("closed", lambda: (tx.closed, rx.closed))
for call in (ch.stats, ch.__len__, ch.__repr__, tx.__repr__, rx.__repr__, q.qsize):
    refuse_others(call.__name__, call)
""",
    "sending": """
calls = {
    tx.send: (1, lambda: tx.send(items[0], 0)),
    tx.try_send: (1, lambda: tx.try_send(items[0])),
    tx.send_batch: (3, lambda: tx.send_batch(items, 0)),
    tx.try_send_batch: (3, lambda: tx.try_send_batch(items)),
}
for call, (wanted, made) in calls.items():
    for n, outcome in outcomes(made):
        left = all_left()
        is_refused = isinstance(outcome, BaseException)
        assert not is_refused or type(outcome) is MemoryError, (call, n, outcome)
        assert left == items[: len(left)], (call, n, left)
        assert len(left) == wanted or is_refused or outcome == len(left), (call, n, left, outcome)
""",
    "receiving": """
def begin():
    assert all_left() == []
    tx.send_batch(items)

calls = {
    rx.receive: lambda: [rx.receive(0)],
    rx.try_receive: lambda: [rx.try_receive()],
    rx.receive_batch: lambda: rx.receive_batch(3, 0),
    rx.try_receive_batch: lambda: rx.try_receive_batch(3),
    rx.__next__: lambda: [next(rx)],
}
for call, made in calls.items():
    # The list that holds it may be what can't be made.
    held = []
    for n, outcome in outcomes(made, begin):
        is_refused = isinstance(outcome, BaseException)
        assert not is_refused or type(outcome) is MemoryError, (call, n, outcome)
        got = plain(getattr(outcome, "received", []) if is_refused else outcome)
        left = all_left()
        is_lost_by_us = is_refused and call in (rx.receive, rx.try_receive, rx.__next__)
        assert got + left == items or is_lost_by_us and left == items[1:], (call, n, got, left)
""",
    "errors": """
ended = bchan.Channel(capacity=64, mode="spsc", **options)
closed, idle = ended.producer(), ended.consumer()
closed.close()
wrong = {
    ValueError: [
        lambda: tx.send(items[0], -1),
        lambda: rx.receive_batch(0),
        lambda: bchan.Queue(1 << 60),
    ],
    TypeError: [
        lambda: rx.receive("x"),
        lambda: tx.send(items[0], other=1),
        lambda: rx.receive_batch("x"),
    ],
    bchan.Closed: [lambda: closed.send(items[0]), lambda: closed.send_batch(items)],
    bchan.EndOfChannel: [lambda: idle.receive(), lambda: idle.receive_batch(3)],
    TimeoutError: [lambda: rx.receive(0), lambda: rx.receive_batch(3, 0)],
}
for error, calls in wrong.items():
    for n, call in enumerate(calls):
        refuse_others((error, n), call, error)
""",
    "claims": """
if payload != "pickled" and payload != "objects":
    n = () if payload == "bytes" else (1,)
    def begin():
        for end in (tx.abort, rx.release):
            try:
                end()
            except RuntimeError:
                pass
        all_left()
        tx.send(items[0])
    refuse_others("try_reserve", lambda: tx.try_reserve(1), RuntimeError, before=begin)
    refuse_others("reserve", lambda: tx.reserve(1, 0), RuntimeError, before=begin)
    refuse_others("try_peek", lambda: rx.try_peek(*n), RuntimeError, before=begin)
    refuse_others("peek", lambda: rx.peek(*n, 0), RuntimeError, before=begin)
    begin()
    assert all_left() == items[:1]
""",
}
PAYLOADS = ["numbers", "shared numbers", "records", "objects", "bytes", "pickled"]


@pytest.mark.parametrize("mode", ["spsc", "mpmc"])
@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_an_allocation_that_fails_in_a_call_raises_memory_error_and_loses_nothing(
    program: str, payload: str, mode: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{BEGIN}\n{PROGRAMS[program]}\nprint('survived')", payload, mode],
        capture_output=True,
        text=True,
        timeout=4 * DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "survived\n"), done.stderr[-3000:]
