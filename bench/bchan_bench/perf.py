"""What the processor did meanwhile, counted by `perf stat`; what can't be counted is named."""

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from select import select
from tempfile import TemporaryDirectory
from typing import Literal

from bchan_bench.case import Case
from bchan_bench.progress import Progress
from bchan_bench.sections import Figure, Row, Section

DEADLINE = 10.0  # seconds for perf to end

_SWITCHES, _MIGRATIONS = "context-switches", "cpu-migrations"
_HARDWARE_ADVICE = "a virtual machine often has no such counters"


class NoPerfError(Exception):
    """Perf can't count here; the message says why."""


@dataclass(frozen=True)
class Counts:
    """Events by name, and why others have no number."""

    events: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Quotient:
    """A figure made of two events."""

    name: str
    part: str
    whole: str
    unit: str
    better: Literal["more", "less"]


_QUOTIENTS = (
    _Quotient("instructions per cycle", "instructions", "cycles", "", "more"),
    _Quotient("L1 misses", "L1-dcache-load-misses", "L1-dcache-loads", "%", "less"),
    _Quotient("last cache's misses", "LLC-load-misses", "LLC-loads", "%", "less"),
    _Quotient("branch misses", "branch-misses", "branches", "%", "less"),
)


def measure(name: str, cases: Sequence[Case], progress: Progress) -> Section:
    """One more run of each case under `perf stat -d`.

    Args:
        name: That of the section which the cases belong to.
        cases: What to run.
        progress: Told before each run.

    Raises:
        MismatchError: What arrived is not what was sent.
        TimeoutError: A run stood still.
    """
    progress.steps(len(cases))
    lines = ["one more run of each, the whole of it; rates: of all loads, of all branches"]
    rows = []
    for case in cases:
        progress.step(f"{case.label}, perf")
        counts = counted(lambda case=case: case.run(case.settings))  # type: ignore[misc]
        rows.append(Row(case.label, tuple(figures(counts)), dict(vars(case.settings))))
        lines += (line for line in _missing_lines(counts) if line not in lines)
    return Section(f"{name} perf", "What the processor did", tuple(lines), tuple(rows))


def counted(work: Callable[[], object]) -> Counts:
    """Do the work while perf watches this process, the threads and children that it starts.

    Context switches are counted by the system as well: they are there without perf, too.
    """
    before = _switches()
    try:
        counts = parse(_watched(work))
    except NoPerfError as error:
        before = _switches()
        work()
        counts = Counts(missing={"perf": str(error)})
    if _SWITCHES in counts.events:
        return counts
    switches = {_SWITCHES: float(_switches() - before)}
    missing = {event: why for event, why in counts.missing.items() if event != _SWITCHES}
    return Counts({**counts.events, **switches}, missing)


def parse(text: str) -> Counts:
    """Read what `perf stat -x ';'` wrote.

    Of a processor with two kinds of cores the events of both are added up. Without the right to
    count in the kernel, perf counts switches and migrations as 0, and marks them `:u`.
    """
    events: dict[str, float] = {}
    missing: dict[str, str] = {}
    for line in text.splitlines():
        value, _, rest = line.partition(";")
        _, _, rest = rest.partition(";")  # unit
        event, _, modifier = _plain(rest.partition(";")[0]).partition(":")
        if not event:
            continue
        if value.startswith("<"):
            missing[event] = value.strip("<>")
        elif modifier and event in (_SWITCHES, _MIGRATIONS):
            missing[event] = "no permission"
        else:
            events[event] = events.get(event, 0.0) + float(value)
    return Counts(events, {event: why for event, why in missing.items() if event not in events})


def figures(counts: Counts) -> list[Figure]:
    """What the counts say, without what is missing."""
    events = counts.events
    found = [
        Figure(
            one.name,
            one.unit,
            (events[one.part] / events[one.whole] * (100 if one.unit == "%" else 1),),
            one.better,
        )
        for one in _QUOTIENTS
        if one.part in events and events.get(one.whole)
    ]
    for event, name in ((_SWITCHES, "context switches"), (_MIGRATIONS, "migrations")):
        if event in events:
            found.append(Figure(name, "", (events[event],), better="less"))
    return found


def _missing_lines(counts: Counts) -> list[str]:
    """One plain line for each figure that could not be had."""
    if (why := counts.missing.get("perf")) is not None:
        return [why, "context switches: counted by the system; migrations: only perf counts them"]
    lines = [
        f"{one.name}: {reasons[0]} ({_HARDWARE_ADVICE})"
        for one in _QUOTIENTS
        if (reasons := [counts.missing[e] for e in (one.part, one.whole) if e in counts.missing])
    ]
    if (reason := counts.missing.get(_MIGRATIONS)) is not None:
        lines.append(f"migrations: {reason}")
    return lines


def _plain(event: str) -> str:
    """`cpu_core/cycles/u` is `cycles:u`."""
    if "/" not in event:
        return event
    _, name, modifier = (*event.split("/"), "")[:3]
    return f"{name}:{modifier}" if modifier else name


def _watched(work: Callable[[], object]) -> str:
    """What perf writes about this process while it works. It counts from when it has said so."""
    perf = shutil.which("perf")
    if perf is None:
        raise NoPerfError("perf is not installed (Debian: apt install linux-perf)")
    with TemporaryDirectory(prefix="bchan-perf-") as folder:
        output = Path(folder) / "counts"
        watching = _Perf(perf, output)
        try:
            watching.enable()
            work()
        finally:
            watching.stop()
        return output.read_text()


class _Perf:
    """Perf beside this process, counting nothing until it is told to."""

    def __init__(self, perf: str, output: Path) -> None:
        commands, self._commanding = os.pipe()
        self._answered, answers = os.pipe()
        self._process = subprocess.Popen(  # noqa: S603
            [
                *(perf, "stat", "-d", "-x", ";", "-D", "-1"),
                *("--control", f"fd:{commands},{answers}"),
                *("-o", str(output), "-p", str(os.getpid())),
            ],
            pass_fds=(commands, answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(commands)
        os.close(answers)  # so that perf's end ends the pipe

    def enable(self) -> None:
        """Have it count. Its answer says that it does; that it has ended, that it can't."""
        answer = b""
        with suppress(BrokenPipeError):
            os.write(self._commanding, b"enable\n")
            if select([self._answered], [], [], DEADLINE)[0]:
                answer = os.read(self._answered, 16)
        if not answer:
            self._process.terminate()
            _, said = self._process.communicate(timeout=DEADLINE)
            raise NoPerfError(f"perf can't count here: {_reason(said)}")

    def stop(self) -> None:
        """Have it write what it has counted."""
        os.close(self._commanding)
        os.close(self._answered)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.communicate(timeout=DEADLINE)


def _reason(said: str) -> str:
    """The first line that says something."""
    lines = [line.strip() for line in said.splitlines()]
    return next((line for line in lines if line not in ("", "Error:")), "it says nothing")


def _switches() -> int:
    """Context switches of this process and of its children that have ended."""
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_nvcsw + used.ru_nivcsw for used in map(resource.getrusage, whose))
