"""`bchan bench compare`: all contenders carry messages, and whoever does it wrong is found out."""

import json
import math
import multiprocessing as mp
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
if sys.platform != "linux":
    pytest.skip("processes are forked, and channels shared", allow_module_level=True)

from click.testing import CliRunner

from bchan_bench import carrying, compare, race
from bchan_bench.arrivals import MismatchError
from bchan_bench.carrying import Carried, carry, one_way, round_trips
from bchan_bench.children import in_children
from bchan_bench.compare import Contest, Group
from bchan_bench.parties import Schedule
from bchan_bench.progress import Silent
from bchan_bench.rivals import CONTENDERS, Place, Rival
from bchan_bench.rivals.locked_ring import LockedRing
from bchan_bench.rivals.ours import Objects, SharedTyped, Typed
from bchan_bench.rivals.rival import Receive, Send, Shape
from bchan_bench.rivals.threads import LockedRingQueue, SimpleQueue, StandardQueue
from tests.bench_support import command
from tests.support import DEADLINE, Task, together, until

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")

ALL = [(kind, place) for kind in CONTENDERS for place in sorted(kind.places, key=str)]
SHORT = Schedule(0.01, most=200)


def name(value: object) -> str:
    if isinstance(value, Place):
        return value.value.replace(" ", "-")
    return getattr(value, "__name__", str(value))


@pytest.fixture(autouse=True)
def no_process_left() -> Iterator[None]:
    yield
    assert mp.active_children() == []


def need(kind: type[Rival]) -> None:
    if not kind.is_installed():
        pytest.skip(f"{kind.package} is not installed")


# --- Every contender ---


@pytest.mark.parametrize(("kind", "place"), ALL, ids=name)
def test_every_contender_carries_messages_one_a_call(kind: type[Rival], place: Place) -> None:
    need(kind)
    run = carry(kind, place, Shape(), 2500)
    assert run.messages == 2500
    assert 0 < run.seconds < DEADLINE
    assert 0 < run.cpu < DEADLINE


@pytest.mark.parametrize(
    ("kind", "place"), [(kind, place) for kind, place in ALL if kind.batches], ids=name
)
def test_those_who_say_so_carry_batches(kind: type[Rival], place: Place) -> None:
    need(kind)
    assert carry(kind, place, Shape(batch=64), 2500).messages == 2500  # the last is a short one


@pytest.mark.parametrize("batch", [1, 64])
@pytest.mark.parametrize("kind", [kind for kind, place in ALL if place is Place.THREADS], ids=name)
def test_between_threads_several_may_send(kind: type[Rival], batch: int) -> None:
    need(kind)
    if batch == 1 or kind.batches:
        assert carry(kind, Place.THREADS, Shape(3, batch), 2500).messages == 2500


@pytest.mark.parametrize(("kind", "place"), ALL, ids=name)
def test_every_contender_makes_round_trips(kind: type[Rival], place: Place) -> None:
    need(kind)
    trips = round_trips(lambda: kind(Shape()), place, SHORT)
    assert 0 < len(trips.latencies) <= SHORT.most
    assert trips.latencies.min() > 0


def test_every_contender_has_a_label_of_its_own() -> None:
    labels = [kind.label for kind in CONTENDERS]
    assert len(set(labels)) == len(labels)


def test_there_is_one_of_ours_wherever_there_are_rivals() -> None:
    for place in Place:
        assert any(kind.is_ours for kind, there in ALL if there is place), place


# --- Those who do it wrong ---


class Faulty(StandardQueue):
    """Does to message 100 what `fault` says."""

    fault: Any
    label = "faulty"
    places = frozenset(Place)

    def sender(self) -> Send:
        put = super().sender()

        def send(item: int) -> None:
            for changed in self.fault(item) if item < 1 << 40 else [item]:
                put(changed)

        return send

    def task_sender(self) -> Any:
        send = self.sender()

        async def task_send(item: int) -> None:
            send(item)

        return task_send

    def task_receiver(self) -> Any:
        get = self._queue.get

        async def task_receive() -> int:
            return get()

        return task_receive


def faulty(fault: Any) -> type[Rival]:
    class Mine(Faulty):
        pass

    Mine.fault = staticmethod(fault)
    return Mine


def lose(item: int) -> list[int]:
    return [] if item == 100 else [item]


def repeat(item: int) -> list[int]:
    return [item, item] if item == 100 else [item]


def change(item: int) -> list[int]:
    return [7] if item == 100 else [item]


def swap(item: int) -> list[int]:
    return {100: [101], 101: [100]}.get(item, [item])


@pytest.mark.parametrize("place", [Place.THREADS, Place.INTO_LOOP])
@pytest.mark.parametrize("fault", [repeat, change, swap])
def test_a_message_repeated_changed_or_out_of_order_is_found(fault: Any, place: Place) -> None:
    with pytest.raises(MismatchError, match="was due"):
        carry(faulty(fault), place, Shape(), 1000)


