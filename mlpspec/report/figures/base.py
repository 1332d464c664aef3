"""What a figure is, and what the files of figures share to choose their rows.

A figure is declared in one file, as a `Figure` called ``FIGURE``: the rows that it draws, which
are its CSV file too; the drawing, which computes nothing but places on paper; its caption; and
when it applies. To add one, write its file and name it in the list of the package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import Grid
from mlpspec.metrics.statistics import interval_confidence
from mlpspec.network.neurons import Params
from mlpspec.store.results import Stack, Table
from mlpspec.study.run import Run

if TYPE_CHECKING:
    from mlpspec.report.figures.style import Canvas

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
        From what is shown, an `Analysis` or the `CardRuns` of a card, to a table; with
        ``by_steps``, a `Grid` of some of the runs may follow.
    draw : callable
        From that table to a Matplotlib figure.
    caption : callable
        From that table to text.
    applies : callable
        Whether an analysis has the runs for it.
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
    applies: Callable[[Analysis], bool] = lambda _: True
    by_steps: bool = False
    animate: Callable[[Table, str], None] | None = None
    title: str = ""


# ------------------------------------------------------------------------- what a directory has


def over_n(analysis: Analysis) -> bool:
    """Return whether N is all that varies but losses and seed."""
    return analysis.grid.fields == ("n_samples",)


def on_a_line(analysis: Analysis) -> bool:
    """Return whether N is all that varies, and inputs have one dimension."""
    return over_n(analysis) and analysis.stacks[0].x.shape[2] == 1


def nearest_stack(analysis: Analysis, size: int) -> Stack:
    """Return the runs of the N nearest to ``size``."""
    return min(analysis.stacks, key=lambda stack: abs(stack.x.shape[1] - size))


def shown(grid: Grid) -> list[str]:
    """Return the subsets that pictures of single runs and of medians over N show."""
    if len(grid.labels) <= MOST_SHOWN:
        return grid.labels
    return [label for label in grid.labels if "+" not in label]


def pooled(analysis: Analysis, stack: Stack) -> Iterator[tuple[int, Run]]:
    """Iterate over the rows of a stack that are `shown`, of at most `POOLED` seeds."""
    seeds, labels = set(analysis.grid.seeds[:POOLED].tolist()), shown(analysis.grid)
    for row, key in enumerate(stack.keys):
        run = analysis.results.runs[key]
        if run.seed in seeds and run.label in labels:
            yield row, run


def first_seed(analysis: Analysis, stack: Stack) -> Iterator[tuple[int, Run]]:
    """Iterate over the rows of a stack that are `shown`, of its first seed."""
    seed = min(analysis.results.runs[key].seed for key in stack.keys)
    return ((row, run) for row, run in pooled(analysis, stack) if run.seed == seed)


def one_run(params: Params, row: int) -> Params:
    """Return the parameters of one run of a stack, R = 1."""
    return type(params)(*(values[[row]] for values in vars(params).values()))


def place_of(run: Run) -> dict[str, Any]:
    """Return the columns that say which run a row is of."""
    return {"losses": run.label, "n_samples": run.n_samples, "seed": run.seed}


# ------------------------------------------------------------------------- what captions say


def n_seeds(table: Table) -> int:
    """Return the number of seeds of a table: at a point, or in all."""
    return int(table["seeds"].max()) if "seeds" in table else len(np.unique(table["seed"]))


def confidence(table: Table) -> str:
    """Return the confidence of the exact interval of its seeds' median, in per cent."""
    return f"{100 * interval_confidence(n_seeds(table)):.1f} %"
