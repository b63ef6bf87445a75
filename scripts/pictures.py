"""Draw the pictures of docs/internals.md: the house with what imports what, and a message's way.

`python scripts/pictures.py` writes docs/pictures/*.svg. What imports what is read from the sources.
"""

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"

STYLE = """
text { font: 13px sans-serif; fill: #1b1b1f }
.name { font-weight: 600 }
.small { font-size: 11px; fill: #55555e }
.title { font-size: 15px; font-weight: 600 }
.band { fill: #f4f4f7; stroke: #d0d0d8 }
.room { fill: #ffffff; stroke: #6b6b78 }
.arrow { fill: none; stroke: #3b6ea8; stroke-width: 1.3; marker-end: url(#head) }
"""
HEAD = """<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"
 markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#3b6ea8"/></marker></defs>"""


class Room(NamedTuple):
    """A box: a name, what it is for, and where it stands."""

    name: str
    purpose: str
    x: int = 0
    y: int = 0
    width: int = 150
    height: int = 46


def svg(width: int, height: int, parts: Iterator[str]) -> str:
    """A picture of parts."""
    body = "\n".join(parts)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
    background = f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
    return f"{head}\n<style>{STYLE}</style>\n{HEAD}\n{background}\n{body}\n</svg>\n"


def text(x: int, y: int, words: str, kind: str = "") -> str:
    """Words."""
    return f'<text x="{x}" y="{y}" class="{kind}">{escape(words)}</text>'


def rectangle(x: int, y: int, width: int, height: int, kind: str) -> str:
    """A rectangle."""
    where = f'x="{x}" y="{y}" width="{width}" height="{height}"'
    return f'<rect {where} rx="5" class="{kind}"/>'


def draw(room: Room) -> Iterator[str]:
    """A room, with its name and its purpose."""
    yield rectangle(room.x, room.y, room.width, room.height, "room")
    yield text(room.x + 8, room.y + 19, room.name, "name")
    yield text(room.x + 8, room.y + 36, room.purpose, "small")


def arrow(path: str) -> str:
    """An arrow along a path."""
    return f'<path d="{path}" class="arrow"/>'


# The house.

CORE = ROOT / "crates" / "bchan" / "src"
CORE_ROOMS = {
    "channel": "handles, claims, registry, recovery, counters; lanes, the mpmc ring",
    "ring": "the lane, Vyukov's ring, frames, the claim log",
    "wait": "the wait loop, futex, event count, wakers of event loops",
    "process": "who lives, lifelines, the death observer",
    "memory": "the map of one channel",
    "layout": "every shared word",
}
BINDING_ROOMS = [
    Room("methods, classes", "what CPython calls"),
    Room("sending, receiving", "each call, once"),
    Room("reserving, peeking", "views of the ring"),
    Room("payloads", "item, frames, pickled"),
    Room("guard, handle", "one user at a time"),
]
PACKAGE_ROOMS = [
    Room("channel, handles", "the API, docstrings"),
    Room("event loops, select", "asyncio, trio, timers"),
    Room("names, handover", "between processes"),
    Room("queues, drop-ins", "over channels"),
    Room("tools, affinity", "command line, cores"),
]


def files(room: str) -> list[Path]:
    """The sources of a room of the core: a file, or a folder."""
    file = CORE / f"{room}.rs"
    return [file] if file.exists() else sorted((CORE / room).rglob("*.rs"))


def imports(room: str) -> set[str]:
    """Which other rooms of the core a room uses, but for what is there for tests alone."""
    sources = (path.read_text().split("#[cfg(test)]")[0] for path in files(room))
    used = {name for source in sources for name in re.findall(r"\bcrate::(\w+)", source)}
    return used & set(CORE_ROOMS) - {room}


def band(title: str, y: int, height: int) -> Iterator[str]:
    """A house, or a floor of it, to put rooms on."""
    yield rectangle(10, y, 860, height, "band")
    yield text(22, y + 22, title, "title")


def row(rooms: list[Room], y: int) -> Iterator[str]:
    """Rooms side by side."""
    for place, room in enumerate(rooms):
        yield from draw(room._replace(x=24 + 168 * place, y=y, width=158))


