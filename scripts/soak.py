"""Kills, forks, cancels, hostile memory, finalizers: rounds until the time is over, and a summary.

    python scripts/soak.py [--quick]

`BCHAN_SOAK_SECONDS` is the time for all of it, 600 by default; `BCHAN_SEED` the first seed. What
fails is shown with its seed, which repeats it.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
QUICK = "--quick" in sys.argv[1:]
SECONDS = float(os.environ.get("BCHAN_SOAK_SECONDS", "20" if QUICK else "600"))
SEED = int(os.environ.get("BCHAN_SEED", str(time.time_ns() % 1_000_000)))
PROFILE = ["--profile", "release-test"]
CARGO = [os.environ.get("CARGO", "cargo"), "test", "--quiet", *PROFILE, "--package", "bchan"]
RUST: Mapping[str, list[str]] = {
    "random kills, in Rust": ["--test", "processes", "soak"],
    "hostile memory, in Rust": ["--test", "hostile"],
    "threads, in Rust": ["--test", "stress"],
}
PYTEST = [sys.executable, "-m", "pytest", "-q", "-m", "soak", "-p", "no:cacheprovider"]


def run(command: list[str], **settings: object) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository, with more in its environment."""
    env = os.environ | {name: str(value) for name, value in settings.items()}
    return subprocess.run(  # noqa: S603 - the commands above
        command, cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )


def python_tests() -> list[str]:
    """The soak tests that pytest finds."""
    found = run([*PYTEST, "--collect-only", "tests/soak"])
    return [line for line in found.stdout.splitlines() if "::" in line]


def soak_python(test: str, seconds: float) -> tuple[Counter[str], str]:
    """Run a test; the rounds that it tells of, or 1, and what to show if it failed."""
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder) / "summary"
        done = run(
            [*PYTEST, test],
            BCHAN_SOAK_SECONDS=seconds,
            BCHAN_SEED=SEED,
            BCHAN_SOAK_SUMMARY=summary,
        )
        lines = summary.read_text().splitlines() if summary.exists() else []
    rounds: Counter[str] = Counter()
    for line in lines:
        kind, count = line.split("\t")
        rounds[kind] += int(count)
    if not lines:
        rounds[test.partition("::")[2]] = 1
    return rounds, "" if done.returncode == 0 else done.stdout + done.stderr


def soak_rust(kind: str, seconds: float) -> tuple[Counter[str], str]:
    """Run some of the Rust tests again and again, each time with another seed."""
    run([*CARGO, *RUST[kind][:2], "--no-run"])
    end, rounds = time.monotonic() + seconds, 0
    while rounds == 0 or time.monotonic() < end:
        done = run([*CARGO, *RUST[kind]], BCHAN_SEED=SEED + rounds)
        rounds += 1
        if done.returncode:
            return Counter({kind: rounds}), done.stdout + done.stderr
    return Counter({kind: rounds}), ""


def main() -> None:
    """Run all, print the summary, and fail if something did."""
    tests = python_tests()
    share = SECONDS / (len(tests) + len(RUST))
    print(f"soak: {SECONDS:g} s in all, {share:.1f} s each, BCHAN_SEED={SEED}", flush=True)
    failures = {}
    print(f"\n{'kind':48}{'rounds':>8}{'seconds':>9}")
    for name in (*tests, *RUST):
        start = time.monotonic()
        soak = soak_rust if name in RUST else soak_python
        rounds, failure = soak(name, share)
        took = time.monotonic() - start
        for kind, count in rounds.items():
            mark = "  FAILED" if failure else ""
            print(f"{kind:48}{count:8,}{took:9.1f}{mark}", flush=True)
        if failure:
            failures[name] = failure
    for name, failure in failures.items():
        print(f"\n{name} FAILED\n{failure}")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
