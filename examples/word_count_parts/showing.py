"""What is printed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from word_count_parts.adding import WordCount


@dataclass(frozen=True)
class Outcome:
    """What one way counted, and the seconds: for the whole count, and for carrying alone."""

    name: str
    counted: WordCount
    count: float
    carry: float | None = None


def progress_bars(console: Console) -> Progress:
    """A bar for each count, with the words so far."""
    columns = (TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TextColumn("words"), TimeElapsedColumn(), console=console)


def top_tables(words: Counter[str], files: Counter[str], top: int) -> Table:
    """The most frequent words, and the files with the most words, side by side."""
    both = Table.grid(padding=(0, 2))
    both.add_row(_top_table("word", "times", words, top), _top_table("file", "words", files, top))
    return both


def _top_table(heading: str, counted: str, counts: Counter[str], top: int) -> Table:
    table = Table(heading, Column(counted, justify="right", style="cyan"))
    for name, count in counts.most_common(top):
        table.add_row(name, f"{count:,}")
    return table


def outcome_table(outcomes: Sequence[Outcome], carrier: Outcome) -> Table:
    """Every way, with the times that it takes as long to carry as `carrier`."""
    headings = ("count", "words/s", "carry", "words/s", f"x {carrier.name}")
    table = Table("", *(Column(name, justify="right", no_wrap=True) for name in headings))
    for outcome in outcomes:
        words, style = outcome.counted.words.total(), "bold" if outcome is carrier else None
        cells = _timed(outcome.count, words)
        if outcome.carry is not None and carrier.carry is not None:
            cells += (*_timed(outcome.carry, words), f"{outcome.carry / carrier.carry:.2f}")
        table.add_row(outcome.name, *cells, style=style)
    return table


def _timed(seconds: float, words: int) -> tuple[str, ...]:
    return f"{seconds:.3f} s", f"{words / seconds / 1e6:.2f} M"
