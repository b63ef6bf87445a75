"""Channels between processes: how one is made, passed on and found by name."""

import ast
import os
import weakref
from dataclasses import asdict
from multiprocessing import context, reduction
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from bchan import _core, _names
from bchan._tuning import Tuning
from bchan._types import Mode

if TYPE_CHECKING:
    from bchan._channel import Channel

_MODES = ("spsc", "mpsc", "spmc", "mpmc")
_VERSION = 2


class Note(NamedTuple):
    """What the maker of a channel leaves in its memory for those who attach."""

    dtype: np.dtype[Any] | None
    """None for messages of bytes."""
    mode: Mode
    name: str | None
    tuning: Tuning

    def to_bytes(self) -> bytes:
        """As a Python literal: it is read without running anything."""
        descr = None if self.dtype is None else np.lib.format.dtype_to_descr(self.dtype)
        return repr((_VERSION, descr, self.mode, self.name, asdict(self.tuning))).encode()

    @classmethod
    def of(cls, note: bytes) -> "Note":
        """What a note says; whoever can write to the memory may have written anything."""
        try:
            version, descr, mode, name, tuning = ast.literal_eval(note.decode())
            if version != _VERSION or mode not in _MODES or not isinstance(name, str | None):
                raise ValueError(note)
            dtype = None if descr is None else np.lib.format.descr_to_dtype(descr)
            if dtype is not None and dtype.hasobject and dtype.kind != "O":
                raise ValueError(note)
            return cls(dtype, mode, name, Tuning(**tuning))
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
            raise ValueError(
                f"this is no channel to attach to: its note is {note[:100]!r}"
            ) from error


def attach(name: str) -> "Channel":
    """Find the channel of a name."""
    fd = _names.find(name)
    try:
        return _attach(fd)
    finally:
        os.close(fd)


def reduce_channel(channel: "Channel") -> tuple[Any, ...]:
    """How a channel is pickled: by its memory to a child process, else by its name."""
    checked(channel)
    if channel.name is not None and context.get_spawning_popen() is None:
        return attach, (channel.name,)
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
        return _attach(fd)
    finally:
        os.close(fd)


def _attach(fd: int) -> "Channel":
    channel = look(fd)
    if channel.name is not None:
        _names.join(channel.name, channel._fd)
        hold(channel)
    return channel


def look(fd: int) -> "Channel":
    """The channel of a descriptor, which stays the caller's; nobody finds it through this one."""
    from bchan._channel import Channel

    return Channel._of_note(Note.of(_core.read_note(fd)), fd)


def look_for(name: str) -> "Channel":
    """The channel of a name, without becoming one of those who hold it."""
    fd = _names.find(name)
    try:
        return look(fd)
    finally:
        os.close(fd)


_named: "weakref.WeakSet[Channel]" = weakref.WeakSet()


def hold(channel: "Channel") -> None:
    """Have others find the channel through this process, as long as it has it."""
    _named.add(channel)
    weakref.finalize(channel, _names.leave, cast("str", channel.name), channel._fd, os.getpid())


def _hold_in_child() -> None:
    for channel in list(_named):
        _names.join(cast("str", channel.name), channel._fd)
        hold(channel)


os.register_at_fork(after_in_child=_hold_in_child)
