"""Which CPU for which producer and consumer."""

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Literal, get_args

from bchan.affinity import lists
from bchan.affinity.sysfs import Cpu, Topology
from bchan.affinity.sysfs import topology as this_machine

Goal = Literal["throughput", "latency"]

_SLOW = 0.8  # of the fastest core's speed: below, a core is of another kind, not of another bin

_Key = Callable[[Cpu], tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Plan:
    """A CPU for each producer and consumer."""

    producers: tuple[int, ...]
    """CPU numbers, one for each producer."""
    consumers: tuple[int, ...]
    """CPU numbers, one for each consumer."""
    warnings: tuple[str, ...]
    """What the machine could not give."""


def plan(
    producers: int = 4,
    consumers: int = 1,
    *,
    goal: Goal = "throughput",
    numa_node: int | None = None,
    avoid_siblings: bool = True,
    topology: Topology | None = None,
) -> Plan:
    """Choose a CPU for each producer and consumer of a channel.

    All are on one last-level cache if one has enough cores, else on one NUMA node if one has,
    else wherever there are cores. The fastest cores are taken first, for consumers first. If there
    are more workers than cores, further ones share a core's hyper-threads; if there are more than
    CPUs, they start again from the first.

    Args:
        producers: How many threads or processes send, at least 1.
        consumers: How many receive, at least 1.
        goal: What comes first if both can't be had: a core for each, `"throughput"`, or one
            last-level cache for all, `"latency"`, even if some then share a core.
        numa_node: Number of the NUMA node to stay on; None for any.
        avoid_siblings: Whether hyper-threads of one core are taken only when no core is left.
            Otherwise a core is filled before the next is begun, which leaves the others free.
        topology: The machine; None for this one.

    Returns:
        CPU numbers, and what the machine could not give.

    Raises:
        TypeError: A number that is none.
        ValueError: A number out of range, an unknown goal, or a node that the process can't use.

    Example:
        >>> from bchan import affinity
        >>> plan = affinity.plan(producers=2, consumers=1)
        >>> len(plan.producers), len(plan.consumers)
        (2, 1)
    """
    workers = _at_least_one("producers", producers) + _at_least_one("consumers", consumers)
    if goal not in get_args(Goal):
        raise ValueError(
            f"goal must be one of {', '.join(map(repr, get_args(Goal)))}, got {goal!r}"
        )
    usable = _of_node(this_machine() if topology is None else topology, numa_node)
    chosen = _in_order(_narrowed(usable, workers, goal, avoid_siblings), avoid_siblings)
    places = list(islice(cycle(chosen), workers))
    numbers = tuple(cpu.number for cpu in places)
    warnings = tuple(_warnings(places, goal, avoid_siblings))
    return Plan(numbers[consumers:], numbers[:consumers], warnings)


def _at_least_one(name: str, value: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {number}")
    return number


def _of_node(machine: Topology, node: int | None) -> list[Cpu]:
    if node is not None and node not in machine.nodes:
        raise ValueError(
            f"numa_node must be one that the process may use ({lists.written(machine.nodes)}), "
            f"got {node!r}"
        )
    return [cpu for cpu in machine.cpus if node is None or cpu.node == node]


def _by_node(cpu: Cpu) -> tuple[object, ...]:
    return (cpu.node,)


def _by_cache(cpu: Cpu) -> tuple[object, ...]:
    """By node where caches are not told."""
    return (cpu.node, cpu.last_cache)


def _narrowed(cpus: list[Cpu], workers: int, goal: Goal, avoid_siblings: bool) -> list[Cpu]:
    """The CPUs that have most in common of those that have room for all workers."""
    room = _cores if avoid_siblings else len
    wishes: list[tuple[_Key, Callable[[list[Cpu]], int]]] = [(_by_cache, room), (_by_node, room)]
    if goal == "latency":
        wishes.insert(1, (_by_cache, len))
    for key, has in wishes:
        fitting = [group for group in _groups(cpus, key) if has(group) >= workers]
        if fitting:
            return max(fitting, key=lambda group: _slowest(group, workers, avoid_siblings))
    return cpus


def _groups(cpus: Iterable[Cpu], key: _Key) -> list[list[Cpu]]:
    groups: dict[tuple[object, ...], list[Cpu]] = {}
    for cpu in cpus:
        groups.setdefault(key(cpu), []).append(cpu)
    return list(groups.values())


def _cores(cpus: Iterable[Cpu]) -> int:
    return len({cpu.core for cpu in cpus})


def _slowest(cpus: list[Cpu], workers: int, avoid_siblings: bool) -> int:
    """The speed of the slowest that would be taken."""
    return min(cpu.speed for cpu in _in_order(cpus, avoid_siblings)[:workers])


def _in_order(cpus: list[Cpu], avoid_siblings: bool) -> list[Cpu]:
    """In the order in which they are taken."""

    def turn(cpu: Cpu) -> tuple[object, ...]:
        thread = cpu.core.index(cpu.number)
        core = (cpu.node, -cpu.speed, cpu.last_cache, cpu.core)
        return (thread, *core) if avoid_siblings else (*core, thread)

    return sorted(cpus, key=turn)


def _warnings(places: list[Cpu], goal: Goal, avoid_siblings: bool) -> Iterable[str]:
    workers, cpus, cores = len(places), len(set(places)), _cores(places)
    if cpus < workers:
        yield f"{workers} workers on {cpus} CPU{'' if cpus == 1 else 's'}: some share one"
    elif cores < workers and avoid_siblings:
        yield f"{workers} workers on {cores} cores: some share a core's hyper-threads"
    nodes = {cpu.node for cpu in places}
    if len(nodes) > 1:
        yield f"no NUMA node has room for {workers} workers: they are on {lists.written(nodes)}"
    caches = {cpu.last_cache for cpu in places}
    if goal == "latency" and () in caches:
        yield "the machine does not tell who shares caches: some may be far from each other"
    elif goal == "latency" and len(caches) > 1:
        yield f"no last-level cache has room for {workers} workers: they are on {len(caches)}"
    slowest, fastest = min(cpu.speed for cpu in places), max(cpu.speed for cpu in places)
    if slowest < _SLOW * fastest:
        yield f"the slowest core in use has {slowest / fastest:.0%} of the fastest one's speed"
