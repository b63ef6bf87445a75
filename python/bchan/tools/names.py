"""The commands about named channels: `bchan ls`, `bchan info NAME`, `bchan rm NAME`."""

import json
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from bchan import _names, _sharing
from bchan.tools.parsing import Commands, add_command
from bchan.tools.printing import printer
from bchan.tools.tables import Bad, Cell, Column, Table

_LISTED = (
    *(Column("name"), Column("of"), Column("mode"), Column("in flight", is_number=True)),
    *(Column("sent", is_number=True), Column("received", is_number=True), Column("processes")),
)

Facts = dict[str, Any]
"""What is known of a channel, as its JSON has it."""


def add_to(commands: Commands) -> None:
    """Add them to a parser's commands."""
    listing = add_command(commands, "ls", ls)
    telling = add_command(commands, "info", info)
    removing = add_command(commands, "rm", rm)
    for parser in (listing, telling):
        parser.add_argument("--json", action="store_true", help="as JSON")
    for parser in (telling, removing):
        parser.add_argument("name", metavar="NAME")
    removing.add_argument(
        "--force", action="store_true", help="even if processes have the channel, which keep it"
    )


def ls(options: Namespace) -> None:
    """List the named channels of this user."""
    found = [_facts_or_error(name) for name in _names.names()]
    if options.json:
        _write_json(found)
        return
    table = Table(_LISTED)
    table.rows.extend(map(_listed, found))
    printer().table(table)


def info(options: Namespace) -> None:
    """Describe the channel NAME: its kind, its counters, its processes."""
    found = facts(options.name)
    if options.json:
        _write_json(found)
        return
    table = Table((Column(""), Column("")))
    table.rows.extend(_told(found))
    printer().table(table)


def rm(options: Namespace) -> None:
    """Remove the name NAME of a channel."""
    try:
        _names.remove(options.name, force=options.force)
    except FileExistsError as error:
        hint = (
            "" if "--force" in str(error) else "; --force removes the name, they keep the channel"
        )
        raise FileExistsError(f"{error}{hint}") from error


def facts(name: str) -> Facts:
    """What is known of the channel of a name.

    Raises:
        OSError: There is none, or it is another user's.
        ValueError: A name that is none, or memory that holds no channel.
    """
    channel, holders = _sharing.look_for(name)
    handles = Counter(channel._participants())
    return {
        "name": name,
        "of": channel._kind(),
        "mode": channel.mode,
        "closed": channel.closed,
        "capacity": channel.capacity,
        "in_flight": len(channel),
        **asdict(channel.stats()),
        "attached": str(holders),
        "processes": [holder.pid for holder in holders.alive],
        "handles": [
            {
                "role": "producer" if is_producer else "consumer",
                "process": pid,
                "alive": is_alive,
                "count": count,
            }
            for (pid, is_producer, is_alive), count in handles.items()
        ],
        "died": [
            {"process": pid, "count": count} for pid, count in Counter(channel._dead()).items()
        ],
    }


def _facts_or_error(name: str) -> Facts:
    try:
        return facts(name)
    except (OSError, ValueError) as error:
        return {"name": name, "error": str(error)}


def _listed(found: Facts) -> tuple[Cell, ...]:
    if "error" in found:
        return (found["name"], Bad(found["error"]))
    return (
        *(found["name"], found["of"], found["mode"], _in_flight(found)),
        *(f"{found['sent']:,}", f"{found['received']:,}", found["attached"]),
    )


def _told(found: Facts) -> Iterator[tuple[Cell, ...]]:
    closed = ", closed" if found["closed"] else ""
    yield "channel", f"{found['of']}, {found['mode']}{closed}"
    yield "in flight", _in_flight(found)
    for field in ("sent", "received", "abandoned", "waits", "wakes", "spins", "bytes_mapped"):
        yield field.replace("_", " "), f"{found[field]:,}"
    yield "attached", found["attached"]
    for handle in found["handles"]:
        dead = "" if handle["alive"] else " (dead)"
        yield (
            "handles",
            f"{handle['count']} x {handle['role']} in process {handle['process']}{dead}",
        )
    died = ", ".join(f"{dead['count']} of process {dead['process']}" for dead in found["died"])
    yield "handles of the dead", f"{found['deaths']:,}{f': the last were {died}' if died else ''}"


def _in_flight(found: Facts) -> str:
    return f"{found['in_flight']:,} of {found['capacity']:,}"


def _write_json(content: object) -> None:
    json.dump(content, sys.stdout, indent=2)
    sys.stdout.write("\n")
