"""A thread and the CPU that it stays on."""

import operator
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bchan.affinity import lists


def _main_threads() -> frozenset[int]:
    """The CPUs that the main thread may use; where that can't be limited, all."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(os.getpid()))
    return frozenset(range(os.cpu_count() or 1))


# Once and here: later a pin of the main thread would look like a limit of the process.
_AT_START = _main_threads()


def allowed_cpus() -> frozenset[int]:
    """The CPUs that the process may use: as the main thread might when this module was imported.

    Example:
        >>> from bchan import affinity
        >>> len(affinity.allowed_cpus()) >= 1
        True
    """
    return _AT_START


def pin(cpu: int) -> None:
    """Keep the calling thread on one CPU. Threads that it starts from then on are kept there, too.

    Args:
        cpu: Number of the CPU, as the system counts: one of `allowed_cpus()`.

    Raises:
        TypeError: The number is none.
        ValueError: The process may not use that CPU.
        NotImplementedError: The system has no such call.

    Example:
        >>> import os, threading
        >>> from bchan import affinity
        >>> def work(cpu: int) -> None:
        ...     affinity.pin(cpu)
        ...     print(os.sched_getaffinity(0) == {cpu})
        >>> thread = threading.Thread(target=work, args=[min(affinity.allowed_cpus())])
        >>> thread.start(); thread.join()
        True
    """
    _check_system()
    try:
        number = operator.index(cpu)
    except TypeError:
        raise TypeError(f"cpu must be an integer, got {cpu!r}") from None
    if number not in allowed_cpus():
        raise _refused(number, allowed_cpus())
    try:
        os.sched_setaffinity(0, {number})
    except OSError as error:
        # The process's limits were changed meanwhile, or the CPU was switched off.
        raise _refused(number, os.sched_getaffinity(0)) from error


@contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """Keep the calling thread on one CPU while the block runs.

    Args:
        cpu: As for `pin`.

    Raises:
        TypeError: As `pin`.
        ValueError: As `pin`.
        NotImplementedError: As `pin`.

    Example:
        >>> import os
        >>> from bchan import affinity
        >>> before, cpu = os.sched_getaffinity(0), min(affinity.allowed_cpus())
        >>> with affinity.pinned(cpu):
        ...     os.sched_getaffinity(0) == {cpu}
        True
        >>> os.sched_getaffinity(0) == before
        True
    """
    _check_system()
    before = os.sched_getaffinity(0)
    pin(cpu)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _check_system() -> None:
    if not hasattr(os, "sched_setaffinity"):
        raise NotImplementedError(
            f"pinning needs the call sched_setaffinity, which {sys.platform} lacks"
        )


def _refused(cpu: int, allowed: frozenset[int] | set[int]) -> ValueError:
    return ValueError(
        f"cpu must be one that the process may use ({lists.written(allowed)}), got {cpu}"
    )
