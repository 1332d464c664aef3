"""When training changes its course: early stopping of a run, losses that come in or go."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mlpspec.arrays import Array
from mlpspec.errors import InputError, expect_number


class Moment(NamedTuple):
    """A run at one moment of its training: parameters (P,), and what is minimised there.

    Values are the objective (``"objective"``), the fit and the active terms (unweighted); the norm
    is that of the objective's gradient.
    """

    step: int
    theta: Array
    values: dict[str, float]
    norm: float


class EarlyStopping(NamedTuple):
    """When a run ends before its steps are done.

    Attributes
    ----------
    watched : {"nothing", "objective", "held_out"}
        The objective, or the mean squared error on inputs that are not trained on.
    every : int
        Steps between two looks at it.
    patience : int
        Looks without an improvement after which the run ends.
    tolerance : float
        Share by which it must fall below the last improvement to be one.

    Examples
    --------
    >>> plateau(every=10).watched, never().watched
    ('objective', 'nothing')
    """

    watched: str
    every: int = 0
    patience: int = 0
    tolerance: float = 0.0


def never() -> EarlyStopping:
    """Return no early stopping.

    Examples
    --------
    >>> never().every
    0
    """
    return EarlyStopping("nothing")


def plateau(every: int = 50, patience: int = 10, tolerance: float = 1e-3) -> EarlyStopping:
    """Return early stopping where the objective no longer falls.

    Examples
    --------
    >>> plateau(patience=0)
    Traceback (most recent call last):
    mlpspec.errors.InputError: plateau has patience=0; it must be at least 1
    """
    return _checked("plateau", EarlyStopping("objective", every, patience, tolerance))


def held_out(every: int = 50, patience: int = 10, tolerance: float = 1e-3) -> EarlyStopping:
    """Return early stopping where the error on other inputs no longer falls.

    Examples
    --------
    >>> held_out().watched
    'held_out'
    """
    return _checked("held_out", EarlyStopping("held_out", every, patience, tolerance))


def _checked(name: str, stopping: EarlyStopping) -> EarlyStopping:
    for key in ("every", "patience"):
        value = getattr(stopping, key)
        expect_number(f"{name} has {key}={value}", value, whole=True, least=1)
    tolerance = f"{name} has tolerance={stopping.tolerance:g}"
    expect_number(tolerance, stopping.tolerance, least=0.0, below=1.0)
    return stopping


STOPPINGS: dict[str, Callable[..., EarlyStopping]] = {
    "none": never,
    "plateau": plateau,
    "held_out": held_out,
}
"""Early stoppings by name, as functions of numbers that have a default."""


def phases_of(steps: int, losses_from: float, losses_until: float) -> list[tuple[int, bool]]:
    """Return from which steps on structural losses are active, and from which not.

    Raises
    ------
    InputError
        Shares that are not in order, or outside 0 to 1, or between which there is no step.

    Examples
    --------
    >>> phases_of(100, 0.25, 0.75), phases_of(100, 0.0, 1.0)
    ([(0, False), (25, True), (75, False)], [(0, True)])
    """
    if not 0.0 <= losses_from < losses_until <= 1.0:
        raise InputError(
            f"losses_from is {losses_from:g} and losses_until {losses_until:g}; they must be "
            "from 0 to 1, the first below the second"
        )
    first, last = round(losses_from * steps), round(losses_until * steps)
    if steps and first == last:
        raise InputError(
            f"losses_from is {losses_from:g}, losses_until {losses_until:g}, and no one of "
            f"{steps} steps lies between; give more steps, or a wider share"
        )
    phases: list[tuple[int, bool]] = []
    for start in sorted({0, first, last}):
        active = first <= start < last or steps == 0
        if start < max(1, steps) and (not phases or phases[-1][1] != active):
            phases.append((start, active))
    return phases
