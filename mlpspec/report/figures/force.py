"""The force of a loss at the start of training, beside that of the fit."""

from __future__ import annotations

import numpy as np

from mlpspec.losses.objective import INERT
from mlpspec.metrics.statistics import median_interval
from mlpspec.report import card
from mlpspec.report.figures import base, marks
from mlpspec.store.tables import Table


def rows(runs: card.CardRuns) -> Table:
    """Return the forces by N and seed."""
    return runs.forces


def draw(table: Table) -> base.Canvas:
    """Draw the force of a loss at the start, and the weight at which it has the fit's, over N."""
    sizes = np.unique(table["n_samples"]).tolist()
    figure, axes = marks.grid_of_axes(1, 2, (9.0, 2.8))
    left, right = axes[0]
    inert = table["inert"] == 1
    ratio = np.maximum(table["ratio"], INERT)
    spread = np.random.Generator(np.random.PCG64(0)).uniform(-0.18, 0.18, len(ratio))
    at = np.searchsorted(sizes, table["n_samples"]) + spread
    for ax, values, known in (
        (left, ratio, np.full(len(ratio), True)),
        (right, 1.0 / ratio, ~inert),
    ):
        for state, fill in ((known & ~inert, marks.HULL), (known & inert, "white")):
            ax.plot(at[state], values[state], "o", ms=3.2, mew=0.6, mec=marks.HULL, mfc=fill)
        for place, size in enumerate(sizes):
            here = median_interval(values[(table["n_samples"] == size) & known]).median
            ax.plot([place - 0.3, place + 0.3], [here, here], color="black", lw=1.4)
        ax.axhline(1.0, color=marks.GREY, lw=0.8, ls=(0, (5, 2)))
        ax.set_yscale("log")
        marks.size_axis(ax, sizes)
    left.set_ylabel("RMS force of the loss at weight 1\nover that of the fit")
    right.set_ylabel("weight at which the loss\nhas the force of the fit")
    for place, size in enumerate(sizes):
        count = int(inert[table["n_samples"] == size].sum())
        if count:
            left.text(place, 1.6 * INERT, f"{count} inert", ha="center", fontsize=6.5)
    if inert.all():
        right.set_yticks([])
        right.text(0.5, 0.5, "inert everywhere", transform=right.transAxes, ha="center")
    dot = {"mec": marks.HULL, "marker": "o", "ls": "", "ms": 4}
    handles = [
        marks.entry("seed", color=marks.HULL, **dot),
        marks.entry("median", color="black", lw=1.4),
        marks.entry("as strong as the fit", color=marks.GREY, lw=0.9, ls=(0, (5, 2))),
    ]
    if inert.any():
        handles.insert(1, marks.entry("seed in which the loss is inert", mfc="white", **dot))
    marks.legend_below(figure, handles)
    return figure


def caption(table: Table) -> str:
    """Say what is compared, and what inert means."""
    return (
        "Left: root mean square gradient of the loss at weight 1 over that of the fit, over "
        f"all parameters, at the start of training, for the {len(card.SEEDS)} seeds of each N. "
        "Right: its inverse, the weight at which both are equal; inert seeds have none. A dot is a "
        "seed, spread sideways so that all are seen; bars are medians. Hollow: the loss is "
        f"inert, with less than {INERT:g} of the fit's force; smaller ratios are drawn there."
    )


FIGURE = base.Figure(rows, draw, caption, title="Force at the start")
