"""`bchan top`: what it shows of named channels, and that it leaves them alone."""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from uuid import uuid4

import pytest

pytest.importorskip("pty")

from bchan import Channel, _names
from bchan.tools.tables import Fill
from bchan.tools.top import Watch, look_at, rates
from tests.command_support import run
from tests.support import DEADLINE, Task, until_parked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names are for Linux")


@pytest.fixture
def name() -> Iterator[str]:
    name = f"top-{uuid4().hex[:8]}"
    yield name
    with suppress(FileNotFoundError):
        _names.remove(name)


def row(watch: Watch, name: str) -> list[str]:
    """The words of a channel's row, without the bar."""
    (cells,) = (row for row in watch.table().rows if str(row[0]).split()[0] == name)
    return [word for cell in cells if not isinstance(cell, Fill) for word in cell.split()]


def test_rates_are_what_was_done_between_two_looks(name: str) -> None:
    ch = Channel("u8", capacity=1024, mode="mpsc", max_producers=4, name=name)
    tx, rx = ch.producer(), ch.consumer()
    tx.send_batch(range(100))
    before = look_at(name)
    tx.send_batch(range(700))
    rx.receive_batch(300)
    now = look_at(name)
    done, seconds = rates(before, now), now.at - before.at
    assert done is not None
    assert done.sent * seconds == pytest.approx(700)
    assert done.received * seconds == pytest.approx(300)
    assert (now.in_flight, now.room, now.producers, now.consumers, now.processes) == (
        500,
        1024,
        1,
        1,
        1,
    )


def test_waits_and_time_parked_have_rates(name: str) -> None:
    ch = Channel("u8", mode="spsc", name=name)
    tx, rx = ch.producer(), ch.consumer()
    before = look_at(name)
    receiving = Task(rx.receive)
    until_parked(ch)
    tx.send(1)
    receiving.result()
    done = rates(before, look_at(name))
    assert done is not None
    assert done.waits > 0
    assert done.wakes > 0
    assert done.parked > 0


def test_lanes_of_all_producers_are_the_room(name: str) -> None:
    ch = Channel("u8", capacity=64, mode="mpsc", name=name)
    producers = [ch.producer() for _ in range(3)]
    assert look_at(name).room == 3 * 64
    del producers


def test_the_first_look_has_no_rates_and_the_second_has(name: str) -> None:
    ch = Channel("u8", name=name)
    watch = Watch([name])
    first = row(watch, name)
    assert first[1:7] == ["0", "-", "-", "-", "-", "-"]
    ch.send(1)
    second = row(watch, name)
    assert second[1] == "1"
    assert second[2] != "-"
    assert second[3] == "0"


def test_a_channel_that_disappears_is_gone_and_may_come_again(name: str) -> None:
    ch = Channel("u8", name=name)
    ch.send(7)
    watch = Watch([name])
    row(watch, name)
    del ch
    gc.collect()
    assert row(watch, name) == [name, "gone"]
    again = Channel("u8", name=name)
    assert row(watch, name)[1:4] == ["0", "-", "-"]
    assert again.name == name


def test_another_channel_of_the_same_name_has_no_rates_yet(name: str) -> None:
    ch = Channel("u8", name=name)
    ch.send_batch(range(10))
    before = look_at(name)
    del ch
    gc.collect()
    other = Channel("u8", name=name)
    assert rates(before, look_at(other.name or "")) is None


def test_all_channels_are_shown_if_none_is_named(name: str) -> None:
    ch = Channel("u8", name=name)
    watch = Watch()
    assert row(watch, name)[1] == "0"
    ch.close()
    assert row(watch, name)[:2] == [name, "(closed)"]


def test_looking_makes_nobody_a_holder_and_keeps_nothing_open(name: str) -> None:
    ch = Channel("u8", name=name)
    watch = Watch([name])
    row(watch, name)
    before, open_files = _names.holders(name), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(20):
        row(watch, name)
    gc.collect()
    assert _names.holders(name) == before
    assert len(os.listdir("/proc/self/fd")) == open_files  # noqa: PTH208
    assert len(ch._participants()) == 0


def test_once_prints_one_picture_and_ends(name: str) -> None:
    ch = Channel("u8", name=name)
    ch.send_batch(range(100))
    done = run("top", "--once", "--interval", "0.05", name)
    assert done.code == 0, done.err
    assert done.out.count(name) == 1
    assert "received/s" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--once", "test-top-there-is-none"), "no channel named 'test-top-there-is-none'"),
        (("--once", "no/name"), "got 'no/name'"),
        (("--interval", "0"), "must be at least 0.05 seconds, got 0.0"),
        (("--interval", "nan"), "must be at least 0.05 seconds, got nan"),
        (("--interval", "inf"), "must be at least 0.05 seconds and finite, got inf"),
        (("--interval", "soon"), "must be a number of seconds, got 'soon'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments: tuple[str, ...], message: str) -> None:
    done = run("top", *arguments)
    assert done.code != 0
    assert message in done.err.splitlines()[-1]


def test_ctrl_c_ends_the_view_without_a_word(name: str) -> None:
    import pty

    ch = Channel("u8", name=name)
    ch.send(1)
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "bchan", "top", "--interval", "0.05", name]
    environment = {**os.environ, "COLUMNS": "150", "TERM": "xterm"}
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment)
    os.close(its)
    try:
        end, shown = time.monotonic() + DEADLINE, b""
        while shown.count(name.encode()) < 3:  # the view has been drawn anew
            assert time.monotonic() < end, shown
            shown += os.read(ours, 65_536)
        process.send_signal(signal.SIGINT)
        with suppress(OSError):  # how a terminal says that nobody is there any more
            while chunk := os.read(ours, 65_536):
                shown += chunk
        assert process.wait(DEADLINE) == 0
        assert b"Traceback" not in shown
        assert b"Aborted" not in shown
    finally:
        process.kill()
        process.wait(DEADLINE)
        os.close(ours)
