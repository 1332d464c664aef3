"""Training R runs at once, each as if it were alone."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from math import isfinite

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mlpspec.arrays import Array
from mlpspec.errors import InputError
from mlpspec.losses.objective import Objective, ObjectiveBatch
from mlpspec.network.model import Forward, Params, forward
from mlpspec.training.optimizers import Optimizer, adam


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
        Euclidean norm of the objective's gradient at ``params``.
    curves : tuple of Curve, one per run; empty if nothing was recorded
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
) -> Trained:
    """Train R runs by full-batch descent.

    Every run gets the bits it would get alone: see `ObjectiveBatch`; the linear algebra runs on
    one thread, because its bits depend on the number of threads.

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

    Raises
    ------
    ValueError
        Arrays that do not fit each other or are not finite, or a negative number of steps.
    """
    for name, number in (("steps", steps), ("record_every", record_every)):
        if not isinstance(number, int | np.integer):
            raise InputError(f"{name} is {number!r}; it must be a whole number")
        if number < 0:
            raise InputError(f"{name} is {number}; it must be at least 0")
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise InputError(f"optimizer is {optimizer!r}; expected one of mlpspec.training.optimizers")
    passed = forward(params, x, y)
    n_runs, _, n_inputs = passed.x.shape
    if isinstance(objectives, Objective):
        objectives = [objectives] * n_runs
    if len(objectives) != n_runs:
        raise InputError(f"objectives has {len(objectives)} entries; expected one a run, {n_runs}")
    batch = ObjectiveBatch(objectives)
    init, update = adam() if optimizer is None else optimizer

    def unpacked(packed: Array) -> Params:
        return params.unpack(packed, *params.shape[1:])

    def training(packed: Array, passed: Forward) -> Forward:
        return Forward(unpacked(packed), passed.x, passed.y, reuse=True)

    packed = params.pack()
    passed = training(packed, passed)
    state = init(packed)
    before = packed.copy()
    alive = np.arange(n_runs)
    ended = params.flatten()
    steps_taken = np.full(n_runs, steps)
    gradient_norm = np.full(n_runs, np.nan)
    diverged = np.zeros(n_runs, dtype=bool)
    recorder = _Recorder(params) if record_every else None

    _keep_freed_memory()
    with threadpool_limits(limits=1, user_api="blas"), np.errstate(all="ignore"):
        for step in range(steps + 1):
            grad, values = batch.value_and_grad(passed)
            # Two numbers are enough to see that all is finite; if they are not, look closer.
            if not isfinite(values.size() + np.vdot(grad, grad)):
                finite = np.isfinite(unpacked(grad).flatten()).all(axis=1)
                finite &= np.isfinite(values.total())
                lost, keep = np.flatnonzero(~finite), np.flatnonzero(finite)
                if len(lost):
                    gone = alive[lost]
                    diverged[gone] = True
                    steps_taken[gone] = max(step - 1, 0)
                    if step:
                        last = unpacked(before).take(lost)
                        ended[gone] = last.flatten()
                        again = training(last.pack(), passed.take(lost))
                        grad = batch.take(lost).value_and_grad(again)[0]
                        gradient_norm[gone] = _norm(unpacked(grad))
                    # The others go on without them: nothing infinite is carried along.
                    alive = alive[keep]
                    if not len(alive):
                        break

                    def kept(array: Array, keep: NDArray[np.intp] = keep) -> Array:
                        return unpacked(array).take(keep).pack()

                    packed, before, state = kept(packed), kept(before), state.map(kept)
                    batch, passed = batch.take(keep), training(packed, passed.take(keep))
                    grad, values = batch.value_and_grad(passed)
            if recorder is not None and (step % record_every == 0 or step == steps):
                named = {"objective": values.total(), **values.by_name()}
                recorder.add(step, alive, passed.params.flatten(), named)
            if step == steps:
                ended[alive] = passed.params.flatten()
                gradient_norm[alive] = _norm(unpacked(grad))
                break
            before[...] = packed
            change, state = update(grad, state)
            packed += change
            passed.renew()
    return Trained(
        params.unflatten(ended, n_inputs),
        diverged,
        steps_taken,
        gradient_norm,
        () if recorder is None else recorder.curves(),
    )


def _norm(grad: Params) -> Array:
    return np.asarray(np.linalg.norm(grad.flatten(), axis=1))


@cache
def _keep_freed_memory() -> None:
    """Ask glibc to keep what is freed, so that each step reuses the arrays of the last one.

    By default it returns large blocks to the system, which then maps and clears every page anew.
    Arrays above 4 MiB, of which a step has few, do go back: else memory would come to pieces.
    Other C libraries are left as they are.
    """
    trim_threshold, mmap_threshold = -1, -3  # from malloc.h
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_threshold, 4 * 2**20)
        mallopt(trim_threshold, 64 * 2**20)


class _Recorder:
    """Collects the curves of a batch."""

    def __init__(self, params: Params) -> None:
        n_runs, _, self.n_inputs = params.shape
        self.kind = type(params)
        self.size = params.size
        self.steps: list[list[int]] = [[] for _ in range(n_runs)]
        self.flat: list[list[Array]] = [[] for _ in range(n_runs)]
        self.values: list[list[dict[str, float]]] = [[] for _ in range(n_runs)]

    def add(self, step: int, alive: Array, flat: Array, values: dict[str, Array]) -> None:
        for row, run in enumerate(alive):
            self.steps[run].append(step)
            self.flat[run].append(flat[row])
            self.values[run].append({name: value[row] for name, value in values.items()})

    def curves(self) -> tuple[Curve, ...]:
        return tuple(self._curve(run) for run in range(len(self.steps)))

    def _curve(self, run: int) -> Curve:
        values = self.values[run]
        # A term that the run lacks is NaN at every moment.
        names = [name for name in (values[0] if values else {}) if not np.isnan(values[0][name])]
        return Curve(
            np.array(self.steps[run], dtype=np.intp),
            {name: np.array([moment[name] for moment in values]) for name in names},
            self.kind.unflatten(np.reshape(self.flat[run], (-1, self.size)), self.n_inputs),
        )
