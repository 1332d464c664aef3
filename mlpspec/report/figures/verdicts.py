"""The verdicts on the claims, as a table with a mark for every N."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.claims import BOTH_WAYS, found_at
from mlpspec.report.figures import base, marks
from mlpspec.store.tables import Table

COLOURS = {
    "holds": "#009E73",
    "fails": "#D55E00",
    "mixed": "#E69F00",
    "in part": "#56B4E9",
    "transient": "#CC79A7",
    "undetermined": "#999999",
    "untested": "#CCCCCC",
}


MARKS: dict[str, dict[str, Any]] = {
    "met": {"marker": "o", "color": "#00704f"},
    "not met": {"marker": "o", "color": "#666666", "mfc": "white"},
    "contradicted": {"marker": "x", "color": "#b04a00", "mew": 1.3},
}
"""Looks of what was found at an N."""


def draw(table: Table) -> base.Canvas:
    """Draw the verdicts, with a mark for every N."""
    claims, bases = base.distinct(table["claim"]), base.distinct(table["basis"])
    height = 0.42 * len(claims) + 1.0
    figure = base.canvas((9.0, height))
    ax = figure.add_axes((0.01, 0.45 / height, 0.98, 1.0 - 0.45 / height))
    ax.set_axis_off()
    ax.set(xlim=(0, 100), ylim=(len(claims) + 0.05, -0.95))
    places = np.linspace(60, 91, len(bases))
    for place, basis in zip(places, bases, strict=True):
        ax.text(place, -0.45, basis.replace(", ", ",\n"), weight="bold", **marks.CENTRED)
    ax.text(0.5, -0.45, "claim", va="center", weight="bold")
    found = [found_at(*row) for row in zip(*(table[c].tolist() for c in COLUMNS), strict=True)]
    sizes = sorted(set().union(*found))
    for line, claim in enumerate(claims):
        if line % 2 == 0:
            ax.axhspan(line, line + 1, color="#F3F3F3", lw=0)
        text = table["text"][table["claim"] == claim][0]
        ax.text(0.5, line + 0.5, claim, va="center", weight="bold")
        ax.text(5, line + 0.5, text, va="center", fontsize=7.2)
        for place, basis in zip(places, bases, strict=True):
            (row,) = np.flatnonzero((table["claim"] == claim) & (table["basis"] == basis))
            verdict = str(table["verdict"][row])
            colour = "black" if verdict in ("untested", "mixed", "in part") else "white"
            box = {"boxstyle": "round,pad=0.2", "fc": COLOURS[verdict], "ec": "none"}
            look: dict[str, Any] = {"color": colour, "bbox": box, **marks.CENTRED}
            ax.text(place, line + 0.33, verdict, fontsize=7.5, **look)
            apart = min(1.6, 13.0 / max(1, len(sizes)))
            for size, word in found[row].items():
                at = place + (sizes.index(size) - (len(sizes) - 1) / 2) * apart
                ax.plot(at, line + 0.78, ls="", ms=4, **MARKS[word])
    if sizes:
        entries = [marks.entry(f"at N = {', '.join(map(str, sizes))}:", ls="")]
        entries += [marks.entry(word, ls="", ms=5, **look) for word, look in MARKS.items()]
        for claim in BOTH_WAYS.intersection(claims):
            entries.append(marks.entry(f"({claim}: lower, not lower, higher)", ls=""))
        figure.legend(handles=entries, loc="lower center", ncols=len(entries))
    return figure


COLUMNS = ("sizes", "met_at", "against_at")

CAPTION = (
    "The claims. Stated: on the means and medians of this directory's own runs. Calibrated: on "
    "fresh seeds, size by size with a margin of substance; in part: at some sizes. Untested until "
    "those runs are there."
)
FIGURE = base.Figure(Analysis.claims_table, draw, lambda _: CAPTION)
