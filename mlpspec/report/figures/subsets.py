"""Medians of every subset of losses and N, as shades; for studies of many subsets."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from matplotlib.ticker import NullLocator

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import as_table, median_columns, where
from mlpspec.report.figures import base, marks
from mlpspec.report.figures.outcomes import OUTCOMES
from mlpspec.store.tables import Table
from mlpspec.study.subsets import canonical_losses


def rows(analysis: Analysis) -> Table:
    """Return medians by subset, N and measurement, of more subsets than other figures show."""
    grid = analysis.grid
    if not base.over_n(analysis) or len(grid.labels) <= base.MOST_SHOWN:
        return {}
    parts = []
    for name, cell, label in itertools.product(OUTCOMES, grid.cells, grid.labels):
        row = {"losses": label, "n_samples": cell[0], "measurement": name}
        parts.append({**row, **median_columns(grid.values(cell, label, name))})
    return as_table(parts)


def draw(table: Table) -> base.Canvas:
    """Draw medians by subset and N as shades, with the active losses as dots on the left."""
    names, sizes = base.distinct(table["measurement"]), np.unique(table["n_samples"]).tolist()
    labels = list(marks.subset_styles(table["losses"].tolist()))
    active = [canonical_losses(label) for label in labels]
    losses = canonical_losses(set(itertools.chain.from_iterable(active)))
    height = max(3.0, 0.16 * len(labels) + 1.3)
    figure = base.canvas((2.1 + 1.45 * len(names), height), layout="constrained")
    widths = [0.16 * len(losses) / 1.2] + [1.0] * len(names)
    dots, *axes = figure.subplots(1, len(names) + 1, sharey=True, width_ratios=widths)
    for (line, there), (place, loss) in itertools.product(enumerate(active), enumerate(losses)):
        colour = "#333333" if loss in there else "#DDDDDD"
        dots.plot(place, line, "o", ms=4.2, mew=0, color=colour)
    dots.set_xticks(range(len(losses)), losses, rotation=90)
    dots.set(yticks=[], xlim=(-0.6, len(losses) - 0.4), ylim=(len(labels) - 0.5, -0.5))
    dots.spines[["left", "bottom"]].set_visible(False)
    dots.tick_params(length=0)
    dots.set_ylabel("subset of losses")
    for ax, name in zip(axes, names, strict=True):
        values = np.full((len(labels), len(sizes)), np.nan)
        here = marks.floored(name, where(table, measurement=name))
        lines = [labels.index(label) for label in here["losses"]]
        values[lines, np.searchsorted(sizes, here["n_samples"])] = here["value"]
        known, floor = values[np.isfinite(values)], base.floor_of(name)
        wide = floor is not None and len(known) > 0 and known.max() > 10 * known.min()
        norm = "log" if wide else None
        shades = ax.imshow(values, norm=norm, aspect="auto", cmap="viridis", interpolation="none")
        ax.set_xticks(range(len(sizes)), [str(size) for size in sizes])
        ax.set_xlabel("N")
        ax.tick_params(length=0)
        bar: dict[str, Any] = {"ax": ax, "location": "top", "fraction": 0.05, "pad": 0.02}
        marks.colour_bar(figure, shades, name, **bar).xaxis.set_minor_locator(NullLocator())
    return figure


def caption(table: Table) -> str:
    """Say what is shown of which losses."""
    return (
        f"Medians over {base.n_seeds(table)} seeds for every subset of losses (dots on the left: "
        "active losses) and every N. Other figures show the baseline and single losses only."
    )


FIGURE = base.Figure(rows, draw, caption)
