"""What a channel has done."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Stats:
    """What a channel has done so far; each number is exact once all is quiet.

    Counting costs the fast path nothing: `sent` and `received` are the rings' own indices, the
    others are counted where a thread waits anyway.
    """

    sent: int
    """Messages sent."""
    received: int
    """Messages received and released."""
    waits: int
    """Times that a thread parked."""
    wakes: int
    """System calls made to wake a parked thread."""
    spins: int
    """Waits that ended while spinning, without parking."""
    time_parked: float
    """Seconds that threads spent parked, added up."""
    abandoned: int
    """Slots of a shared ring that were reserved and never sent; consumers pass them."""
    deaths: int
    """Handles in a channel between processes whose process died, and that were cleared up after."""
    bytes_mapped: int
    """Bytes of address space that the channel takes; memory is used only where it was touched."""
    mirrored: bool
    """Whether rings are mapped twice in a row, so that no reservation is cut at a ring's end."""
    barrier: Literal["membarrier", "fence"]
    """How no sleeper is missed; a fence costs each message some nanoseconds, membarrier nothing."""
