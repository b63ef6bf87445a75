"""The command `bchan bench`: what it prints, what it refuses, and that its checks can fail."""

import json
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")

from click.testing import CliRunner, Result

from bchan_bench import hot_loops, race
from bchan_bench.arrivals import (
    Arrivals,
    MismatchError,
    OrderedArrivals,
    ScatteredArrivals,
    check_all,
)
from bchan_bench.machine import this_machine
from bchan_bench.report import Report
from bchan_bench.sections import Row
from bchan_bench.settings import BATCH_BUFFER, ITEMS, MAX_PRODUCERS, default_messages
from bchan_bench.summary import summarise
from bchan_bench.workload import BLOCK, SEQUENCE_BITS, Messages, Stream, streams
from tests.bench_support import change_one, command, lose_one, send_one_twice, swap_two

TINY = ("--messages", "5000", "--runs", "2", "--capacity", "256", "--batch", "48")


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(command("bench"), [*arguments])


def bench_json(*arguments: str) -> dict[str, Any]:
    result = bench(*arguments, "--json", "-")
    assert result.exit_code == 0, result.output
    content: dict[str, Any] = json.loads(result.stdout)
    return content


def rows(*arguments: str) -> list[Row]:
    """The rows of the one section that the command's JSON holds."""
    result = bench(*arguments, "--json", "-")
    assert result.exit_code == 0, result.output
    (section,) = Report.from_json(result.stdout).sections
    return list(section.rows)


def values(row: Row, name: str) -> tuple[float, ...]:
    (found,) = (figure.values for figure in row.figures if figure.name == name)
    return found


def received(row: Row) -> list[float]:
    """Messages of each run, in millions, by what the row says of rate and time."""
    rates, seconds = values(row, "throughput"), values(row, "a run")
    return [rate * second for rate, second in zip(rates, seconds, strict=True)]


# --- What a run says ---


@pytest.mark.parametrize("verify", [(), ("--verify",)])
@pytest.mark.parametrize("item", ITEMS)
@pytest.mark.parametrize("mode", ["mpsc", "spsc", "vyukov"])
def test_every_way_of_sending_passes_its_checks(
    mode: str, item: str, verify: tuple[str, ...]
) -> None:
    (row,) = rows(mode, "--item", item, *TINY, *verify)
    assert row.settings["item"] == item
    assert received(row) == pytest.approx([0.005, 0.005])


def test_the_report_names_machine_settings_runs_and_summary() -> None:
    result = bench("mpsc", *TINY)
    assert result.exit_code == 0, result.output
    for line in this_machine().lines:
        assert line.partition(", load")[0] in result.output
    assert "4 producers, batches of 48 copied, received up to 1,048,576 at once" in result.output
    assert "capacity 256, 5,000 messages a run" in result.output
    assert "bchan mpsc 4p1c, batches of 48" in result.output
    assert all(name in result.output for name in ("throughput", "min", "max", "spread", "waits"))
    assert "medians of 2 runs" in result.output


def test_the_json_holds_each_run_and_its_summary() -> None:
    content = bench_json("mpsc", *TINY)
    (section,) = content["sections"]
    (row,) = section["rows"]
    rates = next(figure for figure in row["figures"] if figure["name"] == "throughput")
    assert (section["name"], rates["unit"], len(rates["values"])) == ("mpsc", "M msg/s", 2)
    assert rates["summary"]["mean"] == pytest.approx(statistics.mean(rates["values"]))
    assert rates["summary"]["min"] == min(rates["values"])