def test_a_fault_between_processes_is_found_and_leaves_no_process() -> None:
    class Broken(SharedTyped):
        def sender(self) -> Send:
            send = super().sender()
            return lambda item: send(7 if item == 100 else item)

    assert Broken.is_ours
    with pytest.raises(MismatchError, match="message 7 arrived, 100 was due"):
        carry(Broken, Place.PROCESSES, Shape(), 1000)


def test_a_lost_message_is_found_by_the_next_or_by_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(race, "DEADLINE", 0.2)
    with pytest.raises(TimeoutError, match=r"0\.2 s"):
        carry(faulty(lose), Place.THREADS, Shape(), 1000)


def test_a_lost_message_is_found_when_messages_have_times() -> None:
    with pytest.raises(MismatchError, match="message 101 arrived, 100 was due"):
        one_way(lambda: faulty(lose)(Shape()), Place.THREADS, Schedule(5.0, most=200))


def test_a_last_message_lost_is_found_when_messages_have_times() -> None:
    last = faulty(lambda item: [] if item == 199 else [item])
    with pytest.raises(MismatchError, match="received 199 messages, sent 200"):
        one_way(lambda: last(Shape()), Place.THREADS, Schedule(5.0, most=200))


def test_a_wrong_answer_is_found() -> None:
    with pytest.raises(MismatchError, match="7 came back for 100"):
        round_trips(lambda: faulty(change)(Shape()), Place.THREADS, Schedule(5.0, most=200))


def test_a_producer_whose_messages_are_swapped_with_anothers_is_found() -> None:
    # Both producers' messages arrive, but each producer sends the other's first.
    class Mixed(StandardQueue):
        def sender(self) -> Send:
            put = super().sender()
            return lambda item: put(item ^ (1 << 48) if item & 0xFFFF == 5 else item)

    with pytest.raises(MismatchError, match="was due"):
        carry(Mixed, Place.THREADS, Shape(2), 1000)


# --- The deadline ---


class Stuck(StandardQueue):
    """Delivers nothing."""

    label = "stuck"
    places = frozenset({Place.THREADS, Place.PROCESSES})

    def receiver(self) -> Receive:
        return threading.Event().wait


@pytest.mark.parametrize("place", [Place.THREADS, Place.PROCESSES])
def test_one_that_hangs_is_named_and_the_others_go_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(race, "DEADLINE", 0.2)
    section = compare.measure(
        1,
        Silent(),
        seconds=0.001,
        kinds=[Stuck, StandardQueue],
        shapes={place: [Shape()]},
    )
    first, *others = section.rows
    assert first.figures == ()
    assert first.note.startswith("failed: ")
    assert "0.2 s" in first.note
    assert all(row.figures for row in others)
    assert len(others) == (place is Place.THREADS)


def test_when_ours_fails_the_measurement_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ours(Stuck):
        is_ours = True

    monkeypatch.setattr(race, "DEADLINE", 0.2)
    with pytest.raises(TimeoutError):
        compare.measure(1, Silent(), seconds=0.001, kinds=[Ours], shapes={Place.THREADS: [Shape()]})


def test_what_a_child_raises_is_raised_and_the_others_are_ended() -> None:
    def fails(_: object) -> None:
        raise ValueError("as it should")

    with pytest.raises(ValueError, match="as it should"):
        in_children([lambda _: time.sleep(DEADLINE), fails], DEADLINE)


def test_a_child_that_dies_is_told() -> None:
    with pytest.raises(ChildProcessError, match="-9"):
        in_children([lambda _: os.kill(os.getpid(), signal.SIGKILL)], DEADLINE)


def test_children_begin_when_all_are_ready_and_their_results_are_in_order() -> None:
    def begin(delay: float) -> Any:
        def work(ready: Any) -> float:
            time.sleep(delay)
            ready()
            return time.perf_counter()

        return work

    late, early = in_children([begin(0.5), begin(0.0)], DEADLINE)
    assert abs(late - early) < 0.4


# --- The table ---


def row_labels(section: Any) -> dict[str, Any]:
    return {row.label: row for row in section.rows}


def test_one_that_is_not_installed_is_named() -> None:
    class Absent(StandardQueue):
        label = "absent"
        module = "no_such_module_of_bchan"

    section = compare.measure(
        1, Silent(), seconds=0.001, kinds=[Absent], shapes={Place.THREADS: [Shape()]}
    )
    (row,) = section.rows
    assert row.note == "not installed"
    assert row.figures == ()


def contest(kind: type[Rival], rate: float, trip: float, shape: Shape = Shape()) -> Contest:  # noqa: B008
    group = Group(Place.THREADS, shape, ())
    return Contest(group, kind, 1, rates=[rate], cpu=[1.0], trips=[trip] * (shape == Shape()))


