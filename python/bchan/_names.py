"""Names of channels: how programs that know nothing of each other find the same one.

The memory of a channel has no name (it is a sealed memfd, gone with the last process that has it).
What has a name is a *card*, a small file in `/dev/shm` that only its user may read: it lists the
processes that hold the channel, and under which descriptor. Who attaches opens the descriptor of
one that lives through `/proc`, and puts itself on the card. The last to leave takes the card along;
that of holders who all died is removed by whoever comes across it.
"""

import fcntl
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

DIRECTORY = Path("/dev/shm")  # noqa: S108
LONGEST = 200
_ALLOWED = re.compile(rf"[A-Za-z0-9._-]{{1,{LONGEST}}}")
_PREFIX = "bchan-"


class Holder(NamedTuple):
    """A process that has a channel."""

    pid: int
    started: int
    """Clock ticks from the machine's start to its own: the id's next user is not meant."""
    fd: int


def checked(name: str) -> str:
    """Refuse what is no name."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r}")
    if not _ALLOWED.fullmatch(name):
        raise ValueError(
            f"name must be 1 to {LONGEST} letters, digits, dots, dashes, underscores, got {name!r}"
        )
    return name


def claim(name: str, fd: int) -> None:
    """Give the channel of a descriptor a name.

    Raises:
        FileExistsError: Another channel has it.
        PermissionError: The card is another user's, or others could write to it.
    """
    sweep()
    with _card(name, create=True) as card:
        holders = _alive(card)
        if holders:
            pids = ", ".join(str(holder.pid) for holder in holders)
            raise FileExistsError(f"a channel named {name!r} exists, in process {pids}")
        _write(card, [_this(fd)])


def find(name: str) -> int:
    """Open the channel of a name.

    Returns:
        A descriptor of its memory, the caller's.

    Raises:
        FileNotFoundError: There is none, or all processes that had it are gone.
        PermissionError: The card is another user's, or others could write to it.
    """
    with _card(name) as card:
        for holder in _alive(card):
            with suppress(OSError):
                return os.open(f"/proc/{holder.pid}/fd/{holder.fd}", os.O_RDWR | os.O_CLOEXEC)
        _path(name).unlink(missing_ok=True)
    raise FileNotFoundError(
        f"there is no channel named {name!r}: the processes that had it are gone"
    )


def join(name: str, fd: int) -> None:
    """Put this process on the card; not if the name was given up meanwhile."""
    with suppress(OSError), _card(name) as card:
        _write(card, [*_alive(card), _this(fd)])


def leave(name: str, fd: int, pid: int) -> None:
    """Take this process off the card, and the card away if that was the last."""
    if os.getpid() != pid:
        return
    with suppress(OSError), _card(name) as card:
        others = [holder for holder in _alive(card) if holder != _this(fd)]
        if others:
            _write(card, others)
        else:
            _path(name).unlink(missing_ok=True)


def remove(name: str) -> None:
    """Take a name away; who has the channel keeps it."""
    with _card(name):
        _path(name).unlink(missing_ok=True)


def holders(name: str) -> list[Holder]:
    """Who has the channel of a name, and lives."""
    with _card(name) as card:
        return _alive(card)


def names() -> list[str]:
    """All names of this user's channels that somebody has."""
    sweep()
    prefix = _path("").name
    return sorted(path.name.removeprefix(prefix) for path in DIRECTORY.glob(f"{prefix}*"))


def sweep() -> None:
    """Remove the cards whose holders are all gone."""
    prefix = _path("").name
    for path in DIRECTORY.glob(f"{prefix}*"):
        with suppress(OSError), _card(path.name.removeprefix(prefix)) as card:
            if not _alive(card):
                path.unlink(missing_ok=True)


def _path(name: str) -> Path:
    return DIRECTORY / f"{_PREFIX}{os.geteuid()}-{name}"


@contextmanager
def _card(name: str, *, create: bool = False) -> Iterator[IO[str]]:
    """The card of a name, locked."""
    path = _path(checked(name))
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
    while True:
        try:
            fd = os.open(path, flags, 0o600)
        except FileNotFoundError:
            raise FileNotFoundError(f"there is no channel named {name!r}") from None
        with os.fdopen(fd, "r+", encoding="ascii", errors="replace") as card:
            status = os.fstat(fd)
            if (
                status.st_uid != os.geteuid()
                or status.st_mode & 0o077
                or not stat.S_ISREG(status.st_mode)
            ):
                raise PermissionError(
                    f"{path} must be a file of user {os.geteuid()} that no other may use, it is of "
                    f"user {status.st_uid} with mode {stat.filemode(status.st_mode)}"
                )
            fcntl.flock(fd, fcntl.LOCK_EX)
            # Whoever had the lock before may have taken the card away.
            if os.fstat(fd).st_nlink > 0:
                yield card
                return


def _alive(card: IO[str]) -> list[Holder]:
    """The holders on a card who live; none if it holds anything else."""
    card.seek(0)
    with suppress(ValueError, TypeError):
        known = [Holder(*map(int, holder)) for holder in json.loads(card.readline())]
        return [holder for holder in known if _started(holder.pid) == holder.started]
    return []


def _write(card: IO[str], who: list[Holder]) -> None:
    # One line in one call, so that a process killed here leaves the old list or the new.
    line = (json.dumps(who) + "\n").encode()
    os.pwrite(card.fileno(), line, 0)
    os.ftruncate(card.fileno(), len(line))


def _this(fd: int) -> Holder:
    return Holder(os.getpid(), _started(os.getpid()) or 0, fd)


def _started(pid: int) -> int | None:
    """When a process started; None if there is none, or it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
