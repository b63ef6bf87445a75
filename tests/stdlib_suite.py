"""Runs the tests that the running Python ships for a class of its own against a class of ours."""

import importlib.util
import sys
import unittest
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any

import pytest

Tests = dict[str, Callable[[], unittest.TestCase]]
"""Makes a fresh instance of each test, by `Class.method`."""


def load(suite: str, module: str, members: Mapping[str, object]) -> Tests:
    """The tests of `suite`, such as `test.test_queue`, as tests of a stand-in for `module`.

    The stand-in has these members and no others. Skips where Python comes without its tests, as
    Debian's does.
    """
    return found_in(vars(load_module(suite, module, members)))


def load_module(suite: str, module: str, members: Mapping[str, object]) -> ModuleType:
    """The same, before its tests are looked for."""
    original = pytest.importorskip(suite, reason=f"this Python comes without {suite}")
    stand_in = ModuleType(module)
    vars(stand_in).update(members)
    copy = importlib.util.module_from_spec(original.__spec__)
    with pytest.MonkeyPatch.context() as patch:
        # Nothing but the copy sees the stand-in: what else it imports came with the original.
        patch.setitem(sys.modules, module, stand_in)
        patch.setattr("test.support.import_helper.import_fresh_module", _fresh(stand_in))
        original.__spec__.loader.exec_module(copy)
    return copy


def found_in(namespace: Mapping[str, object]) -> Tests:
    """The tests of a module."""
    return {
        f"{case.__name__}.{method}": partial(case, method)
        for case in list(namespace.values())
        if isinstance(case, type) and issubclass(case, unittest.TestCase)
        if not getattr(case, "__unittest_skip__", False)
        for method in unittest.defaultTestLoader.getTestCaseNames(case)
    }


def _fresh(stand_in: ModuleType) -> Callable[..., ModuleType | None]:
    """For `import_fresh_module`, by which a suite gets a module with and without its C half.

    The stand-in has no C half. So the test cases for it skip themselves, and ours runs once.
    """

    def import_fresh_module(name: str, fresh: Any = (), **_: Any) -> ModuleType | None:
        assert name == stand_in.__name__
        return None if fresh else stand_in

    return import_fresh_module


def run(tests: Tests, name: str, cannot_apply: Mapping[str, str]) -> None:
    """Run one test. One that can't apply has to fail, so that the list of them stays true."""
    result = unittest.TestResult()
    unittest.TestSuite([tests[name]()]).run(result)
    for _, reason in result.skipped:
        pytest.skip(reason)
    passed = result.wasSuccessful()
    if name not in cannot_apply:
        if not passed:
            texts = [text for _, text in result.failures + result.errors]
            pytest.fail("\n".join(texts) or "an unexpected success", pytrace=False)
    elif passed:
        pytest.fail(f"{name} passes, but is listed as: {cannot_apply[name]}", pytrace=False)
    else:
        pytest.xfail(cannot_apply[name])


def assert_none_passes(tests: Tests) -> None:
    """With a class of ours away, a test that passes all the same would test nothing of ours."""
    for name in tests:
        with pytest.raises((pytest.fail.Exception, pytest.skip.Exception)):
            run(tests, name, {})


class Absent:
    """A class that is away."""

    def __init__(self, *_: object, **__: object) -> None:
        raise NotImplementedError
