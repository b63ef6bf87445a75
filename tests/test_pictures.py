"""The pictures of docs/internals.md show the house as it stands."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("name", ["house", "message"])
def test_a_picture_is_what_its_script_draws(name: str) -> None:
    draw = runpy.run_path(str(ROOT / "scripts" / "pictures.py"))[name]
    drawn = (ROOT / "docs" / "pictures" / f"{name}.svg").read_text()
    assert drawn == draw(), "scripts/pictures.py draws another picture by now: run it"


def test_the_rooms_of_the_core_are_all_in_the_picture() -> None:
    rooms = runpy.run_path(str(ROOT / "scripts" / "pictures.py"))["CORE_ROOMS"]
    core = ROOT / "crates" / "bchan" / "src"
    helpers = {"lib", "error", "sync", "kill_points"}
    assert {path.stem for path in core.iterdir()} - helpers == set(rooms)
