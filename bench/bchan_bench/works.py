"""What each thread or process of a throughput run does, prepared before the clock starts."""

from functools import partial

from bchan import Consumer, Producer
from bchan_bench import hot_loops
from bchan_bench.arrivals import Arrivals
from bchan_bench.race import Work
from bchan_bench.settings import Item, Settings
from bchan_bench.workload import Stream


def sending(item: Item, tx: Producer, stream: Stream) -> Work:
    """Send the stream, and leave."""
    if item == "single":
        return _leaving(tx, partial(hot_loops.send_each, tx.send, stream.singles()))
    if item == "batch":
        return _leaving(tx, partial(hot_loops.send_each, tx.send_batch, stream.batches()))
    return _leaving(tx, partial(hot_loops.send_in_place, tx, stream.batches()))


def receiving(settings: Settings, rx: Consumer, arrivals: Arrivals) -> list[Work]:
    """Receive until the end and leave; in threads someone else may check what arrived."""
    if settings.item == "single":
        return [_leaving(rx, partial(hot_loops.receive_each, rx, arrivals))]
    if settings.item == "zero-copy":
        return [_leaving(rx, partial(hot_loops.receive_in_place, rx, settings.buffer, arrivals))]
    if settings.processes:
        return [_leaving(rx, partial(hot_loops.receive_copied, rx, settings.buffer, arrivals))]
    relay = hot_loops.Relay(settings.buffer)
    return [_leaving(rx, partial(relay.receive, rx)), partial(relay.check, arrivals)]


def _leaving(handle: Producer | Consumer, work: Work) -> Work:
    """Close the handle after the work, in the thread that uses it."""

    def work_and_leave() -> None:
        with handle:
            work()

    return work_and_leave
