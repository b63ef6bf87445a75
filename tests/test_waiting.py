"""Waiting: nobody misses a wake-up, nobody burns the CPU, everybody can be interrupted."""

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import numpy as np
import pytest

from bchan import Channel, Consumer, Producer
from tests.support import DEADLINE, Task, drain, until_interruptible, until_parked


@pytest.fixture
def full() -> tuple[Channel, Producer, Consumer]:
    ch = Channel("u8", capacity=4, mode="mpsc", max_producers=2)
    tx = ch.producer()
    tx.send_batch([1, 2, 3, 4])
    return ch, tx, ch.consumer()


@pytest.fixture
def empty() -> tuple[Channel, Producer, Consumer]:
    ch = Channel("u8", capacity=4, mode="mpsc", max_producers=2)
    return ch, ch.producer(), ch.consumer()


def waits_for_space(tx: Producer) -> list[Callable[..., object]]:
    return [partial(tx.send, 5), partial(tx.send_batch, [5]), partial(tx.reserve, 1)]


def waits_for_message(rx: Consumer) -> list[Callable[..., object]]:
    buffer = np.zeros(4, dtype="u8")
    return [
        rx.receive,
        partial(rx.receive_batch, 4),
        partial(rx.receive_into, buffer),
        partial(rx.peek, 4),
    ]


@pytest.mark.parametrize("call", range(3))
def test_a_parked_sender_goes_on_as_soon_as_a_slot_is_free(
    full: tuple[Channel, Producer, Consumer], call: int
) -> None:
    ch, tx, rx = full
    sending = Task(waits_for_space(tx)[call])
    until_parked(ch)
    assert rx.receive() == 1
    sending.result()


@pytest.mark.parametrize("call", range(4))
def test_a_parked_receiver_goes_on_as_soon_as_a_message_is_there(
    empty: tuple[Channel, Producer, Consumer], call: int
) -> None:
    ch, tx, rx = empty
    receiving = Task(waits_for_message(rx)[call])
    until_parked(ch)
    tx.send(7)
    result: Any = receiving.result()
    assert 7 in np.atleast_1d(result) or result == 1


def test_a_message_to_a_parked_receiver_costs_one_wake() -> None:
    ch = Channel("u8", capacity=1024, mode="mpsc", max_producers=2)
    tx, rx = ch.producer(), ch.consumer()
    for n in range(1, 20):
        before = ch.stats()
        receiving = Task(rx.receive)
        until_parked(ch, before.waits + 1)
        tx.send(n)
        assert receiving.result() == n
        assert ch.stats().wakes <= before.wakes + 1
    before = ch.stats()
    receiving_batch = Task(partial(rx.receive_batch, 500))
    until_parked(ch, before.waits + 1)
    tx.send_batch(range(500))
    receiving_batch.result()
    assert ch.stats().wakes <= before.wakes + 1


def test_a_blocked_party_uses_no_cpu(
    empty: tuple[Channel, Producer, Consumer], full: tuple[Channel, Producer, Consumer]
) -> None:
    def cpu_of(wait: Callable[..., object]) -> float:
        before = time.thread_time()
        with pytest.raises(TimeoutError):
            wait(timeout=1.5)
        return time.thread_time() - before

    receiving = Task(partial(cpu_of, empty[2].receive))
    sending = Task(partial(cpu_of, partial(full[1].send, 5)))
    assert receiving.result() < 0.02
    assert sending.result() < 0.02
    assert empty[0].stats().time_parked > 1.4


def test_timeouts_raise_after_their_time_and_not_before(
    empty: tuple[Channel, Producer, Consumer], full: tuple[Channel, Producer, Consumer]
) -> None:
    for call in (*waits_for_message(empty[2]), *waits_for_space(full[1])):
        for timeout in (0, 0.0, 0.05, np.float64(0.02), True * 0.01):
            start = time.monotonic()
            with pytest.raises(TimeoutError, match="timed out after"):
                call(timeout=timeout)
            assert timeout <= time.monotonic() - start < timeout + 5
    assert len(full[0]) == 4


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan"), -float("inf")])
def test_impossible_timeouts_are_refused_also_when_there_is_no_need_to_wait(
    empty: tuple[Channel, Producer, Consumer], timeout: float
) -> None:
    ch, tx, rx = empty
    tx.send(1)
    calls: list[Callable[..., object]] = [*waits_for_space(tx), *waits_for_message(rx)]
    for call in calls:
        with pytest.raises(ValueError, match="timeout must be at least 0 seconds, got"):
            call(timeout=timeout)
    for call in calls:
        with pytest.raises(TypeError, match="timeout must be seconds or None, got 'soon'"):
            call(timeout="soon")
    assert len(ch) == 1


@pytest.mark.parametrize("timeout", [None, float("inf"), 1e300, 1e18, 10**300])
def test_endless_timeouts_wait_until_woken(
    empty: tuple[Channel, Producer, Consumer], timeout: float | None
) -> None:
    ch, tx, rx = empty
    receiving = Task(partial(rx.receive, timeout=timeout))
    until_parked(ch)
    tx.send(3)
    assert receiving.result() == 3


