"""What a handle or a channel does in a task of an event loop.

A message is taken, or sent, in the last step before the call returns, and nothing is awaited after
it. So a task that is cancelled, at whatever point, has not touched the channel, or has returned.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol, Self

import numpy as np

from bchan._alarms import checkpoint
from bchan._core import NOTHING, EndOfChannel, is_in_a_hurry, may_go_on
from bchan._lines import do_in_turn
from bchan._types import Array

# A tuple, because a union takes three times as long to look through.
_ROWS = (list, tuple, np.ndarray)


class _Sends(Protocol):
    """What sending in a task is made of."""

    def try_send(self, item: Any, /) -> bool: ...
    def _send_ready(self, item: Any, /) -> Any: ...
    def try_send_batch(self, batch: Any, /) -> int: ...
    def _arm_send(self, waker: int, item: Any = None) -> bool: ...
    def _disarm_send(self, waker: int) -> None: ...


class _Receives(Protocol):
    """What receiving in a task is made of."""

    def try_receive(self, /, default: Any = None) -> Any: ...
    def _receive_ready(self, /) -> Any: ...
    def try_receive_batch(self, n: int, /) -> Any: ...
    def _arm_receive(self, waker: int) -> bool: ...
    def _disarm_receive(self, waker: int) -> None: ...


class Space:
    """Space for an item, as something to wait for."""

    def __init__(self, who: _Sends, item: Any) -> None:
        self.who, self._item = who, item
        self.disarm = who._disarm_send

    def arm(self, fd: int) -> bool:
        return self.who._arm_send(fd, self._item)


class Message:
    """A message, as something to wait for."""

    def __init__(self, who: _Receives) -> None:
        self.who = who
        self.arm, self.disarm = who._arm_receive, who._disarm_receive


def encoded(tx: object, item: Any) -> Any:
    """What to give `tx` in place of the item while it waits, so that it is pickled once."""
    encode = getattr(tx, "_encode", None)
    return item if encode is None else encode(item)


async def _send(tx: _Sends, item: Any) -> None:
    """Send an item that is encoded; a newcomer is not faster than one that was woken in vain."""
    if is_in_a_hurry() or not tx.try_send(item):
        await do_in_turn([Space(tx, item)], lambda: tx.try_send(item) or NOTHING)


def _send_some(tx: _Sends, items: Any) -> Any:
    return tx.try_send_batch(items) or NOTHING


async def _received(rx: _Receives, attempt: Callable[[], Any]) -> Any:
    """What `attempt` gives; a newcomer is not faster than one that was woken in vain."""
    if is_in_a_hurry() or (received := attempt()) is NOTHING:
        return await do_in_turn([Message(rx)], attempt)
    return received


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
        sent = self._send_ready(item)
        if sent is not True:
            await checkpoint()
            await _send(self, sent or encoded(self, item))

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
        encode = getattr(self, "_encode_batch", None)
        sent = 0
        try:
            if encode is not None and (messages := encode(items)) is not None:
                for message, n in messages:
                    if not may_go_on():
                        await checkpoint()
                    await _send(self, message)
                    sent += n
                return
            if not may_go_on():
                await checkpoint()
            if not is_in_a_hurry() or len(items) == 0:
                sent = self.try_send_batch(items)
            while sent < len(items):
                rest = items[sent:]
                sent += await do_in_turn([Space(self, rest[0])], partial(_send_some, self, rest))
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
            item = await _received(self, lambda: self.try_receive(NOTHING))
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

        def attempt() -> Any:
            batch = self.try_receive_batch(n)
            return batch if len(batch) else NOTHING

        return await _received(self, attempt)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self: _Receives) -> Any:
        try:
            return await AwaitingReceiver.areceive(self)
        except EndOfChannel:
            raise StopAsyncIteration from None
