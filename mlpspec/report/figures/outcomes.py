"""The measurements that the claims are about, over N."""

from __future__ import annotations

from mlpspec.report.figures import base
from mlpspec.report.figures.over_sizes import figure
from mlpspec.store.tables import Table

OUTCOMES = (
    "reconstruction_error",
    "nearest_error",
    "usage_ratio",
    "fit_fvu",
    "outside_fraction",
    "expelled_fraction",
)


def caption(table: Table) -> str:
    """Say what the marks are."""
    return (
        "Measurements over the number of inputs N, by structural loss. Dots: one run each "
        f"({base.n_seeds(table)} seeds a point). Markers and bars: median and its exact "
        f"{base.confidence(table)} order-statistic interval. Grey: what chance or ignorance "
        f"would give. {base.floors(table)}"
    )


FIGURE = figure(OUTCOMES, caption)
