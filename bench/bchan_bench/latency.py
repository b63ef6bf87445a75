"""How long messages take: one way and there and back, at a rate and as quickly as can be.

Latencies are kept in HDR histograms. At a rate a message counts from when it was to be sent, if its
sender was still held up by earlier ones: so nothing is left out (G. Tene, coordinated omission).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

import bchan
from bchan_bench import carrying
from bchan_bench.parties import Schedule, Times
from bchan_bench.progress import Progress
from bchan_bench.rivals import Place
from bchan_bench.rivals.ours import SharedTyped, Typed
from bchan_bench.rivals.rival import CAPACITY, Shape
from bchan_bench.sections import Figure, Plot, Row, Section

NAME = "latency"
RATE = 2000.0  # low enough that every way keeps it on two cores
SECONDS = 0.5  # of a run at the rate
PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99)
PLACES = (Place.THREADS, Place.PROCESSES, Place.INTO_LOOP)

_LONGEST = 10 * 60 * 10**9  # ns; longer than any run
_DIGITS = 3
_KEPT = 0.95  # part of the messages that were to be sent; below it the rate was not kept

Way = Literal["one way", "round trip"]


def presets() -> dict[str, Any]:
    """How a channel may be tuned, by name; `None` for as it is by default."""
    tuning = getattr(bchan, "Tuning", None)
    if tuning is None:
        return {"default": None}
    return {
        "default": None,
        "low latency": tuning.low_latency(),
        "throughput": tuning.throughput(),
        "energy": tuning.energy(),
    }


class Latencies:
    """Latencies, to three digits.

    Args:
        latencies: Nanoseconds.

    Raises:
        ValueError: One is negative, or longer than any run.
    """

    def __init__(self, latencies: Times) -> None:
        # Not before the runs: without the GIL its native part would bring that back.
        from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

        self._histogram = HdrHistogram(1, _LONGEST, _DIGITS)
        values, counts = np.unique(latencies, return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            if not self._histogram.record_value(value, count):
                raise ValueError(
                    f"latency must be at least 0 and at most {_LONGEST:_}, got {value:_}"
                )

    @property
    def count(self) -> int:
        """How many."""
        return int(self._histogram.get_total_count())

    def at(self, percentile: float) -> float:
        """Microseconds that so many in a hundred do not exceed."""
        return float(self._histogram.get_value_at_percentile(percentile)) / 1e3

    def curve(self) -> list[tuple[float, float]]:
        """For 2, 10, 100 … messages, how many microseconds one of them takes, or longer."""
        steps = max(1, round(8 * np.log10(max(2, self.count) / 2)))
        ones = np.geomspace(2, max(2, self.count), steps + 1)
        return [(float(one), self.at(100 * (1 - 1 / float(one)))) for one in ones]


@dataclass
class Case:
    """Messages between two sides, and how long they took."""

    place: Place
    way: Way
    schedule: Schedule
    preset: str
    tuning: Any
    runs: list[Times] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def group(self) -> str:
        """All but the preset."""
        rate = self.schedule.rate
        pace = f"{rate:,.0f}/s" if rate else "full speed"
        return f"{self.place.value}, {self.way}, {pace}"

    @property
    def label(self) -> str:
        """Unique in the section."""
        return f"{self.group}: {self.preset}"

    def run(self) -> None:
        """Measure once."""
        options = {} if self.tuning is None else {"tuning": self.tuning}
        kind = SharedTyped if self.place is Place.PROCESSES else Typed
        send = carrying.one_way if self.way == "one way" else carrying.round_trips
        timed = send(partial(kind, Shape(), **options), self.place, self.schedule)
        self.runs.append(timed.latencies)
        messages = len(timed.latencies) * (1 if self.way == "one way" else 2)
        self.cpu.append(timed.cpu / max(1, messages) * 1e6)

    def row(self) -> Row:
        """The figures of all runs."""
        names = {f"{percentile:g}%": percentile for percentile in PERCENTILES} | {"max": 100.0}
        runs = [Latencies(run) for run in self.runs]
        figures = [
            Figure(name, "us", tuple(run.at(percentile) for run in runs), better="less")
            for name, percentile in names.items()
        ]
        figures.append(Figure("CPU", "us/msg", tuple(self.cpu), better="less"))
        settings = {
            "place": self.place.value,
            "way": self.way,
            "rate": self.schedule.rate,
            "seconds": self.schedule.seconds,
            "most": self.schedule.most,
            "capacity": CAPACITY,
            "preset": self.preset,
        }
        return Row(self.label, tuple(figures), settings, self._note())

    def _note(self) -> str:
        least, due = min(map(len, self.runs)), self.schedule.count
        if self.schedule.rate and least < _KEPT * due:
            return f"rate not kept: {least:,} of {due:,} messages"
        return ""


def measure(
    runs: int,
    progress: Progress,
    *,
    rate: float = RATE,
    seconds: float = SECONDS,
    tunings: Mapping[str, Any] | None = None,
    places: Sequence[Place] = PLACES,
) -> Section:
    """Measure every place, way, pace and preset, in turns.

    Args:
        runs: How often.
        progress: Told before each run.
        rate: Messages a second of the runs at a rate.
        seconds: How long such a run is; those at full speed take two fifths of it.
        tunings: By name, how the channels are tuned; None for `presets()`.
        places: Between whom.

    Raises:
        ValueError: A number that makes no sense.
        MismatchError: What arrived is not what was sent.
        TimeoutError: A run stood still.
    """
    if runs < 1:
        raise ValueError(f"runs must be at least 1, got {runs}")
    if not rate * seconds >= 1:
        raise ValueError(f"rate must be at least {1 / seconds:g}, got {rate:g}")
    tunings = presets() if tunings is None else tunings
    cases = list(_cases(rate, seconds, tunings, places))
    progress.steps(runs * len(cases))
    for _ in range(runs):
        for case in cases:
            progress.step(case.label)
            case.run()
    rows, plots = tuple(case.row() for case in cases), tuple(_plots(cases))
    return Section(NAME, "Latency", _lines(rate, seconds), rows, plots=plots)


def _lines(rate: float, seconds: float) -> tuple[str, ...]:
    count = round(rate * seconds)
    return (
        f"64-bit integers, one a call, capacity {CAPACITY:,}; every message is checked: number, "
        "order, and that each answer is the one due",
        f"at {rate:,.0f}/s a run has {count:,} messages: percentiles that need more of them are "
        "the longest; a message counts from when it was due if earlier ones held it up",
        "at full speed one way, messages wait in the full channel: the latency is the queue's "
        "length; there and back, each is sent when the one before it is back",
        "CPU: of all threads and processes, the sender's pacing included",
    )


def _cases(
    rate: float, seconds: float, tunings: Mapping[str, Any], places: Sequence[Place]
) -> Iterator[Case]:
    ways: tuple[Way, ...] = ("one way", "round trip")
    for place in places:
        for way in ways:
            for schedule in (Schedule(seconds, rate), Schedule(0.4 * seconds)):
                for preset, tuning in tunings.items():
                    yield Case(place, way, schedule, preset, tuning)


def _plots(cases: Sequence[Case]) -> Iterator[Plot]:
    """For each place, way and pace the presets beside each other."""
    for group in dict.fromkeys(case.group for case in cases):
        lines = {
            case.preset: Latencies(np.concatenate(case.runs)).curve()
            for case in cases
            if case.group == group
        }
        yield Plot(group, "one message in", "takes us or more", lines, log_x=True, log_y=True)
