"""`bchan bench latency`: percentiles that leave nothing out, and messages that are checked."""

import json
import sys
import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("hdrh")
pytest.importorskip("rich")
if sys.platform != "linux":
    pytest.skip("processes are forked, and channels shared", allow_module_level=True)
if not getattr(sys, "_is_gil_enabled", lambda: True)():
    pytest.skip("hdrhistogram's native part brings the GIL back", allow_module_level=True)

from click.testing import CliRunner

import bchan
from bchan_bench import latency
from bchan_bench.carrying import one_way, round_trips
from bchan_bench.latency import Case, Latencies
from bchan_bench.parties import Pace, Schedule
from bchan_bench.progress import Silent
from bchan_bench.rivals import Place
from bchan_bench.rivals.ours import Typed
from bchan_bench.rivals.rival import Receive, Send, Shape
from tests.bench_support import Told, command

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")

STALL = 0.2
RATE = 1000.0
"""So many messages are due while one stalls: 200."""


# --- Percentiles ---


def test_percentiles_are_those_of_the_values_to_three_digits() -> None:
    values = np.random.default_rng(1).permutation(np.arange(1, 100_001)) * 1000
    latencies = Latencies(values)
    assert latencies.count == 100_000
    for percentile in (50, 90, 99, 99.9, 99.99, 100):
        assert latencies.at(percentile) == pytest.approx(percentile * 1000, rel=2e-3)


def test_a_curve_runs_from_the_median_to_the_longest() -> None:
    latencies = Latencies(np.arange(1, 10_001) * 1000)
    curve = latencies.curve()
    ones, values = zip(*curve, strict=True)
    assert (ones[0], ones[-1]) == (2, pytest.approx(10_000))
    assert (values[0], values[-1]) == (pytest.approx(5000, rel=2e-3), pytest.approx(1e4, rel=2e-3))
    assert all(earlier <= later for earlier, later in pairwise(values))


@pytest.mark.parametrize("latency_ns", [-1, 3600 * 10**9])
def test_a_latency_that_cannot_be_is_refused(latency_ns: int) -> None:
    with pytest.raises(ValueError, match="latency must be at least 0"):
        Latencies(np.array([5, latency_ns]))


# --- Coordinated omission ---


class StallingSender(Typed):
    """Is held up once, in message 20, as by a channel that is full for a while."""

    def sender(self) -> Send:
        send = super().sender()

        def stall(item: int) -> None:
            if item == 20:
                time.sleep(STALL)
            send(item)

        return stall


class StallingReceiver(Typed):
    """Sees message 20 late, and all that pile up behind it."""

    def receiver(self) -> Receive:
        receive = super().receiver()

        def stall() -> Any:
            item = receive()
            if item == 20:
                time.sleep(STALL)
            return item

        return stall


@pytest.mark.alone
@pytest.mark.parametrize("kind", [StallingSender, StallingReceiver])
@pytest.mark.parametrize("send", [one_way, round_trips])
def test_a_stall_shows_in_all_messages_that_were_due_meanwhile(send: Any, kind: Any) -> None:
    timed = send(lambda: kind(Shape()), Place.THREADS, Schedule(0.4, RATE))
    assert len(timed.latencies) == 400
    # Both links of a round trip stall, one after the other.
    late = np.count_nonzero(timed.latencies > STALL / 4 * 1e9)
    assert late >= 0.7 * STALL * RATE
    assert Latencies(timed.latencies).at(75) > STALL / 4 * 1e6


def test_without_a_rate_the_same_stall_shows_in_one_message() -> None:
    timed = round_trips(lambda: StallingSender(Shape()), Place.THREADS, Schedule(5.0, most=400))
    assert np.count_nonzero(timed.latencies > STALL / 2 * 1e9) == 1


def test_a_message_counts_from_when_it_was_due_if_it_was_late() -> None:
    pace = Pace(Schedule(10.0, 1000))
    pace.wait()
    time.sleep(0.05)
    second, third = pace.wait(), pace.wait()
    now = time.perf_counter_ns()
    assert third - second == 1_000_000
    assert now - second > 45_000_000


