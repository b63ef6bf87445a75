"""How the handles of a channel wait, and what capacity and batches go with that."""

import operator
from dataclasses import dataclass
from math import isfinite
from typing import Literal, Self, get_args

from bchan import _core

Wake = Literal["at once", "half drained"]

MOST_SPIN = 1.0
DEFAULT_CAPACITY = 1024


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How to wait for a message or for space, to be given to `Channel(tuning=...)`.

    A wait spins briefly, and then parks. A thread that spins goes on at once when the other side is
    done, and occupies a processor; a thread that parks frees the processor, and takes microseconds
    to wake. There are presets for latency, throughput and energy; the default lies between them.
    Tuning changes timing and cost, and no promise of the channel.

    With the GIL a waiting thread releases it before it spins.

    Attributes:
        spin: Seconds to spin before parking, at most; from 0 to 1.
        adaptive: Whether to spin less where spinning was in vain in the last waits. Otherwise every
            wait spins for the full time.
        park: Whether to park after spinning. Otherwise a wait polls, and yields the processor to
            other threads in between: for machines with a processor for each thread. `select`, and
            the awaiting forms, park in any case.
        wake: When a producer is woken that waits for space in a ring of its own (modes spsc and
            mpsc): `"at once"`, or `"half drained"`: when half of its ring is free. In the second
            case it is woken once for many messages; should the consumer not get that far, it goes
            on by itself after half a millisecond.
        capacity: The default of a channel's `capacity`.
        batch: Messages to send or receive with one call: advice for the program.

    Raises:
        TypeError: A field of another type.
        ValueError: A field out of range.

    Example:
        >>> import bchan
        >>> ch = bchan.Channel("u8", mode="spsc", tuning=bchan.Tuning.low_latency())
        >>> ch.capacity, ch.tuning.batch
        (1024, 1)
        >>> bchan.Tuning(spin=2)
        Traceback (most recent call last):
        ...
        ValueError: spin must be at least 0 and at most 1 second, got 2
    """

    spin: float = 50e-6
    adaptive: bool = True
    park: bool = True
    wake: Wake = "half drained"
    capacity: int = DEFAULT_CAPACITY
    batch: int = 64

    def __post_init__(self) -> None:
        if not isinstance(self.spin, (int, float)):
            raise TypeError(f"spin must be a number of seconds, got {self.spin!r}")
        if not (isfinite(self.spin) and 0 <= self.spin <= MOST_SPIN):
            raise ValueError(f"spin must be at least 0 and at most 1 second, got {self.spin!r}")
        for name in ("adaptive", "park"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")
        if self.wake not in get_args(Wake):
            raise ValueError(f"wake must be 'at once' or 'half drained', got {self.wake!r}")
        # As plain numbers, which other processes can read.
        object.__setattr__(self, "spin", float(self.spin))
        for name in ("capacity", "batch"):
            number = checked_number(name, getattr(self, name), _core.MAX_CAPACITY)
            object.__setattr__(self, name, number)

    @classmethod
    def low_latency(cls) -> Self:
        """For the lowest latency of a message: spin long, wake at once, send one by one.

        Each waiting thread occupies a processor for up to a millisecond; give it one of its own.
        """
        return cls(spin=1e-3, adaptive=False, wake="at once", capacity=1024, batch=1)

    @classmethod
    def throughput(cls) -> Self:
        """For the most messages a second: long rings, long batches, few wakes."""
        return cls(capacity=65_536, batch=256)

    @classmethod
    def energy(cls) -> Self:
        """For the least processor time: never spin, wake seldom."""
        return cls(spin=0.0, wake="half drained", capacity=4096, batch=256)


def checked_number(name: str, value: object, most: int) -> int:
    """An integer from 1 to most, or an error that names it."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if not 1 <= number <= most:
        raise ValueError(f"{name} must be at least 1 and at most {most}, got {number}")
    return number
