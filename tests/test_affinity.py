"""`bchan.affinity`: machines as they tell themselves, plans for them, and pinning."""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from bchan import affinity
from bchan.affinity import lists
from bchan.tools.cli import main
from tests.support import Task

needs_pinning = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system does not pin threads"
)


class Machine:
    """A tree as Linux has it in `/sys`, of a machine that is not here."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.system = root / "devices" / "system"

    def write(self, path: str, text: object) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    def cpu(self, cpu: int, file: str, text: object) -> None:
        self.write(f"devices/system/cpu/cpu{cpu}/{file}", text)

    def core(self, threads: Sequence[int], package: int = 0, speed: int = 0) -> None:
        for cpu in threads:
            self.cpu(cpu, "topology/core_cpus_list", ",".join(map(str, threads)))
            self.cpu(cpu, "topology/physical_package_id", package)
            if speed:
                self.cpu(cpu, "cpufreq/cpuinfo_max_freq", speed)

    def cache(self, index: int, level: int, kind: str, size: str, cpus: Iterable[int]) -> None:
        shared = sorted(cpus)
        for cpu in shared:
            folder = f"cache/index{index}"
            self.cpu(cpu, f"{folder}/level", level)
            self.cpu(cpu, f"{folder}/type", kind)
            self.cpu(cpu, f"{folder}/size", size)
            self.cpu(cpu, f"{folder}/shared_cpu_list", ",".join(map(str, shared)))

    def node(self, node: int, cpus: str) -> None:
        self.write(f"devices/system/node/node{node}/cpulist", cpus)

    def look(self, allowed: Iterable[int]) -> affinity.Topology:
        return affinity.topology(sysfs=self.root, allowed=allowed)

    def warnings(self, allowed: Iterable[int]) -> list[str]:
        return affinity.warnings(sysfs=self.root, allowed=allowed)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def server(machine: Machine) -> Machine:
    """Two sockets of 8 cores of 2 threads: CPU n and n + 16 are one core."""
    for socket in range(2):
        firsts = range(8 * socket, 8 * socket + 8)
        of_socket = [*firsts, *(cpu + 16 for cpu in firsts)]
        for first in firsts:
            threads = (first, first + 16)
            machine.core(threads, package=socket)
            machine.cache(0, 1, "Data", "32K", threads)
            machine.cache(1, 1, "Instruction", "32K", threads)
            machine.cache(2, 2, "Unified", "1024K", threads)
        machine.cache(3, 3, "Unified", "20480K", of_socket)
        machine.node(socket, f"{firsts[0]}-{firsts[-1]},{firsts[0] + 16}-{firsts[-1] + 16}")
    return machine


@pytest.fixture
def laptop(machine: Machine) -> Machine:
    """Two fast cores of 2 threads (0, 1 and 2, 3), four slow ones that share a cache of level 2."""
    for threads in ((0, 1), (2, 3)):
        machine.core(threads, speed=5_000_000)
        machine.cache(0, 1, "Data", "48K", threads)
        machine.cache(2, 2, "Unified", "1280K", threads)
    for cpu in range(4, 8):
        machine.core((cpu,), speed=3_500_000)
        machine.cache(0, 1, "Data", "32K", (cpu,))
        machine.cache(2, 2, "Unified", "2048K", range(4, 8))
    machine.cache(3, 3, "Unified", "12M", range(8))
    machine.node(0, "0-7")
    return machine


@pytest.fixture
def chiplets(machine: Machine) -> Machine:
    """Four cores of 2 threads on each of two caches of the last level, in one node."""
    for first in range(8):
        machine.core((first, first + 8))
    for part in range(2):
        firsts = range(4 * part, 4 * part + 4)
        machine.cache(3, 3, "Unified", "32768K", [*firsts, *(cpu + 8 for cpu in firsts)])
    return machine


# --- What a machine tells ---


def test_two_sockets_are_told_with_cores_caches_and_nodes(server: Machine) -> None:
    seen = server.look(range(32))
    assert (seen.packages, seen.nodes) == ((0, 1), (0, 1))
    assert seen.cores == tuple((first, first + 16) for first in range(16))
    assert seen.last_caches == ((*range(8), *range(16, 24)), (*range(8, 16), *range(24, 32)))
    cpu = seen.cpus[27]
    assert (cpu.number, cpu.package, cpu.node, cpu.core) == (27, 1, 1, (11, 27))
    assert [str(cache) for cache in seen.caches if 27 in cache.cpus] == [
        "L1d 32 KiB",
        "L1i 32 KiB",
        "L2 1 MiB",
        "L3 20 MiB",
    ]


def test_older_kernels_name_of_the_siblings_is_read(machine: Machine) -> None:
    machine.cpu(0, "topology/thread_siblings_list", "0-1")
    machine.cpu(1, "topology/thread_siblings_list", "0-1")
    assert machine.look([0, 1]).cores == ((0, 1),)


def test_fast_and_slow_cores_of_a_laptop_are_told_apart(laptop: Machine) -> None:
    seen = laptop.look(range(8))
    assert seen.cores == ((0, 1), (2, 3), (4,), (5,), (6,), (7,))
    assert seen.cpus[0].speed > seen.cpus[4].speed
    assert seen.last_caches == (tuple(range(8)),)


def test_a_cache_of_instructions_is_not_what_messages_share(machine: Machine) -> None:
    for cpu in range(2):
        machine.core((cpu,))
        machine.cache(0, 1, "Data", "32K", (cpu,))
    machine.cache(1, 2, "Instruction", "64K", (0, 1))
    assert machine.look([0, 1]).last_caches == ((0,), (1,))


def test_capacity_goes_before_frequency(machine: Machine) -> None:
    machine.cpu(0, "cpu_capacity", 1024)
    machine.cpu(0, "cpufreq/cpuinfo_max_freq", 2_000_000)
    assert machine.look([0]).cpus[0].speed == 1024


def test_a_container_sees_only_its_own_cpus(machine: Machine) -> None:
    for first in range(32):
        machine.core((first, first + 32))
        machine.cache(2, 2, "Unified", "512K", (first, first + 32))
    machine.cache(3, 3, "Unified", "64M", range(64))
    machine.node(0, "0-63")
    apart, together = machine.look({10, 43}), machine.look({10, 42})
    assert (apart.cores, apart.last_caches) == (((10,), (43,)), ((10, 43),))
    assert (together.cores, together.last_caches) == (((10, 42),), ((10, 42),))
    assert all(set(cache.cpus) <= {10, 43} for cache in apart.caches)


def test_a_machine_without_caches_is_known_by_its_nodes(machine: Machine) -> None:
    for cpu in range(4):
        machine.core((cpu,), package=-1)
    machine.node(0, "0-1")
    machine.node(1, "2-3")
    seen = machine.look(range(4))
    assert (seen.caches, seen.last_caches, seen.packages) == ((), (), (0,))
    found = affinity.plan(1, 1, goal="latency", topology=seen)
    assert (found.consumers, found.producers) == ((0,), (1,))
    assert "does not tell who shares caches" in found.warnings[0]


def test_of_an_empty_tree_every_cpu_is_a_core(machine: Machine) -> None:
    seen = machine.look([3, 5])
    assert seen.cores == ((3,), (5,))
    assert (seen.packages, seen.nodes, seen.caches) == ((0,), (0,), ())
    assert machine.warnings([3, 5]) == []
    assert "CPUs 3, 5" in str(seen)


def test_nonsense_in_the_tree_is_as_nothing(machine: Machine) -> None:
    machine.cpu(0, "topology/core_cpus_list", "0-x")
    machine.cpu(0, "topology/physical_package_id", "first")
    machine.cpu(0, "cache/index0/level", "")
    machine.cpu(0, "cpufreq/scaling_governor", "")
    machine.write("fs/cgroup/cpu.max", "max 100000")
    seen = machine.look([0])
    assert (seen.cores, seen.packages, seen.caches) == (((0,),), (0,), ())
    assert len(machine.warnings([0])) == 1


def test_a_system_without_affinity_has_all_its_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert affinity.pinning._main_threads() == frozenset(range(6))


def test_this_machine_is_told() -> None:
    seen = affinity.topology()
    assert {cpu.number for cpu in seen.cpus} == affinity.allowed_cpus()
    assert all(cpu.number in cpu.core for cpu in seen.cpus)


def test_no_cpu_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one CPU, got none"):
        affinity.topology(allowed=[])


def test_the_drawing_has_every_level(laptop: Machine) -> None:
    assert str(laptop.look(range(8))).splitlines() == [
        "1 package, 1 NUMA node, 6 cores, 8 CPUs",
        "package 0, NUMA node 0",
        "  L3 12 MiB: CPUs 0-7",
        "    core of CPUs 0-1: L1d 48 KiB, L2 1280 KiB",
        "    core of CPUs 2-3: L1d 48 KiB, L2 1280 KiB",
        *(
            f"    core of CPU {cpu}: L1d 32 KiB, L2 2 MiB of CPUs 4-7, "
            "70% of the fastest core's speed"
            for cpu in range(4, 8)
        ),
    ]


@pytest.mark.parametrize("numbers", [[], [0], [0, 1], [0, 2, 3, 4, 9], [7, 5, 3]])
def test_a_list_that_is_written_is_read(numbers: list[int]) -> None:
    assert lists.parse(lists.written(numbers)) == frozenset(numbers)


# --- Plans ---


def all_of(plan: affinity.Plan) -> tuple[int, ...]:
    return plan.consumers + plan.producers


def test_throughput_takes_a_core_for_each_on_one_node(server: Machine) -> None:
    found = affinity.plan(4, 1, topology=server.look(range(32)))
    assert (found.consumers, found.producers) == ((0,), (1, 2, 3, 4))
    assert found.warnings == ()


def test_a_node_can_be_chosen(server: Machine) -> None:
    found = affinity.plan(4, 1, numa_node=1, topology=server.look(range(32)))
    assert (found.consumers, found.producers) == ((8,), (9, 10, 11, 12))


def test_more_workers_than_a_node_has_cores_go_to_the_next(server: Machine) -> None:
    found = affinity.plan(11, 1, topology=server.look(range(32)))
    assert sorted(all_of(found)) == list(range(12))
    assert found.warnings == ("no NUMA node has room for 12 workers: they are on 0-1",)


def test_more_workers_than_the_chosen_node_has_cores_share_them(server: Machine) -> None:
    found = affinity.plan(11, 1, numa_node=1, topology=server.look(range(32)))
    assert all_of(found) == (*range(8, 16), *range(24, 28))
    assert found.warnings == ("12 workers on 8 cores: some share a core's hyper-threads",)


def test_more_workers_than_cpus_wrap_around(server: Machine) -> None:
    found = affinity.plan(5, 2, topology=server.look([2, 3, 18]))
    assert all_of(found) == (2, 3, 18, 2, 3, 18, 2)
    assert found.warnings == ("7 workers on 3 CPUs: some share one",)


def test_siblings_are_taken_together_where_that_is_wished(server: Machine) -> None:
    seen = server.look(range(32))
    found = affinity.plan(3, 1, avoid_siblings=False, topology=seen)
    assert all_of(found) == (0, 16, 1, 17)
    assert found.warnings == ()


def test_the_fastest_cores_are_taken_first(laptop: Machine) -> None:
    found = affinity.plan(1, 1, topology=laptop.look(range(8)))
    assert (found.consumers, found.producers, found.warnings) == ((0,), (2,), ())
    found = affinity.plan(4, 1, topology=laptop.look(range(8)))
    assert all_of(found) == (0, 2, 4, 5, 6)
    assert found.warnings == ("the slowest core in use has 70% of the fastest one's speed",)


def test_a_free_cache_of_fast_cores_goes_before_one_of_slow_ones(machine: Machine) -> None:
    for cpu, speed in enumerate((600, 600, 1024, 1024)):
        machine.core((cpu,))
        machine.cpu(cpu, "cpu_capacity", speed)
    machine.cache(3, 3, "Unified", "4M", (0, 1))
    machine.cache(3, 3, "Unified", "8M", (2, 3))
    found = affinity.plan(1, 1, topology=machine.look(range(4)))
    assert (found.consumers, found.producers) == ((2,), (3,))


def test_all_are_on_one_cache_if_it_has_the_cores(chiplets: Machine) -> None:
    seen = chiplets.look(range(16))
    assert set(all_of(affinity.plan(3, 1, topology=seen))) == {0, 1, 2, 3}
    three_cores_and_four = chiplets.look(set(range(16)) - {0, 8})
    assert set(all_of(affinity.plan(3, 1, topology=three_cores_and_four))) == {4, 5, 6, 7}


def test_latency_shares_cores_before_it_leaves_a_cache_and_throughput_not(
    chiplets: Machine,
) -> None:
    seen = chiplets.look(range(16))
    near = affinity.plan(4, 1, goal="latency", topology=seen)
    assert all_of(near) == (0, 1, 2, 3, 8)
    assert near.warnings == ("5 workers on 4 cores: some share a core's hyper-threads",)
    wide = affinity.plan(4, 1, goal="throughput", topology=seen)
    assert all_of(wide) == (0, 1, 2, 3, 4)
    assert wide.warnings == ()


def test_latency_says_when_no_cache_has_room(chiplets: Machine) -> None:
    found = affinity.plan(8, 1, goal="latency", topology=chiplets.look(range(16)))
    assert "no last-level cache has room for 9 workers: they are on 2" in found.warnings


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"producers": 0}, ValueError, "producers must be at least 1, got 0"),
        ({"consumers": -1}, ValueError, "consumers must be at least 1, got -1"),
        ({"producers": 1.5}, TypeError, "producers must be an integer, got 1.5"),
        ({"goal": "speed"}, ValueError, "goal must be one of 'throughput', 'latency', got 'speed'"),
        ({"numa_node": 7}, ValueError, r"numa_node must be one that .* \(0-1\), got 7"),
    ],
)
def test_an_impossible_plan_is_refused(
    server: Machine, arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        affinity.plan(**arguments, topology=server.look(range(32)))  # type: ignore[arg-type]


# --- Settings ---


def test_each_setting_that_disturbs_is_told(server: Machine) -> None:
    for cpu in range(32):
        server.cpu(cpu, "cpufreq/scaling_governor", "powersave" if cpu < 3 else "performance")
    server.write("devices/system/cpu/intel_pstate/no_turbo", 0)
    server.write("fs/cgroup/cpu.max", "150000 100000")
    governor, turbo, siblings, quota = server.warnings(range(32))
    assert governor.startswith("the frequency governor of 3 CPUs is powersave, not performance")
    assert turbo.startswith("turbo is on")
    assert siblings.startswith("32 CPUs are hyper-threads of 16 cores")
    assert quota.startswith("CPU time is limited to that of 1.5 CPUs")


def test_a_quiet_machine_gives_no_warning(server: Machine) -> None:
    for cpu in range(32):
        server.cpu(cpu, "cpufreq/scaling_governor", "performance")
    server.write("devices/system/cpu/intel_pstate/no_turbo", 1)
    server.write("devices/system/cpu/cpufreq/boost", 0)
    server.write("fs/cgroup/cpu.max", "max 100000")
    assert server.warnings(range(16)) == []


def test_boost_and_a_single_core_are_told(machine: Machine) -> None:
    machine.write("devices/system/cpu/cpufreq/boost", 1)
    turbo, few = machine.warnings([0])
    assert turbo.startswith("turbo is on")
    assert few.startswith("there is 1 core")


# --- Pinning ---


@needs_pinning
def test_pin_keeps_the_calling_thread_and_no_other() -> None:
    before, cpu = os.sched_getaffinity(0), max(affinity.allowed_cpus())

    def work() -> set[int]:
        affinity.pin(cpu)
        return os.sched_getaffinity(0)

    assert Task(work).result() == {cpu}
    assert os.sched_getaffinity(0) == before


@needs_pinning
def test_pinned_gives_back_what_the_thread_had_also_after_an_exception() -> None:
    def work() -> list[set[int]]:
        seen = [os.sched_getaffinity(0)]
        for cpu in sorted(affinity.allowed_cpus()):
            with suppress(KeyError), affinity.pinned(cpu):
                assert os.sched_getaffinity(0) == {cpu}
                raise KeyError
            seen.append(os.sched_getaffinity(0))
        return seen

    first, *others = Task(work).result()
    assert others == [first] * len(affinity.allowed_cpus())


@needs_pinning
def test_a_pinned_main_thread_limits_neither_plans_nor_other_pins() -> None:
    with affinity.pinned(min(affinity.allowed_cpus())):
        assert {cpu.number for cpu in affinity.topology().cpus} == affinity.allowed_cpus()
        with affinity.pinned(max(affinity.allowed_cpus())):
            assert os.sched_getaffinity(0) == {max(affinity.allowed_cpus())}


@needs_pinning
def test_a_cpu_that_is_not_allowed_is_refused_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = os.sched_getaffinity(0)
    monkeypatch.setattr(affinity.pinning, "_AT_START", frozenset({0, 1, 2, 3, 9}))
    for cpu in (-1, 4, 4096):
        with pytest.raises(ValueError, match=rf"\(0-3, 9\), got {cpu}$"):
            affinity.pin(cpu)
    with pytest.raises(TypeError, match="cpu must be an integer, got '0'"):
        affinity.pin("0")  # type: ignore[arg-type]
    assert os.sched_getaffinity(0) == before


@needs_pinning
def test_a_cpu_that_the_system_refuses_meanwhile_is_an_error_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(affinity.pinning, "_AT_START", frozenset({0, 1023}))
    with pytest.raises(ValueError, match="got 1023"):
        affinity.pin(1023)


def test_a_system_that_cannot_pin_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    with pytest.raises(NotImplementedError, match=r"sched_setaffinity, which .+ lacks"):
        affinity.pin(0)
    with pytest.raises(NotImplementedError), affinity.pinned(0):
        pass


# --- The command ---


def test_bchan_cpus_draws_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    main(["cpus"])
    drawn = capsys.readouterr().out
    assert drawn.startswith(str(affinity.topology()).splitlines()[0])
    assert drawn.count("core of ") == len(affinity.topology().cores)
