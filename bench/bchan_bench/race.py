"""Threads that start together, and the clock that they are measured by."""

import gc
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from time import perf_counter

DEADLINE = 60.0  # seconds that a run may stand still before it counts as failed

Work = Callable[[], None]
Ends = SimpleQueue[BaseException | None]  # what each worker that is done has raised, if anything


def race(workers: Sequence[Work], progress: Callable[[], int]) -> float:
    """Run every worker in a thread of its own; this one only waits, so it can tell a standstill.

    The threads are daemons: a failed or interrupted run waits for none of them.

    Args:
        workers: What the threads do.
        progress: A number that changes while the run gets on; looked at once a `DEADLINE`.

    Returns:
        Seconds from the moment when all were ready until the last one was done.

    Raises:
        Exception: The first that a worker raised.
        TimeoutError: Nothing changed for `DEADLINE` seconds.
    """
    started: list[float] = []
    start_line = threading.Barrier(len(workers) + 1, lambda: started.append(perf_counter()))
    ends: Ends = SimpleQueue()
    gc.collect()  # now rather than in the timed part
    for work in workers:
        threading.Thread(target=_run, args=(work, start_line, ends), daemon=True).start()
    start_line.wait(DEADLINE)
    for _ in workers:
        error = _next_end(ends, progress)
        if error is not None:
            raise error
    return perf_counter() - started[0]


def _run(work: Work, start_line: threading.Barrier, ends: Ends) -> None:
    try:
        start_line.wait(DEADLINE)
        work()
    except BaseException as error:  # raised again in the thread that waits
        ends.put(error)
    else:
        ends.put(None)


def _next_end(ends: Ends, progress: Callable[[], int]) -> BaseException | None:
    while True:
        before = progress()
        try:
            return ends.get(timeout=DEADLINE)
        except Empty:
            if progress() == before:
                raise TimeoutError(f"no message arrived for {DEADLINE:g} s") from None
