"""A case: settings, and a function that makes one verified run of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bchan.bench.settings import Settings
from bchan.bench.summary import Summary, summarise


@dataclass(frozen=True)
class Run:
    """One run whose arrivals were found right.

    Attributes:
        messages: Messages received.
        seconds: From the start of all threads until all had arrived and was added up.
        counters: The channel's own, if it has some.
    """

    messages: int
    seconds: float
    counters: Mapping[str, object] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Messages received each second."""
        return self.messages / self.seconds


@dataclass(frozen=True)
class Case:
    """What to measure."""

    name: str
    settings: Settings
    run: Callable[[Settings], Run]


@dataclass(frozen=True)
class Measured:
    """A case and its runs."""

    case: Case
    runs: tuple[Run, ...]

    @property
    def summary(self) -> Summary:
        """Of the runs' rates, in messages a second."""
        return summarise([run.rate for run in self.runs])


def measure(case: Case, after_run: Callable[[], None]) -> Measured:
    """Make all runs of a case.

    Args:
        case: What to measure.
        after_run: Called after each run, outside of what is timed.
    """
    runs = []
    for _ in range(case.settings.runs):
        runs.append(case.run(case.settings))
        after_run()
    return Measured(case, tuple(runs))
