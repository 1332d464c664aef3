"""Measurements over N, for the figures that show some: the rows and the drawing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import Grid, as_table, median_columns, select, where
from mlpspec.metrics.measure import MEASUREMENTS, OF_RESPONSES
from mlpspec.metrics.nulls import NULLS
from mlpspec.report.figures import base, marks
from mlpspec.store.tables import Table

BAND: Any = {"color": marks.GREY, "alpha": 0.12, "lw": 0, "zorder": 0}
DOT: Any = {"ms": 3.0, "mew": 0, "alpha": 0.45, "zorder": 2}
MEDIAN: Any = {"ms": 4, "mew": 0.3, "mec": "white", "elinewidth": 0.9, "zorder": 3}
NULL_STYLE = {
    "grid": ("null: equally spaced grid", (0, (5, 2))),
    "random": ("null: random prototypes, 95 % band", (0, (1, 1))),
    "start": ("null: before training", (0, (4, 1, 1, 1))),
}
"""Name and dashes of the nulls."""


def over_sizes(analysis: Analysis, names: Sequence[str], grid: Grid | None = None) -> Table:
    """Return runs, medians with exact intervals, and nulls of measurements over N.

    ``grid`` is by default the analysis's own; or a part of it with cells of one size each.
    ``kind`` is ``run`` (with its seed), ``median`` (with ``low``, ``high`` and the number of
    ``seeds``) or ``null`` (``losses`` is then its name).
    """
    grid = grid or analysis.grid
    parts: list[dict[str, Any]] = []

    def add(kind: str, name: str, label: str, size: int, values: Any, **more: Any) -> None:
        row = {"measurement": name, "kind": kind, "losses": label, "n_samples": size}
        row |= {"value": values, "seed": -1, "low": np.nan, "high": np.nan, "seeds": 0}
        parts.append(row | more)

    nulls = analysis.nulls_table
    for name in names:
        for cell in grid.cells:
            for label in base.shown(grid):
                values = grid.values(cell, label, name)
                add("run", name, label, cell[0], values, seed=grid.seeds)
                median = median_columns(values)
                del median["confidence"]
                add("median", name, label, cell[0], median.pop("value"), **median)
        for row in np.flatnonzero((nulls["measurement"] == name) & np.isin(nulls["null"], NULLS)):
            limits = {end: nulls[end][row] for end in ("low", "high")}
            size, label = int(nulls["n_samples"][row]), str(nulls["null"][row])
            # The limits of a band are means, so that its middle is one, too.
            middle = "mean" if np.isfinite(limits["low"]) else "median"
            add("null", name, label, size, nulls[middle][row], **limits)
    return as_table(parts)


def draw(table: Table, styles: marks.Style | None = None) -> base.Canvas:
    """Draw every seed, medians with intervals, and nulls over N."""
    names, sizes = base.distinct(table["measurement"]), np.unique(table["n_samples"]).tolist()
    if styles is None:
        styles = marks.subset_styles(table["losses"][table["kind"] != "null"].tolist())
    apart = min(0.09, 0.72 / len(styles))
    columns = 3 if len(names) > 4 else 4
    figure, axes = marks.wrapped(len(names), columns, (10.2 / columns, 2.5), 0.9)
    heavy = bool((table["kind"] == "run").sum() / len(names) > marks.RASTER_ABOVE)
    for ax, name in zip(axes, names, strict=True):
        here = marks.floored(name, where(table, measurement=name))
        for null, (_, dashes) in NULL_STYLE.items():
            line = where(here, kind="null", losses=null)
            line = select(line, np.argsort(line["n_samples"]))
            sized = np.searchsorted(sizes, line["n_samples"])
            if len(sized):
                ax.plot(sized, line["value"], ls=dashes, color=marks.GREY, lw=0.8, zorder=1)
            if len(sized) and np.isfinite(line["low"]).all():
                ax.fill_between(sized, line["low"], line["high"], **BAND)
        for place, (label, (colour, marker)) in enumerate(styles.items()):
            shift = (place - (len(styles) - 1) / 2) * apart
            runs, medians = (where(here, losses=label, kind=kind) for kind in ("run", "median"))
            at = shift + np.searchsorted(sizes, runs["n_samples"])
            ax.plot(at, runs["value"], ".", color=colour, rasterized=heavy, **DOT)
            at = shift + np.searchsorted(sizes, medians["n_samples"])
            marks.draw_medians(ax, at, medians, fmt=marker, color=colour, **MEDIAN)
        marks.scale_values(ax, name)
        marks.size_axis(ax, sizes)
        ax.set_ylabel(MEASUREMENTS[name].axis)
    handles = marks.entries(styles)
    drawn = {*table["losses"][table["kind"] == "null"].tolist()}
    networks = {*names} <= {measurement.name for measurement in OF_RESPONSES}
    for null, (label, dashes) in NULL_STYLE.items():
        if null in drawn:
            label = label.replace("prototypes", "networks") if networks else label
            handles.append(marks.entry(label, color=marks.GREY, ls=dashes, lw=0.9))
    marks.legend_below(figure, handles, columns=4)
    return figure


def figure(names: Sequence[str], caption: Callable[[Table], str]) -> base.Figure:
    """Return the figure of measurements over N, of all runs or by the number of steps."""

    def rows(analysis: Analysis, grid: Grid | None = None) -> Table:
        return over_sizes(analysis, names, grid) if grid or base.over_n(analysis) else {}

    return base.Figure(rows, draw, caption, by_steps=True)
