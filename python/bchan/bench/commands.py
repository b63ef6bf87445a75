"""`bchan bench …`: the commands that measure."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bchan.bench.arrivals import MismatchError
from bchan.bench.case import Case, Measured, measure
from bchan.bench.machine import this_machine
from bchan.bench.queue_baseline import queue_case
from bchan.bench.report import Report
from bchan.bench.settings import (
    BATCH_BUFFER,
    ITEMS,
    Item,
    Mode,
    Settings,
    default_buffer,
    default_messages,
)
from bchan.bench.throughput import run_channel

Command = TypeVar("Command", bound=Callable[..., Any])


def _writable(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    """Refuse before the runs what could not be written after them."""
    if path is not None and not path.parent.is_dir():
        raise click.BadParameter(f"no such folder: {path.parent}", context, option)
    return path


_OPTIONS = (
    click.option(
        "--item",
        type=click.Choice(ITEMS),
        default="batch",
        show_default=True,
        help="One message a call, batches copied, or batches in the ring itself.",
    ),
    click.option("--batch", default=64, show_default=True, help="Messages of a producer's call."),
    click.option("--capacity", default=65_536, show_default=True, help="Slots of a producer."),
    click.option(
        "--buffer",
        type=int,
        help=f"Most messages of a receiver's call.  [default: {BATCH_BUFFER}; in place: capacity]",
    ),
    click.option("--messages", type=int, help="Messages of a run.  [default: for 1 to 2 seconds]"),
    click.option("--runs", default=5, show_default=True, help="How often to measure."),
    click.option("--verify", is_flag=True, help="Check every message's place as well (timed)."),
    click.option("--compare-queue", is_flag=True, help="Measure queue.Queue beside it."),
    click.option(
        "--json",
        "json_file",
        type=click.Path(dir_okay=False, writable=True, allow_dash=True, path_type=Path),
        callback=_writable,
        metavar="FILE",
        help="Write all figures there; - for standard output.",
    ),
)


def _throughput_options(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group()
def bench() -> None:
    """Measure messages received per second. Every run is verified."""


@bench.command()
@click.option("--producers", default=4, show_default=True, help="Threads that send.")
@_throughput_options
def mpsc(producers: int, **options: Any) -> None:
    """Several producer threads, one consumer."""
    _throughput("mpsc", producers, **options)


@bench.command()
@_throughput_options
def spsc(**options: Any) -> None:
    """One producer thread, one consumer."""
    _throughput("spsc", 1, **options)


@bench.command()
@click.option("--producers", default=4, show_default=True, help="Threads that send.")
@click.option("--consumers", default=4, show_default=True, help="Threads that receive.")
@_throughput_options
def vyukov(producers: int, consumers: int, **options: Any) -> None:
    """Several producer threads, several consumers, and one ring for all."""
    _throughput("mpmc", producers, consumers=consumers, **options)


def _throughput(
    mode: Mode, producers: int, *, compare_queue: bool, json_file: Path | None, **options: Any
) -> None:
    settings = _settings(mode, producers, **options)
    cases = [Case(f"bchan {mode}", settings, run_channel)]
    if compare_queue:
        cases.append(queue_case(settings))
    to_stdout = json_file == Path("-")
    report = Report(this_machine(), _measure_all(cases))
    report.print(Console(stderr=to_stdout))
    if to_stdout:
        click.echo(report.to_json(), nl=False)
    elif json_file is not None:
        json_file.write_text(report.to_json())


def _settings(
    mode: Mode,
    producers: int,
    *,
    item: Item,
    batch: int,
    capacity: int,
    messages: int | None,
    buffer: int | None,
    runs: int,
    verify: bool,
    consumers: int = 1,
) -> Settings:
    if item == "single":
        batch = buffer = 1
    messages = default_messages(item, batch) if messages is None else messages
    buffer = default_buffer(item, capacity) if buffer is None else buffer
    try:
        return Settings(
            mode=mode,
            item=item,
            producers=producers,
            consumers=consumers,
            batch=batch,
            capacity=capacity,
            buffer=buffer,
            messages=messages,
            runs=runs,
            verify=verify,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _measure_all(cases: Sequence[Case]) -> tuple[Measured, ...]:
    """Run them with a progress bar that is drawn between the runs only."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    progress = Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        auto_refresh=False,
        transient=True,
        disable=not console.is_terminal,
    )
    with progress:
        task = progress.add_task("", total=sum(case.settings.runs for case in cases))

        def measured(case: Case) -> Measured:
            progress.update(task, description=case.name, refresh=True)
            return measure(case, lambda: progress.update(task, advance=1, refresh=True))

        try:
            return tuple(measured(case) for case in cases)
        except (MismatchError, TimeoutError, ValueError, MemoryError, OSError) as error:
            raise click.ClickException(str(error) or type(error).__name__) from error
