"""The figures: one file each, listed here; nothing else but `drawing` imports Matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import by_steps
from mlpspec.report.columns import parts
from mlpspec.report.drawing import (  # before all that imports Matplotlib: it loads it
    as_it_is,
    plain,
)
from mlpspec.report.figures.base import Canvas, Figure, onto
from mlpspec.report.figures.powers import label_powers
from mlpspec.store.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAGE = (
    "verdicts",
    "controls",
    "continuation",
    "phase",
    "compression",
    "survival",
    "specification",
    "attraction",
    "monosemanticity",
    "scores",
    "subsets",
    "outcomes",
    "expulsion",
    "positions",
    "reconstruction",
    "responses",
    "hull",
    "contrast",
    "sweep",
    "trajectories",
)
"""The figures of a report, in the order of its page."""

CARD = ("force", "alone", "effect")
"""The figures of a loss card, in the order of its page."""


def _load(names: Sequence[str]) -> dict[str, Figure]:
    return {name: import_module(f"{__name__}.{name}").FIGURE for name in names}


FIGURES, CARD_FIGURES = _load(PAGE), _load(CARD)
"""Every figure by its name, which is that of its file."""


def tables(analysis: Analysis, names: Sequence[str] = PAGE) -> dict[str, Table]:
    """Return the numbers behind each figure that a directory has the runs for, in page order.

    Of those that are not among ``names`` none. A grid that was trained for several numbers of steps
    has its figures over N once for each, called ``outcomes-after-3000-steps`` and so on.
    """
    named: dict[str, Table] = {}
    if "ok" not in analysis.results.status.values():
        return named
    if analysis.grid.fields == ("n_samples", "steps") and not analysis.results.variants:
        for steps, grid in by_steps(analysis.results.table).items():
            for name in names:
                if FIGURES[name].by_steps:
                    named[f"{name}-after-{steps}-steps"] = FIGURES[name].rows(analysis, grid)
    for name in names:
        named[name] = FIGURES[name].rows(analysis)
    return {name: table for name, table in named.items() if table}


def figure_of(name: str) -> Figure:
    """Return the figure that a table of `tables`, or of a card, is drawn by.

    Raises
    ------
    KeyError
        There is none of that name.

    Examples
    --------
    >>> figure_of("outcomes-after-3000-steps") is FIGURES["outcomes"]
    True
    """
    return (FIGURES | CARD_FIGURES)[name.partition("-")[0]]


def caption(name: str, table: Table) -> str:
    """Return the caption of the figure of a table, with the stage of training if it has one."""
    stage = name.partition("-")[2].replace("-", " ")
    return figure_of(name).caption(table) + (f" {stage.capitalize()}." if stage else "")


def draw(name: str, table: Table, own: bool = True, ax: Axes | None = None) -> Canvas:
    """Return the figure of a table, laid out; ``name`` is what `tables` calls it.

    In the report's style if ``own``, else in Matplotlib's present one. On ``ax``, if given, a
    figure of one panel is drawn, and nothing is laid out.
    """
    with plain() if own else as_it_is(), onto(ax):
        canvas = figure_of(name).draw(table)
        if ax is not None:
            label_powers([ax])
            return canvas
        label_powers(canvas.axes)
        canvas.draw_without_rendering()
        canvas.draw_without_rendering()  # again, with the places that fixed aspects left
        canvas.set_layout_engine("none")  # what is laid out stays so in every format
    return canvas


def columns(name: str, canvas: Canvas) -> list[str]:
    """Return the columns of a figure of `draw` as SVGs that refer to it once it is rendered."""
    with plain():
        return parts(name, canvas)


def render(name: str, canvas: Canvas, format: str) -> bytes:
    """Return a figure as bytes: ``svg``, ``png`` or ``pdf``; the same for the same figure."""
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}
    buffer = io.BytesIO()
    settings: Any = {"svg.hashsalt": name}
    with plain(**settings):
        canvas.savefig(
            buffer, format=format, metadata=undated[format], dpi=200 if format == "png" else 150
        )
    return buffer.getvalue()
