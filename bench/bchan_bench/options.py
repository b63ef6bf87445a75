"""Options that the commands of `bchan bench` share, and the reports that they ask for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from bchan_bench.arrivals import MismatchError
from bchan_bench.report import Report
from bchan_bench.terminal import print_report

Command = TypeVar("Command", bound=Callable[..., Any])


def write(
    report: Report, *, json_file: Path | None, html_file: Path | None, plot_file: Path | None
) -> None:
    """Print a report, and write it in the forms that were asked for."""
    to_stdout = json_file == Path("-")
    print_report(report, Console(stderr=to_stdout))
    if to_stdout:
        click.echo(report.to_json(), nl=False)
    elif json_file is not None:
        json_file.write_text(report.to_json())
    # Imported only when needed: matplotlib takes its time.
    if html_file is not None:
        from bchan_bench.page import to_html

        html_file.write_text(to_html(report), encoding="utf-8")
    if plot_file is not None:
        from bchan_bench.plots import write_png

        write_png(report.sections, plot_file)


def _writable(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    """Refuse before the runs what could not be written after them."""
    if path is not None and not path.parent.is_dir():
        raise click.BadParameter(f"no such folder: {path.parent}", context, option)
    return path


def _file_option(name: str, help_text: str, *, allow_dash: bool = False) -> Callable[..., Any]:
    return click.option(
        f"--{name}",
        f"{name}_file",
        type=click.Path(dir_okay=False, writable=True, allow_dash=allow_dash, path_type=Path),
        callback=_writable,
        metavar="FILE",
        help=help_text,
    )


OUTPUTS = (
    _file_option("json", "Write all figures there; - for standard output.", allow_dash=True),
    _file_option("html", "Write the report with plots there, as one page."),
    _file_option("plot", "Draw the figures there, as PNG."),
)


def with_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Give a command these options, in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


RUNS = click.option("--runs", default=5, show_default=True, help="How often to measure.")


@contextmanager
def failing_plainly() -> Iterator[None]:
    """Say in one line why a measurement could not be made or must not be believed."""
    try:
        yield
    except (MismatchError, TimeoutError, ValueError, MemoryError, OSError) as error:
        raise click.ClickException(str(error) or type(error).__name__) from error
