"""All sections of the suite, in the order of a report."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from bchan_bench import compare, latency, oversubscribed, scaling
from bchan_bench.case import section_of
from bchan_bench.progress import Progress
from bchan_bench.queue_baseline import LABEL, queue_case
from bchan_bench.sections import Section
from bchan_bench.settings import Settings, settings_for
from bchan_bench.throughput import channel_case

Measure = Callable[[int, Progress], Section]
"""How often, and who is told."""

TITLES = {
    "mpsc": "Several producers, one consumer",
    "spsc": "One producer, one consumer",
    "vyukov": "Several producers, several consumers, one ring",
}


_CASES: Mapping[str, tuple[Settings, ...]] = {
    "mpsc": (settings_for("mpsc", 4, 1, "batch", 64), settings_for("mpsc", 4, 1, "batch", 1024)),
    "spsc": (settings_for("spsc", 1, 1, "batch", 64), settings_for("spsc", 1, 1, "single", 1)),
    "vyukov": (settings_for("mpmc", 4, 4, "batch", 64),),
}

_QUICK_SHARE, _QUICK_SECONDS = 50, 0.02


def throughput(name: str, runs: int, progress: Progress, *, quick: bool = False) -> Section:
    """A section of throughput, with `queue.Queue` beside it.

    Args:
        name: The section's.
        runs: How often.
        progress: Told before each run.
        quick: A fiftieth of the messages.

    Raises:
        ValueError: A number that makes no sense.
        MismatchError: What arrived is not what was sent.
        TimeoutError: A run stood still.
    """
    share = _QUICK_SHARE if quick else 1
    settings = [replace(one, runs=runs, messages=one.messages // share) for one in _CASES[name]]
    cases = [*map(channel_case, settings), queue_case(settings[0])]
    return section_of(name, TITLES[name], cases, progress, LABEL)


ALL: Mapping[str, Measure] = {
    **{name: partial(throughput, name) for name in _CASES},
    "scaling": partial(scaling.measure, quick=True),
    "latency": latency.measure,
    "compare": compare.measure,
    "oversubscribed": oversubscribed.measure,
}
QUICK: Mapping[str, Measure] = {
    **{name: partial(throughput, name, quick=True) for name in _CASES},
    "scaling": partial(scaling.measure, quick=True),
    "latency": partial(latency.measure, seconds=_QUICK_SECONDS),
    "compare": partial(compare.measure, seconds=_QUICK_SECONDS),
    "oversubscribed": partial(oversubscribed.measure, seconds=_QUICK_SECONDS),
}
"""All of it, just to see that it works."""
HEADLINE = ("mpsc", "spsc", "vyukov", "compare")
