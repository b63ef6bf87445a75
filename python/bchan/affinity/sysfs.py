"""Which CPUs share a core, a cache, a NUMA node: as Linux tells it in `/sys`.

What the machine does not tell is filled in with the least that can be true: a CPU of which nothing
is known is a core of its own, in package 0 and node 0, without caches.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from bchan.affinity import lists
from bchan.affinity.pinning import allowed_cpus

SYSFS = Path("/sys")


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache, and who shares it."""

    level: int
    """1 is the nearest."""
    kind: str
    """`"Data"`, `"Instruction"` or `"Unified"`."""
    size: int
    """Bytes; 0 if the machine does not tell."""
    cpus: tuple[int, ...]
    """CPUs that share it, of those that the process may use."""

    def __str__(self) -> str:
        size = f" {_size(self.size)}" if self.size else ""
        return f"L{self.level}{ {'Data': 'd', 'Instruction': 'i'}.get(self.kind, '') }{size}"


@dataclass(frozen=True, slots=True)
class Cpu:
    """What the system calls a CPU: a core, or one of a core's hyper-threads."""

    number: int
    package: int
    """Number of the processor that it is a part of."""
    node: int
    """Number of the NUMA node whose memory is the nearest."""
    core: tuple[int, ...]
    """CPUs that are hyper-threads of the same core, with this one; ascending."""
    last_cache: tuple[int, ...]
    """CPUs that share the last-level cache with this one; none if the machine does not tell."""
    speed: int
    """The higher the faster, comparable within a machine; 0 if the machine does not tell."""


@dataclass(frozen=True, slots=True)
class Topology:
    """The CPUs that the process may use, and the caches that they share; `str` draws it."""

    cpus: tuple[Cpu, ...]
    """Ascending by number."""
    caches: tuple[Cache, ...]
    """Ascending by level."""

    @property
    def packages(self) -> tuple[int, ...]:
        """Numbers of the processors."""
        return tuple(sorted({cpu.package for cpu in self.cpus}))

    @property
    def nodes(self) -> tuple[int, ...]:
        """Numbers of the NUMA nodes."""
        return tuple(sorted({cpu.node for cpu in self.cpus}))

    @property
    def cores(self) -> tuple[tuple[int, ...], ...]:
        """The cores, each as the CPUs that are its hyper-threads."""
        return tuple(sorted({cpu.core for cpu in self.cpus}))

    @property
    def last_caches(self) -> tuple[tuple[int, ...], ...]:
        """The last-level caches, each as the CPUs that share it."""
        return tuple(sorted({cpu.last_cache for cpu in self.cpus if cpu.last_cache}))

    def __str__(self) -> str:
        return "\n".join(_drawn(self))


def topology(*, sysfs: Path = SYSFS, allowed: Iterable[int] | None = None) -> Topology:
    """Look at the machine, restricted to the CPUs that the process may use.

    Args:
        sysfs: Where the system's tree is, or another machine's copy of it. What is not there is
            filled in: on systems without it every CPU is a core of its own.
        allowed: CPUs to look at; None for `allowed_cpus()`.

    Returns:
        The CPUs with what they share.

    Raises:
        ValueError: No CPU is allowed.

    Example:
        >>> from bchan import affinity
        >>> machine = affinity.topology()
        >>> {cpu.number for cpu in machine.cpus} == affinity.allowed_cpus()
        True
    """
    numbers = allowed_cpus() if allowed is None else frozenset(allowed)
    if not numbers:
        raise ValueError("allowed must name at least one CPU, got none")
    root = sysfs / "devices" / "system"
    nodes = _nodes(root / "node")
    caches = {cache for cpu in numbers for cache in _caches(_folder(root, cpu), numbers)}
    cpus = (_cpu(_folder(root, cpu), cpu, numbers, nodes, caches) for cpu in sorted(numbers))
    in_order = sorted(caches, key=lambda cache: (cache.level, cache.kind, cache.cpus))
    return Topology(tuple(cpus), tuple(in_order))


def read(path: Path) -> str:
    """What a file of the system says; nothing if it is not there, or not to be read."""
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text().strip()
    return ""


