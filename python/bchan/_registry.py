"""Registry files: what says which processes have the channel of a name.

A file has a head, which never changes: the pid namespace of its processes, and which memory is
meant (device and inode). A record of fixed size follows for each process. A record lies in one
page, so a process that is killed while it writes leaves the old record or the new one.

Files are changed under a lock (`flock`), and read without one: so a process that is stopped in the
middle holds up none but those who change the same name, and those wait for `PATIENCE` at most.
Nothing is opened that is not a file of this user alone.
"""

import errno
import fcntl
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from bchan import _holders
from bchan._holders import Holder, Holders, Memory

PATIENCE = 5.0
"""Seconds to wait for others who change the same name."""

_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_HEAD = re.compile(rb"bchan name 1, pid namespace (\d{1,20}), memory (\d{1,20}) (\d{1,20}) *\n")
_HEAD_BYTES = 128
_RECORD = re.compile(rb" *(\d{1,7}) +(\d{1,20}) +(\d{1,10}) *\n")
_RECORD_BYTES = 64
_FREE = b" " * (_RECORD_BYTES - 1) + b"\n"
_MOST_BYTES = 1 << 20


class Entry(NamedTuple):
    """A name, and where its file is."""

    name: str
    path: Path


class Content(NamedTuple):
    """What a registry file says."""

    namespace: int
    memory: Memory
    slots: list[Holder | None]
    """None for one that is free, or that was not understood."""
    is_whole: bool
    """Whether all of it was understood."""

    @classmethod
    def of(cls, text: bytes) -> "Content | None":
        """What stands in a file; None if this version of bchan did not write it."""
        head = _HEAD.fullmatch(text[:_HEAD_BYTES])
        if head is None or len(text) > _MOST_BYTES:
            return None
        namespace, device, inode = map(int, head.groups())
        starts = range(_HEAD_BYTES, len(text), _RECORD_BYTES)
        records = [text[at : at + _RECORD_BYTES] for at in starts]
        slots = [_holder(record) for record in records]
        # A new file has a record at once: if there is none, it was truncated.
        is_whole = bool(records) and all(
            holder is not None or record == _FREE
            for holder, record in zip(slots, records, strict=True)
        )
        return cls(namespace, Memory(device, inode), slots, is_whole)

    def holders(self) -> Holders:
        """The processes that have the memory, or may have it."""
        known = [holder for holder in self.slots if holder is not None]
        try:
            is_here = self.namespace == _holders.pid_namespace()
        except OSError as error:
            return Holders([], [(holder, error) for holder in known])
        if is_here:
            return _holders.sort(known, self.memory)
        elsewhere = PermissionError(errno.EACCES, "it is in another pid namespace (container)")
        return Holders([], [(holder, elsewhere) for holder in known])

    def is_abandoned(self) -> bool:
        """Whether all processes that had the memory are known to be gone."""
        return self.is_whole and not any(self.holders())

    def slot_for_one_more(self) -> int:
        """Where to put a process: into a free slot, or that of a dead one, or after the last."""
        if self.is_whole and None in self.slots:
            return self.slots.index(None)
        present = self.holders()
        for slot, holder in enumerate(self.slots):
            if holder is not None and not present.may_include(holder):
                return slot
        if _HEAD_BYTES + (len(self.slots) + 1) * _RECORD_BYTES > _MOST_BYTES:
            raise OSError(errno.ENOSPC, f"{len(self.slots)} processes have the name already")
        return len(self.slots)


def _holder(record: bytes) -> Holder | None:
    fields = _RECORD.fullmatch(record)
    if fields is None:
        return None
    holder = Holder(*map(int, fields.groups()))
    return holder if 1 <= holder.pid <= _holders.MOST_PID else None


def _record(holder: Holder) -> bytes:
    text = f"{holder.pid:>7} {holder.started:>20} {holder.fd:>10}"
    return text.ljust(_RECORD_BYTES - 1).encode() + b"\n"


class File:
    """A registry file that is open, and locked."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path, self._fd = path, fd

    def text(self) -> bytes:
        """All that stands in it; empty if it is new, or its maker was killed."""
        return os.pread(self._fd, _MOST_BYTES + 1, 0)

    def begin(self, namespace: int, memory: Memory, holder: Holder) -> None:
        """Write a new file; if that fails it is gone again."""
        head = f"bchan name 1, pid namespace {namespace}, memory {memory.device} {memory.inode}"
        try:
            self._write(head.ljust(_HEAD_BYTES - 1).encode() + b"\n" + _record(holder), 0)
        except OSError:
            self.unlink()
            raise

    def put(self, slot: int, holder: Holder | None) -> None:
        """Write a record; None for a free one."""
        record = _FREE if holder is None else _record(holder)
        self._write(record, _HEAD_BYTES + slot * _RECORD_BYTES)

    def unlink(self) -> None:
        """Take the name away: it is this file's, as long as it is locked."""
        self._path.unlink(missing_ok=True)

    def _write(self, text: bytes, at: int) -> None:
        if os.pwrite(self._fd, text, at) != len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))


