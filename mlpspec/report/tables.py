"""The numbers behind each figure, as tables: what is plotted, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import Cell, Grid, as_table
from mlpspec.arrays import Array
from mlpspec.metrics.hull import expelled
from mlpspec.metrics.prototypes import match
from mlpspec.metrics.statistics import median_interval
from mlpspec.network.forward import respond
from mlpspec.network.neurons import RidgeParams
from mlpspec.store.results import Stack, Table
from mlpspec.studies import ATTRACTORS, REPULSIONS
from mlpspec.study.run import SETTINGS, Run
from mlpspec.study.subsets import canonical_losses

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
CONTRASTED = (
    "reconstruction_error",
    "nearest_error",
    "distinct_usage_ratio",
    "expelled_fraction",
    "outside_fraction",
)
MOST_SHOWN = 8
"""Subsets that one picture can tell apart; of more, the baseline and single losses are shown."""

MOST_VARIANTS = 6
"""Combinations of further settings that one picture can tell apart."""

POOLED = 100
"""Seeds that are pooled in one picture, at the most: the first ones."""

NULLS = ("grid", "random", "start")


def over_sizes(analysis: Analysis, names: Sequence[str], grid: Grid) -> Table:
    """Return runs, medians with exact intervals, and nulls of measurements over N.

    ``grid`` is the analysis's own, or a part of it with cells of one size each. ``kind`` is
    ``run`` (with its seed), ``median`` (with ``low``, ``high`` and the number of ``seeds``) or
    ``null`` (``losses`` is then its name).
    """
    parts: list[Table] = []

    def add(kind: str, name: str, label: str, size: int, value: Any, **more: Any) -> None:
        values = np.atleast_1d(value)
        columns: dict[str, Any] = {
            "measurement": name,
            "kind": kind,
            "losses": label,
            "n_samples": size,
        }
        columns |= {"value": values, "seed": -1, "low": np.nan, "high": np.nan, "seeds": 0, **more}
        parts.append({k: np.broadcast_to(v, values.shape) for k, v in columns.items()})

    for name in names:
        for cell in grid.cells:
            for label in shown(grid):
                values = grid.values(cell, label, name)
                add("run", name, label, cell[0], values, seed=grid.seeds)
                middle = median_interval(values)
                known = int((~np.isnan(values)).sum())
                limits = {"low": middle.low, "high": middle.high, "seeds": known}
                add("median", name, label, cell[0], middle.median, **limits)
        nulls = analysis.nulls_table
        chosen = (nulls["measurement"] == name) & np.isin(nulls["null"], NULLS)
        for row in np.flatnonzero(chosen):
            limits = {"low": nulls["low"][row], "high": nulls["high"][row]}
            size = int(nulls["n_samples"][row])
            add("null", name, str(nulls["null"][row]), size, nulls["median"][row], **limits)
    return _joined(parts)


def shown(grid: Grid) -> list[str]:
    """Return the subsets that pictures of single runs and of medians over N show."""
    if len(grid.labels) <= MOST_SHOWN:
        return grid.labels
    return [label for label in grid.labels if "+" not in label]


def positions(analysis: Analysis) -> Table:
    """Return prototypes and inputs of the largest N, on a line, of at most `POOLED` seeds."""
    stack = _largest(analysis)
    prototypes = stack.params.prototypes
    parts = []
    for row, run in _pooled(analysis, stack):
        for kind, points in (("input", stack.x[row]), ("prototype", prototypes[row])):
            columns = {"losses": run.label, "seed": run.seed, "kind": kind}
            parts.append({**columns, "position": points[:, 0]})
    return _joined(parts)


def reconstruction(analysis: Analysis) -> Table:
    """Return inputs and matched prototypes on a line, of the N nearest to 20 and `POOLED` seeds."""
    stack = _nearest(analysis, 20)
    prototypes = stack.params.prototypes
    inputs, matched = match(stack.x, prototypes)
    parts = []
    for row, run in _pooled(analysis, stack):
        columns = {"losses": run.label, "seed": run.seed, "n_samples": run.n_samples}
        true, found = stack.x[row, inputs[row], 0], prototypes[row, matched[row], 0]
        parts.append({**columns, "input": true, "prototype": found})
    return _joined(parts)


def _pooled(analysis: Analysis, stack: Stack) -> Iterator[tuple[int, Run]]:
    """Iterate over the rows of a stack that are `shown`, of at most `POOLED` seeds."""
    seeds, labels = set(analysis.grid.seeds[:POOLED].tolist()), shown(analysis.grid)
    for row, key in enumerate(stack.keys):
        run = analysis.results.runs[key]
        if run.seed in seeds and run.label in labels:
            yield row, run


def _joined(parts: Sequence[Mapping[str, Any]]) -> Table:
    """Return tables, whose columns may be single values, one below the other."""
    joined: Table = {}
    for name in parts[0]:
        columns = []
        for part in parts:
            length = max(np.size(column) for column in part.values())
            columns.append(np.broadcast_to(part[name], (length,)))
        joined[name] = np.concatenate(columns)
    return joined


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
    for row, run in _pooled(analysis, stack):
        if run.seed != seed:
            continue
        params = type(stack.params).unflatten(stack.params.flatten()[[row]], stack.params.shape[2])
        passed = respond(params, axis[None, :, None], np.zeros((1, len(axis))))

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

    A ridge is the line through ``x``, ``y`` along ``dx``, ``dy``; a radial neuron has a ``radius``
    instead, at which it responds with 1/e. ``expelled`` is 1 where the neuron has left the data.
    Above two dimensions (``n_inputs``) points are projected onto the first two principal axes of
    the inputs, where ridges, which fill the plane, have no direction.
    """
    runs = analysis.results.runs
    stack = min(analysis.stacks, key=lambda stack: stack.x.shape[1])
    seed = min(runs[key].seed for key in stack.keys)
    rows: list[dict[str, Any]] = []
    for row, run in _pooled(analysis, stack):
        if run.seed != seed:
            continue
        params = type(stack.params).unflatten(stack.params.flatten()[[row]], stack.params.shape[2])
        left = expelled(respond(params, stack.x[[row]], stack.y[[row]]))[0]
        n_inputs = run.n_inputs
        place = {"losses": run.label, "n_samples": run.n_samples, "seed": run.seed}
        place |= {"n_inputs": n_inputs}
        project = _principal_plane(stack.x[row]) if n_inputs > 2 else lambda points: points
        blank = {"dx": 0.0, "dy": 0.0, "radius": 0.0, "expelled": 0}
        for a, b in project(stack.x[row]):
            rows.append({**place, "kind": "input", "x": a, "y": b, **blank})
        for k, (a, b) in enumerate(project(params.prototypes[0])):
            shape = {**blank, "expelled": int(left[k])}
            if isinstance(params, RidgeParams):
                if n_inputs == 2:
                    u, v = params.hidden_weight[0, k]
                    length = float(np.hypot(u, v)) or 1.0
                    shape |= {"dx": -v / length, "dy": u / length}
            else:
                shape["radius"] = 1.0 / max(params.slopes[0, k], 1e-3)
            rows.append({**place, "kind": "neuron", "x": a, "y": b, **shape})
    return dict(as_table(rows))


