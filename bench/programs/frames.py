"""Messages of bytes from thread to thread: bchan beside `queue.Queue`, and beside memcpy.

For each length the contenders take turns in one run. Every message is its number over and over, and
every byte of every message is compared once the clock has stopped: all of them, each once, in
order. Short messages arrive as new `bytes`, which are kept; long ones are received into one buffer
that holds them all and was touched before.

`queue.Queue` passes references; the receiver copies, as whoever gets a message of its own does.
memcpy is one thread that copies each message once; a channel copies it in and out.

    python bench/programs/frames.py
"""

import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import bchan
import effort
from bchan_bench.machine import this_machine

RUNS = effort.runs(5)
SHORT, LONG = [16, 64, 256], [1024, 4096, 65_536, 1 << 20]
MOST_MESSAGES = effort.count(400_000)
MOST_BYTES = effort.count(256 << 20)
RING_BYTES = 4 << 20
BATCH = 64

Send = Callable[[list[bytes]], None]
Receive = Callable[[memoryview, int, int], "list[bytes]"]
"""Receives so many messages of a length; long ones into the buffer."""


class WrongError(Exception):
    """What arrived is not what was sent."""


@dataclass(frozen=True)
class Contender:
    """A way to carry messages: a name, and what makes its two ends for messages of a length."""

    name: str
    make: Callable[[int], tuple[Send, Receive]]


def channel(mode: str, batched: bool = False) -> Contender:
    """A channel of bytes, one message a call or many."""

    def make(length: int) -> tuple[Send, Receive]:
        ch = bchan.Channel(bytes, capacity=RING_BYTES // 64, mode=mode)  # type: ignore[call-overload]
        tx, rx = ch.producer(), ch.consumer()
        if length in LONG:
            return _send_singles(tx), _receive_into(rx)
        if batched:
            return _send_batches(tx), _receive_batches(rx)
        return _send_singles(tx), _receive_singles(rx)

    return Contender(f"bchan, {mode}, {f'batches of {BATCH}' if batched else 'one a call'}", make)


def _send_singles(tx: bchan.BytesProducer) -> Send:
    def send(messages: list[bytes]) -> None:
        put = tx.send
        for message in messages:
            put(message)

    return send


def _send_batches(tx: bchan.BytesProducer) -> Send:
    def send(messages: list[bytes]) -> None:
        for start in range(0, len(messages), BATCH):
            tx.send_batch(messages[start : start + BATCH])

    return send


def _receive_singles(rx: bchan.BytesConsumer) -> Receive:
    def receive(_buffer: memoryview, n: int, _length: int) -> list[bytes]:
        get = rx.receive
        return [get() for _ in range(n)]

    return receive


def _receive_batches(rx: bchan.BytesConsumer) -> Receive:
    def receive(_buffer: memoryview, n: int, _length: int) -> list[bytes]:
        arrived: list[bytes] = []
        while len(arrived) < n:
            arrived += rx.receive_batch(BATCH)
        return arrived

    return receive


def _receive_into(rx: bchan.BytesConsumer) -> Receive:
    def receive(buffer: memoryview, n: int, length: int) -> list[bytes]:
        for start in range(0, n * length, length):
            rx.receive_into(buffer[start : start + length])
        return []

    return receive


def standard_queue() -> Contender:
    """A `queue.Queue` that holds as many bytes."""

    def make(length: int) -> tuple[Send, Receive]:
        q: queue.Queue[bytes] = queue.Queue(RING_BYTES // max(length, 64))

        def send(messages: list[bytes]) -> None:
            for message in messages:
                q.put(message)

        def receive(buffer: memoryview, n: int, length: int) -> list[bytes]:
            if length in LONG:
                for start in range(0, n * length, length):
                    buffer[start : start + length] = q.get()
                return []
            return [bytes(memoryview(q.get())) for _ in range(n)]

        return send, receive

    return Contender("queue.Queue, and a copy", make)


def rate(contender: Contender, messages: list[bytes], buffer: memoryview) -> float:
    """Seconds from the first message sent to the last received, each of them checked after that."""
    length = len(messages[0])
    send, receive = contender.make(length)
    started = threading.Barrier(2)

    def produce() -> None:
        started.wait()
        send(messages)

    producer = threading.Thread(target=produce)
    producer.start()
    started.wait()
    start = time.perf_counter()
    arrived = receive(buffer, len(messages), length)
    seconds = time.perf_counter() - start
    producer.join()
    check(contender.name, messages, arrived, buffer)
    return seconds


def memcpy(messages: list[bytes], buffer: memoryview) -> float:
    """Seconds for copying each message once, in one thread."""
    length = len(messages[0])
    start = time.perf_counter()
    if length in LONG:
        for number, message in enumerate(messages):
            buffer[number * length : (number + 1) * length] = message
        arrived = []
    else:
        arrived = [bytes(memoryview(message)) for message in messages]
    seconds = time.perf_counter() - start
    check("memcpy", messages, arrived, buffer)
    return seconds


def check(name: str, messages: list[bytes], arrived: list[bytes], buffer: memoryview) -> None:
    """Compare every byte, and clear the buffer for the next.

    Raises:
        WrongError: Something is missing, or other than it was sent.
    """
    length = len(messages[0])
    if length in LONG:
        for number, message in enumerate(messages):
            if buffer[number * length : (number + 1) * length] != message:
                raise WrongError(f"{name}: message {number} of {length} bytes arrived otherwise")
        buffer[: len(messages) * length] = bytes(len(messages) * length)
    elif arrived != messages:
        raise WrongError(f"{name}: {len(arrived):,} messages of {length} bytes arrived otherwise")


def messages_of(length: int) -> list[bytes]:
    """Messages that differ in all their parts."""
    count = min(MOST_MESSAGES, MOST_BYTES // length)
    return [number.to_bytes(8, "little") * (length // 8) for number in range(1, count + 1)]


def main() -> None:
    """Measure and print."""
    print(*this_machine().lines, sep="\n")
    print(f"1 producer, 1 consumer, medians of {RUNS} runs (min to max), contenders in turn")
    buffer = memoryview(bytearray(MOST_BYTES))
    contenders = [channel("spsc"), channel("mpmc"), channel("spsc", batched=True), standard_queue()]
    try:
        for length in SHORT + LONG:
            measured = [c for c in contenders if length in SHORT or "batches" not in c.name]
            table(length, measured, buffer)
    except WrongError as error:
        sys.exit(str(error))
    print("\nall that was sent arrived, each once, in order and as it was sent")


def table(length: int, contenders: list[Contender], buffer: memoryview) -> None:
    """Measure one length, and print."""
    messages = messages_of(length)
    names = [contender.name for contender in contenders] + ["memcpy, once"]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(RUNS):
        for contender in contenders:
            seconds[contender.name].append(rate(contender, messages, buffer))
        seconds["memcpy, once"].append(memcpy(messages, buffer))
    base = median(seconds["memcpy, once"])
    title = f"{length:,} bytes, {len(messages):,} of them"
    print(f"\n{title:34}{'M/s':>9}{'(min to max)':>20}{'GB/s':>9}{'of memcpy':>11}")
    for name, values in seconds.items():
        middle, low, high = (
            len(messages) / each / 1e6 for each in (median(values), max(values), min(values))
        )
        spread, share = f"{low:.3f} to {high:.3f}", base / median(values)
        print(f"{name:34}{middle:9.3f}{spread:>20}{middle * length / 1e3:9.2f}{share:11.0%}")


if __name__ == "__main__":
    main()
