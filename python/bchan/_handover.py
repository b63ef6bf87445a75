"""Handles that go to a child process: the child's once it is started, and their maker's if not.

Whatever starts a process, in `multiprocessing`, an executor, or a pool, makes a `Popen`, in one
call that ends when the child was started, or with an exception. That call is wrapped here, as soon
as there is a channel whose handles could be passed on: nothing else tells of a start that failed.
"""

import functools
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import context, popen_fork
from typing import Any, NamedTuple

from bchan import _core, _reaching


class _Start(NamedTuple):
    """A process that is being started."""

    popen: Any
    process: Any
    handover: _core.Handover


class _Here(threading.local):
    """What this thread is starting."""

    start: _Start | None = None


_here = _Here()


def child() -> _core.Handover | None:
    """The child process that what is being pickled goes to; None if that is not known."""
    start = _here.start
    return start.handover if start and start.popen is context.get_spawning_popen() else None


_noticing = threading.Lock()


def notice_starts() -> None:
    """Have processes that are started from now on take along the handles passed to them."""
    if _is_noticed():
        return
    with _noticing:
        if not _is_noticed():
            _notice()


def _is_noticed() -> bool:
    return hasattr(popen_fork.Popen.__init__, "_bchan")


def _notice() -> None:
    popen: Any = popen_fork.Popen
    popen.__init__ = _noticed(popen.__init__)
    os.register_at_fork(before=_before_fork, after_in_child=_in_child)


def _noticed(init: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """As the class's own; all start methods derive from it."""

    @functools.wraps(init)
    def __init__(popen: Any, process_obj: Any) -> None:  # noqa: N807
        before = _here.start
        # Its exit is one call into native code: no signal comes between.
        with _core.Handover() as handover:
            try:
                _here.start = _Start(popen, process_obj, handover)
                init(popen, process_obj)
                handover.started(popen.pid, _forker_of(popen))
            finally:
                _here.start = before

    __init__._bchan = True  # type: ignore[attr-defined]
    return __init__


def _forker_of(popen: Any) -> int | None:
    """The process whose program the child runs; None if it executes one of its own."""
    if popen.method == "fork":
        return os.getpid()
    if popen.method == "forkserver":
        server: Any = sys.modules["multiprocessing.forkserver"]._forkserver
        return server._forkserver_pid or None
    return None


def _before_fork() -> None:
    """Promise the child what the process that is about to be forked for was given."""
    start = _here.start
    if start is None or start.popen.method != "fork" or not _core.has_unused_handles():
        return
    for handle, is_lent in _reaching.handles_of(start.process):
        # What was used, or closed, does not go.
        with suppress(RuntimeError, _core.Closed):
            handle._token(start.handover, is_lent)


def _in_child() -> None:
    start, _here.start = _here.start, None
    if start is not None:
        for handle in _reaching.given_to(start.process):
            handle._adopt(False)
