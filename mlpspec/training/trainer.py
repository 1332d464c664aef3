"""Training R runs, each as if it were alone, by one of two engines.

*Textbook*: plain NumPy, batched over runs that have the same losses (`descend`). *Compiled*: one
kernel that trains a run whole (`mlpspec.training.compiled`), on which a loss that it does not know
rides: the kernel then gives the rest of the objective, and `descend` does the same loop. Both
engines compute the same to rounding; single precision always goes the textbook way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mlpspec.arrays import Array
from mlpspec.errors import InputError
from mlpspec.losses.objective import Objective, Terms, weighted_sum
from mlpspec.network.forward import checked, respond
from mlpspec.network.neurons import Params
from mlpspec.training.compiled import KNOWN_RULES, KernelRuns, RidingRuns, Values, riding
from mlpspec.training.engine import choose
from mlpspec.training.optimizers import RULES, Optimizer, adam

RESPONSES = 2**17
"""Most responses (R N K) that `descend` keeps at a time: more do not fit the cache. With the kernel
it keeps fewer arrays of them, and takes twice as many runs."""


@dataclass(frozen=True, eq=False)
class Curve:
    """What was recorded of one run while it trained, at T moments.

    Attributes
    ----------
    steps : (T,)
        Steps taken at each moment, from 0.
    values : dict of str to (T,)
        The objective (``"objective"``), the fit and the active terms (unweighted).
    params : RidgeParams or RadialParams
        The parameters, with moments in place of runs (R = T); ``params.prototypes`` is (T, K, D).

    Examples
    --------
    >>> from mlpspec import Objective, RidgeParams
    >>> start = RidgeParams.placed(np.array([[-0.5], [0.5]]), np.ones(2), np.ones(2))
    >>> x, y = np.array([[[-1.0], [1.0]]]), np.array([[0.0, 1.0]])
    >>> (curve,) = train(Objective(), start, x, y, steps=20, record_every=8).curves
    >>> curve.steps, curve.params.prototypes.shape, sorted(curve.values)
    (array([ 0,  8, 16, 20]), (4, 2, 1), ['fit', 'objective'])
    """

    steps: NDArray[np.intp]
    values: dict[str, Array]
    params: Params


@dataclass(frozen=True, eq=False)
class Trained:
    """The end of training.

    Attributes
    ----------
    params : RidgeParams or RadialParams
        Of R runs; of a diverged run, the last ones at which objective and gradient were finite
        (the start, if there were none).
    diverged : (R,) bool
    steps : (R,) int
        Steps that led to ``params``.
    gradient_norm : (R,)
        Euclidean norm of the objective's gradient at ``params``; of a run that diverged at its
        start it may be NaN or infinite.
    curves : tuple of Curve, one per run; empty if nothing was recorded

    Examples
    --------
    >>> from mlpspec import Objective, RidgeParams
    >>> start = RidgeParams.placed(np.array([[0.5]]), np.ones(1), np.ones(1))
    >>> trained = train(Objective(), start, np.zeros((1, 2, 1)), np.ones((1, 2)), steps=3)
    >>> trained.diverged, trained.steps, trained.params.shape
    (array([False]), array([3]), (1, 1, 1))
    """

    params: Params
    diverged: NDArray[np.bool_]
    steps: NDArray[np.intp]
    gradient_norm: Array
    curves: tuple[Curve, ...]


def train(
    objectives: Objective | Sequence[Objective],
    params: Params,
    x: Array,
    y: Array,
    *,
    steps: int = 3000,
    optimizer: Optimizer | None = None,
    record_every: int = 0,
    engine: str = "auto",
) -> Trained:
    """Train R runs by full-batch descent.

    Every run gets the bits it would get alone; the linear algebra runs on one thread, because its
    bits depend on the number of threads.

    Parameters
    ----------
    objectives : Objective or sequence of R of them
    params : RidgeParams or RadialParams
        The start.
    x : (R, N, D)
    y : (R, N)
    steps : int
        Updates, at least 0.
    optimizer : Optimizer, optional
        By default Adam with rate 0.01.
    record_every : int
        Record a `Curve` at every so many steps and at the end; 0 records nothing.
    engine : {"auto", "numpy", "compiled"}
        What computes: plain NumPy, or the compiled kernel, which ``"auto"`` takes where numba
        works. Single precision, and a rule that the kernel does not know, are always NumPy's.

    Raises
    ------
    ValueError
        Arrays that do not fit each other or are not finite, a negative number of steps, or the
        compiled engine where numba does not work.

    Examples
    --------
    Two neurons fit two points of a line:

    >>> from mlpspec import Objective, RidgeParams
    >>> start = RidgeParams.placed(np.array([[-0.5], [0.5]]), np.ones(2), np.ones(2))
    >>> x, y = np.array([[[-1.0], [1.0]]]), np.array([[0.0, 1.0]])
    >>> trained = train(Objective(), start, x, y, steps=500)
    >>> value, _, _ = Objective().value_and_grad(trained.params, x, y)
    >>> bool(value[0] < 1e-6), trained.steps
    (True, array([500]))
    """
    for name, number in (("steps", steps), ("record_every", record_every)):
        if not isinstance(number, int | np.integer):
            raise InputError(f"{name} is {number!r}; it must be a whole number")
        if number < 0:
            raise InputError(f"{name} is {number}; it must be at least 0")
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise InputError(f"optimizer is {optimizer!r}; expected one of mlpspec.training.optimizers")
    x, y = checked(params, x, y)
    n_runs, _, n_inputs = x.shape
    if isinstance(objectives, Objective):
        objectives = [objectives] * n_runs
    if len(objectives) != n_runs:
        raise InputError(f"objectives has {len(objectives)} entries; expected one a run, {n_runs}")
    optimizer = optimizer or adam()
    compiled = choose(engine) == "compiled" and y.dtype == np.float64
    compiled &= optimizer.rule in KNOWN_RULES
    stops = sorted({*range(0, steps + 1, record_every or steps + 1), steps})
    plan = _Plan(type(params), optimizer, stops, record_every > 0, params.flatten(), x, y)
    ends: dict[int, _End] = {}
    with threadpool_limits(limits=1, user_api="blas"), np.errstate(all="ignore"):
        for rows in _together(objectives, y.shape[1] * params.shape[1], compiled):
            some = [objectives[row] for row in rows]
            if compiled and not riding(some[0]):
                found = [_train_whole(plan, row, objectives[row]) for row in rows]
            else:
                found = descend(plan, rows, some, compiled)
            ends |= zip(rows, found, strict=True)
    done = [ends[row] for row in range(n_runs)]
    return Trained(
        params.unflatten(np.stack([end.theta for end in done]), n_inputs),
        np.array([end.diverged for end in done]),
        np.array([end.steps for end in done]),
        np.array([end.gradient_norm for end in done], dtype=y.dtype),
        tuple(_curve(plan, end) for end in done) if record_every else (),
    )


class _Plan(NamedTuple):
    """What all runs share, and the start (R, P) and data of each."""

    kind: type[Params]
    optimizer: Optimizer
    stops: list[int]
    """Steps at which to stop: those that are recorded, and the last."""
    records: bool
    start: Array
    x: Array
    y: Array


class _Moment(NamedTuple):
    step: int
    theta: Array
    values: dict[str, float]


class _End(NamedTuple):
    """How one run ended."""

    theta: Array
    diverged: bool
    steps: int
    gradient_norm: float
    records: list[_Moment]


def _together(objectives: Sequence[Objective], responses: int, compiled: bool) -> list[list[int]]:
    """Return the runs that `descend` may train together: of the same losses, and not too many.

    In the compiled engine only the losses that ride need be the same.
    """
    groups: dict[object, list[int]] = {}
    for row, objective in enumerate(objectives):
        terms = riding(objective) if compiled else objective.active
        same = [(name, loss) for name, (_, loss) in terms.items()]
        fitted = compiled or objective.fit_weight > 0.0
        groups.setdefault((fitted, *same), []).append(row)
    most = max(1, RESPONSES * (2 if compiled else 1) // responses)
    return [rows[i : i + most] for rows in groups.values() for i in range(0, len(rows), most)]


def _train_whole(plan: _Plan, row: int, objective: Objective) -> _End:
    """Train one run in the kernel."""
    one = slice(row, row + 1)
    runs = KernelRuns(plan.kind, plan.start[one], plan.x[one], plan.y[one], [objective])
    records = []
    for step in runs.until(plan.optimizer, plan.stops):
        if plan.records:
            values = {"objective": float(runs.total[0]), **runs.values(0)}
            records.append(_Moment(step, runs.theta[0].copy(), values))
    diverged, steps = bool(runs.ended[0] >= 0), plan.stops[-1]
    if diverged:
        steps = int(runs.ended[0])
    norm = float(np.linalg.norm(runs.grad[0]))
    return _End(runs.theta[0].copy(), diverged, steps, norm, records)


Evaluate = Callable[[Array], tuple[Array, Array, Values]]
"""Returns, at theta (R, P), objective (R,), gradient (R, P), and what gives a run's values."""


