"""The command `bchan`: its own commands, and those that other distributions add.

A distribution adds one by an entry point of the group `bchan.commands`, named as the command: a
callable that takes the arguments after that name, `args`, and what it is called, `prog_name`.
"""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from importlib.metadata import entry_points

import bchan
from bchan.tools import cpus, names, top

GROUP = "bchan.commands"
OF_BENCH = ("bench", "profile")
"""The commands of the distribution bchan-bench."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command.

    Args:
        arguments: Its name and what comes after; None for the program's own.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given:
        _parser().print_help()
    elif given[0].startswith("-") or given[0] in _OWN or not _run_added(given[0], given[1:]):
        _run(_parser().parse_args(given))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="bchan",
        description="Channels between threads and processes: see those with a name, measure them.",
        epilog=f"With the distribution bchan-bench: {', '.join(OF_BENCH)}.",
    )
    parser.add_argument(
        "--version", action="version", version=f"bchan, version {bchan.__version__}"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for room in (names, top, cpus):
        room.add_to(commands)
    return parser


_OWN = ("ls", "info", "rm", "top", "cpus")


def _run_added(name: str, arguments: list[str]) -> bool:
    """Run another distribution's command; false if there is none of that name."""
    for command in entry_points(group=GROUP, name=name):
        command.load()(args=arguments, prog_name=f"bchan {name}")
        return True
    if name in OF_BENCH:
        sys.exit(
            f"bchan {name} needs the distribution bchan-bench: pip install bchan-bench "
            "(in a clone: pip install ./bench)"
        )
    return False


def _run(options: Namespace) -> None:
    """Run one of our own, and say in one line what is wrong."""
    try:
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone. What is left in the buffer must not fail again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (OSError, ValueError) as error:
        sys.exit(f"Error: {error}")
