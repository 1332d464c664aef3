"""The figures: each a function from a table of `mlpspec.report.tables` to a Figure.

Nothing is computed here but places on paper. A subset has one colour and one marker everywhere;
the colours are those of Okabe & Ito (2008), which colour-blind readers can tell apart.
"""

from __future__ import annotations

import io
import itertools
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from scipy.spatial import ConvexHull, QhullError

from mlpspec.arrays import Array
from mlpspec.store.results import Table
from mlpspec.study.subsets import canonical_losses, subset_order

STYLE: dict[str, tuple[str, str]] = {
    "baseline": ("#000000", "o"),
    "coverage": ("#0072B2", "s"),
    "separation": ("#E69F00", "^"),
    "overlap": ("#D55E00", "v"),
    "coverage+separation": ("#009E73", "D"),
    "coverage+overlap": ("#56B4E9", "P"),
    "separation+overlap": ("#CC79A7", "X"),
    "coverage+separation+overlap": ("#7F7F7F", "*"),
}
"""Colour and marker of the subsets of the study."""

OWN_STYLE = (
    ("#882255", "<"),
    ("#117733", ">"),
    ("#332288", "p"),
    ("#999933", "h"),
    ("#AA4499", "d"),
    ("#DDCC77", "H"),
    ("#44AA99", "8"),
    ("#661100", "*"),
)
"""Colour and marker of other subsets, in their order; from Paul Tol's muted palette."""


