"""Processes that start together, with a deadline: the counterpart of `race`."""

import multiprocessing as mp
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.synchronize import Barrier
from threading import BrokenBarrierError
from time import monotonic
from typing import Any, TypeVar

T = TypeVar("T")

Ready = Callable[[], object]
"""Waits until all others are ready, too."""

_ctx = mp.get_context("fork")  # quick, and what is to run needs not be pickled


def in_children(
    works: Sequence[Callable[[Ready], T]],
    deadline: float,
    progress: Callable[[], int] = lambda: 0,
) -> list[T]:
    """Run each in a process of its own. None is left when this returns or raises.

    Args:
        works: What the processes do; what they return is pickled.
        deadline: Seconds that they may take, all together, or stand still.
        progress: A number that changes while they get on; looked at once a `deadline`.

    Returns:
        What each returned.

    Raises:
        Exception: The first that one of them raised.
        ChildProcessError: One of them died.
        TimeoutError: They have not ended by the deadline, nor got on.
    """
    barrier = _ctx.Barrier(len(works))
    children = [_Child(work, lambda: _meet(barrier, deadline), deadline) for work in works]
    try:
        for child in children:
            child.start()
        return _results(children, deadline, progress)
    finally:
        for child in children:
            child.end()


def _meet(barrier: Barrier, deadline: float) -> None:
    try:
        barrier.wait(deadline)
    except BrokenBarrierError:
        raise TimeoutError(f"processes have not started within {deadline:g} s") from None


class _Child:
    """A process, and the pipe that its result comes by."""

    def __init__(self, work: Callable[[Ready], Any], ready: Ready, deadline: float) -> None:
        self.receiving, self._sending = _ctx.Pipe(duplex=False)
        arguments = (work, ready, self._sending, deadline)
        self._process = _ctx.Process(target=_run, args=arguments, daemon=True)

    def start(self) -> None:
        self._process.start()
        self._sending.close()  # so that the child's death ends the pipe

    def result(self) -> Any:
        """What came of it, once it has come."""
        try:
            error, result = self.receiving.recv()
        except EOFError:
            self._process.join()
            raise ChildProcessError(f"a process ended with {self._process.exitcode}") from None
        if error is not None:
            raise error
        return result

    def end(self) -> None:
        """Whatever it does."""
        self.receiving.close()
        if self._process.pid is not None:
            self._process.kill()
            self._process.join()
            self._process.close()


def _results(children: Sequence[_Child], deadline: float, progress: Callable[[], int]) -> list[Any]:
    """As they come, so that an error is seen while others still wait."""
    pending: dict[object, _Child] = {child.receiving: child for child in children}
    results: dict[_Child, Any] = {}
    end, before = monotonic() + deadline, progress()
    while pending:
        arrived = wait([child.receiving for child in pending.values()], max(0.0, end - monotonic()))
        if not arrived:
            if (now := progress()) == before:
                raise TimeoutError(f"processes have not ended within {deadline:g} s")
            end, before = monotonic() + deadline, now
        for pipe in arrived:
            child = pending.pop(pipe)
            results[child] = child.result()
    return [results[child] for child in children]


def _run(
    work: Callable[[Ready], Any], ready: Ready, sending: "Connection[Any, Any]", deadline: float
) -> None:
    try:
        result = work(ready)
    except BaseException as error:  # raised again in the parent
        sending.send((error, None))
    else:
        sending.send((None, result))
    # Others may still read what threads of this process write. The parent says when it is over.
    parent = mp.parent_process()
    assert parent is not None
    parent.join(deadline)
