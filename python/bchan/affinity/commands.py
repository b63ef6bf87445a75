"""The command `bchan cpus`."""

import click
from rich.console import Console

from bchan.affinity.settings import warnings
from bchan.affinity.sysfs import topology


@click.command()
def cpus() -> None:
    """Draw the CPUs that a process may use here, with what they share, and what to look out for."""
    console = Console(highlight=False)
    console.print(str(topology()), markup=False)
    for warning in warnings():
        console.print(f"[yellow]{warning}[/]")
