"""The figures of repeated runs."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """Where the runs lie and how far apart; `stdev` is the sample's, 0 for a single run."""

    mean: float
    median: float
    stdev: float
    min: float
    max: float


def summarise(values: Sequence[float]) -> Summary:
    """The summary of at least one value."""
    return Summary(
        mean=statistics.fmean(values),
        median=statistics.median(values),
        stdev=statistics.stdev(values) if len(values) > 1 else 0.0,
        min=min(values),
        max=max(values),
    )
