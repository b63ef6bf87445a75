"""Tables of text, made once for every report: terminal and page only lay them out."""

from collections.abc import Sequence
from dataclasses import dataclass

from bchan_bench.sections import Figure, Row, Section
from bchan_bench.wording import digits, heading, spread


@dataclass(frozen=True)
class Column:
    """A column: its heading, its cells, how it is shown."""

    heading: str
    cells: Sequence[str]
    is_number: bool = True
    is_main: bool = False


@dataclass(frozen=True)
class Line:
    """A line: a cell for each column, or the heading of the lines below it."""

    cells: tuple[str, ...]
    is_heading: bool = False


def lines_of(columns: Sequence[Column]) -> list[Line]:
    """Rows with the same words before the colon of their labels, under these words."""
    lines, heading = [], ""
    for label, *others in zip(*(column.cells for column in columns), strict=True):
        group, name = _split(label)
        if group and group != heading:
            lines.append(Line((group, *("" for _ in others)), is_heading=True))
        heading = group
        lines.append(Line((name, *others)))
    return lines


def _split(label: str) -> tuple[str, str]:
    """The words before the colon, if there is one, and the rest."""
    group, colon, name = label.partition(": ")
    return (group, name) if colon else ("", label)


def columns_of(section: Section) -> list[Column]:
    """The main figure with its spread and ratio, then the other figures' medians, then notes."""
    labels = Column("", [row.label for row in section.rows], is_number=False)
    columns = [labels, *_main_columns(section), *_other_columns(section)]
    if any(row.note for row in section.rows):
        columns.append(Column("note", [row.note for row in section.rows], is_number=False))
    return columns


def footer_of(section: Section) -> str:
    """What the numbers of the table are."""
    runs = {len(figure.values) for row in section.rows for figure in row.figures[:1]}
    parts = []
    if runs:
        least, most = min(runs), max(runs)
        count = f"{most:,}" if least == most else f"{least:,} to {most:,}"
        several = [f"medians of {count} runs", "spread: max - min over median"]
        parts += ["one run"] if most == 1 else several
    if any(ratio is not None for ratio in ratios_of(section)):
        parts.append(f"ratio: to {section.ratio_to}")
    return "; ".join(parts)


def ratios_of(section: Section) -> list[float | None]:
    """Of each row's main figure to that of the row which they are compared with."""
    base = next((_main(row) for row in section.rows if row.label == section.ratio_to), None)
    if base is None or base.summary.median == 0:
        return [None] * len(section.rows)
    return [
        figure.summary.median / base.summary.median if (figure := _main(row)) else None
        for row in section.rows
    ]


def _main(row: Row) -> Figure | None:
    return row.figures[0] if row.figures else None


def _main_columns(section: Section) -> list[Column]:
    figures = [_main(row) for row in section.rows]
    first = next(filter(None, figures), None)
    if first is None:
        return []
    summaries = [figure and figure.summary for figure in figures]
    medians = [digits(s.median) if s else "" for s in summaries]
    columns = [Column(heading(first), medians, is_main=True)]
    if any(figure and len(figure.values) > 1 for figure in figures):
        columns += [
            Column("min", [digits(s.min) if s else "" for s in summaries]),
            Column("max", [digits(s.max) if s else "" for s in summaries]),
            Column("spread", [spread(s) if s else "" for s in summaries]),
        ]
    ratios = ["" if ratio is None else digits(ratio) for ratio in ratios_of(section)]
    return [*columns, Column("ratio", ratios)] if any(ratios) else columns


def _other_columns(section: Section) -> list[Column]:
    """A column for each further name, in the order in which they come up."""
    others = [{heading(figure): figure for figure in row.figures[1:]} for row in section.rows]
    headings = list(dict.fromkeys(name for row in others for name in row))
    return [
        Column(name, [digits(row[name].summary.median) if name in row else "" for row in others])
        for name in headings
    ]
