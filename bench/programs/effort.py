"""How much a benchmark does: all of it, or with `--quick` just what shows that it works."""

import sys

QUICK = "--quick" in sys.argv[1:]


def runs(usual: int) -> int:
    """How often something is measured."""
    return 1 if QUICK else usual


def count(usual: int, least: int = 1) -> int:
    """How many calls, messages or bytes: with `--quick` a hundredth, and `least` at least."""
    return max(usual // 100, least) if QUICK else usual
