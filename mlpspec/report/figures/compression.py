"""What survives pruning, quantisation and distillation, and which networks are the smaller ones."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.claims import SHARE_MARGIN
from mlpspec.analysis.comparisons import as_table, select, where
from mlpspec.analysis.compression import NULLS, QUANTITIES, USED, by_level
from mlpspec.metrics.measure import MEASUREMENTS
from mlpspec.report.figures import base
from mlpspec.store.results import Table

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


def rows(analysis: Analysis) -> Table:
    """Return medians by level (``kind`` level) and paired differences of smallest levels."""
    levels = by_level(analysis.grid, analysis.compressed)
    del levels["confidence"]
    table, parts = analysis.compression, []
    for row in np.flatnonzero((table["losses"] != "baseline") & np.isin(table["quantity"], SHOWN)):
        names = ("method", "level", "n_samples", "losses", "seeds")
        shown = {name: table[name][row] for name in names}
        ends = {"value": "difference", "low": "difference_low", "high": "difference_high"}
        shown |= {name: table[column][row] for name, column in ends.items()}
        parts.append({"kind": "difference", "measurement": table["quantity"][row], **shown})
    return as_table([{"kind": "level", **levels}, *parts])


def draw(table: Table) -> base.Canvas:
    """Draw what is measured over the level, a column a method, and below it differences."""
    methods = [method for method in COLUMNS if method in table["method"]]
    levels, differences = (where(table, kind=kind) for kind in ("level", "difference"))
    names = [quantity.measurement for quantity in QUANTITIES]
    lower = [name for name in SHOWN if len(differences["measurement"])]
    heights = [1.0] * len(names) + [1.5] * len(lower)
    inches = (2.05 * len(methods) + 0.6, 1.35 * sum(heights) + 1.1)
    figure, axes = base.grid_of_axes(
        len(heights), len(methods), inches, sharey="row", height_ratios=heights
    )
    sizes = np.unique(table["n_samples"]).tolist()
    size = min(sizes, key=lambda n: abs(n - NEAR))
    alone = [label for label in base.distinct(levels["losses"]) if "+" not in label]
    for column, method in zip(axes.T, methods, strict=True):
        column[0].set_title(COLUMNS[method])
        for ax, name in zip(column, names, strict=False):
            here = where(levels, measurement=name, n_samples=size)
            _levels(ax, name, here, method, alone)
        for ax, name in zip(column[len(names) :], lower, strict=True):
            mine = where(differences, measurement=name)
            _differences(ax, where(mine, method=method), sizes)
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
    looks = base.styles(alone)
    handles = [
        base.entry(base.readable(label), color=colour, marker=marker, ls="-", lw=0.9, ms=4)
        for label, (colour, marker) in looks.items()
    ]
    handles.append(base.entry("null: random, or untaught", color="#555555", ls=":", lw=1.1))
    handles.append(base.entry("margin of survival", color="#555555", ls=(0, (5, 2)), lw=0.7))
    base.legend_below(figure, handles)
    return figure


def _levels(ax: Axes, name: str, rows: Table, method: str, labels: list[str]) -> None:
    """Draw medians over the level, of the method with intervals and of its null without."""
    for place, (label, (colour, marker)) in enumerate(base.styles(labels).items()):
        for drawn in (NULLS.get(method, ""), method):
            line = where(rows, method=drawn, losses=label)
            if name == FIT:
                line |= {end: np.maximum(line[end], LEAST) for end in ("value", "low", "high")}
            line = select(line, np.argsort(line["level"]))
            at = line["level"].copy()
            if method == "quantise":
                at = np.searchsorted(np.unique(rows["level"][rows["method"] == method]), at)
            at = at + (place - (len(labels) - 1) / 2) * (0.012 if method != "quantise" else 0.1)
            if drawn == method:
                look: dict[str, Any] = {"fmt": marker, "ms": 3, "mew": 0, "elinewidth": 0.6}
                base.draw_medians(ax, at, line, color=colour, ls="-", lw=0.8, zorder=3, **look)
            else:
                ax.plot(at, line["value"], ls=":", color=colour, lw=1.0, zorder=2)
    if name in MEASUREMENTS:
        base.scale_values(ax, name)
    if name == "nearest_error":  # about one decade
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    if name == FIT:
        ax.axhline(SHARE_MARGIN, color="#555555", ls=(0, (5, 2)), lw=0.7, zorder=1)
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


def _differences(ax: Axes, rows: Table, sizes: list[int]) -> None:
    """Draw paired differences from the baseline, a line a subset, N one below the other."""
    looks = base.styles(rows["losses"].tolist())
    for place, (label, (colour, _)) in enumerate(looks.items()):
        for number, size in enumerate(sizes):
            mine = where(rows, losses=label, n_samples=size)
            y = place + (number - (len(sizes) - 1) / 2) * 0.2
            ax.plot([mine["low"][0], mine["high"][0]], [y, y], color=colour, lw=0.8)
            ax.plot(mine["value"][0], y, "o", color=colour, ms=2.8, mew=0)
    ax.axvline(0.0, color="#777777", lw=0.6, zorder=0)
    for row in range(1, len(looks)):
        ax.axhline(row - 0.5, color="#DDDDDD", lw=0.4, zorder=0)
    words = [textwrap.fill(base.readable(label), 22) for label in looks]
    ax.set_yticks(range(len(looks)), words, fontsize=6.5)
    ax.set_ylim(len(looks) - 0.5, -0.5)
    ax.tick_params("y", length=0)


def caption(table: Table) -> str:
    """Say what lines, marks and bars are."""
    sizes = np.unique(table["n_samples"])
    size = sizes[np.abs(sizes - NEAR).argmin()]
    seeds = {"seeds": table["seeds"][table["kind"] == "level"]}
    return (
        f"What survives compression. Above, at N = {size}: medians over {base.n_seeds(seeds)} "
        f"seeds and their exact {base.confidence(seeds)} intervals, over the share of neurons "
        "that is left, or the bits of a number (64: as trained); on the left the whole network. "
        "Dotted: the null of the same networks, neurons pruned at random, or the student trained "
        "on the data instead of its teacher. Below, one under the other at "
        f"N = {', '.join(map(str, sizes))}: the smallest level of a network, down to which the fit "
        "leaves at most 0.05 more of the variance unexplained than the whole network does (the "
        "nearest error is larger by at most a tenth of the mean spacing), less that of the "
        "baseline of the same seed; dots and bars are the median of the paired differences and its "
        "exact interval. Left of zero: smaller than the baseline."
    )


FIGURE = base.Figure(
    rows, draw, caption, lambda analysis: bool(analysis.compression), title="Compression"
)
