"""What a throughput case is asked to do. Impossible values are refused with their limit."""

from dataclasses import dataclass
from typing import Literal, get_args

Mode = Literal["spsc", "mpsc", "mpmc"]
Item = Literal["single", "batch", "zero-copy"]

ITEMS: tuple[Item, ...] = get_args(Item)
MAX_PRODUCERS = 1 << 16  # a message names its producer in 16 bits
MAX_MESSAGES = 1 << 48  # and its place in 48

BATCH_BUFFER = 1 << 20  # large: a call that copies much waits for the GIL less often
CACHED_BUFFER = 1 << 12  # in a process of its own: what it copied is still in its first-level cache

# Messages for a run of one to two seconds: about this many calls, at most that many messages.
_CALLS: dict[Item, int] = {"single": 24_000_000, "batch": 12_500_000, "zero-copy": 4_000_000}
_MOST_BY_DEFAULT = 1_500_000_000


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One case: who sends how much, in which way, how often.

    Attributes:
        mode: Mode of the channel.
        item: Way of sending and receiving: one message a call, batches that are copied, or
            batches written and read in the ring itself.
        producers: Threads, or processes, that send.
        consumers: Threads, or processes, that receive.
        batch: Messages a producer sends with one call; 1 with `single`.
        capacity: Slots, for each producer in mpsc.
        buffer: Most messages a consumer takes with one call; 1 with `single`.
        messages: Messages of one run, all producers together.
        runs: How often the case is measured.
        verify: Check every message's place in its producer's order, too.
        processes: Whether each of them is a process of its own.
        producer_cpus: CPUs that the producers pin themselves to, in turn; empty if to none.
        consumer_cpus: And the consumers.
    """

    mode: Mode
    item: Item
    producers: int
    batch: int
    capacity: int
    buffer: int
    messages: int
    runs: int
    consumers: int = 1
    verify: bool = False
    processes: bool = False
    producer_cpus: tuple[int, ...] = ()
    consumer_cpus: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _require("producers", self.producers, 1, 1 if self.mode == "spsc" else MAX_PRODUCERS)
        _require("consumers", self.consumers, 1, MAX_PRODUCERS if self.mode == "mpmc" else 1)
        _require("capacity", self.capacity, 1)
        _require("batch", self.batch, 1, self.capacity if self.item == "zero-copy" else None)
        _require("buffer", self.buffer, 1)
        _require("messages", self.messages, self.producers, MAX_MESSAGES)
        _require("runs", self.runs, 1)

    @property
    def shares(self) -> list[int]:
        """Messages that each producer sends, as even as can be."""
        share, extra = divmod(self.messages, self.producers)
        return [share + (producer < extra) for producer in range(self.producers)]

    @property
    def label(self) -> str:
        """A short name that tells this case from the others of a report."""
        who = "" if self.mode == "spsc" else f" {self.producers}p{self.consumers}c"
        how = {
            "single": "one a call",
            "batch": f"batches of {self.batch:,}",
            "zero-copy": f"batches of {self.batch:,} in place",
        }[self.item]
        extras = [
            "in processes" if self.processes else "",
            "pinned" if self.producer_cpus else "",
            "order checked" if self.verify else "",
        ]
        return ", ".join([f"bchan {self.mode}{who}", how, *filter(None, extras)])

    @property
    def lines(self) -> tuple[str, ...]:
        """All of it for a person to read."""
        people = [_number(self.producers, "producer")]
        if self.consumers > 1:
            people.append(_number(self.consumers, "consumer"))
        if self.item == "single":
            calls = "one message a call"
        else:
            place = "in place" if self.item == "zero-copy" else "copied"
            calls = f"batches of {self.batch:,} {place}, received up to {self.buffer:,} at once"
        checks = "count, checksum and order" if self.verify else "count and checksum"
        lines = [
            f"{', '.join(people)}, {calls}",
            f"capacity {self.capacity:,}, {self.messages:,} messages a run, {checks} checked",
        ]
        if self.processes:
            lines.append("each producer and consumer is a process of its own")
        if self.producer_cpus:
            lines.append(
                f"pinned: producers to CPU {_in_turn(self.producer_cpus)}, "
                f"consumers to CPU {_in_turn(self.consumer_cpus)}"
            )
        return tuple(lines)


def default_messages(item: Item, batch: int) -> int:
    """As many messages as make a run of one to two seconds."""
    return min(_CALLS[item] * batch, _MOST_BY_DEFAULT)


def default_buffer(item: Item, capacity: int, processes: bool = False) -> int:
    """As much as is worth taking at once: in place never more than a ring has."""
    copied = CACHED_BUFFER if processes else BATCH_BUFFER
    return {"single": 1, "batch": copied, "zero-copy": capacity}[item]


def _number(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"


def _in_turn(cpus: tuple[int, ...]) -> str:
    return ", ".join(str(cpu) for cpu in cpus)


def settings_for(mode: Mode, producers: int, consumers: int, item: Item, batch: int) -> Settings:
    """A headline case: rings of 65,536, one run of one to two seconds."""
    capacity = 65_536
    return Settings(
        mode=mode,
        item=item,
        producers=producers,
        consumers=consumers,
        batch=batch,
        capacity=capacity,
        buffer=default_buffer(item, capacity),
        messages=default_messages(item, batch),
        runs=1,
    )


def _require(name: str, value: int, least: int, most: int | None = None) -> None:
    if value < least:
        raise ValueError(f"{name} must be at least {least:_}, got {value:_}")
    if most is not None and value > most:
        raise ValueError(f"{name} must be at most {most:_}, got {value:_}")
