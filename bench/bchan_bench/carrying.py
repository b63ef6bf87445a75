"""One verified run of a contender: many messages, messages with their times, round trips."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bchan_bench import parties
from bchan_bench.arrivals import MismatchError
from bchan_bench.parties import Done, Schedule, Times
from bchan_bench.rivals import Place, Rival
from bchan_bench.rivals.rival import Shape
from bchan_bench.stages import Open, Party, TaskParty, cpu_seconds, elapsed, meet
from bchan_bench.workload import SEQUENCE_BITS

Make = Callable[[], Rival]


@dataclass(frozen=True)
class Carried:
    """A run whose arrivals were right.

    Attributes:
        messages: How many were received.
        seconds: From when the first party began until all were received.
        cpu: Seconds of CPU, of all threads and processes.
    """

    messages: int
    seconds: float
    cpu: float


@dataclass(frozen=True)
class Timed:
    """Messages that were timed one by one, and what they took.

    Attributes:
        latencies: Of each message or round trip.
        cpu: Seconds of CPU, of all threads and processes.
    """

    latencies: Times
    cpu: float


@dataclass(frozen=True)
class Role:
    """What one side does, as a thread or process and as a task."""

    party: Party
    task: TaskParty


def carry(kind: type[Rival], place: Place, shape: Shape, messages: int) -> Carried:
    """Send messages through a new link as quickly as can be, and check all that arrives.

    Raises:
        MismatchError: What arrived is not what was sent.
        TimeoutError: The run stood still.
    """
    share, extra = divmod(messages, shape.producers)
    shares = [share + (producer < extra) for producer in range(shape.producers)]
    loads = [_pieces(kind, shape, producer, count) for producer, count in enumerate(shares)]
    senders = [
        Role(
            partial(parties.send_all, pieces=pieces),
            partial(parties.send_all_in_task, pieces=pieces),
        )
        for pieces in loads
    ]
    receiver = Role(
        partial(parties.receive_all, shares=shares),
        partial(parties.receive_all_in_task, shares=shares),
    )
    told = _meet(place, lambda: [kind(shape)], senders, receiver)
    return Carried(messages, elapsed(told), cpu_seconds(place, told))


def round_trips(make: Make, place: Place, schedule: Schedule) -> Timed:
    """Send a message, wait for the answer, and so on.

    Args:
        make: Makes a link for one producer and one message a call; one is made for each way.
        place: Where the one who calls and the one who answers stand.
        schedule: When the calls are made.

    Raises:
        MismatchError: Another answer came.
        TimeoutError: The run stood still.
    """
    caller = Role(
        partial(parties.call, schedule=schedule), partial(parties.call_in_task, schedule=schedule)
    )
    answerer = Role(parties.answer, parties.answer_in_task)
    told = _meet(place, lambda: [make(), make()], [caller], answerer)
    return Timed(told[0].result, cpu_seconds(place, told))


def one_way(make: Make, place: Place, schedule: Schedule) -> Timed:
    """Send messages at the given times from a thread or process.

    Raises:
        MismatchError: What arrived is not what was sent.
        TimeoutError: The run stood still.
    """
    sender = Role(
        partial(parties.send_stamped, schedule=schedule),
        partial(parties.send_stamped_in_task, schedule=schedule),
    )
    receiver = Role(parties.receive_stamped, parties.receive_stamped_in_task)
    told = _meet(place, lambda: [make()], [sender], receiver)
    sent, received = (done.result for done in told)
    if len(sent) != len(received):
        raise MismatchError(f"received {len(received):_} messages, sent {len(sent):_}")
    return Timed(received - sent, cpu_seconds(place, told))


def _meet(place: Place, open_links: Open, senders: Sequence[Role], receiver: Role) -> list[Done]:
    """What the senders told, then the receiver."""
    if place is Place.IN_LOOP:
        return meet(place, open_links, (), [role.task for role in (*senders, receiver)])
    in_threads = [role.party for role in senders]
    if place is Place.INTO_LOOP:
        return meet(place, open_links, in_threads, [receiver.task])
    return meet(place, open_links, [*in_threads, receiver.party])


def _pieces(kind: type[Rival], shape: Shape, producer: int, count: int) -> list[Any]:
    """What a producer sends, a call each, made before the clock starts."""
    first = producer << SEQUENCE_BITS
    numbers = np.arange(first, first + count, dtype=np.uint64)
    if shape.batch == 1:
        return numbers.tolist()
    source = numbers.tolist() if kind.batches == "list" else numbers
    return [source[start : start + shape.batch] for start in range(0, count, shape.batch)]
