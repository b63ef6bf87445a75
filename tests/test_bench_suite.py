"""The measurements of the suite: processes, pinning, perf, scaling, crowds, all in one report."""

import os
import re
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("click")
pytest.importorskip("hdrh")
pytest.importorskip("matplotlib")
pytest.importorskip("rich")
if sys.platform != "linux":
    pytest.skip("processes are forked, and channels shared", allow_module_level=True)

from click.testing import CliRunner, Result

from bchan_bench import hot_loops, oversubscribed, perf, pinning, race, scaling, suite
from bchan_bench.adapting import adapted
from bchan_bench.case import Case, Run
from bchan_bench.children import in_children
from bchan_bench.progress import Bar, Progress, Silent
from bchan_bench.report import Report
from bchan_bench.sections import Figure, Row, Section
from bchan_bench.settings import ITEMS, Settings
from bchan_bench.throughput import run_channel
from bchan_bench.workload import Messages
from tests.bench_support import Told, change_one, command, lose_one, send_one_twice, swap_two

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")

TINY = ("--messages", "5000", "--runs", "2", "--capacity", "256", "--batch", "48")
SETTINGS = Settings(
    mode="mpsc",
    item="batch",
    producers=3,
    batch=10,
    capacity=64,
    buffer=100,
    messages=3000,
    runs=1,
    verify=True,
)


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(command("bench"), [*arguments])


def sections(*arguments: str) -> tuple[Section, ...]:
    result = bench(*arguments, "--json", "-")
    assert result.exit_code == 0, result.output
    return Report.from_json(result.stdout).sections


def values(row: Row, name: str) -> tuple[float, ...]:
    (found,) = (figure.values for figure in row.figures if figure.name == name)
    return found


def received(row: Row) -> list[float]:
    pairs = zip(values(row, "throughput"), values(row, "a run"), strict=True)
    return [rate * seconds * 1e6 for rate, seconds in pairs]


# --- Processes ---


@pytest.mark.parametrize("verify", [(), ("--verify",)])
@pytest.mark.parametrize("item", ITEMS)
@pytest.mark.parametrize("mode", ["mpsc", "spsc", "vyukov"])
def test_processes_pass_the_same_checks(mode: str, item: str, verify: tuple[str, ...]) -> None:
    people = {"mpsc": ("--producers", "2"), "vyukov": ("--producers", "2", "--consumers", "2")}
    ((row,),) = (
        section.rows
        for section in sections(
            mode, "--processes", "--item", item, *TINY, *verify, *people.get(mode, ())
        )
    )
    assert row.settings["processes"] is True
    assert "in processes" in row.label
    assert received(row) == pytest.approx([5000, 5000])


def test_each_of_them_is_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    send_each, receive_copied = hot_loops.send_each, hot_loops.receive_copied

    def sending(*arguments: Any) -> None:
        os.write(writing, f"{os.getpid()} ".encode())
        send_each(*arguments)

    def receiving(*arguments: Any) -> None:
        os.write(writing, f"{os.getpid()} ".encode())
        receive_copied(*arguments)

    monkeypatch.setattr(hot_loops, "send_each", sending)
    monkeypatch.setattr(hot_loops, "receive_copied", receiving)
    try:
        run_channel(replace(SETTINGS, processes=True))
        pids = os.read(reading, 1000).split()
    finally:
        os.close(reading)
        os.close(writing)
    assert len(set(pids)) == 4
    assert str(os.getpid()).encode() not in pids


