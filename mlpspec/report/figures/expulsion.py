"""Expulsion taken apart, over N."""

from __future__ import annotations

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import Grid
from mlpspec.report.figures import base
from mlpspec.report.figures.over_sizes import draw, over_sizes
from mlpspec.store.results import Table

EXPULSION = ("outside_fraction", "expelled_fraction", "silent_fraction", "overshoot")


def rows(analysis: Analysis, grid: Grid | None = None) -> Table:
    """Return runs, medians and nulls of `EXPULSION` over N, of all runs or of a part of them."""
    return over_sizes(analysis, EXPULSION, grid or analysis.grid)


def caption(table: Table) -> str:
    """Say what the panels and marks are."""
    return (
        "Expulsion taken apart, over N: prototypes outside the hull, neurons whose ridge has left "
        "the data, neurons that answer no input, and how far outside prototypes lie. Dots: one run "
        f"each ({base.n_seeds(table)} seeds a point); markers and bars: median and its exact "
        f"{base.confidence(table)} interval."
    )


FIGURE = base.Figure(rows, draw, caption, base.over_n, by_steps=True)
