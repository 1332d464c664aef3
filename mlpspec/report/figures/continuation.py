"""Measurements over the steps, with the structural losses on throughout, or on and then off."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import Grid, as_table, median_columns, select, where
from mlpspec.report.figures import base, marks
from mlpspec.store.tables import Table
from mlpspec.study.controls import DOUBTS

NAMES = ("gradient_norm", "reconstruction_error", "distinct_usage_ratio", "expelled_fraction")
WAYS = {
    "throughout": ("default", *DOUBTS["steps"]),
    "off after the first": ("default", *DOUBTS["continuation"]),
}
"""The variants along each way, by ascending steps."""

DASHES = {"throughout": "-", "off after the first": (0, (3, 1.5))}


def rows(analysis: Analysis) -> Table:
    """Return medians with intervals by way, steps, N and subset of at most one loss.

    Of controls that have gone on for longer.
    """
    table = analysis.results.table
    if not analysis.controls or not {*WAYS["throughout"][:2]} <= {*table["variant"].tolist()}:
        return {}
    grid = Grid(table, ("n_samples", "variant"))
    alone = [label for label in grid.labels if "+" not in label]
    parts = []
    for way, cell in itertools.product(WAYS, grid.cells):
        size, variant = cell
        if variant in WAYS[way]:
            (steps,) = np.unique(where(table, variant=variant)["steps"])
            for label, name in itertools.product(alone, NAMES):
                row = {"way": way, "n_samples": size, "steps": steps, "losses": label}
                medians = median_columns(grid.values(cell, label, name))
                parts.append({**row, "measurement": name, **medians})
    return as_table(parts)


def draw(table: Table) -> base.Canvas:
    """Draw medians over the steps: a column an N, a row a measurement."""
    figure, axes, parts = marks.panels_by_size(table, (0.9, 0.7), (2.9, 1.75), sharey="row")
    styles = marks.subset_styles(table["losses"].tolist())
    steps = np.unique(table["steps"])
    for ax, name, here in parts:
        here = marks.floored(name, here)
        marks.scale_values(ax, name)
        for place, (label, (colour, marker)) in enumerate(styles.items()):
            for way, dashes in reversed(DASHES.items()):  # what goes on lies on top
                line = where(here, losses=label, way=way)
                line = select(line, np.argsort(line["steps"]))
                at = line["steps"] * (1.0 + 0.03 * place)
                ax.plot(at, line["value"], color=colour, lw=0.9, ls=dashes, zorder=2)
                filled: Any = {"mfc": colour if way == "throughout" else "white", "mec": colour}
                look: Any = {"fmt": marker, "ms": 3.6, "mew": 0.7, "elinewidth": 0.6, "zorder": 3}
                marks.draw_medians(ax, at, line, color=colour, **look, **filled)
        ax.set_xscale("log")
        ax.set_xticks(steps, [f"{number:,}" for number in steps])
        ax.minorticks_off()
    for ax in axes[-1]:
        ax.set_xlabel("steps")
    handles = marks.entries(styles)
    for way, dashes in DASHES.items():
        handles.append(marks.entry(f"losses {way}", color=marks.GREY, ls=dashes, lw=1.0))
    marks.legend_below(figure, handles)
    return figure


def caption(table: Table) -> str:
    """Say what lines and marks are."""
    return (
        "What longer training does. The networks after the fewest steps are the same for both "
        "ways: then the structural losses go on (solid, filled) or are switched off, and the fit "
        f"goes on alone (dashed, open). Marks and bars: median over {base.n_seeds(table)} seeds "
        f"and its exact {base.confidence(table)} interval. The gradient is that of the "
        "objective at the end."
    )


FIGURE = base.Figure(rows, draw, caption)
