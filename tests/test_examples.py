"""The examples between processes do what they say, and check it themselves."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import DEADLINE

EXAMPLES = Path(__file__).parents[1] / "examples"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared channels need Linux")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("log_collector.py", "3,000 lines of 3 programs, each in its order"),
        ("frame_pipeline.py", "300 frames of 640x480"),
    ],
)
def test_example(name: str, says: str) -> None:
    assert says in printed_by(name)


def test_word_count(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number}.txt").write_text("one word and another word\n" * 7)
    said = printed_by("word_count_processes.py", tmp_path)
    assert "3,500 words in 100 files, the same as in one process" in said


def printed_by(name: str, *arguments: Path) -> str:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        capture_output=True,
        text=True,
        timeout=4 * DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
