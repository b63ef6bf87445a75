"""`bchan bench latency`."""

from typing import Any

import click

from bchan_bench import latency as measurement
from bchan_bench.machine import this_machine
from bchan_bench.options import OUTPUTS, failing_plainly, with_options, write
from bchan_bench.progress import Bar
from bchan_bench.report import Report

QUICK_RUNS, QUICK_SECONDS = 2, 0.1


@click.command()
@click.option("--runs", default=3, show_default=True, help="How often to measure.")
@click.option(
    "--rate",
    default=measurement.RATE,
    show_default=True,
    help="Messages a second, where they are sent at a rate.",
)
@click.option(
    "--seconds",
    default=measurement.SECONDS,
    show_default=True,
    help="How long a run at the rate takes.",
)
@click.option("--quick", is_flag=True, help=f"{QUICK_RUNS} runs of {QUICK_SECONDS} s.")
@with_options(*OUTPUTS)
def latency(runs: int, rate: float, seconds: float, quick: bool, **outputs: Any) -> None:
    """How long a message takes, at a rate and at full speed: 50 to 99.99 in a hundred, and all.

    Between threads, between processes and into an event loop; one way and there and back; for each
    preset of `Tuning`, with the CPU time that it costs.
    """
    if quick:
        runs, seconds = QUICK_RUNS, QUICK_SECONDS
    machine = this_machine()
    with failing_plainly(), Bar() as progress:
        section = measurement.measure(runs, progress, rate=rate, seconds=seconds)
        write(Report(machine, (section,)), **outputs)
