"""Descent: how the runs of one call of `mlpspec.training.trainer.train` go down.

A run is trained whole by the kernel (`train_whole`), in NumPy together with others that have the
same losses (`descend`), or by SciPy's L-BFGS (`line_search`). All three evaluate at step t, from 0
on, the objective which step t + 1 goes down, and after the last step that of the last one: it
changes where structural losses come in late or are switched off. All three meet the
same moments, at which a run is recorded, or early stopping looks at it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlpspec.arrays import Array
from mlpspec.losses.objective import Objective, Terms, weighted_sum
from mlpspec.network.forward import respond
from mlpspec.network.neurons import Params
from mlpspec.training.compiled import KernelRuns, RidingRuns, Values, riding
from mlpspec.training.optimizers import RULES, Optimizer
from mlpspec.training.perturbation import Perturbation, Perturbed, Streams
from mlpspec.training.stopping import EarlyStopping, Moment, Watch


class Plan(NamedTuple):
    """What all runs share, and the start (R, P), data and streams of each."""

    kind: type[Params]
    optimizer: Optimizer
    rates: Array
    """Of every step."""
    steps: int
    phases: list[tuple[int, bool]]
    recorded: frozenset[int]
    """Steps at which a moment is recorded."""
    looks: frozenset[int]
    """Steps at which early stopping looks at a run."""
    stopping: EarlyStopping
    held_out: tuple[Array, Array] | None
    perturbation: Perturbation
    streams: Sequence[Streams]
    start: Array
    x: Array
    y: Array

    def watch(self) -> Watch | None:
        """Return what looks at a run."""
        return Watch(self.stopping) if self.looks else None

    def watched(self, row: int, moment: Moment) -> float:
        """Return what early stopping looks at in a run."""
        if self.held_out is None:
            return moment.values["objective"]
        x, y = (array[row : row + 1] for array in self.held_out)
        net = respond(self.kind.unflatten(moment.theta[None], x.shape[2]), x, y)
        return float(np.square(net.output - y).mean())


class End(NamedTuple):
    """How one run ended."""

    theta: Array
    diverged: bool
    steps: int
    norm: float
    records: list[Moment]


def _in_phase(objective: Objective, active: bool) -> Objective:
    return objective if active else objective.unstructured


def train_whole(plan: Plan, row: int, objective: Objective) -> End:
    """Train one run in the kernel."""
    one, watch = slice(row, row + 1), plan.watch()
    begin = [_in_phase(objective, plan.phases[0][1])]
    data = plan.start[one], plan.x[one], plan.y[one]
    runs = KernelRuns(plan.kind, *data, begin, plan.optimizer.neglects)
    # With the gradient of one step before, the next one goes down the objective until then.
    changes = {start - 1: active for start, active in plan.phases[1:]}
    records: list[Moment] = []
    for step in runs.until(
        plan.optimizer, plan.rates, sorted({*plan.recorded, *plan.looks, *changes, plan.steps})
    ):
        values = {"objective": float(runs.total[0]), **runs.values(0)}
        norm = float(np.linalg.norm(runs.grad[0]))
        moment = Moment(step, runs.theta[0].copy(), values, norm)
        if step in plan.recorded:
            records.append(moment)
        if step in changes:
            runs.minimise([_in_phase(objective, changes[step])])
        if watch and step in plan.looks and watch.ends(moment, plan.watched(row, moment)):
            break
    if runs.ended[0] < 0:
        return _ended(plan, moment, records, watch)
    norm = float(np.linalg.norm(runs.grad[0]))
    return End(runs.theta[0].copy(), True, int(runs.ended[0]), norm, records)


def _ended(plan: Plan, last: Moment, records: list[Moment], watch: Watch | None) -> End:
    """Return the end of a run that has not diverged: its best moment, or else its last one."""
    if watch is not None and watch.best is not None:
        last = watch.best
    if plan.recorded:
        records = [moment for moment in records if moment.step < last.step] + [last]
    return End(last.theta, False, last.step, last.norm, records)


Evaluate = Callable[[Array], tuple[Array, Array, Values]]
"""Returns, at theta (R, P), objective (R,), gradient (R, P), and what gives a run's values."""


