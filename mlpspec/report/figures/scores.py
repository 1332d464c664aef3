"""The scores of monosemanticity over N, beside those of networks that were not trained."""

from __future__ import annotations

from mlpspec.analysis.analysis import Analysis
from mlpspec.report.figures import base
from mlpspec.report.figures.over_sizes import draw, over_sizes
from mlpspec.store.tables import Table

SCORES = ("monosemanticity_median", "monosemanticity_q90", "monosemantic_fraction")
"""Without the false killing rate, which few networks of five or ten neurons have."""


def rows(analysis: Analysis) -> Table:
    """Return runs, medians with exact intervals, and nulls of `SCORES` over N."""
    return over_sizes(analysis, SCORES) if base.is_study(analysis, "monosemanticity") else {}


def caption(table: Table) -> str:
    """Say what the marks are."""
    return (
        "Monosemanticity over the number of inputs N. Dots: one run each "
        f"({base.n_seeds(table)} seeds a point). Markers and bars: median and its exact "
        f"{base.confidence(table)} order-statistic interval. Grey: untrained starts, and random "
        "networks that are drawn like them; their band is one of single networks, as the dots are. "
        "A neuron's monosemanticity is its largest score as a share of what it would be if the "
        "neuron answered one input alone; silent neurons have none. Monosemantic: a score above "
        "half of that bound, with less than 15 inputs above the critical value of Grubbs' test. "
        "Random networks have such neurons, too (dotted)."
    )


FIGURE = base.Figure(rows, draw, caption)
