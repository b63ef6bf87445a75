"""The command `bchan top`: named channels while they work.

Each look finds the channels anew and lets go of them, so looking keeps no channel and no name
alive. Rates are differences of two looks at the same memory.
"""

import os
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from bchan import Stats, _names, _sharing
from bchan.tools.parsing import Commands, add_command, seconds_of_at_least
from bchan.tools.printing import printer
from bchan.tools.tables import Bad, Cell, Column, Fill, Table

_LEAST_INTERVAL = 0.05

_COLUMNS = (
    *(Column("name"), Column("fill")),
    *(
        Column(heading, is_number=True)
        for heading in (
            *("in flight", "sent/s", "received/s", "waits/s", "wakes/s", "parked"),
            *("tx", "rx", "processes", "deaths"),
        )
    ),
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
        table = Table(_COLUMNS)
        for name in self._names or _names.names():
            try:
                now = look_at(name)
            except (OSError, ValueError) as error:
                table.rows.append((name, Bad(_gone(error))))
                self._last.pop(name, None)
                continue
            table.rows.append(_cells(name, now, rates(self._last.get(name), now)))
            self._last[name] = now
        return table


def _gone(error: Exception) -> str:
    return "gone" if isinstance(error, FileNotFoundError) else str(error)


def _cells(name: str, now: Look, done: Rates | None) -> tuple[Cell, ...]:
    rest = ["-"] * 5
    if done is not None:
        counted = (done.sent, done.received, done.waits, done.wakes)
        rest = [*map(short, counted), f"{done.parked:.0%}"]
    deaths = str(now.stats.deaths)
    return (
        f"{name} (closed)" if now.is_closed else name,
        Fill(now.in_flight, now.room),
        short(now.in_flight),
        *rest,
        *map(str, (now.producers, now.consumers, now.processes)),
        Bad(deaths) if now.stats.deaths else deaths,
    )


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


def add_to(commands: Commands) -> None:
    """Add it to a parser's commands."""
    parser = add_command(commands, "top", top)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument(
        "--interval",
        type=seconds_of_at_least(_LEAST_INTERVAL),
        default=1.0,
        metavar="SECONDS",
        help="seconds between two looks (default: 1.0)",
    )
    parser.add_argument("--once", action="store_true", help="look twice, print once, and end")


def top(options: Namespace) -> None:
    """Show what the named channels do, all or those of NAME, until Ctrl-C.

    Below tx and rx stand the producers and consumers, below parked the time that threads had slept
    when they were woken, for each second: 200% if it was two seconds.
    """
    to = printer()
    with suppress(KeyboardInterrupt):
        watch = Watch(options.names)
        if options.once:
            watch.table()
            time.sleep(options.interval)
            to.table(watch.table())
            return
        with to.live() as show:
            while True:
                show(watch.table())
                time.sleep(options.interval)
