"""Reports of sections: JSON and back, tables, the page, plots, and the difference of two."""

import re
from base64 import b64decode
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("click")
pytest.importorskip("matplotlib")
pytest.importorskip("rich")

from click.testing import CliRunner
from rich.console import Console

from bchan_bench.difference import Change, difference
from bchan_bench.machine import this_machine
from bchan_bench.page import to_html
from bchan_bench.plots import drawings_of, to_svg, write_png
from bchan_bench.report import SCHEMA, NotAReportError, Report
from bchan_bench.sections import Figure, Plot, Row, Section
from bchan_bench.tables import Column, columns_of, footer_of, lines_of
from bchan_bench.terminal import print_report
from bchan_bench.wording import digits
from tests.bench_support import command

MACHINE = replace(this_machine(), profile="release", load=0.0)


def rates(*values: float) -> Figure:
    return Figure("throughput", "M msg/s", values)


def report(*rows: Row, **changes: Any) -> Report:
    section = Section("mpsc", "Several & <one>", ("a line", "<another>"), rows, "queue")
    return Report(MACHINE, (replace(section, **changes),))


QUEUE = Row("queue", (rates(0.5, 0.4, 0.6),))
CHANNEL = Row(
    "bchan <4p1c>",
    (rates(100.0, 200.0, 150.0), Figure("waits", "", (3.0, 4.0, 5.0), better=None)),
    {"batch": 64, "cpus": [0, 1], "item": "batch"},
)
ABSENT = Row("janus", note="not installed")
WHOLE = report(
    CHANNEL,
    QUEUE,
    ABSENT,
    plots=(Plot("Batches", "batch", "M msg/s", {"all": [(1.0, 2.0), (64.0, 9.0)]}, log_x=True),),
)


# --- JSON ---


def test_what_is_written_as_json_is_read_back() -> None:
    text = WHOLE.to_json()
    back = Report.from_json(text)
    assert back.to_json() == text
    assert back.sections[0].rows == WHOLE.sections[0].rows
    assert back.machine == WHOLE.machine


def test_what_a_later_version_adds_is_passed_over() -> None:
    text = WHOLE.to_json().replace('"title":', '"colour": "blue", "title":', 1)
    assert Report.from_json(text).sections[0].rows == WHOLE.sections[0].rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a report of bchan bench"),
        ("[]", "not a report of bchan bench"),
        ("{}", "not a report of bchan bench"),
        ('{"schema": 1}', f"schema must be {SCHEMA}, got 1"),
        (f'{{"schema": {SCHEMA}}}', "the report is damaged: 'machine'"),
        (f'{{"schema": {SCHEMA}, "machine": {{"cpu": 1}}}}', "the report is damaged"),
    ],
)
def test_what_is_no_report_is_refused(text: str, message: str) -> None:
    with pytest.raises(NotAReportError, match=f"^{re.escape(message)}"):
        Report.from_json(text)


# --- Tables ---


def cells(of: Report) -> dict[str, list[str]]:
    return {" ".join(c.heading.split()): list(c.cells) for c in columns_of(of.sections[0])}


def test_a_table_has_median_range_spread_and_ratio() -> None:
    assert cells(WHOLE) == {
        "": ["bchan <4p1c>", "queue", "janus"],
        "throughput M msg/s": ["150", "0.500", ""],
        "min": ["100", "0.400", ""],
        "max": ["200", "0.600", ""],
        "spread": ["66.7%", "40.0%", ""],
        "ratio": ["300", "1", ""],
        "waits": ["4", "", ""],
        "note": ["", "", "not installed"],
    }
    assert footer_of(WHOLE.sections[0]).startswith("medians of 3 runs; ")
    assert footer_of(WHOLE.sections[0]).endswith("; ratio: to queue")


def test_rows_with_the_same_words_before_the_colon_stand_under_these() -> None:
    labels = ["alone", "threads: a", "threads: b", "loop: a: 1", "alone", "loop: a: 1"]
    lines = lines_of([Column("", labels), Column("x", list("123456"))])
    assert [line.cells for line in lines] == [
        ("alone", "1"),
        *[("threads", ""), ("a", "2"), ("b", "3")],
        *[("loop", ""), ("a: 1", "4")],
        ("alone", "5"),
        *[("loop", ""), ("a: 1", "6")],
    ]
    assert [line.cells[0] for line in lines if line.is_heading] == ["threads", "loop", "loop"]
    rows = (Row("threads: a", (rates(1.0, 2.0),)), Row("threads: b", (rates(3.0, 4.0),)))
    assert '<td class="group" colspan="5">threads</td>' in to_html(report(*rows))
    assert b"</svg>" in to_svg(report(*rows).sections[0])


