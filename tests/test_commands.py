"""Whatever a page names as a command is started by CI: by `.ci/run`, through make, or by a test."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = [path for path in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in path.parts]
PAGES = [
    *(ROOT / "bench" / name for name in ("README.md", "rust/README.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *DOCS,
]

# Started by tests, and by which.
BY_TESTS = {
    "bchan bench diff": "tests/test_bench_report.py",
    "bchan bench mpsc": "tests/test_bench_cli.py",
    "bchan bench oversubscribed": "tests/test_bench_suite.py",
    "bchan bench spsc": "tests/test_bench_suite.py",
    "bchan bench vyukov": "tests/test_bench_cli.py",
    "bchan cpus": "tests/test_affinity.py",
    "bchan info": "tests/test_tools.py",
    "bchan ls": "tests/test_tools.py",
    "bchan profile": "tests/test_profile.py",
    "bchan rm": "tests/test_tools.py",
    "bchan top": "tests/test_top.py",
    "examples/frame_pipeline.py": "tests/test_examples.py",
    "examples/log_collector.py": "tests/test_examples.py",
    "examples/word_count_processes.py": "tests/test_examples.py",
    "scripts/bchan.sh": "scripts/run_all_benches.sh",
}

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+)`")
_PROMPT = re.compile(r"^(?:\$ |[A-Z_]+=\S+ )+")
_PROGRAM = re.compile(r"(?:python3? )?((?:bench/programs|examples|scripts)/\w+\.(?:py|sh))\b")
_BCHAN = re.compile(r"bchan (?:bench \w+|(?!bench\b)[a-z]+)(?= |$)")
_CARGO = re.compile(r"cargo (?:test|bench)\b")
_FEATURES = re.compile(r"--features [\w-]+")
_TARGET = re.compile(r"^([\w-]+):([^=#\n]*)(?:#.*)?\n((?:\t.*\n)*)", re.MULTILINE)


def commands_in(line: str) -> set[str]:
    """The commands that a line of a shell names, without their arguments."""
    line = _PROMPT.sub("", line.strip())
    if line.startswith("make "):
        words = line.split(" #")[0].split()[1:]
        return {f"make {word}" for word in words if re.fullmatch(r"[a-z-]+", word)}
    if named := _PROGRAM.match(line):
        return {named[1]}
    if named := _BCHAN.match(line):
        return {named[0]}
    if named := _CARGO.match(line):
        features = _FEATURES.search(line)
        return {" ".join([named[0], *([features[0]] if features else [])])}
    return set()


def named() -> set[str]:
    """All commands that the pages name."""
    found: set[str] = set()
    for page in PAGES:
        text = page.read_text()
        blocks = [block for language, block in _FENCE.findall(text) if language not in _CODE]
        lines = [line for block in blocks for line in block.splitlines()]
        for line in [*lines, *_INLINE.findall(_FENCE.sub("", text))]:
            found |= commands_in(line)
    return found


_CODE = {"python", "pycon", "rust", "c", "go"}


def targets() -> dict[str, tuple[list[str], str]]:
    """What each target of make needs, and its recipe."""
    found = _TARGET.findall((ROOT / "Makefile").read_text())
    return {name: (needs.split(), recipe) for name, needs, recipe in found}


def made_by_ci() -> set[str]:
    """The targets that `.ci/run` makes, with those that they need."""
    known = targets()
    ahead = {
        target.removeprefix("make ")
        for line in (ROOT / ".ci" / "run").read_text().splitlines()
        for target in commands_in(line)
    }
    made: set[str] = set()
    while ahead:
        name = ahead.pop()
        made.add(name)
        ahead |= {need for need in known[name][0] if need in known} - made
    return made


def started_by_ci() -> set[str]:
    """All commands that CI starts."""
    made = made_by_ci()
    recipes = "".join(targets()[name][1] for name in made)
    for variable, means in (("$(BIN)/", ""), ("$(RUST_TEST)", "cargo test"), ("$(CARGO)", "cargo")):
        recipes = recipes.replace(variable, means)
    lines = [part for line in recipes.splitlines() for part in line.split("&&")]
    in_recipes = {command for line in lines for command in commands_in(line)}
    return {f"make {name}" for name in made} | in_recipes | set(BY_TESTS)


def test_every_command_that_a_page_names_is_started_by_ci() -> None:
    assert named() - started_by_ci() == set()


def test_every_target_of_make_is_made_by_ci() -> None:
    assert set(targets()) - made_by_ci() == {"clean"}


@pytest.mark.parametrize(
    "path",
    sorted(
        path.relative_to(ROOT).as_posix()
        for pattern in ("bench/programs/*.py", "examples/*.py", "scripts/*.sh")
        for path in ROOT.glob(pattern)
        if path.name != "effort.py"
    ),
)
def test_every_program_is_started_by_ci(path: str) -> None:
    assert path in started_by_ci()


@pytest.mark.parametrize(("command", "test"), BY_TESTS.items())
def test_a_command_that_tests_start_is_named_in_them(command: str, test: str) -> None:
    last_word = re.split(r"[ /]", command)[-1]
    assert re.search(rf"[\"'/]{re.escape(last_word)}\b", (ROOT / test).read_text())


def test_the_commands_are_found_where_pages_name_them() -> None:
    assert commands_in("$ make docs lint  # both") == {"make docs", "make lint"}
    assert commands_in("python bench/programs/call_cost.py --quick") == {
        "bench/programs/call_cost.py"
    }
    assert commands_in("BCHAN_SEED=1 cargo test -p bchan --features portable") == {
        "cargo test --features portable"
    }
    assert commands_in("bchan bench mpsc --runs 3") == {"bchan bench mpsc"}
    assert commands_in("bchan bench") == commands_in("bchan.Channel") == set()
    assert len(named()) > 30
