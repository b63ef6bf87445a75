"""What a handle or a channel does in a task of an event loop.

A message is taken, or sent, in the last step before the call returns, and nothing is awaited after
it. So a task that is cancelled, at whatever point, has not touched the channel, or has returned.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any, Protocol, Self

import numpy as np

from bchan._alarms import LentAlarm, checkpoint
from bchan._core import NOTHING, EndOfChannel, may_go_on
from bchan._handle import Handle
from bchan._types import Array

# A tuple, because a union takes three times as long to look through.
_ROWS = (list, tuple, np.ndarray)


class _Sends(Protocol):
    """What sending in a task is made of."""

    def try_send(self, item: Any, /) -> bool: ...
    def _send_ready(self, item: Any, /) -> bool: ...
    def try_send_batch(self, batch: Any, /) -> int: ...
    def _arm_send(self, alarm: int, item: Any = None) -> bool: ...
    def _disarm_send(self, alarm: int) -> None: ...


class _Receives(Protocol):
    """What receiving in a task is made of."""

    def try_receive(self, /, default: Any = None) -> Any: ...
    def _receive_ready(self, /) -> Any: ...
    def try_receive_batch(self, n: int, /) -> Any: ...
    def _arm_receive(self, alarm: int) -> bool: ...
    def _disarm_receive(self, alarm: int) -> None: ...


async def wait_for_space(tx: _Sends, item: object) -> None:
    """Wait until there may be space for the item."""
    await _wait(tx, lambda alarm: tx._arm_send(alarm, item), tx._disarm_send)


async def wait_for_message(rx: _Receives) -> None:
    """Wait until there may be a message, or the end."""
    await _wait(rx, rx._arm_receive, rx._disarm_receive)


_waiting: dict[int, list[int]] = {}
"""For each handle, by its id, the alarms of the tasks that wait with it."""


async def _wait(where: object, arm: Callable[[int], bool], disarm: Callable[[int], None]) -> None:
    with LentAlarm() as bell:
        bell.disarm = disarm
        # A channel itself wakes the next one, in whatever loop of whatever thread.
        alarms = _waiting.setdefault(id(where), []) if isinstance(where, Handle) else []
        alarms.append(bell.fd)
        try:
            if not arm(bell.fd):
                await bell.wait()
        finally:
            disarm(bell.fd)
            bell.disarm = None
            alarms.remove(bell.fd)
            if alarms:
                # A ring of its own has one waiter: who goes has the next one look, and arm it anew.
                os.eventfd_write(alarms[0], 1)
            else:
                _waiting.pop(id(where), None)


class AwaitingSender:
    """The sending calls of a task."""

    __slots__ = ()

    async def asend(self: _Sends, item: object) -> None:
        """Send one item, waiting in the event loop (asyncio, uvloop, or trio with anyio installed).

        Cancelling it sends nothing: the item was sent if and only if the call returned.

        Args:
            item: What the channel's dtype can hold.

        Raises:
            Closed: The channel or this handle was closed.

        Example:
            >>> import asyncio, bchan
            >>> ch = bchan.Channel()
            >>> async def main():
            ...     await ch.asend("hello")
            ...     return await ch.areceive()
            >>> asyncio.run(main())
            'hello'
        """
        if not self._send_ready(item):
            await checkpoint()
            while not self.try_send(item):
                await wait_for_space(self, item)

    async def asend_batch(self: _Sends, batch: Iterable[object] | Array[Any]) -> None:
        """Send all items of a batch in order, waiting in the event loop.

        Args:
            batch: As for `send_batch`; an iterable that is neither an array nor a list or tuple is
                made a list first.

        Raises:
            Closed: The channel or this handle was closed.

        What is raised while sending, `CancelledError` among it, has an attribute `sent`: how many
        of the items went.

        Example:
            >>> import asyncio, bchan
            >>> ch = bchan.Channel("u8", mode="mpsc")
            >>> async def main():
            ...     async with asyncio.TaskGroup() as tasks:
            ...         tx = ch.producer()
            ...         tasks.create_task(tx.asend_batch(range(3)))
            ...         return await ch.consumer().areceive_batch(3)
            >>> asyncio.run(main())
            array([0, 1, 2], dtype=uint64)
        """
        items: Any = batch if isinstance(batch, _ROWS) else list(batch)
        sent = 0
        try:
            if not may_go_on():
                await checkpoint()
            while True:
                sent += self.try_send_batch(items[sent:] if sent else items)
                if sent == len(items):
                    return
                await wait_for_space(self, items[sent])
        except BaseException as error:
            error.sent = sent  # type: ignore[attr-defined]
            raise


class AwaitingReceiver:
    """The receiving calls of a task."""

    __slots__ = ()

    async def areceive(self: _Receives) -> Any:
        """Receive one message, waiting in the event loop (asyncio, uvloop, or trio with anyio).

        Cancelling it receives nothing: the message stays for the next call, or another consumer.

        Raises:
            EndOfChannel: Nothing more will come.
            Closed: This handle was closed.

        Example:
            >>> import asyncio, bchan, threading
            >>> ch = bchan.Channel()
            >>> async def main():
            ...     threading.Thread(target=ch.send, args=("from a thread",)).start()
            ...     return await ch.areceive()
            >>> asyncio.run(main())
            'from a thread'
        """
        item = self._receive_ready()
        if item is NOTHING:
            await checkpoint()
            while (item := self.try_receive(NOTHING)) is NOTHING:
                await wait_for_message(self)
        return item

    async def areceive_batch(self: _Receives, n: int) -> Any:
        """Receive what is there, waiting in the event loop for the first message.

        Args:
            n: Messages wanted at most, at least 1.

        Returns:
            A new one-dimensional array, or a list of objects, 1 to n long.

        Raises:
            EndOfChannel: Nothing more will come.
            Closed: This handle was closed.

        Example:
            >>> import asyncio, bchan
            >>> ch = bchan.Channel()
            >>> ch.send_batch("abc")
            >>> asyncio.run(ch.areceive_batch(2))
            ['a', 'b']
        """
        if not may_go_on():
            await checkpoint()
        while len(batch := self.try_receive_batch(n)) == 0:
            await wait_for_message(self)
        return batch

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self: _Receives) -> Any:
        try:
            return await AwaitingReceiver.areceive(self)
        except EndOfChannel:
            raise StopAsyncIteration from None
