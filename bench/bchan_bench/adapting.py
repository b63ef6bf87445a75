"""How many messages keep a run busy for a given time."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from bchan_bench.case import Case
from bchan_bench.progress import Progress
from bchan_bench.settings import MAX_MESSAGES

_FIRST = 1 << 14  # messages of the first trial
_CALLS = 4  # of each producer, at least
_LAPS = 2  # round each ring, at least: in the first one its memory is touched for the first time


def messages_for(
    seconds: float, run: Callable[[int], float], *, first: int, least: int, most: int
) -> int:
    """Find by runs that grow how many messages take about so long.

    Args:
        seconds: How long.
        run: Makes a run of so many messages, and tells how many seconds it took.
        first: Messages of the first trial.
        least: Messages that the answer has at least.
        most: Messages that it, and a trial, has at most.
    """
    messages = first
    while (took := run(messages)) < seconds / 4 and messages < most:
        growth = min(16.0, max(2.0, seconds / took))
        messages = min(most, int(messages * growth))
    return max(least, min(most, int(messages * seconds / took)))


def adapted(case: Case, seconds: float) -> Case:
    """The same case with as many messages as take about so long."""
    settings = case.settings
    rings = settings.producers if settings.mode == "mpsc" else 1
    least = max(
        _FIRST, _CALLS * settings.batch * settings.producers, _LAPS * settings.capacity * rings
    )
    messages = messages_for(
        seconds,
        lambda count: case.run(replace(settings, messages=count)).seconds,
        first=least,
        least=least,
        most=MAX_MESSAGES,
    )
    return replace(case, settings=replace(settings, messages=messages))


def adapted_all(cases: Sequence[Case], seconds: float, progress: Progress) -> list[Case]:
    """Each of them adapted."""
    progress.steps(len(cases))
    found = []
    for case in cases:
        progress.step(f"{case.label}: how many messages")
        found.append(adapted(case, seconds))
    return found
