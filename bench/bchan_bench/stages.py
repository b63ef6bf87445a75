"""Where the parties of a run meet: threads, an event loop, or processes; with a deadline."""

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from bchan_bench import race
from bchan_bench.children import Ready, in_children
from bchan_bench.parties import Done, Links
from bchan_bench.rivals import Place

T = TypeVar("T")

Open = Callable[[], Links]
"""Makes the links of a run, where it takes place."""
Party = Callable[[Links, Ready], Done]
TaskParty = Callable[[Links, Ready], Coroutine[Any, Any, Done]]


def meet(
    place: Place, open_links: Open, parties: Sequence[Party], tasks: Sequence[TaskParty] = ()
) -> list[Done]:
    """Let all do their part.

    Args:
        place: Where.
        open_links: Makes what they are connected by.
        parties: Those who run in a thread, or a process, each.
        tasks: Those who run in an event loop.

    Returns:
        What each told, the parties first.

    Raises:
        Exception: The first that one of them raised.
        TimeoutError: They have not ended within `race.DEADLINE` seconds.
    """
    gc.disable()  # it would go through all that has arrived
    try:
        if place is Place.PROCESSES:
            return _in_processes(open_links, parties)
        if place is Place.THREADS:
            return _in_threads(open_links, parties)
        return _in_loop(open_links, parties, tasks)
    finally:
        gc.enable()


def cpu_seconds(place: Place, told: Sequence[Done]) -> float:
    """CPU time that all parties took, with all that ran in their processes meanwhile."""
    if place is Place.PROCESSES:
        return sum(done.end.cpu - done.start.cpu for done in told) / 1e9
    return (max(done.end.cpu for done in told) - min(done.start.cpu for done in told)) / 1e9


def elapsed(told: Sequence[Done]) -> float:
    """From when the first party began until the last was done."""
    return (max(done.end.clock for done in told) - min(done.start.clock for done in told)) / 1e9


def _in_threads(open_links: Open, parties: Sequence[Party]) -> list[Done]:
    links = open_links()
    told = _raced([partial(party, links) for party in parties])
    for link in links:  # after a failure they may be in use for ever
        link.close()
    return told


def _in_processes(open_links: Open, parties: Sequence[Party]) -> list[Done]:
    links = open_links()
    try:
        return in_children([partial(party, links) for party in parties], race.DEADLINE)
    finally:
        for link in links:
            link.close()


def _in_loop(open_links: Open, parties: Sequence[Party], tasks: Sequence[TaskParty]) -> list[Done]:
    """A loop in a thread of its own, so that this one can tell a standstill."""

    async def main() -> list[Done]:
        links = open_links()
        # Among the tasks of one loop nobody may block. They begin one after the other.
        ready = threading.Barrier(len(parties) + len(tasks)).wait if parties else _is_ready
        threads = [_in_thread(partial(party, links, ready)) for party in parties]
        try:
            return await asyncio.gather(*threads, *(task(links, ready) for task in tasks))
        finally:
            for link in links:
                await link.aclose()

    (told,) = _raced([lambda _: asyncio.run(main())])
    return told


def _is_ready() -> None:
    pass


def _raced(works: Sequence[Callable[[Ready], T]]) -> list[T]:
    """What each thread returned."""
    results: dict[int, T] = {}
    ready = threading.Barrier(len(works))

    def run(number: int, work: Callable[[Ready], T]) -> None:
        results[number] = work(lambda: ready.wait(race.DEADLINE))

    race.race([partial(run, number, work) for number, work in enumerate(works)], lambda: 0)
    return [results[number] for number in range(len(works))]


def _in_thread(work: Callable[[], T]) -> Awaitable[T]:
    """Run it in a daemon thread: unlike an executor's, nobody waits for one that hangs."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(set_outcome: Callable[[Any], None], outcome: object) -> None:
        if not future.done():
            set_outcome(outcome)

    def run() -> None:
        outcome: tuple[Callable[[Any], None], object]
        try:
            outcome = (future.set_result, work())
        except BaseException as error:  # raised again where it is awaited
            outcome = (future.set_exception, error)
        with suppress(RuntimeError):  # the loop is closed: what was to await it has failed
            loop.call_soon_threadsafe(tell, *outcome)

    threading.Thread(target=run, daemon=True).start()
    return future
