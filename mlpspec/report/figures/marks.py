"""What figures share on paper: styles of subsets and sizes, panels, axes, marks and legends.

A subset has one colour and one marker everywhere; the colours are those of Okabe & Ito (2008),
which colour-blind readers can tell apart.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import matplotlib as mpl
import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from mlpspec.analysis.comparisons import where
from mlpspec.arrays import Array
from mlpspec.errors import InputError
from mlpspec.metrics.measure import MEASUREMENTS
from mlpspec.metrics.statistics import beyond_rounding
from mlpspec.report.figures.base import GIVEN, Canvas, distinct, floor_of
from mlpspec.report.figures.powers import Powers
from mlpspec.shown import readable, three_digits
from mlpspec.store.tables import Table
from mlpspec.study.subsets import canonical_losses, subset_order

Style = Mapping[Any, tuple[str, str]]
"""Colour and marker by label, or by N."""

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
"""The subsets of the study."""

OTHER_STYLES = (
    ("#882255", "<"),
    ("#117733", ">"),
    ("#332288", "p"),
    ("#999933", "h"),
    ("#AA4499", "d"),
    ("#DDCC77", "H"),
    ("#44AA99", "8"),
    ("#661100", "*"),
)
"""Other subsets, in their order; from Paul Tol's muted palette."""

SIZE_STYLES = (
    ("#0072B2", "o"),
    ("#009E73", "s"),
    ("#E69F00", "^"),
    ("#D55E00", "v"),
    ("#CC79A7", "D"),
)
"""The sizes N where they stand beside each other, ascending."""

GREY = "#555555"
"""What belongs to no loss: nulls, theory, zero."""

HULL = "#0072B2"
"""The hull of the inputs, and what else belongs to the data."""

CENTRED: Any = {"ha": "center", "va": "center"}
"""The look of a text that stands in the middle of its place."""

RASTER_ABOVE = 2000
"""Points per panel above which they are drawn as a bitmap, also in SVG."""


