"""The same race through `queue.Queue`, one integer a message: the figure to compare with."""

import queue
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from itertools import chain

from bchan.bench import hot_loops
from bchan.bench.arrivals import arrivals_of
from bchan.bench.case import Case, Run
from bchan.bench.race import race
from bchan.bench.settings import Settings
from bchan.bench.workload import streams

CAPACITY = 1024
MESSAGES = 400_000  # a run of about a second


def queue_case(settings: Settings) -> Case:
    """The case beside one of ours: as many producers, runs and checks, fewer messages."""
    messages = max(settings.producers, min(settings.messages, MESSAGES))
    same_but = replace(
        settings, item="single", batch=1, capacity=CAPACITY, buffer=1, messages=messages
    )
    return Case(f"queue.Queue({CAPACITY})", same_but, run_queue)


def run_queue(settings: Settings) -> Run:
    """Send `settings.messages` through a new queue and check all that arrives.

    Raises:
        MismatchError: What arrived is not what was sent.
        TimeoutError: Nothing arrived for a minute.
    """
    plan = streams(settings.shares, settings.batch, numbered=settings.verify)
    arrivals = arrivals_of(settings.producers, verify=settings.verify)
    channel: queue.Queue[int | None] = queue.Queue(settings.capacity)
    senders = [partial(_send, channel.put, stream.singles()) for stream in plan]
    messages = chain.from_iterable(iter(channel.get, None) for _ in senders)
    receiver = partial(hot_loops.receive_each, messages, arrivals)
    seconds = race([receiver, *senders], lambda: arrivals.count)
    arrivals.check(plan)
    return Run(arrivals.count, seconds)


def _send(put: Callable[[int | None], object], passes: Iterable[list[int]]) -> None:
    """Send all, then None: a queue itself can't tell that a sender has left."""
    try:
        hot_loops.send_each(put, passes)
    finally:
        put(None)
