"""When memory runs out, calls raise MemoryError; the channel goes on and nothing is lost.

Each program runs in a child whose memory is used up: by an address space that is limited, or by as
many maps as the system allows. It keeps what it needs afterwards ready before.
"""

import subprocess
import sys

import pytest

from tests.support import DEADLINE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="maps and limits of Linux")

BEGIN = """
import asyncio, faulthandler, gc, mmap, os, resource, sys, threading
import numpy as np
import bchan
faulthandler.dump_traceback_later(60, exit=True)
gc.disable()
N = 100
filled, maps = [None] * 2_000_000, [None] * 70_000
made = [None] * 1000
# What the interpreter itself needs: given back to its own pools once memory is used up.
spare = [bytearray(size) for size in (40, 100, 200, 300, 400, 480) for _ in range(200)]

def use_up():
    if sys.argv[1] == "maps":
        n = 0
        try:
            while True:
                kind = mmap.PROT_READ | (mmap.PROT_WRITE if n % 2 else 0)
                maps[n] = mmap.mmap(-1, 4096, prot=kind)
                n += 1
        except (OSError, MemoryError):
            pass
    else:
        with open("/proc/self/statm") as statm:
            pages = int(statm.read().split()[0])
        limit = pages * resource.getpagesize() + (1 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    at = 0
    for size in (1 << 16, 4096, 200, 40):
        try:
            while True:
                filled[at] = bytearray(size)
                at += 1
        except MemoryError:
            pass
    spare.clear()

def give_back():
    filled.clear()
    maps.clear()
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

def attempt(call, *arguments):
    try:
        call(*arguments)
    except MemoryError:
        return False
    return True

def times(call):
    for n in range(N):
        try:
            made[n] = call(n)
        except MemoryError:
            pass
"""

PAIRS = """
kinds = [("u8", int), (object, str), (bytes, lambda n: b"%1000d" % n)]
modes = ["spsc", "mpmc"]
pairs = [(bchan.Channel(d, 16, m, shared=s and d is not object), f)
         for d, f in kinds for m in modes for s in (False, True)]
pairs = [(ch, ch.producer(), ch.consumer(), [f(1000 + n) for n in range(16)]) for ch, f in pairs]
sent, got = [0] * len(pairs), [[None] * 16 for _ in pairs]
count = [0] * len(pairs)
"""

