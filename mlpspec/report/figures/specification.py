"""Which claims hold in which variants, and what those have chosen: a specification curve."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from mlpspec.analysis.claims import CLAIMS
from mlpspec.analysis.readings import COUNTED
from mlpspec.report.figures import base
from mlpspec.report.figures.verdicts import COLOURS
from mlpspec.store.tables import Table
from mlpspec.study.choices import DEFAULT, Choices
from mlpspec.study.readings import FORMER
from mlpspec.study.stages import TABLES

COMPARED = {FORMER: "former default", DEFAULT: "default"}
"""Variants that are marked, and what they are."""

MOST_NAMED = 24
"""Variants whose names have room."""

SHOWN = ("holds", "mixed", "fails", "untested")


def draw(table: Table) -> base.Canvas:
    """Draw a column for each variant: claims that hold above, options below, the best first."""
    choices = {
        choice: sorted(np.unique(table[choice]).tolist(), key=_in_order(options))
        for choice, options in _choices(table).items()
    }
    varied = {name: options for name, options in choices.items() if len(options) > 1}
    n_options = sum(map(len, varied.values()))
    line, above, below = 0.155, 0.3, 0.65 if len(table["variant"]) > MOST_NAMED else 1.1  # inches
    inches = np.array([1.1, 1.6 * len(CLAIMS) * line, n_options * line])
    size = above + inches.sum() + below
    figure = base.canvas((9.0, size))
    left, width, top = 0.27, 0.62, 1.0 - above / size
    axes = []
    for height in (inches if varied else inches[:2]) / size:
        top -= height
        axes.append(figure.add_axes((left, top + 0.08 / size, width, height - 0.16 / size)))
    _counts(axes[0], table)
    _claims(axes[1], table)
    if varied:
        _options(axes[2], table, varied)
    _name_columns(axes[-1], table)
    for place in np.flatnonzero(np.isin(table["variant"], list(COMPARED))).tolist():
        for ax in axes:
            ax.axvline(place, color="black", lw=0.8, ls=(0, (2, 1)))
        axes[0].annotate(
            COMPARED[table["variant"][place]],
            (place, len(COUNTED)),
            xytext=(0, 3),
            textcoords="offset points",
            ha="right" if place > 0.7 * len(table["variant"]) else "left",
            annotation_clip=False,
        )
    present = [word for word in SHOWN if any((table[c.name] == word).any() for c in CLAIMS)]
    handles = [Patch(color=COLOURS[word], label=word) for word in present]
    figure.legend(handles=handles, loc="lower center", ncols=len(handles))
    return figure


def _choices(table: Table) -> Choices:
    """Return the choices that a table has columns of."""
    return next(each for each in TABLES.values() if {*each} <= {*table})


def _in_order(options: Iterable[str]) -> Callable[[str], tuple[float, int]]:
    """Return the key that puts options of numbers in ascending order, others as declared."""
    declared = [*options, "other"]

    def key(option: str) -> tuple[float, int]:
        try:
            return float(option), 0
        except ValueError:
            return -1.0, declared.index(option)

    return key


def _counts(ax: Axes, table: Table) -> None:
    ax.bar(np.arange(len(table["hold"])), table["hold"], width=1.0, color="#7F7F7F")
    ax.set(ylim=(0, len(COUNTED)), ylabel=f"claims that\nhold, of {len(COUNTED)}")
    _columns(ax, table)


def _claims(ax: Axes, table: Table) -> None:
    verdicts = np.array([[SHOWN.index(v) for v in table[claim.name]] for claim in CLAIMS])
    colours = ListedColormap([COLOURS[word] for word in SHOWN])
    ax.imshow(verdicts, aspect="auto", cmap=colours, vmin=-0.5, vmax=3.5, interpolation="nearest")
    words = [textwrap.fill(f"{claim.name}: {claim.text}", 44) for claim in CLAIMS]
    ax.set_yticks(range(len(CLAIMS)), words, fontsize=6.5, linespacing=0.95)
    for row, claim in enumerate(CLAIMS):
        share = (table[claim.name] == "holds").mean()
        _beside(ax, row, f"{100 * share:.0f} % hold")
        ax.axhline(row - 0.5, color="white", lw=1.2)
    _columns(ax, table)


def _options(ax: Axes, table: Table, varied: dict[str, list[str]]) -> None:
    rows = [(name, option) for name, options in varied.items() for option in options]
    chosen = np.array([table[name] == option for name, option in rows])
    ax.imshow(chosen, aspect="auto", cmap="Greys", vmin=0, vmax=1.25, interpolation="nearest")
    ax.set_yticks(range(len(rows)), [option for _, option in rows], fontsize=6.5)
    first = 0
    for name, options in varied.items():
        if first:
            ax.axhline(first - 0.5, color="#0072B2", lw=0.7)
        look = {"ha": "right", "fontsize": 7, "weight": "bold", "linespacing": 0.9}
        _beside(ax, first + (len(options) - 1) / 2, name.replace(" of ", "\nof "), -0.21, **look)
        first += len(options)
    for row, mine in enumerate(chosen):
        _beside(ax, row, f"{table['hold'][mine].mean():.1f} (n = {mine.sum()})")
    _columns(ax, table)


def _beside(ax: Axes, row: float, text: str, at: float = 1.01, **look: Any) -> None:
    """Write a text beside a row, by default to its right."""
    look = {"fontsize": 6.5, "va": "center", **look}
    ax.text(at, row, text, transform=ax.get_yaxis_transform(), **look)


def _columns(ax: Axes, table: Table) -> None:
    """Set the columns of variants."""
    ax.set_xlim(-0.5, len(table["variant"]) - 0.5)
    ax.tick_params(length=0)
    ax.set_xticks([])


def _name_columns(ax: Axes, table: Table) -> None:
    """Write below the columns what they are, with the variants' names where there is room."""
    names = table["variant"]
    ax.set_xlabel("variants, the best first")
    if len(names) <= MOST_NAMED:
        ax.set_xticks(range(len(names)), names, rotation=90, fontsize=6.5)


def caption(table: Table) -> str:
    """Say what a column is, how claims are judged, and what stands beside the rows."""
    marked = COMPARED[DEFAULT if DEFAULT in table["variant"] else FORMER]
    return (
        f"A column is one of {len(table['variant'])} variants of the study, all with the same "
        "data sets' seeds; the best are on the left. Above: how many of C1 to C8 hold, as stated "
        "on means over seeds, and each claim by itself, with the share of variants in which it "
        "holds; C1b, which reads C1 more widely, is not counted. Below, dark: the option that a "
        "variant has of each choice, with the mean number of claims that hold among the variants "
        f"that have it, and how many those are. The dashed line is the {marked}."
    )


FIGURE = base.Figure(lambda analysis: analysis.readings, draw, caption, title="Specification curve")
