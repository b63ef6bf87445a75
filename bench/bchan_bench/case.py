"""A case: settings, and a function that makes one verified run of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from bchan_bench.progress import Progress
from bchan_bench.sections import Figure, Row, Section
from bchan_bench.settings import Settings

SHOWN_COUNTERS = ("waits", "wakes", "spins")


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
    """What to measure; the label is unique in its section."""

    label: str
    settings: Settings
    run: Callable[[Settings], Run]


def take_turns(cases: Sequence[Case], progress: Progress) -> tuple[Row, ...]:
    """Measure all cases, a run of each in turn, so that what disturbs one disturbs all.

    Args:
        cases: What to measure, each as often as the first.
        progress: Told before each run.
    """
    runs = cases[0].settings.runs
    progress.steps(runs * len(cases))
    made: list[list[Run]] = [[] for _ in cases]
    for _ in range(runs):
        for case, of_case in zip(cases, made, strict=True):
            progress.step(case.label)
            of_case.append(case.run(case.settings))
    return tuple(row_of(case, of_case) for case, of_case in zip(cases, made, strict=True))


def row_of(case: Case, runs: Sequence[Run]) -> Row:
    """The figures of a case's runs."""
    counters = [name for name in SHOWN_COUNTERS if name in runs[0].counters]
    return Row(
        case.label,
        (
            Figure("throughput", "M msg/s", tuple(run.rate / 1e6 for run in runs)),
            Figure("a run", "s", tuple(run.seconds for run in runs), better=None),
            *(
                Figure(name, "", tuple(_count(run.counters[name]) for run in runs), better=None)
                for name in counters
            ),
        ),
        asdict(case.settings),
    )


def section_of(
    name: str, title: str, cases: Sequence[Case], progress: Progress, ratio_to: str | None = None
) -> Section:
    """A section of the cases, measured in turn."""
    if len(cases) == 1:
        lines = cases[0].settings.lines
    else:
        lines = tuple(f"{case.label}: {'; '.join(case.settings.lines)}" for case in cases)
    return Section(name, title, lines, take_turns(cases, progress), ratio_to)


def _count(counter: object) -> float:
    assert isinstance(counter, int)
    return float(counter)
