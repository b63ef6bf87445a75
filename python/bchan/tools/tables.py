"""What a command has to show, whatever it will look like."""

from dataclasses import dataclass, field
from typing import TypeAlias


class Bad(str):
    """A text that tells of something bad."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Fill:
    """How full something is."""

    part: int
    whole: int

    @property
    def share(self) -> float:
        """From 0, empty, to 1, full."""
        return min(self.part / self.whole, 1.0) if self.whole else 0.0


Cell: TypeAlias = str | Fill


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    heading: str
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Columns, and rows of a cell for each column, or of fewer."""

    columns: tuple[Column, ...]
    rows: list[tuple[Cell, ...]] = field(default_factory=list)

    @property
    def has_headings(self) -> bool:
        """Whether any column has one."""
        return any(column.heading for column in self.columns)