def styles(labels: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of subsets by label, in canonical order."""
    own = itertools.cycle(OWN_STYLE)
    ordered = sorted(set(labels), key=lambda label: subset_order(canonical_losses(label)))
    return {label: STYLE[label] if label in STYLE else next(own) for label in ordered}


NAMES = {
    "reconstruction_error": "reconstruction error\n(units of x)",
    "nearest_error": "nearest error\n(units of x)",
    "usage_ratio": "usage ratio",
    "distinct_usage_ratio": "distinct usage ratio",
    "fit_fvu": "unexplained variance\nof the fit",
    "outside_fraction": "outside fraction",
    "expelled_fraction": "expelled fraction",
    "silent_fraction": "silent fraction",
    "overshoot": "overshoot\n(units of x)",
}
FLOORS = {"fit_fvu": 1e-12, "reconstruction_error": 1e-3, "nearest_error": 1e-3, "overshoot": 1e-3}
"""Measurements on a logarithmic axis, and where anything smaller, or zero, is drawn."""
NULL_STYLE = {"grid": (0, (5, 2)), "random": (0, (1, 1)), "start": (0, (4, 1, 1, 1))}
NULL_NAMES = {
    "grid": "null: equally spaced grid",
    "random": "null: random prototypes, 95 % band",
    "start": "null: untrained start",
}
RASTER_ABOVE = 2000
"""Points per panel above which they are drawn as a bitmap, also in SVG."""

RC: Any = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.0,
    "svg.fonttype": "path",
    "figure.dpi": 150,
}


def over_sizes(table: Table, style: Mapping[str, tuple[str, str]] | None = None) -> Figure:
    """Draw measurements over N: every seed, medians with intervals, nulls."""
    names = list(dict.fromkeys(table["measurement"].tolist()))
    if style is None:
        style = styles(table["losses"][table["kind"] != "null"].tolist())
    labels = list(style)
    apart = min(0.09, 0.72 / len(labels))
    sizes = sorted(set(table["n_samples"].tolist()))
    columns = 3 if len(names) > 4 else 4
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(10.2, 2.5 * rows + 0.9), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    heavy = (table["kind"] == "run").sum() / len(names) > RASTER_ABOVE
    for ax, name in zip(axes, names, strict=False):
        here = {key: column[table["measurement"] == name] for key, column in table.items()}
        floor = FLOORS.get(name)
        _nulls(ax, here, sizes, floor)
        for place, label in enumerate(labels):
            shift = (place - (len(labels) - 1) / 2) * apart
            colour, marker = style[label]
            mine = here["losses"] == label
            runs, medians = (mine & (here["kind"] == kind) for kind in ("run", "median"))
            at = np.searchsorted(sizes, here["n_samples"]) + shift
            value = here["value"] if floor is None else np.maximum(here["value"], floor)
            ax.plot(
                at[runs],
                value[runs],
                ".",
                ms=3.0,
                mew=0,
                color=colour,
                alpha=0.45,
                rasterized=bool(heavy),
                zorder=2,
            )
            low, high = (
                np.abs(value - (here[end] if floor is None else np.maximum(here[end], floor)))
                for end in ("low", "high")
            )
            ax.errorbar(
                at[medians],
                value[medians],
                (low[medians].tolist(), high[medians].tolist()),  # of one entry, arrays warn
                fmt=marker,
                ms=4,
                mew=0.3,
                mec="white",
                color=colour,
                elinewidth=0.9,
                zorder=3,
            )
        if floor is not None:
            ax.set_yscale("log")
        ax.set_xticks(range(len(sizes)), [str(size) for size in sizes])
        ax.set_xlim(-0.6, len(sizes) - 0.4)
        ax.set_xlabel("number of inputs N")
        ax.set_ylabel(NAMES[name])
    for ax in axes[len(names) :]:
        ax.set_axis_off()
    _legend(figure, style, nulls=True)
    return figure


def _nulls(ax: Axes, here: Table, sizes: list[int], floor: float | None) -> None:
    least = -np.inf if floor is None else floor
    for null, dashes in NULL_STYLE.items():
        mine = (here["kind"] == "null") & (here["losses"] == null)
        if not mine.any():
            continue
        at = np.searchsorted(sizes, here["n_samples"][mine])
        order = np.argsort(at)
        ax.plot(
            at[order],
            np.maximum(here["value"][mine][order], least),
            ls=dashes,
            color="#555555",
            lw=0.8,
            zorder=1,
        )
        low, high = here["low"][mine][order], here["high"][mine][order]
        if np.isfinite(low).all():
            ax.fill_between(
                at[order],
                np.maximum(low, least),
                np.maximum(high, least),
                color="#555555",
                alpha=0.12,
                lw=0,
                zorder=0,
            )


def _readable(label: str) -> str:
    return label.replace("+", " + ").replace("_", " ")


def _legend(figure: Figure, style: Mapping[str, tuple[str, str]], *, nulls: bool = False) -> None:
    handles = [
        Line2D(
            [],
            [],
            color=colour,
            marker=marker,
            ls="",
            ms=5,
            label=_readable(label),
        )
        for label, (colour, marker) in style.items()
    ]
    if nulls:
        handles += [
            Line2D([], [], color="#555555", ls=dashes, lw=0.9, label=NULL_NAMES[null])
            for null, dashes in NULL_STYLE.items()
        ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)


def positions(table: Table) -> Figure:
    """Draw prototypes along the axis: one seed and all seeds, far ones at the edge."""
    style = styles(table["losses"].tolist())
    labels = list(style)
    seeds = np.unique(table["seed"])
    inputs = table["position"][table["kind"] == "input"]
    low, high = inputs.min(), inputs.max()
    edge = 0.75 * (high - low)
    limits = (low - edge, high + edge)
    n_samples = int(
        (
            (table["kind"] == "input")
            & (table["losses"] == labels[0])
            & (table["seed"] == seeds[0])
        ).sum()
    )
    figure = Figure(figsize=(9.0, 0.62 * len(labels) + 1.0), layout="constrained")
    axes = figure.subplots(len(labels), 2, sharex=True, squeeze=False)
    jitter = np.random.Generator(np.random.PCG64(0))
    for row, label in zip(axes, labels, strict=True):
        for ax, chosen in zip(row, (seeds[:1], seeds), strict=True):
            mine = (table["losses"] == label) & np.isin(table["seed"], chosen)
            ticks = table["position"][mine & (table["kind"] == "input")]
            p = table["position"][mine & (table["kind"] == "prototype")]
            ax.axvspan(ticks.min(), ticks.max(), color="#0072B2", alpha=0.10, lw=0)
            if len(chosen) == 1:
                ax.plot(ticks, np.full(len(ticks), -0.75), "|", ms=5, mew=0.5, color="#333333")
            near = (p >= limits[0]) & (p <= limits[1])
            height = jitter.uniform(-0.4, 0.8, len(p))
            ax.plot(
                p[near],
                height[near],
                style[label][1],
                ms=2.6,
                mew=0,
                alpha=0.6,
                color=style[label][0],
                rasterized=len(p) > RASTER_ABOVE,
            )
            for far, at, side in ((p < limits[0], 0.005, "left"), (p > limits[1], 0.995, "right")):
                if far.any():
                    furthest = np.abs(p[far]).max()
                    arrow = f"\u25c0 {far.sum()}, to {furthest:.3g}"
                    if side == "right":
                        arrow = f"{far.sum()}, to {furthest:.3g} \u25b6"
                    ax.text(
                        at,
                        1.0,
                        arrow,
                        transform=ax.transAxes,
                        ha=side,
                        va="top",
                        fontsize=6,
                        color="#333333",
                    )
            ax.set(ylim=(-1, 1.7), yticks=[], xlim=limits)
            ax.spines["left"].set_visible(False)
        row[0].set_ylabel(
            _readable(label).replace(" + ", "\n+ "), rotation=0, ha="right", va="center"
        )
    axes[0, 0].set_title(f"seed {seeds[0]}, inputs as ticks (N = {n_samples})")
    axes[0, 1].set_title(f"{len(seeds)} seeds pooled")
    for ax in axes[-1]:
        ax.set_xlabel("prototype position (units of x); shaded: hull of the inputs")
    return figure


def _panels(
    table: Table, size: tuple[float, float], extra: float, xlabel: str, ylabel: str
) -> tuple[Figure, list[tuple[str, Axes]]]:
    """Return a figure with a panel of ``size`` (inches) per subset, four in a row."""
    style = styles(table["losses"].tolist())
    labels = list(style)
    columns = min(4, len(labels))
    rows = -(-len(labels) // columns)
    inches = (size[0] * columns, size[1] * rows + extra)
    figure = Figure(figsize=inches, layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for ax, label in zip(axes.flat, labels, strict=False):
        ax.set_title(textwrap.fill(_readable(label), 32))
    for ax in axes.flat[len(labels) :]:
        ax.set_axis_off()
    for ax in axes.flat[len(labels) - columns : len(labels)]:  # the lowest of each column
        ax.set_xlabel(xlabel)
        ax.tick_params(labelbottom=True)
    for ax in axes[:, 0]:
        ax.set_ylabel(ylabel)
    return figure, list(zip(labels, axes.flat, strict=False))


def _note(ax: Axes, text: str) -> None:
    """Write a note into the upper left corner of a panel."""
    ax.text(0.03, 0.98, text, transform=ax.transAxes, fontsize=6.5, va="top")


def hull(table: Table) -> Figure:
    """Draw inputs with their hull, ridges and prototypes in the plane, per subset."""
    projected = table["n_inputs"].max() > 2
    names = ("principal axis 1", "principal axis 2") if projected else ("$x_1$", "$x_2$")
    figure, panels = _panels(table, (2.4, 2.4), 0.7, *names)
    inputs = np.stack([table[name][table["kind"] == "input"] for name in "xy"])
    middle = (inputs.max(axis=1) + inputs.min(axis=1)) / 2
    reach = 1.2 * np.ptp(inputs, axis=1).max()
    for label, ax in panels:
        mine = table["losses"] == label
        given = mine & (table["kind"] == "input")
        points = np.stack([table["x"][given], table["y"][given]], axis=1)
        corners = _corners(points)
        ax.fill(corners[:, 0], corners[:, 1], color="#0072B2", alpha=0.10, lw=0)
        ax.plot(*np.vstack([corners, corners[:1]]).T, color="#0072B2", lw=0.8)
        far = 0
        for row in np.flatnonzero(mine & (table["kind"] == "neuron")):
            x, y = table["x"][row], table["y"][row]
            along = np.array([table["dx"][row], table["dy"][row]])
            gone = bool(table["expelled"][row])
            colour = "#D55E00" if gone else "#777777"
            if table["radius"][row]:
                turn = np.linspace(0.0, 2.0 * np.pi, 61)
                line = table["radius"][row] * np.array([np.cos(turn), np.sin(turn)]).T + [x, y]
            else:
                length = 9 * reach + np.hypot(x - middle[0], y - middle[1])
                line = np.array([x, y]) + length * np.array([-along, along])
            ax.plot(
                *line.T,
                color=colour,
                lw=0.6,
                alpha=0.8,
                ls="--" if gone else "-",
                zorder=1,
            )
            ax.plot(
                x, y, "X" if gone else "D", ms=4.5, mew=0.4, mec="white", color=colour, zorder=3
            )
            far += max(abs(x - middle[0]), abs(y - middle[1])) > reach
        ax.plot(*points.T, "o", ms=3, color="#0072B2", zorder=2)
        if far:
            _note(ax, f"{far} beyond the frame")
        ax.set(
            xlim=(middle[0] - reach, middle[0] + reach),
            ylim=(middle[1] - reach, middle[1] + reach),
            aspect="equal",
        )
    shape = "" if projected else " and ridge"
    shape = " and circle of response 1/e" if table["radius"].any() else shape
    figure.legend(
        handles=[
            Line2D([], [], color="#0072B2", marker="o", ls="", ms=4, label="input, and their hull"),
            Line2D(
                [],
                [],
                color="#777777",
                marker="D",
                ls="-" if shape else "",
                ms=4,
                label=f"prototype{shape}",
            ),
            Line2D(
                [],
                [],
                color="#D55E00",
                marker="X",
                ls="--" if shape else "",
                ms=5,
                label="of an expelled neuron",
            ),
        ],
        loc="outside lower center",
        ncols=3,
    )
    return figure


def _corners(points: Array) -> Array:
    """Return the corners of the hull of points (N, 2) in order, or its ends if it is a line."""
    try:
        return np.asarray(points[ConvexHull(points).vertices])
    except QhullError:
        along = np.linalg.svd(points - points.mean(axis=0))[2][0]
        return np.asarray(points[[np.argmin(points @ along), np.argmax(points @ along)]])


def sweep(table: Table) -> Figure:
    """Draw measurements over the temperature, absolute and in units of the spacing squared."""
    names = list(dict.fromkeys(table["measurement"].tolist()))
    sizes = sorted(set(table["n_samples"].tolist()))
    style = styles(table["losses"].tolist())
    labels = list(style)
    panels = [(label, unit) for label in labels for unit in ("temperature", "in_spacing")]
    figure = Figure(figsize=(2.5 * len(panels), 1.75 * len(names) + 0.8), layout="constrained")
    axes = figure.subplots(len(names), len(panels), sharex="col", sharey="row", squeeze=False)
    shades = mpl.colormaps["viridis"](np.linspace(0.0, 0.85, len(sizes)))
    for row, name in zip(axes, names, strict=True):
        for ax, (label, unit) in zip(row, panels, strict=True):
            for size, colour, marker in zip(sizes, shades, "osD^vPX*<>"[: len(sizes)], strict=True):
                mine = (
                    (table["losses"] == label)
                    & (table["n_samples"] == size)
                    & (table["measurement"] == name)
                )
                at = table[unit][mine]
                ax.fill_between(
                    at, table["low"][mine], table["high"][mine], color=colour, alpha=0.15, lw=0
                )
                ax.plot(
                    at,
                    table["value"][mine],
                    marker=marker,
                    ms=3,
                    lw=0.9,
                    color=colour,
                    label=f"N = {size}",
                )
                if label == "coverage" and unit == "temperature":
                    ax.axvline(table["merging"][mine][0], color=colour, lw=0.6, ls=":")
            if label == "coverage":
                if unit == "in_spacing":
                    ax.axvline(1.0, color="#333333", lw=0.7, ls=":")
                else:
                    ax.axvline(np.median(table["collapse"]), color="#333333", lw=0.7, ls="--")
            ax.set_xscale("log")
            ax.xaxis.set_minor_locator(NullLocator())
            if name in FLOORS:
                ax.set_yscale("log")
        row[0].set_ylabel(NAMES[name])
    for ax, (label, _) in zip(axes[0], panels, strict=True):
        ax.set_title(f"{label} alone")
    for ax, (_, unit) in zip(axes[-1], panels, strict=True):
        ax.set_xlabel(r"$\tau$ (units of $x^2$)" if unit == "temperature" else r"$\tau / g^2$")
    handles, names_ = axes[0, 0].get_legend_handles_labels()
    handles += [
        Line2D([], [], color="#333333", lw=0.8, ls=":"),
        Line2D([], [], color="#333333", lw=0.8, ls="--"),
    ]
    names_ += [
        r"theory: merging, $\tau = g^2$",
        r"theory: collapse, $\tau = 2\lambda_{\max}$ (no fit)",
    ]
    figure.legend(handles, names_, loc="outside lower center", ncols=len(names_))
    return figure


def responses(table: Table) -> Figure:
    """Draw every neuron's response, the fitted curve, data and prototypes of one seed."""
    figure, panels = _panels(table, (2.5, 2.0), 0.6, "input x", "response, output")
    style = styles(table["losses"].tolist())
    for label, ax in panels:
        mine = {key: column[table["losses"] == label] for key, column in table.items()}
        kind = {name: mine["kind"] == name for name in set(mine["kind"])}
        axis = mine["x"][kind["output"]]
        for unit in np.unique(mine["unit"][kind["response"]]):
            ax.plot(
                axis,
                mine["y"][kind["response"] & (mine["unit"] == unit)],
                lw=0.6,
                color=style[label][0],
                alpha=0.55,
            )
        ax.plot(axis, mine["y"][kind["output"]], color="#333333", lw=1.4)
        ax.plot(
            mine["x"][kind["datum"]],
            mine["y"][kind["datum"]],
            "o",
            ms=3.5,
            mfc="white",
            mec="#333333",
            mew=0.9,
            zorder=3,
        )
        p = mine["x"][kind["prototype"]]
        near = (p >= axis[0]) & (p <= axis[-1])
        ax.plot(p[near], np.full(near.sum(), -1.45), "^", ms=4, color=style[label][0], mew=0)
        if (~near).any():
            _note(ax, f"{(~near).sum()} beyond the frame")
        ax.set(xlim=(axis[0], axis[-1]), ylim=(-1.65, 1.65))
    figure.legend(
        handles=[
            Line2D([], [], color="#777777", lw=0.8, label="response $h_k(x)$"),
            Line2D([], [], color="#333333", lw=1.4, label="output f(x)"),
            Line2D([], [], color="#333333", marker="o", mfc="white", ls="", ms=4, label="data"),
            Line2D([], [], color="#777777", marker="^", ls="", ms=4, label="prototype $p_k$"),
        ],
        loc="outside lower center",
        ncols=4,
    )
    return figure


def reconstruction(table: Table) -> Figure:
    """Draw true inputs against matched prototypes, per subset."""
    figure, panels = _panels(table, (2.3, 2.2), 0.2, "true input x", "matched prototype")
    low, high = table["input"].min(), table["input"].max()
    margin = 0.125 * (high - low)
    ends = (low - margin, high + margin)
    style = styles(table["losses"].tolist())
    for label, ax in panels:
        mine = table["losses"] == label
        a, b = table["input"][mine], table["prototype"][mine]
        ax.axhspan(low, high, color="#0072B2", alpha=0.08, lw=0)
        ax.plot(ends, ends, color="#999999", lw=0.7)
        inside = (b >= ends[0]) & (b <= ends[1])
        ax.plot(
            a[inside],
            b[inside],
            style[label][1],
            ms=2.8,
            mew=0,
            alpha=0.55,
            color=style[label][0],
            rasterized=int(mine.sum()) > RASTER_ABOVE,
        )
        if (~inside).any():
            share = 100 * (~inside).mean()
            _note(ax, f"{share:.0f} % beyond the frame")
        ax.set(xlim=ends, ylim=ends, aspect="equal")
    return figure


def _frame(table: Table) -> tuple[float, float]:
    """Return the middle and half the width of a frame twice as wide as the hull of the inputs."""
    low, high = float(table["low"].min()), float(table["high"].max())
    return (low + high) / 2, high - low


def trajectories(table: Table) -> Figure:
    """Draw prototypes over training time, side by side, silent neurons hollow."""
    style = styles(table["losses"].tolist())
    labels = list(style)
    figure = Figure(figsize=(2.5 * len(labels), 3.0), layout="constrained")
    axes = figure.subplots(1, len(labels), sharex=True, sharey=True, squeeze=False)[0]
    middle, reach = _frame(table)
    for ax, label in zip(axes, labels, strict=True):
        mine = {key: column[table["losses"] == label] for key, column in table.items()}
        ax.axhspan(mine["low"][0], mine["high"][0], color="#0072B2", alpha=0.10, lw=0)
        for unit in np.unique(mine["unit"]):
            own = mine["unit"] == unit
            time, place = mine["step"][own] + 1, mine["position"][own]
            quiet = mine["silent"][own] == 1
            ax.plot(time, place, color=style[label][0], lw=0.7, alpha=0.7)
            ax.plot(
                time[-1:],
                place[-1:],
                "o",
                ms=4,
                mew=0.8,
                mec=style[label][0],
                mfc="white" if quiet[-1] else style[label][0],
                clip_on=True,
            )
            ax.plot(
                time[quiet][:-1:6],
                place[quiet][:-1:6],
                "o",
                ms=2.2,
                mew=0.5,
                mec=style[label][0],
                mfc="white",
            )
        ended = mine["position"][mine["step"] == mine["step"].max()]
        beyond = int((np.abs(ended - middle) > reach).sum())
        if beyond:
            _note(ax, f"{beyond} end beyond the frame")
        ax.set(xscale="log", ylim=(middle - reach, middle + reach))
        ax.set_xlabel("training step + 1")
        ax.set_title(label)
    axes[0].set_ylabel("prototype position (units of x)")
    return figure


def subsets(table: Table) -> Figure:
    """Draw medians by subset and N as shades, with the active losses as dots on the left."""
    names = list(dict.fromkeys(table["measurement"].tolist()))
    sizes = sorted(set(table["n_samples"].tolist()))
    labels = list(styles(table["losses"].tolist()))
    active = [canonical_losses(label) for label in labels]
    losses = canonical_losses(set(itertools.chain.from_iterable(active)))
    height = max(3.0, 0.16 * len(labels) + 1.3)
    figure = Figure(figsize=(2.1 + 1.45 * len(names), height), layout="constrained")
    widths = [0.16 * len(losses) / 1.2] + [1.0] * len(names)
    axes = figure.subplots(1, len(names) + 1, sharey=True, width_ratios=widths)
    dots, *panels = axes
    for line, own in enumerate(active):
        for place, name in enumerate(losses):
            there = name in own
            dots.plot(place, line, "o", ms=4.2, mew=0, color="#333333" if there else "#DDDDDD")
    dots.set_xticks(range(len(losses)), losses, rotation=90)
    dots.set(yticks=[], xlim=(-0.6, len(losses) - 0.4), ylim=(len(labels) - 0.5, -0.5))
    dots.spines[["left", "bottom"]].set_visible(False)
    dots.tick_params(length=0)
    dots.set_ylabel("subset of losses")
    for ax, name in zip(panels, names, strict=True):
        values = np.full((len(labels), len(sizes)), np.nan)
        mine = table["measurement"] == name
        rows = [labels.index(label) for label in table["losses"][mine]]
        values[rows, np.searchsorted(sizes, table["n_samples"][mine])] = table["value"][mine]
        scale: dict[str, Any] = {}
        if name in FLOORS:
            values = np.maximum(values, FLOORS[name])
            if np.nanmax(values) > 10 * np.nanmin(values):
                scale["norm"] = "log"
        shades = ax.imshow(values, aspect="auto", cmap="viridis", interpolation="none", **scale)
        ax.set_xticks(range(len(sizes)), [str(size) for size in sizes])
        ax.set_xlabel("N")
        ax.tick_params(length=0)
        bar = figure.colorbar(shades, ax=ax, location="top", fraction=0.05, pad=0.02)
        bar.set_label(NAMES[name].replace("\n", " "), fontsize=7)
        bar.ax.tick_params(labelsize=6)
        bar.ax.xaxis.set_minor_locator(NullLocator())
    return figure


CONTRAST_STYLE = (
    ("#0072B2", "o"),
    ("#D55E00", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#E69F00", "v"),
    ("#56B4E9", "P"),
)


def contrast(table: Table) -> Figure:
    """Draw medians with intervals by subset, side by side for the values of other settings."""
    names = list(dict.fromkeys(table["measurement"].tolist()))
    sizes = sorted(set(table["n_samples"].tolist()))
    variants = list(dict.fromkeys(table["variant"].tolist()))
    labels = list(styles(table["losses"].tolist()))
    figure = Figure(figsize=(0.9 + 2.6 * len(sizes), 1.6 * len(names) + 1.5), layout="constrained")
    axes = figure.subplots(len(names), len(sizes), sharex=True, sharey="row", squeeze=False)
    for row, name in zip(axes, names, strict=True):
        floor = FLOORS.get(name, -np.inf)
        for ax, size in zip(row, sizes, strict=True):
            for place, variant in enumerate(variants):
                colour, marker = CONTRAST_STYLE[place]
                mine = (
                    (table["measurement"] == name)
                    & (table["n_samples"] == size)
                    & (table["variant"] == variant)
                )
                shift = (place - (len(variants) - 1) / 2) * min(0.22, 0.7 / len(variants))
                at = np.array([labels.index(label) for label in table["losses"][mine]]) + shift
                value, low, high = (
                    np.maximum(table[end][mine], floor) for end in ("value", "low", "high")
                )
                ax.errorbar(
                    at,
                    value,
                    ((value - low).tolist(), (high - value).tolist()),
                    fmt=marker,
                    ms=3.6,
                    mew=0,
                    elinewidth=0.8,
                    color=colour,
                    label=variant,
                )
            if name in FLOORS:
                ax.set_yscale("log")
            ax.set_xlim(-0.6, len(labels) - 0.4)
        row[0].set_ylabel(NAMES[name])
    for ax, size in zip(axes[0], sizes, strict=True):
        ax.set_title(f"N = {size}")
    for ax in axes[-1]:
        ax.set_xticks(range(len(labels)), [_readable(label) for label in labels])
        ax.tick_params("x", rotation=90, labelsize=7)
    width = 0.06 * max(map(len, variants)) + 0.6  # of an entry, about, in inches
    columns = max(1, min(len(variants), int(figure.get_figwidth() / width)))
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=columns
    )
    return figure


def _signed(value: float) -> str:
    if abs(value) < 0.0005 or np.isnan(value):
        return "0" if value == value else "none"
    return f"{value:+.0f}" if abs(value) >= 10 else f"{value:+.2g}"


def attraction(table: Table) -> Figure:
    """Draw what each attractor leaves of the harm of each repulsion, as shades with numbers."""
    names = list(dict.fromkeys(table["measurement"].tolist()))
    sizes = sorted(set(table["n_samples"].tolist()))
    attractors = list(dict.fromkeys(table["attractor"].tolist()))
    repulsions = list(dict.fromkeys(table["repulsion"].tolist()))
    figure = Figure(figsize=(1.2 + 2.3 * len(sizes), 1.0 + 1.55 * len(names)), layout="constrained")
    axes = figure.subplots(len(names), len(sizes), sharex=True, sharey=True, squeeze=False)
    for row, name in zip(axes, names, strict=True):
        reach = float(np.nanmax(np.abs(table["value"][table["measurement"] == name]))) or 1.0
        limit = min(reach, 1.0)
        for ax, size in zip(row, sizes, strict=True):
            here = (table["measurement"] == name) & (table["n_samples"] == size)
            values = np.full((len(attractors), len(repulsions)), np.nan)
            for i in np.flatnonzero(here):
                line = attractors.index(table["attractor"][i])
                column = repulsions.index(table["repulsion"][i])
                values[line, column] = table["value"][i]
                apart = table["low"][i] > 0 or table["high"][i] < 0
                sure = apart and table["confidence"][i] >= 0.95
                ax.text(
                    column,
                    line,
                    _signed(table["value"][i]),
                    ha="center",
                    va="center",
                    fontsize=6.5,
                    weight="bold" if sure else "normal",
                    color="white" if abs(table["value"][i]) > 0.6 * limit else "black",
                )
            shades = ax.imshow(
                values, aspect="auto", cmap="PuOr_r", vmin=-limit, vmax=limit, interpolation="none"
            )
            ax.set_xticks(range(len(repulsions)), [r.replace("_", "\n") for r in repulsions])
            ax.set_yticks(range(len(attractors)), [a.replace("_", " ") for a in attractors])
            ax.tick_params(length=0, labelsize=7)
            ax.spines[:].set_visible(False)
        bar = figure.colorbar(shades, ax=row[-1], fraction=0.06, pad=0.03)
        bar.set_label(NAMES[name].replace("\n", " "), fontsize=7)
        bar.ax.tick_params(labelsize=6)
        row[0].set_ylabel("attractor")
    for ax, size in zip(axes[0], sizes, strict=True):
        ax.set_title(f"N = {size}")
    for ax in axes[-1]:
        ax.set_xlabel("repulsion")
    return figure


VERDICT_STYLE = {
    "holds": ("#009E73", "holds"),
    "fails": ("#D55E00", "fails"),
    "mixed": ("#E69F00", "mixed"),
    "transient": ("#CC79A7", "transient"),
    "undetermined": ("#999999", "undetermined"),
    "untested": ("#CCCCCC", "untested"),
}


def verdicts(table: Table) -> Figure:
    """Draw the verdict table."""
    claims = list(dict.fromkeys(table["claim"].tolist()))
    bases = list(dict.fromkeys(table["basis"].tolist()))
    figure = Figure(figsize=(9.0, 0.36 * len(claims) + 0.55))
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
            colour, word = VERDICT_STYLE[verdict]
            dark = verdict in ("untested", "mixed")
            ax.text(
                place,
                line + 0.5,
                word,
                ha="center",
                va="center",
                color="black" if dark else "white",
                fontsize=7.5,
                bbox={"boxstyle": "round,pad=0.25", "fc": colour, "ec": "none"},
            )
    return figure


INERT_AT = 1e-6
"""Where forces below it are drawn: no weight is given a meaning there."""

WEIGHT_STYLE = (("#000000", "o"), ("#56B4E9", "s"), ("#0072B2", "^"), ("#D55E00", "D"))
"""Colour and marker of the baseline and of the weights of a loss, ascending."""


def force(table: Table) -> Figure:
    """Draw the force of a loss at the start, and the weight at which it has the fit's, over N."""
    sizes = sorted(set(table["n_samples"].tolist()))
    figure = Figure(figsize=(9.0, 2.8), layout="constrained")
    panels = figure.subplots(1, 2)
    inert = table["inert"] == 1
    ratio = np.maximum(table["ratio"], INERT_AT)
    spread = np.random.Generator(np.random.PCG64(0)).uniform(-0.18, 0.18, len(ratio))
    at = np.searchsorted(sizes, table["n_samples"]) + spread
    shown = ((ratio, np.full(len(ratio), True)), (1.0 / ratio, ~inert))
    for ax, (values, known) in zip(panels, shown, strict=True):
        for state, fill in ((known & ~inert, "#0072B2"), (known & inert, "white")):
            ax.plot(at[state], values[state], "o", ms=3.2, mew=0.6, mec="#0072B2", mfc=fill)
        for place, size in enumerate(sizes):
            mine = values[(table["n_samples"] == size) & known]
            if len(mine):
                ax.plot([place - 0.3, place + 0.3], [np.median(mine)] * 2, color="black", lw=1.4)
        ax.axhline(1.0, color="#555555", lw=0.8, ls=(0, (5, 2)))
        ax.set_yscale("log")
        ax.set_xticks(range(len(sizes)), [str(size) for size in sizes])
        ax.set_xlim(-0.6, len(sizes) - 0.4)
        ax.set_xlabel("number of inputs N")
    panels[0].set_ylabel("RMS force of the loss at weight 1\nover that of the fit")
    panels[1].set_ylabel("weight at which the loss\nhas the force of the fit")
    for place, size in enumerate(sizes):
        count = int(inert[table["n_samples"] == size].sum())
        if count:
            panels[0].text(place, 1.6 * INERT_AT, f"{count} inert", ha="center", fontsize=6.5)
    if inert.all():
        panels[1].set_yticks([])
        panels[1].text(0.5, 0.5, "inert everywhere", transform=panels[1].transAxes, ha="center")
    handles = [
        Line2D([], [], color="#0072B2", marker="o", ls="", ms=4, label="seed"),
        Line2D([], [], color="black", lw=1.4, label="median"),
        Line2D([], [], color="#555555", lw=0.9, ls=(0, (5, 2)), label="as strong as the fit"),
    ]
    if inert.any():
        of = "seed in which the loss is inert"
        hollow = Line2D([], [], mfc="white", mec="#0072B2", marker="o", ls="", ms=4, label=of)
        handles.insert(1, hollow)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def alone(table: Table) -> Figure:
    """Draw what a loss alone does to prototypes: three seeds on a line, one in the plane."""
    figure = Figure(figsize=(9.6, 4.1), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.45, 1.0), squeeze=False)[0]
    line = {name: values[table["n_inputs"] == 1] for name, values in table.items()}
    seeds = np.unique(line["seed"])[:3]
    axes = left.subplots(len(seeds), 1, sharex=True, squeeze=False)[:, 0]
    reach = 1.8
    for ax, seed in zip(axes, seeds, strict=True):
        x = {
            kind: line["x"][(line["seed"] == seed) & (line["kind"] == kind)]
            for kind in ("input", "start", "end")
        }
        ax.axvspan(x["input"].min(), x["input"].max(), color="#0072B2", alpha=0.10, lw=0)
        ax.plot(x["input"], np.full(len(x["input"]), 1.3), "|", ms=7, mew=0.8, color="#0072B2")
        ax.plot([x["start"], x["end"]], [0.0, 1.0], color="#777777", lw=0.5, zorder=1)
        ax.plot(x["start"], np.zeros(len(x["start"])), "o", ms=3.5, mfc="white", mec="#777777")
        ax.plot(x["end"], np.ones(len(x["end"])), "D", ms=3.5, mew=0, color="#D55E00", alpha=0.7)
        for side, far in (("left", x["end"] < -reach), ("right", x["end"] > reach)):
            if far.any():
                text = f"{far.sum()}, to {_distance(np.abs(x['end'][far]).max())}"
                text = f"\u25c0 {text}" if side == "left" else f"{text} \u25b6"
                where = 0.005 if side == "left" else 0.995
                ax.text(where, 0.98, text, transform=ax.transAxes, ha=side, va="top", fontsize=6.5)
        ax.set(xlim=(-reach, reach), ylim=(-0.25, 1.75))
        ax.set_yticks([0.0, 1.0, 1.3], ["start", "end", "inputs"])
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.set_title(f"on a line, seed {seed}", loc="left")
    axes[-1].set_xlabel("position (units of x); shaded: hull of the inputs")

    ax = right.subplots()
    plane = {name: values[table["n_inputs"] == 2] for name, values in table.items()}
    first = plane["seed"] == plane["seed"].min()
    points = {
        kind: np.stack([plane["x"], plane["y"]], axis=1)[first & (plane["kind"] == kind)]
        for kind in ("input", "start", "end")
    }
    corners = points["input"][ConvexHull(points["input"]).vertices]
    ax.fill(*corners.T, color="#0072B2", alpha=0.10, lw=0)
    moves = np.stack([points["start"], points["end"]])
    ax.plot(moves[:, :, 0], moves[:, :, 1], color="#777777", lw=0.5, zorder=1)
    ax.plot(*points["start"].T, "o", ms=4, mfc="white", mec="#777777")
    ax.plot(*points["input"].T, "+", ms=6, mew=1.0, color="#0072B2", zorder=3)
    ax.plot(*points["end"].T, "D", ms=4, mew=0, color="#D55E00", alpha=0.7, zorder=2)
    far = int((np.abs(points["end"]) > reach).any(axis=1).sum())
    furthest = np.linalg.norm(points["end"], axis=1).max()
    beyond = f"; {far} beyond the frame, to {_distance(furthest)}" if far else ""
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    ax.set(xlabel="$x_1$ (units of x)", ylabel="$x_2$ (units of x)")
    ax.set_title(f"in the plane, seed {plane['seed'].min()}{beyond}", loc="left")
    figure.legend(
        handles=[
            Line2D([], [], color="#0072B2", marker="+", mew=1.2, ls="", ms=6, label="input"),
            Line2D(
                [],
                [],
                mfc="white",
                mec="#777777",
                marker="o",
                ls="",
                ms=4,
                label="prototype, start",
            ),
            Line2D([], [], color="#D55E00", marker="D", ls="", ms=4, label="prototype, end"),
        ],
        loc="outside lower center",
        ncols=3,
    )
    return figure


