"""Channels between processes: how one is passed on, and found by its name."""

import os
import weakref
from multiprocessing import context, reduction
from typing import TYPE_CHECKING, Any, cast

from bchan import _core, _names, _registry
from bchan._holders import Holder, Holders, Memory
from bchan._metadata import Metadata

if TYPE_CHECKING:
    from bchan._channel import Channel


def attach(name: str, memory: tuple[int, int] | None = None) -> "Channel":
    """Find the channel of a name, and become one of those who hold it.

    Args:
        name: The name.
        memory: Which memory must be meant, as for a channel that was pickled by its name; None for
            whichever has the name.
    """
    while True:
        channel = look_for(name, memory)[0]
        holder = _names.join(name, channel._fd)
        if holder is not None:
            hold(channel, holder)
            return channel
        # The name was given up in between, or is another channel's now.


def reduce_channel(channel: "Channel") -> tuple[Any, ...]:
    """How a channel is pickled: by its memory to a child process, else by its name."""
    checked(channel)
    if channel.name is not None and context.get_spawning_popen() is None:
        return attach, (channel.name, tuple(_memory(channel)))
    return _of_copy, (reduction.DupFd(channel._fd),)


def checked(channel: "Channel | None") -> "Channel":
    """Refuse to pass a channel to another process that lives in the memory of one."""
    if channel is None or not channel.shared:
        raise TypeError(
            "a channel in the memory of one process can't be passed to another, nor can its "
            "handles: make it with shared=True, or with a name"
        )
    return channel


def _of_copy(copy: Any) -> "Channel":
    fd = cast("int", copy.detach())
    try:
        channel = look(fd)
    finally:
        os.close(fd)
    _join(channel)
    return channel


def look(fd: int) -> "Channel":
    """The channel of a descriptor, which stays the caller's; no process finds it through this one.

    Raises:
        ValueError: Memory that holds no channel, or one that is not what its metadata says.
    """
    from bchan._channel import Channel

    metadata = Metadata.of(_core.read_metadata(fd))
    try:
        return Channel._of_metadata(metadata, fd)
    except (TypeError, OverflowError, ValueError) as error:
        raise ValueError(f"not a channel to attach to: {error}") from error


def look_for(name: str, memory: tuple[int, int] | None = None) -> "tuple[Channel, Holders]":
    """The channel of a name, without becoming one of those who hold it; and who does."""
    found = _names.find(name, None if memory is None else Memory(*memory))
    try:
        with _registry.told(f"the channel named {name!r} can't be opened"):
            channel = look(found.fd)
    finally:
        os.close(found.fd)
    if channel.name != name:
        raise ValueError(f"the channel that is found as {name!r} has the name {channel.name!r}")
    return channel, found.holders


_named: "weakref.WeakSet[Channel]" = weakref.WeakSet()


def hold(channel: "Channel", holder: Holder) -> None:
    """Have others find the channel through this process, as long as it has it."""
    _named.add(channel)
    name = cast("str", channel.name)
    weakref.finalize(channel, _names.leave, name, holder, _memory(channel))


def _join(channel: "Channel") -> None:
    """Put this process down as one that has the channel, if it has its name still."""
    holder = None if channel.name is None else _names.join(channel.name, channel._fd)
    if holder is not None:
        hold(channel, holder)


def _memory(channel: "Channel") -> Memory:
    return Memory.of(os.fstat(channel._fd))


def _join_in_child() -> None:
    failed: list[OSError] = []
    for channel in list(_named):
        try:
            _join(channel)
        except OSError as error:
            failed.append(error)
    if failed:
        raise failed[0]


os.register_at_fork(after_in_child=_join_in_child)
