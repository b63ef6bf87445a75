"""All sections of the suite, in the order of a report."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from bchan.bench import compare, latency, oversubscribed, scaling
from bchan.bench.case import section_of
from bchan.bench.progress import Progress
from bchan.bench.queue_baseline import LABEL, queue_case
from bchan.bench.sections import Section
from bchan.bench.settings import Item, Mode, Settings, default_buffer, default_messages
from bchan.bench.throughput import channel_case

Measure = Callable[[int, Progress], Section]
"""How often, and who is told."""

TITLES = {
    "mpsc": "Several producers, one consumer",
    "spsc": "One producer, one consumer",
    "vyukov": "Several producers, several consumers, one ring",
}


def _settings(mode: Mode, producers: int, consumers: int, item: Item, batch: int) -> Settings:
    capacity = 65_536
    return Settings(
        mode=mode,
        item=item,
        producers=producers,
        consumers=consumers,
        batch=batch,
        capacity=capacity,
        buffer=default_buffer(item, capacity),
        messages=default_messages(item, batch),
        runs=1,
    )


_CASES: Mapping[str, tuple[Settings, ...]] = {
    "mpsc": (_settings("mpsc", 4, 1, "batch", 64), _settings("mpsc", 4, 1, "batch", 1024)),
    "spsc": (_settings("spsc", 1, 1, "batch", 64), _settings("spsc", 1, 1, "single", 1)),
    "vyukov": (_settings("mpmc", 4, 4, "batch", 64),),
}


def throughput(name: str, runs: int, progress: Progress) -> Section:
    """A section of throughput, with `queue.Queue` beside it.

    Raises:
        ValueError: A number that makes no sense.
        MismatchError: What arrived is not what was sent.
        TimeoutError: A run stood still.
    """
    settings = [replace(one, runs=runs) for one in _CASES[name]]
    cases = [*map(channel_case, settings), queue_case(settings[0])]
    return section_of(name, TITLES[name], cases, progress, LABEL)


ALL: Mapping[str, Measure] = {
    **{name: partial(throughput, name) for name in _CASES},
    "scaling": partial(scaling.measure, quick=True),
    "latency": latency.measure,
    "compare": compare.measure,
    "oversubscribed": oversubscribed.measure,
}
HEADLINE = ("mpsc", "spsc", "vyukov", "compare")