def _distance(value: float) -> str:
    return f"{value:,.0f}" if 1e3 <= value < 1e6 else f"{value:.3g}"


def effect(table: Table) -> Figure:
    """Draw measurements of baseline and weights over N."""
    labels = dict.fromkeys(table["losses"][table["kind"] != "null"].tolist())
    figure = over_sizes(table, dict(zip(labels, WEIGHT_STYLE, strict=True)))
    for ax in figure.axes:
        low, high = ax.get_ylim()
        if low < 0.0:  # a share: where all are 0, the axis would show rounding
            ax.set_ylim(-0.05 * max(high, 0.2), max(high, 0.2))
    return figure


FIGURES: dict[str, Callable[[Table], Figure]] = {
    "outcomes": over_sizes,
    "positions": positions,
    "expulsion": over_sizes,
    "reconstruction": reconstruction,
    "responses": responses,
    "hull": hull,
    "sweep": sweep,
    "trajectories": trajectories,
    "verdicts": verdicts,
    "subsets": subsets,
    "contrast": contrast,
    "attraction": attraction,
}
"""Every figure of a report by name."""

CARD_FIGURES: dict[str, Callable[[Table], Figure]] = {
    "force": force,
    "alone": alone,
    "effect": effect,
}
"""Every figure of a loss card by name."""


