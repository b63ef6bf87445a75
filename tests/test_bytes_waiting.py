"""Waiting for room and for messages of any length: threads, event loops, select."""

import asyncio
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

import bchan
from bchan import BytesConsumer, BytesProducer, Channel, Closed, EndOfChannel
from bchan._types import Mode
from tests.support import DEADLINE, Task, until, until_interruptible, until_parked

MODES: list[Mode] = ["spsc", "mpsc", "spmc", "mpmc"]


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run in a new loop, with a deadline."""
    return asyncio.run(asyncio.wait_for(main, DEADLINE))


def full(mode: Mode) -> tuple[bchan.BytesChannel, BytesProducer, BytesConsumer]:
    ch = Channel(bytes, capacity=4, mode=mode)
    tx = ch.producer()
    tx.send_batch([b"1", b"2", b"3", b"4"])
    return ch, tx, ch.consumer()


def waits_for_room(tx: BytesProducer, n: int) -> list[Callable[..., object]]:
    return [partial(tx.send, bytes(n)), partial(tx.send_batch, [bytes(n)]), partial(tx.reserve, n)]


def waits_for_message(rx: BytesConsumer) -> list[Callable[..., object]]:
    buffer = partial(rx.receive_into, bytearray(9))
    return [rx.receive, partial(rx.receive_batch, 4), buffer, rx.peek]


@pytest.mark.parametrize("call", range(3))
@pytest.mark.parametrize("mode", MODES)
def test_a_parked_sender_goes_on_once_all_its_slots_are_free(mode: Mode, call: int) -> None:
    ch, tx, rx = full(mode)
    sending = Task(waits_for_room(tx, 130)[call])
    until_parked(ch)
    for expected in (b"1", b"2"):
        assert rx.receive() == expected
        assert sending.running
    assert rx.receive() == b"3"
    sending.result()


@pytest.mark.parametrize("call", range(4))
@pytest.mark.parametrize("mode", MODES)
def test_a_parked_receiver_goes_on_as_soon_as_a_message_is_there(mode: Mode, call: int) -> None:
    ch = Channel(bytes, capacity=4, mode=mode)
    tx, rx = ch.producer(), ch.consumer()
    receiving = Task(waits_for_message(rx)[call])
    until_parked(ch)
    tx.send(b"7")
    assert receiving.result() in (b"7", [b"7"], 1)


def test_who_needs_little_waits_behind_who_needs_much_and_came_first() -> None:
    for _ in range(20):
        ch, _tx, rx = full("mpmc")
        large = Task(partial(ch.send, bytes(256)))
        until_parked(ch, 1)
        small = Task(partial(ch.send, b"small"))
        until_parked(ch, 2)
        assert [rx.receive() for _ in range(3)] == [b"1", b"2", b"3"]
        assert small.running
        assert large.running
        assert [rx.receive() for _ in range(3)] == [b"4", bytes(256), b"small"]
        large.result()
        small.result()


@pytest.mark.parametrize("mode", MODES)
def test_timeouts_raise_after_their_time_and_say_what_was_wanted(mode: Mode) -> None:
    _ch, tx, rx = full(mode)
    for timeout in (0, 0.02):
        for call in waits_for_room(tx, 70):
            start = time.monotonic()
            with pytest.raises(TimeoutError, match=f"after {timeout} s: no room for 70 bytes"):
                call(timeout=timeout)
            assert timeout <= time.monotonic() - start < timeout + 5
    assert len(rx.receive_batch(9)) == 4
    for call in waits_for_message(rx):
        with pytest.raises(TimeoutError, match="the channel is empty"):
            call(timeout=0.01)


@pytest.mark.parametrize("mode", MODES)
def test_closing_and_leaving_wake_who_is_blocked(mode: Mode) -> None:
    for call in range(3):
        ch, tx, _rx = full(mode)
        sending = Task(waits_for_room(tx, 70)[call])
        until_parked(ch)
        ch.close()
        with pytest.raises(Closed):
            sending.result()
    for call in range(4):
        for close in (True, False):
            ch = Channel(bytes, mode=mode)
            tx, rx = ch.producer(), ch.consumer()
            receiving = Task(waits_for_message(rx)[call])
            until_parked(ch)
            ch.close() if close else tx.close()
            with pytest.raises(EndOfChannel):
                receiving.result()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("mode", ["spsc", "mpmc"])
def test_ctrl_c_interrupts_every_blocking_call_and_loses_nothing(mode: Mode) -> None:
    ch, tx, rx = full(mode)
    idle = Channel(bytes, mode=mode)
    idle_rx, _idle_tx = idle.consumer(), idle.producer()

    def press(channel: bchan.BytesChannel, waits: int) -> None:
        until_parked(channel, waits)
        until_interruptible()
        os.kill(os.getpid(), signal.SIGINT)

    calls = [(ch, call) for call in waits_for_room(tx, 70)]
    calls += [(idle, call) for call in waits_for_message(idle_rx)]
    for channel, call in calls:
        pressing = Task(partial(press, channel, channel.stats().waits + 1))
        with pytest.raises(KeyboardInterrupt):
            call(timeout=DEADLINE)
        pressing.result()
    assert rx.receive_batch(9) == [b"1", b"2", b"3", b"4"]
    tx.send(b"goes on")
    assert rx.receive() == b"goes on"


def test_no_wake_up_is_lost_when_both_sides_park_all_the_time() -> None:
    for mode in MODES:
        ch = Channel(bytes, capacity=2, mode=mode)
        messages = [bytes([n % 256]) * (n % 129) for n in range(5000)]

        def produce(ch: bchan.BytesChannel = ch, messages: list[bytes] = messages) -> None:
            with ch.producer() as tx:
                for message in messages:
                    tx.send(message, timeout=DEADLINE)

        rx = ch.consumer()
        sending = Task(produce)
        assert list(rx) == messages
        sending.result()


# Event loops.


@pytest.mark.parametrize("capacity", [4, 64])
@pytest.mark.parametrize("mode", MODES)
def test_loops_send_and_receive_messages_of_any_length(mode: Mode, capacity: int) -> None:
    ch = Channel(bytes, capacity=capacity, mode=mode)
    rng = random.Random(3)
    messages = [rng.randbytes(rng.randrange(257)) for _ in range(1000)]

    async def send() -> None:
        with ch.producer() as tx:
            for message in messages[:500]:
                await tx.asend(message)
            await tx.asend_batch(messages[500:900])
            await tx.asend_batch(iter(messages[900:]))

    async def receive(rx: BytesConsumer) -> list[bytes]:
        got = [await rx.areceive() for _ in range(100)]
        got += await rx.areceive_batch(5)
        return got + [message async for message in rx]

    rx = ch.consumer()
    sending = Task(lambda: run(send()))
    assert run(receive(rx)) == messages
    sending.result()


@pytest.mark.parametrize("handle", [True, False])
def test_a_task_waits_for_the_room_that_its_message_needs(handle: bool) -> None:
    ch, tx, _rx = full("mpmc")
    calls = 0

    class Counting(bchan.BytesProducer):
        __slots__ = ()

        def _arm_send(self, alarm: int, item: Any = None) -> bool:
            nonlocal calls
            calls += 1
            return super()._arm_send(alarm, item)

    sender: Any = Counting(ch) if handle else ch

    async def main() -> None:
        sending = asyncio.create_task(sender.asend(bytes(200)))
        await asyncio.sleep(0.02)
        for _ in range(3):
            ch.receive()
            await asyncio.sleep(0.02)
            assert not sending.done()
        ch.receive()
        await sending

    run(main())
    assert calls <= 5, "it does not spin while there is some room, but too little"
    assert ch.receive() == bytes(200)
    del tx


def test_cancelling_a_sender_sends_nothing() -> None:
    ch, _tx, rx = full("mpmc")

    async def main() -> None:
        sending = asyncio.create_task(ch.asend(bytes(70)))
        batch = asyncio.create_task(ch.asend_batch([bytes(70), b"x"]))
        await asyncio.sleep(0.01)
        sending.cancel()
        batch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await batch
        assert cancelled.value.sent == 0  # type: ignore[attr-defined]

    run(main())
    assert rx.receive_batch(9) == [b"1", b"2", b"3", b"4"]
    ch.send(b"goes on")
    assert rx.receive() == b"goes on"


def test_tasks_with_different_needs_all_go_on() -> None:
    ch = Channel(bytes, capacity=4)
    sizes = [1, 100, 256, 64, 200] * 40

    async def main() -> list[bytes]:
        async with asyncio.TaskGroup() as tasks:
            for size in sizes:
                tasks.create_task(ch.asend(bytes(size)))
            return [await ch.areceive() for _ in sizes]

    assert sorted(map(len, run(main()))) == sorted(sizes)


def test_what_is_no_message_is_refused_in_a_task() -> None:
    ch = Channel(bytes, capacity=1)
    for item, error in (("text", TypeError), (bytes(65), ValueError)):
        with pytest.raises(error):
            run(ch.asend(item))
    ch.send(b"")
    for item, error in (("text", TypeError), (bytes(65), ValueError)):
        with pytest.raises(error):
            run(ch.asend(item))


# Select.


def test_select_waits_for_room_and_for_messages() -> None:
    ch, tx, rx = full("mpsc")
    other = Channel(bytes)
    with pytest.raises(TimeoutError):
        bchan.select([(tx, bytes(70)), other], timeout=0.01)

    def make_room() -> None:
        threading.Event().wait(0.02)
        rx.receive()
        threading.Event().wait(0.02)
        rx.receive()

    making = Task(make_room)
    done = bchan.select([(tx, bytes(70)), other], timeout=DEADLINE)
    assert done == (tx, bytes(70))
    making.result()
    other.send(b"hello")
    assert bchan.select([other, bchan.after(DEADLINE)]) == (other, b"hello")
    assert bchan.select([rx]) == (rx, b"3")
    assert len(ch) == 2
    ch.close()
    with pytest.raises(Closed) as closed:
        bchan.select([(tx, b"late")])
    assert closed.value.who is tx  # type: ignore[attr-defined]


def test_idle_senders_use_no_cpu() -> None:
    ch, tx, _rx = full("mpmc")

    def cpu() -> float:
        before = time.thread_time()
        with pytest.raises(TimeoutError):
            tx.send(bytes(70), timeout=1.0)
        return time.thread_time() - before

    sending = Task(cpu)
    until(lambda: not sending.running)
    assert sending.result() < 0.02
    assert ch.stats().time_parked > 0.9
