"""The same race through `queue.Queue`, one integer a message: the figure to compare with."""

import queue
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from bchan_bench import hot_loops
from bchan_bench.arrivals import arrivals_of, check_all
from bchan_bench.case import Case, Run
from bchan_bench.pinning import each_on_its_cpu
from bchan_bench.race import race
from bchan_bench.settings import Settings
from bchan_bench.workload import streams

CAPACITY = 1024
LABEL = f"queue.Queue({CAPACITY})"
MESSAGES = 400_000  # a run of about a second


def queue_case(settings: Settings) -> Case:
    """The case beside one of ours: as many producers, runs and checks, fewer messages."""
    messages = max(settings.producers, min(settings.messages, MESSAGES))
    same_but = replace(
        settings,
        item="single",
        batch=1,
        capacity=CAPACITY,
        buffer=1,
        messages=messages,
        processes=False,
    )
    return Case(LABEL, same_but, run_queue)


def run_queue(settings: Settings) -> Run:
    """Send `settings.messages` through a new queue and check all that arrives.

    Raises:
        MismatchError: What arrived is not what was sent.
        TimeoutError: Nothing arrived for a minute.
    """
    plan = streams(settings.shares, settings.batch, numbered=settings.verify)
    arrivals = arrivals_of(settings.producers, settings.consumers, verify=settings.verify)
    channel: queue.Queue[int | None] = queue.Queue(settings.capacity)
    sending = [object() for _ in plan]

    def send(passes: Iterable[list[int]]) -> None:
        """Send all; the last one says so: a queue itself can't tell that its senders have left."""
        try:
            hot_loops.send_each(channel.put, passes)
        finally:
            sending.pop()
            if not sending:
                for _ in arrivals:
                    channel.put(None)

    senders = [partial(send, stream.singles()) for stream in plan]
    receivers = [
        partial(hot_loops.receive_each, iter(channel.get, None), of_one) for of_one in arrivals
    ]
    works = [
        *each_on_its_cpu(receivers, settings.consumer_cpus),
        *each_on_its_cpu(senders, settings.producer_cpus),
    ]
    seconds = race(works, lambda: sum(of_one.count for of_one in arrivals))
    return Run(check_all(arrivals, plan), seconds)
