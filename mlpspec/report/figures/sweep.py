"""Coverage alone and separation alone over the temperature."""

from __future__ import annotations

import itertools

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import NullLocator

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import as_table, median_columns, where
from mlpspec.metrics.statistics import average
from mlpspec.report.figures import base, marks
from mlpspec.shown import readable
from mlpspec.store.tables import Table

SWEPT = ("outside_fraction", "expelled_fraction", "reconstruction_error", "distinct_usage_ratio")


def swept(analysis: Analysis) -> Analysis | None:
    """Return the analysis, or the one inside it, in which N and temperature vary."""
    fields = ("n_samples", "temperature")
    return next((a for a in (analysis, analysis.sweep) if a and a.grid.fields == fields), None)


def rows(analysis: Analysis) -> Table:
    """Return medians of measurements over the temperature, with the theory's marks.

    ``in_spacing`` is tau over the mean spacing squared; ``merging`` (1 in those units) and
    ``collapse`` (2 lambda_max(Cov x), median over seeds) are given for each N.
    """
    sweep = swept(analysis)
    if sweep is None:
        return {}
    parts = []
    for cell in sweep.grid.cells:
        size, temperature = cell
        problems = sweep.problems[size,]
        square = problems.spacing**2
        row = {"n_samples": size, "temperature": temperature, "in_spacing": temperature / square}
        theory = {"merging": square, "collapse": average(problems.critical[:, None], "medians")}
        for label, name in itertools.product(sweep.grid.labels, SWEPT):
            medians = median_columns(sweep.grid.values(cell, label, name))
            more = {end: medians[end] for end in ("value", "low", "high")} | theory
            more = {"measurement": name, **more, "seeds": medians["seeds"]}
            parts.append({"losses": label, **row, **more})
    return as_table(parts)


def draw(table: Table) -> base.Canvas:
    """Draw measurements over the temperature, absolute and in units of the spacing squared."""
    names, sizes = base.distinct(table["measurement"]), np.unique(table["n_samples"])
    labels = marks.subset_styles(table["losses"].tolist())
    columns = [(label, unit) for label in labels for unit in ("temperature", "in_spacing")]
    titles = [f"{readable(label)} alone" for label, _ in columns]
    inches = (2.5 * len(columns), 1.75 * len(names) + 0.8)
    figure, axes = marks.measurement_panels(names, titles, inches, sharex="col", sharey="row")
    shades = mpl.colormaps["viridis"](np.linspace(0.0, 0.85, len(sizes)))
    collapse = average(table["collapse"][:, None], "medians")[0]
    for row, name in zip(axes, names, strict=True):
        for ax, (label, unit) in zip(row, columns, strict=True):
            for size, colour, marker in zip(sizes, shades, "osD^vPX*<>"[: len(sizes)], strict=True):
                here = where(table, losses=label, measurement=name, n_samples=size)
                at, look = here[unit], {"marker": marker, "ms": 3, "lw": 0.9}
                ax.fill_between(at, here["low"], here["high"], color=colour, alpha=0.15, lw=0)
                ax.plot(at, here["value"], label=f"N = {size}", color=colour, **look)
                if label == "coverage" and unit == "temperature":
                    ax.axvline(here["merging"][0], color=colour, lw=0.6, ls=":")
            if label == "coverage":
                theory, dashes = (1.0, ":") if unit == "in_spacing" else (collapse, "--")
                ax.axvline(theory, color="#333333", lw=0.7, ls=dashes)
            ax.set_xscale("log")
            ax.xaxis.set_minor_locator(NullLocator())
            marks.scale_values(ax, name)
    for ax, (_, unit) in zip(axes[-1], columns, strict=True):
        ax.set_xlabel("\u03c4 (units of x\u00b2)" if unit == "temperature" else "\u03c4 / g\u00b2")
    merging = "theory: merging, \u03c4 = g\u00b2"
    collapse = "theory: collapse, \u03c4 = 2\u03bb\u2098\u2090\u2093 (no fit)"
    handles = [
        *axes[0, 0].get_legend_handles_labels()[0],
        marks.entry(merging, color="#333333", lw=0.8, ls=":"),
        marks.entry(collapse, color="#333333", lw=0.8, ls="--"),
    ]
    marks.legend_below(figure, handles)
    return figure


def caption(table: Table) -> str:
    """Say what lines, bands and marks are."""
    return (
        "Coverage alone and separation alone over the temperature tau, also in units of the mean "
        f"spacing squared. Lines: medians over {base.n_seeds(table)} seeds; bands: their exact "
        f"{base.confidence(table)} intervals. Dotted: where prototypes merge in theory; dashed: "
        "where coverage without a fit collapses onto the mean."
    )


FIGURE = base.Figure(rows, draw, caption)
