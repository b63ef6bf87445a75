"""What the tests of the benchmarks have in common."""

import numpy as np

from bchan.bench.workload import Messages

# Faults of a sender, each of which a check of what arrives must find.


def lose_one(batches: list[Messages]) -> list[Messages]:
    return [batches[0][1:], *batches[1:]]


def send_one_twice(batches: list[Messages]) -> list[Messages]:
    return [batches[0][:1], *batches]


def change_one(batches: list[Messages]) -> list[Messages]:
    return [np.append(batches[0][:-1], np.uint64(7)), *batches[1:]]


def swap_two(batches: list[Messages]) -> list[Messages]:
    return [batches[0][::-1].copy(), *batches[1:]]


class Told:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.announced = 0
        self.labels: list[str] = []

    def steps(self, count: int) -> None:
        self.announced += count

    def step(self, label: str) -> None:
        self.labels.append(label)
