"""The scores of monosemanticity over N, beside those of networks that were not trained."""

from __future__ import annotations

from mlpspec.analysis.analysis import Analysis
from mlpspec.report.figures import base
from mlpspec.report.figures.monosemanticity import applies
from mlpspec.report.figures.over_sizes import draw, over_sizes
from mlpspec.store.results import Table

SCORES = (
    "monosemanticity_median",
    "monosemanticity_q90",
    "monosemantic_fraction",
    "false_killing_rate",
)


def rows(analysis: Analysis) -> Table:
    """Return runs, medians with exact intervals, and nulls of `SCORES` over N."""
    return over_sizes(analysis, SCORES)


def caption(table: Table) -> str:
    """Say what the marks are."""
    return (
        "Monosemanticity over the number of inputs N. Dots: one run each "
        f"({base.n_seeds(table)} seeds a point). Markers and bars: median and its exact "
        f"{base.confidence(table)} order-statistic interval. Grey: untrained starts, and random "
        "networks that are drawn like them. A neuron's monosemanticity is its largest score as a "
        "share of what one answer alone would score; monosemantic are those that stand out more "
        "than chance would have it. False killing: of the responses that inhibition would hit "
        "while inputs come one by one, the share that is not monosemantic in the end."
    )


FIGURE = base.Figure(rows, draw, caption, applies)
