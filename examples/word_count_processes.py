"""Count the words of a folder with a process on each core: paths out, counts back.

    python examples/word_count_processes.py [FOLDER]

The paths go through a channel that all workers share, the counts come back through one with a lane
for each worker, as Python objects. The result must equal a plain count in one process.
"""

import multiprocessing as mp
import os
import sys
from collections import Counter
from pathlib import Path
from time import perf_counter

import bchan
from word_count_parts.reading import STANDARD_LIBRARY, find_files, words_of

Words = Counter[str]


def work(paths: bchan.PickledConsumer, counts: bchan.PickledProducer) -> None:
    """Count file after file, until there are no more."""
    with paths, counts:
        for path in paths:
            counts.send(Counter(words_of(path)))


def count(files: list[Path], workers: int) -> Words:
    """Count the words of all files."""
    tasks = bchan.Channel(object, 4096, "spmc", shared=True)
    results = bchan.Channel(object, 1 << 16, "mpsc", max_producers=workers, shared=True)
    works = [
        mp.Process(target=work, args=(tasks.consumer(), results.producer())) for _ in range(workers)
    ]
    for process in works:
        process.start()
    total: Words = Counter()
    with tasks.producer() as tx, results.consumer() as rx:
        sent = 0
        for received in range(len(files)):
            # As many on their way as the workers can have use for.
            while sent < len(files) and sent < received + 16 * workers:
                tx.send(files[sent])
                sent += 1
            total.update(rx.receive(timeout=60))
    for process in works:
        process.join()
    return total


def main(folder: Path) -> None:
    """Count, and compare with a plain count."""
    files = list(find_files(folder))
    workers = os.cpu_count() or 1
    start = perf_counter()
    counted = count(files, workers)
    seconds = perf_counter() - start
    start = perf_counter()
    plain: Words = Counter()
    for path in files:
        plain.update(words_of(path))
    alone = perf_counter() - start
    if counted != plain:
        sys.exit("the counts differ")
    print(f"{plain.total():,} words in {len(files):,} files, the same as in one process")
    print(f"{workers} processes {seconds:.2f} s, one {alone:.2f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else STANDARD_LIBRARY)
