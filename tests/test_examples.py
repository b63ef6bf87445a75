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
        ("word_count_processes.py", "words in 1"),
    ],
)
def test_example(name: str, says: str) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *([EXAMPLES] if "word" in name else [])],
        capture_output=True,
        text=True,
        timeout=4 * DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert says in done.stdout
