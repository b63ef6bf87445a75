"""Which processes hold the memory of a channel. There are three answers: yes, no, and can't tell.

A process holds a memory if the descriptor that it has put down is open, and is that memory: device
and inode say so. That is asked with `stat`, which takes no descriptor, so a process at its limit
gets the same answers. Where the system refuses the look, that is no answer, and never a "no".
"""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

MOST_PID = 1 << 22
"""Linux has no larger process ids."""

_OF_CALLER = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""What is wrong with the process that looks, and not with the one that is looked at."""


class Memory(NamedTuple):
    """A file in memory, as no other is as long as anyone has it."""

    device: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        return cls(status.st_dev, status.st_ino)


class Holder(NamedTuple):
    """A process that has put down that it holds a channel."""

    pid: int
    started: int
    """Clock ticks from the machine's start to its own: the id's next user is not meant."""
    fd: int


class Holders(NamedTuple):
    """What is known of the processes that have registered; the dead are left out."""

    alive: list[Holder]
    unknown: list[tuple[Holder, OSError]]
    """Those that can't be looked at, and why."""

    def may_include(self, holder: Holder) -> bool:
        """Whether a process has the channel, or may have it."""
        return holder in self.alive or any(holder == other for other, _ in self.unknown)

    def __str__(self) -> str:
        doubtful = (f"{holder.pid} (can't tell)" for holder, _ in self.unknown)
        return ", ".join([*(str(holder.pid) for holder in self.alive), *doubtful])


def sort(holders: Iterable[Holder], memory: Memory) -> Holders:
    """Ask of each whether it holds the memory."""
    answers = Holders([], [])
    for holder in holders:
        try:
            if _where(holder, memory) is not None:
                answers.alive.append(holder)
        except OSError as error:
            answers.unknown.append((holder, error))
    return answers


def open_memory(holder: Holder, memory: Memory) -> int | None:
    """Open the memory that a process holds.

    Returns:
        A descriptor, the caller's; None if the process does not hold that memory.

    Raises:
        OSError: It can't be told, or the process does not let this one.
    """
    where = _where(holder, memory)
    if where is None:
        return None
    try:
        fd = os.open(where, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, ProcessLookupError):
        return None  # closed since
    if Memory.of(os.fstat(fd)) == memory:
        return fd
    os.close(fd)
    return None


def is_of_caller(error: OSError) -> bool:
    """Whether it is the caller that lacks something, so that to ask of others is no use."""
    return error.errno in _OF_CALLER


def this_process(fd: int) -> Holder:
    """This process, as holder of what is under a descriptor."""
    pid = os.getpid()
    started, _ = _life(pid)
    return Holder(pid, started, fd)


def pid_namespace() -> int:
    """In which pid namespace this process is: elsewhere its id means nothing, or another.

    Raises:
        FileNotFoundError: There is no `/proc`, or it is that of another namespace.
    """
    try:
        if Path("/proc/self").readlink().name == str(os.getpid()):
            return Path("/proc/self/ns/pid").stat().st_ino
    except FileNotFoundError:
        pass
    raise FileNotFoundError(
        "names of channels need /proc, of this process's pid namespace, and it is not there"
    )


def _where(holder: Holder, memory: Memory) -> str | None:
    """By what path the memory can be opened; None if the process does not hold it.

    Raises:
        OSError: Can't tell.
    """
    try:
        for path in _paths(holder):
            with suppress(FileNotFoundError, ProcessLookupError):
                return path if Memory.of(Path(path).stat()) == memory else None
    except PermissionError:
        if _is_another(holder):
            return None
        raise
    return None


def _paths(holder: Holder) -> Iterator[str]:
    """Where the descriptor may be: with the first thread, or if that has ended, with another."""
    process = f"/proc/{holder.pid}"
    yield f"{process}/fd/{holder.fd}"
    try:
        Path(process).stat()  # which takes no descriptor
        threads = os.listdir(f"{process}/task")  # noqa: PTH208
    except (FileNotFoundError, ProcessLookupError):
        _must_be_gone(holder.pid)
        return
    yield from (f"{process}/task/{thread}/fd/{holder.fd}" for thread in threads)


def _must_be_gone(pid: int) -> None:
    """Make sure that what is not in `/proc` is not hidden there.

    Raises:
        OSError: It may be.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return
    except PermissionError:
        pass
    raise PermissionError(errno.EACCES, f"process {pid} is there, and hidden in /proc")


def _is_another(holder: Holder) -> bool:
    """Whether a process that does not let itself be looked into is not the one that is meant."""
    try:
        started, is_over = _life(holder.pid)
    except (FileNotFoundError, ProcessLookupError):
        _must_be_gone(holder.pid)
        return True
    return is_over or started != holder.started


def _life(pid: int) -> tuple[int, bool]:
    """When a process started, and whether it is over."""
    text = Path(f"/proc/{pid}/stat").read_bytes()
    # After the name, which may hold anything, come the state; in the 20th field how many threads
    # there are, of which others may go on after the first; in the 22nd the start.
    fields = text.rpartition(b")")[2].split()
    return int(fields[19]), fields[0] in (b"Z", b"X") and int(fields[17]) <= 1