def test_a_message_that_is_early_is_waited_for() -> None:
    pace = Pace(Schedule(10.0, 50))
    start = time.perf_counter_ns()
    times = [pace.wait() for _ in range(4)]
    assert all(at >= start + turn * 20_000_000 for turn, at in enumerate(times, start=1))


def test_a_schedule_sends_as_many_as_it_says() -> None:
    assert Schedule(0.5, 2000).count == 1000
    assert Schedule(0.5, most=7).count == 7
    timed = one_way(lambda: Typed(Shape()), Place.THREADS, Schedule(60.0, most=7))
    assert len(timed.latencies) == 7


def test_a_rate_that_cannot_be_kept_ends_and_is_told() -> None:
    case = Case(Place.THREADS, "round trip", Schedule(0.01, 5e6), "default", None)
    case.run()
    assert case.row().note.startswith("rate not kept: ")
    assert case.row().note.endswith(" of 50,000 messages")


# --- The section ---


def test_every_place_way_and_pace_has_a_row_with_all_percentiles() -> None:
    told = Told()
    section = latency.measure(2, told, rate=1000, seconds=0.02, tunings={"default": None})
    labels = [row.label for row in section.rows]
    assert labels == [
        f"{place}, {way}, {pace}: default"
        for place in ("threads", "processes", "thread to event loop")
        for way in ("one way", "round trip")
        for pace in ("1,000/s", "full speed")
    ]
    assert told.announced == len(told.labels) == 2 * len(labels)
    for row in section.rows:
        names = [figure.name for figure in row.figures]
        assert names == ["50%", "90%", "99%", "99.9%", "99.99%", "max", "CPU"]
        assert all(len(figure.values) == 2 for figure in row.figures)
        medians = [figure.summary.median for figure in row.figures[:-1]]
        assert medians == sorted(medians)
        assert medians[0] > 0
        assert row.figures[-1].summary.min > 0
    assert [plot.title for plot in section.plots] == [label[:-9] for label in labels]
    assert all(list(plot.lines) == ["default"] for plot in section.plots)


def test_the_presets_are_those_of_the_library() -> None:
    presets = latency.presets()
    assert presets["default"] is None
    if hasattr(bchan, "Tuning"):
        assert list(presets) == ["default", "low latency", "throughput", "energy"]
        for tuning in presets.values():
            case = Case(Place.THREADS, "round trip", Schedule(1.0, most=20), "", tuning)
            case.run()
            assert len(case.runs[0]) == 20


def test_each_channel_is_made_with_its_presets_tuning(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Spy(Typed):
        def __init__(self, shape: Shape, **options: Any) -> None:
            seen.append(options)
            super().__init__(shape)

    monkeypatch.setattr(latency, "Typed", Spy)
    tunings = {"default": None, "eager": "a tuning"}
    section = latency.measure(
        1, Silent(), rate=1000, seconds=0.01, tunings=tunings, places=[Place.THREADS]
    )
    assert seen[:2] == [{}, {"tuning": "a tuning"}]
    assert seen.count({}) == seen.count({"tuning": "a tuning"}) == 6  # two links there and back
    assert [row.label.partition(": ")[2] for row in section.rows] == ["default", "eager"] * 4
    assert all(list(plot.lines) == ["default", "eager"] for plot in section.plots)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--runs", "0"), "runs must be at least 1, got 0"),
        (("--rate", "1", "--seconds", "0.5"), "rate must be at least 2, got 1"),
    ],
)
def test_an_impossible_value_is_refused(arguments: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(command("bench"), ["latency", *arguments])
    assert result.exit_code != 0
    assert message in result.output


def test_the_command_writes_its_figures() -> None:
    options = ("--runs", "1", "--rate", "1000", "--seconds", "0.01", "--json", "-")
    result = CliRunner().invoke(command("bench"), ["latency", *options])
    assert result.exit_code == 0, result.output
    (section,) = json.loads(result.stdout)["sections"]
    assert section["name"] == "latency"
    assert section["rows"][0]["label"] == "threads, one way, 1,000/s: default"
