"""Which attractor rescues which repulsion."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import as_table, median_columns, where
from mlpspec.metrics.statistics import less
from mlpspec.report.figures import base, marks
from mlpspec.report.figures.contrast import CONTRASTED
from mlpspec.store.tables import Table
from mlpspec.studies import ATTRACTORS, REPULSIONS
from mlpspec.study.subsets import canonical_losses


def rows(analysis: Analysis) -> Table:
    """Return median paired differences from the baseline by attractor, repulsion and N."""
    if not base.is_study(analysis, "attractors"):
        return {}
    grid = analysis.grid
    parts = []
    pairs = list(itertools.product(("none", *ATTRACTORS), ("none", *REPULSIONS)))
    for name, cell, pair in itertools.product(CONTRASTED, grid.cells, pairs):
        label = "+".join(canonical_losses(loss for loss in pair if loss != "none")) or "baseline"
        difference = less(grid.values(cell, label, name), grid.values(cell, "baseline", name))
        row = {"attractor": pair[0], "repulsion": pair[1], "n_samples": cell[0]}
        parts.append({**row, "measurement": name, **median_columns(difference)})
    return as_table(parts)


def _signed(value: float) -> str:
    if abs(value) < 0.0005 or np.isnan(value):
        return "0" if value == value else "none"
    return f"{value:+.0f}" if abs(value) >= 10 else f"{value:+.2g}"


def draw(table: Table) -> base.Canvas:
    """Draw what each attractor leaves of the harm of each repulsion, as shades with numbers."""
    attractors, repulsions = base.distinct(table["attractor"]), base.distinct(table["repulsion"])
    figure, axes, parts = marks.panels_by_size(table, (1.2, 1.0), (2.3, 1.55), sharey=True)
    for ax, name, here in parts:
        values = np.abs(where(table, measurement=name)["value"])
        limit = min(float(values[np.isfinite(values)].max(initial=0.0)) or 1.0, 1.0)
        apart = (here["low"] > 0) | (here["high"] < 0)
        places = itertools.product(range(len(attractors)), range(len(repulsions)))
        sure = apart & (here["confidence"] >= 0.95)
        for (line, column), value, bold in zip(places, here["value"], sure, strict=True):
            look = {"weight": "bold" if bold else "normal", "fontsize": 6.5, **marks.CENTRED}
            colour = "white" if abs(value) > 0.6 * limit else "black"
            ax.text(column, line, _signed(value), color=colour, **look)
        values = here["value"].reshape(len(attractors), len(repulsions))
        colours: Any = {"cmap": "PuOr_r", "vmin": -limit, "vmax": limit}
        shades = ax.imshow(values, aspect="auto", interpolation="none", **colours)
        ax.set_xticks(range(len(repulsions)), [r.replace("_", "\n") for r in repulsions])
        ax.set_yticks(range(len(attractors)), [a.replace("_", " ") for a in attractors])
        ax.tick_params(length=0, labelsize=7)
        ax.spines[:].set_visible(False)
        if ax in axes[:, -1]:
            marks.colour_bar(figure, shades, name, ax=ax, fraction=0.06, pad=0.03)
    for ax in axes[:, 0]:
        ax.set_ylabel("attractor")
    for ax in axes[-1]:
        ax.set_xlabel("repulsion")
    return figure


def caption(table: Table) -> str:
    """Say what the numbers and shades are."""
    return (
        "Which attractor rescues which repulsion: median paired difference from the baseline over "
        f"{base.n_seeds(table)} seeds; 0 means that nothing is left of the harm. Bold: the exact "
        "interval of at least 95 % excludes 0 (six seeds are needed). Shades end at the largest "
        "difference, or at 1; positive (orange) is worse for errors and for fractions outside or "
        "expelled, better for the usage ratio."
    )


FIGURE = base.Figure(rows, draw, caption)
