"""Training R runs, each as if it were alone, by one of two engines.

*Textbook*: plain NumPy, batched over runs that have the same losses. *Compiled*: one kernel that
trains a run whole (`mlpspec.training.compiled`), on which a loss that it does not know rides: the
kernel then gives the rest of the objective, and NumPy does the steps. Both engines compute the same
to rounding. Single precision and perturbed training always go the textbook way. L-BFGS is SciPy's,
with the objective of either engine, one run at a time. How each of them goes down is in
`mlpspec.training.descent`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mlpspec.arrays import Array
from mlpspec.errors import InputError, expect_number
from mlpspec.losses.objective import Objective
from mlpspec.network.forward import checked
from mlpspec.network.neurons import Params
from mlpspec.training.descent import Course, Plan, descend, line_search, train_whole
from mlpspec.training.engine import choose, compilable
from mlpspec.training.moments import moments
from mlpspec.training.optimizers import Optimizer, adam, check_line_search
from mlpspec.training.perturbation import Perturbation, Streams
from mlpspec.training.schedules import Schedule, rates
from mlpspec.training.stopping import EarlyStopping, Moment, never, phases_of

RESPONSES = 2**17
"""Most responses (R N K) that `descend` keeps at a time: more do not fit the cache."""


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
        Steps that led to ``params``; fewer than were asked for if a run diverged, stopped early, or
        if L-BFGS found no way down.
    gradient_norm : (R,)
        Euclidean norm of the objective's gradient at ``params``, float64 in any precision; of a
        run that diverged at its start it may be NaN or infinite.
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
    schedule: Schedule | None = None,
    warmup: float = 0.0,
    losses_from: float = 0.0,
    losses_until: float = 1.0,
    early_stopping: EarlyStopping | None = None,
    held_out: tuple[Array, Array] | None = None,
    perturbation: Perturbation | None = None,
    streams: Sequence[Streams] = (),
    record_every: int = 0,
    record: str = "every",
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
    schedule : function, optional
        Of the learning rate, one of `mlpspec.training.schedules`; by default constant.
    warmup : float
        Share of the steps in which the rate rises linearly.
    losses_from, losses_until : float
        Shares of the steps between which structural losses are active.
    early_stopping : EarlyStopping, optional
        When a run ends before its steps are done; it then returns to its best moment. It looks at
        a run only after the last change of its objective.
    held_out : tuple of (R, M, D) and (R, M), optional
        Inputs and targets that are not trained on, for early stopping.
    perturbation : Perturbation, optional
        What is perturbed at every step.
    streams : sequence of R functions
        Return the random streams of each run by name, for a perturbation that is drawn.
    record_every : int
        Record a `Curve` at every so many steps and at the end; 0 records nothing.
    record : {"every", "log"}
        With ``record_every=0``, ``"log"`` records at moments equally far apart in the logarithm
        (`mlpspec.training.moments`).
    engine : {"auto", "numpy", "compiled"}
        What computes: plain NumPy, or the compiled kernel, which ``"auto"`` takes where numba
        works. Single precision and perturbed training are always NumPy's.

    Raises
    ------
    ValueError
        Arrays that do not fit each other or are not finite, a negative number of steps, numbers
        outside their limits, or the compiled engine where numba does not work.

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
        expect_number(f"{name} is {number!r}", number, whole=True, least=0)
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise InputError(f"optimizer is {optimizer!r}; expected one of mlpspec.training.optimizers")
    x, y = checked(params, x, y)
    n_runs, _, n_inputs = x.shape
    if isinstance(objectives, Objective):
        objectives = [objectives] * n_runs
    if len(objectives) != n_runs:
        raise InputError(f"objectives has {len(objectives)} entries; expected one a run, {n_runs}")
    perturbation = perturbation or Perturbation()
    if perturbation.drawn and len(streams) != n_runs:
        raise InputError(f"streams has {len(streams)} entries; expected one a run, {n_runs}")
    stopping = early_stopping or never()
    if stopping.watched != "held_out":
        held_out = None
    elif held_out is None:
        raise InputError("held_out is missing; give inputs and targets that are not trained on")
    else:
        held_out = checked(params, *held_out)
    optimizer = optimizer or adam()
    of_steps = rates(optimizer.numbers[0], steps, schedule, warmup)
    check_line_search(optimizer.rule, len({*of_steps.tolist()}) > 1, bool(perturbation))
    phases = phases_of(steps, losses_from, losses_until)
    looks = range(0, steps + 1, stopping.every) if stopping.every else ()
    recorded = moments(steps, record_every, record)
    compiled = choose(engine) == "compiled" and compilable(y.dtype.name, bool(perturbation))
    plan = Plan(
        kind=type(params),
        optimizer=optimizer,
        rates=of_steps,
        steps=steps,
        phases=phases,
        recorded=frozenset(recorded),
        looks=frozenset(t for t in (*looks, steps) if t >= phases[-1][0]) if looks else frozenset(),
        stopping=stopping,
        held_out=held_out,
        perturbation=perturbation,
        compiled=compiled,
        objectives=objectives,
        streams=streams,
        start=params.flatten(),
        x=x,
        y=y,
    )
    courses: dict[int, Course] = {}
    with threadpool_limits(limits=1, user_api="blas"), np.errstate(all="ignore"):
        together: dict[object, list[int]] = {}
        for row in range(n_runs):
            terms = plan.in_numpy(row)
            if optimizer.rule == "lbfgs":
                courses[row] = line_search(plan, row)
            elif not terms:
                courses[row] = train_whole(plan, row)
            else:  # those of the same losses side by side
                same = tuple((name, loss, weight > 0.0) for name, (weight, loss) in terms.items())
                together.setdefault(same, []).append(row)
        most = max(1, RESPONSES // (y.shape[1] * params.shape[1]))
        for rows in together.values():
            for some in (rows[i : i + most] for i in range(0, len(rows), most)):
                courses |= zip(some, descend(plan, some), strict=True)
    done = [courses[row] for row in range(n_runs)]
    return Trained(
        params.unflatten(np.stack([course.last.theta for course in done]), n_inputs),
        np.array([course.diverged for course in done]),
        np.array([course.last.step for course in done]),
        np.array([course.last.norm for course in done], dtype=np.float64),
        tuple(_curve(plan, course.records) for course in done) if recorded else (),
    )


def _curve(plan: Plan, records: Sequence[Moment]) -> Curve:
    # What is not minimised at a moment is not known there.
    names = {name: np.nan for moment in records for name in moment.values}
    theta = np.array([moment.theta for moment in records], dtype=plan.y.dtype)
    return Curve(
        np.array([moment.step for moment in records], dtype=np.intp),
        {
            name: np.array([(names | moment.values)[name] for moment in records], plan.y.dtype)
            for name in names
        },
        plan.kind.unflatten(theta.reshape(len(records), plan.start.shape[1]), plan.x.shape[2]),
    )
