"""Count the words of a folder: four producer threads read, one consumer adds up.

Each producer turns the words of its files into records (a 64-bit hash, the file, the length) and
sends them in NumPy batches through one mpsc channel. The consumer takes what is there, thousands
of records at a time, and adds up with NumPy. The result must equal a plain count in one thread.

Reading takes most of that time ("count"). So the records are made beforehand and carried once
more, from the producers' threads into the consumer's hands and nothing else ("carry"). Both is
also done through `queue.Queue`: records one by one, and in batches made by hand.

    python examples/word_count.py [FOLDER] [--limit FILES]

It needs click and rich, as bchan-bench does (`pip install ./bench`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from word_count_parts.adding import Received, Totals, WordCount, plain_count
from word_count_parts.carrying import (
    BatchesThroughQueue,
    RecordsThroughQueue,
    ThroughChannel,
    Transport,
    carry,
)
from word_count_parts.reading import (
    PRODUCERS,
    STANDARD_LIBRARY,
    CollisionError,
    Records,
    WordTable,
    find_files,
    names_of,
    records_of,
)
from word_count_parts.showing import Outcome, outcome_table, progress_bars, top_tables

TRANSPORTS: dict[str, Callable[[int], Transport]] = {
    "bchan": ThroughChannel,
    "queue, one by one": RecordsThroughQueue,
    "queue, batches by hand": BatchesThroughQueue,
}
CARRIES, ENOUGH = 3, 1.0  # what takes no second is carried up to three times, for a median
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
STEP = 50_000  # records between two moves of the progress bar
LEGEND = """count: read the files, make records, send, receive, add up
carry: send and receive the same records, ready-made, and nothing else"""


class WrongCountError(Exception):
    """A result is not that of the plain count."""


class Demonstration:
    """The same work through any transport, checked each time.

    Args:
        files: What to count.
        plain: What must come out.
        progress: Shows how far a count is.
    """

    def __init__(self, files: Sequence[Path], plain: WordCount, progress: Progress) -> None:
        self._files = files
        self._plain = plain
        self._progress = progress
        self._tables = new_tables()
        self._ready = [list(records) for records in read_all(files, self._tables)]

    def run(self, name: str, make_transport: Callable[[], Transport]) -> Outcome:
        """All of the work, then the carrying alone.

        Raises:
            WrongCountError: The transport lost, repeated or changed something.
        """
        counted, count = self._count(name, make_transport())
        carries: list[float] = []
        while len(carries) < CARRIES and sum(carries) < ENOUGH:
            carries.append(self._carry(name, make_transport()))
        return Outcome(name, counted, count, median(carries))

    def _count(self, name: str, transport: Transport) -> tuple[WordCount, float]:
        """Read, send, receive and add up, all at the same time."""
        tables, totals = new_tables(), Totals(len(self._files))
        task = self._progress.add_task(name, total=self._plain.words.total())

        def take(received: Received) -> None:
            before = totals.records
            totals.add(received)
            if before // STEP != totals.records // STEP:
                self._progress.update(task, completed=totals.records)

        seconds = carry(transport, pack_all(transport, read_all(self._files, tables)), take)
        self._progress.update(task, completed=totals.records)
        counted = totals.result(names_of(tables))
        check(name, counted, self._plain)
        return counted, seconds

    def _carry(self, name: str, transport: Transport) -> float:
        """Carry messages that are ready, and add up when the clock has stopped."""
        messages = [list(ready) for ready in pack_all(transport, self._ready)]
        arrived: list[Received] = []
        seconds = carry(transport, messages, arrived.append)
        totals = Totals(len(self._files))
        for received in arrived:
            totals.add(received)
        check(name, totals.result(names_of(self._tables)), self._plain)
        return seconds


def new_tables() -> list[WordTable]:
    """An empty one for each producer."""
    return [WordTable() for _ in range(PRODUCERS)]


def read_all(files: Sequence[Path], tables: Sequence[WordTable]) -> list[Iterator[Records]]:
    """What each producer reads, while it is iterated over."""
    return [records_of(files, producer, table) for producer, table in enumerate(tables)]


def pack_all(transport: Transport, sources: Iterable[Iterable[Records]]) -> list[Iterator[Any]]:
    """What each producer sends, made while it is iterated over."""
    return [chain.from_iterable(map(transport.pack, records)) for records in sources]


def check(name: str, counted: WordCount, plain: WordCount) -> None:
    """Raise `WrongCountError` unless all counts are the same: words, files and letters."""
    if counted != plain:
        got, due = counted.words.total(), plain.words.total()
        raise WrongCountError(f"wrong count through {name}: {got:,} words, plain count {due:,}")


def count_alone(files: Sequence[Path]) -> Outcome:
    """The plain count, which carries nothing."""
    started = perf_counter()
    counted = plain_count(files)
    return Outcome("plain count, one thread", counted, perf_counter() - started)


def measure_all(
    files: Sequence[Path], plain: WordCount, batch: int, console: Console
) -> list[Outcome]:
    """Run every transport under a progress bar; end the program if one counts wrong."""
    with progress_bars(console) as progress:
        demonstration = Demonstration(files, plain, progress)
        try:
            return [
                demonstration.run(name, partial(make, batch)) for name, make in TRANSPORTS.items()
            ]
        except (WrongCountError, CollisionError) as error:
            raise click.ClickException(str(error)) from error


@click.command()
@click.argument("folder", default=STANDARD_LIBRARY, type=FOLDER)
@click.option("--limit", type=click.IntRange(min=1), help="Take only that many files.")
@click.option("--batch", type=click.IntRange(min=1), default=256, help="Records sent at once.")
@click.option("--top", default=10, help="Words and files to show.")
def main(folder: Path, limit: int | None, batch: int, top: int) -> None:
    """Count the words of FOLDER, or of Python's standard library, through a channel."""
    console = Console(highlight=False)
    files = find_files(folder, limit)
    alone = count_alone(files)
    words = alone.counted.words.total()
    if not words:
        raise click.UsageError(f"no words in the {len(files)} text files of {folder}")
    console.print(f"[bold]{words:,}[/] words in [bold]{len(files):,}[/] files of {folder}\n")
    outcomes = measure_all(files, alone.counted, batch, console)
    counted = outcomes[0].counted
    names = (str(path.relative_to(folder)) for path in files)
    per_file = Counter(dict(zip(names, counted.per_file, strict=True)))
    console.print("", top_tables(counted.words, per_file, top), "", sep="\n")
    console.print(f"{PRODUCERS} producer threads, one consumer, batches of {batch:,}")
    console.print(outcome_table([alone, *outcomes], outcomes[0]), LEGEND, "", sep="\n")
    console.print("[green]right:[/] each count equals the plain one, word by word, file by file")


if __name__ == "__main__":
    main()
