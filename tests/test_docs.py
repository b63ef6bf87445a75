"""The documentation: complete, reachable, its links good, its examples such as pytest runs."""

import importlib
import re
from pathlib import Path

import pytest

import bchan
import bchan.affinity
import bchan.asyncio
import bchan.multiprocessing
import bchan.prometheus

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
TEXTS = [
    *PAGES,
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "bench/README.md")),
]

_TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_DIRECTIVE = re.compile(r"^\.\. (currentmodule|auto\w+):: (\S+)", re.MULTILINE)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def linked_pages(page: Path) -> set[Path]:
    """The pages in a page's toctrees."""
    entries = [line for tree in _TOCTREE.findall(page.read_text()) for line in tree.splitlines()]
    patterns = [entry for entry in entries if entry and not entry.startswith(":")]
    return {path for pattern in patterns for path in page.parent.glob(f"{pattern}.md")}


def anchors(page: Path) -> set[str]:
    """The places of a page that a link may name, as MyST and the usual viewers make them."""
    text = _FENCE.sub("", page.read_text())
    titles = [title.lower() for title in _HEADING.findall(text)]
    return {re.sub(r"[^\w -]", "", title).replace(" ", "-") for title in titles}


def documented_names() -> list[str]:
    """What the page of the API has a directive for, with its module."""
    names, module = [], ""
    for directive, name in _DIRECTIVE.findall((DOCS / "api.md").read_text()):
        if directive == "currentmodule":
            module = name
        elif directive != "automodule":
            names.append(name if name.startswith(f"{module}.") else f"{module}.{name}")
    return names


def test_every_page_is_reachable_from_the_index() -> None:
    reached: set[Path] = set()
    ahead = {DOCS / "index.md"}
    while ahead:
        page = ahead.pop()
        reached.add(page)
        ahead |= linked_pages(page) - reached
    assert sorted(reached) == PAGES


@pytest.mark.parametrize(
    "module",
    [bchan, bchan.affinity, bchan.asyncio, bchan.multiprocessing, bchan.prometheus],
    ids=lambda module: module.__name__,
)
def test_every_public_name_is_on_the_page_of_the_api(module: object) -> None:
    prefix = getattr(module, "__name__", "")
    public = {f"{prefix}.{name}" for name in getattr(module, "__all__", ())}
    assert public - set(documented_names()) == set()


def test_every_name_on_the_page_of_the_api_exists_and_is_there_once() -> None:
    names = documented_names()
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("page", TEXTS, ids=name_of)
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    for target, anchor in _LINK.findall(_FENCE.sub("", page.read_text())):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), f"{target}#{anchor}"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=name_of)
def test_every_python_example_is_one_that_pytest_runs(page: Path) -> None:
    for language, code in _FENCE.findall(page.read_text()):
        if language in ("python", "pycon", "py"):
            assert code.startswith(">>> "), code
            assert code.endswith("\n\n"), f"no blank line before the fence: {code}"
