"""Reports on a terminal."""

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from bchan_bench.difference import Difference, columns_of_changes
from bchan_bench.report import Report
from bchan_bench.sections import Section
from bchan_bench.tables import Column, columns_of, footer_of, lines_of

UNBOUNDED = 10_000  # wider than any table


def print_report(report: Report, console: Console) -> None:
    """For a person to read."""
    _print_lines(report.machine.lines, console)
    for warning in report.all_warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}", highlight=False, soft_wrap=True)
    for section in report.sections:
        print_section(section, console)


def print_difference(found: Difference, console: Console) -> None:
    """What was not the same, the changes, and what only one report has."""
    for condition in found.conditions:
        console.print(f"[yellow]not the same:[/] {escape(condition)}", soft_wrap=True)
    if found.changes:
        print_table(columns_of_changes(found.changes), console)
        _print_lines(["ratio: new to old; *: the runs of one lie apart from the other's"], console)
    _print_lines((f"only in the old one: {name}" for name in found.only_old), console)
    _print_lines((f"only in the new one: {name}" for name in found.only_new), console)


def print_section(section: Section, console: Console) -> None:
    """A heading, what was done, the table."""
    console.print(f"\n[bold]{escape(section.title)}[/]")
    _print_lines(section.lines, console)
    print_table(columns_of(section), console)
    _print_lines([footer_of(section)], console)


def print_table(columns: Sequence[Column], console: Console) -> None:
    """Where a terminal is too narrow, the last columns are left out, and named."""
    shown = list(columns)
    while console.is_terminal and len(shown) > 2 and _width(shown, console) > console.width:
        shown.pop()
    table = _table(shown)
    table.width = _width(shown, console)
    console.print(table, crop=False, no_wrap=True)
    if left_out := [" ".join(column.heading.split()) for column in columns[len(shown) :]]:
        _print_lines([f"no room for: {', '.join(left_out)}"], console)


def _table(columns: Sequence[Column]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(
            escape(column.heading),
            justify="right" if column.is_number else "left",
            style="bold" if column.is_main else None,
            no_wrap=True,
        )
    for line in lines_of(columns):
        table.add_row(*map(escape, line.cells), style="cyan" if line.is_heading else None)
    return table


def _width(columns: Sequence[Column], console: Console) -> int:
    unbounded = console.options.update(width=UNBOUNDED)
    return Measurement.get(console, unbounded, _table(columns)).maximum


def _print_lines(lines: Iterable[str], console: Console) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