def test_timeout_may_be_given_by_position_and_nothing_else_is_taken(
    empty: tuple[Channel, Producer, Consumer],
) -> None:
    _, tx, rx = empty
    tx.send(1, 0.5)
    assert rx.receive(0.5) == 1
    any_tx, any_rx = cast("Any", tx), cast("Any", rx)
    for bad in (
        partial(any_tx.send, 1, 2, 3),
        partial(any_tx.send, 1, deadline=2),
        partial(any_tx.send, 1, 2, timeout=3),
        any_tx.send,
        partial(any_tx.send, timeout=1),
        partial(any_tx.send, item=1),
        partial(any_rx.receive, 1, 2),
        partial(any_rx.receive, wait=1),
        partial(any_rx.try_receive, 1, 2),
        partial(any_rx.receive_into),
    ):
        with pytest.raises(TypeError):
            bad()
    assert rx.try_receive(default=5) == rx.try_receive(5) == 5


def test_a_batch_that_times_out_says_how_many_went(
    full: tuple[Channel, Producer, Consumer],
) -> None:
    ch, tx, rx = full
    rx.receive_batch(3)
    for timeout in (0.05, 0):
        with pytest.raises(TimeoutError) as late:
            tx.send_batch(range(10, 20), timeout=timeout)
        assert late.value.sent == 3  # type: ignore[attr-defined]
        assert rx.receive_batch(4).tolist()[-3:] == [10, 11, 12]
        tx.send(0)
    assert len(ch) == 1


@contextmanager
def ctrl_c_when_parked(ch: Channel) -> Iterator[None]:
    """Ctrl-C reaches the main thread once it has parked."""

    def press() -> None:
        until_parked(ch, ch.stats().waits + 1)
        until_interruptible()
        os.kill(os.getpid(), signal.SIGINT)

    pressing = Task(press)
    yield
    pressing.result()


@pytest.mark.skipif(sys.platform == "win32", reason="signals end no sleep there")
@pytest.mark.parametrize("call", range(7))
def test_ctrl_c_interrupts_every_blocking_call_and_loses_nothing(
    empty: tuple[Channel, Producer, Consumer], full: tuple[Channel, Producer, Consumer], call: int
) -> None:
    receives, sends = waits_for_message(empty[2]), waits_for_space(full[1])
    ch = empty[0] if call < 4 else full[0]
    with pytest.raises(KeyboardInterrupt) as interrupt, ctrl_c_when_parked(ch):
        [*receives, *sends][call](timeout=DEADLINE)
    if call == 5:
        assert interrupt.value.sent == 0  # type: ignore[attr-defined]
    empty[1].send(8)
    assert empty[2].receive() == 8
    assert full[2].receive_batch(8).tolist() == [1, 2, 3, 4]
    full[1].send(9)
    assert full[2].receive() == 9


def test_a_signal_handler_may_use_the_channel_and_the_wait_goes_on(
    empty: tuple[Channel, Producer, Consumer],
) -> None:
    ch, tx, rx = empty
    refused: list[BaseException] = []

    def handler(*_: object) -> None:
        try:
            rx.try_receive()
        except RuntimeError as error:
            refused.append(error)
        tx.send(4)

    before = signal.signal(signal.SIGUSR1, handler)
    try:

        def press() -> None:
            until_parked(ch)
            until_interruptible()
            os.kill(os.getpid(), signal.SIGUSR1)

        pressing = Task(press)
        assert rx.receive(timeout=DEADLINE) == 4
        pressing.result()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert "in use by another" in str(refused[0])


def test_other_threads_run_while_one_waits(empty: tuple[Channel, Producer, Consumer]) -> None:
    ch, tx, rx = empty
    receiving = Task(partial(rx.receive, timeout=DEADLINE))
    until_parked(ch)
    assert sum(range(100_000)) == 4_999_950_000
    assert receiving.running
    tx.send(1)
    receiving.result()


@pytest.mark.parametrize("capacity", [1, 2, 16])
def test_no_wake_up_is_lost_when_both_sides_park_all_the_time(capacity: int) -> None:
    ch = Channel("u8", capacity=capacity, mode="spsc")
    there, back = Channel("u8", capacity=1, mode="spsc"), Channel("u8", capacity=1, mode="spsc")
    rounds = 3000

    def answer(rx: Consumer, tx: Producer) -> None:
        for _ in range(rounds):
            tx.send(rx.receive(timeout=DEADLINE), timeout=DEADLINE)

    answering = Task(partial(answer, there.consumer(), back.producer()))
    tx, rx = there.producer(), back.consumer()
    for n in range(rounds):
        tx.send(n, timeout=DEADLINE)
        assert rx.receive(timeout=DEADLINE) == n
    answering.result()

    sink = Task(partial(drain, ch.consumer(), capacity))
    with ch.producer() as flood:
        for n in range(rounds):
            flood.send(n, timeout=DEADLINE)
    assert sink.result() == list(range(rounds))


def test_main_thread_can_be_interrupted_by_another_thread(
    empty: tuple[Channel, Producer, Consumer],
) -> None:
    ch, _, rx = empty

    def interrupt() -> None:
        until_parked(ch)
        until_interruptible()
        _thread.interrupt_main()  # sets the flag only: no signal is delivered
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    task = Task(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            rx.receive(timeout=DEADLINE)
        task.result()
    finally:
        signal.signal(signal.SIGUSR1, before)
