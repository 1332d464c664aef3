"""What survives pruning, quantisation and distillation, and down to which level, by subset."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import as_table, select, where
from mlpspec.analysis.compression import NULLS, QUANTITIES, USED, by_level
from mlpspec.metrics.measure import MEASUREMENTS
from mlpspec.report.figures import base, marks
from mlpspec.report.figures.powers import Powers
from mlpspec.shown import readable
from mlpspec.store.tables import Table

COLUMNS = {
    "prune_height": "pruned by |v|",
    "prune_fit": "pruned by loss of fit",
    "prune_fit(refit=1)": "the same, v and c refitted",
    "distil": "student",
    "quantise": "quantised",
}
"""Titles of the methods that are drawn; their nulls are drawn with them."""

NEAR = 20
"""The N of the upper part is the one nearest to this."""

FIT = "fit_fvu"

SHOWN = ("fit", "nearness")
"""The quantities of the lower part."""

LEAST = 1e-6
"""Unexplained variance below which a network fits as well as any: the axis ends there."""

LABELS = {
    USED: "used neurons\nover N",
    "fit": "smallest level for the fit,\nless the baseline's",
    "nearness": "smallest level for nearness,\nless the baseline's",
}


STUDENT = "narrow"
"""The null that is the same network for all subsets."""

UNREADABLE = ("quantise", "nearness")
"""Not drawn: from some bits to "at no level" (65) it is so far that nothing else could be read."""


def rows(analysis: Analysis) -> Table:
    """Return medians by level, paired differences of smallest levels, and the common standard.

    They are told apart by ``kind``: level, difference, standard (the worst that survives, given
    the median of the whole baseline networks).
    """
    if not analysis.compression:
        return {}
    levels = by_level(analysis.grid, analysis.compressed)
    del levels["confidence"]
    table = analysis.compression
    parts: list[dict[str, Any]] = []
    shown = ("method", "level", "n_samples", "losses", "seeds")
    for row in np.flatnonzero(np.isfinite(table["p"]) & np.isin(table["quantity"], SHOWN)):
        part = {name: table[name][row] for name in shown}
        ends = {"value": "difference", "low": "difference_low", "high": "difference_high"}
        part |= {name: table[column][row] for name, column in ends.items()}
        parts.append({"kind": "difference", "measurement": table["quantity"][row], **part})
    for quantity in QUANTITIES:
        for size, at in analysis.compressed.items():
            of = {"losses": "baseline", "measurement": quantity.measurement, "n_samples": size}
            whole = select(where(levels, **of), np.arange(1))  # the first is not compressed
            for end in ("value", "low", "high"):
                whole[end] = quantity.allowed(whole[end], at.spacing)
            parts.append({"kind": "standard", **whole})
    return as_table([{"kind": "level", **levels}, *parts])


def draw(table: Table) -> base.Canvas:
    """Draw what is measured over the level, a column a method, and below it differences."""
    methods = [method for method in COLUMNS if method in table["method"]]
    kinds = ("level", "difference", "standard")
    levels, differences, standards = (where(table, kind=kind) for kind in kinds)
    names = [quantity.measurement for quantity in QUANTITIES]
    lower = [name for name in SHOWN if len(differences["measurement"])]
    heights = [1.0] * len(names) + [1.5] * len(lower)
    inches = (2.05 * len(methods) + 0.6, 1.35 * sum(heights) + 1.1)
    figure, axes = marks.grid_of_axes(
        len(heights), len(methods), inches, sharey="row", height_ratios=heights
    )
    sizes = marks.size_styles(table["n_samples"])
    size = min(sizes, key=lambda n: abs(n - NEAR))
    alone = [label for label in base.distinct(levels["losses"]) if "+" not in label]
    for column, method in zip(axes.T, methods, strict=True):
        column[0].set_title(COLUMNS[method])
        for ax, name in zip(column, names, strict=False):
            here = where(levels, measurement=name, n_samples=size)
            _levels(ax, name, here, method, alone)
            (worst,) = where(standards, measurement=name, n_samples=size)["value"]
            ax.axhline(worst, color=marks.GREY, ls=(0, (5, 2)), lw=0.7, zorder=1)
        for ax, name in zip(column[len(names) :], lower, strict=True):
            if (method, name) == UNREADABLE:
                ax.set_axis_off()
                continue
            mine = where(differences, measurement=name)
            here = where(mine, method=method)
            words = {
                label: textwrap.fill(readable(label), 22)
                for label in marks.subset_styles(here["losses"].tolist())
            }
            marks.draw_differences(ax, here, words, sizes, ms=3.0, elinewidth=0.8)
            ax.tick_params("y", labelsize=6.5)
            if method != "quantise":
                shares = [name for name in methods if name != "quantise"]
                ends = select(mine, np.isin(mine["method"], shares))
                reach = 1.1 * np.nanmax(np.abs([ends["low"], ends["high"]]), initial=0.1)
                ax.set_xlim(-reach, reach)
            ax.set_xlabel("bits" if method == "quantise" else "share of neurons")
        bits = method == "quantise"
        column[len(names) - 1].set_xlabel("bits" if bits else "share of neurons left")
    for ax, name in zip(axes[:, 0], [*names, *lower], strict=True):
        ax.set_ylabel(LABELS[name] if name in LABELS else MEASUREMENTS[name].axis)
    handles = marks.entries(marks.subset_styles(alone), ls="-", lw=0.9, ms=4)
    handles.append(marks.entry("null", color=marks.GREY, ls=":", lw=1.1))
    handles.append(marks.entry("worst that survives", color=marks.GREY, ls=(0, (5, 2)), lw=0.7))
    marks.legend_below(figure, handles + marks.entries(sizes, ms=4))
    return figure


def _levels(ax: Axes, name: str, rows: Table, method: str, labels: list[str]) -> None:
    """Draw medians over the level, of the method with intervals and of its null without."""
    for place, (label, (colour, marker)) in enumerate(marks.subset_styles(labels).items()):
        for drawn in (NULLS.get(method, ""), method):
            line = where(rows, method=drawn, losses=label)
            if drawn == STUDENT:  # drawn once, and without the whole network, which is no student
                line = select(line, (line["level"] < 1.0) & (place == 0))
            if name == FIT:
                line |= {end: np.maximum(line[end], LEAST) for end in ("value", "low", "high")}
            line = select(line, np.argsort(line["level"]))
            at = line["level"].copy()
            if method == "quantise":
                at = np.searchsorted(np.unique(rows["level"][rows["method"] == method]), at)
            at = at + (place - (len(labels) - 1) / 2) * (0.012 if method != "quantise" else 0.1)
            if drawn == method:
                look: dict[str, Any] = {"fmt": marker, "ms": 3, "mew": 0, "elinewidth": 0.6}
                marks.draw_medians(ax, at, line, color=colour, ls="-", lw=0.8, zorder=3, **look)
            else:
                ax.plot(
                    at,
                    line["value"],
                    ls=":",
                    lw=1.0,
                    zorder=2,
                    color=marks.GREY if drawn == STUDENT else colour,
                )
    if name in MEASUREMENTS:
        marks.scale_values(ax, name)
    if name == "nearest_error":  # about one decade
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    if name == FIT:
        ax.set_ylim(LEAST / 2.0, 3.0)
    ax.minorticks_off()
    if method == "quantise":
        known = np.unique(rows["level"][rows["method"] == method])
        words = [f"{bits:.0f}" for bits in known]
        ax.set_xticks(range(len(known)), words)
        ax.set_xlim(len(known) - 0.5, -0.5)
    else:
        ax.set_xlim(1.05, 0.05)
        ax.set_xticks([1.0, 0.8, 0.6, 0.4, 0.2])


def caption(table: Table) -> str:
    """Say what lines, marks and bars are."""
    sizes = np.unique(table["n_samples"])
    size = sizes[np.abs(sizes - NEAR).argmin()]
    seeds = {"seeds": table["seeds"][table["kind"] == "level"]}
    count = int((table["kind"] == "difference").sum())
    return (
        f"What survives compression. Rows one to four, at N = {size}: medians over "
        f"{base.n_seeds(seeds)} seeds and their exact {base.confidence(seeds)} intervals, over the "
        "share of neurons that is left, or the bits of a number (64: as trained); on the left the "
        f"whole network. The axis of the fit ends at {Powers()(LEAST)}. Dotted: the null, the same "
        "networks pruned at random, or the student trained on the data instead of a teacher, which "
        "is the same for all subsets. Dashed: the worst that survives, which is what the whole "
        "baseline network has (here the median), worsened by 0.05, or by a tenth of the mean "
        "spacing for the nearest error. Below N = 20 a margin of 0.05 means not one hit lost. "
        f"Rows five and six, at N = {', '.join(map(str, sizes))}: the smallest level down to which "
        "a quantity survives, judged by the whole baseline network of the same seed, less that of "
        "the baseline; marks and bars are the median of the paired differences and its exact "
        "interval. Row five, the fit: left of zero, it survives in fewer neurons, or bits, than "
        "the baseline's does. Row six, nearness: the same of the nearest error, where 1.1 counts "
        "if not even the whole network survives. Refitting moves no prototype, so that two columns "
        "are equal; of bits it is not drawn, since 65 counts there, and no other difference could "
        f"be read. With those, rows five and six are {count} comparisons; p and Holm's p, over the "
        "subsets and N of a quantity and method, are in compression.csv. Levels are few, and ties "
        "are left out of the test: an interval can touch zero where Holm's p is small."
    )


FIGURE = base.Figure(rows, draw, caption)
