"""`bchan profile`: where a benchmark spends its time, as a flame graph."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from bchan_bench.flame import draw, fold
from bchan_bench.profiled import CASES
from bchan_bench.settings import ITEMS

_LONGER = 60.0  # seconds that a profiler may take beyond the time that it was given

_INSTALL = {
    "py-spy": "pip install 'bchan-bench[profile]'",
    "perf": "your system's package of it (Debian: apt install linux-perf)",
}
_LIMITS = {
    "py-spy": Path("/proc/sys/kernel/yama/ptrace_scope"),
    "perf": Path("/proc/sys/kernel/perf_event_paranoid"),
}
_NOT_PERMITTED = ("permission", "not permitted", "access to performance", "eperm", "eacces")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("case", type=click.Choice(list(CASES)))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    default=Path("flame.svg"),
    show_default=True,
    help="Where to write the picture.",
)
@click.option("--seconds", type=click.FloatRange(min=0.1), default=10.0, show_default=True)
@click.option(
    "--item",
    type=click.Choice(ITEMS),
    default="batch",
    show_default=True,
    help="As for the benchmark.",
)
@click.option(
    "--rate",
    type=click.IntRange(1, 10_000),
    default=199,
    show_default=True,
    help="Samples a second.",
)
@click.option(
    "--with",
    "profiler",
    type=click.Choice(list(_INSTALL)),
    default="py-spy",
    show_default=True,
    help="py-spy names Python's functions, perf sees the kernel, too.",
)
def profile(case: str, output: Path, seconds: float, item: str, rate: int, profiler: str) -> None:
    """Draw where the benchmark CASE spends its time, as a flame graph."""
    if not output.parent.is_dir():
        raise click.BadParameter(f"no such folder: {output.parent}", param_hint="--output")
    found = _program(profiler)
    click.echo(f"{profiler} looks at bchan bench {case} for {seconds:g} s", err=True)
    with tempfile.TemporaryDirectory() as folder:
        work = [sys.executable, *_options(profiler), "-m", "bchan_bench.profiled"]
        work += [case, item, str(seconds)]
        if profiler == "py-spy":
            picture = Path(folder, "flame.svg")
            options = ["--native", "--format", "flamegraph", "--rate", str(rate)]
            command = [found, "record", *options, "--output", str(picture), "--", *work]
            _run(profiler, command, seconds, picture)
            shutil.copyfile(picture, output)
        else:
            data = Path(folder, "perf.data")
            options = ["-F", str(rate), "--call-graph", _call_graph(), "-o", str(data)]
            _run(profiler, [found, "record", *options, "--", *work], seconds, data)
            script = [found, "script", "-i", str(data), "-F", "comm,ip,sym"]
            stacks = fold(_run(profiler, script, seconds, data).splitlines())
            output.write_text(draw(stacks, f"bchan bench {case}, {item}"))
    click.echo(f"wrote {output}", err=True)


def _program(profiler: str) -> str:
    """Where the profiler is: beside this interpreter, or where all programs are looked for."""
    folders = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", "")))
    found = shutil.which(profiler, path=folders)
    if found is None:
        raise click.ClickException(f"{profiler} is not installed, try: {_INSTALL[profiler]}")
    return found


def _has_trampoline() -> bool:
    """Whether CPython can tell perf the names of Python's functions."""
    return sys.version_info >= (3, 12)


def _options(profiler: str) -> list[str]:
    return ["-X", "perf"] if profiler == "perf" and _has_trampoline() else []


def _call_graph() -> str:
    """How perf walks a stack: the trampoline has frame pointers and no tables."""
    return "fp" if _has_trampoline() else "dwarf"


def _run(profiler: str, command: Sequence[str], seconds: float, result: Path) -> str:
    """Run the profiler; what it wrote to standard output.

    Raises:
        click.ClickException: It left no result.
    """
    try:
        done = subprocess.run(  # noqa: S603
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds + _LONGER,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise click.ClickException(
            f"{profiler} has not ended within {seconds + _LONGER:g} s"
        ) from error
    if done.returncode != 0 or not result.exists():
        raise click.ClickException(_why(profiler, done.stderr.strip() or done.stdout.strip()))
    return done.stdout


def _why(profiler: str, said: str) -> str:
    last = said.splitlines()[-1].strip() if said else "it said nothing"
    if not any(word in said.lower() for word in _NOT_PERMITTED):
        return f"{profiler} failed: {last}"
    limit = _LIMITS[profiler]
    told = (
        f"{limit} is {limit.read_text().strip()}" if limit.exists() else "a container may forbid it"
    )
    return f"{profiler} may not look at the process: {told}; run it as root, or allow it there"
