"""A report as one page that needs nothing beside itself: tables, and plots as embedded pictures."""

import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from string import Template

from bchan_bench.plots import drawings_of, to_svg
from bchan_bench.report import Report
from bchan_bench.sections import Plot, Section
from bchan_bench.tables import Column, Line, columns_of, footer_of, lines_of

TITLE = "bchan: benchmarks"


def to_html(report: Report) -> str:
    """The whole page."""
    template = Template(files("bchan_bench").joinpath("page.html").read_text(encoding="utf-8"))
    head = [
        f"<h1>{TITLE}</h1>",
        *_paragraphs([_plain_time(report.time), *report.machine.lines]),
        *(f'<p class="warning">{escape(warning)}</p>' for warning in report.all_warnings),
    ]
    parts = [*head, _contents(report.sections)]
    for section in report.sections:
        parts += _section(section)
    return template.substitute(title=TITLE, body="\n".join(parts))


def _plain_time(time: str) -> str:
    return time.replace("T", " ").replace("+00:00", " UTC")


def _contents(sections: Sequence[Section]) -> str:
    """Links to the sections, if there are several."""
    links = (f'<a href="#{escape(one.name)}">{escape(one.title)}</a>' for one in sections)
    return f"<nav>{''.join(links)}</nav>" if len(sections) > 1 else ""


def _section(section: Section) -> list[str]:
    return [
        f'<h2 id="{escape(section.name)}">{escape(section.title)}</h2>',
        *_paragraphs(section.lines),
        _table(columns_of(section)),
        f"<small>{escape(footer_of(section))}</small>",
        *(_picture(drawing) for drawing in drawings_of(section)),
        _settings(section),
    ]


def _table(columns: Sequence[Column]) -> str:
    def line(tag: str, cells: Iterable[str]) -> str:
        shown = (
            f'<{tag} class="{_css_class(column)}">{escape(cell).replace(chr(10), "<br>")}</{tag}>'
            for column, cell in zip(columns, cells, strict=True)
        )
        return f"<tr>{''.join(shown)}</tr>"

    def body_line(of: Line) -> str:
        if of.is_heading:
            return f'<tr><td class="group" colspan="{len(columns)}">{escape(of.cells[0])}</td></tr>'
        return line("td", of.cells)

    head = line("th", (column.heading for column in columns))
    body = map(body_line, lines_of(columns))
    rows = "\n".join(body)
    return (
        f'<div class="wide"><table><thead>{head}</thead>\n<tbody>\n{rows}\n</tbody></table></div>'
    )


def _css_class(column: Column) -> str:
    if column.is_main:
        return "main"
    return "number" if column.is_number else "text"


def _picture(drawing: Plot | Section) -> str:
    content = b64encode(to_svg(drawing)).decode("ascii")
    title = escape(drawing.title)
    return f'<img alt="{title}" src="data:image/svg+xml;base64,{content}">'


def _settings(section: Section) -> str:
    """What one needs to measure the rows again, to be unfolded."""
    lines = [
        f"{row.label}: {json.dumps(dict(row.settings))}" for row in section.rows if row.settings
    ]
    if not lines:
        return ""
    listing = escape("\n".join(lines), quote=False)
    return f"<details><summary>settings of each row</summary><pre>{listing}</pre></details>"


def _paragraphs(lines: Iterable[str]) -> list[str]:
    return [f"<p>{escape(line)}</p>" for line in lines]
