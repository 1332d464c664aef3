"""Which claims survive which choices: a bar for every claim and axis."""

from __future__ import annotations

import numpy as np

from mlpspec.analysis.survival import ALL, CHANCE, COMBINED, OUTCOMES
from mlpspec.report.figures import base, marks
from mlpspec.report.figures.verdicts import COLOURS
from mlpspec.store.tables import Table

SHADES = dict(zip(OUTCOMES, ("#009E73", "#D55E00", "#CCCCCC"), strict=True))
"""Colours of what a claim does: those of holds and fails, and grey."""


def draw(table: Table) -> base.Canvas:
    """Draw a bar of counts for each axis (rows) and claim (columns), survivals on the left."""
    claims, axes = base.distinct(table["claim"]), base.distinct(table["axis"])
    figure = base.canvas((9.0, 0.24 * len(axes) + 0.95))
    height = figure.get_figheight()
    ax = figure.add_axes((0.2, 0.6 / height, 0.79, 1.0 - 0.85 / height))
    ax.set(xlim=(-0.06, len(claims)), ylim=(len(axes) + 0.3, -0.6))
    for row in range(len(table["claim"])):
        x, y = claims.index(table["claim"][row]), axes.index(table["axis"][row])
        left = float(x)
        for outcome, colour in SHADES.items():
            count = int(table[outcome.replace(" ", "_")][row])
            width = 0.94 * count / int(table["settings"][row])
            ax.barh(y, width, left=left, height=0.74, color=colour, lw=0)
            if width > 0.07 * len(str(count)):
                ink = "black" if outcome == "undecided" else "white"
                place = left + width / 2, y + 0.03
                ax.text(*place, str(count), fontsize=6.5, color=ink, **marks.CENTRED)
            left += width
    together = next(row for row, axis in enumerate(axes) if axis in (COMBINED, ALL, CHANCE))
    ax.axhline(together - 0.5, color="black", lw=0.6)
    ax.set_yticks(range(len(axes)), axes)
    own = dict(zip(table["claim"].tolist(), table["default"].tolist(), strict=True))
    ax.set_xticks([x + 0.47 for x in range(len(claims))], claims, weight="bold")
    ax.xaxis.tick_top()
    ax.text(-0.12, len(axes) - 0.1, "default", ha="right", va="center", style="italic")
    for x, claim in enumerate(claims):
        box = {"boxstyle": "round,pad=0.2", "fc": COLOURS[own[claim]], "alpha": 0.5, "ec": "none"}
        ax.text(x + 0.47, len(axes) - 0.1, own[claim], fontsize=7, bbox=box, **marks.CENTRED)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    handles = [marks.entry(text, color=c, marker="s", ls="", ms=6) for text, c in SHADES.items()]
    figure.legend(handles=handles, loc="lower center", ncols=len(handles))
    return figure


def caption(table: Table) -> str:
    """Say what a bar is."""
    (count,) = np.unique(table["settings"][table["axis"] == ALL])
    return (
        f"What becomes of each claim (columns; the default's own verdict is below) in {count} "
        "other settings, judged as stated on means over the default's seeds. A bar has all options "
        "of an axis that was changed by itself, or the random combinations, which change several: "
        "in how many the verdict is the default's (survives), in how many it holds where the "
        "default's fails or the reverse (turns round), and in how many it is neither. Other seeds: "
        "the default again, on groups of as many seeds that are not its own, which is what chance "
        "does."
    )


FIGURE = base.Figure(lambda analysis: analysis.survival, draw, caption)
