"""How the commands tell their options."""

import math
from argparse import ArgumentParser, ArgumentTypeError, Namespace, _SubParsersAction
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    Commands: TypeAlias = _SubParsersAction[ArgumentParser]
else:
    Commands = _SubParsersAction


def add_command(commands: Commands, name: str, run: Callable[[Namespace], None]) -> ArgumentParser:
    """Add a command that calls a function, whose docstring is the command's help."""
    text = run.__doc__ or ""
    parser = commands.add_parser(name, help=text.splitlines()[0], description=text)
    parser.set_defaults(run=run)
    return parser


def seconds_of_at_least(least: float) -> Callable[[str], float]:
    """For an option that takes so many seconds, or more."""

    def seconds(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            raise ArgumentTypeError(f"must be a number of seconds, got {text!r}") from None
        if number == math.inf:
            raise ArgumentTypeError(f"must be at least {least} seconds and finite, got {number}")
        if not number >= least:
            raise ArgumentTypeError(f"must be at least {least} seconds, got {number}")
        return number

    return seconds
