"""The card of a structural loss: the same numbers for every loss, so that losses compare.

Four sections: the checks of `check_loss`; the force at the start, beside the fit's; what the loss
does alone, without a fit; and what it does to every measurement beside the fit, at three weights.
Two studies are trained for it, which the results directory and its folder ``alone`` hold.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import Grid, Pair, as_table, compare, median_columns
from mlpspec.arrays import Array
from mlpspec.data.datasets import mean_spacing
from mlpspec.data.tabular import MISSING
from mlpspec.errors import InputError
from mlpspec.losses import LossReport, StructuralLoss
from mlpspec.losses.objective import INERT, Objective
from mlpspec.metrics.nulls import NULLS
from mlpspec.metrics.statistics import defined, median_interval
from mlpspec.network.forward import Forward, forward
from mlpspec.network.neurons import neuron_of
from mlpspec.store.results import Results
from mlpspec.store.tables import Table
from mlpspec.study.problem import data_of, domain_of, start_of
from mlpspec.study.run import Run
from mlpspec.study.study import Study

TERM = "own"
"""What the loss is called in the studies of every card, so that their columns are the same."""

FORCE_SIZES = (3, 5, 10, 20, 50, 100)
"""N at which forces at the start are compared."""

SIZES = (5, 20, 50)
"""N of the runs with a fit."""

WEIGHTS = (0.1, 1.0, 10.0)
"""Of the loss in the runs with a fit; the baseline has weight 0."""

SEEDS = tuple(range(10))
STEPS = 3000

ALONE_SIZE = 20
"""N of the runs without a fit."""

ALONE_STEPS = 10000
"""Of the runs without a fit: enough for most losses to settle; by how much is told."""

RECORDS = 10
"""Records of a run without a fit: its last stretch is a tenth."""

FIELDS: dict[str, Any] = {
    **dict.fromkeys(("loss", "definition", "section", "quantity"), ""),
    **dict.fromkeys(("n_samples", "n_inputs"), 0),
    "weight": np.nan,
    "weight_unit": "",
    **dict.fromkeys(("value", "low", "high"), np.nan),
    "limits": "",
    "seeds": 0,
    **dict.fromkeys(("baseline", "baseline_low", "baseline_high"), np.nan),
    **dict.fromkeys(("difference", "difference_low", "difference_high", "p", "p_holm"), np.nan),
    **dict.fromkeys((f"null_{null}" for null in NULLS), np.nan),
    "note": "",
}
"""Columns of ``card.csv``, with what stands where a row has nothing to say."""


class CardRuns(NamedTuple):
    """What the figures of a card are drawn from.

    Attributes
    ----------
    analysis : Analysis
        Of the runs of `study`.
    alone : Results
        Those of `alone_study`.
    forces : Table
        What `forces` found.
    """

    analysis: Analysis
    alone: Results
    forces: Table


def name_of(loss: StructuralLoss, name: str | None = None) -> str:
    """Return the name of a loss on its card: ``name``, or its class's in snake case.

    Raises
    ------
    InputError
        A name that cannot be a directory's.

    Examples
    --------
    >>> from mlpspec.losses import WeightDecay
    >>> name_of(WeightDecay()), name_of(WeightDecay(), "decay-2")
    ('weight_decay', 'decay-2')
    """
    if name is None:
        borders = r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])"
        name = re.sub(borders, "_", type(loss).__name__).lower()
    if MISSING.fullmatch(name):
        raise InputError(f"the name is {name!r}, which pandas reads as no value; give --name")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name):
        raise InputError(
            f"the name is {name!r}; use letters, digits, '-' and '_', at most 40, with --name"
        )
    return name


# -------------------------------------------------------------------------------- forces


def forces(loss: StructuralLoss) -> Table:
    """Return the RMS gradients of fit and loss (at weight 1) at the start, by N and seed.

    ``ratio`` is the loss's over the fit's; ``inert`` is 1 where it is below `INERT`, so that no
    weight is given a meaning (see `Objective.match_forces`).
    """
    alone = Objective({TERM: (1.0, loss)}, fit_weight=0.0)
    rows = []
    # One thread, as in training: on more, bits would differ.
    with threadpool_limits(limits=1, user_api="blas"), np.errstate(all="ignore"):
        for size in FORCE_SIZES:
            for seed in SEEDS:
                net = start(Run(n_samples=size, seed=seed))
                root = np.sqrt(net.params.size)
                fit, of_loss = Objective().force(net), alone.force(net)
                rows.append(
                    {
                        "n_samples": size,
                        "seed": seed,
                        "fit_force": fit / root,
                        "own_force": of_loss / root,
                        "ratio": float(defined(of_loss / fit)),
                        "inert": int(of_loss < INERT * fit),
                    }
                )
    return as_table(rows)


def start(run: Run) -> Forward:
    """Return the forward pass of the untrained network of a run, R = 1."""
    x, y = data_of(run)
    params = neuron_of(run.neuron).unflatten(start_of(run, x)[None], run.n_inputs)
    return forward(params, x[None], y[None])


def force_summary(table: Table) -> Table:
    """Return medians and ranges over seeds of `forces`, by N.

    ``ratio`` over the ``seeds`` in which it is defined (the fit has a force); ``equal_weight``, at
    which the loss has the fit's force, over those in which it is not inert (NaN if there are none).

    Examples
    --------
    >>> columns = {"n_samples": [3, 3], "ratio": [0.5, 0.0], "inert": [0, 1]}
    >>> found = force_summary({name: np.array(values) for name, values in columns.items()})
    >>> found["ratio"], found["equal_weight"], found["inert"]
    (array([0.25]), array([2.]), array([1]))
    """
    rows = []
    for size in np.unique(table["n_samples"]):
        mine = table["n_samples"] == size
        mine &= np.isfinite(table["ratio"])
        ratio, inert = table["ratio"][mine], table["inert"][mine] == 1
        row: dict[str, Any] = {
            "n_samples": int(size),
            "seeds": len(ratio),
            "inert": int(inert.sum()),
        }
        for name, values in (("ratio", ratio), ("equal_weight", 1.0 / ratio[~inert])):
            values = values if len(values) else np.array([np.nan])
            row |= {name: median_interval(values).median}
            row |= {f"{name}_low": values.min(), f"{name}_high": values.max()}
        rows.append(row)
    return as_table(rows)


# -------------------------------------------------------------------------------- studies


def weight_unit(table: Table) -> str:
    """Return the unit of the weights: ``force``, or ``absolute`` if `forces` cannot be matched.

    Examples
    --------
    >>> weight_unit({"n_samples": np.array([5, 20]), "inert": np.array([0, 1])})
    'absolute'
    """
    trained = np.isin(table["n_samples"], SIZES)
    return "absolute" if table["inert"][trained].any() else "force"


def study(loss: StructuralLoss, unit: str) -> Study:
    """Return the runs with a fit; those of weight 0 are the baseline, bit for bit."""
    return Study(
        "loss-card",
        {"losses": ((),), "n_samples": SIZES, "weight": (0.0, *WEIGHTS), "seed": SEEDS},
        {"weight_unit": unit, "steps": STEPS},
        question="What does the loss do to the fit and to every measurement?",
    ).with_losses({TERM: loss}, [TERM])


def alone_study(loss: StructuralLoss) -> Study:
    """Return the runs of the loss alone, on a line and in the plane."""
    return Study(
        "loss-card-alone",
        {"losses": ((),), "n_inputs": (1, 2), "seed": SEEDS},
        {
            "n_samples": ALONE_SIZE,
            "fit_weight": 0.0,
            "weight": 1.0,
            "steps": ALONE_STEPS,
            "record_every": max(1, ALONE_STEPS // RECORDS),
        },
        question="Where do the prototypes come to rest if there is nothing to fit?",
    ).with_losses({TERM: loss}, [TERM])


# -------------------------------------------------------------------------------- alone


def alone_summary(results: Results, loss: StructuralLoss) -> Table:
    """Return what became of the loss alone, by D: medians with exact intervals over seeds.

    ``gradient_ratio``: the norm of its gradient at the end over that at the start (NaN where that
    is 0); ``late_movement``: the furthest way of a prototype in the last tenth of the steps, in
    units of the mean spacing; and all measurements.
    """
    grid = Grid(results.table)
    alone = Objective({TERM: (1.0, loss)}, fit_weight=0.0)
    at_end = dict(zip(results.table["key"], results.table["gradient_norm"], strict=True))
    rows = []
    for n_inputs in np.unique(results.table["n_inputs"]).tolist():
        settled, moved = [], []
        for key, run in results.runs.items():
            if run.n_inputs == n_inputs and results.status[key] == "ok":
                unit = mean_spacing(domain_of(run).width, run.n_samples, run.n_inputs)
                before, after = results.curve(key).params.prototypes[-2:]
                with threadpool_limits(limits=1, user_api="blas"), np.errstate(all="ignore"):
                    begun = alone.force(start(run))
                    settled.append(at_end[key] / begun if begun > 0.0 else np.nan)
                    moved.append(np.linalg.norm(after - before, axis=1).max() / unit)
        quantities = {"gradient_ratio": np.array(settled), "late_movement": np.array(moved)}
        cell = (ALONE_SIZE, n_inputs)
        quantities |= {name: grid.values(cell, TERM, name) for name in grid.names}
        for name, values in quantities.items():
            rows.append({"n_inputs": n_inputs, "quantity": name, **_median(values)})
    return as_table(rows)


def _median(values: Array) -> dict[str, Any]:
    columns = median_columns(values)
    del columns["confidence"]  # the number of seeds, which is on the card, says it
    return columns


# -------------------------------------------------------------------------------- effects


def label(weight: float, unit: str) -> str:
    """Return what the runs of a weight are called in figures.

    Examples
    --------
    >>> label(0.0, "force"), label(0.1, "force"), label(10.0, "absolute")
    ('baseline', "0.1 of the fit's force", 'weight 10')
    """
    if not weight:
        return "baseline"
    return f"{weight:g} of the fit's force" if unit == "force" else f"weight {weight:g}"


def by_weight(table: Table) -> Grid:
    """Return the runs with a fit by N and, in place of the subset, by weight (`label`)."""
    pairs = zip(table["weight"], table["weight_unit"], strict=True)
    labels = np.array([label(weight, unit) for weight, unit in pairs])
    return Grid({**table, "losses": labels, "weight": np.zeros(len(labels))})


def effects(analysis: Analysis) -> Table:
    """Return every measurement by N and weight, beside baseline and nulls.

    ``value`` and ``baseline`` are medians with their exact intervals; ``difference`` is the median
    of the differences paired over seeds, with its interval, and ``p`` that of the sign-flip test,
    ``p_holm`` over all N and weights of one measurement. Nulls are medians over seeds.
    """
    table = analysis.results.table
    grid, unit = by_weight(table), str(table["weight_unit"][0])
    null_rows = analysis.nulls_table
    keys = zip(null_rows["null"], null_rows["n_samples"], null_rows["measurement"], strict=True)
    nulls = dict(zip(keys, null_rows["median"].tolist(), strict=True))
    weights = {label(weight, unit): weight for weight in WEIGHTS}
    compared = compare(grid, [Pair(name, "baseline", "baseline") for name in weights])
    rows = []
    for row in sorted(compared, key=lambda row: grid.names.index(row["measurement"])):
        name, size = row["measurement"], row["n_samples"]
        row |= {"weight": weights[row["treatment"]], "weight_unit": unit, "seeds": row["pairs"]}
        row |= {"difference": row["median_difference"]}
        row |= {"difference_low": row["low"], "difference_high": row["high"]}
        base = _median(grid.values((size,), "baseline", name))
        row |= {"baseline": base["value"]}
        row |= {"baseline_low": base["low"], "baseline_high": base["high"]}
        value = _median(grid.values((size,), row["treatment"], name))
        row |= {end: value[end] for end in ("value", "low", "high")}
        row |= {f"null_{null}": nulls.get((null, size, name), np.nan) for null in NULLS}
        rows.append({name: row[name] for name in ("measurement", *FIELDS) if name in row})
    return as_table(rows)


# -------------------------------------------------------------------------------- the card


def table(
    name: str, definition: str, checks: LossReport, force: Table, alone: Table, effect: Table
) -> Table:
    """Return ``card.csv``: a row a number, with the columns of `FIELDS` for every loss.

    ``low`` and ``high`` are the least and the largest (``limits`` is ``range``) or the ends of the
    exact interval of the median of at least 95 % (``interval``).
    """
    rows: list[dict[str, Any]] = []

    def add(section: str, quantity: str, **values: Any) -> None:
        head = {"loss": name, "definition": definition, "section": section, "quantity": quantity}
        rows.append({**FIELDS, **head, **values})

    for check in checks.checks:
        add("check", check.name, value=check.value, note=f"{check.verdict}: {check.detail}")
    for row in _rows(force):
        at: dict[str, Any] = {"n_samples": row["n_samples"], "n_inputs": 1}
        for quantity, weight in (("ratio", 1.0), ("equal_weight", np.nan)):
            found = {end: row[f"{quantity}_{end}"] for end in ("low", "high")}
            found |= {"value": row[quantity], "weight": weight, "limits": "range"}
            seeds = row["seeds"] if quantity == "ratio" else row["seeds"] - row["inert"]
            add("force", quantity, seeds=seeds, **found, **at)
        add("force", "inert_seeds", value=row["inert"], seeds=row["seeds"], **at)
    for row in _rows(alone):
        add("alone", n_samples=ALONE_SIZE, weight=1.0, limits="interval", **row)
    for row in _rows(effect):
        add("effect", row.pop("measurement"), n_inputs=1, limits="interval", **row)
    return as_table(rows)


def _rows(table: Table) -> list[dict[str, Any]]:
    columns = {name: values.tolist() for name, values in table.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
