"""Where coverage helps and overlap harms: signs over weight, temperature and steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import Grid, where
from mlpspec.analysis.controls import signs
from mlpspec.data.datasets import mean_spacing
from mlpspec.report.figures import base, marks
from mlpspec.store.tables import Table
from mlpspec.study.problem import domain_of
from mlpspec.study.run import SETTINGS

FIELDS = ("n_samples", "steps", "weight", "temperature")
NAMES = {"coverage": "coverage\n\u2212 baseline", "overlap": "coverage + overlap\n\u2212 coverage"}
LARGEST = 2.0
"""Difference, in mean spacings, at which the colours end."""


def rows(analysis: Analysis) -> Table:
    """Return medians of differences and signs; with ``spacing``, and ``default``, 1 if it is that.

    The default is that of a run: its weight, and its temperature in units of the spacing squared.
    """
    found = analysis.inner("phase") or analysis
    if found.results.identity["study"] != "phase":
        return {}
    table = signs(Grid(found.results.table, FIELDS))
    run = next(iter(found.results.runs.values()))
    width, n_inputs = domain_of(run).width, run.n_inputs
    spacing = np.array([mean_spacing(width, size, n_inputs) for size in table["n_samples"]])
    at = table["temperature"] * spacing**2 / SETTINGS["temperature"].default
    near = np.isclose(at, 1.0) & np.isclose(table["weight"], SETTINGS["weight"].default)
    near &= table["steps"] == SETTINGS["steps"].default
    return {**table, "spacing": spacing, "default": near.astype(int)}


def draw(table: Table) -> base.Canvas:
    """Draw the differences as colours, signs as marks: rows effect and N, columns steps."""
    effects = [effect for effect in NAMES if effect in table["effect"]]
    sizes, steps = (np.unique(table[name]).tolist() for name in ("n_samples", "steps"))
    weights, taus = (np.unique(table[name]).tolist() for name in ("weight", "temperature"))
    columns = [(effect, number) for effect in effects for number in steps]
    inches = (1.3 + 1.55 * len(columns), 1.6 + 1.55 * len(sizes))
    figure, axes = marks.grid_of_axes(len(sizes), len(columns), inches, sharex=True, sharey=True)
    colours: Any = {"cmap": "RdBu_r", "vmin": -LARGEST, "vmax": LARGEST}
    frame: Any = {"mfc": "none", "mec": "black", "ms": 14, "mew": 1.6, "clip_on": False}
    for row, size in zip(axes, sizes, strict=True):
        for ax, (effect, number) in zip(row, columns, strict=True):
            here = where(table, effect=effect, n_samples=size, steps=number)
            x = np.searchsorted(taus, here["temperature"])
            y = np.searchsorted(weights, here["weight"])
            values = np.full((len(weights), len(taus)), np.nan)
            values[y, x] = here["median"] / here["spacing"]
            shades = ax.imshow(
                values, origin="lower", aspect="auto", interpolation="nearest", **colours
            )
            for i, j, sign, default in zip(x, y, here["sign"], here["default"], strict=True):
                if sign:
                    ink = "white" if abs(values[j, i]) > 0.75 * LARGEST else "black"
                    mark = "+" if sign > 0 else "\u2212"
                    ax.text(i, j, mark, fontsize=8, color=ink, **marks.CENTRED)
                if default:
                    ax.plot(i, j, "s", **frame)
            ax.set_xticks(range(len(taus)), [f"{tau:.3g}" for tau in taus], rotation=90)
            ax.set_yticks(range(len(weights)), [f"{weight:g}" for weight in weights])
            ax.tick_params(labelsize=6.5)
    for ax, (effect, number) in zip(axes[0], columns, strict=True):
        ax.set_title(f"{NAMES[effect]}, {number:,} steps", fontsize=7)
    for ax, size in zip(axes[:, 0], sizes, strict=True):
        ax.set_ylabel(f"N = {size}\nweight \u03bb")
    for ax in axes[-1]:
        ax.set_xlabel("\u03c4 / g\u00b2")
    bar = figure.colorbar(shades, ax=axes, shrink=0.6, extend="both")
    bar.set_label("difference of reconstruction errors, in mean spacings g", fontsize=7)
    return figure


def caption(table: Table) -> str:
    """Say what colours and marks are."""
    return (
        "Where coverage helps and overlap harms: the reconstruction error of coverage less that of "
        "the baseline, and that of coverage + overlap less that of coverage, for weights and "
        "temperatures (in units of the mean spacing squared) after each number of steps. Colours: "
        f"median of {base.n_seeds(table)} paired differences; + and \u2212: its sign, where the "
        f"exact {base.confidence(table)} interval excludes zero. The square is the default."
    )


FIGURE = base.Figure(rows, draw, caption, title="Phase diagram")
