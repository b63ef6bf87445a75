"""bchan beside other ways to carry messages: throughput, round trips, CPU time.

In each place, for each number of producers and batch, the contenders take turns: what disturbs one
disturbs all. Each is given as many messages as keep it busy for a given time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from statistics import median

from bchan_bench import carrying
from bchan_bench.adapting import messages_for
from bchan_bench.parties import Schedule
from bchan_bench.progress import Progress
from bchan_bench.rivals import CONTENDERS, Place, Rival
from bchan_bench.rivals.rival import BATCHED_CAPACITY, CAPACITY, Shape
from bchan_bench.rivals.threads import LockedRingQueue, StandardQueue
from bchan_bench.sections import Figure, Row, Section
from bchan_bench.wording import digits

NAME = "compare"
BATCH = 64
SECONDS = 0.15  # of a run
SHAPES: Mapping[Place, tuple[Shape, ...]] = {
    Place.THREADS: (Shape(1), Shape(1, BATCH), Shape(4), Shape(4, BATCH)),
    Place.INTO_LOOP: (Shape(1), Shape(1, BATCH)),
    Place.IN_LOOP: (Shape(1), Shape(1, BATCH)),
    Place.PROCESSES: (Shape(1), Shape(1, BATCH)),
}

_FIRST = 1024  # calls of the first trial
_MOST_INTEGERS = 2_000_000  # of one run: what is sent and what has arrived are both kept
_MOST_NUMBERS = 16_000_000

Kinds = Sequence[type[Rival]]


@dataclass(frozen=True)
class Group:
    """Contenders that are compared with each other.

    Attributes:
        place: Where.
        shape: How many send, and how much a call.
        kinds: Who.
    """

    place: Place
    shape: Shape
    kinds: tuple[type[Rival], ...]

    @property
    def label(self) -> str:
        """Such as `threads, 4 to 1, 64 a call`."""
        calls = "one a call" if self.shape.batch == 1 else f"{self.shape.batch} a call"
        return f"{self.place.value}, {self.shape.producers} to 1, {calls}"

    @property
    def has_round_trips(self) -> bool:
        """One message there and one back, from one to one."""
        return self.shape == Shape()


@dataclass
class Contest:
    """A contender in a group, and what was measured of it."""

    group: Group
    kind: type[Rival]
    messages: int = 0
    failure: str = ""
    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    trips: list[float] = field(default_factory=list)

    @property
    def label(self) -> str:
        """Unique in the section."""
        return f"{self.group.label}: {self.kind.label}"

    @property
    def rate(self) -> float:
        """Million messages received a second."""
        return median(self.rates)

    @property
    def trip(self) -> float:
        """Microseconds of a round trip."""
        return median(self.trips)

    @property
    def was_measured(self) -> bool:
        """Whether it is installed, and did not fail."""
        return bool(self.rates) and not self.failure

    def attempt(self, step: Callable[[float], None], seconds: float) -> None:
        """Make a step, unless an earlier one failed. What fails of a rival is told in its row.

        Raises:
            Exception: What fails of ours.
        """
        if self.failure:
            return
        try:
            step(seconds)
        except Exception as error:
            if self.kind.is_ours:
                raise
            self.failure = f"failed: {str(error) or type(error).__name__}"

    def adapt(self, seconds: float) -> None:
        """Find how many messages take so long."""
        shape = self.group.shape
        in_arrays = shape.batch > 1 and self.kind.batches == "array"
        self.messages = messages_for(
            seconds,
            lambda messages: self._carry(messages).seconds,
            first=_FIRST * shape.batch,
            least=shape.producers,
            most=_MOST_NUMBERS if in_arrays else _MOST_INTEGERS,
        )

    def run(self, seconds: float) -> None:
        """Measure once."""
        run = self._carry(self.messages)
        self.rates.append(run.messages / run.seconds / 1e6)
        self.cpu.append(run.cpu / run.messages * 1e6)
        if self.group.has_round_trips:
            trips = carrying.round_trips(
                lambda: self.kind(Shape()), self.group.place, Schedule(seconds / 2)
            )
            self.trips.append(float(median(trips.latencies)) / 1e3)

    def _carry(self, messages: int) -> carrying.Carried:
        return carrying.carry(self.kind, self.group.place, self.group.shape, messages)


def measure(
    runs: int,
    progress: Progress,
    *,
    seconds: float = SECONDS,
    kinds: Kinds = CONTENDERS,
    shapes: Mapping[Place, Sequence[Shape]] = SHAPES,
) -> Section:
    """Measure all who are installed.

    Args:
        runs: How often.
        progress: Told before each run.
        seconds: About how long a run takes; half of it for round trips.
        kinds: Who.
        shapes: In which places, from how many producers, how much a call.

    Raises:
        ValueError: A number that makes no sense.
        MismatchError: What arrived through bchan is not what was sent.
        TimeoutError: bchan stood still.
    """
    if runs < 1:
        raise ValueError(f"runs must be at least 1, got {runs}")
    if seconds <= 0:
        raise ValueError(f"seconds must be more than 0, got {seconds:g}")
    groups = [
        Group(place, shape, tuple(kind for kind in kinds if _can(kind, place, shape)))
        for place in shapes
        for shape in shapes[place]
    ]
    contests = [_measure_group(group, runs, progress, seconds) for group in groups]
    return Section(
        NAME,
        "bchan beside other queues",
        (*_DESCRIPTION, *_claims(contests)),
        tuple(row for of_group in contests for row in _rows(of_group)),
    )


_DESCRIPTION = (
    "a message is an integer below 2**64: an int object, or 8 bytes where the label says u64 or "
    "pyzmq; processes that carry objects pickle them",
    f"capacity {CAPACITY:,} for one message a call, {BATCHED_CAPACITY:,} for {BATCH}, unless the "
    "label says otherwise; pyzmq half at each side; faster-fifo 64 bytes for each",
    "every message that arrived is checked: count, sum, each producer's order",
    "round trip: one message there and one back, the median of a run, without a pause between",
    "CPU: of all threads and processes; ratios: to bchan's best in the same group, the rows with "
    "the same words before the colon",
)


def _can(kind: type[Rival], place: Place, shape: Shape) -> bool:
    return place in kind.places and (shape.batch == 1 or kind.batches is not None)


def _measure_group(group: Group, runs: int, progress: Progress, seconds: float) -> list[Contest]:
    contests = [Contest(group, kind) for kind in group.kinds]
    able = [contest for contest in contests if contest.kind.is_installed()]
    progress.steps(len(able) * (1 + runs))
    for contest in able:
        progress.step(contest.label)
        contest.attempt(contest.adapt, seconds)
    for _, contest in product(range(runs), able):
        progress.step(contest.label)
        contest.attempt(contest.run, seconds)
    return contests


def _best(contests: Sequence[Contest]) -> tuple[float, float | None]:
    """Of ours: the highest rate, and the shortest round trip, if that was measured."""
    ours = [contest for contest in contests if contest.kind.is_ours and contest.was_measured]
    return (
        max((contest.rate for contest in ours), default=0.0),
        min((contest.trip for contest in ours if contest.trips), default=None),
    )


def _rows(contests: Sequence[Contest]) -> Iterator[Row]:
    best_rate, best_trip = _best(contests)
    for contest in contests:
        if not contest.kind.is_installed():
            yield Row(contest.label, note="not installed")
        elif not contest.was_measured:
            yield Row(contest.label, settings=_settings(contest), note=contest.failure)
        else:
            yield _row(contest, best_rate, best_trip)


def _row(contest: Contest, best_rate: float, best_trip: float | None) -> Row:
    figures = [Figure("received", "M msg/s", tuple(contest.rates))]
    notes = []
    if best_rate:
        figures.append(_ratio("to bchan", contest.rate / best_rate))
    if best_rate and contest.rate > best_rate:
        notes.append("more than bchan")
    if contest.trips:
        figures.append(Figure("round trip", "us", tuple(contest.trips), better="less"))
        if best_trip is not None:
            figures.append(_ratio("trip to bchan", contest.trip / best_trip))
            notes += ["quicker than bchan"] if contest.trip < best_trip else []
    figures.append(Figure("CPU", "s/M msg", tuple(contest.cpu), better="less"))
    return Row(contest.label, tuple(figures), _settings(contest), ", ".join(notes))


def _ratio(name: str, value: float) -> Figure:
    return Figure(name, "times", (value,), better=None)


def _settings(contest: Contest) -> dict[str, object]:
    shape = contest.group.shape
    return {
        "place": contest.group.place.value,
        "producers": shape.producers,
        "batch": shape.batch,
        "capacity": shape.capacity,
        "messages": contest.messages,
    }


def _claims(contests: Sequence[Sequence[Contest]]) -> Iterator[str]:
    """How many times a queue with a lock bchan is, between threads."""
    in_threads = [of_group for of_group in contests if of_group]
    in_threads = [of for of in in_threads if of[0].group.place is Place.THREADS]
    for kind in (StandardQueue, LockedRingQueue):
        said = [_claim(kind, of_group, in_threads) for of_group in in_threads]
        if any(said):
            yield f"bchan, times {kind.label}: {'; '.join(filter(None, said))}"


def _claim(
    kind: type[Rival], of_group: Sequence[Contest], groups: Sequence[Sequence[Contest]]
) -> str:
    """Beside the one that sends as many a call, or else one a call."""
    shape = of_group[0].group.shape
    candidates = [
        contest
        for contest in (*of_group, *(contest for others in groups for contest in others))
        if contest.kind is kind
        and contest.was_measured
        and contest.group.shape in (shape, Shape(shape.producers))
    ]
    rate, trip = _best(of_group)
    if not candidates or not rate:
        return ""
    rival = candidates[0]
    calls = "one" if shape.batch == 1 else str(shape.batch)
    beside = "" if rival.group.shape == shape else " beside one"
    said = f"{shape.producers} to 1, {calls} a call{beside}: {digits(rate / rival.rate)}"
    if trip is not None and rival.trips:
        said += f", and its round trip is {digits(rival.trip / trip)} times as quick"
    return said
