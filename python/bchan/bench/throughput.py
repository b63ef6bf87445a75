"""Messages received each second over a channel: one verified run."""

from dataclasses import asdict
from functools import partial

import numpy as np

from bchan import Channel, Consumer, Producer
from bchan.bench import hot_loops
from bchan.bench.arrivals import Arrivals, arrivals_of, check_all
from bchan.bench.case import Run
from bchan.bench.race import Work, race
from bchan.bench.settings import Item, Settings
from bchan.bench.workload import Stream, streams


def run_channel(settings: Settings) -> Run:
    """Send `settings.messages` through a new channel and check all that arrives.

    Raises:
        MismatchError: What arrived is not what was sent.
        TimeoutError: Nothing arrived for a minute.
    """
    plan = streams(settings.shares, settings.batch, numbered=settings.verify)
    arrivals = arrivals_of(settings.producers, settings.consumers, verify=settings.verify)
    channel = Channel(np.uint64, settings.capacity, settings.mode, max_producers=settings.producers)
    with channel:
        senders = [_sender(settings.item, channel.producer(), stream) for stream in plan]
        receivers = [
            work for of_one in arrivals for work in _receivers(settings, channel.consumer(), of_one)
        ]
        seconds = race([*receivers, *senders], lambda: sum(of_one.count for of_one in arrivals))
        return Run(check_all(arrivals, plan), seconds, asdict(channel.stats()))


def _sender(item: Item, tx: Producer, stream: Stream) -> Work:
    if item == "single":
        return _leaving(tx, partial(hot_loops.send_each, tx.send, stream.singles()))
    if item == "batch":
        return _leaving(tx, partial(hot_loops.send_each, tx.send_batch, stream.batches()))
    return _leaving(tx, partial(hot_loops.send_in_place, tx, stream.batches()))


def _receivers(settings: Settings, rx: Consumer, arrivals: Arrivals) -> list[Work]:
    """The consumer, and who checks for it if it does not check by itself."""
    if settings.item == "single":
        return [_leaving(rx, partial(hot_loops.receive_each, rx, arrivals))]
    if settings.item == "batch":
        relay = hot_loops.Relay(settings.buffer)
        return [_leaving(rx, partial(relay.receive, rx)), partial(relay.check, arrivals)]
    return [_leaving(rx, partial(hot_loops.receive_in_place, rx, settings.buffer, arrivals))]


def _leaving(handle: Producer | Consumer, work: Work) -> Work:
    """Close the handle after the work, in the thread that uses it."""

    def work_and_leave() -> None:
        with handle:
            work()

    return work_and_leave