def test_without_a_row_to_compare_with_there_is_no_ratio() -> None:
    assert "ratio" not in cells(report(CHANNEL, QUEUE, ratio_to=None))
    assert "ratio" not in cells(report(CHANNEL, ratio_to="queue"))


def test_one_run_has_no_spread() -> None:
    once = report(Row("queue", (rates(2.0),)))
    assert cells(once) == {"": ["queue"], "throughput M msg/s": ["2"], "ratio": ["1"]}
    assert footer_of(once.sections[0]) == "one run; ratio: to queue"


def test_a_section_in_which_nothing_was_measured_is_a_table_of_notes() -> None:
    assert cells(report(ABSENT)) == {"": ["janus"], "note": ["not installed"]}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (0.00012345678, "0.0001235"),
        (0.5, "0.500"),
        (12.345, "12.35"),
        (123.45, "123.5"),
        (12345.6, "12,346"),
    ],
)
def test_about_four_digits_are_shown(value: float, text: str) -> None:
    assert digits(value) == text


@pytest.mark.parametrize(("width", "missing"), [(200, ""), (56, "no room for: waits, note")])
def test_a_narrow_terminal_leaves_out_the_last_columns_and_names_them(
    width: int, missing: str
) -> None:
    shown = StringIO()
    print_report(WHOLE, Console(file=shown, width=width, force_terminal=True, color_system=None))
    text = shown.getvalue()
    assert "throughput" in text
    assert "66.7%" in text
    assert ("not installed" in text) == (not missing)
    assert missing in text
    assert ("no room for" in text) == bool(missing)


def test_what_is_no_terminal_gets_the_whole_table() -> None:
    shown = StringIO()
    print_report(WHOLE, Console(file=shown, width=40))
    assert "bchan <4p1c>" in shown.getvalue()
    assert "not installed" in shown.getvalue()
    assert "…" not in shown.getvalue()


# --- The page ---


def test_the_page_needs_nothing_beside_itself() -> None:
    page = to_html(WHOLE)
    assert "http" not in page
    assert "<script" not in page
    assert "<link" not in page
    assert "@import" not in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources
    assert all(source.startswith(("data:image/svg+xml;base64,", "#")) for source in sources)


def test_the_page_has_machine_warnings_lines_figures_notes_and_settings() -> None:
    page = to_html(replace(WHOLE, warnings=("turbo is <on>",)))
    for line in MACHINE.lines:
        assert line in page
    assert "turbo is &lt;on&gt;" in page
    assert '<h2 id="mpsc">Several &amp; &lt;one&gt;</h2>' in page
    assert "&lt;another&gt;" in page
    assert '<td class="main">150</td>' in page
    assert "not installed" in page
    assert 'bchan &lt;4p1c&gt;: {"batch": 64' in page
    assert "$" not in page


def test_the_plots_of_the_page_are_pictures() -> None:
    (content,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]*)"', to_html(WHOLE))
    assert b"<svg" in b64decode(content)


# --- Plots ---


def test_a_section_with_no_plot_of_its_own_has_its_runs_drawn() -> None:
    (section,) = report(CHANNEL, QUEUE, ABSENT).sections
    assert list(drawings_of(section)) == [section]
    assert b"<svg" in to_svg(section)
    assert list(drawings_of(WHOLE.sections[0])) == list(WHOLE.sections[0].plots)


@pytest.mark.parametrize(
    "plot",
    [
        Plot("t", "x", "y", {}),
        Plot("t", "x", "y", {"a": []}),
        Plot("t", "x", "y", {"a": [(1, 2)]}, log_x=True, log_y=True),
        Plot("t", "x", "y", {"a": [(n, n * n) for n in range(1, 99)], "b": [(1, 1)]}, log_y=True),
        Plot("t", "x", "y", {f"line {n}": [(1, n), (2, n)] for n in range(20)}),
    ],
)
def test_any_plot_can_be_drawn(plot: Plot) -> None:
    assert b"</svg>" in to_svg(plot)


def test_all_drawings_go_on_one_sheet(tmp_path: Path) -> None:
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    write_png(WHOLE.sections, one)
    write_png([*WHOLE.sections, *report(CHANNEL, QUEUE).sections], two)
    widths = [int.from_bytes(file.read_bytes()[16:20], "big") for file in (one, two)]
    assert one.read_bytes().startswith(b"\x89PNG\r\n")
    assert widths[1] == 2 * widths[0]


def test_one_run_is_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        write_png(report(Row("queue", (rates(1.0),)), ABSENT).sections, tmp_path / "no.png")


# --- The difference of two reports ---


