"""The numbers behind each figure, as tables: what is plotted, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlpspec.analysis import Analysis
from mlpspec.comparisons import as_table
from mlpspec.metrics import match
from mlpspec.model import Forward
from mlpspec.results import Stack, Table
from mlpspec.statistics import median_interval
from mlpspec.study import Run

OUTCOMES = (
    "reconstruction_error",
    "nearest_error",
    "usage_ratio",
    "fit_fvu",
    "outside_fraction",
    "expelled_fraction",
)
EXPULSION = ("outside_fraction", "expelled_fraction", "silent_fraction", "overshoot")
SWEPT = ("outside_fraction", "expelled_fraction", "reconstruction_error", "distinct_usage_ratio")
NULLS = ("grid", "random", "start")


def over_sizes(analysis: Analysis, names: Sequence[str]) -> Table:
    """Return runs, medians with exact intervals, and nulls of measurements over N.

    ``kind`` is ``run`` (with its seed), ``median`` (with ``low``, ``high`` and the number of
    ``seeds``) or ``null`` (``losses`` is then its name).
    """
    rows: list[dict[str, Any]] = []

    def add(kind: str, name: str, label: str, size: int, value: float, **more: Any) -> None:
        blank = {"seed": -1, "low": np.nan, "high": np.nan, "seeds": 0}
        place = {"measurement": name, "kind": kind, "losses": label, "n_samples": size}
        rows.append({**place, "value": value, **blank, **more})

    grid = analysis.grid
    for name in names:
        for cell in grid.cells:
            for label in grid.labels:
                values = grid.values(cell, label, name)
                for seed, value in zip(grid.seeds, values, strict=True):
                    add("run", name, label, cell[0], value, seed=int(seed))
                centre = median_interval(values)
                known = int((~np.isnan(values)).sum())
                add(
                    "median",
                    name,
                    label,
                    cell[0],
                    centre.median,
                    low=centre.low,
                    high=centre.high,
                    seeds=known,
                )
        nulls = analysis.nulls_table
        chosen = (nulls["measurement"] == name) & np.isin(nulls["null"], NULLS)
        for row in np.flatnonzero(chosen):
            add(
                "null",
                name,
                nulls["null"][row],
                int(nulls["n_samples"][row]),
                nulls["median"][row],
                low=nulls["low"][row],
                high=nulls["high"][row],
            )
    return dict(as_table(rows))


def outcomes(analysis: Analysis) -> Table:
    """Return the main measurements over N."""
    return over_sizes(analysis, OUTCOMES)


def expulsion(analysis: Analysis) -> Table:
    """Return the measurements of expulsion over N."""
    return over_sizes(analysis, EXPULSION)


def positions(analysis: Analysis) -> Table:
    """Return all prototypes and inputs of the largest N, on a line."""
    stack = _largest(analysis)
    rows = []
    for row, key in enumerate(stack.keys):
        run = analysis.results.runs[key]
        for kind, points in (("input", stack.x[row]), ("prototype", stack.params.prototypes[row])):
            rows += [
                {"losses": run.label, "seed": run.seed, "kind": kind, "position": point}
                for point in points[:, 0]
            ]
    return dict(as_table(rows))


def reconstruction(analysis: Analysis) -> Table:
    """Return inputs and matched prototypes on a line, of the N nearest to 20."""
    stack = _nearest(analysis, 20)
    rows = []
    prototypes = stack.params.prototypes
    inputs, matched = match(stack.x, prototypes)
    for row, key in enumerate(stack.keys):
        run = analysis.results.runs[key]
        true, found = stack.x[row, inputs[row], 0], prototypes[row, matched[row], 0]
        rows += [
            {
                "losses": run.label,
                "seed": run.seed,
                "n_samples": run.n_samples,
                "input": a,
                "prototype": b,
            }
            for a, b in zip(true, found, strict=True)
        ]
    return dict(as_table(rows))


def responses(analysis: Analysis) -> Table:
    """Return what the networks of one seed at the N nearest to 10 do along the axis.

    ``kind`` is ``response`` (of neuron ``unit``), ``output``, ``target``, ``datum`` or
    ``prototype``.
    """
    stack = _nearest(analysis, 10)
    runs = analysis.results.runs
    seed = min(runs[key].seed for key in stack.keys)
    low, high = analysis.domain.low, analysis.domain.high
    margin = 0.15 * (high - low)
    axis = np.linspace(low - margin, high + margin, 161)
    rows: list[dict[str, Any]] = []
    for row, key in enumerate(stack.keys):
        run = runs[key]
        if run.seed != seed:
            continue
        params = stack.params.take(slice(row, row + 1))
        passed = Forward(params, axis[None, :, None], np.zeros((1, len(axis))))

        def add(kind: str, unit: int, x: Any, y: Any, run: Run = run) -> None:
            place = {"losses": run.label, "n_samples": run.n_samples, "seed": run.seed}
            rows.extend(
                {**place, "kind": kind, "unit": unit, "x": a, "y": b}
                for a, b in zip(x, y, strict=True)
            )

        for unit in range(run.hidden_units):
            add("response", unit, axis, passed.hidden[0, :, unit])
        add("output", -1, axis, passed.output[0])
        add("datum", -1, stack.x[row, :, 0], stack.y[row])
        add("prototype", -1, params.prototypes[0, :, 0], np.zeros(run.hidden_units))
    return dict(as_table(rows))


def hull(analysis: Analysis) -> Table:
    """Return inputs, ridges and prototypes in the plane, of one seed at the smallest N.

    A ridge is the line through ``x``, ``y`` along ``dx``, ``dy``; ``expelled`` is 1 where it has
    left the data.
    """
    runs = analysis.results.runs
    stack = min(analysis.stacks, key=lambda stack: stack.x.shape[1])
    seed = min(runs[key].seed for key in stack.keys)
    rows: list[dict[str, Any]] = []
    for row, key in enumerate(stack.keys):
        run = runs[key]
        if run.seed != seed:
            continue
        params = stack.params.take(slice(row, row + 1))
        z = Forward(params, stack.x[[row]], stack.y[[row]]).preactivation[0]
        left = (z > 0.5).all(axis=0) | (z < -0.5).all(axis=0)
        place = {"losses": run.label, "n_samples": run.n_samples, "seed": run.seed}
        blank = {"dx": 0.0, "dy": 0.0, "expelled": 0}
        for a, b in stack.x[row]:
            rows.append({**place, "kind": "input", "x": a, "y": b, **blank})
        slopes = params.hidden_weight[0]
        for (a, b), (u, v), gone in zip(params.prototypes[0], slopes, left, strict=True):
            length = float(np.hypot(u, v)) or 1.0
            ridge = {"dx": -v / length, "dy": u / length, "expelled": int(gone)}
            rows.append({**place, "kind": "neuron", "x": a, "y": b, **ridge})
    return dict(as_table(rows))


def sweep(analysis: Analysis) -> Table:
    """Return medians of measurements over the temperature, with the theory's marks.

    ``in_spacing`` is tau over the mean spacing squared; ``merging`` (1 in those units) and
    ``collapse`` (2 lambda_max(Cov x), median over seeds) are given for each N.
    """
    grid = analysis.grid
    rows = []
    for size, temperature in grid.cells:
        square = analysis.spacing[size] ** 2
        for label in grid.labels:
            for name in SWEPT:
                centre = median_interval(grid.values((size, temperature), label, name))
                rows.append(
                    {
                        "losses": label,
                        "n_samples": size,
                        "temperature": temperature,
                        "in_spacing": temperature / square,
                        "measurement": name,
                        "value": centre.median,
                        "low": centre.low,
                        "high": centre.high,
                        "merging": square,
                        "collapse": float(np.median(analysis.critical[size])),
                        "seeds": len(grid.seeds),
                    }
                )
    return dict(as_table(rows))


def trajectories(analysis: Analysis) -> Table:
    """Return the prototypes of recorded runs over training, on a line.

    ``silent`` is 1 where the neuron answers no input with more than 0.01; ``low`` and ``high``
    are the ends of the hull.
    """
    rows = []
    for key, run in analysis.results.runs.items():
        curve = analysis.results.curve(key)
        x, y = analysis.results.dataset(key)
        moments = len(curve.steps)
        wide = np.broadcast_to(x, (moments, *x.shape[1:]))
        passed = Forward(curve.params, wide, np.broadcast_to(y, (moments, y.shape[1])))
        silent = passed.hidden.max(axis=1) < 0.01
        keep = _log_spaced(curve.steps)
        place = {"losses": run.label, "n_samples": run.n_samples, "seed": run.seed}
        hull = {"low": x.min(), "high": x.max()}
        for t in keep:
            for unit in range(run.hidden_units):
                rows.append(
                    {
                        **place,
                        "step": int(curve.steps[t]),
                        "unit": unit,
                        "position": passed.prototypes[t, unit, 0],
                        "silent": int(silent[t, unit]),
                        **hull,
                    }
                )
    return dict(as_table(rows))


def _log_spaced(steps: Any, count: int = 60) -> Any:
    wanted = np.concatenate([[0], np.geomspace(max(steps[1], 1), steps[-1], count)])
    return np.unique(np.abs(steps[:, None] - wanted).argmin(axis=0))


def _largest(analysis: Analysis) -> Stack:
    return max(analysis.stacks, key=lambda stack: stack.x.shape[1])


def _nearest(analysis: Analysis, size: int) -> Stack:
    return min(analysis.stacks, key=lambda stack: abs(stack.x.shape[1] - size))


TABLES: dict[str, Callable[[Analysis], Table]] = {
    "outcomes": outcomes,
    "positions": positions,
    "expulsion": expulsion,
    "reconstruction": reconstruction,
    "responses": responses,
    "hull": hull,
    "sweep": sweep,
    "trajectories": trajectories,
}
