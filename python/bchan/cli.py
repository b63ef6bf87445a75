"""The command group `bchan`: each subgroup lives beside what it commands."""

import click

import bchan
from bchan._names_commands import info, ls, rm
from bchan._top import top
from bchan.affinity.commands import cpus
from bchan.bench.commands import bench
from bchan.bench.profile import profile


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(bchan.__version__, prog_name="bchan")
def cli() -> None:
    """Channels between threads and processes: measure them here, see those with a name."""


for command in (bench, ls, info, rm, top, cpus, profile):
    cli.add_command(command)
