"""What losses change in monosemanticity and, beside it, in specialisation."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import as_table, median_columns, where
from mlpspec.arrays import Array
from mlpspec.metrics.statistics import less
from mlpspec.report.figures import base
from mlpspec.store.results import Table

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

SIZES = (("#0072B2", "o"), ("#009E73", "s"), ("#E69F00", "^"), ("#D55E00", "v"), ("#CC79A7", "D"))
"""Colour and marker of the sizes, ascending."""


def applies(analysis: Analysis) -> bool:
    """Return whether it is the study of monosemanticity."""
    return base.over_n(analysis) and analysis.results.identity["study"] == "monosemanticity"


def rows(analysis: Analysis) -> Table:
    """Return median paired differences from the baseline, by measurement, N and what is trained.

    ``losses`` is a subset, or what a companion is called.
    """
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
    sizes = np.unique(table["n_samples"]).tolist()
    figure, axes = base.grid_of_axes(1, len(names), (10.2, 0.9 + 0.42 * len(labels)), sharey=True)
    apart = 0.72 / len(sizes)
    for ax, name in zip(axes[0], names, strict=True):
        ax.axvline(0.0, color="#777777", lw=0.7, zorder=0)
        for place, size in enumerate(sizes):
            here = where(table, measurement=name, n_samples=size)
            at = np.array([labels.index(label) for label in here["losses"]], dtype=float)
            at += (place - (len(sizes) - 1) / 2) * apart
            colour, marker = SIZES[place % len(SIZES)]
            ends = [np.abs(here["value"] - here[end]).tolist() for end in ("low", "high")]
            look: dict[str, Any] = {"fmt": marker, "ms": 3.2, "mew": 0, "elinewidth": 0.9}
            ax.errorbar(here["value"], at, xerr=ends, color=colour, **look)
        for line in range(1, len(labels)):
            ax.axhline(line - 0.5, color="#DDDDDD", lw=0.4, zorder=0)
        ax.set_xlabel(SHOWN[name])
        if name == "reconstruction_error":  # a prototype may be expelled far away
            ax.set_xscale("symlog", linthresh=1.0, linscale=1.5)
            low, high = ax.get_xlim()
            ticks = [tick for tick in (-100, -10, -1, 0, 1, 10, 100) if low <= tick <= high]
            ax.set_xticks(ticks, [f"{tick}".replace("-", "\u2212") for tick in ticks])
            ax.minorticks_off()
        ax.set_ylim(len(labels) - 0.5, -0.5)
        ax.tick_params("y", length=0)
    axes[0, 0].set_yticks(range(len(labels)), [base.readable(label) for label in labels])
    axes[0, len(names) // 2].set_title("difference from the baseline in")
    handles = [
        base.entry(f"N = {size}", color=colour, marker=marker, ls="", ms=5)
        for size, (colour, marker) in zip(sizes, itertools.cycle(SIZES), strict=False)
    ]
    base.legend_below(figure, handles)
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


FIGURE = base.Figure(rows, draw, caption, applies)
