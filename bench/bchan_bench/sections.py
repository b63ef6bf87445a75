"""What a benchmark found, in the form that every report takes: sections of rows of figures.

A measurement makes sections and knows nothing of reports; a report (terminal, JSON, HTML, plots,
comparison with an earlier run) takes sections and knows nothing of measurements.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bchan_bench.summary import Summary, summarise


@dataclass(frozen=True)
class Figure:
    """One quantity, once for each run.

    Attributes:
        name: What it is, the same in every row of a section: its column.
        unit: Such as `M msg/s`, `us`, `ns`.
        values: One a run, at least one.
        better: Which of two is the better one; `None` where that makes no sense.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    better: Literal["more", "less"] | None = "more"

    @property
    def summary(self) -> Summary:
        """Of the runs."""
        return summarise(self.values)


@dataclass(frozen=True)
class Row:
    """What was measured under one label, unique in its section.

    Attributes:
        label: Such as `bchan spsc, batches of 64`.
        figures: What was measured, the main one first; empty if it could not be.
        settings: All that one needs to measure it again.
        note: Why there are no figures (`not installed`), or what to know about them.
    """

    label: str
    figures: tuple[Figure, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Plot:
    """Lines to draw: for each name, points of x and y. Axes with a wide range are logarithmic."""

    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Section:
    """One measurement: a table, and what can be drawn of it.

    Attributes:
        name: Short and lasting, such as `mpsc`: by it and the rows' labels an earlier run's figures
            are found again.
        title: A heading.
        lines: What was done and checked, for a person to read.
        rows: The figures.
        ratio_to: Label of the row that the others' main figures are compared with.
        plots: What to draw.
    """

    name: str
    title: str
    lines: tuple[str, ...]
    rows: tuple[Row, ...]
    ratio_to: str | None = None
    plots: tuple[Plot, ...] = ()
