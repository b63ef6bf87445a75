"""CPUs for the producers and consumers of a case."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle

from bchan import affinity
from bchan_bench.race import Work
from bchan_bench.settings import Settings


def planned(settings: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The same with a CPU for everyone, and what to know before one believes the figures."""
    plan = affinity.plan(settings.producers, settings.consumers)
    pinned_settings = replace(settings, producer_cpus=plan.producers, consumer_cpus=plan.consumers)
    return pinned_settings, (*affinity.warnings(), *plan.warnings)


def each_on_its_cpu(works: Sequence[Work], cpus: Sequence[int]) -> list[Work]:
    """Have each pin itself to one of the CPUs, in turn; to none if there are none."""
    if not cpus:
        return list(works)
    return [_on_cpu(cpu, work) for work, cpu in zip(works, cycle(cpus), strict=False)]


def _on_cpu(cpu: int, work: Work) -> Work:
    def work_there() -> None:
        with affinity.pinned(cpu):
            work()

    return work_there
