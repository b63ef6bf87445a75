"""The command `bchan top`: named channels while they work.

Each look finds the channels anew and lets go of them, so looking keeps no channel and no name
alive. Rates are differences of two looks at the same memory.
"""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import click
from rich.bar import Bar
from rich.box import SIMPLE
from rich.console import Console, JustifyMethod
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bchan import Stats, _names, _sharing
from bchan._names_commands import plainly

_WIDTH_OF_BAR = 12
_WIDTH_OF_FILE = 160  # where the output is no terminal, which would have a width

_COLUMNS = (
    *("name", "fill", "in flight", "sent/s", "received/s", "waits/s", "wakes/s", "parked"),
    *("tx", "rx", "processes", "deaths"),
)


@dataclass(frozen=True, slots=True)
class Look:
    """A channel at a moment."""

    at: float
    """Seconds of a clock that only goes on."""
    memory: int
    """Tells whether a name still means the same channel."""
    stats: Stats
    in_flight: int
    room: int
    """Messages that may be in flight, over all producers."""
    producers: int
    consumers: int
    processes: int
    is_closed: bool


@dataclass(frozen=True, slots=True)
class Rates:
    """What a channel did between two looks."""

    sent: float
    received: float
    waits: float
    wakes: float
    parked: float
    """Seconds that threads had spent parked when they were woken, for each second."""


def look_at(name: str) -> Look:
    """Look at the channel of a name.

    Raises:
        OSError: There is none, or it is another user's.
        ValueError: A name that is none, or memory that holds no channel.
    """
    channel, holders = _sharing.look_for(name)
    handles = [is_producer for _, is_producer, is_alive in channel._participants() if is_alive]
    lanes = max(1, sum(handles)) if channel.mode == "mpsc" else 1
    return Look(
        at=time.monotonic(),
        memory=os.fstat(channel._fd).st_ino,
        stats=channel.stats(),
        in_flight=len(channel),
        room=channel.capacity * lanes,
        producers=sum(handles),
        consumers=len(handles) - sum(handles),
        processes=len(holders.alive) + len(holders.unknown),
        is_closed=channel.closed,
    )


def rates(before: Look | None, now: Look) -> Rates | None:
    """What was done between two looks; None if they are not of the same channel."""
    if before is None or before.memory != now.memory or before.at == now.at:
        return None
    seconds = now.at - before.at

    def each_second(field: str) -> float:
        return float(getattr(now.stats, field) - getattr(before.stats, field)) / seconds

    return Rates(*map(each_second, ("sent", "received", "waits", "wakes", "time_parked")))


class Watch:
    """Channels that are looked at again and again.

    Args:
        names: Their names; none for those that there are at each look.

    Raises:
        OSError: Of one that is named there is none.
        ValueError: A name that is none.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._names = names
        self._last: dict[str, Look] = {}
        for name in names:
            look_at(name)

    def table(self) -> Table:
        """Look once more, and say what was done since the last look."""
        table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
        for column in _COLUMNS:
            justify: JustifyMethod = "left" if column in ("name", "fill") else "right"
            table.add_column(column, justify=justify, overflow="fold")
        for name in self._names or _names.names():
            try:
                now = look_at(name)
            except (OSError, ValueError) as error:
                table.add_row(name, Text(_gone(error), style="red"))
                self._last.pop(name, None)
                continue
            table.add_row(*_cells(name, now, rates(self._last.get(name), now)))
            self._last[name] = now
        return table


def _gone(error: Exception) -> str:
    return "gone" if isinstance(error, FileNotFoundError) else str(error)


def _cells(name: str, now: Look, done: Rates | None) -> list[str | Text | Bar]:
    rest = ["-"] * 5
    if done is not None:
        counted = (done.sent, done.received, done.waits, done.wakes)
        rest = [*map(short, counted), f"{done.parked:.0%}"]
    return [
        Text(f"{name} (closed)" if now.is_closed else name),
        Bar(now.room, 0, min(now.in_flight, now.room), width=_WIDTH_OF_BAR, color="cyan"),
        short(now.in_flight),
        *rest,
        *map(str, (now.producers, now.consumers, now.processes)),
        Text(str(now.stats.deaths), style="red" if now.stats.deaths else ""),
    ]


def short(number: float) -> str:
    """A number in little room: up to four digits, and a unit.

    Example:
        >>> short(0), short(12.34), short(9_876), short(1_234_567), short(648_000_000)
        ('0', '12', '9,876', '1,235 k', '648 M')
    """
    for unit in ("", " k", " M"):
        if number < 10_000:
            return f"{number:,.0f}{unit}"
        number /= 1000
    return f"{number:,.0f} G"


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.05),
    default=1.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option("--once", is_flag=True, help="Look twice, print once, and end.")
@plainly
def top(names: tuple[str, ...], interval: float, once: bool) -> None:
    """Show what the named channels do, all or those of NAME, until Ctrl-C.

    Below tx and rx stand the producers and consumers, below parked the time that threads had slept
    when they were woken, for each second: 200% if it was two seconds.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_OF_FILE)
    with suppress(KeyboardInterrupt):
        watch = Watch(names)
        if once:
            watch.table()
            time.sleep(interval)
            console.print(watch.table())
            return
        with Live(watch.table(), console=console, auto_refresh=False) as live:
            while True:
                time.sleep(interval)
                live.update(watch.table(), refresh=True)
