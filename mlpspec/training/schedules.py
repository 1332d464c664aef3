"""Schedules of the learning rate: the factor by which it is multiplied at each step.

A schedule is a function of t, the steps that are done (0 before the first), and of how many there
are to be, T. Lengths are given as shares of T, so that a schedule means the same for 3,000 steps
and for 10,000. A warm-up multiplies any of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mlpspec.arrays import Array
from mlpspec.errors import expect_number

Schedule = Callable[[NDArray[np.intp], int], Array]
"""Returns the factors at some t, of T steps."""


def constant() -> Schedule:
    """Return the schedule that is 1 throughout.

    Examples
    --------
    >>> constant()(np.array([0, 1]), 2)
    array([1., 1.])
    """
    return lambda t, steps: np.ones(t.shape)


def step(every: float = 0.25, factor: float = 0.5) -> Schedule:
    """Return the schedule factor^floor(t / L), L = max(1, round(every T)).

    Examples
    --------
    >>> step(every=0.5, factor=0.1)(np.arange(4), 4)
    array([1. , 1. , 0.1, 0.1])
    """
    _check("step", every=every, factor=factor)
    return lambda t, steps: np.asarray(factor ** (t // _length(every, steps)))


def exponential(final: float = 0.01) -> Schedule:
    """Return the schedule final^(t / T).

    Examples
    --------
    >>> exponential(final=0.01)(np.array([0, 5]), 10)
    array([1. , 0.1])
    """
    _check("exponential", final=final)
    return lambda t, steps: np.asarray(final ** (t / steps))


def cyclic(low: float = 0.1, period: float = 0.2) -> Schedule:
    """Return triangles from ``low`` to 1 and back (Smith 2017, arXiv:1506.01186).

    One takes max(1, round(period T)) steps.

    Examples
    --------
    >>> cyclic(low=0.2, period=0.5)(np.arange(5), 8).round(6)
    array([0.2, 0.6, 1. , 0.6, 0.2])
    """
    _check("cyclic", low=low, period=period)

    def factors(t: NDArray[np.intp], steps: int) -> Array:
        length = _length(period, steps)
        return np.asarray(1.0 - (1.0 - low) * np.abs(1.0 - 2.0 * (t % length) / length))

    return factors


def cosine(periods: int = 1, final: float = 0.0) -> Schedule:
    """Return half cosines from 1 to ``final``, of equal length, with restarts between them.

    Loshchilov & Hutter (2017, arXiv:1608.03983), equation 5, with all periods of one length.

    Examples
    --------
    >>> cosine(periods=2)(np.arange(5), 8).round(6)
    array([1.      , 0.853553, 0.5     , 0.146447, 1.      ])
    """
    expect_number(f"cosine has periods={periods}", periods, whole=True, least=1, most=1e6)
    expect_number(f"cosine has final={final:g}", final, least=0.0, most=1.0)

    def factors(t: NDArray[np.intp], steps: int) -> Array:
        share = (t * periods) % steps / steps
        return np.asarray(final + (1.0 - final) * (1.0 + np.cos(np.pi * share)) / 2.0)

    return factors


def _length(share: float, steps: int) -> int:
    return max(1, round(share * steps))


def _check(name: str, **numbers: float) -> None:
    for key, value in numbers.items():
        expect_number(f"{name} has {key}={value:g}", value, above=0.0, most=1.0)


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    make.__name__: make for make in (constant, step, exponential, cyclic, cosine)
}
"""Schedules by name, as functions of numbers that have a default."""


def rates(
    learning_rate: float, steps: int, schedule: Schedule | None = None, warmup: float = 0.0
) -> Array:
    """Return the learning rate of every step (steps,).

    Parameters
    ----------
    learning_rate : float
    steps : int
    schedule : function, optional
        By default constant.
    warmup : float
        Share of the steps in which the rate rises linearly, from the first step's part on.

    Raises
    ------
    ValueError
        A warm-up outside 0 to 1.

    Examples
    --------
    >>> rates(0.1, 4, step(every=0.5, factor=0.1), warmup=0.5).round(6)
    array([0.05, 0.1 , 0.01, 0.01])
    """
    expect_number(f"warmup is {warmup:g}", warmup, least=0.0, below=1.0)
    factors = (schedule or constant())(np.arange(steps), steps)
    rising = round(warmup * steps)
    factors[:rising] *= np.arange(1, rising + 1) / max(1, rising)
    return np.asarray(learning_rate * factors)
