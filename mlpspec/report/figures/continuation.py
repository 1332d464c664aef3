"""Measurements over the steps, with the structural losses on throughout, or on and then off."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import Grid, as_table, median_columns, where
from mlpspec.metrics.measure import MEASUREMENTS
from mlpspec.report.figures import base
from mlpspec.store.results import Table
from mlpspec.study.controls import DOUBTS

NAMES = (
    "gradient_norm",
    "reconstruction_error",
    "distinct_usage_ratio",
    "expelled_fraction",
)
WAYS = {
    "throughout": ("default", *DOUBTS["steps"]),
    "off after the first": ("default", *DOUBTS["continuation"]),
}
"""The variants along each way, by ascending steps."""

DASHES = {"throughout": "-", "off after the first": (0, (3, 1.5))}


def applies(analysis: Analysis) -> bool:
    """Return whether a control has gone on for longer."""
    variants = set(analysis.results.table.get("variant", ()))
    return bool(analysis.controls) and {*WAYS["throughout"][:2]} <= variants


def rows(analysis: Analysis) -> Table:
    """Return medians with intervals by way, steps, N and subset of at most one loss."""
    table = analysis.results.table
    grid = Grid(table, ("n_samples", "variant"))
    parts: list[dict[str, Any]] = []
    for way, variants in WAYS.items():
        for size, variant in grid.cells:
            if variant in variants:
                (steps,) = np.unique(where(table, variant=variant)["steps"])
                for label in grid.labels:
                    for name in NAMES if "+" not in label else ():
                        medians = median_columns(grid.values((size, variant), label, name))
                        row = {"way": way, "n_samples": size, "steps": steps, "losses": label}
                        parts.append({**row, "measurement": name, **medians})
    return as_table(parts)


def draw(table: Table) -> base.Canvas:
    """Draw medians over the steps: a column an N, a row a measurement."""
    sizes = np.unique(table["n_samples"]).tolist()
    names = base.distinct(table["measurement"])
    inches = (0.9 + 2.9 * len(sizes), 1.75 * len(names) + 0.7)
    titles = [f"N = {size}" for size in sizes]
    figure, axes = base.grid_of_axes(len(names), len(sizes), inches, sharex=True, sharey="row")
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title)
    looks = base.styles(table["losses"].tolist())
    steps = np.unique(table["steps"])
    for row, name in zip(axes, names, strict=True):
        row[0].set_ylabel(MEASUREMENTS[name].axis if name in MEASUREMENTS else "gradient norm")
        for ax, size in zip(row, sizes, strict=True):
            here = where(table, measurement=name, n_samples=size)
            if name in MEASUREMENTS:
                here = base.floored(name, here)
                base.scale_values(ax, name)
            else:
                ax.set_yscale("log")
            for place, (label, (colour, marker)) in enumerate(looks.items()):
                for way, dashes in reversed(DASHES.items()):  # what goes on lies on top
                    line = where(here, losses=label, way=way)
                    order = np.argsort(line["steps"])
                    line = {column: values[order] for column, values in line.items()}
                    at = line["steps"] * (1.0 + 0.03 * place)
                    look = {"color": colour, "lw": 0.9, "ls": dashes, "zorder": 2}
                    ax.plot(at, line["value"], **look)
                    filled = {"mfc": colour if way == "throughout" else "white", "mec": colour}
                    look = {"fmt": marker, "ms": 3.6, "mew": 0.7, "elinewidth": 0.6, "zorder": 3}
                    base.draw_medians(ax, at, line, color=colour, **look, **filled)
            ax.set_xscale("log")
            ax.set_xticks(steps, [f"{number:,}" for number in steps])
            ax.minorticks_off()
    for ax in axes[-1]:
        ax.set_xlabel("steps")
    handles = [
        base.entry(base.readable(label), color=colour, marker=marker, ls="", ms=5)
        for label, (colour, marker) in looks.items()
    ]
    handles += [
        base.entry(f"losses {way}", color="#555555", ls=dashes, lw=1.0)
        for way, dashes in DASHES.items()
    ]
    base.legend_below(figure, handles, columns=len(handles) if len(sizes) > 1 else 2)
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


FIGURE = base.Figure(rows, draw, caption, applies)