def test_ratios_are_to_the_best_of_ours_and_who_is_ahead_is_marked() -> None:
    contests = [
        contest(Typed, 10, 4),
        contest(Objects, 5, 2),
        contest(StandardQueue, 1, 3),
        contest(SimpleQueue, 20, 1),
    ]
    rows = list(compare._rows(contests))
    ratios = [
        {figure.name: figure.values[0] for figure in row.figures if figure.unit == "times"}
        for row in rows
    ]
    assert [ratio["to bchan"] for ratio in ratios] == [1, 0.5, 0.1, 2]
    assert [ratio["trip to bchan"] for ratio in ratios] == [2, 1, 1.5, 0.5]
    assert [row.note for row in rows] == ["", "", "", "more than bchan, quicker than bchan"]


def test_the_figures_beside_queues_with_a_lock_are_told() -> None:
    batch = Shape(batch=64)
    groups = [
        [contest(Typed, 30, 2), contest(StandardQueue, 2, 5), contest(LockedRingQueue, 3, 1)],
        [contest(Typed, 600, 0, batch), contest(LockedRingQueue, 6, 0, batch)],
    ]
    assert list(compare._claims(groups)) == [
        "bchan, times queue.Queue: 1 to 1, one a call: 15, and its round trip is 2.500 times as "
        "quick; 1 to 1, 64 a call beside one: 300",
        "bchan, times ring with a lock and conditions: 1 to 1, one a call: 10, and its round trip "
        "is 0.500 times as quick; 1 to 1, 64 a call: 100",
    ]


@pytest.mark.parametrize(
    ("batch", "nanoseconds", "messages"),
    [(1, 1000, 200_000), (1, 10, 2_000_000), (64, 0.1, 16_000_000), (1, 10**6, 200)],
)
def test_who_is_slower_gets_fewer_messages(
    batch: int, nanoseconds: float, messages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fake(kind: Any, place: Place, shape: Shape, count: int) -> Carried:
        return Carried(count, count * nanoseconds / 1e9, 0.0)

    monkeypatch.setattr(carrying, "carry", fake)
    adapted = Contest(Group(Place.THREADS, Shape(batch=batch), ()), Typed)
    adapted.adapt(0.2)
    assert math.isclose(adapted.messages, messages, abs_tol=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--runs", "0"), "runs must be at least 1, got 0"),
        (("--seconds", "0"), "seconds must be more than 0, got 0"),
    ],
)
def test_an_impossible_value_is_refused(arguments: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(command("bench"), ["compare", *arguments])
    assert result.exit_code != 0
    assert message in result.output


def test_the_command_measures_all_who_are_installed() -> None:
    options = ("--runs", "1", "--seconds", "0.001", "--json", "-")
    result = CliRunner().invoke(command("bench"), ["compare", *options])
    assert result.exit_code == 0, result.output
    (section,) = json.loads(result.stdout)["sections"]
    rows = {row["label"]: row for row in section["rows"]}
    for kind, place in ALL:
        row = rows[f"{place.value}, 1 to 1, one a call: {kind.label}"]
        if kind.is_installed():
            assert [figure["name"] for figure in row["figures"]] == [
                "received",
                "to bchan",
                "round trip",
                "trip to bchan",
                "CPU",
            ], row
        else:
            assert row["note"] == "not installed"
    assert f"threads, 4 to 1, 64 a call: {Typed.label}" in rows
    assert any("times queue.Queue" in line for line in section["lines"])


# --- The ring with a lock ---


def test_the_locked_ring_keeps_order_over_its_end() -> None:
    ring = LockedRing(4)
    arrived = []
    for first in range(0, 30, 3):
        ring.put_many([first, first + 1])
        ring.put(first + 2)
        arrived += [ring.get(), *ring.get_many(64)]
    assert arrived == list(range(30))
    assert len(ring) == 0


def test_the_locked_ring_is_bounded_and_a_batch_larger_than_it_goes_through() -> None:
    ring = LockedRing(4)
    sender = Task(lambda: ring.put_many(list(range(10))))
    until(lambda: len(ring) == 4)
    assert sender.running
    arrived: list[int] = []
    while len(arrived) < 10:
        arrived += ring.get_many(3)
        assert len(ring) <= 4
    sender.result()
    assert arrived == list(range(10))


def test_the_locked_ring_holds_nothing_that_was_taken() -> None:
    ring = LockedRing(4)
    ring.put_many([object(), object(), object()])
    ring.get_many(2)
    ring.get()
    assert ring._slots == [None] * 4


def test_the_locked_ring_wakes_all_who_can_go_on() -> None:
    ring, each = LockedRing(2), 300

    def put() -> list[int]:
        for item in range(each):
            ring.put_many([item, item])
        return []

    def get() -> list[int]:
        return [ring.get() for _ in range(each * 2)]

    received = together([put, get, put, get])
    assert sorted(item for items in received for item in items) == sorted([*range(each)] * 4)


def test_a_locked_ring_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity must be at least 1, got 0"):
        LockedRing(0)


def test_pieces_carry_the_producers_number() -> None:
    pieces = carrying._pieces(Typed, Shape(2, 2), 1, 3)
    assert np.concatenate(pieces).tolist() == [1 << 48, (1 << 48) + 1, (1 << 48) + 2]