def house() -> str:
    """The house, and the imports within its core."""
    return svg(880, 790, _house())


def _house() -> Iterator[str]:
    yield from band("python/bchan: what users import", 10, 96)
    yield from row(PACKAGE_ROOMS, 48)
    yield arrow("M440 106 V134")
    yield from band("crates/bchan-python: the binding", 136, 96)
    yield from row(BINDING_ROOMS, 174)
    yield arrow("M440 232 V260")
    yield from band("crates/bchan: the core, and what imports what in it", 262, 518)
    rooms = [
        Room(name, purpose, 200, 300 + 82 * place, 440) for place, (name, purpose) in
        enumerate(CORE_ROOMS.items())
    ]  # fmt: skip
    order = list(CORE_ROOMS)
    for room in rooms:
        yield from draw(room)
    for importer in order:
        for used in sorted(imports(importer), key=order.index):
            yield arrow(_between(order.index(importer), order.index(used)))


def _between(importer: int, used: int) -> str:
    """An arrow from one room of the core to another: straight down, or round those in between."""
    start, end = 300 + 82 * importer, 300 + 82 * used
    if used == importer + 1:
        return f"M420 {start + 46} V{end}"
    is_down = used > importer
    side, away = (640, 1) if is_down else (200, -1)
    bow = side + away * (25 + 28 * abs(used - importer))
    leaves, comes = start + 23 + 5 * away, end + 23 - 4 * importer
    return f"M{side} {leaves} C{bow} {leaves} {bow} {comes} {side} {comes}"


# A message's way.

SENDER = [
    ("tx.send(item, timeout)", "methods.rs: a C method descriptor"),
    ("convert the arguments", "may run Python code; nothing is claimed yet"),
    ("in-use guard", "guard.rs: one comparison"),
    ("claim a slot", "lane: tail - head; mpmc: compare-and-swap of tail"),
    ("write the item into the slot", "item.rs, pickled/encoding.rs"),
    ("commit", "Release: a thread that sees it sees the item"),
    ("does anyone wait?", "doorbell or event word, in the sender's cache while none does"),
    ("wake one", "futex, or the eventfd of an event loop"),
]
RECEIVER = [
    ("rx.receive(timeout)", "methods.rs"),
    ("in-use guard", "guard.rs"),
    ("look: a message?", "Acquire: lane: tail; mpmc: the slot's state"),
    ("none: spin, 2 to 50 µs", "wait/spin.rs"),
    ("prepare, barrier, look, park", "wait/park.rs: without the GIL"),
    ("claim the message", "lane: head; mpmc: compare-and-swap of head"),
    ("read the item", "item.rs, pickled/decoding.rs"),
    ("release the slot", "Release; a sender that waits for room is woken"),
]


def message() -> str:
    """What a message meets on its way."""
    return svg(880, 600, _message())


def _message() -> Iterator[str]:
    yield text(24, 28, "the sending thread", "title")
    yield text(500, 28, "the receiving thread", "title")
    for x, steps in ((24, SENDER), (500, RECEIVER)):
        for place, (name, where) in enumerate(steps):
            yield from draw(Room(name, where, x, 44 + 68 * place, 356))
            if place:
                yield arrow(f"M{x + 60} {44 + 68 * place - 22} v20")
    y = [44 + 68 * place + 23 for place in range(len(SENDER))]
    yield arrow(f"M380 {y[5]} C440 {y[5]} 440 {y[2]} 500 {y[2]}")
    yield text(390, y[5] - 8, "the item", "small")
    yield arrow(f"M380 {y[7]} C440 {y[7]} 440 {y[4]} 500 {y[4]}")
    yield text(386, y[7] + 18, "the wake-up", "small")
    yield arrow(f"M500 {y[7] - 6} C460 {y[7] - 6} 440 {y[3]} 380 {y[3]}")
    yield text(464, y[7] + 18, "room", "small")


def main() -> None:
    """Write both."""
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / "house.svg").write_text(house())
    (PICTURES / "message.svg").write_text(message())


if __name__ == "__main__":
    main()