PROGRAMS = {
    "channel": """
use_up()
times(lambda n: bchan.Channel("u8", 16, "spsc"))
times(lambda n: bchan.Channel(object, 16))
times(lambda n: bchan.Channel(bytes, 16, shared=True))
times(lambda n: bchan.Queue(16))
times(lambda n: bchan.Channel("u8", 16, "mpsc", max_producers=4096))
give_back()
ch = bchan.Channel()
ch.send(1)
assert ch.receive() == 1
""",
    "handles": """
# A consumer whose object could not be made has never come.
channels = [bchan.Channel("u8", 16, "spsc") for _ in range(N)]
several = [bchan.Channel("u8", 16, "mpsc", max_producers=4096) for _ in range(3)]
use_up()
times(lambda n: channels[n].producer())
for n in range(N):
    made[N + n] = made[n]
    made[n] = None
times(lambda n: channels[n].consumer())
for n in range(3):
    try:
        made[2 * N + n] = several[n].consumer()
    except MemoryError:
        pass
give_back()
for n, channel in enumerate(channels):
    tx = made[N + n] or channel.producer()
    rx = made[n] or channel.consumer()
    tx.send(n)
    assert rx.receive() == n
""",
    "send and receive": PAIRS
    + """
use_up()
for n, (ch, tx, rx, messages) in enumerate(pairs):
    for message in messages:
        try:
            if not tx.try_send(message):
                break
        except MemoryError:
            break
        sent[n] += 1
    for k in range(16):
        try:
            item = rx.try_receive()
        except MemoryError:
            break
        if item is None:
            break
        got[n][k] = item
        count[n] += 1
give_back()
for n, (ch, tx, rx, messages) in enumerate(pairs):
    rest = rx.try_receive_batch(16)
    assert [*got[n][: count[n]], *rest] == messages[: sent[n]], (n, sent[n], count[n])
    tx.send(messages[0])
    assert rx.receive() == messages[0]
""",
    "queues": """
q, bounded = bchan.Queue(), bchan.Queue(3)
items = [str(n) for n in range(100_000)]
use_up()
n = 0
try:
    for item in items:
        q.put(item)
        n += 1
except MemoryError:
    pass
times(lambda n: bounded.put_nowait(items[n]) if not bounded.full() else None)
assert q.qsize() == q.unfinished_tasks == n, (q.qsize(), n)
give_back()
assert [q.get() for _ in range(n)] == items[:n]
assert bounded.qsize() == 3
q.put("more")
assert q.get() == "more"
""",
    "errors": """
ch, q = bchan.Channel("u8", 1), bchan.Queue(1)
rx = bchan.Channel("u8", 1, "spsc").consumer()
ch.send(1)
q.put(1)
caught = [0]
def raising(call, *arguments):
    try:
        call(*arguments)
    except MemoryError:
        pass
    except Exception:
        caught[0] += 1
use_up()
for _ in range(N):
    raising(ch.send, "wrong")
    raising(ch.send, 2, 0.0)
    raising(q.put_nowait, 2)
    raising(rx.receive, 0.0)
    raising(ch.receive, -1)
    raising(bchan.select, [rx], 0.0)
give_back()
assert ch.receive() == 1 and q.get() == 1
""",
    "tasks in line": """
ch, shared = bchan.Channel("u8", 4), bchan.Channel("u8", 4, shared=True)
descriptors = list(range(10_000, 15_000))
refused = [0, 0]
use_up()
for n, channel in enumerate((ch, shared)):
    for descriptor in descriptors:
        try:
            channel._arm_receive(descriptor)
        except (MemoryError, RuntimeError):
            refused[n] += 1
give_back()
assert refused[0] > 0
for descriptor in descriptors:
    ch._disarm_receive(descriptor)
    shared._disarm_receive(descriptor)
for channel in (ch, shared):
    channel.send(1)
    assert channel.receive() == 1
""",
    "participants": """
ch = bchan.Channel("u8", 1, "mpsc", max_producers=1000, shared=True)
handles = [ch.producer() for _ in range(1000)]
attempt(ch._participants)
use_up()
attempt(ch._participants)
attempt(ch.stats)
give_back()
assert len(ch._participants()) == 1000
""",
    "items with gaps": """
cell = np.dtype([("few", "u1"), ("many", "u4")], align=True)
dtype = np.dtype([("cells", cell, (200_000,))])
use_up()
times(lambda n: bchan.Channel(dtype, 1))
give_back()
bchan.Channel(dtype, 1).send(np.zeros(1, dtype)[0])
""",
    "select and tasks": """
channels = [bchan.Channel("u8", 4) for _ in range(4)]
got = [None] * N
async def receive(n):
    got[n] = await channels[n % 4].areceive()
loop = asyncio.new_event_loop()
loop.run_until_complete(asyncio.sleep(0))
for channel in channels:
    channel.send(1)
use_up()
taken = 0
for n in range(4):
    try:
        bchan.select(channels, 0.0)
        taken += 1
    except (MemoryError, TimeoutError):
        pass
for n in range(4):
    try:
        loop.run_until_complete(asyncio.wait_for(receive(n), 0.01))
    except (MemoryError, TimeoutError, OSError):
        pass
give_back()
left = sum(len(channel) for channel in channels)
assert left + taken + sum(item is not None for item in got) == 4, (left, taken, got[:4])
for channel in channels:
    channel.try_send(5)
    channel.receive()
""",
}


MIRRORS = """
channels = [bchan.Channel("u8", 1 << 17, "spsc") for _ in range(N)]
def pages():
    return int(os.pread(statm, 100, 0).split()[0])
statm = os.open("/proc/self/statm", os.O_RDONLY)
n = 0
try:
    while True:
        maps[n] = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | (mmap.PROT_WRITE if n % 2 else 0))
        n += 1
except OSError:
    pass
refused = 0
for spare in range(1, 8):
    # A map in the midst of others that go leaves places for new ones.
    maps[n - spare] = None
    channel, before = channels[spare], pages()
    try:
        handles = channel.producer(), channel.consumer()
    except MemoryError:
        continue
    if not channel.stats().mirrored:
        refused += 1
        grown = pages() - before
        assert grown < 128, (spare, grown)
maps.clear()
assert refused > 0
"""


def test_a_mirror_map_that_is_refused_leaves_nothing_behind() -> None:
    _check(MIRRORS, "maps")


@pytest.mark.parametrize("limit", ["space", "maps"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_without_memory_calls_raise_and_the_channel_goes_on(program: str, limit: str) -> None:
    _check(PROGRAMS[program], limit)


def _check(program: str, limit: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{BEGIN}\n{program}\nprint('survived')", limit],
        capture_output=True,
        text=True,
        timeout=4 * DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "survived\n"), done.stderr[-3000:]
