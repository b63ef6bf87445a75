"""bchan itself, in each place."""

from typing import TYPE_CHECKING, Any

import bchan
import bchan.asyncio
from bchan import Channel, Consumer, Producer
from bchan_bench.rivals.rival import AsyncReceive, AsyncSend, Place, Receive, Rival, Send, Shape

if TYPE_CHECKING:
    from bchan._types import Mode


class _Channel(Rival):
    """A channel with lanes: spsc, or mpsc where several send.

    Args:
        shape: Who sends, and how much a call.
        options: Of the channel, further ones.
    """

    is_ours = True
    dtype: Any
    shared = False

    def __init__(self, shape: Shape, **options: Any) -> None:
        super().__init__(shape)
        mode: Mode = "spsc" if shape.producers == 1 else "mpsc"
        self.channel: Channel = Channel(
            self.dtype,
            shape.capacity,
            mode,
            max_producers=shape.producers,
            shared=self.shared,
            **options,
        )
        self._handles: list[Producer | Consumer] = []  # one that is dropped is closed

    def sender(self) -> Send:
        """One or many a call."""
        tx = self._producer()
        return tx.send if self.shape.batch == 1 else tx.send_batch

    def receiver(self) -> Receive:
        """One or many a call."""
        rx, most = self._consumer(), self.shape.batch
        if most == 1:
            return rx.receive
        receive_batch = rx.receive_batch
        return lambda: receive_batch(most)

    def task_sender(self) -> AsyncSend:
        """One or many a call."""
        tx = self._producer()
        return tx.asend if self.shape.batch == 1 else tx.asend_batch

    def task_receiver(self) -> AsyncReceive:
        """One or many a call."""
        rx, most = self._consumer(), self.shape.batch
        if most == 1:
            return rx.areceive
        areceive_batch = rx.areceive_batch
        return lambda: areceive_batch(most)

    def close(self) -> None:
        """Let go of those who wait, if a run has failed."""
        self.channel.close()

    def _producer(self) -> Producer:
        self._handles.append(tx := self.channel.producer())
        return tx

    def _consumer(self) -> Consumer:
        self._handles.append(rx := self.channel.consumer())
        return rx


class Typed(_Channel):
    """Of numbers; its batches are NumPy arrays."""

    label = "bchan.Channel of u64"
    places = frozenset({Place.THREADS, Place.INTO_LOOP, Place.IN_LOOP})
    batches = "array"
    dtype = "u8"


class Objects(_Channel):
    """Of any objects; its batches are lists."""

    label = "bchan.Channel of objects"
    places = Typed.places
    batches = "list"
    dtype = object


class SharedTyped(Typed):
    """In shared memory."""

    label = "bchan.Channel of u64, shared"
    places = frozenset({Place.PROCESSES})
    shared = True


class SharedObjects(Objects):
    """In shared memory, pickled."""

    label = "bchan.Channel of objects, shared"
    places = SharedTyped.places
    shared = True


class Drop(Rival):
    """The drop-in for `queue.Queue`."""

    label = "bchan.Queue"
    places = frozenset({Place.THREADS})
    is_ours = True

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self._queue: bchan.Queue[int] = bchan.Queue(shape.capacity)

    def sender(self) -> Send:
        """One a call."""
        return self._queue.put

    def receiver(self) -> Receive:
        """One a call."""
        return self._queue.get


class LoopDrop(Rival):
    """The drop-in for `asyncio.Queue`."""

    label = "bchan.asyncio.Queue"
    places = frozenset({Place.IN_LOOP})
    is_ours = True

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self._queue: bchan.asyncio.Queue[int] = bchan.asyncio.Queue(shape.capacity)

    def task_sender(self) -> AsyncSend:
        """From a task."""
        return self._queue.put

    def task_receiver(self) -> AsyncReceive:
        """In a task."""
        return self._queue.get
