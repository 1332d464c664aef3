"""What is minimised: the fit plus named, weighted structural losses."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlpspec.errors import InputError
from mlpspec.losses import StructuralLoss
from mlpspec.model import Array, Forward, Params, Rows, backward_flat, forward

INERT = 1e-6
"""Of the fit's gradient: below it a loss has no force that a weight could scale."""


@dataclass(frozen=True)
class Objective:
    """``fit_weight * mean_n (f_n - y_n)^2 + sum_i weight_i * loss_i`` of one kind of run.

    Parameters
    ----------
    terms : mapping of str to (float, StructuralLoss), optional
        Weight and loss by name. A term of weight 0 is not computed.
    fit_weight : float, default 1
        Weight of the fit; at 0 its value is still reported.

    Raises
    ------
    ValueError
        A weight that is negative or not finite, a term that is not a `StructuralLoss` (a frozen
        dataclass), or one that is called ``"fit"``.
    """

    terms: Mapping[str, tuple[float, StructuralLoss]] = field(default_factory=dict)
    fit_weight: float = 1.0

    def __post_init__(self) -> None:
        check_weight("fit_weight", self.fit_weight)
        for name, (weight, loss) in self.terms.items():
            check_weight(f"the weight of {name}", weight)
            if name == "fit":
                raise InputError("a term is called 'fit'; that name is the fit's own, use another")
            if not isinstance(loss, StructuralLoss) or not isinstance(loss, Hashable):
                raise InputError(
                    f"the term {name!r} is {loss!r}; expected a StructuralLoss that is a frozen "
                    "dataclass"
                )

    def value_and_grad(
        self, params: Params, x: Array, y: Array
    ) -> tuple[Array, Params, dict[str, Array]]:
        """Return the objective of R runs, its gradient and the unweighted values of its parts.

        Parameters
        ----------
        params : RidgeParams or RadialParams
        x : (R, N, D)
        y : (R, N)

        Returns
        -------
        total : (R,)
        grad : of the params' type
            The gradient of ``total[r]`` with respect to the parameters of run r.
        values : dict of str to (R,)
            ``"fit"`` and every active term, unweighted.

        Raises
        ------
        ValueError
            Shapes that do not fit each other, or numbers that are not finite.
        """
        passed = forward(params, x, y)
        total, flat, values = ObjectiveBatch([self] * len(passed.x)).value_and_grad(passed)
        return total, params.unflatten(flat, passed.x.shape[2]), values

    def force(self, passed: Forward) -> float:
        """Return the Euclidean norm of the gradient of one run (R = 1) over all parameters."""
        return float(np.linalg.norm(ObjectiveBatch([self]).value_and_grad(passed)[1]))

    def match_forces(self, passed: Forward) -> Objective:
        """Return the objective of one run (R = 1) with weights that are shares of force.

        A term of weight w gets the weight with which the root mean square of its gradient, over
        all parameters, is w times that of the fit at ``passed``.

        Raises
        ------
        ValueError
            A term of hardly any gradient there (`INERT`), which no weight can give a force.
        """
        fit_force = Objective().force(passed)
        terms = {}
        for name, (weight, loss) in self.terms.items():
            if weight == 0.0:
                terms[name] = (0.0, loss)
                continue
            force = Objective({name: (1.0, loss)}, fit_weight=0.0).force(passed)
            if force < INERT * fit_force:
                raise InputError(
                    f"{name} is inert at the start: its gradient is {force:.2g}, less than "
                    f"{INERT:g} of the fit's {fit_force:.2g}, so that no weight gives it a "
                    "meaningful force; use weight_unit=absolute"
                )
            terms[name] = (weight * fit_force / force, loss)
        return Objective(terms, self.fit_weight)


class _Term(NamedTuple):
    """One loss and the runs of the batch that have it."""

    name: str
    loss: StructuralLoss
    rows: Rows
    weight: NDArray[Any]  # (r,)


class ObjectiveBatch:
    """One objective per run of a batch; runs that share a loss compute it together.

    What a run gets does not depend on its neighbours, to the last bit: every array operation of a
    term has the same shape per run whatever else is in the batch, and a term that a run lacks is
    left out for it, never multiplied by 0.

    Parameters
    ----------
    objectives : sequence of Objective, one per run
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self.objectives = tuple(objectives)
        groups: dict[tuple[str, StructuralLoss], list[int]] = {}
        for row, objective in enumerate(self.objectives):
            for name, (weight, loss) in objective.terms.items():
                if weight > 0.0:
                    groups.setdefault((name, loss), []).append(row)
        self._terms = [
            _Term(
                name,
                loss,
                _rows(rows, len(self.objectives)),
                np.array([self.objectives[row].terms[name][0] for row in rows]),
            )
            # By name, so that a run's terms are added in one order whatever its neighbours have.
            for (name, loss), rows in sorted(groups.items(), key=lambda group: group[0][0])
        ]
        fitted = [row for row, objective in enumerate(self.objectives) if objective.fit_weight > 0]
        self._fitted = _rows(fitted, len(self.objectives)) if fitted else None
        self._fit_weight = np.array([self.objectives[row].fit_weight for row in fitted])

    def take(self, rows: NDArray[np.intp]) -> ObjectiveBatch:
        """Return the objectives of the runs ``rows``."""
        return ObjectiveBatch([self.objectives[row] for row in rows])

    def value_and_grad(self, passed: Forward) -> tuple[Array, Array, dict[str, Array]]:
        """Return total (R,), gradient (R, P) as `Params.flatten` orders it, and values.

        A value is NaN for the runs that lack the term.
        """
        dtype = passed.x.dtype
        n_samples = passed.x.shape[1]
        residual = passed.output - passed.y
        fit = np.square(residual).mean(axis=1)
        values = {"fit": fit}
        total = np.zeros_like(fit)
        grad = np.zeros((len(fit), passed.params.size), dtype=dtype)
        if self._fitted is not None:
            rows, weight = self._fitted, self._fit_weight.astype(dtype, copy=False)
            part = _part(passed, rows)
            partial = residual[rows] * (2.0 / n_samples)
            total[rows] += weight * fit[rows]
            grad[rows] += weight[:, None] * backward_flat(part, {"output": partial})
        for name, loss, rows, weight in self._terms:
            weight = weight.astype(dtype, copy=False)
            part = _part(passed, rows)
            value, partials = loss.value_and_grad(part)
            # The gradient is linear, so the weight is applied to (r, P), not to (r, N, K).
            total[rows] += weight * value
            grad[rows] += weight[:, None] * backward_flat(part, partials)
            values.setdefault(name, np.full_like(fit, np.nan))[rows] = value
        return total, grad, values


def check_weight(name: str, weight: float) -> None:
    """Raise `InputError` unless ``weight`` is finite and not negative."""
    if not isinstance(weight, int | float | np.number) or not 0.0 <= weight < float("inf"):
        raise InputError(f"{name} is {weight}; it must be finite and at least 0")


def _part(passed: Forward, rows: Rows) -> Forward:
    return passed if isinstance(rows, slice) and rows == slice(None) else passed.take(rows)


def _rows(rows: list[int], n_runs: int) -> Rows:
    """Return ``rows`` (ascending) as a slice, which copies nothing, where they are contiguous."""
    if rows == list(range(n_runs)):
        return slice(None)
    if rows == list(range(rows[0], rows[-1] + 1)):
        return slice(rows[0], rows[-1] + 1)
    return np.array(rows, dtype=np.intp)
