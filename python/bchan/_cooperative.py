"""Greenlets: where gevent or eventlet has patched `threading`, they see to waiting."""

import sys
from collections.abc import Callable

PAUSE = 0.001
"""Seconds after which a greenlet that selects looks again."""


def sleep_of_hub() -> Callable[[float], object] | None:
    """Find what lets other greenlets run for so many seconds; None if threads are real ones."""
    monkey, patcher = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    sleep: Callable[[float], object] | None = None
    if monkey is not None and monkey.is_module_patched("threading"):
        sleep = sys.modules["gevent"].sleep
    elif patcher is not None and patcher.is_monkey_patched("thread"):
        sleep = sys.modules["eventlet"].sleep
    return sleep
