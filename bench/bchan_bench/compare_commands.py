"""`bchan bench compare`."""

from typing import Any

import click

from bchan_bench import compare as measurement
from bchan_bench.machine import this_machine
from bchan_bench.options import OUTPUTS, RUNS, failing_plainly, with_options, write
from bchan_bench.progress import Bar
from bchan_bench.report import Report

QUICK_RUNS, QUICK_SECONDS = 2, 0.05


@click.command()
@RUNS
@click.option(
    "--seconds",
    default=measurement.SECONDS,
    show_default=True,
    help="About how long a run takes.",
)
@click.option("--quick", is_flag=True, help=f"{QUICK_RUNS} runs of {QUICK_SECONDS} s.")
@with_options(*OUTPUTS)
def compare(runs: int, seconds: float, quick: bool, **outputs: Any) -> None:
    """Beside the queues of the standard library, janus, culsans, faster-fifo, ZeroMQ and a lock.

    Between threads, into and inside an event loop, and between processes: throughput, round trips
    and CPU time. Those that are not installed are named: pip install --group compare.
    """
    if quick:
        runs, seconds = QUICK_RUNS, QUICK_SECONDS
    machine = this_machine()
    with failing_plainly(), Bar() as progress:
        section = measurement.measure(runs, progress, seconds=seconds)
        write(Report(machine, (section,)), **outputs)