class _Textbook:
    """The objective of runs that have the same losses, in NumPy."""

    def __init__(self, plan: Plan, rows: Sequence[int], objectives: Sequence[Objective]) -> None:
        self.kind, self.x, self.y = plan.kind, plan.x[rows], plan.y[rows]
        self.fit_weight = np.array([each.fit_weight for each in objectives], dtype=self.y.dtype)
        self.terms = _weighted(objectives, objectives[0].active, self.y)

    def __call__(
        self, theta: Array, perturbed: Perturbed | None = None
    ) -> tuple[Array, Array, Values]:
        params, seen = self.kind.unflatten(theta, self.x.shape[2]), None
        if perturbed is None:
            net = respond(params, self.x, self.y)
        else:
            net, seen = perturbed(params)
        total, grad, values = weighted_sum(net, self.fit_weight, self.terms, seen)
        return (
            total,
            grad.flatten(),
            lambda run: {name: float(value[run]) for name, value in values.items()},
        )


def _weighted(objectives: Sequence[Objective], names: Iterable[str], like: Array) -> Terms:
    """Return some terms of runs that all have them, with weights (R,)."""

    def weights(name: str) -> Array:
        return np.array([objective.terms[name][0] for objective in objectives], dtype=like.dtype)

    return {name: (weights(name), objectives[0].terms[name][1]) for name in names}


def _evaluation(
    plan: Plan, rows: Sequence[int], objectives: Sequence[Objective], compiled: bool
) -> Evaluate:
    """Return the objective of runs that may be trained together."""
    if not compiled:
        return _Textbook(plan, rows, objectives)
    terms = _weighted(objectives, riding(objectives[0]), plan.y)
    data = plan.start[rows], plan.x[rows], plan.y[rows]
    return RidingRuns(plan.kind, *data, objectives, terms, plan.optimizer.neglects)


def descend(
    plan: Plan, rows: Sequence[int], objectives: Sequence[Objective], compiled: bool
) -> list[End]:
    """Train the runs ``rows`` together: evaluate, look whether all is finite, step.

    A run whose objective or gradient is no longer finite goes back to where they last were, and
    stays there, as one that stops early does; the others go on.
    """
    theta = plan.start[rows]
    # The C library of Linux returns freed memory to the system, to be mapped again at each step,
    # until it has seen a large block freed: without this one a step takes half as long again.
    np.empty(31 * 2**20, dtype=np.uint8)
    rule, last, phases = RULES[plan.optimizer.rule], plan.steps, dict(plan.phases)
    before, m, s = theta, np.zeros_like(theta), np.zeros_like(theta)
    alive = np.ones(len(rows), dtype=bool)
    ends: dict[int, End] = {}
    records: list[list[Moment]] = [[] for _ in rows]
    watches = [plan.watch() for _ in rows]
    perturbed = None
    if plan.perturbation:
        streams = [plan.streams[row] for row in rows] if plan.perturbation.drawn else []
        perturbed = Perturbed(plan.perturbation, streams, plan.x[rows], plan.y[rows])
    for t in range(last + 1):
        if t in phases:
            some = [_in_phase(objective, phases[t]) for objective in objectives]
            evaluate = _evaluation(plan, rows, some, compiled)
        looked_at = t in plan.recorded or t in plan.looks or t == last
        if looked_at or perturbed is None:
            total, grad, values = evaluate(theta)
        if perturbed is not None and t < last:
            assert isinstance(evaluate, _Textbook)
            size, down, _ = evaluate(theta, perturbed)
        else:
            size, down = total, grad
        finite = np.isfinite(size) & np.isfinite(down).all(axis=1)
        lost = alive & ~finite
        if lost.any():
            alive &= finite
            theta = np.where(lost[:, None], before, theta)
            total, grad, values = evaluate(theta)
            norms = _norms(grad)
            for run in np.flatnonzero(lost).tolist():
                ends[run] = End(theta[run], True, max(t - 1, 0), norms[run], records[run])
        norms = _norms(grad) if looked_at else []
        for run in np.flatnonzero(alive).tolist() if looked_at else ():
            named = {"objective": float(total[run]), **values(run)}
            moment = Moment(t, theta[run].copy(), named, norms[run])
            if t in plan.recorded:
                records[run].append(moment)
            watch = watches[run]
            stops = (
                watch and t in plan.looks and watch.ends(moment, plan.watched(rows[run], moment))
            )
            if stops or t == last:
                alive[run] = False
                ends[run] = _ended(plan, moment, records[run], watch)
        if not alive.any():
            break
        before = theta
        rate = float(plan.rates[t])
        step, m, s = rule(down, m, s, t + 1.0, (rate, *plan.optimizer.numbers[1:]))
        moved = (1.0 - rate * plan.optimizer.decay) * theta + step
        theta = moved if alive.all() else np.where(alive[:, None], moved, theta)
    return [ends[run] for run in range(len(rows))]


