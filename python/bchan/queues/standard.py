"""The standard library's `queue`, also where gevent or eventlet has put classes of its own into it.

Theirs have no locks to build on; the real ones take theirs from `threading`, which is patched, too.
"""

import queue
from importlib.util import find_spec, module_from_spec
from types import ModuleType


def standard_queue() -> ModuleType:
    """Find the module, or make a copy of it that is not patched."""
    if all(kind.__module__ == "queue" for kind in (queue.LifoQueue, queue.PriorityQueue)):
        return queue
    spec = find_spec("queue")
    if spec is None or spec.loader is None:
        return queue
    copy = module_from_spec(spec)
    spec.loader.exec_module(copy)
    return copy
