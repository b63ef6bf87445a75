"""What every contender is to the measurements."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from typing import Any, ClassVar, Literal

CAPACITY = 1024
BATCHED_CAPACITY = 65_536

Send = Callable[[Any], object]
Receive = Callable[[], Any]
AsyncSend = Callable[[Any], Awaitable[object]]
AsyncReceive = Callable[[], Awaitable[Any]]


class Place(Enum):
    """Where the two sides stand. The value says it to a person."""

    THREADS = "threads"
    INTO_LOOP = "thread to event loop"
    IN_LOOP = "in one event loop"
    PROCESSES = "processes"


@dataclass(frozen=True)
class Shape:
    """What a contender is made for.

    Attributes:
        producers: How many send; one receives.
        batch: Messages a call. With 1 a call carries an integer, otherwise a batch.
    """

    producers: int = 1
    batch: int = 1

    @property
    def capacity(self) -> int:
        """Messages that may be in flight, for those who have a limit."""
        return CAPACITY if self.batch == 1 else BATCHED_CAPACITY


class Rival:
    """One channel or queue of a kind, made for one run. Subclass it, name it, list it.

    A subclass overrides what its places need: `sender` and `receiver` for threads and processes,
    `sender` and `asend_call` … for event loops. Each is called once by the thread, task or process
    that then uses what it returned, in a child after the fork.

    A call carries one integer from 0 to 2**64 - 1; where the shape has batches, at most `batch` of
    them, in a list or a NumPy array of uint64.

    Attributes:
        label: What it is called in the table.
        places: Where it can be used.
        module: What must be importable.
        package: What to install for that.
        batches: How it takes a batch; `None` if it has no call that sends or receives many.
        is_ours: Whether it is what all others are compared with.
    """

    label: ClassVar[str]
    places: ClassVar[frozenset[Place]]
    module: ClassVar[str | None] = None
    package: ClassVar[str | None] = None
    batches: ClassVar[Literal["list", "array"] | None] = None
    is_ours: ClassVar[bool] = False

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    @classmethod
    def is_installed(cls) -> bool:
        """Whether it can be made here."""
        return cls.module is None or find_spec(cls.module) is not None

    def sender(self) -> Send:
        """The call that sends, waiting while there is no room."""
        raise NotImplementedError

    def receiver(self) -> Receive:
        """The call that receives, waiting while there is nothing."""
        raise NotImplementedError

    def task_sender(self) -> AsyncSend:
        """The same for a task."""
        raise NotImplementedError

    def task_receiver(self) -> AsyncReceive:
        """The same for a task."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back what it holds; called where it was made, when nobody uses it any more."""

    async def aclose(self) -> None:
        """The same, for one that was made in an event loop."""
        self.close()
