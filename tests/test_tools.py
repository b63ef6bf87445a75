"""The command `bchan`: what it shows, in a bare installation too, and how others add to it."""

import json
import os
import re
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

import bchan
from bchan import Channel
from bchan.tools import cli
from bchan.tools.plain import lines_of
from bchan.tools.tables import Bad, Column, Fill, Table
from tests.command_support import run
from tests.support import DEADLINE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names are for Linux")

OURS = ("ls", "info", "rm", "top", "cpus")


@pytest.fixture
def channel() -> Iterator[Channel]:
    """A named one, with three messages in it."""
    ch = Channel("u4", capacity=1024, mode="mpsc", max_producers=2, name=f"cmd-{uuid4().hex[:8]}")
    tx = ch.producer()
    tx.send_batch([1, 2, 3])
    yield ch
    tx.close()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of an environment that has bchan and NumPy, and nothing else."""
    place = tmp_path_factory.mktemp("bare")
    venv.create(place, with_pip=False, symlinks=True)
    (packages,) = place.glob("lib/python*/site-packages")
    numpy = Path(np.__file__).parent
    installed = [Path(bchan.__file__).parent, numpy, numpy.with_name("numpy.libs")]
    for package in filter(Path.exists, installed):
        (packages / package.name).symlink_to(package)
    return str(place / "bin" / "python")


def bare_run(bare: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [bare, "-I", "-W", "error", "-m", "bchan", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)


# --- What it shows ---


def test_ls_has_a_line_for_each_channel(channel: Channel) -> None:
    done = run("ls")
    assert done.code == 0, done.err
    (line,) = (line for line in done.out.splitlines() if line.startswith(str(channel.name)))
    words = ["uint32", "mpsc", "3", "of", "1,024", "3", "0", str(os.getpid())]
    assert line.split() == [channel.name, *words]


def test_ls_as_json_says_the_same(channel: Channel) -> None:
    listed = json.loads(run("ls", "--json").out)
    (found,) = (one for one in listed if one["name"] == channel.name)
    assert found == json.loads(run("info", "--json", str(channel.name)).out)
    assert (found["of"], found["mode"], found["closed"]) == ("uint32", "mpsc", False)
    assert (found["capacity"], found["in_flight"], found["sent"], found["received"]) == (
        *(1024, 3),
        *(3, 0),
    )
    assert (found["processes"], found["attached"]) == ([os.getpid()], str(os.getpid()))
    assert found["handles"] == [
        {"role": "producer", "process": os.getpid(), "alive": True, "count": 1}
    ]


def test_info_names_who_has_the_channel(channel: Channel) -> None:
    done = run("info", str(channel.name))
    assert done.code == 0, done.err
    told = {tuple(line.split("  ", 1)) for line in done.out.splitlines()}
    said = {heading.strip(): text.strip() for heading, text in told}
    assert said["channel"] == "uint32, mpsc"
    assert said["in flight"] == "3 of 1,024"
    assert said["handles"] == f"1 x producer in process {os.getpid()}"


def test_info_says_of_bytes_and_objects_what_they_are() -> None:
    names = [f"cmd-{kind}-{uuid4().hex[:8]}" for kind in ("bytes", "objects")]
    channels = [Channel(bytes, name=names[0]), Channel(name=names[1])]
    kinds = [json.loads(run("info", "--json", name).out)["of"] for name in names]
    assert kinds == ["bytes", "pickled objects"]
    del channels


def test_rm_refuses_a_name_in_use_unless_it_is_forced(channel: Channel) -> None:
    name = str(channel.name)
    refused = run("rm", name)
    assert refused.code == 1
    assert re.fullmatch(
        rf"Error: .*{name!r}.* process {os.getpid()}; "
        r"--force removes the name, they keep the channel\n",
        refused.err,
    )
    assert run("rm", "--force", name).code == 0
    gone = run("info", name)
    assert (gone.code, gone.out) == (1, "")
    assert f"there is no channel named {name!r}" in gone.err


def test_the_version_is_told() -> None:
    assert run("--version").out == f"bchan, version {bchan.__version__}\n"


def test_without_a_command_it_names_all() -> None:
    said = run().out
    assert all(command in said for command in (*OURS, *cli.OF_BENCH))


@pytest.mark.parametrize("arguments", [("fly",), ("info",), ("ls", "--fast")])
def test_what_it_does_not_know_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert "usage: bchan" in done.err


# --- In a bare installation ---


def test_every_command_of_the_library_needs_numpy_alone(bare: str, channel: Channel) -> None:
    name = str(channel.name)
    shows = {
        ("ls",): name,
        ("ls", "--json"): f'"name": "{name}"',
        ("info", name): "3 of 1,024",
        ("info", "--json", name): '"in_flight": 3',
        ("top", "--once", "--interval", "0.05", name): name,
        ("cpus",): "core of ",
        ("rm", "--force", name): "",
    }
    for arguments, shown in shows.items():
        done = bare_run(bare, *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert shown in done.stdout


def test_bare_has_neither_rich_nor_click_nor_the_benchmarks(bare: str) -> None:
    script = (
        "import importlib.util as u\n"
        "for name in ('rich', 'click', 'psutil', 'matplotlib', 'bchan_bench', 'bchan.bench'):\n"
        "    assert u.find_spec(name) is None, name\n"
    )
    subprocess.run([bare, "-I", "-c", script], timeout=DEADLINE, check=True)


@pytest.mark.parametrize("command", cli.OF_BENCH)
def test_a_command_of_the_benchmarks_says_what_it_needs(bare: str, command: str) -> None:
    done = bare_run(bare, command, "mpsc")
    assert done.returncode == 1
    assert done.stderr == (
        f"bchan {command} needs the distribution bchan-bench: pip install bchan-bench "
        "(in a clone: pip install ./bench)\n"
    )


def test_top_draws_anew_on_a_bare_terminal_until_ctrl_c(bare: str, channel: Channel) -> None:
    import pty

    ours, its = pty.openpty()
    command = [bare, "-I", "-m", "bchan", "top", "--interval", "0.05", str(channel.name)]
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its)
    os.close(its)
    try:
        shown = b""
        while shown.count(str(channel.name).encode()) < 3:
            shown += os.read(ours, 65_536)
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
        assert b"Traceback" not in shown
    finally:
        process.kill()
        process.wait(DEADLINE)
        os.close(ours)


def test_a_reader_that_leaves_ends_it_without_a_word(bare: str, channel: Channel) -> None:
    command = [bare, "-I", "-m", "bchan", "top", "--interval", "0.05", str(channel.name)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(DEADLINE) == 1
        assert process.stderr.read() == ""


# --- What others add ---


def test_a_distribution_adds_a_command_by_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(EntryPoint, "load", lambda _: lambda **call: calls.append(call))
    added = EntryPoint("fly", "elsewhere:fly", cli.GROUP)
    monkeypatch.setattr(cli, "entry_points", lambda **_: [added])
    assert run("fly", "--high").code == 0
    assert calls == [{"args": ["--high"], "prog_name": "bchan fly"}]


def test_a_command_of_the_library_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "entry_points", lambda **_: pytest.fail("looked for others"))
    for command in OURS:
        assert run(command, "-h").code == 0


# --- Plain text ---


def test_a_table_is_as_wide_as_its_widest_cells_and_errors_run_on() -> None:
    table = Table((Column("name"), Column("of"), Column("sent", is_number=True)))
    table.rows.extend(
        [("a", "uint32", "1,000"), ("longer", "f8", "7"), ("b", Bad("not a channel"))]
    )
    assert lines_of(table) == [
        "name    of       sent",
        "a       uint32  1,000",
        "longer  f8          7",
        "b       not a channel",
    ]


@pytest.mark.parametrize(
    ("part", "whole", "bar"), [(0, 4, "." * 12), (9, 4, "#" * 12), (0, 0, "." * 12)]
)
def test_a_fill_stays_within_its_width(part: int, whole: int, bar: str) -> None:
    assert lines_of(Table((Column(""),), [(Fill(part, whole),)])) == [bar]
