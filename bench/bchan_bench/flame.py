"""A flame graph of what `perf` saw: stacks folded into counts, and the picture of them.

Source: B. Gregg, https://www.brendangregg.com/flamegraphs.html. Each call is a bar above its
caller, as wide as the share of samples that it was in.
"""

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from html import escape

Stacks = Counter[tuple[str, ...]]

_WIDTH, _HEIGHT, _LETTER = 1200, 16, 7
_NARROWEST = 0.3  # pixels; narrower calls, and what they called, are left out


def fold(lines: Iterable[str]) -> Stacks:
    """Count the stacks that `perf script -F comm,ip,sym` writes.

    Args:
        lines: For each sample the thread's name, its calls from the last to the first as address
            and name, and an empty line.

    Returns:
        How often each stack was seen; a stack is the thread's name and its calls, the first first.

    Example:
        >>> fold(["python", "  1f work", "  2f main", ""])
        Counter({('python', 'main', 'work'): 1})
    """
    stacks: Stacks = Counter()
    sample: list[str] = []
    for line in (*lines, ""):
        if line.strip():
            sample.append(line.strip())
        elif sample:
            thread, *calls = sample
            names = (call.partition(" ")[2] for call in reversed(calls))
            stacks[thread, *names] += 1
            sample = []
    return stacks


def draw(stacks: Stacks, title: str) -> str:
    """The picture, as SVG; a bar's name and share are shown where the mouse is.

    Args:
        stacks: At least one.
        title: A line above the picture.

    Raises:
        ValueError: There is no stack.
    """
    total = stacks.total()
    if total < 1:
        raise ValueError("stacks must be at least 1, got 0")
    depth = max(map(len, stacks))
    height = (depth + 3) * _HEIGHT
    bars = "\n".join(_bars(stacks, 0, 0, _WIDTH / total, height, total))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'font-family="monospace" font-size="12">\n<text x="4" y="{_HEIGHT}">{escape(title)}, '
        f"{total:,} samples</text>\n{bars}\n</svg>\n"
    )


def _bars(
    stacks: Stacks, level: int, x: float, scale: float, height: int, total: int
) -> Iterator[str]:
    """The bars of one level, side by side, each followed by those above it."""
    for name, called in sorted(_by_call(stacks, level).items()):
        count = called.total()
        width = count * scale
        if width >= _NARROWEST:
            yield _bar(name, count / total, x, height - (level + 1.5) * _HEIGHT, width)
            yield from _bars(called, level + 1, x, scale, height, total)
        x += width


def _by_call(stacks: Stacks, level: int) -> dict[str, Stacks]:
    """The stacks that are higher than a level, by their call there."""
    calls: dict[str, Stacks] = {}
    for stack, count in stacks.items():
        if len(stack) > level:
            calls.setdefault(stack[level], Counter())[stack] = count
    return calls


def _bar(name: str, share: float, x: float, y: float, width: float) -> str:
    hue = zlib.crc32(name.encode()) % 50
    letters = int(width) // _LETTER
    text = escape(
        name if len(name) <= letters else name[: letters - 2] + "…" if letters > 3 else ""
    )
    return (
        f"<g><title>{escape(name)} ({share:.2%})</title>"
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_HEIGHT - 1}" '
        f'fill="hsl({hue},80%,65%)"/><text x="{x + 2:.1f}" y="{y + 12:.1f}">{text}</text></g>'
    )