def draw(name: str, table: Table) -> Figure:
    """Return the figure of a table, laid out; ``name`` is what `tables.of` calls it."""
    with mpl.rc_context(RC):
        figure = (FIGURES | CARD_FIGURES)[name.partition("-")[0]](table)
        figure.draw_without_rendering()
        figure.draw_without_rendering()  # again, with the places that fixed aspects left
        figure.set_layout_engine("none")  # what is laid out stays so in every format
    return figure


def render(name: str, figure: Figure, format: str) -> bytes:
    """Return a figure as bytes: ``svg``, ``png`` or ``pdf``; the same for the same figure."""
    buffer = io.BytesIO()
    metadata: dict[str, Any] = {"Date": None} if format == "svg" else {}
    if format == "pdf":
        metadata = {"CreationDate": None}
    if format == "png":
        metadata = {"Software": None}
    with mpl.rc_context({**RC, "svg.hashsalt": name}):
        figure.savefig(
            buffer, format=format, metadata=metadata, dpi=200 if format == "png" else 150
        )
    return buffer.getvalue()


def animate(table: Table, path: str) -> None:
    """Write the trajectories as an animated GIF."""
    from matplotlib.animation import FuncAnimation, PillowWriter
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    style = styles(table["losses"].tolist())
    labels = list(style)
    steps = np.unique(table["step"])
    middle, reach = _frame(table)
    with mpl.rc_context(RC):
        figure = Figure(figsize=(7.0, 2.6), layout="constrained")
        FigureCanvasAgg(figure)
        ax = figure.subplots()
        ax.axvspan(table["low"][0], table["high"][0], color="#0072B2", alpha=0.10, lw=0)
        ax.set_yticks(range(len(labels)), labels)
        ax.set(xlim=(middle - reach, middle + reach), ylim=(len(labels) - 0.5, -0.5))
        ax.set_xlabel("prototype position (units of x); shaded: hull; hollow: silent")

        def frame(step: int) -> list[Any]:
            for old in [*ax.lines]:
                old.remove()
            for place, label in enumerate(labels):
                now = (table["losses"] == label) & (table["step"] == step)
                for quiet, fill in ((0, style[label][0]), (1, "white")):
                    some = now & (table["silent"] == quiet)
                    ax.plot(
                        table["position"][some],
                        np.full(some.sum(), place),
                        "o",
                        ms=6,
                        mec=style[label][0],
                        mfc=fill,
                        mew=1.0,
                    )
            ax.set_title(f"step {step}", loc="left")
            return []

        movie = FuncAnimation(figure, frame, frames=[*steps, *[steps[-1]] * 12], blit=False)
        movie.save(path, writer=PillowWriter(fps=10), dpi=90)
