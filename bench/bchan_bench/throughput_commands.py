"""`bchan bench mpsc`, `spsc` and `vyukov`: one case, as its options describe it."""

from typing import Any

import click

from bchan_bench import perf, pinning
from bchan_bench.case import section_of
from bchan_bench.machine import this_machine
from bchan_bench.options import OUTPUTS, RUNS, failing_plainly, with_options, write
from bchan_bench.progress import Bar
from bchan_bench.queue_baseline import LABEL, queue_case
from bchan_bench.report import Report
from bchan_bench.settings import (
    BATCH_BUFFER,
    CACHED_BUFFER,
    ITEMS,
    Item,
    Mode,
    Settings,
    default_buffer,
    default_messages,
)
from bchan_bench.suite import TITLES
from bchan_bench.throughput import channel_case

_producers = click.option("--producers", default=4, show_default=True, help="How many send.")
_consumers = click.option("--consumers", default=4, show_default=True, help="How many receive.")
_throughput_options = with_options(
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
        help="Most messages of a receiver's call.  "
        f"[default: {BATCH_BUFFER}; in processes: {CACHED_BUFFER}; in place: capacity]",
    ),
    click.option("--messages", type=int, help="Messages of a run.  [default: for 1 to 2 seconds]"),
    RUNS,
    click.option("--verify", is_flag=True, help="Check every message's place as well (timed)."),
    click.option("--processes", is_flag=True, help="Processes instead of threads."),
    click.option("--pin", is_flag=True, help="A CPU for each, by the plan of bchan.affinity."),
    click.option("--perf", "with_perf", is_flag=True, help="One more run, under perf stat."),
    click.option("--compare-queue", is_flag=True, help="Measure queue.Queue beside it."),
    *OUTPUTS,
)


@click.command()
@_producers
@_throughput_options
def mpsc(producers: int, **options: Any) -> None:
    """Several producers, one consumer."""
    _throughput("mpsc", "mpsc", producers, 1, **options)


@click.command()
@_throughput_options
def spsc(**options: Any) -> None:
    """One producer, one consumer."""
    _throughput("spsc", "spsc", 1, 1, **options)


@click.command()
@_producers
@_consumers
@_throughput_options
def vyukov(producers: int, consumers: int, **options: Any) -> None:
    """Several producers, several consumers, and one ring for all."""
    _throughput("vyukov", "mpmc", producers, consumers, **options)


def _throughput(
    name: str,
    mode: Mode,
    producers: int,
    consumers: int,
    *,
    item: Item,
    batch: int,
    capacity: int,
    buffer: int | None,
    messages: int | None,
    runs: int,
    verify: bool,
    processes: bool,
    pin: bool,
    with_perf: bool,
    compare_queue: bool,
    **outputs: Any,
) -> None:
    if item == "single":
        batch = buffer = 1
    try:
        settings = Settings(
            mode=mode,
            item=item,
            producers=producers,
            consumers=consumers,
            batch=batch,
            capacity=capacity,
            buffer=default_buffer(item, capacity, processes) if buffer is None else buffer,
            messages=default_messages(item, batch) if messages is None else messages,
            runs=runs,
            verify=verify,
            processes=processes,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    _report(name, settings, pin, with_perf, compare_queue, outputs)


def _report(
    name: str,
    settings: Settings,
    pin: bool,
    with_perf: bool,
    compare_queue: bool,
    outputs: dict[str, Any],
) -> None:
    machine = this_machine()
    with failing_plainly(), Bar() as progress:
        warnings: tuple[str, ...] = ()
        if pin:
            settings, warnings = pinning.planned(settings)
        cases = [channel_case(settings), *([queue_case(settings)] if compare_queue else [])]
        ratio_to = LABEL if compare_queue else None
        sections = [section_of(name, TITLES[name], cases, progress, ratio_to)]
        if with_perf:
            sections.append(perf.measure(name, cases, progress))
        write(Report(machine, tuple(sections), warnings), **outputs)
