"""The loader of the standard library's tests: it swaps the class, and notices what breaks."""

import queue
import sys
from typing import Any

import pytest

from tests.stdlib_suite import load, run

TEST = "PyLifoQueueTest.test_shrinking_queue"


class ForgetsItsSize(queue.LifoQueue[Any]):
    def _qsize(self) -> int:
        return 0


def load_with(kind: type[Any]) -> Any:
    return load("test.test_queue", "queue", {"LifoQueue": kind, "Full": queue.Full})


def test_a_test_passes_with_a_class_that_keeps_its_promise() -> None:
    run(load_with(queue.LifoQueue), TEST, {})


def test_a_broken_class_is_caught_and_the_failure_tells_where() -> None:
    with pytest.raises(
        pytest.fail.Exception, match=r"in test_shrinking_queue\n(.|\n)*Full not rai"
    ):
        run(load_with(ForgetsItsSize), TEST, {})


def test_a_listed_test_that_fails_is_expected_to() -> None:
    with pytest.raises(pytest.xfail.Exception, match="no size"):
        run(load_with(ForgetsItsSize), TEST, {TEST: "no size"})


def test_a_listed_test_that_passes_fails() -> None:
    with pytest.raises(pytest.fail.Exception, match="passes, but is listed as: no size"):
        run(load_with(queue.LifoQueue), TEST, {TEST: "no size"})


def test_only_the_suite_sees_the_stand_in() -> None:
    load_with(ForgetsItsSize)
    assert sys.modules["queue"] is queue
    import_helper = pytest.importorskip("test.support.import_helper")
    assert import_helper.import_fresh_module("queue").LifoQueue.__module__ == "queue"


def test_a_python_without_its_tests_is_a_skip() -> None:
    with pytest.raises(pytest.skip.Exception, match="this Python comes without test"):
        load("test.no_such_suite", "queue", {})
