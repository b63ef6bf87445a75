"""A report: where, when, what was found; kept as JSON, and read back to be compared."""

import json
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Self

from bchan_bench.machine import Machine
from bchan_bench.sections import Figure, Plot, Row, Section

SCHEMA = 2  # grows when a key changes its meaning


class NotAReportError(ValueError):
    """A file is no report of this schema."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Report:
    """Sections measured one after the other on one machine.

    Attributes:
        machine: Where.
        sections: What was found.
        warnings: Why the figures should not be trusted, beside what the machine itself warns of.
        time: When, in UTC.
    """

    machine: Machine
    sections: tuple[Section, ...]
    warnings: tuple[str, ...] = ()
    time: str = field(default_factory=_now)

    @property
    def all_warnings(self) -> list[str]:
        """The machine's and those of the runs."""
        return [*self.machine.warnings, *self.warnings]

    def to_json(self) -> str:
        """Everything; beside each run's value stands what follows from them."""
        content = {
            "schema": SCHEMA,
            "time": self.time,
            "machine": asdict(self.machine),
            "warnings": self.warnings,
            "sections": [_section_content(section) for section in self.sections],
        }
        return json.dumps(content, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            NotAReportError: It is something else, or of another schema.
        """
        try:
            content = json.loads(text)
            schema = content["schema"]
        except (ValueError, KeyError, TypeError) as error:
            raise NotAReportError("not a report of bchan bench") from error
        if schema != SCHEMA:
            raise NotAReportError(f"schema must be {SCHEMA}, got {schema}")
        try:
            return cls(
                Machine(**_known(Machine, content["machine"])),
                tuple(_section(section) for section in content["sections"]),
                tuple(content["warnings"]),
                content["time"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise NotAReportError(f"the report is damaged: {error}") from error


def _section_content(section: Section) -> dict[str, Any]:
    content = asdict(section)
    for row, row_content in zip(section.rows, content["rows"], strict=True):
        for figure, figure_content in zip(row.figures, row_content["figures"], strict=True):
            figure_content["summary"] = asdict(figure.summary)
    return content


def _section(content: dict[str, Any]) -> Section:
    return Section(
        **_known(Section, content)
        | {
            "lines": tuple(content["lines"]),
            "rows": tuple(_row(row) for row in content["rows"]),
            "plots": tuple(Plot(**_known(Plot, plot)) for plot in content["plots"]),
        }
    )


def _row(content: dict[str, Any]) -> Row:
    figures = (
        Figure(**_known(Figure, figure) | {"values": tuple(figure["values"])})
        for figure in content["figures"]
    )
    return Row(**_known(Row, content) | {"figures": tuple(figures)})


def _known(kind: type[Any], content: dict[str, Any]) -> dict[str, Any]:
    """What is a field, without what was derived or added later."""
    names = {one.name for one in fields(kind)}
    return {name: value for name, value in content.items() if name in names}
