"""How a command shows what it has to show: plain text, or prettier on a terminal with rich."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from bchan.tools.plain import Plain
from bchan.tools.tables import Table


class Printer(Protocol):
    """Shows lines and tables."""

    def line(self, text: str) -> None:
        """Print a text."""

    def table(self, table: Table) -> None:
        """Print a table."""

    def live(self) -> AbstractContextManager[Callable[[Table], None]]:
        """Show tables one after the other, each in place of the one before."""


def printer() -> Printer:
    """The one for standard output."""
    if sys.stdout.isatty():
        try:
            from rich.console import Console

            from bchan.tools.pretty import Pretty
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "rich":
                raise
        else:
            return Pretty(Console(highlight=False))
    return Plain(sys.stdout)
