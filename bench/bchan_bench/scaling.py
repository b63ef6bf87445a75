"""How throughput goes with producers, with the batch, and with the capacity."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from bchan_bench.adapting import adapted_all
from bchan_bench.case import Case, take_turns
from bchan_bench.progress import Progress
from bchan_bench.sections import Plot, Row, Section
from bchan_bench.settings import BATCH_BUFFER, Settings
from bchan_bench.throughput import run_channel

NAME = "scaling"
SECONDS = 0.4  # of a run
QUICK_SECONDS = 0.15

_MIDDLE = Settings(
    mode="mpsc",
    item="batch",
    producers=4,
    batch=64,
    capacity=65_536,
    buffer=BATCH_BUFFER,
    messages=1024,  # adapted before it is measured
    runs=1,
)


@dataclass(frozen=True)
class Axis:
    """What is varied, while all else stays as in the middle."""

    what: str
    title: str
    label: Callable[[int], str]
    points: tuple[int, ...]

    def cases(self, runs: int) -> list[Case]:
        """One for each point, not yet adapted."""
        return [
            Case(
                self.label(point),
                replace(_MIDDLE, **{self.what: point}, runs=runs),  # type: ignore[arg-type]
                run_channel,
            )
            for point in self.points
        ]


def axes(*, quick: bool) -> tuple[Axis, ...]:
    """What is varied: in steps of two, or of four if it is to be quick."""
    step = 2 if quick else 1
    return (
        Axis("producers", "Producers", "producers: {:,}".format, (1, 2, 4, 8, 16, 64, 256, 512)),
        Axis("batch", "Messages a call", "batches of {:,}".format, _powers(0, 10, step)),
        Axis("capacity", "Slots of a producer", "capacity {:,}".format, _powers(10, 20, step)),
    )


def measure(runs: int, progress: Progress, *, quick: bool = False) -> Section:
    """Measure every point of every axis.

    Args:
        runs: How often.
        progress: Told before each run.
        quick: Fewer points, shorter runs.

    Raises:
        MismatchError: What arrived is not what was sent.
        TimeoutError: A run stood still.
    """
    return measure_axes(axes(quick=quick), runs, progress, QUICK_SECONDS if quick else SECONDS)


def measure_axes(varied: Sequence[Axis], runs: int, progress: Progress, seconds: float) -> Section:
    """The section of these axes, whose runs take about so long."""
    of_axes = {axis: adapted_all(axis.cases(runs), seconds, progress) for axis in varied}
    rows = take_turns([case for cases in of_axes.values() for case in cases], progress)
    by_label = {row.label: row for row in rows}
    return Section(
        NAME,
        "Scaling of mpsc",
        (
            "producer threads, one consumer thread; one thing varied, all else as in: "
            f"{_MIDDLE.producers} producers, batches of {_MIDDLE.batch} copied, "
            f"capacity {_MIDDLE.capacity:,} for each producer",
            f"a run takes about {seconds:g} s, and twice round each ring at least; "
            "count and checksum of all that arrived are checked",
        ),
        rows,
        plots=tuple(_plot(axis, by_label) for axis in varied),
    )


def _plot(axis: Axis, rows: Mapping[str, Row]) -> Plot:
    of_points = {point: rows[axis.label(point)].figures[0] for point in axis.points}
    return Plot(
        f"{axis.title} and throughput",
        axis.title.lower(),
        "M msg/s",
        {
            name: [(float(point), pick(figure.values)) for point, figure in of_points.items()]
            for name, pick in (("median", median), ("most", max), ("least", min))
        },
        log_x=True,
    )


def _powers(first: int, last: int, step: int) -> tuple[int, ...]:
    return tuple(1 << power for power in range(first, last + 1, step))
