"""The word count: right on known text, and able to notice that it is not."""

import importlib
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("click")
pytest.importorskip("rich")

from click.testing import CliRunner, Result

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a module of the example by its name."""
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Six files: `file n` has the word `one` n times, and more; one is no text."""
    for number in range(6):
        (tmp_path / f"{number}.txt").write_text("One " * number + "two, zwölf.\n")
    (tmp_path / "picture").write_bytes(b"one\0one")
    return tmp_path


def count(load: Any, *arguments: str) -> Result:
    return CliRunner().invoke(load("word_count").main, list(arguments))


def test_the_words_of_a_folder_are_counted_and_compared(texts: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "word_count.py"), str(texts)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [re.findall(r"[^│\s]+", line) for line in done.stdout.splitlines()]
    assert ["one", "15", "5.txt", "7"] in rows
    assert {("two", "6"), ("zwölf", "6")} <= {tuple(row[:2]) for row in rows}
    assert {"bchan", "queue,"} <= {row[0] for row in rows if row}
    assert "right: each count equals the plain one" in done.stdout


def test_without_a_folder_the_standard_library_is_counted(part: Any) -> None:
    result = count(part, "--limit", "6", "--batch", "16")
    assert result.exit_code == 0, result.output
    assert "words in 6 files" in result.output


@pytest.mark.parametrize("transport", ["ThroughChannel", "BatchesThroughQueue"])
def test_a_lost_batch_is_noticed(
    part: Any, texts: Path, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    carrying = part("word_count_parts.carrying")
    kind = getattr(carrying, transport)
    send = kind.send

    def lossy(self: Any, producer: int, messages: Iterable[Any]) -> None:
        send(self, producer, list(messages)[1:])

    monkeypatch.setattr(kind, "send", lossy)
    result = count(part, str(texts))
    assert result.exit_code == 1
    assert "wrong count through" in result.output
    assert "right" not in result.output


def test_a_changed_record_is_noticed(
    part: Any, texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    totals = part("word_count_parts.adding").Totals
    add = totals.add

    def wrong_file(self: Any, received: Any) -> None:
        if not isinstance(received, list):
            received["file"] = 0
        add(self, received)

    monkeypatch.setattr(totals, "add", wrong_file)
    assert count(part, str(texts)).exit_code == 1


def test_two_words_with_one_hash_are_noticed(part: Any) -> None:
    reading = part("word_count_parts.reading")
    tables = [reading.WordTable(one=1, two=2), reading.WordTable(two=2, three=1)]
    with pytest.raises(reading.CollisionError, match="'one' and 'three' both have the hash"):
        reading.names_of(tables)


def test_a_word_has_the_same_hash_in_every_process(part: Any) -> None:
    table = part("word_count_parts.reading").WordTable()
    assert table["word"] == 0x958EC7D727CFA44A
    assert list(table) == ["word"]


def test_a_folder_without_words_is_refused(part: Any, tmp_path: Path) -> None:
    result = count(part, str(tmp_path))
    assert result.exit_code == 2
    assert "no words in the 0 text files" in result.output
