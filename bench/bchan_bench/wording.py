"""Figures as text, the same in every report."""

from bchan_bench.sections import Figure
from bchan_bench.summary import Summary


def digits(value: float) -> str:
    """About four of them: 1,234 or 123.4 or 1.234 or 0.01234."""
    size = abs(value)
    if size >= 1000 or value == int(value):
        return f"{value:,.0f}"
    if size < 0.1:
        return f"{value:.4g}"
    decimals = 1 if size >= 100 else 2 if size >= 10 else 3
    return f"{value:.{decimals}f}"


def spread(summary: Summary) -> str:
    """How far the runs lie apart, in per cent of the median."""
    if summary.median == 0:
        return ""
    return f"{(summary.max - summary.min) / summary.median:.1%}"


def heading(figure: Figure) -> str:
    """The name over its unit."""
    return f"{figure.name}\n{figure.unit}" if figure.unit else figure.name