def read(entry: Entry) -> bytes:
    """What a file says, without waiting for anyone.

    Raises:
        FileNotFoundError: There is none.
        PermissionError: It is not this user's alone, or no file.
    """
    with _opened(entry, os.O_RDONLY) as fd:
        return os.pread(fd, _MOST_BYTES + 1, 0)


@contextmanager
def locked(entry: Entry, *, create: bool = False, patience: float | None = None) -> Iterator[File]:
    """A file, locked.

    Raises:
        FileNotFoundError: There is none.
        PermissionError: It is not this user's alone, or no file.
        TimeoutError: Another process has had it locked for `patience` seconds, `PATIENCE` if None.
    """
    patience = PATIENCE if patience is None else patience
    end, pause = time.monotonic() + patience, 0.0005
    while True:
        with _opened(entry, os.O_RDWR, create=create) as fd:
            is_locked = _try_lock(fd)
            # The process that had the lock before may have taken the file away.
            if is_locked and _has_name(entry.path, fd):
                yield File(entry.path, fd)
                return
        if time.monotonic() >= end:
            raise TimeoutError(
                f"the name {entry.name!r} can't be changed: another process has had {entry.path} "
                f"locked for {patience:g} s, it may be stopped"
            )
        if not is_locked:
            time.sleep(pause)
            pause = min(2 * pause, 0.02)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _has_name(path: Path, fd: int) -> bool:
    try:
        return Memory.of(os.lstat(path)) == Memory.of(os.fstat(fd))
    except FileNotFoundError:
        return False


_inside: list[tuple[int, Path]] = []
"""The registry files that are open, each with the thread that has it."""
_late: list[Callable[[], None]] = []
"""What was put off meanwhile."""


def after_this(work: Callable[[], None]) -> None:
    """Do some work, and if this thread has a file open, when it has closed that.

    The collector may run a finalizer in the middle of a call, and that call may have the very file
    that the finalizer wants.
    """
    if _is_inside():
        _late.append(work)
    else:
        work()


def _is_inside() -> bool:
    return any(thread == threading.get_ident() for thread, _ in list(_inside))


@contextmanager
def _opened(entry: Entry, flags: int, *, create: bool = False) -> Iterator[int]:
    """An open file; nothing is opened that is no file, or not this user's alone."""
    opened = (threading.get_ident(), entry.path)
    _inside.append(opened)
    try:
        with told(f"the name {entry.name!r} can't be looked up"):
            fd = _open(entry, flags, create=create)
        try:
            _refuse_foreign(entry.path, os.fstat(fd))
            yield fd
        finally:
            # The child of a fork may have it, too, and with it the lock.
            with suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)
    finally:
        _inside.remove(opened)
        while _late and not _is_inside():
            with suppress(IndexError):  # another thread has done it
                _late.pop()()


def _open(entry: Entry, flags: int, *, create: bool) -> int:
    while True:
        with suppress(FileNotFoundError):
            _refuse_foreign(entry.path, os.lstat(entry.path))
            return os.open(entry.path, flags | _FLAGS)
        if not create:
            raise FileNotFoundError(f"there is no channel named {entry.name!r}")
        with suppress(FileExistsError):
            return _create(entry.path, flags)


def _create(path: Path, flags: int) -> int:
    try:
        fd = os.open(path, flags | _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
    except FileNotFoundError:
        missing = f"a name for a channel needs {path.parent}, and it is not there"
        raise FileNotFoundError(missing) from None
    os.fchmod(fd, 0o600)  # whatever the umask
    return fd


def _refuse_foreign(path: Path, status: os.stat_result) -> None:
    user, mode = os.geteuid(), status.st_mode
    if status.st_uid != user or mode & 0o077 or not stat.S_ISREG(mode):
        raise PermissionError(
            f"{path} must be a file of user {user} that no other may use, it is of "
            f"user {status.st_uid} with mode {stat.filemode(mode)}"
        )


@contextmanager
def told(what: str) -> Iterator[None]:
    """Have the system's errors say what they are about; those with words of their own pass."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise about(error, what) from error


def about(error: OSError, what: str) -> OSError:
    """The same error, and what it is about."""
    number = error.errno or errno.EIO
    return OSError(number, f"{what}: {error.strerror or error}", error.filename)


def _close_in_child() -> None:
    """Close what other threads had open as this one forked, lest the child keep their locks."""
    mine = [path for thread, path in _inside if thread == threading.get_ident()]
    theirs = {os.path.realpath(path) for _, path in _inside if path not in mine}
    _inside[:] = [opened for opened in _inside if opened[1] in mine]
    _late.clear()
    for fd in os.listdir("/proc/self/fd") if theirs else ():  # noqa: PTH208
        with suppress(OSError):
            link = str(Path(f"/proc/self/fd/{fd}").readlink())
            if link.removesuffix(" (deleted)") in theirs:
                os.close(int(fd))


os.register_at_fork(after_in_child=_close_in_child)
