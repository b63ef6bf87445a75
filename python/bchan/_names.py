"""Names of channels: how programs that know nothing of each other find the same one.

The memory of a channel has no name (it is a sealed memfd, gone with the last process that has it).
What has a name is a *registry file* in `/dev/shm` that only its user may use. It says which memory
is meant, and lists the processes that hold it, and under which descriptor. A process that attaches
opens the descriptor of one of them through `/proc`, and puts itself down. The last to leave takes
the file along; that of processes that all died is removed by the next one that comes across it.

A file is removed only if all its processes are known to be gone. What can't be told, what belongs
to another pid namespace, and what bchan did not write, stays as it is.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bchan import _holders, _registry
from bchan._holders import Holder, Holders, Memory
from bchan._registry import Content, Entry

DIRECTORY = Path("/dev/shm")  # noqa: S108
LONGEST = 200
PATIENCE_OF_LEAVING = 0.5
"""Seconds to wait for others when a channel is dropped: a record that stays does no harm."""

_ALLOWED = re.compile(rf"[A-Za-z0-9._-]{{1,{LONGEST}}}")
_PREFIX = "bchan-"


class Found(NamedTuple):
    """A channel that was found by its name."""

    fd: int
    """Of its memory, the caller's."""
    holders: Holders


def checked(name: str) -> str:
    """Refuse what is no name."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r}")
    if not _ALLOWED.fullmatch(name):
        raise ValueError(
            f"name must be 1 to {LONGEST} letters, digits, dots, dashes, underscores, got {name!r}"
        )
    return name


def claim(name: str, fd: int) -> Holder:
    """Give the channel of a descriptor a name.

    Returns:
        This process, as it was put down; for `leave`.

    Raises:
        FileExistsError: Another channel has it, or what can't be told to be none.
        PermissionError: The file is another user's, or others could write to it.
        OSError: No file could be made; it says what is missing.
    """
    entry, memory = _entry(name), Memory.of(os.fstat(fd))
    with _registry.told(f"the name {name!r} can't be given"):
        namespace, this = _holders.pid_namespace(), _holders.this_process(fd)
    with suppress(OSError):
        sweep()
    while True:
        with _registry.locked(entry, create=True) as file:
            text = file.text()
            if not text:
                with _registry.told(f"the name {name!r} can't be written in {DIRECTORY}"):
                    file.begin(namespace, memory, this)
                return this
            _refuse_if_taken(entry, Content.of(text))
            file.unlink()


def find(name: str, memory: Memory | None = None) -> Found:
    """Open the channel of a name.

    Args:
        name: The name.
        memory: Which memory must be meant; None for whichever has the name.

    Raises:
        FileNotFoundError: There is none, or all processes that had it are gone.
        PermissionError: The file is another user's, or others could write to it; or the processes
            that have the channel can't be looked into.
        OSError: This process lacks something, descriptors say.
    """
    entry = _entry(name)
    text = _registry.read(entry)
    if not text:
        _remove_if_abandoned(entry)
    content = _understood(entry, text)
    if memory not in (None, content.memory):
        raise FileNotFoundError(
            f"the channel that was named {name!r} has lost the name to another channel"
        )
    holders = content.holders()
    refused = holders.unknown.copy()
    for holder in holders.alive:
        try:
            fd = _holders.open_memory(holder, content.memory)
        except OSError as error:
            refused.append((holder, error))
        else:
            if fd is not None:
                return Found(fd, holders)
    if refused:
        raise _unreachable(name, *refused[0])
    _remove_if_abandoned(entry)
    raise FileNotFoundError(
        f"there is no channel named {name!r}: the processes that had it are gone"
    )


def join(name: str, fd: int) -> Holder | None:
    """Put this process down; not if the name was given up meanwhile, or is another channel's.

    Returns:
        This process, as it was put down; for `leave`.

    Raises:
        OSError: It could not be written, or others are in the way for too long.
    """
    memory = Memory.of(os.fstat(fd))
    with suppress(FileNotFoundError), _registry.locked(_entry(name)) as file:
        content = Content.of(file.text())
        if content is None or content.memory != memory:
            return None
        if content.namespace != _holders.pid_namespace():
            return None  # its id would mean nothing there
        with _registry.told(f"process {os.getpid()} can't be added to the name {name!r}"):
            this = _holders.this_process(fd)
            file.put(content.slot_for_one_more(), this)
        return this
    return None


def leave(name: str, holder: Holder, memory: Memory) -> None:
    """Take this process off the file, and the file away if that was the last."""
    if os.getpid() == holder.pid:
        _registry.after_this(partial(_leave, name, holder, memory))


def _leave(name: str, holder: Holder, memory: Memory) -> None:
    entry, patience = _entry(name), PATIENCE_OF_LEAVING
    with suppress(OSError), _registry.locked(entry, patience=patience) as file:
        content = Content.of(file.text())
        if content is None or content.memory != memory:
            return
        if holder in content.slots:
            slot = content.slots.index(holder)
            file.put(slot, None)
            content.slots[slot] = None
        if content.is_abandoned():
            file.unlink()


def remove(name: str, *, force: bool = True) -> None:
    """Take a name away; processes that have the channel keep it.

    Args:
        name: The name.
        force: Also if there are such processes, and if bchan did not write the file.

    Raises:
        FileExistsError: Without force: some have it, or may have it.
        FileNotFoundError: There is none.
        PermissionError: The file is another user's, or is none.
    """
    entry = _entry(name)
    with _registry.locked(entry) as file:
        if not force and (text := file.text()):
            _refuse_if_taken(entry, Content.of(text))
        file.unlink()


def holders(name: str) -> Holders:
    """The processes that have the channel of a name, or may have it."""
    entry = _entry(name)
    return _understood(entry, _registry.read(entry)).holders()


def names() -> list[str]:
    """All names of this user's channels that a process has, or may have.

    Raises:
        OSError: That can't be determined, as for want of descriptors.
    """
    return sorted(entry.name for entry in _entries() if _is_taken(entry))


def sweep() -> None:
    """Remove the files whose processes are all gone."""
    for entry in _entries():
        _is_taken(entry)


def _is_taken(entry: Entry) -> bool:
    """Whether a process has a name, or may have it; if all are gone, the name is removed."""
    try:
        text = _registry.read(entry)
    except OSError as error:
        if _holders.is_of_caller(error):
            raise
        return False  # gone, or not ours
    content = Content.of(text)
    if content is None and text:
        return False  # not bchan's
    # An empty file is of a process that was killed, or is about to write and then looks again.
    is_over = content is None or content.is_abandoned()
    return not (is_over and _remove_if_abandoned(entry))


def _remove_if_abandoned(entry: Entry) -> bool:
    """Remove a file if all its processes are gone; not if another process has it locked."""
    with suppress(OSError), _registry.locked(entry, patience=0) as file:
        text = file.text()
        content = Content.of(text)
        if not text or (content is not None and content.is_abandoned()):
            file.unlink()
            return True
    return False


def _understood(entry: Entry, text: bytes) -> Content:
    content = Content.of(text)
    if content is not None:
        return content
    why = f": {entry.path} is not of this version of bchan, and is left alone" if text else ""
    raise FileNotFoundError(f"there is no channel named {entry.name!r}{why}")


def _refuse_if_taken(entry: Entry, content: Content | None) -> None:
    """Raise if a process has the name, or may have it."""
    remedy = f"`bchan rm --force {entry.name}` removes it"
    if content is None:
        raise FileExistsError(f"{entry.path} is not of this version of bchan; {remedy}")
    holders = content.holders()
    if any(holders):
        why = f": {_reason(holders.unknown[0][1])}" if holders.unknown else ""
        raise FileExistsError(f"a channel named {entry.name!r} exists, in process {holders}{why}")
    if not content.is_whole:
        raise FileExistsError(
            f"{entry.path} is damaged: it can't be told whether a channel has the name; {remedy}"
        )


def _unreachable(name: str, holder: Holder, error: OSError) -> OSError:
    """Why no process can be attached to that has a channel, or may have it."""
    if _holders.is_of_caller(error):
        return _registry.about(error, f"the channel named {name!r} can't be opened")
    what = f"process {holder.pid} may have the channel named {name!r}"
    return PermissionError(errno.EACCES, f"{what}: {_reason(error)}")


def _reason(error: OSError) -> str:
    if not (isinstance(error, PermissionError) and error.filename):
        return error.strerror or str(error)
    return (
        f"{error.filename} is not for this process to open. A process that changed its user, or "
        "gained privileges, is let alone by the system until it calls prctl(PR_SET_DUMPABLE, 1); "
        "and both must be of one user and group, with the same capabilities"
    )


def _entry(name: str) -> Entry:
    return Entry(checked(name), DIRECTORY / f"{_prefix()}{name}")


def _prefix() -> str:
    return f"{_PREFIX}{os.geteuid()}-"


def _entries() -> Iterator[Entry]:
    """What stands under this user's prefix."""
    prefix = _prefix()
    try:
        files = os.listdir(DIRECTORY)  # noqa: PTH208
    except FileNotFoundError:
        return
    for file in files:
        name = file.removeprefix(prefix)
        if file.startswith(prefix) and _ALLOWED.fullmatch(name):
            yield _entry(name)