@pytest.mark.parametrize(
    ("fault", "options", "message"),
    [
        (lose_one, (), "received 4_996 messages, sent 5_000"),
        (send_one_twice, (), "received 5_004 messages, sent 5_000"),
        (change_one, (), "received checksum"),
        (swap_two, ("--verify",), "message 47 arrived, 0 was due"),
    ],
)
def test_a_faulty_process_makes_the_command_fail(
    fault: Callable[[list[Messages]], list[Messages]],
    options: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send_each = hot_loops.send_each

    def faulty(send: Callable[[Messages], object], passes: Iterable[list[Messages]]) -> None:
        send_each(send, (fault(batches) for batches in passes))

    monkeypatch.setattr(hot_loops, "send_each", faulty)
    result = bench("mpsc", "--processes", *TINY, *options)
    assert result.exit_code == 1
    assert message in result.stderr
    assert "throughput" not in result.output


def test_a_killed_process_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def dying(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(hot_loops, "send_each", dying)
    result = bench("mpsc", "--processes", *TINY)
    assert result.exit_code == 1
    assert "a process ended with -9" in result.stderr


def test_processes_that_stand_still_end_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot_loops, "send_each", lambda *_: threading.Event().wait(60))
    monkeypatch.setattr(race, "DEADLINE", 0.3)
    result = bench("mpsc", "--processes", *TINY)
    assert result.exit_code == 1
    # On a busy machine not all have come to the start by then.
    assert re.search(r"processes have not (started|ended) within 0\.3 s", result.stderr)


def test_processes_may_take_longer_while_they_get_on() -> None:
    over, steps = os.pipe(), iter(range(1000))

    def progress() -> int:
        if (step := next(steps)) == 10:
            os.write(over[1], b".")
        return step

    def work(ready: Callable[[], object]) -> bytes:
        ready()
        return os.read(over[0], 1)

    try:
        assert in_children([work], 0.1, progress) == [b"."]
    finally:
        for end in over:
            os.close(end)


# --- Pinning ---


@pytest.fixture
def pins(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """In the place of `bchan.affinity`: the CPUs that threads were asked to stay on."""
    asked: list[int] = []

    @contextmanager
    def pinned(cpu: int) -> Iterator[None]:
        asked.append(cpu)
        yield

    plan = SimpleNamespace(producers=(10, 11, 12, 13), consumers=(20,), warnings=("too few",))
    fake = SimpleNamespace(plan=lambda *_: plan, pinned=pinned, warnings=lambda: ["turbo is on"])
    monkeypatch.setattr(pinning, "affinity", fake)
    return asked


def test_each_thread_pins_itself_as_planned(pins: list[int]) -> None:
    result = bench("mpsc", "--pin", *TINY, "--runs", "1", "--compare-queue")
    assert result.exit_code == 0, result.output
    assert sorted(pins) == sorted([10, 11, 12, 13, 20] * 2)
    assert "pinned: producers to CPU 10, 11, 12, 13, consumers to CPU 20" in result.output
    assert "warning: turbo is on" in result.output
    assert "warning: too few" in result.output


def test_the_plan_stands_in_the_json(pins: list[int]) -> None:
    ((row,),) = (section.rows for section in sections("mpsc", "--pin", *TINY))
    assert row.label == "bchan mpsc 4p1c, batches of 48, pinned"
    assert row.settings["producer_cpus"] == [10, 11, 12, 13]
    assert row.settings["consumer_cpus"] == [20]


def test_without_pin_no_thread_is_pinned(pins: list[int]) -> None:
    assert bench("mpsc", *TINY).exit_code == 0
    assert pins == []


def test_pinned_threads_stay_on_their_cpu() -> None:
    cpu = min(os.sched_getaffinity(0))
    seen: list[set[int]] = []

    def look() -> None:
        seen.append(os.sched_getaffinity(0))

    race.race(pinning.each_on_its_cpu([look, look], [cpu]), lambda: 0)
    assert seen == [{cpu}, {cpu}]


# --- Perf ---

THIS_MACHINE = """\
# started on Mon Nov 23 19:19:26 2026

5.01;msec;task-clock;5010000;100.00;0.527;CPUs utilized
425;;context-switches;5010000;100.00;1.315;K/sec
2;;cpu-migrations;5010000;100.00;0.000;/sec
51;;page-faults;5010000;100.00;67.064;K/sec
<not supported>;;cycles;0;100.00;;
<not supported>;;instructions;0;100.00;;
<not supported>;;branches;0;100.00;;
<not supported>;;branch-misses;0;100.00;;
<not supported>;;L1-dcache-loads;0;100.00;;
<not supported>;;L1-dcache-load-misses;0;100.00;;
<not supported>;;LLC-loads;0;100.00;;
<not supported>;;LLC-load-misses;0;100.00;;
"""
BARE_METAL = """\
1523.41;msec;task-clock;1523410000;100.00;1.902;CPUs utilized
1203;;context-switches;1523410000;100.00;789.676;/sec
17;;cpu-migrations;1523410000;100.00;11.159;/sec
6291;;page-faults;1523410000;100.00;4.130;K/sec
6000000000;;cycles;951000000;62.51;3.967;GHz
9000000000;;instructions;1142000000;75.02;1.50;insn per cycle
;;;;;0.12;stalled cycles per insn
2000000000;;branches;1143000000;75.03;1.117;G/sec
5000000;;branch-misses;1143000000;75.04;0.25;of all branches
3000000000;;L1-dcache-loads;1142000000;75.01;1.970;G/sec
60000000;;L1-dcache-load-misses;571000000;37.49;2.00;of all L1-dcache accesses
8000000;;LLC-loads;571000000;37.48;5.251;M/sec
2000000;;LLC-load-misses;571000000;37.47;25.00;of all LL-cache accesses
"""
TWO_KINDS_OF_CORES = """\
12;;context-switches;1523410000;100.00;;
1000;;cpu_core/cycles/;951000000;62.51;;
1000;;cpu_atom/cycles/;951000000;37.49;;
3000;;cpu_core/instructions/;951000000;62.51;;
<not counted>;;cpu_atom/instructions/;0;0.00;;
"""
WITHOUT_PERMISSION = """\
0;;context-switches:u;1523410000;100.00;;
0;;cpu-migrations:u;1523410000;100.00;;
1000;;cycles:u;951000000;62.51;;
1500;;cpu_core/instructions/u;951000000;62.51;;
"""


def found(text: str) -> dict[str, float]:
    return {figure.name: figure.values[0] for figure in perf.figures(perf.parse(text))}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(THIS_MACHINE, {"context switches": 425, "migrations": 2}, id="virtual"),
        pytest.param(
            BARE_METAL,
            {
                "instructions per cycle": 1.5,
                "L1 misses": 2.0,
                "last cache's misses": 25.0,
                "branch misses": 0.25,
                "context switches": 1203,
                "migrations": 17,
            },
            id="bare metal",
        ),
        pytest.param(
            TWO_KINDS_OF_CORES, {"instructions per cycle": 1.5, "context switches": 12}, id="hybrid"
        ),
        pytest.param(WITHOUT_PERMISSION, {"instructions per cycle": 1.5}, id="no permission"),
        pytest.param("", {}, id="nothing"),
    ],
)
def test_what_perf_says_becomes_figures(text: str, expected: dict[str, float]) -> None:
    assert found(text) == pytest.approx(expected)


