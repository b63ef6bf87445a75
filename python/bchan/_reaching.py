"""Which handles a process that is to be forked was given: those that its `Process` refers to."""

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


def handles_of(process: object) -> Iterator[tuple[Any, bool]]:
    """Every handle, and whether it is only lent: what a parent keeps of those stays the parent's.

    Of several that are alike a child may be meant to choose its own, as others choose theirs. And a
    consumer that is no argument itself may come along with one, such as the other end of a channel,
    while the parent means to receive: kept by the parent, it delays no other.
    """
    seen: set[int] = set()
    for handles, is_argument in ((list(_direct(process)), True), (_search(process), False)):
        new = [handle for handle in handles if id(handle) not in seen]
        seen.update(map(id, new))
        alike = Counter(map(_kind, new))
        for handle in new:
            is_brought = not is_argument and not hasattr(handle, "send")
            yield handle, is_brought or alike[_kind(handle)] > 1


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


def _search(process: object) -> list[Any]:
    """The handles among all that a process refers to."""
    from bchan._handle import Handle

    handles: list[Any] = []
    seen: dict[int, object] = {}
    queue: deque[object] = deque([process])
    while queue and len(seen) < _MOST:
        thing = queue.popleft()
        if _is(thing, *_LEAVES) or id(thing) in seen:
            continue
        seen[id(thing)] = thing
        if _is(thing, Handle):
            handles.append(thing)
        else:
            queue.extend(_held_by(thing))
    return handles


def _held_by(thing: Any) -> Iterable[object]:
    """What it refers to; of a function what it was given, not the globals of its module."""
    if _is(thing, types.FunctionType):
        return [thing.__closure__, thing.__defaults__, thing.__kwdefaults__]
    return gc.get_referents(thing)
