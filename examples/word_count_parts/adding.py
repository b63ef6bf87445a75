"""From records to counts: what the consumer does, and the plain count to compare with."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from word_count_parts.reading import Records, words_of

Row = tuple[int, int, int]  # a record as `tolist` gives it
Received = Records | list[Row]


@dataclass(frozen=True)
class WordCount:
    """The result."""

    words: Counter[str]
    per_file: list[int]
    letters: int


def plain_count(files: Sequence[Path]) -> WordCount:
    """The count that all others must equal: one thread, no records, no channel."""
    words: Counter[str] = Counter()
    per_file, letters = [], 0
    for path in files:
        found = words_of(path)
        words.update(found)
        per_file.append(len(found))
        letters += sum(map(len, found))
    return WordCount(words, per_file, letters)


class Totals:
    """Adds up received records."""

    def __init__(self, files: int) -> None:
        self.records = 0
        self._words: Counter[int] = Counter()
        self._per_file = np.zeros(files, dtype=np.int64)
        self._letters = 0

    def add(self, received: Received) -> None:
        """Add a batch, or records that came one by one."""
        if isinstance(received, list):
            self._add_rows(received)
        else:
            self._add_batch(received)
        self.records += len(received)

    def _add_batch(self, records: Records) -> None:
        words, counts = np.unique(records["word"], return_counts=True)
        for word, count in zip(words.tolist(), counts.tolist(), strict=True):
            self._words[word] += count
        self._per_file += np.bincount(records["file"], minlength=len(self._per_file))
        self._letters += int(records["length"].sum())

    def _add_rows(self, rows: list[Row]) -> None:
        words, files, lengths = zip(*rows, strict=True)
        self._words.update(words)
        self._per_file += np.bincount(files, minlength=len(self._per_file))
        self._letters += sum(lengths)

    def result(self, names: dict[int, str]) -> WordCount:
        """The totals, with words in place of their hashes."""
        words = Counter({names[word]: count for word, count in self._words.items()})
        return WordCount(words, self._per_file.tolist(), self._letters)