def test_what_perf_cannot_count_keeps_its_reason() -> None:
    missing = perf.parse(THIS_MACHINE).missing
    assert missing["cycles"] == "not supported"
    assert "context-switches" not in missing
    assert perf.parse(WITHOUT_PERMISSION).missing == {
        "context-switches": "no permission",
        "cpu-migrations": "no permission",
    }
    assert perf.parse(BARE_METAL).missing == perf.parse(TWO_KINDS_OF_CORES).missing == {}


def perf_that(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """Put another perf in the place of the machine's."""
    program = folder / "perf"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def perf_section(*options: str) -> Section:
    _, section = sections("mpsc", "--perf", *TINY, *options)
    assert section.name == "mpsc perf"
    return section


def test_without_perf_the_system_counts_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    section = perf_section("--compare-queue")
    assert "perf is not installed (Debian: apt install linux-perf)" in section.lines
    assert len(section.lines) == 3  # said once, not for each row
    ours, queue = section.rows
    assert [figure.name for figure in queue.figures] == ["context switches"]
    assert values(queue, "context switches")[0] > 0
    assert ours.settings["batch"] == 48


def test_a_perf_that_may_not_count_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    perf_that(monkeypatch, tmp_path, "echo 'Error:' >&2; echo 'Access is limited.' >&2; exit 255")
    section = perf_section()
    assert "perf can't count here: Access is limited." in section.lines
    assert [figure.name for figure in section.rows[0].figures] == ["context switches"]


@pytest.mark.parametrize(
    ("text", "names", "line"),
    [
        (BARE_METAL, 6, None),
        (THIS_MACHINE, 2, "branch misses: not supported (a virtual machine often has no such"),
        # Switches are there all the same, from the system.
        (WITHOUT_PERMISSION, 2, "migrations: no permission"),
    ],
)
def test_what_perf_writes_stands_in_the_report(
    text: str, names: int, line: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A perf that answers on the pipe it is given, waits for its end, and writes its file."""
    (tmp_path / "recorded").write_text(text)
    script = f"""
import os, signal, sys
def option(name):
    return sys.argv[sys.argv.index(name) + 1]
commands, answers = map(int, option("--control").removeprefix("fd:").split(","))
assert option("-p") == str(os.getppid())
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
assert os.read(commands, 16) == b"enable\\n"
os.write(answers, b"ack\\n")
signal.sigwait([signal.SIGINT])
with open(option("-o"), "w") as output:
    output.write(open({str(tmp_path / "recorded")!r}).read())
"""
    (tmp_path / "perf.py").write_text(script)
    perf_that(monkeypatch, tmp_path, f'exec {sys.executable} {tmp_path / "perf.py"} "$@"')
    section = perf_section()
    assert len(section.rows[0].figures) == names
    assert line is None or any(said.startswith(line) for said in section.lines)
    assert len(section.lines) == 1 or line is not None


def test_the_machines_own_perf_counts_or_says_why_not() -> None:
    def work() -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
        while resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw < before + 20:
            threading.Event().wait(0.001)

    counts = perf.counted(work)
    assert counts.events["context-switches"] >= 20
    assert "cycles" in counts.events or counts.missing


def test_a_mismatch_under_perf_makes_the_command_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    send_each, runs = hot_loops.send_each, iter(range(100))

    def faulty(send: Callable[[Messages], object], passes: Iterable[list[Messages]]) -> None:
        late = next(runs) >= 2  # a run before
        send_each(send, (lose_one(batches) if late else batches for batches in passes))

    monkeypatch.setattr(hot_loops, "send_each", faulty)
    result = bench("spsc", "--perf", *TINY)
    assert result.exit_code == 1
    assert "received 4_999 messages, sent 5_000" in result.stderr


# --- Scaling and crowds ---


def test_scaling_measures_each_point_of_each_axis() -> None:
    told = Told()
    varied = (
        scaling.Axis("producers", "Producers", "producers: {:,}".format, (1, 3)),
        scaling.Axis("batch", "Messages a call", "batches of {:,}".format, (1, 1024)),
        scaling.Axis("capacity", "Slots", "capacity {:,}".format, (1024, 2048)),
    )
    section = scaling.measure_axes(varied, 2, told, 0.001)
    labels = ["producers: 1", "producers: 3", "batches of 1", "batches of 1,024"]
    labels += ["capacity 1,024", "capacity 2,048"]
    assert [row.label for row in section.rows] == labels
    assert [row.settings["producers"] for row in section.rows] == [1, 3, 4, 4, 4, 4]
    assert [row.settings["batch"] for row in section.rows] == [64, 64, 1, 1024, 64, 64]
    assert [row.settings["capacity"] for row in section.rows][4:] == [1024, 2048]
    assert all(len(values(row, "throughput")) == 2 for row in section.rows)
    for row in section.rows:
        assert received(row) == pytest.approx([row.settings["messages"]] * 2)
    assert told.announced == len(told.labels) == 6 * 3
    plot = section.plots[2]
    assert set(plot.lines) == {"median", "most", "least"}
    assert [x for x, _ in plot.lines["median"]] == [1024, 2048]
    assert plot.lines["most"][1][1] == max(values(section.rows[5], "throughput"))


@pytest.mark.parametrize(("quick", "batches"), [(False, 11), (True, 6)])
def test_scaling_goes_as_far_as_it_says(quick: bool, batches: int) -> None:
    producers, batch, capacity = scaling.axes(quick=quick)
    assert producers.points == (1, 2, 4, 8, 16, 64, 256, 512)
    assert (batch.points[0], batch.points[-1], len(batch.points)) == (1, 1024, batches)
    assert (capacity.points[0], capacity.points[-1]) == (1 << 10, 1 << 20)


def test_a_run_lasts_as_long_as_asked_and_goes_round_each_ring_twice() -> None:
    def run(settings: Settings) -> Run:
        return Run(settings.messages, settings.messages / 1e6)

    case = Case("a million a second", SETTINGS, run)
    assert adapted(case, 2.0).settings.messages == pytest.approx(2e6, rel=0.01)
    assert adapted(case, 1e-6).settings.messages == 1 << 14
    large = replace(SETTINGS, capacity=1 << 20)
    assert adapted(replace(case, settings=large), 1e-6).settings.messages == 2 * 3 * (1 << 20)


def test_more_threads_than_cores_and_all_on_one_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    before, during = os.sched_getaffinity(0), []

    def seen(settings: Settings) -> Run:
        during.append(os.sched_getaffinity(0))
        return run_channel(settings)

    monkeypatch.setattr(oversubscribed, "run_channel", seen)
    section = oversubscribed.measure(
        1, Silent(), seconds=0.001, crowds=(("mpsc", 16, 1), ("mpmc", 8, 8))
    )
    assert [row.label for row in section.rows] == [
        "bchan mpsc 16p1c, batches of 64, all CPUs",
        "bchan mpmc 8p8c, batches of 64, all CPUs",
        "bchan mpsc 16p1c, batches of 64, one CPU",
        "bchan mpmc 8p8c, batches of 64, one CPU",
    ]
    assert all(values(row, "throughput")[0] > 0 for row in section.rows)
    assert os.sched_getaffinity(0) == before
    assert {min(before)} in during
    assert before in during


# --- All in one report ---


def test_all_is_every_section_in_one_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fake(name: str) -> suite.Measure:
        def measure(runs: int, progress: Progress) -> Section:
            progress.steps(1)
            progress.step(name)
            row = Row("a row", (Figure("throughput", "M msg/s", (1.0,) * runs),))
            return Section(name, name.title(), (), (row,))

        return measure

    for name in suite.ALL:
        monkeypatch.setitem(suite.ALL, name, fake(name))
    page, picture = tmp_path / "report.html", tmp_path / "report.png"
    everything = sections("all", "--runs", "3", "--html", str(page), "--plot", str(picture))
    assert [section.name for section in everything] == [
        *("mpsc", "spsc", "vyukov", "scaling", "latency", "compare", "oversubscribed")
    ]
    assert all(len(section.rows[0].figures[0].values) == 3 for section in everything)
    assert all(f'id="{section.name}"' in page.read_text() for section in everything)
    assert picture.read_bytes().startswith(b"\x89PNG")
    headline = sections("all", "--headline")
    assert [section.name for section in headline] == ["mpsc", "spsc", "vyukov", "compare"]
    for name in suite.QUICK:
        monkeypatch.setitem(suite.QUICK, name, fake(name))
    quick = sections("all", "--quick")
    assert [section.name for section in quick] == [section.name for section in everything]
    assert all(len(section.rows[0].figures[0].values) == 1 for section in quick)


@pytest.mark.parametrize("name", ["mpsc", "spsc", "vyukov"])
def test_the_sections_of_throughput_stand_beside_the_queue(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {key: tuple(replace(s, messages=5000) for s in of) for key, of in suite._CASES.items()}
    monkeypatch.setattr(suite, "_CASES", small)
    section = suite.throughput(name, 2, Silent())
    assert section.name == name
    assert section.ratio_to == section.rows[-1].label == "queue.Queue(1024)"
    assert len({row.label for row in section.rows}) == len(section.rows) >= 2
    assert all(received(row) == pytest.approx([5000, 5000]) for row in section.rows)


@pytest.mark.parametrize("command", ["scaling", "oversubscribed", "all"])
def test_runs_that_make_no_sense_are_refused(command: str) -> None:
    result = bench(command, "--runs", "0")
    assert result.exit_code != 0
    assert "runs must be at least 1, got 0" in result.stderr


@pytest.mark.parametrize("option", ["--html", "--plot", "--json"])
def test_a_file_in_no_folder_is_refused_before_the_runs(option: str, tmp_path: Path) -> None:
    result = bench("all", option, str(tmp_path / "missing" / "file"))
    assert result.exit_code == 2
    assert "no such folder" in result.stderr


def test_a_single_case_has_page_and_picture_too(tmp_path: Path) -> None:
    page, picture = tmp_path / "a.html", tmp_path / "a.png"
    result = bench("spsc", *TINY, "--html", str(page), "--plot", str(picture))
    assert result.exit_code == 0, result.output
    assert "bchan spsc, batches of 48" in page.read_text()
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_bar_counts_the_steps_of_a_section_anew() -> None:
    with Bar() as bar:
        for _ in range(2):
            bar.section("a section")
            bar.steps(2)
            for label in ("one", "two"):
                bar.step(label)
    task = bar._shown.tasks[0]
    assert (task.total, task.completed, task.description) == (2, 1, "a section: two")
