"""Before all tests, and around each of them."""

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# Started in the background they may ignore Ctrl-C, which some of them are about.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put those that run alone last, where they keep the other workers waiting least."""
    items.sort(key=_runs_alone)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Keep other workers' tests away from one that runs alone; its time limit starts after that."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    # The workers' folders lie in the run's.
    run = item.config._tmp_path_factory.getbasetemp().parent  # type: ignore[attr-defined]
    with _admitted(run, alone=_runs_alone(item)):
        return (yield)


def _runs_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


@contextmanager
def _admitted(folder: Path, *, alone: bool) -> Iterator[None]:
    """Many at a time, or one alone, in the order in which they came."""
    with (folder / "running").open("w") as running:
        with (folder / "next").open("w") as next_one:
            fcntl.flock(next_one, fcntl.LOCK_EX)
            fcntl.flock(running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        try:
            yield
        finally:
            # Also for a child that the test left behind: it has the descriptor, too.
            fcntl.flock(running, fcntl.LOCK_UN)
