"""What a call costs in one thread: nanoseconds for sending and receiving one message, or 64.

Beside it a pair of calls of `queue.SimpleQueue`, and of a C function that does nothing: no call
from Python can cost less. Nothing is subtracted: the loop of `timeit` is in every figure.

    python bench/programs/call_cost.py
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from statistics import median
from timeit import Timer

import numpy as np
from numpy.typing import NDArray

import effort
from bchan import Channel
from bchan_bench.machine import this_machine

Messages = NDArray[np.uint64]

REPEATS = effort.runs(7)
PAIRS = effort.count(2_000_000)  # of one repeat
BATCH = 64
PROOF = 128 * BATCH  # different messages sent and compared for each pair of calls


@dataclass(frozen=True)
class Pair:
    """Two ways to call that belong together.

    Attributes:
        name: What is shown.
        statement: What is timed, with the names it uses.
        through: Carries messages with the same calls, and gives what arrived.
        channel: Where the calls go, if it is one of ours.
        messages: Messages that the statement sends and receives.
    """

    name: str
    statement: str
    names: Mapping[str, object]
    through: Callable[[Messages], Messages]
    channel: Channel | None = None
    messages: int = 1


class WrongError(Exception):
    """What arrived is not what was sent."""


def new_channel() -> Channel:
    """As large as the throughput benchmark's."""
    return Channel(np.uint64, 65_536, "spsc")


def batches() -> Pair:
    """Copied in and out."""
    channel = new_channel()
    tx, rx = channel.producer(), channel.consumer()

    def through(messages: Messages) -> Messages:
        arrived = np.zeros_like(messages)
        for sent, room in zip(messages.reshape(-1, BATCH), arrived.reshape(-1, BATCH), strict=True):
            tx.send_batch(sent)
            rx.receive_into(room)
        return arrived

    names = {
        "send_batch": tx.send_batch,
        "receive_into": rx.receive_into,
        "batch": np.arange(BATCH, dtype=np.uint64),
        "room": np.zeros(BATCH, dtype=np.uint64),
    }
    statement = "send_batch(batch); receive_into(room)"
    name = f"send_batch({BATCH}) + receive_into({BATCH})"
    return Pair(name, statement, names, through, channel, BATCH)


def in_place() -> Pair:
    """Four calls: claimed, committed, seen and released, with nothing written or read."""
    channel = new_channel()
    tx, rx = channel.producer(), channel.consumer()

    def through(messages: Messages) -> Messages:
        arrived = np.zeros_like(messages)
        for sent, room in zip(messages.reshape(-1, BATCH), arrived.reshape(-1, BATCH), strict=True):
            tx.reserve(BATCH)[:] = sent
            tx.commit(BATCH)
            room[:] = rx.peek(BATCH)
            rx.release(BATCH)
        return arrived

    names = {"reserve": tx.reserve, "commit": tx.commit, "peek": rx.peek, "release": rx.release}
    statement = "; ".join(f"{call}({BATCH})" for call in names)
    name = f"reserve + commit + peek + release of {BATCH}"
    return Pair(name, statement, names, through, channel, BATCH)


def one_by_one(
    name: str,
    send: Callable[[int], object],
    receive: Callable[[], object],
    channel: Channel | None = None,
) -> Pair:
    """An integer in, an integer out."""

    def through(messages: Messages) -> Messages:
        def carried(item: int) -> object:
            send(item)
            return receive()

        return np.array([carried(item) for item in messages.tolist()], dtype=np.uint64)

    names = {"send": send, "receive": receive, "item": 42}
    return Pair(name, "send(item); receive()", names, through, channel)


def pairs() -> list[Pair]:
    """What is measured, in the order shown."""
    waiting, trying, queue = new_channel(), new_channel(), SimpleQueue[int]()
    tx, rx = waiting.producer(), waiting.consumer()
    try_tx, try_rx = trying.producer(), trying.consumer()
    nothing: dict[str, object] = {"count": [].count}  # a bare METH_O call, on an empty list
    return [
        batches(),
        one_by_one("send(int) + receive()", tx.send, rx.receive, waiting),
        one_by_one("try_send(int) + try_receive()", try_tx.try_send, try_rx.try_receive, trying),
        in_place(),
        one_by_one("SimpleQueue.put + get", queue.put, queue.get),
        Pair("nothing, twice", "count(None); count(None)", nothing, lambda messages: messages),
    ]


def nanoseconds(pair: Pair) -> list[float]:
    """The cost in each repeat, after a proof that the calls carry messages.

    Raises:
        WrongError: They do not, or not all messages of the timed part arrived.
    """
    messages = np.random.default_rng(0).integers(0, 1 << 64, PROOF, dtype=np.uint64)
    if not np.array_equal(pair.through(messages), messages):
        raise WrongError(f"{pair.name}: other messages arrived than were sent")
    times = Timer(pair.statement, globals=dict(pair.names)).repeat(REPEATS, PAIRS)
    if pair.channel is not None:
        stats, due = pair.channel.stats(), PROOF + REPEATS * PAIRS * pair.messages
        if not stats.sent == stats.received == due:
            raise WrongError(f"{pair.name}: {stats.received:,} of {due:,} messages arrived")
    return [seconds / PAIRS * 1e9 for seconds in times]


def main() -> None:
    """Measure, print, and fail if anything was lost."""
    print(*this_machine().lines, sep="\n")
    print(f"ns, {REPEATS} repeats of {PAIRS:,} each\n")
    print(f"{'':44}{'median':>8}{'min':>8}{'max':>8}")
    try:
        for pair in pairs():
            costs = nanoseconds(pair)
            figures = (median(costs), min(costs), max(costs))
            print(f"{pair.name:44}" + "".join(f"{figure:8.1f}" for figure in figures))
    except WrongError as error:
        sys.exit(str(error))
    print("\nall that was sent arrived, as it was sent")


if __name__ == "__main__":
    main()
