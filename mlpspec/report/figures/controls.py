"""The answers to the questions of the controls, with the intervals that they rest on."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from mlpspec.analysis.comparisons import where
from mlpspec.report.figures import base, marks
from mlpspec.store.tables import Table
from mlpspec.study.controls import EFFECTS

ANSWERS = {"yes": "#009E73", "no": "#D55E00", "undecided": "#999999"}
MARKERS = "os^DvPX*"
NAMES = ("question", "one", "other", "measurement")
"""The columns that say which question a row answers."""

LINE = 0.27
"""Height of a question, in inches."""


def draw(table: Table) -> base.Canvas:
    """Draw the effects by variant, a panel each, and below them all other questions."""
    effects = [text for text, *_ in EFFECTS]
    variants = base.distinct(_variants(table))
    others = [row for row in _questions(table) if row[0] not in effects]
    longest = -(-len(others) // 2)
    heights = [LINE * len(variants), LINE * longest]
    size = sum(heights) + 1.9
    figure = base.canvas((10.2, size))
    limit = _limit(table)
    top = 1.0 - 0.35 / size
    width = 0.82 / len(effects)
    for column, effect in enumerate(effects):
        left = 0.165 + column * width
        ax = figure.add_axes((left, top - heights[0] / size, width - 0.03, heights[0] / size))
        mine = where(table, question=effect)
        for row, variant in enumerate(variants):
            _answers(ax, row, where(mine, one=f"{mine['one'][0].split(' (')[0]} ({variant})"))
        _frame(ax, variants if column == 0 else [""] * len(variants), limit)
        ax.set_title(f"{effect}?")
    bottom = top - (heights[0] + 0.75) / size - heights[1] / size
    for column in range(2):
        some = others[column * longest : (column + 1) * longest]
        high = LINE * len(some) / size
        if not some:
            break
        place = (0.29 + 0.495 * column, bottom + heights[1] / size - high, 0.2, high)
        ax = figure.add_axes(place)
        for row, names in enumerate(some):
            _answers(ax, row, where(table, **dict(zip(NAMES, names, strict=True))))
        _frame(ax, [_words(*names) for names in some], limit)
        ax.set_xlabel("difference, in margins")
    handles = [marks.entry(text, color=c, marker="s", ls="", ms=6) for text, c in ANSWERS.items()]
    handles += [
        marks.entry(f"N = {n_samples}", color="black", marker=marker, ls="", ms=4)
        for n_samples, marker in zip(np.unique(table["n_samples"]), MARKERS, strict=False)
    ]
    figure.legend(handles=handles, loc="lower center", ncols=len(handles))
    return figure


def _variants(table: Table) -> Any:
    """Return the variant of the first side of each row."""
    return np.array([one.rpartition("(")[2].rstrip(")") for one in table["one"].tolist()])


def _questions(table: Table) -> list[tuple[str, ...]]:
    return list(dict.fromkeys(zip(*(table[name].tolist() for name in NAMES), strict=True)))


def _words(question: str, one: str, other: str, _: str) -> str:
    """Return a question with the subset that it is about, and the two sides."""
    losses, _, variant = one.rstrip(")").partition(" (")
    return f"{question}? {losses}: {variant} / {other.rpartition('(')[2].rstrip(')')}"


def _answers(ax: Axes, row: int, rows: Table) -> None:
    """Draw the intervals of one question, one below the other by N."""
    count = len(rows["n_samples"])
    for place in range(count):
        sign = -1.0 if rows["direction"][place] == "lower" else 1.0
        scale = sign / rows["margin"][place]
        middle, *ends = (scale * rows[name][place] for name in ("median", "low", "high"))
        y = row + (place - (count - 1) / 2) * 0.26
        colour = ANSWERS[rows["answer"][place]]
        ax.plot(sorted(ends), (y, y), color=colour, lw=0.9)
        ax.plot(middle, y, MARKERS[place], color=colour, ms=3.2, mew=0)


def _limit(table: Table) -> float:
    """Return where the axes end, in margins: at 100, or at 10,000 if that is not enough."""
    ends = np.abs([table[name] / table["margin"] for name in ("median", "low", "high")])
    return 1e2 if np.nanmax(ends, initial=1.0) <= 1e2 else 1e4


def _frame(ax: Axes, words: list[str], limit: float) -> None:
    ticks = np.geomspace(1.0, limit, 3)
    marks.scale_beyond_one(ax, 0.6, [*-ticks[::-1], *ticks])
    ax.set_xlim(-1.2 * limit, 1.2 * limit)
    ax.axvspan(-1.0, 1.0, color="#EEEEEE", lw=0, zorder=0)
    marks.name_lines(ax, words)
    ax.tick_params("y", labelsize=6.5)


def caption(table: Table) -> str:
    """Say what is asked, and what a mark is."""
    return (
        "The controls. Above: whether the effects are there in each variant, as a difference from "
        "the baseline of the same variant. Below: what else is asked of two groups of runs. Marks "
        f"and bars: median difference of {table['pairs'].max()} pairs, at the most, and its exact "
        "interval, in units of the margin (a tenth of the mean spacing for errors, 0.05 for "
        "shares, a factor of ten for gradients); the band is what does not matter. Yes: beyond the "
        "margin on the right (on either side, if it is asked whether something differs), and "
        "significant after Holm over all questions; no: the interval ends before it."
    )


FIGURE = base.Figure(lambda analysis: analysis.controls, draw, caption)
