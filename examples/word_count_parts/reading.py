"""From files to records: what each producer does before it sends."""

import hashlib
import re
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PRODUCERS = 4
STANDARD_LIBRARY = Path(sysconfig.get_paths()["stdlib"])
WORD = re.compile(r"[^\W\d_]+")
RECORD = np.dtype([("word", np.uint64), ("file", np.uint32), ("length", np.uint32)])

Records = NDArray[np.void]


class CollisionError(Exception):
    """Two words have the same hash: their counts would be mixed up."""


class WordTable(dict[str, int]):
    """The words that one producer has met, each with a hash that is the same in every process."""

    def __missing__(self, word: str) -> int:
        digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
        self[word] = value = int.from_bytes(digest, "little")
        return value


def names_of(tables: Iterable[WordTable]) -> dict[int, str]:
    """The word of each hash, whichever producer met it.

    Raises:
        CollisionError: Two different words have the same hash.
    """
    names: dict[int, str] = {}
    for table in tables:
        for word, value in table.items():
            if (known := names.setdefault(value, word)) != word:
                raise CollisionError(f"{known!r} and {word!r} both have the hash {value:#018x}")
    return names


def find_files(root: Path, limit: int | None = None) -> list[Path]:
    """The text files of a folder; of the standard library its sources, but no installed package."""
    pattern = "*.py" if root == STANDARD_LIBRARY else "*"
    found = sorted(path for path in root.rglob(pattern) if "site-packages" not in path.parts)
    return list(islice(filter(is_text, found), limit))


def is_text(path: Path) -> bool:
    """Is it a file without a zero byte near its start? Git tells text by that, too."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return b"\0" not in file.read(8192)


def words_of(path: Path) -> list[str]:
    """All words in order, in lower case."""
    return WORD.findall(path.read_text(encoding="utf-8", errors="replace").lower())


def records_of(files: Sequence[Path], producer: int, table: WordTable) -> Iterator[Records]:
    """The records of every file that is this producer's: an array for each file, when asked."""
    for file in range(producer, len(files), PRODUCERS):
        words = words_of(files[file])
        records = np.empty(len(words), dtype=RECORD)
        records["word"] = np.fromiter(map(table.__getitem__, words), np.uint64, len(words))
        records["file"] = file
        records["length"] = np.fromiter(map(len, words), np.uint32, len(words))
        yield records
