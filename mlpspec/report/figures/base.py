"""What a figure is, and what figures share: choosing rows, and captions' numbers.

A figure is declared in one file, as a `Figure` called ``FIGURE``: the rows that it draws, which
are its CSV file too, and none where it cannot be drawn; the drawing, which computes nothing but
places on paper; and its caption. To add one, write its file and name it in the list of the package.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import Grid
from mlpspec.arrays import Array
from mlpspec.errors import InputError
from mlpspec.metrics.measure import MEASUREMENTS
from mlpspec.metrics.statistics import interval_rank
from mlpspec.network.neurons import Params
from mlpspec.report.figures.powers import Powers
from mlpspec.shown import readable
from mlpspec.store.tables import Table
from mlpspec.study.run import Run


class Canvas(matplotlib.figure.Figure):
    """What is drawn on, and becomes a file; a `Figure` says how. Notebooks show it."""

    in_lines = False
    """Whether its panels are read line by line, not as columns that stand beside each other."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


GIVEN: ContextVar[Axes | None] = ContextVar("given", default=None)
"""Where a figure of one panel is to be drawn; else it makes a canvas."""


@contextmanager
def onto(ax: Axes | None) -> Iterator[None]:
    """Draw figures of one panel on ``ax``, for a while."""
    before = GIVEN.set(ax)
    try:
        yield
    finally:
        GIVEN.reset(before)


def canvas(size: tuple[float, float], **options: Any) -> Canvas:
    """Return a new canvas of ``size`` (inches), for a figure of several panels."""
    if GIVEN.get() is not None:
        raise InputError("this figure has panels of its own making; leave ax out")
    return Canvas(figsize=size, **options)


MOST_SHOWN = 8
"""Subsets that one picture can tell apart; of more, the baseline and single losses are shown."""

POOLED = 100
"""Seeds that are pooled in one picture, at the most: the first ones."""


@dataclass(frozen=True)
class Figure:
    """A figure of a report or of a card.

    Attributes
    ----------
    rows : callable
        From what is shown, an `Analysis` or the `CardRuns` of a card, to a table, which is empty
        where the figure cannot be drawn; with ``by_steps``, a `Grid` of some runs may follow.
    draw : callable
        From that table to a Matplotlib figure.
    caption : callable
        From that table to text.
    by_steps : bool
        Whether it is drawn once for each number of steps where N and steps vary.
    animate : callable, optional
        Writes the table as an animated GIF to a path.
    title : str
        Its heading; by default its name.
    """

    rows: Callable[..., Table]
    draw: Callable[[Table], Canvas]
    caption: Callable[[Table], str]
    by_steps: bool = False
    animate: Callable[[Table, str], None] | None = None
    title: str = ""


# ------------------------------------------------------------------------- what a directory has


def over_n(analysis: Analysis) -> bool:
    """Return whether N is all that varies but losses and seed; not of variants, even of one."""
    return analysis.grid.fields == ("n_samples",) and not analysis.results.variants


def is_study(analysis: Analysis, name: str) -> bool:
    """Return whether it is a study by its name, in which N varies alone."""
    return over_n(analysis) and bool(analysis.results.identity["study"] == name)


def single_networks(analysis: Analysis, several: bool) -> bool:
    """Return whether N is all that varies, with one K at each, and if D is above 1 as asked.

    Pruning may leave more neurons in one network than in another: they are in no one stack.
    """
    sizes = [stack.x.shape[1] for stack in analysis.stacks]
    flat = analysis.stacks[0].x.shape[2] == 1
    return over_n(analysis) and len({*sizes}) == len(sizes) and flat != several


def shown(grid: Grid) -> list[str]:
    """Return the subsets that pictures of single runs and of medians over N show."""
    if len(grid.labels) <= MOST_SHOWN:
        return grid.labels
    return [label for label in grid.labels if "+" not in label]


def networks(
    analysis: Analysis, near: int, seeds: int = POOLED
) -> Iterator[tuple[Run, Params, Array, Array]]:
    """Iterate over the runs at the N nearest to ``near``, each with its network (R = 1) and data.

    Those that are `shown`, of at most so many seeds, the first ones.
    """
    stack = min(analysis.stacks, key=lambda stack: abs(stack.x.shape[1] - near))
    runs = [analysis.results.runs[key] for key in stack.keys]
    first, labels = sorted({run.seed for run in runs})[:seeds], shown(analysis.grid)
    for row, run in enumerate(runs):
        if run.seed in first and run.label in labels:
            yield run, stack.params.rows([row]), stack.x[row], stack.y[row]


def place_of(run: Run) -> dict[str, Any]:
    """Return the columns that say which run a row is of."""
    return {"losses": run.label, "n_samples": run.n_samples, "seed": run.seed}


# ------------------------------------------------------------------------- what captions say


def n_seeds(table: Table) -> str:
    """Return the number of seeds of a table: at a point, from the fewest to the most, or in all.

    Examples
    --------
    >>> n_seeds({"seeds": np.array([6, 4, 6])}), n_seeds({"seed": np.array([7, 8])})
    ('4 to 6', '2')
    """
    fewest, most = _seeds(table)
    return f"{most}" if fewest == most else f"{fewest} to {most}"


def _seeds(table: Table) -> tuple[int, int]:
    if "seeds" not in table:
        return (len(np.unique(table["seed"])),) * 2
    medians = table["kind"] == "median" if "kind" in table else slice(None)
    return int(table["seeds"][medians].min()), int(table["seeds"][medians].max())


def confidence(table: Table) -> str:
    """Return the confidence of the exact interval of the median of most seeds, in per cent."""
    return f"{100 * interval_rank(_seeds(table)[1])[1]:.1f} %"


def floors(table: Table) -> str:
    """Return where the logarithmic axes of a table's measurements end, in a sentence.

    Examples
    --------
    >>> floors({"measurement": np.array(["overshoot", "nearest_error", "usage_ratio"])})
    'Values below the axis are drawn at its end: 10\u207b\u00b3 for overshoot and nearest error.'
    """
    titles: dict[float, list[str]] = {}
    for name in distinct(table["measurement"]):
        if floor := floor_of(name):
            titles.setdefault(floor, []).append(title_of(name))
    told = ", ".join(f"{Powers()(end)} for {' and '.join(of)}" for end, of in titles.items())
    return f"Values below the axis are drawn at its end: {told}."


def title_of(name: str) -> str:
    """Return what a measurement is called in a text.

    Examples
    --------
    >>> title_of("fit_fvu"), title_of("gradient_norm")
    ('unexplained variance of the fit', 'gradient norm')
    """
    label = MEASUREMENTS[name].label if name in MEASUREMENTS else ""
    return label.replace("\n", " ") or readable(name)


def distinct(column: NDArray[Any]) -> list[Any]:
    """Return the values of a column, each once, in the order of their first rows.

    Examples
    --------
    >>> distinct(np.array(["b", "a", "b"]))
    ['b', 'a']
    """
    return list(dict.fromkeys(column.tolist()))


def floor_of(name: str) -> float | None:
    """Return where the logarithmic axis of a number ends: 0 if it has no floor, None if no such."""
    return MEASUREMENTS[name].floor if name in MEASUREMENTS else 0.0