def _cpu(
    folder: Path,
    number: int,
    allowed: frozenset[int],
    nodes: dict[int, int],
    caches: set[Cache],
) -> Cpu:
    described = folder / "topology"
    siblings = read(described / "core_cpus_list") or read(described / "thread_siblings_list")
    shared = [c for c in caches if number in c.cpus and c.kind != "Instruction"]
    last = max(shared, key=lambda cache: cache.level, default=None)
    return Cpu(
        number=number,
        # -1 is said by machines that do not know.
        package=max(0, _number(described / "physical_package_id")),
        node=nodes.get(number, 0),
        core=tuple(sorted((lists.parse(siblings) & allowed) | {number})),
        last_cache=last.cpus if last else (),
        speed=_number(folder / "cpu_capacity") or _number(folder / "cpufreq" / "cpuinfo_max_freq"),
    )


def _caches(folder: Path, allowed: frozenset[int]) -> Iterator[Cache]:
    for index in (folder / "cache").glob("index[0-9]*"):
        level, cpus = _number(index / "level"), lists.parse(read(index / "shared_cpu_list"))
        if level and cpus & allowed:
            size, shared = _bytes(read(index / "size")), tuple(sorted(cpus & allowed))
            yield Cache(level, read(index / "type"), size, shared)


def _nodes(folder: Path) -> dict[int, int]:
    """The NUMA node of each CPU."""
    return {
        cpu: int(node.name.removeprefix("node"))
        for node in folder.glob("node[0-9]*")
        for cpu in lists.parse(read(node / "cpulist"))
    }


def _folder(root: Path, cpu: int) -> Path:
    return root / "cpu" / f"cpu{cpu}"


def _number(path: Path) -> int:
    """0 if there is none."""
    text = read(path)
    return int(text) if text.removeprefix("-").isdecimal() else 0


_UNITS = ("", "K", "M", "G")


def _bytes(text: str) -> int:
    """What `32K` means; 0 if nothing."""
    digits = text.rstrip("KMG")
    unit = text[len(digits) :]
    return int(digits) << (10 * _UNITS.index(unit)) if digits.isdecimal() and unit in _UNITS else 0


def _size(size: int) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024 or size % 1024:
            return f"{size} {unit}"
        size //= 1024
    return f"{size} GiB"


def _drawn(machine: Topology) -> Iterator[str]:
    yield ", ".join(
        f"{count} {what}{'' if count == 1 else 's'}"
        for count, what in (
            (len(machine.packages), "package"),
            (len(machine.nodes), "NUMA node"),
            (len(machine.cores), "core"),
            (len(machine.cpus), "CPU"),
        )
    )
    fastest = max(cpu.speed for cpu in machine.cpus)
    in_order = sorted(machine.cpus, key=lambda c: (c.package, c.node, c.last_cache, c.core))
    for (package, node), of_node in groupby(in_order, key=lambda c: (c.package, c.node)):
        yield f"package {package}, NUMA node {node}"
        for last_cache, of_cache in groupby(of_node, key=lambda c: c.last_cache):
            shared = [c for c in machine.caches if c.cpus == last_cache and c.kind != "Instruction"]
            last = shared[-1] if shared else None
            cpus = list(of_cache)
            yield f"  {last or 'caches not told'}: {_named(cpu.number for cpu in cpus)}"
            for core, threads in groupby(cpus, key=lambda c: c.core):
                own = [c for c in machine.caches if core[0] in c.cpus and c is not last]
                yield f"    core of {_core(core, own, next(threads).speed, fastest)}"


def _core(core: tuple[int, ...], caches: list[Cache], speed: int, fastest: int) -> str:
    """A core with the caches before the last, and its speed if cores differ."""
    parts = [
        f"{cache}" if cache.cpus == core else f"{cache} of {_named(cache.cpus)}" for cache in caches
    ]
    if speed != fastest:
        parts.append(f"{speed / fastest:.0%} of the fastest core's speed")
    return f"{_named(core)}: {', '.join(parts)}" if parts else _named(core)


def _named(cpus: Iterable[int]) -> str:
    numbers = list(cpus)
    return f"CPU{'' if len(numbers) == 1 else 's'} {lists.written(numbers)}"
