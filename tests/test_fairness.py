"""Tasks and threads that wait are served first come, first served, with one wake for each turn."""

import asyncio
import multiprocessing
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any

import anyio
import pytest

import bchan
from bchan import Channel, aselect, select
from bchan._types import Mode
from tests.support import DEADLINE, Task, until, until_asleep, until_parked

DTYPES = ["O", "u8", bytes]
Backend = tuple[str, dict[str, Any]]
BACKENDS: list[Backend] = [
    ("asyncio", {"use_uvloop": False}),
    ("asyncio", {"use_uvloop": True}),
    ("trio", {}),
]

every_payload = pytest.mark.parametrize("dtype", DTYPES)
everywhere = pytest.mark.parametrize("shared", [False, True])


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run in a new loop, with a deadline."""
    return asyncio.run(asyncio.wait_for(main, DEADLINE))


def item(dtype: Any, number: int) -> Any:
    """A message that says a number."""
    return b"%d" % number if dtype is bytes else number


def number(message: Any) -> int:
    return int(message)


async def cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def in_a_row(calls: Sequence[Callable[[], Awaitable[Any]]]) -> list[asyncio.Task[Any]]:
    """Have tasks wait, one after the other."""
    tasks: list[asyncio.Task[Any]] = []
    for call in calls:
        tasks.append(asyncio.ensure_future(call()))
        # One step to begin, one after the pause in which others run.
        for _ in range(3):
            await asyncio.sleep(0)
    return tasks


def full(dtype: Any, shared: bool, mode: Mode = "mpmc") -> tuple[Any, Any, Any]:
    """A channel of one slot, which is taken, and ways to send and to receive."""
    ch = Channel(dtype, capacity=1, mode=mode, shared=shared)
    tx, rx = (ch, ch) if mode == "mpmc" else (ch.producer(), ch.consumer())
    assert tx.try_send(item(dtype, 99))
    while tx.try_send(item(dtype, 99)):
        pass
    return ch, tx, rx


async def serve(rx: Any, turns: int) -> Counter[int]:
    """A consumer that is slower than all who send to it."""
    served: Counter[int] = Counter()
    while served.total() < turns:
        message = await rx.areceive()
        served[number(message)] += message != item(bytes, 99) and message != 99
        await asyncio.sleep(0.0005)
    return served


async def serve_each(rx: Any, who: int, least: int) -> None:
    """Serve until each of so many has had its turns; none waits a hundred times as long."""
    served: Counter[int] = Counter()
    while min(served[n] for n in range(who)) < least:
        served += await serve(rx, 1)
        assert served.total() <= 100 * least, served


@everywhere
@every_payload
@pytest.mark.parametrize("mode", ["spsc", "mpmc"])
@pytest.mark.parametrize("way", ["asend", "asend_batch", "aselect"])
def test_tasks_that_wait_to_send_share_the_turns(
    way: str, mode: Mode, dtype: Any, shared: bool
) -> None:
    ch, tx, rx = full(dtype, shared, mode)

    async def send(message: Any) -> None:
        while True:
            match way:
                case "asend":
                    await tx.asend(message)
                case "asend_batch":
                    await tx.asend_batch([message])
                case _:
                    await aselect([(tx, message)])

    async def main() -> tuple[Counter[int], int]:
        tasks = await in_a_row([partial(send, item(dtype, n)) for n in range(2)])
        wakes = ch.stats().wakes
        served = await serve(rx, 200)
        wakes = ch.stats().wakes - wakes
        await cancel(tasks)
        return served, wakes

    served, wakes = run(main())
    assert min(served[0], served[1]) >= 95, served
    # Those of the consumer are among them: it waits in each turn. Two a sender would be 600.
    assert wakes <= 520, f"{wakes} wakes for 200 turns"


@everywhere
@every_payload
@pytest.mark.parametrize("mode", ["spsc", "mpmc"])
@pytest.mark.parametrize("way", ["areceive", "areceive_batch", "aselect"])
def test_tasks_that_wait_to_receive_share_the_messages(
    way: str, mode: Mode, dtype: Any, shared: bool
) -> None:
    ch = Channel(dtype, capacity=8, mode=mode, shared=shared)
    tx, rx = (ch, ch) if mode == "mpmc" else (ch.producer(), ch.consumer())
    done: Counter[int] = Counter()
    turns = 200

    async def work(me: int) -> None:
        while True:
            match way:
                case "areceive":
                    await rx.areceive()
                case "areceive_batch":
                    await rx.areceive_batch(1)
                case _:
                    await aselect([rx])
            done[me] += 1

    async def main() -> int:
        tasks = await in_a_row([partial(work, n) for n in range(2)])
        wakes = ch.stats().wakes
        for n in range(turns):
            await tx.asend(item(dtype, n))
            while done.total() <= n:
                await asyncio.sleep(0.0005)
        wakes = ch.stats().wakes - wakes
        await cancel(tasks)
        return int(wakes)

    # On a loaded machine a wake may meet a task that is about to look; two a turn would be 400.
    wakes = run(main())
    assert min(done[0], done[1]) >= 95, done
    assert wakes <= turns * 19 // 10, f"{wakes} wakes for {turns} turns"


@everywhere
@every_payload
@pytest.mark.parametrize("mode", ["spsc", "mpsc", "spmc", "mpmc"])
def test_waiting_senders_are_served_in_the_order_in_which_they_came(
    mode: Mode, dtype: Any, shared: bool
) -> None:
    _ch, tx, rx = full(dtype, shared, mode)

    async def main() -> list[int]:
        tasks = await in_a_row([partial(tx.asend, item(dtype, n)) for n in range(5)])
        served: list[int] = []
        while len(served) < 5:
            message = number(await rx.areceive())
            served += [message] if message != 99 else []
            # So that each has its turn alone.
            await asyncio.sleep(0.01)
        await asyncio.gather(*tasks)
        return served

    assert run(main()) == [0, 1, 2, 3, 4]


@everywhere
@every_payload
@pytest.mark.parametrize("mode", ["spsc", "mpsc", "spmc", "mpmc"])
@pytest.mark.parametrize("pause", [0.0, 0.01])
def test_waiting_receivers_are_served_in_the_order_in_which_they_came(
    pause: float, mode: Mode, dtype: Any, shared: bool
) -> None:
    ch = Channel(dtype, capacity=8, mode=mode, shared=shared)
    tx, rx = ch.producer(), ch.consumer()

    async def main() -> tuple[list[int], int]:
        tasks = await in_a_row([rx.areceive] * 5)
        for n in range(5):
            await tx.asend(item(dtype, n))
            if pause:
                await asyncio.sleep(pause)
        return [number(message) for message in await asyncio.gather(*tasks)], ch.stats().wakes

    received, wakes = run(main())
    assert received == [0, 1, 2, 3, 4]
    assert wakes <= 5


def test_tasks_with_a_handle_each_are_served_in_their_order() -> None:
    ch = Channel(capacity=8)

    async def main() -> list[int]:
        rxs = [ch.consumer() for _ in range(5)]
        tasks = await in_a_row([rxs[n % 3].areceive for n in range(5)])
        ch.send_batch(range(5))
        return list(await asyncio.gather(*tasks))

    assert run(main()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("dtype", ["O", "u8"])
def test_threads_and_tasks_that_wait_together_are_served_in_their_order(dtype: str) -> None:
    ch = Channel(dtype, capacity=1)
    ch.send(99)

    async def main() -> list[int]:
        threads: list[Task[None]] = []
        tasks: list[asyncio.Task[None]] = []
        for n in range(6):
            if n % 2:
                tasks += await in_a_row([partial(ch.asend, n)])
            else:
                threads.append(Task(partial(ch.send, n)))
                await asyncio.to_thread(until_parked, ch, len(threads))
                # The counter moves just before the sleep.
                await asyncio.sleep(0.01)
        served: list[int] = []
        while len(served) < 7:
            served += [await ch.areceive()]
            await asyncio.sleep(0.05)
        await asyncio.gather(*tasks)
        return served

    assert run(main()) == [99, 0, 1, 2, 3, 4, 5]


@everywhere
@every_payload
def test_threads_and_tasks_share_the_turns(dtype: Any, shared: bool) -> None:
    ch, tx, rx = full(dtype, shared)
    stop = False

    def send_in_a_thread() -> None:
        while not stop:
            try:
                tx.send(item(dtype, 0), timeout=0.1)
            except TimeoutError:
                continue

    async def send() -> None:
        while True:
            await tx.asend(item(dtype, 1))

    async def main() -> Task[None]:
        nonlocal stop
        thread, task = Task(send_in_a_thread), asyncio.create_task(send())
        # A thread is woken sooner than a loop is, and frames are told to all.
        await serve_each(rx, 2, 10 if shared or dtype is bytes else 60)
        await cancel([task])
        stop = True
        return thread

    thread = run(main())
    while rx.try_receive() is not None:
        pass
    thread.result()
    del ch


@everywhere
@every_payload
def test_several_loops_share_the_turns(dtype: Any, shared: bool) -> None:
    _ch, tx, rx = full(dtype, shared)

    async def send(me: int, ready: Any) -> None:
        async def forever() -> None:
            while True:
                await tx.asend(item(dtype, me))

        tasks = [asyncio.create_task(forever()) for _ in range(2)]
        await asyncio.to_thread(ready.result)
        await cancel(tasks)

    serving = Task(lambda: run(serve_each(rx, 3, 40)))
    loops = [Task(partial(run, send(n, serving))) for n in range(3)]
    serving.result()
    for loop in loops:
        loop.result()


def send_until_closed(tx: Any, dtype: Any, me: int) -> None:
    async def forever() -> None:
        try:
            while True:
                await tx.asend(item(dtype, me))
        except bchan.Closed:
            pass

    asyncio.run(forever())


@every_payload
def test_no_process_starves(dtype: Any) -> None:
    ch, _tx, rx = full(dtype, True)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=send_until_closed, args=(ch, dtype, n)) for n in range(2)]
    for worker in workers:
        worker.start()

    async def main() -> None:
        seen: set[int] = set()
        while len(seen) < 2:
            seen.add(number(await rx.areceive()) % 99)
        await serve_each(rx, 2, 30)

    run(main())
    ch.close()
    for worker in workers:
        worker.join(DEADLINE)
        assert worker.exitcode == 0


@everywhere
@every_payload
def test_cancelling_keeps_the_places_of_the_others(dtype: Any, shared: bool) -> None:
    ch = Channel(dtype, capacity=8, shared=shared)

    async def main() -> list[int]:
        tasks = await in_a_row([ch.areceive] * 6)
        await cancel([tasks[0], tasks[3]])
        for n in range(4):
            ch.send(item(dtype, n))
        rest = [tasks[n] for n in (1, 2, 4, 5)]
        return [number(message) for message in await asyncio.gather(*rest)]

    assert run(main()) == [0, 1, 2, 3]


@everywhere
@every_payload
def test_a_turn_that_a_cancelled_task_had_goes_to_the_next(dtype: Any, shared: bool) -> None:
    async def main() -> None:
        for _ in range(50):
            ch, tx, rx = full(dtype, shared)
            tasks = await in_a_row([partial(tx.asend, item(dtype, n)) for n in range(3)])
            assert number(rx.try_receive()) == 99  # it is the first one's turn
            tasks[0].cancel()
            while (message := rx.try_receive()) is None:
                await asyncio.sleep(0)
            assert number(message) in (0, 1), "out of turn"
            await cancel(tasks)
            del ch

    run(main())


@pytest.mark.parametrize(("backend", "options"), BACKENDS, ids=["asyncio", "uvloop", "trio"])
@everywhere
def test_every_loop_serves_in_order(backend: str, options: dict[str, Any], shared: bool) -> None:
    if options.get("use_uvloop"):
        pytest.importorskip("uvloop")
    if backend == "trio":
        pytest.importorskip("trio")
    ch = Channel(capacity=8, shared=shared)
    received: list[tuple[int, int]] = []

    async def receive(me: int) -> None:
        received.append((me, await ch.areceive()))

    async def main() -> None:
        with anyio.fail_after(DEADLINE):
            async with anyio.create_task_group() as tasks:
                for me in range(5):
                    tasks.start_soon(receive, me)
                    await anyio.wait_all_tasks_blocked()
                for n in range(5):
                    await ch.asend(n)
                    while len(received) <= n:
                        await anyio.sleep(0.001)

    anyio.run(main, backend=backend, backend_options=options)
    assert received == [(n, n) for n in range(5)]


@everywhere
@every_payload
@pytest.mark.parametrize("pauses", [0, 1, 3])
def test_a_newcomer_does_not_overtake_a_waiting_task_for_ever(
    pauses: int, dtype: Any, shared: bool
) -> None:
    ch, tx, rx = full(dtype, shared)

    async def greedy() -> None:
        # Sends whenever it can at once, so that nothing is left for whoever has to be woken first.
        while True:
            if tx._send_ready(item(dtype, 0)) is not True:
                await tx.asend(item(dtype, 0))

    async def consume() -> None:
        while True:
            rx.try_receive()
            for _ in range(pauses + 1):
                await asyncio.sleep(0)

    async def main() -> None:
        waiting = (await in_a_row([partial(tx.asend, item(dtype, 1))]))[0]
        others = [asyncio.create_task(greedy()), asyncio.create_task(consume())]
        await asyncio.wait_for(waiting, 20)
        await cancel(others)

    run(main())
    del ch


@everywhere
def test_a_large_message_is_not_kept_waiting_by_small_ones_for_ever(shared: bool) -> None:
    ch = Channel(bytes, capacity=4, shared=shared)
    large = 4 * 64
    for _ in range(4):
        ch.send(b"old")

    async def small() -> None:
        while True:
            await ch.asend(b"small")

    async def main() -> bool:
        sending = (await in_a_row([partial(ch.asend, bytes(large))]))[0]
        others = await in_a_row([small] * 3)
        for _ in range(200):
            if len(await ch.areceive()) == large:
                break
            await asyncio.sleep(0.0005)
        is_sent = sending.done()
        await cancel([*others, sending])
        return is_sent

    assert run(main())


def test_cancelling_a_hundred_thousand_times_keeps_turns_and_messages() -> None:
    ch = Channel("u4", capacity=2)

    async def main() -> tuple[list[int], int]:
        received: list[int] = []
        n = 0
        for round_ in range(10_000):
            tasks = [asyncio.ensure_future(ch.areceive()) for _ in range(10)]
            for _ in range(2):
                await asyncio.sleep(0)
            while ch.try_send(n):
                n += 1
            for task in tasks[round_ % 3 :]:
                task.cancel()
            for outcome in await asyncio.gather(*tasks[round_ % 3 :], return_exceptions=True):
                received += [] if isinstance(outcome, BaseException) else [int(outcome)]
            for task in tasks[: round_ % 3]:
                received.append(int(await task))
        received += [int(ch.receive()) for _ in range(len(ch))]
        return received, n

    received, sent = run(main())
    assert sorted(received) == list(range(sent))


@pytest.mark.parametrize("dtype", ["u8", bytes])
def test_threads_that_select_and_tasks_share_the_messages(dtype: Any) -> None:
    ch, other = Channel(dtype, capacity=8), Channel(dtype)
    done: Counter[str] = Counter()

    def work_in_a_thread() -> None:
        while number(select([ch, other], timeout=DEADLINE).item) != 7:
            done["thread"] += 1

    async def work() -> None:
        while True:
            await aselect([ch, other])
            done["task"] += 1

    async def main() -> None:
        thread, task = Task(work_in_a_thread), asyncio.create_task(work())
        await asyncio.sleep(0.05)
        n = 0
        while min(done["thread"], done["task"]) < 20:
            await ch.asend(item(dtype, 1))
            while done.total() <= n:
                await asyncio.sleep(0.0005)
            n += 1
            assert n <= 2000, done
        await cancel([task])
        other.send(item(dtype, 7))
        await asyncio.to_thread(thread.result)

    run(main())
    until(lambda: len(other) == 0)


class Waiting:
    """A thread of this process, or of another, that makes one call and says what came of it."""

    def __init__(self, kind: str, call: Callable[[], Any]) -> None:
        self.said, says = multiprocessing.Pipe(duplex=False)
        self._go, go = multiprocessing.Pipe()
        self.process: Any = None
        if kind == "process":
            # It is there, and comes to the channel when it is told to.
            self.process = SPAWN.Process(target=call_and_say, args=(call, says, go))
            self.process.start()
        else:
            self.thread = Task(partial(call_and_say, call, says, go))

    def line_up(self, ch: Any) -> None:
        waits = ch.stats().waits
        self._go.send(None)
        until(lambda: ch.stats().waits > waits)
        # The counter moves just before the sleep.
        pid = os.getpid() if self.process is None else self.process.pid
        until_asleep(pid, self.thread.native_id if self.process is None else pid)

    def end(self) -> None:
        if self.process is None:
            self.thread.result()
        else:
            self.process.join(DEADLINE)
            assert self.process.exitcode == 0


SPAWN = multiprocessing.get_context("spawn")


def call_and_say(call: Callable[[], Any], says: Connection, go: Connection) -> None:
    go.recv()
    says.send(call())


def next_said(waiting: Sequence[Waiting]) -> list[tuple[int, Any]]:
    """Who has got something, and what; one at least."""
    ready = wait([it.said for it in waiting], DEADLINE)
    return [(n, it.said.recv()) for n, it in enumerate(waiting) if it.said in ready]


def line_up(
    ch: Any, kinds: Sequence[str], call: Callable[[int], Callable[[], Any]]
) -> list[Waiting]:
    waiting = [Waiting(kind, call(n)) for n, kind in enumerate(kinds)]
    for it in waiting:
        it.line_up(ch)
    return waiting


LINES = {
    "threads": ["thread"] * 6,
    "processes": ["process"] * 4,
    "threads and processes": ["thread", "process", "thread", "thread", "process", "thread"],
}
in_each_line = pytest.mark.parametrize("kinds", LINES.values(), ids=LINES)


@in_each_line
@every_payload
def test_threads_that_wait_to_receive_are_served_in_their_order(
    dtype: Any, kinds: Sequence[str]
) -> None:
    ch = Channel(dtype, capacity=8, shared=True)
    waiting = line_up(ch, kinds, lambda _: partial(ch.receive, timeout=DEADLINE))
    wakes, served = ch.stats().wakes, []
    for n in range(len(kinds)):
        ch.send(item(dtype, n))
        served += next_said(waiting)
    for it in waiting:
        it.end()
    assert [(n, number(message)) for n, message in served] == [(n, n) for n in range(len(kinds))]
    assert ch.stats().wakes - wakes == len(kinds), "more than one wake for a turn"


@pytest.mark.parametrize(
    ("shared", "kinds"),
    [(False, LINES["threads"]), *((True, kinds) for kinds in LINES.values())],
    ids=["threads of one process", *LINES],
)
@every_payload
def test_threads_that_wait_to_send_are_served_in_their_order(
    dtype: Any, shared: bool, kinds: Sequence[str]
) -> None:
    ch, _, _ = full(dtype, shared)
    waiting = line_up(ch, kinds, lambda n: partial(ch.send, item(dtype, n), timeout=DEADLINE))
    wakes, served = ch.stats().wakes, [number(ch.receive())]
    for _ in kinds:
        next_said(waiting)
        served.append(number(ch.receive()))
    for it in waiting:
        it.end()
    assert served == [99, *range(len(kinds))]
    assert ch.stats().wakes - wakes == len(kinds), "more than one wake for a turn"


@everywhere
def test_a_small_message_waits_behind_a_large_one(shared: bool) -> None:
    ch = Channel(bytes, capacity=4, shared=shared)
    sizes = [64, 200, 10, 256, 10, 10, 120, 64]
    for _ in range(4):
        ch.send(b"old")
    messages = [bytes([n]) * size for n, size in enumerate(sizes)]
    waiting = line_up(ch, ["thread"] * 8, lambda n: partial(ch.send, messages[n], timeout=DEADLINE))
    received: list[bytes] = []
    while len(received) < 4 + len(sizes):
        # One at a time, so that a small message has room before a large one.
        received.append(ch.receive())
        until(lambda: len(ch) > 0 or len(received) == 4 + len(sizes))
    for it in waiting:
        it.end()
    assert received == [b"old"] * 4 + messages


@everywhere
@every_payload
def test_a_thread_that_gives_up_keeps_the_places_of_the_others(dtype: Any, shared: bool) -> None:
    ch, _, _ = full(dtype, shared)
    waiting: list[Waiting] = []

    def send(n: int) -> str:
        try:
            ch.send(item(dtype, n), timeout=0.5 if n in (0, 2) else DEADLINE)
        except TimeoutError:
            return "gave up"
        return "sent"

    waiting = line_up(ch, ["thread"] * 5, lambda n: partial(send, n))
    assert waiting[0].said.recv() == waiting[2].said.recv() == "gave up"
    served = [number(ch.receive())]
    for _ in range(3):
        assert [said for _, said in next_said(waiting)] == ["sent"]
        served.append(number(ch.receive()))
    for it in waiting:
        it.end()
    assert served == [99, 1, 3, 4]
