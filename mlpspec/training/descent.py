"""Descent: how the runs of one call of `mlpspec.training.trainer.train` go down.

A run is trained whole by the kernel (`train_whole`), in NumPy together with others that have the
same losses (`descend`), or by SciPy's L-BFGS (`line_search`). The objective changes where
structural losses come in late or are switched off. After t steps all three evaluate the objective
that the next step goes down, and after the last step that of the last one. All three meet the same
moments, at which a run is recorded, or early stopping looks at it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mlpspec.arrays import Array
from mlpspec.losses.base import StructuralLoss
from mlpspec.losses.objective import Fit, Objective, weighted_sum
from mlpspec.network.forward import Forward
from mlpspec.network.neurons import Params
from mlpspec.training.compiled import KernelRuns, RidingForward, riding
from mlpspec.training.optimizers import RULES, Optimizer
from mlpspec.training.perturbation import Perturbation, Perturbed, Streams
from mlpspec.training.stopping import EarlyStopping, Moment

SLICE = 3e7
"""Responses, at the most, between two looks at signals: about a tenth of a second."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What R runs are to do: what all share, and the objective, start, data and streams of each."""

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
    compiled: bool
    objectives: Sequence[Objective]
    streams: Sequence[Streams]
    start: Array
    x: Array
    y: Array

    @cached_property
    def moments(self) -> frozenset[int]:
        """Steps at which it matters where a run is."""
        return self.recorded | self.looks | {self.steps}

    def objective(self, row: int, active: bool) -> Objective:
        """Return what a run minimises while its structural losses are active, or are not."""
        whole = self.objectives[row]
        return whole if active else whole.unstructured

    def in_numpy(self, row: int, active: bool = True) -> dict[str, tuple[float, StructuralLoss]]:
        """Return the terms of a run's objective that the kernel does not compute."""
        objective = self.objective(row, active)
        return riding(objective) if self.compiled else objective.parts


class Course:
    """The course of one run: what is recorded of it, where it ends, and whether it diverges.

    Attributes
    ----------
    records : list of Moment
    last : Moment
        Where it ended.
    diverged : bool
    best : Moment, optional
        What early stopping saw least at, and returns to; its value is ``least``.
    """

    def __init__(self, plan: Plan, row: int) -> None:
        self.plan, self.row = plan, row
        self.records: list[Moment] = []
        self.last: Moment
        self.diverged = False
        self.best: Moment | None = None
        self.least = self.improved = math.inf
        self.waited = 0

    def stops(self, moment: Moment) -> bool:
        """Record the moment if it is to be recorded; return whether the run stops early."""
        if moment.step in self.plan.recorded:
            self.records.append(moment)
        return moment.step in self.plan.looks and self.looked(moment)

    def looked(self, moment: Moment) -> bool:
        """Look at the run as early stopping does; return whether it ends."""
        value, stopping = self.watched(moment), self.plan.stopping
        if value < self.least or self.best is None:
            self.best, self.least = moment, value
        if value < self.improved * (1.0 - stopping.tolerance):
            self.improved, self.waited = value, 0
        else:
            self.waited += 1
        return self.waited >= stopping.patience

    def watched(self, moment: Moment) -> float:
        """Return what early stopping looks at."""
        if self.plan.held_out is None:
            return moment.values["objective"]
        x, y = (array[self.row : self.row + 1] for array in self.plan.held_out)
        net = Forward(self.plan.kind.unflatten(moment.theta[None], x.shape[2]), x, y)
        return float(np.square(net.output - y).mean())

    def finish(self, moment: Moment) -> None:
        """End at the best moment that early stopping saw, or else at this one."""
        self.last = last = self.best or moment
        if self.plan.recorded:
            self.records = [one for one in self.records if one.step < last.step] + [last]

    def diverge(self, step: int, theta: Array, norm: float) -> None:
        """End where objective and gradient were last finite, with the gradient's norm there."""
        self.last, self.diverged = Moment(step, theta, {}, norm), True


