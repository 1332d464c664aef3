"""Answers to the questions of the controls, and the signs of the phase diagram.

What is asked, and what counts as yes or no, is in `mlpspec.study.controls`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpspec.analysis.claims import margin_of
from mlpspec.analysis.comparisons import Grid, add_holm, as_table
from mlpspec.arrays import Array
from mlpspec.compress import NONE
from mlpspec.metrics.hull import expelled
from mlpspec.metrics.statistics import ALPHA, Interval, less, median_interval, sign_flip
from mlpspec.network.forward import forward
from mlpspec.store.results import Results
from mlpspec.store.tables import Table
from mlpspec.study.choices import DEFAULT
from mlpspec.study.controls import GRID, RETURNED, Question, Side, questions

DECADE = 1.0
"""Of the decimal logarithm of gradients: a difference that matters."""

Null = Callable[[int, str], Array]
"""From N and a measurement to that of the equally spaced grid, by seed (S,)."""

Shares = Mapping[tuple[int, str, str], Array]
"""By N, variant and subset, the share that has returned, by seed (S,); see `returned`."""


ENOUGH = 0.95
"""Confidence that the exact interval of a median must have to answer no: six pairs."""


def answer(interval: Interval, p: float, margin: float, direction: str) -> str:
    """Return the answer to a question from the median difference, one side less the other.

    ``p`` is after Holm. An interval of too few pairs (`ENOUGH`) answers nothing.

    Examples
    --------
    >>> answer(Interval(-0.4, -0.5, -0.3, 0.96), 0.01, 0.1, "lower")
    'yes'
    >>> answer(Interval(-0.04, -0.06, 0.02, 0.96), 1.0, 0.1, "lower")
    'no'
    >>> answer(Interval(-0.1, -0.3, 0.02, 0.96), 1.0, 0.1, "differs")
    'undecided'
    """
    low, high = interval.low, interval.high
    if direction == "lower":
        low, high = -high, -low
    beyond, short = low > margin, high < margin
    if direction == "differs":
        beyond, short = beyond or high < -margin, -margin < low and high < margin
    if short and interval.confidence >= ENOUGH:
        return "no"
    return "yes" if beyond and p < ALPHA else "undecided"


def answers(grid: Grid, spacing: dict[int, float], null: Null, shares: Shares) -> Table:
    """Return ``controls.csv``: every question at every N, with its answer.

    Differences are of ``one`` less ``other``, paired over seeds: the median, its exact interval,
    the ``margin`` that they are compared with, and the p-value of the sign-flip test, plain and
    after Holm over all questions and N. Gradients are compared as decimal logarithms. Questions
    about variants that the study lacks are left out.
    """
    variants = {variant for _, variant in grid.cells}
    asked = [q for q in questions() if {q.one.variant, q.other.variant} <= {*variants, GRID}]
    rows: list[dict[str, Any]] = []
    for question in asked:
        name, of_gradients = question.measurement, question.measurement == "gradient_norm"
        for size in sorted({size for size, _ in grid.cells}):
            d = less(*(_values(grid, null, shares, question, side, size) for side in question[3:5]))
            rows.append(
                {
                    "doubt": question.doubt,
                    "question": question.text,
                    "measurement": name,
                    "one": str(question.one),
                    "other": str(question.other),
                    "n_samples": size,
                    "pairs": int(np.isfinite(d).sum()),
                    **median_interval(d)._asdict(),
                    "direction": question.direction,
                    "margin": DECADE if of_gradients else margin_of(name, spacing[size]),
                    "p": sign_flip(d[:, None])[0],
                }
            )
    add_holm(rows)
    for row in rows:
        found = Interval(*(row[name] for name in Interval._fields))
        row["answer"] = answer(found, row["p_holm"], row["margin"], row["direction"])
    return as_table(rows)


def _values(
    grid: Grid, null: Null, shares: Shares, question: Question, side: Side, size: int
) -> Array:
    if side.variant == GRID:
        return null(size, question.measurement)
    if question.measurement == RETURNED:
        return shares[size, side.variant, side.losses]
    values = grid.values((size, side.variant), side.losses, question.measurement)
    if question.measurement == "gradient_norm":
        with np.errstate(divide="ignore"):
            return np.log10(values)
    return values


def returned(results: Results, grid: Grid) -> Shares:
    """Return the shares of neurons expelled in the default that are not, in each variant.

    They say something where a variant goes on from the default's networks. NaN where none of a
    network's neurons was expelled, or runs are missing.
    """
    masks: dict[tuple[int, str, str], dict[int, NDArray[np.bool_]]] = {}
    for keys, params, x, y in results.stacks():
        for key, gone in zip(keys.tolist(), expelled(forward(params, x, y)), strict=True):
            run = results.runs[key]
            place = (run.n_samples, results.variants[key], run.label)
            same = run.compress == NONE  # else the neurons may be others
            masks.setdefault(place, {})[run.seed] = gone if same else gone[:0]
    shares = {}
    for (size, variant, label), after in masks.items():
        before = masks.get((size, DEFAULT, label), {})
        back = {
            seed: (~after[seed])[gone].mean()
            for seed, gone in before.items()
            if seed in after and gone.any()
        }
        known = [back.get(seed, np.nan) for seed in grid.seeds.tolist()]
        shares[size, variant, label] = np.array(known)
    return shares


def signs(grid: Grid) -> Table:
    """Return the phase diagram: medians of paired differences of the error, with their signs.

    ``effect`` is ``coverage`` (coverage less the baseline) or ``overlap`` (coverage + overlap less
    coverage) in ``seeds`` known pairs; ``sign`` is -1 or 1 where the exact interval excludes 0,
    else 0.
    """
    effects = {"coverage": ("coverage", "baseline"), "overlap": ("coverage+overlap", "coverage")}
    rows = []
    for cell in grid.cells:
        for effect, sides in effects.items():
            d = less(*(grid.values(cell, side, "reconstruction_error") for side in sides))
            found = median_interval(d)
            rows.append(
                {
                    "effect": effect,
                    **dict(zip(grid.fields, cell, strict=True)),
                    **found._asdict(),
                    "seeds": int(np.isfinite(d).sum()),
                    "sign": int(found.low > 0.0) - int(found.high < 0.0),
                }
            )
    return as_table(rows)
