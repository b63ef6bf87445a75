"""`bchan bench …`: the commands that measure."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bchan_bench import oversubscribed as crowds
from bchan_bench import scaling as scales
from bchan_bench.compare_commands import compare
from bchan_bench.difference import difference
from bchan_bench.latency_commands import latency
from bchan_bench.machine import this_machine
from bchan_bench.options import OUTPUTS, RUNS, failing_plainly, with_options, write
from bchan_bench.progress import Bar
from bchan_bench.report import NotAReportError, Report
from bchan_bench.suite import ALL, HEADLINE, QUICK
from bchan_bench.terminal import print_difference
from bchan_bench.throughput_commands import mpsc, spsc, vyukov

_REPORT = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Measure what arrives: throughput, latency, scaling. Every run is verified."""


for command in (mpsc, spsc, vyukov, latency, compare):
    bench.add_command(command)


@bench.command()
@with_options(RUNS)
@click.option("--quick", is_flag=True, help="Fewer points, shorter runs.")
@with_options(*OUTPUTS)
def scaling(runs: int, quick: bool, **outputs: Any) -> None:
    """Throughput with 1 to 512 producers, batches of 1 to 1,024, 1 Ki to 1 Mi slots."""
    machine = this_machine()
    with failing_plainly(), Bar() as progress:
        section = scales.measure(runs, progress, quick=quick)
        write(Report(machine, (section,)), **outputs)


@bench.command()
@with_options(RUNS, *OUTPUTS)
def oversubscribed(runs: int, **outputs: Any) -> None:
    """Many more threads than cores, and all threads on one CPU."""
    machine = this_machine()
    with failing_plainly(), Bar() as progress:
        section = crowds.measure(runs, progress)
        write(Report(machine, (section,)), **outputs)


@bench.command(name="all")
@with_options(RUNS)
@click.option("--headline", is_flag=True, help=f"Only {', '.join(HEADLINE)}.")
@click.option("--quick", is_flag=True, help="Once, and shortly: to see that all works.")
@with_options(*OUTPUTS)
def run_all(runs: int, headline: bool, quick: bool, **outputs: Any) -> None:
    """Every section in one report."""
    names = HEADLINE if headline else tuple(ALL)
    sections_of, runs = (QUICK, 1) if quick else (ALL, runs)
    machine, sections = this_machine(), []
    with failing_plainly(), Bar() as progress:
        for number, name in enumerate(names, start=1):
            progress.section(f"{name} ({number} of {len(names)})")
            sections.append(sections_of[name](runs, progress))
        write(Report(machine, tuple(sections)), **outputs)


@bench.command()
@click.argument("old", type=_REPORT)
@click.argument("new", type=_REPORT)
@click.option("--all", "everything", is_flag=True, help="Also figures that are no merit: waits …")
def diff(old: Path, new: Path, everything: bool) -> None:
    """Compare two reports in JSON: medians, and whether they differ by more than the runs do."""
    found = difference(_read(old), _read(new), everything=everything)
    print_difference(found, Console())


def _read(file: Path) -> Report:
    try:
        return Report.from_json(file.read_text(encoding="utf-8"))
    except (NotAReportError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{file}: {error}") from error
