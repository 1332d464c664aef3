"""Expulsion taken apart, over N."""

from __future__ import annotations

from mlpspec.report.figures import base
from mlpspec.report.figures.over_sizes import figure
from mlpspec.store.tables import Table

EXPULSION = ("outside_fraction", "expelled_fraction", "silent_fraction", "overshoot")


def caption(table: Table) -> str:
    """Say what the panels and marks are."""
    return (
        "Expulsion taken apart, over N: prototypes outside the hull, neurons whose ridge has left "
        "the data, neurons that answer no input, and how far outside prototypes lie. Dots: one run "
        f"each ({base.n_seeds(table)} seeds a point); markers and bars: median and its exact "
        f"{base.confidence(table)} interval."
    )


FIGURE = figure(EXPULSION, caption)
