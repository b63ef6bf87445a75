"""Sections drawn by matplotlib: their own plots, or else a row of dots for each label."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from bchan_bench.sections import Plot, Section
from bchan_bench.tables import Column, lines_of
from bchan_bench.wording import digits

WIDE_RANGE = 30  # ratio of largest to smallest from which dots lie on a logarithmic axis
MOST_TICKS = 12  # of a logarithmic axis that may stand at the very points

_COLOURS = ("#2563a8", "#c2571a", "#3a7d44", "#8a4f9e", "#b0343c", "#4d6a79", "#a0801b", "#1f8a8a")
_MARKERS = "os^DvPX*"
_STYLE: dict[str, Any] = {
    "axes.edgecolor": "#8a8f98",
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "font.size": 9.5,
    "grid.color": "#e3e5e8",
    "legend.frameon": False,
    "text.color": "#1d2026",
    "xtick.color": "#4a4f58",
    "ytick.color": "#4a4f58",
}


def drawings_of(section: Section) -> Sequence[Plot | Section]:
    """What is worth drawing: the section's plots, else its runs if there are several."""
    if section.plots:
        return section.plots
    runs = sum(len(row.figures[0].values) for row in section.rows if row.figures)
    return [section] if runs > 1 else []


def to_svg(drawing: Plot | Section) -> bytes:
    """One drawing as a picture that scales."""
    with style.context(_STYLE):
        canvas = Canvas(figsize=_size(drawing), layout="constrained")
        _draw(canvas.add_subplot(), drawing)
        picture = BytesIO()
        # Without a date, and with paths for letters: the same on every machine.
        canvas.savefig(picture, format="svg", metadata={"Date": None})
    return picture.getvalue()


def write_png(sections: Sequence[Section], path: Path) -> None:
    """All drawings on one sheet, two in a row.

    Raises:
        ValueError: There is nothing to draw.
    """
    drawings = [drawing for section in sections for drawing in drawings_of(section)]
    if not drawings:
        raise ValueError("nothing to draw: a plot needs more than one run")
    columns = min(2, len(drawings))
    lines = [drawings[at : at + columns] for at in range(0, len(drawings), columns)]
    heights = [max(_size(drawing)[1] for drawing in line) for line in lines]
    with style.context(_STYLE):
        canvas = Canvas(figsize=(8.2 * columns, sum(heights)), layout="constrained")
        grid = canvas.add_gridspec(len(lines), columns, height_ratios=heights)
        for at, drawing in enumerate(drawings):
            _draw(canvas.add_subplot(grid[at // columns, at % columns]), drawing)
        canvas.savefig(path, format="png", dpi=130)


def _size(drawing: Plot | Section) -> tuple[float, float]:
    """In inches."""
    if isinstance(drawing, Plot):
        return 8.2, 4.2
    measured = [row.label for row in drawing.rows if row.figures]
    return 8.2, 1.1 + 0.32 * len(lines_of([Column("", measured)]))


def _draw(axes: Axes, drawing: Plot | Section) -> None:
    axes.set_title(drawing.title)
    axes.set_axisbelow(True)
    if isinstance(drawing, Plot):
        _draw_lines(axes, drawing)
    else:
        _draw_dots(axes, drawing)


def _draw_lines(axes: Axes, plot: Plot) -> None:
    for at, (name, points) in enumerate(plot.lines.items()):
        colour, marker = _COLOURS[at % len(_COLOURS)], _MARKERS[at % len(_MARKERS)]
        few = marker if len(points) <= 40 else None
        xs, ys = zip(*points, strict=True) if points else ((), ())
        axes.plot(xs, ys, label=name, color=colour, marker=few, markersize=4.5, linewidth=1.6)
    axes.set_xlabel(plot.x)
    axes.set_ylabel(plot.y)
    if plot.log_x:
        places = sorted({x for points in plot.lines.values() for x, _ in points})
        _make_logarithmic(axes, "x", places)
    if plot.log_y:
        _make_logarithmic(axes, "y", [])
    else:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(FuncFormatter(_tick))
    if len(plot.lines) > 1:
        axes.legend(fontsize=8.5)


def _draw_dots(axes: Axes, section: Section) -> None:
    """A dot for each run, a bar from the least to the most, a stroke at the median."""
    measured = [row for row in section.rows if row.figures]
    main = measured[0].figures[0]
    rows = [row for row in measured if row.figures[0].name == main.name]
    lines = lines_of([Column("", [row.label for row in rows])])
    places = [at for at, line in enumerate(lines) if not line.is_heading]
    for at, row in zip(places, rows, strict=True):
        figure = row.figures[0]
        colour = _COLOURS[5] if row.label == section.ratio_to else _COLOURS[0]
        summary = figure.summary
        axes.plot([summary.min, summary.max], [at, at], color=colour, linewidth=5, alpha=0.25)
        axes.plot(figure.values, [at] * len(figure.values), "o", color=colour, markersize=3.5)
        axes.plot(summary.median, at, "|", color=colour, markersize=15, markeredgewidth=2.2)
    axes.set_yticks(range(len(lines)), [line.cells[0] for line in lines])
    for line, tick in zip(lines, axes.yaxis.get_major_ticks(), strict=True):
        if line.is_heading:
            tick.label1.set_fontweight("bold")
            tick.tick1line.set_visible(False)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"{main.name}, {main.unit}" if main.unit else main.name)
    values = [value for row in rows for value in row.figures[0].values]
    if min(values) > 0 and max(values) / min(values) > WIDE_RANGE:
        _make_logarithmic(axes, "x", [])
    else:
        axes.set_xlim(0, max(values) * 1.05 or 1)
        axes.xaxis.set_major_formatter(FuncFormatter(_tick))


def _make_logarithmic(axes: Axes, which: str, points: Sequence[float]) -> None:
    """Ticks at the very points if they are few, else at powers of ten."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    if 1 < len(points) <= MOST_TICKS:
        axis.set_ticks(points)
    else:
        axis.set_major_locator(LogLocator(10))
    axis.set_major_formatter(FuncFormatter(_tick))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _tick(value: float, _: object) -> str:
    return digits(value) if value < 1000 else f"{value:,.0f}"
