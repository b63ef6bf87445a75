"""Where threads run: the machine's CPUs, a plan for producers and consumers, and pinning.

The rooms, in the order in which they build on each other:

- `lists`: lists of CPUs as Linux writes them;
- `pinning`: a thread and the CPU that it stays on;
- `sysfs`: which CPUs share a core, a cache, a NUMA node;
- `planning`: which CPU for which producer and consumer;
- `settings`: what in the machine's settings disturbs.

Only the standard library is needed.

Example:
    >>> from bchan import affinity
    >>> plan = affinity.plan(producers=1, consumers=1, goal="latency")
    >>> with affinity.pinned(plan.consumers[0]):
    ...     pass                              # this thread stays on that CPU here
"""

from bchan.affinity.pinning import allowed_cpus, pin, pinned
from bchan.affinity.planning import Goal, Plan, plan
from bchan.affinity.settings import warnings
from bchan.affinity.sysfs import Cache, Cpu, Topology, topology

__all__ = [
    "Cache",
    "Cpu",
    "Goal",
    "Plan",
    "Topology",
    "allowed_cpus",
    "pin",
    "pinned",
    "plan",
    "topology",
    "warnings",
]