def train_whole(plan: Plan, row: int) -> Course:
    """Train one run in the kernel, in slices after which signals are heard."""
    one, course = slice(row, row + 1), Course(plan, row)
    begin = [plan.objective(row, plan.phases[0][1])]
    data = plan.start[one], plan.x[one], plan.y[one]
    runs = KernelRuns(plan.kind, *data, begin, plan.optimizer.ignores_tiny_gradients)
    # The gradient for step `start` is taken at start - 1, so that the objective changes after it.
    changes = {start - 1: active for start, active in plan.phases[1:]}
    longest = max(1, int(SLICE / (runs.at.n * runs.at.k)))
    t = -1
    for stop in sorted({*plan.moments, *changes, *range(longest, plan.steps, longest)}):
        runs.advance(plan.optimizer, plan.rates, t, stop)
        t, norm = stop, float(np.linalg.norm(runs.grad[0]))
        if runs.ended[0] >= 0:
            course.diverge(int(runs.ended[0]), runs.theta[0].copy(), norm)
            return course
        values = {"objective": float(runs.total[0]), **runs.values(0)}
        moment = Moment(t, runs.theta[0].copy(), values, norm)
        if t in changes:
            runs.minimise([plan.objective(row, changes[t])])
        if course.stops(moment):
            break
    course.finish(moment)
    return course


Found = tuple[Array, Array, Callable[[int], dict[str, float]]]
"""The objective (R,), its gradient (R, P), and what returns the unweighted values of a run's terms
by name."""


def _evaluation(plan: Plan, rows: Sequence[int], active: bool) -> Callable[..., Found]:
    """Return what evaluates, at theta (R, P), the objective of runs that may be trained together.

    In NumPy the data and what the fit sees are perturbed if a `Perturbed` is given, too.
    """
    x, y = plan.x[rows], plan.y[rows]
    objectives = [plan.objective(row, active) for row in rows]
    terms: dict[str, tuple[Array, StructuralLoss]] = {}
    for name, (_, loss) in plan.in_numpy(rows[0], active).items():
        weights = [objective.parts[name][0] for objective in objectives]
        terms[name] = np.array(weights, dtype=y.dtype), loss

    def of_run(values: dict[str, Array], run: int) -> dict[str, float]:
        return {name: float(value[run]) for name, value in values.items()}

    def in_numpy(theta: Array, perturbed: Perturbed | None = None) -> Found:
        params = plan.kind.unflatten(theta, x.shape[2])
        net, fit = perturbed(params) if perturbed else (Forward(params, x, y), Fit())
        total, grad, values = weighted_sum(net, {**terms, "fit": (terms["fit"][0], fit)})
        return total, grad.flatten(), lambda run: of_run(values, run)

    if not plan.compiled:
        return in_numpy
    runs = KernelRuns(
        plan.kind, plan.start[rows], x, y, objectives, plan.optimizer.ignores_tiny_gradients
    )

    def compiled(theta: Array) -> Found:
        runs.theta[...] = theta
        runs.evaluate()
        if not terms:
            return runs.total.copy(), runs.grad.copy(), runs.values
        net = RidingForward(plan.kind.unflatten(theta, x.shape[2]), x, y, runs)
        total, grad, values = weighted_sum(net, terms)
        both = runs.total + total, runs.grad + grad.flatten()
        return *both, lambda run: runs.values(run) | of_run(values, run)

    return compiled


