"""The command `bchan cpus`."""

from argparse import Namespace

from bchan.affinity.settings import warnings
from bchan.affinity.sysfs import topology
from bchan.tools.parsing import Commands, add_command
from bchan.tools.printing import printer
from bchan.tools.tables import Bad


def add_to(commands: Commands) -> None:
    """Add it to a parser's commands."""
    add_command(commands, "cpus", cpus)


def cpus(_options: Namespace) -> None:
    """Draw the CPUs that a process may use here, with what they share, and what to look out for."""
    to = printer()
    to.line(str(topology()))
    for warning in warnings():
        to.line(Bad(warning))
