"""What a command shows on a terminal, where rich is installed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import box
from rich.bar import Bar
from rich.console import Console
from rich.live import Live
from rich.table import Table as RichTable
from rich.text import Text

from bchan.tools.tables import Bad, Cell, Fill, Table

_WIDTH_OF_FILL = 12


class Pretty:
    """Prints with colours and rules."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def line(self, text: str) -> None:
        """Print a text."""
        self._console.print(_cell(text), soft_wrap=True)

    def table(self, table: Table) -> None:
        """Print a table."""
        self._console.print(_rich(table))

    @contextmanager
    def live(self) -> Iterator[Callable[[Table], None]]:
        """Show tables one after the other, each in place of the one before."""
        with Live(console=self._console, auto_refresh=False) as live:
            yield lambda table: live.update(_rich(table), refresh=True)


def _rich(table: Table) -> RichTable:
    found = RichTable(
        box=box.SIMPLE, show_header=table.has_headings, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for column in table.columns:
        found.add_column(
            column.heading, justify="right" if column.is_number else "left", overflow="fold"
        )
    for row in table.rows:
        found.add_row(*map(_cell, row))
    return found


def _cell(cell: Cell) -> Text | Bar:
    if isinstance(cell, Fill):
        return Bar(1.0, 0, cell.share, width=_WIDTH_OF_FILL, color="cyan")
    return Text(cell, style="red" if isinstance(cell, Bad) else "")
