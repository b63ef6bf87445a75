"""Which handles a process that is to be forked was given: those that its `Process` refers to."""

import functools
import gc
import types
import weakref
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Any, TypeGuard

from bchan import _core

_MOST = 100_000
"""Objects that are looked at, the nearest first: a fork shall not wait for long."""

_LEAVES = (
    type,
    types.ModuleType,
    types.CodeType,
    types.FrameType,
    types.GeneratorType,
    types.CoroutineType,
    types.BuiltinFunctionType,
    weakref.ref,
    _core.Channel,
    str,
    bytes,
    bytearray,
    int,
    float,
    complex,
    type(None),
)
"""What holds no handle, or none that was given."""

_PLAIN = (
    list,
    tuple,
    dict,
    set,
    frozenset,
    deque,
    functools.partial,
    types.FunctionType,
    types.CellType,
)
"""What does nothing itself with the handles in it. Other objects may use theirs."""


def handles_of(process: object) -> Iterator[tuple[Any, bool]]:
    """Every handle, and whether it is only lent: what a parent keeps of those stays the parent's.

    Of several that are alike a child may be meant to choose its own, as others choose theirs. And
    an object, or a method with it, brings all along that the object has, which the parent may go on
    to use: so a consumer of that object is lent: kept by the parent, it delays no other.
    """
    seen: set[int] = set()
    direct = list(_direct(process))
    given, objects = _search([process], within=process)
    brought, _ = _search(objects, within=None)
    for handles, is_brought in ((direct, False), (given, False), (brought, True)):
        new = [handle for handle in handles if id(handle) not in seen]
        seen.update(map(id, new))
        alike = Counter(map(_kind, new))
        for handle in new:
            yield handle, alike[_kind(handle)] > 1 or (is_brought and not hasattr(handle, "send"))


def given_to(process: object) -> Iterator[Any]:
    """The handles that are arguments or attributes of a process themselves: made for it alone."""
    direct = list(_direct(process))
    alike = Counter(map(_kind, direct))
    return (handle for handle in direct if alike[_kind(handle)] == 1)


def _kind(handle: Any) -> tuple[int, type]:
    """The same of all that are alike: of one channel and one side."""
    return id(handle._channel), type(handle)


def _direct(process: object) -> Iterator[Any]:
    from bchan._handle import Handle

    attributes = vars(process)
    # A subclass may have attributes of the same names that are something else.
    args, kwargs = attributes.get("_args"), attributes.get("_kwargs")
    given = [*attributes.values(), *(args if _is(args, tuple, list) else ())]
    given += kwargs.values() if _is(kwargs, dict) else ()
    things = {id(thing): thing for thing in given}
    return (thing for thing in things.values() if _is(thing, Handle))


def _is(thing: object, *classes: type) -> TypeGuard[Any]:
    """As `isinstance`, but runs nothing of the object's own, as a proxy's `__class__` is."""
    return issubclass(type(thing), classes)


def _search(roots: Iterable[object], within: object) -> tuple[list[Any], list[object]]:
    """The handles in plain things that `roots` refer to; apart, but `within`, all other objects."""
    from bchan._handle import Handle

    handles: list[Any] = []
    owners: list[object] = []
    seen: dict[int, object] = {}
    queue: deque[object] = deque(roots)
    while queue and len(seen) < _MOST:
        thing = queue.popleft()
        if _is(thing, *_LEAVES) or id(thing) in seen:
            continue
        seen[id(thing)] = thing
        if _is(thing, Handle):
            handles.append(thing)
        elif within is None or thing is within or _is(thing, *_PLAIN):
            queue.extend(_held_by(thing))
        elif _is(thing, types.MethodType):
            queue += (thing.__self__, thing.__func__)
        else:
            owners.append(thing)
    return handles, owners


def _held_by(thing: Any) -> Iterable[object]:
    """What it refers to; of a function what it was given, not the globals of its module."""
    if _is(thing, types.FunctionType):
        return [thing.__closure__, thing.__defaults__, thing.__kwdefaults__]
    return gc.get_referents(thing)
