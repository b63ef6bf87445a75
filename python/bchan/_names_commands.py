"""The commands about named channels: `bchan ls`, `bchan info NAME`, `bchan rm NAME`."""

from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bchan import _names, _sharing

console = Console()


def plainly(command: Callable[..., None]) -> Callable[..., None]:
    """Have a command say in one line what is wrong."""

    @wraps(command)
    def said(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except (OSError, ValueError) as error:
            raise click.ClickException(str(error)) from error

    return said


@click.command()
@plainly
def ls() -> None:
    """List the named channels of this user."""
    table = Table("name", "of", "mode", "in flight", "sent", "received", "processes")
    for name in _names.names():
        try:
            channel, holders = _sharing.look_for(name)
        except (OSError, ValueError) as error:
            table.add_row(name, f"[red]{error}[/]")
            continue
        stats = channel.stats()
        table.add_row(
            name,
            str(channel.dtype),
            channel.mode,
            f"{len(channel):,} of {channel.capacity:,}",
            f"{stats.sent:,}",
            f"{stats.received:,}",
            str(holders),
        )
    console.print(table)


@click.command()
@click.argument("name")
@plainly
def info(name: str) -> None:
    """Tell all about the channel NAME: what it is, who has it, who died."""
    channel, holders = _sharing.look_for(name)
    stats = channel.stats()
    table = Table(show_header=False)
    table.add_row(
        "channel", f"{channel.dtype}, {channel.mode}{', closed' if channel.closed else ''}"
    )
    table.add_row("in flight", f"{len(channel):,} of {channel.capacity:,}")
    for field in ("sent", "received", "abandoned", "waits", "wakes", "spins", "bytes_mapped"):
        table.add_row(field.replace("_", " "), f"{getattr(stats, field):,}")
    table.add_row("attached", str(holders))
    handles: Counter[str] = Counter()
    for pid, is_producer, is_alive in channel._participants():
        role = "producer" if is_producer else "consumer"
        handles[f"{role} in process {pid}{'' if is_alive else ' (dead)'}"] += 1
    for handle, count in handles.items():
        table.add_row("handles", f"{count} x {handle}")
    dead = Counter(channel._dead())
    died = ", ".join(f"{count} of process {pid}" for pid, count in dead.items())
    table.add_row(
        "handles of the dead", f"{stats.deaths:,}{f': the last were {died}' if died else ''}"
    )
    console.print(table)


@click.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Also if processes have it; they keep it.")
@plainly
def rm(name: str, force: bool) -> None:
    """Take the name NAME away from its channel."""
    try:
        _names.remove(name, force=force)
    except FileExistsError as error:
        hint = "" if "--force" in str(error) else "; --force takes the name away, they keep it"
        raise click.ClickException(f"{error}{hint}") from error
