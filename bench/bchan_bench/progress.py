"""How far a measurement has come: told step by step, shown with the time left."""

from types import TracebackType
from typing import Protocol, Self

from rich import progress as bars
from rich.console import Console


class Progress(Protocol):
    """What a measurement tells while it goes on, never in a timed part."""

    def steps(self, count: int) -> None:
        """So many more steps are to come."""

    def step(self, label: str) -> None:
        """A step begins, the one before it is done."""


class Silent:
    """Shows nothing."""

    def steps(self, count: int) -> None:
        """Not shown."""

    def step(self, label: str) -> None:
        """Not shown."""


class Bar:
    """A bar on standard error, if that is a terminal; drawn when a step begins and never between.

    It counts the steps that were announced, so the time left is that of the section at hand.
    """

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._shown = bars.Progress(
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TimeRemainingColumn(),
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._shown.add_task("", total=0)
        self._section = ""
        self._announced = self._begun = 0

    def __enter__(self) -> Self:
        self._shown.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._shown.stop()

    def section(self, title: str) -> None:
        """Another section begins: count its steps from 0."""
        self._section, self._announced, self._begun = f"{title}: ", 0, 0
        self._shown.reset(self._task, total=0)

    def steps(self, count: int) -> None:
        """So many more steps are to come."""
        self._announced += count
        self._shown.update(self._task, total=self._announced)

    def step(self, label: str) -> None:
        """Draw the bar with the label of the step that begins."""
        done, self._begun = self._begun, self._begun + 1
        self._shown.update(
            self._task, description=f"{self._section}{label}", completed=done, refresh=True
        )
