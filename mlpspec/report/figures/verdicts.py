"""The verdicts on the claims, as a table."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpspec.analysis.analysis import Analysis
from mlpspec.report.figures import base
from mlpspec.store.results import Table

COLOURS = {
    "holds": "#009E73",
    "fails": "#D55E00",
    "mixed": "#E69F00",
    "in part": "#56B4E9",
    "transient": "#CC79A7",
    "undetermined": "#999999",
    "untested": "#CCCCCC",
}


def draw(table: Table) -> base.Canvas:
    """Draw the verdict table."""
    claims, bases = base.distinct(table["claim"]), base.distinct(table["basis"])
    figure = base.Canvas(figsize=(9.0, 0.36 * len(claims) + 0.55))
    ax = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    ax.set_axis_off()
    ax.set(xlim=(0, 100), ylim=(len(claims) + 0.05, -0.95))
    places = np.linspace(60, 91, len(bases))
    for place, basis in zip(places, bases, strict=True):
        ax.text(place, -0.45, basis.replace(", ", ",\n"), ha="center", va="center", weight="bold")
    ax.text(0.5, -0.45, "claim", va="center", weight="bold")
    for line, claim in enumerate(claims):
        if line % 2 == 0:
            ax.axhspan(line, line + 1, color="#F3F3F3", lw=0)
        text = table["text"][table["claim"] == claim][0]
        ax.text(0.5, line + 0.5, claim, va="center", weight="bold")
        ax.text(5, line + 0.5, text, va="center", fontsize=7.2)
        for place, basis in zip(places, bases, strict=True):
            (verdict,) = table["verdict"][(table["claim"] == claim) & (table["basis"] == basis)]
            colour = "black" if verdict in ("untested", "mixed", "in part") else "white"
            box = {"boxstyle": "round,pad=0.25", "fc": COLOURS[verdict], "ec": "none"}
            look: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7.5}
            ax.text(place, line + 0.5, verdict, color=colour, bbox=box, **look)
    return figure


CAPTION = (
    "The claims. Stated: on the means and medians of this directory's own runs. Calibrated: on "
    "fresh seeds, size by size with a margin of substance; in part: at some sizes. Untested until "
    "those runs are there."
)
FIGURE = base.Figure(
    Analysis.claims_table, draw, lambda _: CAPTION, lambda analysis: bool(analysis.verdicts)
)
