"""What a loss does beside the fit, at three weights."""

from __future__ import annotations

from mlpspec.report import card
from mlpspec.report.figures import base, over_sizes
from mlpspec.store.tables import Table

SHOWN = (
    "reconstruction_error",
    "nearest_error",
    "fit_fvu",
    "usage_ratio",
    "distinct_usage_ratio",
    "silent_fraction",
    "outside_fraction",
    "expelled_fraction",
    "overshoot",
)
"""What the figure shows; the table has all."""

WEIGHT_STYLE = (("#000000", "o"), ("#56B4E9", "s"), ("#0072B2", "^"), ("#D55E00", "D"))
"""Colour and marker of the baseline and of the weights of a loss, ascending."""


def rows(runs: card.CardRuns) -> Table:
    """Return runs, medians and nulls of `SHOWN` over N, with weights in place of subsets."""
    grid = card.by_weight(runs.analysis.results.table)
    return over_sizes.over_sizes(runs.analysis, SHOWN, grid)


def draw(table: Table) -> base.Canvas:
    """Draw measurements of baseline and weights over N."""
    labels = base.distinct(table["losses"][table["kind"] != "null"])
    figure = over_sizes.draw(table, dict(zip(labels, WEIGHT_STYLE, strict=True)))
    for ax in figure.axes:
        low, high = ax.get_ylim()
        if low < 0.0:  # a share: where all are 0, the axis would show rounding
            ax.set_ylim(-0.05 * max(high, 0.2), max(high, 0.2))
    return figure


def caption(table: Table) -> str:
    """Say what the weights are, and what the table below has."""
    weights = ", ".join(f"{weight:g}" for weight in card.WEIGHTS)
    matched = (
        f"weights {weights}, each a share of the fit's force at the start, matched seed by seed"
        if card.label(card.WEIGHTS[0], "force") in table["losses"]
        else f"absolute weights {weights}, because the loss is inert at the start for some seed "
        "and no weight would match its force to the fit's"
    )
    return (
        f"What the loss does beside the fit after {card.STEPS:,} steps: {matched}. Dots: one run "
        f"each ({len(card.SEEDS)} seeds a point); markers and bars: the median and its exact "
        "order-statistic interval of at least 95 % (97.9 % for ten seeds). Grey: what chance or "
        f"ignorance would give. {base.floors(table)} The table: all measurements; differences "
        "from the baseline are paired over seeds, with the p-value of the sign-flip test, plain "
        f"and after Holm over the {len(card.SIZES) * len(card.WEIGHTS)} comparisons of a "
        "measurement. Select a heading to sort."
    )


FIGURE = base.Figure(rows, draw, caption, title="The loss beside the fit")
