"""What losses change in monosemanticity and, beside it, in specialisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import as_table, median_columns, where
from mlpspec.arrays import Array
from mlpspec.metrics.statistics import less
from mlpspec.report.figures import base, marks
from mlpspec.shown import readable
from mlpspec.store.tables import Table

SHOWN = {
    "monosemanticity_median": "monosemanticity,\nmedian of neurons",
    "monosemantic_fraction": "monosemantic\nneurons (share)",
    "distinct_usage_ratio": "distinct\nusage ratio",
    "reconstruction_error": "reconstruction error\n(mean spacings)",
    "silent_fraction": "silent\nneurons (share)",
}
"""Measurements, and what their axes are called here."""

COMPANIONS = {"deactivation": "reversed deactivation", "placebo": "another start"}
"""Directories inside, of baselines that differ in one thing, and what they are called here."""


def rows(analysis: Analysis) -> Table:
    """Return median paired differences from the baseline, by measurement, N and what is trained.

    ``losses`` is a subset, or what a companion is called.
    """
    if not base.is_study(analysis, "monosemanticity"):
        return {}
    grid = analysis.grid
    inner = {name: analysis.inner(name) for name in COMPANIONS}
    parts: list[dict[str, Any]] = []

    def add(name: str, cell: tuple[Any, ...], label: str, values: Array) -> None:
        difference = less(values, grid.values(cell, "baseline", name))
        if name == "reconstruction_error":
            difference = difference / analysis.problems[cell].spacing
        row = {"measurement": name, "losses": label, "n_samples": cell[0]}
        parts.append({**row, **median_columns(difference)})

    for name in SHOWN:
        for cell in grid.cells:
            for label in grid.labels:
                if label != "baseline":
                    add(name, cell, label, grid.values(cell, label, name))
            for directory, label in COMPANIONS.items():
                other = inner[directory]
                if other is not None and np.array_equal(other.grid.seeds, grid.seeds):
                    add(name, cell, label, other.grid.values(cell, "baseline", name))
    return as_table(parts)


def draw(table: Table) -> base.Canvas:
    """Draw the differences by loss, a panel a measurement, N beside each other."""
    names, labels = base.distinct(table["measurement"]), base.distinct(table["losses"])
    words = {label: readable(label) for label in labels}
    styles = marks.size_styles(table["n_samples"])
    figure, axes = marks.grid_of_axes(1, len(names), (10.2, 0.9 + 0.42 * len(labels)), sharey=True)
    for ax, name in zip(axes[0], names, strict=True):
        here = where(table, measurement=name)
        marks.draw_differences(ax, here, words, styles, ms=3.2, elinewidth=0.9)
        ax.set_xlabel(SHOWN[name])
        if name == "reconstruction_error":  # a prototype may be expelled far away
            low, high = ax.get_xlim()
            ticks = (-100, -10, -1, 0, 1, 10, 100)
            marks.scale_beyond_one(ax, 1.5, [tick for tick in ticks if low <= tick <= high])
    axes[0, len(names) // 2].set_title("difference from the baseline in")
    marks.legend_below(figure, marks.entries(styles))
    return figure


def caption(table: Table) -> str:
    """Say what the marks are."""
    return (
        "Does what makes prototypes specialise make neurons monosemantic, too? Marks and bars: "
        f"median paired difference from the baseline over {base.n_seeds(table)} seeds, and its "
        f"exact {base.confidence(table)} order-statistic interval; {len(table['value'])} of them, "
        "not corrected for their number (comparisons.csv has p after Holm). Monosemanticity: each "
        "neuron's largest score, 1 where it answers one input alone; the median is over those "
        "that are not silent. Inhibition and promotion are losses against and for the 2 % of the "
        "responses, at least one, that score most; reversed deactivation is a change of the "
        "training against them. Another start: how much baselines differ that differ in the start "
        "alone; a scale, and no null of a paired difference. The axis of the error is logarithmic "
        "beyond 1."
    )


FIGURE = base.Figure(rows, draw, caption)
