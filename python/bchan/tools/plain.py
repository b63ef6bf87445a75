"""What a command shows as text: for files, for pipes, and where rich is not installed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from typing import IO

from bchan.tools.tables import Cell, Column, Fill, Table

_WIDTH_OF_FILL = 12
_CLEAR = "\033[H\033[2J"


class Plain:
    """Prints text."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    def line(self, text: str) -> None:
        """Print a text."""
        self._out.write(f"{text}\n")

    def table(self, table: Table) -> None:
        """Print a table."""
        for line in lines_of(table):
            self.line(line)

    @contextmanager
    def live(self) -> Iterator[Callable[[Table], None]]:
        """Show tables one after the other, each in place of the one before."""

        def show(table: Table) -> None:
            if self._out.isatty():
                self._out.write(_CLEAR)
            self.table(table)
            self._out.flush()

        yield show


def lines_of(table: Table) -> list[str]:
    """A table as text.

    Example:
        >>> from bchan.tools.tables import Column, Fill, Table
        >>> table = Table((Column("name"), Column("fill"), Column("sent", is_number=True)))
        >>> table.rows.append(("ticks", Fill(1, 4), "1,024"))
        >>> table.rows.append(("lost", "gone"))
        >>> for line in lines_of(table):
        ...     print(line)
        name   fill           sent
        ticks  ###.........  1,024
        lost   gone
    """
    texts = [[_text(cell) for cell in row] for row in table.rows]
    if table.has_headings:
        texts.insert(0, [column.heading for column in table.columns])
    # A row that ends early has its last cell for all the rest, and makes no column wider.
    whole = [row for row in texts if len(row) == len(table.columns)]
    widths = [max(map(len, cells), default=0) for cells in zip(*whole, strict=True)]
    return [_joined(row, table.columns, widths) for row in texts]


def _joined(row: list[str], columns: tuple[Column, ...], widths: list[int]) -> str:
    cells = []
    for text, column, width in zip_longest(row, columns[: len(row)], widths[: len(row)]):
        cells.append(text.rjust(width or 0) if column.is_number else text.ljust(width or 0))
    return "  ".join(cells).rstrip()


def _text(cell: Cell) -> str:
    if isinstance(cell, Fill):
        full = round(cell.share * _WIDTH_OF_FILL)
        return "#" * full + "." * (_WIDTH_OF_FILL - full)
    return str(cell)
