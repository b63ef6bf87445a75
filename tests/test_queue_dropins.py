"""The standard library's own tests for `queue`, against the classes that stand in for its own."""

import pytest

import bchan
from tests.stdlib_suite import Absent, assert_none_passes, load, run

CLASSES: dict[str, type] = {
    "Queue": bchan.Queue,
    "LifoQueue": bchan.LifoQueue,
    "PriorityQueue": bchan.PriorityQueue,
    "_PySimpleQueue": bchan.SimpleQueue,
}
ERRORS: dict[str, type] = {"Empty": bchan.Empty, "Full": bchan.Full, "ShutDown": bchan.ShutDown}
TESTS = load("test.test_queue", "queue", CLASSES | ERRORS)

CANNOT_APPLY = {
    "PyFailingQueueTest.test_failing_queue": "it overrides the hooks _put and _get",
}
"""Why a test can't apply, by its name; what only some Pythons have goes under a condition."""


@pytest.mark.parametrize("name", TESTS)
def test_stdlib(name: str) -> None:
    run(TESTS, name, CANNOT_APPLY)


def test_every_test_that_cannot_apply_exists() -> None:
    assert CANNOT_APPLY.keys() <= TESTS.keys()


def test_no_test_passes_without_our_classes() -> None:
    absent: dict[str, type] = dict.fromkeys(CLASSES, Absent)
    assert_none_passes(load("test.test_queue", "queue", absent | ERRORS))


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue"])
def test_a_broken_class_is_caught(kind: str) -> None:
    broken = type(kind, (CLASSES[kind],), {"full": lambda _: False})
    tests = load("test.test_queue", "queue", CLASSES | ERRORS | {kind: broken})
    with pytest.raises(pytest.fail.Exception, match=r"self.assertTrue\(q.full\(\)\)"):
        run(tests, f"Py{kind}Test.test_basic", {})
