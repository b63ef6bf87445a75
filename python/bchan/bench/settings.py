"""What a throughput case is asked to do. Impossible values are refused with their limit."""

from dataclasses import dataclass
from typing import Literal, get_args

Mode = Literal["spsc", "mpsc", "mpmc"]
Item = Literal["single", "batch", "zero-copy"]

ITEMS: tuple[Item, ...] = get_args(Item)
MAX_PRODUCERS = 1 << 16  # a message names its producer in 16 bits
MAX_MESSAGES = 1 << 48  # and its place in 48

BATCH_BUFFER = 1 << 20  # large: a call that copies much waits for the GIL less often

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
        producers: Threads that send.
        consumers: Threads that receive.
        batch: Messages a producer sends with one call; 1 with `single`.
        capacity: Slots, for each producer in mpsc.
        buffer: Most messages a consumer takes with one call; 1 with `single`.
        messages: Messages of one run, all producers together.
        runs: How often the case is measured.
        verify: Check every message's place in its producer's order, too.
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


def default_messages(item: Item, batch: int) -> int:
    """As many messages as make a run of one to two seconds."""
    return min(_CALLS[item] * batch, _MOST_BY_DEFAULT)


def default_buffer(item: Item, capacity: int) -> int:
    """As much as is worth taking at once: in place never more than a ring has."""
    return {"single": 1, "batch": BATCH_BUFFER, "zero-copy": capacity}[item]


def _require(name: str, value: int, least: int, most: int | None = None) -> None:
    if value < least:
        raise ValueError(f"{name} must be at least {least:_}, got {value:_}")
    if most is not None and value > most:
        raise ValueError(f"{name} must be at most {most:_}, got {value:_}")