def descend(plan: Plan, rows: Sequence[int]) -> list[Course]:
    """Train the runs ``rows`` together: evaluate, look whether all is finite, step.

    A run whose objective or gradient is no longer finite goes back to where they last were, and
    stays there, as one that stops early does; the others go on.
    """
    theta = plan.start[rows]
    # The C library of Linux returns freed memory to the system, to be mapped again at each step,
    # until it has seen a large block freed: without this one a step may take three times as long.
    np.empty(31 * 2**20, dtype=np.uint8)
    rule, last, phases = RULES[plan.optimizer.rule], plan.steps, dict(plan.phases)
    before, m, s = theta, np.zeros_like(theta), np.zeros_like(theta)
    alive = np.ones(len(rows), dtype=bool)
    courses = [Course(plan, row) for row in rows]
    perturbed = None
    if plan.perturbation:
        streams = [plan.streams[row] for row in rows] if plan.perturbation.drawn else []
        perturbed = Perturbed(plan.perturbation, streams, plan.x[rows], plan.y[rows])
    for t in range(last + 1):
        if t in phases:
            evaluate = _evaluation(plan, rows, phases[t])
        looked_at = t in plan.moments
        if looked_at or perturbed is None:
            total, grad, values = evaluate(theta)
        if perturbed is not None and t < last:
            value, down, _ = evaluate(theta, perturbed)
        else:
            value, down = total, grad
        finite = np.isfinite(value) & np.isfinite(down).all(axis=1)
        lost = alive & ~finite
        if lost.any():
            alive &= finite
            theta = np.where(lost[:, None], before, theta)
            total, grad, values = evaluate(theta)
            norms = _norms(grad)
            for run in np.flatnonzero(lost).tolist():
                courses[run].diverge(max(t - 1, 0), theta[run], norms[run])
        norms = _norms(grad) if looked_at else []
        for run in np.flatnonzero(alive).tolist() if looked_at else ():
            named = {"objective": float(total[run]), **values(run)}
            moment = Moment(t, theta[run].copy(), named, norms[run])
            if courses[run].stops(moment) or t == last:
                alive[run] = False
                courses[run].finish(moment)
        if not alive.any():
            break
        before = theta
        rate = float(plan.rates[t])
        step, m, s = rule(down, m, s, t + 1.0, (rate, *plan.optimizer.numbers[1:]))
        moved = (1.0 - rate * plan.optimizer.decay) * theta + step
        theta = moved if alive.all() else np.where(alive[:, None], moved, theta)
    return courses


def _norms(grad: Array) -> list[float]:
    """Return the norm of each row in double precision: in single, squares overflow."""
    norms: list[float] = np.linalg.norm(grad.astype(np.float64), axis=1).tolist()
    return norms


def line_search(plan: Plan, row: int) -> Course:
    """Train one run by L-BFGS, an iteration a step, anew where its objective changes.

    It ends where no step goes down any more. A step never leads to where the objective is not
    finite, so that a run diverges at its start alone.
    """
    from scipy.optimize import minimize

    course, dtype = Course(plan, row), plan.y.dtype
    theta, taken = plan.start[row].astype(np.float64), 0

    def value_and_grad(theta: Array) -> tuple[float, Array]:
        total, grad, _ = evaluate(theta[None].astype(dtype))
        return float(total[0]), grad[0].astype(np.float64)

    def here() -> Moment:
        """Return the moment at theta."""
        at = theta.astype(dtype)
        total, grad, values = evaluate(at[None])
        norm = float(np.linalg.norm(grad[0].astype(np.float64)))
        return Moment(taken, at, {"objective": float(total[0]), **values(0)}, norm)

    def stops() -> bool:
        return taken in plan.moments and course.stops(here())

    def follow(intermediate_result: Any) -> None:
        """Take note of an iterate, as SciPy calls it."""
        nonlocal theta, taken
        theta, taken = intermediate_result.x.copy(), taken + 1
        if taken < stop and stops():
            raise StopIteration

    edges = [start for start, _ in plan.phases] + [plan.steps]
    for (start, active), stop in zip(plan.phases, edges[1:], strict=True):
        evaluate = _evaluation(plan, [row], active)
        if start == 0:
            total, grad = value_and_grad(theta)
            if not np.isfinite(total) or not np.isfinite(grad).all():
                course.diverge(0, plan.start[row], float(np.linalg.norm(grad)))
                return course
        if taken == start < plan.steps:
            stops()
        if stop > start:
            options = {"ftol": 0.0, "gtol": 0.0, "maxcor": plan.optimizer.memory}
            options |= {"maxiter": stop - start, "maxfun": 100 * (stop - start)}
            minimize(
                value_and_grad, theta, jac=True, method="L-BFGS-B", callback=follow, options=options
            )
    last = here()
    if plan.looks and (taken == plan.steps or taken not in plan.looks):  # else it was on the way
        course.looked(last)
    course.finish(last)
    return course
