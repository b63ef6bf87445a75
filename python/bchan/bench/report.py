"""A report: where, what, each run, and the summary; for a person, or as JSON."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from bchan.bench.case import Measured
from bchan.bench.machine import Machine
from bchan.bench.settings import Settings

SCHEMA = 1  # grows when a key changes its meaning
SHOWN_COUNTERS = ("waits", "wakes", "spins")


@dataclass(frozen=True)
class Report:
    """Cases measured one after the other on one machine; the first is the one asked for."""

    machine: Machine
    cases: tuple[Measured, ...]

    @property
    def ratios(self) -> dict[str, float]:
        """How many times the median rate of each further case the first one has."""
        first = self.cases[0].summary.median
        return {other.case.name: first / other.summary.median for other in self.cases[1:]}

    def to_json(self) -> str:
        """Everything, with rates in messages a second."""
        content = {
            "schema": SCHEMA,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": asdict(self.machine),
            "cases": [_case_content(measured) for measured in self.cases],
            "ratios": self.ratios,
        }
        return json.dumps(content, indent=2) + "\n"

    def print(self, console: Console) -> None:
        """For a person to read."""
        for line in self.machine.lines:
            console.print(line, highlight=False, soft_wrap=True)
        for warning in self.machine.warnings:
            console.print(f"[yellow]warning:[/] {warning}", highlight=False, soft_wrap=True)
        for measured in self.cases:
            console.print(f"\n[bold]{measured.case.name}[/]")
            console.print(
                "\n".join(describe(measured.case.settings)), highlight=False, soft_wrap=True
            )
            console.print(_runs_table(measured))
        for name, ratio in self.ratios.items():
            console.print(
                f"\nmedian is {_digits(ratio)} times that of {name}",
                highlight=False,
                soft_wrap=True,
            )


def _number(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"


def describe(settings: Settings) -> list[str]:
    """The settings for a person to read."""
    people = [_number(settings.producers, "producer")]
    if settings.consumers > 1:
        people.append(_number(settings.consumers, "consumer"))
    if settings.item == "single":
        calls = "one message a call"
    else:
        place = "in place" if settings.item == "zero-copy" else "copied"
        calls = f"batches of {settings.batch:,} {place}, received up to {settings.buffer:,} at once"
    checks = "count, checksum and order" if settings.verify else "count and checksum"
    return [
        f"{', '.join(people)}, {calls}",
        f"capacity {settings.capacity:,}, {settings.messages:,} messages a run, {checks} checked",
    ]


def _case_content(measured: Measured) -> dict[str, Any]:
    return {
        "name": measured.case.name,
        "settings": asdict(measured.case.settings),
        "unit": "messages received per second",
        "runs": [asdict(run) | {"rate": run.rate} for run in measured.runs],
        "summary": asdict(measured.summary),
    }


def _runs_table(measured: Measured) -> Table:
    counters = [name for name in SHOWN_COUNTERS if name in measured.runs[0].counters]
    table = Table()
    for column in ("run", "M msg/s", "seconds", *counters):
        table.add_column(column, justify="right")
    for number, run in enumerate(measured.runs, start=1):
        counted = (f"{run.counters[name]:,}" for name in counters)
        table.add_row(str(number), _millions(run.rate), f"{run.seconds:.3f}", *counted)
    table.add_section()
    for name, rate in asdict(measured.summary).items():
        style = "bold" if name == "median" else None
        table.add_row(name, _millions(rate), style=style)
    return table


def _millions(rate: float) -> str:
    return _digits(rate / 1e6)


def _digits(value: float) -> str:
    """About four of them: 1,234 or 123.4 or 1.234."""
    decimals = 1 if value >= 100 else 2 if value >= 10 else 3
    return f"{value:,.{decimals}f}"
