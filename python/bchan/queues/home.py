"""Which process a queue belongs to: the one that made it, and not the child of a fork."""

from bchan import _core


class Home:
    """The process that made something.

    Args:
        what: What it made.
    """

    __slots__ = ("_made_in", "_what")

    def __init__(self, what: str) -> None:
        self._made_in, self._what = _core.generation(), what

    def check(self) -> None:
        """Refuse any other process.

        Raises:
            RuntimeError: This is the child of a fork.
        """
        if self._made_in != _core.generation():
            raise RuntimeError(
                f"this {self._what} came through a fork and belongs to the parent process; "
                "it can't be used in this one"
            )
