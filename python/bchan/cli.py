"""The command group `bchan`: each subgroup lives beside what it commands."""

import click

import bchan
from bchan.bench.commands import bench


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(bchan.__version__, prog_name="bchan")
def cli() -> None:
    """Typed channels between threads: measure them on this machine."""


cli.add_command(bench)
