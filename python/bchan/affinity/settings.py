"""What in the machine's settings makes figures vary, or threads wait."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from bchan.affinity.sysfs import SYSFS, Topology, read, topology


def warnings(*, sysfs: Path = SYSFS, allowed: Iterable[int] | None = None) -> list[str]:
    """Tell what to know before one measures here.

    Args:
        sysfs: As for `topology`.
        allowed: As for `topology`.

    Returns:
        A sentence for each: clocks that vary, hyper-threads, too few cores, a limit of CPU time.
        What the machine does not tell is left out.

    Example:
        >>> from bchan import affinity
        >>> all(isinstance(warning, str) for warning in affinity.warnings())
        True
    """
    machine = topology(sysfs=sysfs, allowed=allowed)
    system = sysfs / "devices" / "system" / "cpu"
    found = (_governor(system, machine), _turbo(system), _siblings(machine), _few(machine))
    return [warning for warnings in (*found, _quota(sysfs)) for warning in warnings]


def _governor(system: Path, machine: Topology) -> Iterator[str]:
    governors = Counter(
        read(system / f"cpu{cpu.number}" / "cpufreq" / "scaling_governor") for cpu in machine.cpus
    )
    for governor, cpus in sorted(governors.items()):
        if governor not in ("", "performance"):
            yield (
                f"the frequency governor of {cpus} CPU{'' if cpus == 1 else 's'} is {governor}, "
                "not performance: clocks follow the load"
            )


def _turbo(system: Path) -> Iterator[str]:
    if (
        read(system / "intel_pstate" / "no_turbo") == "0"
        or read(system / "cpufreq" / "boost") == "1"
    ):
        yield "turbo is on: clocks depend on temperature and on what other cores do"


def _siblings(machine: Topology) -> Iterator[str]:
    cores, cpus = len(machine.cores), len(machine.cpus)
    if cores < cpus:
        yield f"{cpus} CPUs are hyper-threads of {cores} cores: two on one core slow each other"


def _few(machine: Topology) -> Iterator[str]:
    if len(machine.cores) < 2:
        yield "there is 1 core: a producer and a consumer take turns on it"


def _quota(sysfs: Path) -> Iterator[str]:
    """The limit of a container, in microseconds of CPU time for each period."""
    quota, _, period = read(sysfs / "fs" / "cgroup" / "cpu.max").partition(" ")
    if quota.isdecimal() and period.isdecimal() and int(period):
        cpus = int(quota) / int(period)
        yield f"CPU time is limited to that of {cpus:g} CPUs: beyond it the process stands still"
