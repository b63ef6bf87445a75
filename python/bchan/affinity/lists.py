"""Lists of CPUs as Linux writes them: `0-3,8`."""

from collections.abc import Iterable


def parse(text: str) -> frozenset[int]:
    """The numbers of a list; none of what is no list.

    Example:
        >>> sorted(parse("0-2,8"))
        [0, 1, 2, 8]
    """
    numbers: set[int] = set()
    try:
        for part in filter(None, text.strip().split(",")):
            first, _, last = part.partition("-")
            numbers.update(range(int(first), int(last or first) + 1))
    except ValueError:
        return frozenset()
    return frozenset(numbers)


def written(numbers: Iterable[int]) -> str:
    """The list of some numbers.

    Example:
        >>> written([8, 2, 1, 0])
        '0-2, 8'
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
