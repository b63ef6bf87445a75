"""What the tests of the benchmarks have in common."""

from importlib.metadata import entry_points

import numpy as np
from click import Command

from bchan.tools import cli
from bchan_bench.workload import Messages


def command(name: str) -> Command:
    """A command that bchan-bench adds to `bchan`."""
    (found,) = entry_points(group=cli.GROUP, name=name)
    loaded: Command = found.load()
    return loaded


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