def subset_styles(labels: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of subsets by label, in canonical order.

    Examples
    --------
    >>> subset_styles(["overlap", "baseline", "overlap"])
    {'baseline': ('#000000', 'o'), 'overlap': ('#D55E00', 'v')}
    """
    others, ink = itertools.cycle(OTHER_STYLES), to_hex(mpl.rcParams["text.color"])
    known = STYLE | {"baseline": (ink, STYLE["baseline"][1])}  # black, on black paper white
    ordered = sorted(set(labels), key=lambda label: subset_order(canonical_losses(label)))
    return {label: known[label] if label in known else next(others) for label in ordered}


def size_styles(sizes: NDArray[Any]) -> dict[int, tuple[str, str]]:
    """Return colour and marker of sizes, ascending.

    Examples
    --------
    >>> size_styles(np.array([50, 5, 50]))
    {5: ('#0072B2', 'o'), 50: ('#009E73', 's')}
    """
    return dict(zip(np.unique(sizes).tolist(), itertools.cycle(SIZE_STYLES), strict=False))


def grid_of_axes(
    rows: int, columns: int, size: tuple[float, float], **share: Any
) -> tuple[Canvas, NDArray[Any]]:
    """Return a figure of ``size`` (inches) and its axes (rows, columns)."""
    ax = GIVEN.get()
    if ax is not None:
        if rows * columns > 1:
            raise InputError(
                f"this figure has {rows * columns} panels of these runs, and ax is one; leave ax "
                "out, or choose runs for one panel with results.select(losses=...)"
            )
        return cast(Canvas, ax.figure), np.array([[ax]])
    figure = Canvas(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **share)


def wrapped(
    count: int, columns: int, size: tuple[float, float], extra: float, **share: Any
) -> tuple[Canvas, list[Axes]]:
    """Return a figure with ``count`` panels of ``size`` (inches), so many in a row."""
    rows = -(-count // columns)
    inches = (size[0] * columns, size[1] * rows + extra)
    figure, axes = grid_of_axes(rows, columns, inches, **share)
    if GIVEN.get() is None:
        figure.in_lines = True
    for ax in axes.flat[count:]:
        ax.set_axis_off()
    return figure, list(axes.flat[:count])


def panels(
    table: Table, size: tuple[float, float], extra: float, xlabel: str, ylabel: str
) -> tuple[Canvas, list[tuple[Axes, Table, tuple[str, str]]]]:
    """Return a figure with a panel of ``size`` (inches) per subset, four in a row.

    Each with the subset's rows of the table, and its colour and marker.
    """
    styles = subset_styles(table["losses"].tolist())
    columns = min(4, len(styles))
    figure, axes = wrapped(len(styles), columns, size, extra, sharex=True, sharey=True)
    letter = FontProperties(size=mpl.rcParams["axes.titlesize"]).get_size_in_points()
    for ax, label in zip(axes, styles, strict=True):
        ax.set_title(textwrap.fill(readable(label), int(32 * 8.5 / letter)))
    for ax in axes[-columns:]:  # the lowest of each column
        ax.set_xlabel(xlabel)
        ax.tick_params(labelbottom=True)
    for ax in axes[::columns]:
        ax.set_ylabel(ylabel)
    parts = zip(axes, styles.items(), strict=True)
    return figure, [(ax, where(table, losses=label), style) for ax, (label, style) in parts]


def measurement_panels(
    names: Sequence[str], titles: Sequence[str], size: tuple[float, float], **share: Any
) -> tuple[Canvas, NDArray[Any]]:
    """Return a figure of ``size`` (inches) and its axes, a row a measurement, a column a title."""
    figure, axes = grid_of_axes(len(names), len(titles), size, **share)
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title)
    for ax, name in zip(axes[:, 0], names, strict=True):
        ax.set_ylabel(axis_of(name))
    return figure, axes


def panels_by_size(
    table: Table, around: tuple[float, float], each: tuple[float, float], **share: Any
) -> tuple[Canvas, NDArray[Any], Iterator[tuple[Axes, str, Table]]]:
    """Return a figure and its axes, a row a measurement and a column an N, and what is in each.

    That is the measurement's name and its rows of the table at that N. ``each`` are inches of a
    panel, with those ``around`` all of them.
    """
    names, sizes = distinct(table["measurement"]), np.unique(table["n_samples"]).tolist()
    inches = (around[0] + each[0] * len(sizes), around[1] + each[1] * len(names))
    titles = [f"N = {size}" for size in sizes]
    figure, axes = measurement_panels(names, titles, inches, sharex=True, **share)
    places = zip(axes.flat, itertools.product(names, sizes), strict=True)
    parts = ((ax, n, where(table, measurement=n, n_samples=size)) for ax, (n, size) in places)
    return figure, axes, parts


def width_of(x: Array) -> float:
    """Return the greatest width of inputs (N, ...), for a frame: 1 where all are equal.

    Examples
    --------
    >>> width_of(np.array([[-1.0, 2.0], [3.0, 3.0]])), width_of(np.array([0.3, 0.3 + 1e-16]))
    (4.0, 1.0)
    """
    (width,) = beyond_rounding([np.ptp(x, axis=0).max()], np.abs(x).max())
    return float(np.nan_to_num(width, nan=1.0))


def size_axis(ax: Axes, sizes: Sequence[int]) -> None:
    """Make the horizontal axis one of the sizes N, equally far apart."""
    ax.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    ax.set_xlim(-0.6, len(sizes) - 0.4)
    ax.set_xlabel("number of inputs N")


def axis_of(name: str) -> str:
    r"""Return what the axis of a measurement is called, or that of another number of a run.

    Examples
    --------
    >>> axis_of("overshoot"), axis_of("gradient_norm")
    ('overshoot\n(units of x)', 'gradient norm')
    """
    return MEASUREMENTS[name].axis if name in MEASUREMENTS else name.replace("_", " ")


def floored(name: str, rows: Table) -> Table:
    """Return rows with what is below a measurement's floor at the floor, where axes end."""
    floor = floor_of(name)
    least = -np.inf if floor is None else floor
    return rows | {end: np.maximum(rows[end], least) for end in ("value", "low", "high")}


def scale_values(ax: Axes, name: str) -> None:
    """Make the vertical axis logarithmic if the measurement has a floor."""
    if floor_of(name) is not None:
        ax.set_yscale("log")


def draw_medians(ax: Axes, at: Array, rows: Table, *, across: bool = False, **look: Any) -> None:
    """Draw medians with their intervals: upright, or ``across``."""
    # Lists: arrays of one entry warn.
    bars = [np.abs(rows["value"] - rows[end]).tolist() for end in ("low", "high")]
    if across:
        ax.errorbar(rows["value"], at, xerr=bars, **look)
    else:
        ax.errorbar(at, rows["value"], yerr=bars, **look)


def draw_differences(
    ax: Axes, rows: Table, words: Mapping[str, str], styles: Style, **look: Any
) -> None:
    """Draw differences, a line a label of ``words``, in it the sizes below each other."""
    labels, apart = list(words), min(0.2, 0.72 / len(styles))
    for place, (size, (colour, marker)) in enumerate(styles.items()):
        here = where(rows, n_samples=size)
        at = np.array([labels.index(label) for label in here["losses"]], dtype=float)
        at += (place - (len(styles) - 1) / 2) * apart
        draw_medians(ax, at, here, across=True, fmt=marker, mew=0, color=colour, **look)
    name_lines(ax, list(words.values()))


def name_lines(ax: Axes, words: Sequence[str]) -> None:
    """Name the lines of a panel of differences, from the top, with rules between and at zero."""
    ax.axvline(0.0, color=GREY, lw=0.6, zorder=0)
    for line in range(1, len(words)):
        ax.axhline(line - 0.5, color="#DDDDDD", lw=0.4, zorder=0)
    ax.set_yticks(range(len(words)), words)
    ax.set_ylim(len(words) - 0.5, -0.5)
    ax.tick_params("y", length=0)


def scale_beyond_one(ax: Axes, linscale: float, ticks: Iterable[float]) -> None:
    """Make the horizontal axis logarithmic beyond 1 to both sides, with ticks at powers of ten."""
    words = {tick: f"{tick:.0f}" if abs(tick) <= 100 else Powers()(tick) for tick in ticks}
    ax.set_xscale("symlog", linthresh=1.0, linscale=linscale)
    ax.set_xticks(list(words), [word.replace("-", "\u2212") for word in words.values()])
    ax.minorticks_off()


def colour_bar(figure: Canvas, shades: Any, name: str, **place: Any) -> Any:
    """Draw the colours of a measurement's values, and return their axis."""
    bar = figure.colorbar(shades, **place)
    bar.set_label(MEASUREMENTS[name].axis.replace("\n", " "), fontsize=7)
    bar.ax.tick_params(labelsize=6)
    return bar.ax


def note(ax: Axes, text: str) -> None:
    """Write a note into the upper left corner of a panel."""
    ax.text(0.03, 0.98, text, transform=ax.transAxes, fontsize=6.5, va="top")


def note_beyond(
    ax: Axes,
    p: Array,
    limits: tuple[float, float],
    height: float,
    **text: Any,
) -> None:
    """Count positions (K,) beyond either limit at that edge, with the furthest's distance."""
    for far, at, side, arrow in (
        (p < limits[0], 0.005, "left", "\u25c0 {}"),
        (p > limits[1], 0.995, "right", "{} \u25b6"),
    ):
        if far.any():
            told = arrow.format(f"{far.sum()}, to {three_digits(np.abs(p[far]).max())}")
            ax.text(at, height, told, transform=ax.transAxes, ha=side, va="top", **text)


def entry(label: str, **line: Any) -> Line2D:
    """Return an entry of a legend."""
    return Line2D([], [], label=label, **line)


def entries(styles: Style, **line: Any) -> list[Line2D]:
    """Return the entries of a legend for subsets or sizes, from their colours and markers."""
    line = {"ls": "", "ms": 5, **line}
    return [
        entry(f"N = {of}" if isinstance(of, int) else readable(of), color=c, marker=m, **line)
        for of, (c, m) in styles.items()
    ]


def legend_below(figure: Canvas, handles: Sequence[Line2D], columns: int | None = None) -> None:
    """Put a legend below all panels, in as few rows as are as wide as the figure."""
    ax = GIVEN.get()
    if ax is not None:
        ax.legend(handles=handles)
        return
    widths = [0.055 * len(str(handle.get_label())) + 0.55 for handle in handles]  # about, in inches
    columns = columns or len(handles)
    while columns > 1 and sum(map(max, np.array_split(widths, columns))) > figure.get_figwidth():
        columns -= 1
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