def _textbook(plan: _Plan, rows: Sequence[int], objectives: Sequence[Objective]) -> Evaluate:
    """Return the objective of runs that have the same losses, in NumPy."""
    x, y, n_inputs = plan.x[rows], plan.y[rows], plan.x.shape[2]
    fit_weight = np.array([objective.fit_weight for objective in objectives], dtype=y.dtype)
    terms = _weighted(objectives, objectives[0].active, y)

    def evaluate(theta: Array) -> tuple[Array, Array, Values]:
        net = respond(plan.kind.unflatten(theta, n_inputs), x, y)
        total, grad, values = weighted_sum(net, fit_weight, terms)
        return (
            total,
            grad.flatten(),
            lambda run: {name: float(value[run]) for name, value in values.items()},
        )

    return evaluate


def _weighted(objectives: Sequence[Objective], names: Iterable[str], like: Array) -> Terms:
    """Return some terms of runs that all have them, with weights (R,)."""

    def weights(name: str) -> Array:
        return np.array([objective.terms[name][0] for objective in objectives], dtype=like.dtype)

    return {name: (weights(name), objectives[0].terms[name][1]) for name in names}


def descend(
    plan: _Plan, rows: Sequence[int], objectives: Sequence[Objective], compiled: bool
) -> list[_End]:
    """Train the runs ``rows`` together: evaluate, look whether all is finite, step.

    A run whose objective or gradient is no longer finite goes back to where they last were, and
    stays there; the others go on.
    """
    theta = plan.start[rows]
    if compiled:
        terms = _weighted(objectives, riding(objectives[0]), theta)
        data = plan.x[rows], plan.y[rows]
        evaluate: Evaluate = RidingRuns(plan.kind, theta, *data, objectives, terms)
    else:
        evaluate = _textbook(plan, rows, objectives)
    # The C library of Linux returns freed memory to the system, to be mapped again at each step,
    # until it has seen a large block freed: without this one a step takes half as long again.
    np.empty(31 * 2**20, dtype=np.uint8)
    rule, last = RULES[plan.optimizer.rule], plan.stops[-1]
    before, m, s = theta, np.zeros_like(theta), np.zeros_like(theta)
    alive = np.ones(len(rows), dtype=bool)
    steps = np.full(len(rows), last)
    records: list[list[_Moment]] = [[] for _ in rows]
    recorded = set(plan.stops if plan.records else ())
    for t in range(last + 1):
        total, grad, values = evaluate(theta)
        finite = np.isfinite(total) & np.isfinite(grad).all(axis=1)
        lost = alive & ~finite
        if lost.any():
            alive &= finite
            steps[lost] = max(t - 1, 0)
            theta = np.where(lost[:, None], before, theta)
            total, grad, values = evaluate(theta)
        if t in recorded:
            for run in np.flatnonzero(alive).tolist():
                named = {"objective": float(total[run]), **values(run)}
                records[run].append(_Moment(t, theta[run].copy(), named))
        if t == last or not alive.any():
            break
        before = theta
        step, m, s = rule(grad, m, s, t + 1.0, plan.optimizer.numbers)
        theta = theta + (step if alive.all() else np.where(alive[:, None], step, 0.0))
    norm = np.linalg.norm(grad, axis=1)
    return [
        _End(theta[run], not alive[run], int(steps[run]), float(norm[run]), records[run])
        for run in range(len(rows))
    ]


def _curve(plan: _Plan, end: _End) -> Curve:
    names = list(end.records[0].values) if end.records else []
    theta = [moment.theta for moment in end.records]
    flat = np.array(theta, dtype=plan.y.dtype).reshape(len(theta), plan.start.shape[1])
    return Curve(
        np.array([moment.step for moment in end.records], dtype=np.intp),
        {
            name: np.array([moment.values[name] for moment in end.records], dtype=plan.y.dtype)
            for name in names
        },
        plan.kind.unflatten(flat, plan.x.shape[2]),
    )
