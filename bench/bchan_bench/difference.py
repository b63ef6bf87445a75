"""Two reports beside each other: what got better or worse by more than the runs vary."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from bchan_bench.report import Report
from bchan_bench.sections import Figure, Row
from bchan_bench.summary import Summary
from bchan_bench.tables import Column
from bchan_bench.wording import digits

Verdict = Literal["better", "worse", "differs", "within the spread", "one run, no spread"]
Key = tuple[str, str]
"""Name of a section, label of a row."""

# Of a machine or a row's settings: what may differ while the figures still mean the same.
_VARYING = frozenset({"load", "messages", "runs"})
_MARKED: frozenset[Verdict] = frozenset({"better", "worse", "differs"})


@dataclass(frozen=True)
class Change:
    """A figure that both reports have."""

    section: str
    label: str
    old: Figure
    new: Figure

    @property
    def ratio(self) -> float | None:
        """New median to old median."""
        old = self.old.summary.median
        return self.new.summary.median / old if old else None

    @property
    def verdict(self) -> Verdict:
        """A difference counts only if no run of one is among the runs of the other."""
        old, new = self.old.summary, self.new.summary
        if min(len(self.old.values), len(self.new.values)) < 2:
            return "one run, no spread"
        if _overlap(old, new):
            return "within the spread"
        if self.new.better is None:
            return "differs"
        return "better" if (new.median > old.median) == (self.new.better == "more") else "worse"


@dataclass(frozen=True)
class Difference:
    """What two reports say of the same things.

    Attributes:
        changes: Figures that both have.
        only_old: Rows, and figures of rows, that the new report lacks.
        only_new: And the old one.
        conditions: What was not the same: the machine, the settings of a row.
    """

    changes: tuple[Change, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    conditions: tuple[str, ...]


def difference(old: Report, new: Report, *, everything: bool = False) -> Difference:
    """Compare by section, row and figure.

    Args:
        old: The report to compare with.
        new: The one to judge.
        everything: Also figures of which neither more nor less is better.
    """
    old_rows, new_rows = _rows(old), _rows(new)
    common = [key for key in old_rows if key in new_rows]
    changes: list[Change] = []
    only_old = [_named(key) for key in old_rows if key not in new_rows]
    only_new = [_named(key) for key in new_rows if key not in old_rows]
    for key in common:
        before, after = (_figures(rows[key], everything) for rows in (old_rows, new_rows))
        changes += (Change(*key, before[name], after[name]) for name in before if name in after)
        only_old += (f"{_named(key)}: {name}" for name in before if name not in after)
        only_new += (f"{_named(key)}: {name}" for name in after if name not in before)
    conditions = [
        *_unequal("machine", asdict(old.machine), asdict(new.machine)),
        *(
            line
            for key in common
            for line in _unequal(_named(key), old_rows[key].settings, new_rows[key].settings)
        ),
    ]
    return Difference(tuple(changes), tuple(only_old), tuple(only_new), tuple(conditions))


def columns_of_changes(changes: tuple[Change, ...]) -> list[Column]:
    """A line for each figure; what counts is marked."""

    def texts(name: str) -> list[str]:
        return [getattr(change, name) for change in changes]

    marks = ["*" if change.verdict in _MARKED else "" for change in changes]
    ratios = (change.ratio for change in changes)
    return [
        Column("section", texts("section"), is_number=False),
        Column("", texts("label"), is_number=False),
        Column("figure", [_name(change.new) for change in changes], is_number=False),
        Column("old", [digits(change.old.summary.median) for change in changes]),
        Column("new", [digits(change.new.summary.median) for change in changes]),
        Column("ratio", ["" if r is None else digits(r) for r in ratios], is_main=True),
        Column("", marks, is_number=False),
        Column("", texts("verdict"), is_number=False),
    ]


def _overlap(one: Summary, other: Summary) -> bool:
    return one.min <= other.max and other.min <= one.max


def _rows(report: Report) -> dict[Key, Row]:
    return {(section.name, row.label): row for section in report.sections for row in section.rows}


def _figures(row: Row, everything: bool) -> dict[str, Figure]:
    return {
        _name(figure): figure for figure in row.figures if everything or figure.better is not None
    }


def _name(figure: Figure) -> str:
    """With its unit: figures of other units are not the same."""
    return f"{figure.name}, {figure.unit}" if figure.unit else figure.name


def _named(key: Key) -> str:
    return ": ".join(key)


def _unequal(whose: str, old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name), new.get(name)
        if before != after and name not in _VARYING:
            yield f"{whose}: {name} was {before}, is {after}"