def verdict(old: Figure, new: Figure) -> str:
    return Change("mpsc", "queue", old, new).verdict


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ((1.0, 2.0), (3.0, 4.0), "better"),
        ((3.0, 4.0), (1.0, 2.0), "worse"),
        ((1.0, 3.0), (2.0, 4.0), "within the spread"),
        ((1.0, 2.0), (2.0, 4.0), "within the spread"),
        ((2.0, 3.0), (1.0, 9.0), "within the spread"),
        ((1.0,), (9.0, 9.5), "one run, no spread"),
        ((1.0, 1.1), (9.0,), "one run, no spread"),
    ],
)
def test_a_change_counts_only_beyond_the_spread(
    old: tuple[float, ...], new: tuple[float, ...], expected: str
) -> None:
    assert verdict(rates(*old), rates(*new)) == expected
    opposite = {"better": "worse", "worse": "better"}.get(expected, expected)
    took_old, took_new = (Figure("took", "s", values, better="less") for values in (old, new))
    assert verdict(took_old, took_new) == opposite


def test_a_figure_that_is_no_merit_only_differs() -> None:
    old, new = (Figure("waits", "", values, better=None) for values in ((1.0, 2.0), (5.0, 6.0)))
    assert verdict(old, new) == "differs"


VALUES = st.lists(st.floats(0.1, 1e6), min_size=2, max_size=9)


@given(VALUES, VALUES)
def test_marked_is_what_has_no_common_value_and_never_both(
    old: list[float], new: list[float]
) -> None:
    there, back = verdict(rates(*old), rates(*new)), verdict(rates(*new), rates(*old))
    if max(old) < min(new):
        assert (there, back) == ("better", "worse")
    elif max(new) < min(old):
        assert (there, back) == ("worse", "better")
    else:
        assert there == back == "within the spread"


def test_what_only_one_report_has_is_named() -> None:
    new_row = Row("kanal", (rates(1.0, 2.0),))
    more = replace(CHANNEL, figures=(*CHANNEL.figures, Figure("CPU", "s", (1.0, 1.0))))
    found = difference(report(CHANNEL, QUEUE), report(more, new_row))
    assert [(change.label, change.old.name) for change in found.changes] == [
        ("bchan <4p1c>", "throughput")
    ]
    assert found.only_old == ("mpsc: queue",)
    assert found.only_new == ("mpsc: kanal", "mpsc: bchan <4p1c>: CPU, s")


def test_figures_that_are_no_merit_are_compared_if_asked_for() -> None:
    found = difference(report(CHANNEL), report(CHANNEL), everything=True)
    assert [change.old.name for change in found.changes] == ["throughput", "waits"]


def test_what_was_not_the_same_is_named() -> None:
    settings = {"batch": 128, "cpus": [0, 1], "item": "batch", "messages": 5}
    other = report(replace(CHANNEL, settings=settings))
    other = replace(other, machine=replace(MACHINE, cores=99, load=7.0))
    assert difference(report(CHANNEL), other).conditions == (
        f"machine: cores was {MACHINE.cores}, is 99",
        "mpsc: bchan <4p1c>: batch was 64, is 128",
    )


def diff(tmp_path: Path, old: str, new: str, *options: str) -> Any:
    files = tmp_path / "old.json", tmp_path / "new.json"
    for file, text in zip(files, (old, new), strict=True):
        file.write_text(text)
    return CliRunner().invoke(command("bench"), ["diff", *map(str, files), *options])


def test_the_command_prints_and_marks_the_changes(tmp_path: Path) -> None:
    faster = replace(CHANNEL, figures=(rates(300.0, 310.0, 320.0), *CHANNEL.figures[1:]))
    result = diff(tmp_path, report(CHANNEL, QUEUE).to_json(), report(faster, QUEUE).to_json())
    assert result.exit_code == 0, result.output
    lines = {line.split()[1]: line for line in result.output.splitlines() if "throughput" in line}
    assert re.search(r"150 +310 +2\.067 +\* +better", lines["bchan"])
    assert re.search(r"0\.500 +0\.500 +1 +within the spread", lines["queue"])
    assert "waits" not in result.output
    assert "waits" in diff(tmp_path, WHOLE.to_json(), WHOLE.to_json(), "--all").output


def test_the_command_refuses_what_is_no_report(tmp_path: Path) -> None:
    result = diff(tmp_path, WHOLE.to_json(), "{}")
    assert result.exit_code == 1
    assert "new.json: not a report of bchan bench" in result.output
    result = CliRunner().invoke(command("bench"), ["diff", "missing.json", str(tmp_path)])
    assert result.exit_code == 2
