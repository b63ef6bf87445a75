"""Where a figure was taken: without that it says nothing."""

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import bchan

BUSY = 0.5  # load above which other work is likely to have disturbed the runs


@dataclass(frozen=True)
class Machine:
    """The machine, the interpreter and the build of bchan.

    Attributes:
        cores: CPUs that this process may run on.
        cores_online: CPUs that the machine has.
        load: Mean number of runnable threads over the last minute, before the runs.
    """

    cpu: str
    cores: int
    cores_online: int
    kernel: str
    interpreter: str
    gil: bool
    numpy: str
    bchan: str
    profile: str
    target: str
    target_cpu: str
    load: float

    @property
    def lines(self) -> list[str]:
        """For a person to read."""
        threads = "GIL" if self.gil else "no GIL"
        return [
            f"{self.cpu}, {self.cores} of {self.cores_online} cores, {self.kernel}",
            f"{self.interpreter} ({threads}), NumPy {self.numpy}, load {self.load:.2f}",
            f"bchan {self.bchan}, {self.profile} build for {self.target} ({self.target_cpu} CPU)",
        ]

    @property
    def warnings(self) -> list[str]:
        """Why the figures should not be trusted."""
        found = []
        if self.profile != "release":
            found.append(f"this is a {self.profile} build of bchan: measure a release build")
        if self.load > BUSY:
            found.append(f"load is {self.load:.2f}: other work, or an earlier run, may disturb")
        return found


def this_machine() -> Machine:
    """Look around."""
    build = bchan.build_info()
    return Machine(
        cpu=_cpu_model(),
        cores=_usable_cores(),
        cores_online=os.cpu_count() or 1,
        kernel=f"{platform.system()} {platform.release()}",
        interpreter=f"{platform.python_implementation()} {platform.python_version()}",
        gil=getattr(sys, "_is_gil_enabled", lambda: True)(),
        numpy=np.__version__,
        bchan=bchan.__version__,
        profile=build.profile,
        target=build.target,
        target_cpu=build.target_cpu,
        load=_load(),
    )


def _cpu_model() -> str:
    """From /proc/cpuinfo, which names it on x86-64; else the architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _usable_cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _load() -> float:
    """0 where the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
