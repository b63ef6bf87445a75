"""The hot calls: declared here, with their signatures and docstrings, and done by native code.

A call of the native part is a C method descriptor on the very class of the handle: that is what
CPython calls fastest. Its name, signature and docstring are those of the function that the class
inherits from here, which it replaces. So readers, type checkers, doctest and Sphinx see ordinary
Python classes, and nothing is said twice.
"""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from bchan import _core
from bchan._types import Messages

_Class = TypeVar("_Class", bound=type)


def native(messages: Messages) -> Callable[[_Class], _Class]:
    """Put the native methods for such messages in place of the functions that a class declares."""

    def decorate(class_: _Class) -> _Class:
        _core.hot_methods(class_, messages, lambda name: _text_of(getattr(class_, name)))
        return class_

    return decorate


def _text_of(declared: Callable[..., Any]) -> str:
    r"""Signature and docstring in one text, as CPython keeps those of what is written in C.

    Example:
        >>> def put(self, item: object, /, timeout: float | None = None) -> None:
        ...     '''Put it.'''
        >>> _text_of(put)
        'put($self, item, /, timeout=None)\n--\n\nPut it.'
    """
    signature = inspect.signature(declared)
    parameters = [one.replace(annotation=one.empty) for one in signature.parameters.values()]
    bare = signature.replace(parameters=parameters, return_annotation=signature.empty)
    # The `$` keeps what it stands before out of the signature of a bound method.
    return f"{declared.__name__}{str(bare).replace('(', '($', 1)}\n--\n\n{inspect.getdoc(declared)}"
