"""`bchan profile`: the picture names what ran; what is missing or not permitted is said plainly."""

import shutil
import subprocess
import sys
import sysconfig
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("click")

from click.testing import CliRunner, Result

import bchan
from bchan_bench import profile as room
from bchan_bench.flame import draw, fold
from bchan_bench.profiled import CASES, run_for, settings_of
from bchan_bench.settings import ITEMS
from tests.bench_support import command

SVG = "{http://www.w3.org/2000/svg}"


def profile(*arguments: str) -> Result:
    return CliRunner().invoke(command("profile"), list(arguments))


def permitted(result: Result) -> Result:
    if "may not look at the process" in result.output:
        pytest.skip(result.output.strip())
    return result


# --- The command ---


@pytest.mark.skipif(bchan.build_info().free_threaded, reason="py-spy needs the GIL")
@pytest.mark.skipif(
    shutil.which("py-spy", path=sysconfig.get_path("scripts")) is None,
    reason="py-spy is not installed",
)
def test_py_spy_draws_the_benchmarks_functions(tmp_path: Path) -> None:
    file = tmp_path / "flame.svg"
    result = permitted(profile("spsc", "-o", str(file), "--seconds", "1"))
    assert result.exit_code == 0, result.output
    ElementTree.fromstring(file.read_text())  # noqa: S314
    assert "send_each" in file.read_text()


@pytest.mark.skipif(shutil.which("perf") is None, reason="perf is not installed")
def test_perf_draws_the_interpreters_functions(tmp_path: Path) -> None:
    file = tmp_path / "flame.svg"
    result = permitted(profile("spsc", "-o", str(file), "--seconds", "0.5", "--with", "perf"))
    assert result.exit_code == 0, result.output
    titles = [title.text or "" for title in ElementTree.parse(file).iter(f"{SVG}title")]  # noqa: S314
    assert any("Py" in title for title in titles)


@pytest.mark.parametrize(
    ("profiler", "advice"),
    [("py-spy", "pip install 'bchan-bench[profile]'"), ("perf", "linux-perf")],
)
def test_a_missing_profiler_is_named_with_what_to_install(
    profiler: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    result = profile("mpsc", "-o", str(tmp_path / "flame.svg"), "--with", profiler)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {profiler} is not installed, try: ")
    assert advice in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("profiler", "says", "message"),
    [
        ("py-spy", "Error: Operation not permitted (os error 1)", "may not look at the process"),
        ("perf", "Access to performance monitoring is limited.", "may not look at the process"),
        ("py-spy", "one\nError: no such thing", "py-spy failed: Error: no such thing"),
        ("perf", "", "perf failed: it said nothing"),
    ],
)
def test_why_a_profiler_failed_is_said_in_one_line(
    profiler: str, says: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = tmp_path / profiler
    failing.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{says}\nEND\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setattr(room, "_program", lambda _: str(failing))
    file = tmp_path / "flame.svg"
    result = profile("mpsc", "-o", str(file), "--with", profiler, "--seconds", "0.1")
    assert result.exit_code == 1
    assert message in result.stderr.splitlines()[-1]
    assert not file.exists()


def test_a_folder_that_is_not_there_is_refused_before_the_run(tmp_path: Path) -> None:
    result = profile("mpsc", "-o", str(tmp_path / "missing" / "flame.svg"))
    assert result.exit_code == 2
    assert "no such folder" in result.stderr


# --- What is looked at ---


def test_there_is_a_case_for_each_benchmark_and_way_of_sending() -> None:
    for case in CASES:
        for item in ITEMS:
            settings = settings_of(case, item)
            assert settings.item == item
            assert settings.messages >= settings.producers


def test_what_is_looked_at_ends_by_itself() -> None:
    run_for(settings_of("spsc", "single"), 0)
    command = [sys.executable, "-m", "bchan_bench.profiled", "spsc", "zero-copy", "0.1"]
    subprocess.run(command, timeout=60, check=True)


# --- The picture of what perf saw ---

SAMPLES = """\
python\x20
\t    1f4 work
\t     2f main (inlined)
\t     3f [unknown]

python\x20
\t    1f4 work
\t     2f main (inlined)
\t     3f [unknown]

worker\x20
\t     aa a<b> & c

"""


def test_stacks_are_counted_from_the_first_call_to_the_last() -> None:
    assert fold(SAMPLES.splitlines()) == {
        ("python", "[unknown]", "main (inlined)", "work"): 2,
        ("worker", "a<b> & c"): 1,
    }


def test_a_bar_is_as_wide_as_its_share_and_stands_on_its_caller() -> None:
    stacks = Counter({("main", "a"): 3, ("main", "b", "c"): 1})
    bars = {}
    for group in ElementTree.fromstring(draw(stacks, "test")).iter(f"{SVG}g"):  # noqa: S314
        title, bar = group.find(f"{SVG}title"), group.find(f"{SVG}rect")
        assert title is not None
        assert bar is not None
        bars[title.text] = tuple(float(bar.attrib[name]) for name in ("x", "width", "y"))
    assert {name: (x, width) for name, (x, width, _) in bars.items()} == {
        "main (100.00%)": (0, 1200),
        "a (75.00%)": (0, 900),
        "b (25.00%)": (900, 300),
        "c (25.00%)": (900, 300),
    }
    heights = [bars[name][2] for name in ("main (100.00%)", "b (25.00%)", "c (25.00%)")]
    assert heights == sorted(heights, reverse=True)
    assert bars["a (75.00%)"][2] == bars["b (25.00%)"][2]


def test_names_are_escaped_and_no_stack_is_refused() -> None:
    ElementTree.fromstring(draw(fold(SAMPLES.splitlines()), "a & b"))  # noqa: S314
    with pytest.raises(ValueError, match="stacks must be at least 1, got 0"):
        draw(Counter(), "nothing")
