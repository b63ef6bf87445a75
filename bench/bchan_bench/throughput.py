"""Messages received each second over a channel: one verified run, in threads or in processes."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from itertools import chain
from time import perf_counter

import numpy as np

from bchan import Channel
from bchan_bench import race
from bchan_bench.arrivals import Arrivals, arrivals_of, check_all
from bchan_bench.case import Case, Run
from bchan_bench.children import Ready, in_children
from bchan_bench.pinning import each_on_its_cpu
from bchan_bench.race import Work
from bchan_bench.settings import Settings
from bchan_bench.workload import streams
from bchan_bench.works import receiving, sending


def channel_case(settings: Settings) -> Case:
    """The case that the settings describe."""
    return Case(settings.label, settings, run_channel)


def run_channel(settings: Settings) -> Run:
    """Send `settings.messages` through a new channel and check all that arrives.

    Raises:
        MismatchError: What arrived is not what was sent.
        TimeoutError: Nothing arrived for a minute.
        ChildProcessError: A process died.
    """
    plan = streams(settings.shares, settings.batch, numbered=settings.verify)
    arrivals = arrivals_of(settings.producers, settings.consumers, verify=settings.verify)
    channel = Channel(
        np.uint64,
        settings.capacity,
        settings.mode,
        max_producers=settings.producers,
        shared=settings.processes,
    )
    with channel:
        senders = [sending(settings.item, channel.producer(), stream) for stream in plan]
        receivers = [receiving(settings, channel.consumer(), of_one) for of_one in arrivals]
        senders = each_on_its_cpu(senders, settings.producer_cpus)
        consumers = each_on_its_cpu([work for work, *_ in receivers], settings.consumer_cpus)
        if settings.processes:
            seconds, arrivals = _race_in_processes(
                senders, consumers, arrivals, lambda: channel.stats().received
            )
        else:
            checkers = chain.from_iterable(checkers for _, *checkers in receivers)
            seconds = race.race(
                [*consumers, *checkers, *senders],
                lambda: sum(of_one.count for of_one in arrivals),
            )
        return Run(check_all(arrivals, plan), seconds, asdict(channel.stats()))


def _race_in_processes(
    senders: list[Work],
    consumers: list[Work],
    arrivals: list[Arrivals],
    progress: Callable[[], int],
) -> tuple[float, list[Arrivals]]:
    """Seconds from the first start to the last end, and what the consumers' processes counted."""
    parties = [
        *(partial(_party, work, None) for work in senders),
        *(partial(_party, work, of_one) for work, of_one in zip(consumers, arrivals, strict=True)),
    ]
    starts, ends, counted = zip(*in_children(parties, race.DEADLINE, progress), strict=True)
    return max(ends) - min(starts), [of_one for of_one in counted if of_one is not None]


def _party(
    work: Work, arrivals: Arrivals | None, ready: Ready
) -> tuple[float, float, Arrivals | None]:
    """In a process of its own: when it began and ended, by the machine's clock."""
    ready()
    start = perf_counter()
    work()
    return start, perf_counter(), arrivals