def _norms(grad: Array) -> list[float]:
    """Return the norm of each row in double precision: in single, squares overflow."""
    norms: list[float] = np.linalg.norm(grad.astype(np.float64), axis=1).tolist()
    return norms


class _Follower:
    """Follows L-BFGS from iterate to iterate."""

    def __init__(self, plan: Plan, row: int) -> None:
        self.plan, self.row, self.watch = plan, row, plan.watch()
        self.theta = plan.start[row].astype(np.float64)
        self.taken = 0
        self.records: list[Moment] = []
        self.evaluate: Evaluate

    def value_and_grad(self, theta: Array) -> tuple[float, Array]:
        total, grad, _ = self.evaluate(theta[None].astype(self.plan.y.dtype))
        return float(total[0]), grad[0].astype(np.float64)

    def moment(self) -> Moment:
        theta = self.theta.astype(self.plan.y.dtype)
        total, grad, values = self.evaluate(theta[None])
        norm = float(np.linalg.norm(grad[0].astype(np.float64)))
        return Moment(self.taken, theta, {"objective": float(total[0]), **values(0)}, norm)

    def look(self) -> bool:
        """Record the iterate if it is to be recorded; return whether the run stops early."""
        if self.taken not in self.plan.recorded | self.plan.looks:
            return False
        moment = self.moment()
        if self.taken in self.plan.recorded:
            self.records.append(moment)
        if self.watch is None or self.taken not in self.plan.looks:
            return False
        return self.watch.ends(moment, self.plan.watched(self.row, moment))

    def __call__(self, intermediate_result: Any) -> None:
        """Take note of an iterate, as SciPy calls it."""
        self.theta = intermediate_result.x.copy()
        self.taken += 1
        if self.look():
            raise StopIteration


def line_search(plan: Plan, row: int, objective: Objective, compiled: bool) -> End:
    """Train one run by L-BFGS, an iteration a step, anew where its objective changes.

    It ends where no step goes down any more. A step never leads to where the objective is not
    finite, so that a run diverges at its start alone.
    """
    from scipy.optimize import minimize

    follower, memory = _Follower(plan, row), plan.optimizer.memory
    edges = [start for start, _ in plan.phases] + [plan.steps]
    for (start, active), stop in zip(plan.phases, edges[1:], strict=True):
        follower.evaluate = _evaluation(plan, [row], [_in_phase(objective, active)], compiled)
        if start == 0:
            total, grad = follower.value_and_grad(follower.theta)
            if not np.isfinite(total) or not np.isfinite(grad).all():
                return End(plan.start[row], True, 0, float(np.linalg.norm(grad)), [])
            follower.look()
        if stop > start:
            options = {"maxcor": memory, "maxiter": stop - start, "maxfun": 100 * (stop - start)}
            minimize(
                follower.value_and_grad,
                follower.theta,
                jac=True,
                method="L-BFGS-B",
                callback=follower,
                options={**options, "ftol": 0.0, "gtol": 0.0},
            )
    last = follower.moment()
    if follower.watch:
        follower.watch.ends(last, plan.watched(row, last))
    return _ended(plan, last, follower.records, follower.watch)
