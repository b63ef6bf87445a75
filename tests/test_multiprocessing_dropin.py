"""The standard library's own tests for `multiprocessing`'s queues, against those that stand in."""

import inspect
import multiprocessing
import multiprocessing.connection
import multiprocessing.dummy
import multiprocessing.heap
import multiprocessing.managers
import multiprocessing.pool
import multiprocessing.queues
import multiprocessing.sharedctypes
import re
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from bchan.multiprocessing import JoinableQueue, Queue, SimpleQueue
from tests.stdlib_suite import Absent, Tests, assert_none_passes, found_in, load_module, run

if sys.platform != "linux":
    pytest.skip("shared channels need Linux", allow_module_level=True)

QUEUES: dict[str, type] = {
    "Queue": Queue,
    "JoinableQueue": JoinableQueue,
    "SimpleQueue": SimpleQueue,
}
SUITE = "test._test_multiprocessing"
USES_A_QUEUE = re.compile(r"(self|multiprocessing)\.(queues\.)?(Joinable|Simple)?Queue\b")


def load_with(queues: dict[str, type], importable: dict[str, Any]) -> Tests:
    """The tests that use a queue, as tests of these, in processes and in threads.

    Their classes go into the namespace of a module that child processes can import.
    """
    members = {
        **vars(multiprocessing),
        **queues,
        "queues": SimpleNamespace(**queues),
        "dummy": SimpleNamespace(**vars(multiprocessing.dummy) | queues),
    }
    copy = load_module(SUITE, "multiprocessing", members)
    cases = {"__name__": importable["__name__"], "__suite__": copy}
    copy.install_tests_in_module_dict(cases, "fork")
    tests = {
        name: test
        for name, test in found_in(cases).items()
        if is_about_a_queue(name, inspect.getsource(getattr(case_of(test), name.partition(".")[2])))
    }
    for case in map(case_of, tests.values()):
        # They are run here, and not found by pytest, too.
        case.__test__ = False
        importable[case.__name__] = case
    importable["_suite"] = copy
    return tests


def is_about_a_queue(name: str, source: str) -> bool:
    """Whether a test uses a queue of the stand-in."""
    # A manager's queues are those of `queue`, in its process; some import the original themselves.
    is_of_another = name.startswith("WithManager") or "import multiprocessing" in source
    return not is_of_another and USES_A_QUEUE.search(source) is not None


def case_of(test: Any) -> Any:
    """The test case of a test."""
    return test.func


TESTS = load_with(QUEUES, globals())
IN_PROCESSES = re.compile(
    r"WithProcessesTestQueue|TestSimpleQueue|TestStartMethod|.*Processes.*test_child_fd_inflation"
)
RUNS = [("fork", name) for name in TESTS] + [
    (method, name)
    for method in ("spawn", "forkserver")
    for name in TESTS
    if IN_PROCESSES.match(name)
]
"""With fork all of them; with the others, which are slow to start, those that are about queues."""

CANNOT_APPLY = {
    "WithProcessesTestQueue.test_queue_feeder_donot_stop_onexc": "put itself raises: no feeder",
    "TestSimpleQueue.test_closed": "it looks at the two ends of a pipe",
}
if "WithProcessesTestQueue.test_closed_queue_empty_exceptions" in TESTS:
    for kind in ("Processes", "Threads"):
        CANNOT_APPLY[f"With{kind}TestQueue.test_closed_queue_empty_exceptions"] = (
            "empty() raises if its pipe was used before it was closed"
        )
"""Why a test can't apply, by its name; what only some Pythons have goes under a condition."""


@pytest.fixture
def method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # What goes to children is pickled by the name of its module, and must be found there.
    monkeypatch.setitem(sys.modules, SUITE, globals()["_suite"])
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(request.param, force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


@pytest.mark.usefixtures("method")
@pytest.mark.parametrize(("method", "name"), RUNS, indirect=["method"])
def test_stdlib(name: str) -> None:
    run(TESTS, name, CANNOT_APPLY)


def test_every_test_that_cannot_apply_exists() -> None:
    assert CANNOT_APPLY.keys() <= TESTS.keys()


def test_the_suite_has_tests_for_each_class_in_processes_and_in_threads() -> None:
    for case in ("WithProcessesTestQueue", "WithThreadsTestQueue", "TestSimpleQueue"):
        assert sum(name.startswith(f"{case}.") for name in TESTS) >= 3


@pytest.mark.timeout(600)
def test_no_test_passes_without_our_classes() -> None:
    absent: dict[str, type] = dict.fromkeys(QUEUES, Absent)
    tests = load_with(absent, {"__name__": __name__})
    assert_none_passes(tests)


@pytest.mark.parametrize("way", ["Processes", "Threads"])
def test_a_broken_class_is_caught(way: str) -> None:
    class NeverFull(Queue[int]):
        def full(self) -> bool:
            return False

    tests = load_with(QUEUES | {"Queue": NeverFull}, {"__name__": __name__})
    with pytest.raises(pytest.fail.Exception, match=r"queue_full\(queue, MAXSIZE\), True"):
        run(tests, f"With{way}TestQueue.test_put", {})