def _principal_plane(x: Array) -> Callable[[Array], Array]:
    """Return the projection (..., D) to (..., 2) onto the first two principal axes of x (N, D)."""
    centre = x.mean(axis=0)
    axes = np.linalg.svd(x - centre, full_matrices=False)[2][:2]
    # The sign of an axis is arbitrary: its largest component is to be positive.
    axes *= np.sign(axes[[0, 1], np.abs(axes).argmax(axis=1)])[:, None]
    return lambda points: np.asarray((points - centre) @ axes.T)


def sweep(analysis: Analysis) -> Table:
    """Return medians of measurements over the temperature, with the theory's marks.

    ``in_spacing`` is tau over the mean spacing squared; ``merging`` (1 in those units) and
    ``collapse`` (2 lambda_max(Cov x), median over seeds) are given for each N.
    """
    grid = analysis.grid
    rows = []
    for size, temperature in grid.cells:
        square = analysis.spacing[size,] ** 2
        for label in grid.labels:
            for name in SWEPT:
                middle = median_interval(grid.values((size, temperature), label, name))
                rows.append(
                    {
                        "losses": label,
                        "n_samples": size,
                        "temperature": temperature,
                        "in_spacing": temperature / square,
                        "measurement": name,
                        "value": middle.median,
                        "low": middle.low,
                        "high": middle.high,
                        "merging": square,
                        "collapse": float(np.median(analysis.critical[size,])),
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
        passed = respond(curve.params, wide, np.broadcast_to(y, (moments, y.shape[1])))
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


def subsets(analysis: Analysis) -> Table:
    """Return medians with exact intervals by subset, N and measurement."""
    grid = analysis.grid
    rows = [
        {
            "losses": label,
            "n_samples": cell[0],
            "measurement": name,
            **centre(grid.values(cell, label, name)),
        }
        for name in OUTCOMES
        for cell in grid.cells
        for label in grid.labels
    ]
    return dict(as_table(rows))


def contrast(analysis: Analysis) -> Table:
    """Return medians with exact intervals by subset, N and the settings that vary besides."""
    grid = analysis.grid
    rows = [
        {
            "losses": label,
            "n_samples": cell[0],
            "variant": ", ".join(
                f"{field} {value}".replace("_", " ")
                for field, value in zip(grid.fields[1:], cell[1:], strict=True)
            ),
            "measurement": name,
            **centre(grid.values(cell, label, name)),
        }
        for name in CONTRASTED
        for cell in sorted(grid.cells, key=_defaults_first(grid))
        for label in shown(grid)
    ]
    return dict(as_table(rows))


def _defaults_first(grid: Grid) -> Callable[[Cell], tuple[Any, ...]]:
    defaults = [SETTINGS[field].default for field in grid.fields[1:]]
    return lambda cell: (
        cell[0],
        *((a != b, a) for a, b in zip(cell[1:], defaults, strict=True)),
    )


def attraction(analysis: Analysis) -> Table:
    """Return median paired differences from the baseline by attractor, repulsion and N."""
    grid = analysis.grid
    rows = []
    for name in CONTRASTED:
        for cell in grid.cells:
            base = grid.values(cell, "baseline", name)
            for attractor in ("none", *ATTRACTORS):
                for repulsion in ("none", *REPULSIONS):
                    active = [n for n in (attractor, repulsion) if n != "none"]
                    label = "+".join(canonical_losses(active)) or "baseline"
                    rows.append(
                        {
                            "attractor": attractor,
                            "repulsion": repulsion,
                            "n_samples": cell[0],
                            "measurement": name,
                            **centre(grid.values(cell, label, name) - base),
                        }
                    )
    return dict(as_table(rows))


def centre(values: Any) -> dict[str, Any]:
    """Return the median of ``values`` (S,) with its exact interval, and how many are known."""
    found = median_interval(values)
    known = int((~np.isnan(values)).sum())
    return {
        "value": found.median,
        "low": found.low,
        "high": found.high,
        "confidence": found.confidence,
        "seeds": known,
    }


def _log_spaced(steps: Any, count: int = 60) -> Any:
    wanted = np.concatenate([[0], np.geomspace(max(steps[1], 1), steps[-1], count)])
    return np.unique(np.abs(steps[:, None] - wanted).argmin(axis=0))


def _variants(grid: Grid) -> int:
    return len({cell[1:] for cell in grid.cells})


def _largest(analysis: Analysis) -> Stack:
    return max(analysis.stacks, key=lambda stack: stack.x.shape[1])


def _nearest(analysis: Analysis, size: int) -> Stack:
    return min(analysis.stacks, key=lambda stack: abs(stack.x.shape[1] - size))


TABLES: dict[str, Callable[[Analysis], Table]] = {
    "positions": positions,
    "reconstruction": reconstruction,
    "responses": responses,
    "hull": hull,
    "sweep": sweep,
    "trajectories": trajectories,
    "subsets": subsets,
    "contrast": contrast,
    "attraction": attraction,
}


def of(analysis: Analysis) -> dict[str, Table]:
    """Return the numbers behind each figure that a directory has the runs for, in page order.

    A grid that was trained for several numbers of steps has its figures over N once for each,
    called ``outcomes-after-3000-steps`` and so on.
    """
    found: dict[str, Table] = {}
    if "ok" not in analysis.results.status.values():
        return found
    if analysis.verdicts:
        found["verdicts"] = analysis.claims_table()
    over = {"outcomes": OUTCOMES, "expulsion": EXPULSION}
    fields = analysis.grid.fields
    n_inputs = analysis.stacks[0].x.shape[2]
    if fields == ("n_samples",):
        if analysis.results.identity["study"] == "attractors":
            found["attraction"] = TABLES["attraction"](analysis)
        if len(analysis.grid.labels) > MOST_SHOWN:
            found["subsets"] = TABLES["subsets"](analysis)
        for name, measurements in over.items():
            found[name] = over_sizes(analysis, measurements, analysis.grid)
        if n_inputs == 1:
            for name in ("positions", "reconstruction", "responses"):
                found[name] = TABLES[name](analysis)
        else:
            found["hull"] = TABLES["hull"](analysis)
    elif fields == ("n_samples", "steps"):
        table = analysis.results.table
        for steps in np.unique(table["steps"]):
            rows = table["steps"] == steps
            part = Grid({name: values[rows] for name, values in table.items()})
            for name, measurements in over.items():
                found[f"{name}-after-{steps}-steps"] = over_sizes(analysis, measurements, part)
    elif fields != ("n_samples", "temperature") and _variants(analysis.grid) <= MOST_VARIANTS:
        found["contrast"] = TABLES["contrast"](analysis)
    sweep_at = analysis if fields == ("n_samples", "temperature") else analysis.sweep
    if sweep_at is not None:
        found["sweep"] = TABLES["sweep"](sweep_at)
    recorded = analysis.inner("trajectories")
    if recorded is not None:
        found["trajectories"] = TABLES["trajectories"](recorded)
    return found