def test_the_json_file_holds_what_standard_output_would(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    assert bench("spsc", *TINY, "--json", str(file)).exit_code == 0
    report = Report.from_json(file.read_text())
    assert [row.label for row in report.sections[0].rows] == ["bchan spsc, batches of 48"]
    assert report.machine.cores >= 1


def test_the_queue_is_measured_beside_it_with_the_same_checks() -> None:
    ours, queue = rows("mpsc", *TINY, "--verify", "--compare-queue")
    assert queue.label == "queue.Queue(1024)"
    assert queue.settings["producers"] == ours.settings["producers"]
    assert queue.settings["verify"]
    assert received(queue) == pytest.approx([0.005, 0.005])


@pytest.mark.parametrize(
    ("item", "options", "batch", "buffer"),
    [
        ("single", (), 1, 1),
        ("batch", (), 48, BATCH_BUFFER),
        ("zero-copy", (), 48, 256),
        ("zero-copy", ("--buffer", "100"), 48, 100),
    ],
)
def test_the_receivers_buffer_suits_the_item(
    item: str, options: tuple[str, ...], batch: int, buffer: int
) -> None:
    (row,) = rows("spsc", "--item", item, *TINY, *options)
    assert (row.settings["batch"], row.settings["buffer"]) == (batch, buffer)


def test_a_buffer_smaller_than_a_batch_receives_all() -> None:
    (row,) = rows("mpsc", *TINY, "--buffer", "7", "--verify")
    assert received(row) == pytest.approx([0.005, 0.005])


def test_shares_that_do_not_come_out_even_are_sent_whole() -> None:
    (row,) = rows("mpsc", "--producers", "3", "--messages", "1001", "--verify")
    assert received(row) == pytest.approx([0.001001] * 5)


def test_the_default_run_is_shorter_where_a_call_carries_less() -> None:
    assert default_messages("single", 1) < default_messages("batch", 64)
    assert default_messages("batch", 1) < default_messages("batch", 64)


# --- What it refuses ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--producers", "0"), "producers must be at least 1, got 0"),
        (("--producers", "65537"), f"producers must be at most {MAX_PRODUCERS:_}, got 65_537"),
        (("--batch", "0"), "batch must be at least 1, got 0"),
        (("--capacity", "-1"), "capacity must be at least 1, got -1"),
        (("--buffer", "0"), "buffer must be at least 1, got 0"),
        (("--messages", "3"), "messages must be at least 4, got 3"),
        (("--runs", "0"), "runs must be at least 1, got 0"),
        (
            ("--item", "zero-copy", "--capacity", "32", "--batch", "64"),
            "batch must be at most 32, got 64",
        ),
    ],
)
def test_an_impossible_value_is_refused_with_its_limit(
    arguments: tuple[str, ...], message: str
) -> None:
    result = bench("mpsc", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_file_that_cannot_be_written_is_refused_before_the_runs(tmp_path: Path) -> None:
    result = bench("mpsc", *TINY, "--json", str(tmp_path / "missing" / "figures.json"))
    assert result.exit_code == 2
    assert "no such folder" in result.stderr
    assert "M msg/s" not in result.stdout


def test_python_m_bchan_is_the_same_command() -> None:
    done = run_python("-m", "bchan", "bench", "spsc", *TINY)
    assert done.returncode == 0, done.stderr
    assert "bchan spsc" in done.stdout


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


# --- A faulty sender makes the command fail ---


@pytest.mark.parametrize(
    ("fault", "options", "message"),
    [
        (lose_one, (), "received 4_996 messages, sent 5_000"),
        (send_one_twice, (), "received 5_004 messages, sent 5_000"),
        (change_one, (), "received checksum"),
        (lose_one, ("--verify",), "message 1 arrived, 0 was due"),
        (send_one_twice, ("--verify",), "message 0 arrived, 1 was due"),
        (swap_two, ("--verify",), "message 47 arrived, 0 was due"),
    ],
)
def test_a_faulty_sender_makes_the_command_fail(
    fault: Callable[[list[Messages]], list[Messages]],
    options: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send_each = hot_loops.send_each

    def faulty(send: Callable[[Messages], object], passes: Iterable[list[Messages]]) -> None:
        send_each(send, (fault(batches) for batches in passes))

    monkeypatch.setattr(hot_loops, "send_each", faulty)
    result = bench("mpsc", *TINY, *options)
    assert result.exit_code == 1
    assert message in result.stderr


@pytest.mark.parametrize(
    ("place", "item"),
    [
        ("send_each", "batch"),
        ("send_in_place", "zero-copy"),
        ("receive_each", "single"),
        ("receive_in_place", "zero-copy"),
        ("Relay.receive", "batch"),
        ("Relay.check", "batch"),
    ],
)
def test_what_any_thread_raises_ends_the_command(
    place: str, item: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(f"{place} broke")

    monkeypatch.setattr(f"bchan_bench.hot_loops.{place}", broken)
    result = bench("mpsc", *TINY, "--item", item)
    assert result.exit_code == 1
    assert f"{place} broke" in result.stderr


@pytest.mark.parametrize("item", ["single", "batch"])
def test_a_standstill_ends_the_command(item: str, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(hot_loops, "send_each", lambda *_: over.wait(60))
    monkeypatch.setattr(race, "DEADLINE", 0.1)
    try:
        result = bench("mpsc", *TINY, "--item", item)
    finally:
        over.set()
    assert result.exit_code == 1
    assert "no message arrived for 0.1 s" in result.stderr


def test_a_run_may_take_longer_than_the_deadline_while_messages_arrive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(race, "DEADLINE", 0.05)
    steps = iter(range(1000))
    over = threading.Event()

    def progress() -> int:
        if (step := next(steps)) == 20:
            over.set()
        return step

    def work() -> None:
        assert over.wait(60)

    assert race.race([work], progress) >= 0.05


# --- The checker itself ---


def numbered(producer: int, *sequence: int) -> Messages:
    return np.array([producer << SEQUENCE_BITS | place for place in sequence], dtype=np.uint64)


def misplaced(producer: int, arrived: int, due: int) -> str:
    return f"producer {producer}: message {arrived} arrived, {due} was due"


def test_producers_may_interleave_in_any_way() -> None:
    arrivals = OrderedArrivals(2)
    arrivals.take(np.concatenate([numbered(1, 0, 1), numbered(0, 0), numbered(1, 2)]))
    arrivals.take(np.concatenate([numbered(0, 1, 2), numbered(1, 3), numbered(0, 3)]))
    arrivals.check(streams([4, 4], 2, numbered=True))


@pytest.mark.parametrize(
    ("second", "message"),
    [
        pytest.param(numbered(0, 3, 4), misplaced(0, 3, 2), id="lost between two batches"),
        pytest.param(numbered(0, 2, 4), misplaced(0, 4, 3), id="lost within a batch"),
        pytest.param(numbered(0, 1, 2), misplaced(0, 1, 2), id="twice over two batches"),
        pytest.param(numbered(0, 2, 2, 3), misplaced(0, 2, 3), id="twice within a batch"),
        pytest.param(numbered(0, 3, 2), misplaced(0, 3, 2), id="reordered"),
        pytest.param(numbered(1, 1), misplaced(1, 1, 0), id="another's first lost"),
        pytest.param(
            numbered(2, 0), "a message of producer 2 arrived, who does not exist", id="no producer"
        ),
    ],
)
def test_a_message_out_of_place_is_noticed(second: Messages, message: str) -> None:
    arrivals = OrderedArrivals(2)
    arrivals.take(numbered(0, 0, 1))
    arrivals.take(second)
    arrivals.take(numbered(0, 5))  # the first one out of place is named, not the last
    with pytest.raises(MismatchError, match=f"^{message}$"):
        arrivals.check(streams([2 + len(second), 1], 2, numbered=True))


def test_messages_received_one_by_one_are_checked_too() -> None:
    arrivals = OrderedArrivals(1)
    arrivals.take_integers([0, 1])
    arrivals.take_integers([3])
    with pytest.raises(MismatchError, match="message 3 arrived, 2 was due"):
        arrivals.check(streams([3], 1, numbered=True))


@pytest.mark.parametrize("received", [[0, 1], [0, 1, 2, 2], [0, 1, 3]])
def test_count_and_checksum_notice_lost_repeated_and_changed_messages(received: list[int]) -> None:
    arrivals = Arrivals()
    arrivals.take(numbered(0, *received))
    with pytest.raises(MismatchError):
        arrivals.check(streams([3], 1, numbered=True))


@pytest.mark.parametrize("numbering", [False, True])
@pytest.mark.parametrize("batch", [1, 64, 1000, BLOCK + 1])
@pytest.mark.parametrize("count", [1, 999, BLOCK, 2 * BLOCK + 77])
def test_a_stream_sends_its_count_and_its_checksum(count: int, batch: int, numbering: bool) -> None:
    stream = Stream(3, count, batch, numbered=numbering)
    sent = np.concatenate([piece.copy() for pieces in stream.batches() for piece in pieces])
    one_by_one = [
        item for items in Stream(3, count, 1, numbered=numbering).singles() for item in items
    ]
    assert len(sent) == count == len(one_by_one)
    assert int(sent.sum()) == stream.checksum
    if numbering:
        assert np.array_equal(sent, numbered(3, *range(count)))
        assert np.array_equal(sent, np.array(one_by_one, dtype=np.uint64))


# --- The figures ---


def test_a_summary_has_the_figures_of_its_runs() -> None:
    summary = summarise([1.0, 2.0, 6.0])
    assert (summary.mean, summary.median, summary.min, summary.max) == (3.0, 2.0, 1.0, 6.0)
    assert summary.stdev == pytest.approx(statistics.stdev([1, 2, 6]))
    assert summarise([5.0]).stdev == 0.0


def scattered(*shares: list[int]) -> None:
    """Check what several consumers got of one producer who sent 0 to 9."""
    arrivals = []
    for share in shares:
        of_one = ScatteredArrivals(1)
        of_one.take(np.array(share, dtype=np.uint64))
        arrivals.append(of_one)
    assert check_all(arrivals, streams([10], 4, numbered=True)) == 10


def test_several_consumers_may_share_the_messages_in_any_way_that_keeps_the_order() -> None:
    scattered([0, 2, 3, 9], [1, 4, 5, 6, 7, 8])


@pytest.mark.parametrize(
    ("shares", "match"),
    [
        (([0, 2, 3], [1, 4, 5, 6, 7, 8]), "received 9 messages, sent 10"),
        (([0, 3, 2, 9], [1, 4, 5, 6, 7, 8]), "message 2 arrived, 4 was due"),
        (([0, 2, 3, 3], [1, 4, 5, 6, 7, 8]), "message 3 arrived, 4 was due"),
        (([0, 2, 3, 8], [1, 4, 5, 6, 7, 8]), "checksum"),
        (([0, 2, 5, 7], [1, 4, 5, 6, 7, 8]), "twice|checksum"),
        (([0, 2, 3, 9 | 1 << SEQUENCE_BITS], [1, 4, 5, 6, 7, 8]), "producer 1 arrived"),
        (([0, 1, 2, 5, 6, 9], [2, 3, 7, 8]), "checksum|twice"),
        # 3 and 6 are missing, 4 and 5 came twice: the sum is the same, that of the squares is not.
        (([0, 1, 2, 4, 5, 7], [4, 5, 8, 9]), "twice in place of another"),
    ],
)
def test_what_several_consumers_got_wrong_is_noticed(shares: Any, match: str) -> None:
    with pytest.raises(MismatchError, match=match):
        scattered(*shares)
