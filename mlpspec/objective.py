"""What is minimised: the fit plus named, weighted structural losses."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlpspec.blocks import Array
from mlpspec.errors import InputError
from mlpspec.losses import StructuralLoss
from mlpspec.model import Forward, Params, Rows, add_partial, check_partial, forward

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
        return total, params.unflatten(flat, passed.x.shape[2]), values.by_name()

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
    """One loss, or the fit (None), and the runs of the batch that have it."""

    name: str
    loss: StructuralLoss | None
    rows: Rows
    weight: Array  # (r,)


class _Bound(NamedTuple):
    """Some runs of a forward pass, and where their gradient goes."""

    rows: Rows
    passed: Forward
    grad: Params
    own: Array | None  # the gradient, flat, if it is not a part of the whole's
    weights: tuple[Array, ...]  # (), (r,), (r, 1), (r, 1, 1)


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
        # By name, so that a run's terms are added in one order whatever its neighbours have.
        self._terms = [
            _Term(
                name,
                loss,
                _compact(rows),
                np.array([self.objectives[row].terms[name][0] for row in rows]),
            )
            for (name, loss), rows in sorted(groups.items(), key=lambda group: group[0][0])
        ]
        fitted = [row for row, objective in enumerate(self.objectives) if objective.fit_weight > 0]
        if fitted:
            weights = np.array([self.objectives[row].fit_weight for row in fitted])
            self._terms.insert(0, _Term("fit", None, _compact(fitted), weights))
        self._unions: dict[tuple[int, ...], tuple[Rows, list[Rows]]] = {}
        # What lasts as long as the forward pass, whose parameters change in place, is the same.
        self._passed: Forward | None = None
        self._bounds: dict[int, _Bound] = {}

    def take(self, rows: NDArray[np.intp]) -> ObjectiveBatch:
        """Return the objectives of the runs ``rows``."""
        return ObjectiveBatch([self.objectives[row] for row in rows])

    def value_and_grad(self, passed: Forward) -> tuple[Array, Array, Values]:
        """Return total (R,), gradient (R, P) as `Params.flatten` orders it, and values.

        Total and gradient are overwritten by the next call.
        """
        residual = passed.output - passed.y
        mean = 1.0 / residual.shape[1]
        fit = np.vecdot(residual, residual)
        fit *= mean
        if self._passed is not passed:
            self._passed, self._bounds = passed, {}
            self._total, self._flat, self._grad = _gradient(passed.params)
        total, flat = self._total, self._flat
        flat.fill(0.0)
        total.fill(0.0)
        values: list[tuple[str, Rows, Array]] = [("fit", slice(None), fit)]
        several: dict[str, list[tuple[int, Array]]] = {}
        for index, (name, loss, rows, weight) in enumerate(self._terms):
            bound = self._bind(rows, weight)
            if loss is None:
                value, partials = fit[rows], {"output": residual[rows] * (2.0 * mean)}
            else:
                value, partials = loss.value_and_grad(bound.passed)
                values.append((name, rows, value))
                for quantity, partial in partials.items():
                    check_partial(bound.passed, quantity, partial)
            _add_rows(total, rows, bound.weights[1] * value)
            for quantity, partial in partials.items():
                if quantity in ("hidden", "preactivation"):
                    # Of (R, N, K) arrays the weight is applied to what they are reduced to.
                    _add(flat, bound, quantity, partial, bound.weights[3])
                else:
                    weighted = bound.weights[partial.ndim] * partial
                    several.setdefault(quantity, []).append((index, weighted))
        # The chain rule is linear: what several terms say of one quantity is added before. In
        # the order of names, so that a run's sums have one order whatever its neighbours have.
        for quantity, parts in sorted(several.items()):
            rows, places = self._union(tuple(index for index, _ in parts))
            bound = self._bind(rows, None)
            partial = parts[0][1]
            if len(parts) > 1:
                partial = np.zeros((len(bound.passed.y), *partial.shape[1:]), dtype=fit.dtype)
                for place, (_, one) in zip(places, parts, strict=True):
                    _add_rows(partial, place, one)
            _add(flat, bound, quantity, partial, None)
        return total, flat, Values(len(fit), values)

    def _bind(self, rows: Rows, weight: Array | None) -> _Bound:
        """Return some runs of the forward pass that the batch is bound to."""
        found = self._bounds.get(id(rows))
        if found is not None:
            return found
        assert self._passed is not None
        passed, grad = self._passed, self._grad
        ones = np.ones(()) if weight is None else weight
        ones = ones.astype(passed.y.dtype)
        weights = ones, ones, ones[..., None], ones[..., None, None]
        everyone = isinstance(rows, slice) and rows == slice(0, len(passed.y))
        part = passed if everyone else passed.take(rows)
        if isinstance(rows, slice):
            bound = _Bound(rows, part, grad.take(rows), None, weights)
        else:
            _, own, views = _gradient(part.params)
            bound = _Bound(rows, part, views, own, weights)
        self._bounds[id(rows)] = bound  # which holds the rows: no others get their id
        return bound

    def _union(self, terms: tuple[int, ...]) -> tuple[Rows, list[Rows]]:
        """Return the runs that have any of these terms, and each term's places among them."""
        if terms not in self._unions:
            everyone = np.arange(len(self.objectives))
            members = [everyone[self._terms[term].rows] for term in terms]
            union = np.unique(np.concatenate(members))
            places = [_compact(np.searchsorted(union, rows)) for rows in members]
            # Of one term the very rows, of which what is bound is then found again.
            rows = self._terms[terms[0]].rows if len(terms) == 1 else _compact(union)
            self._unions[terms] = rows, places
        return self._unions[terms]


def _gradient(params: Params) -> tuple[Array, Array, Params]:
    """Return arrays for a total (R,) and its gradient (R, P), and the latter as parameters."""
    n_runs, _, n_inputs = params.shape
    flat = np.empty((n_runs, params.size), dtype=params.output_bias.dtype)
    return np.empty_like(params.output_bias), flat, params.unflatten(flat, n_inputs)


def _add(flat: Array, bound: _Bound, name: str, partial: Array, weight: Array | None) -> None:
    if bound.own is not None:
        bound.own.fill(0.0)
    add_partial(bound.passed, bound.grad, name, partial, weight)
    if bound.own is not None:
        flat[bound.rows] += bound.own


def _add_rows(total: Array, rows: Rows, more: Array) -> None:
    if isinstance(rows, slice):
        part = total[rows]
        part += more
    else:
        total[rows] += more


def _compact(rows: Sequence[int] | NDArray[np.intp]) -> Rows:
    """Return ``rows`` (ascending) as a slice, which copies nothing, if they are contiguous."""
    rows = np.asarray(rows, dtype=np.intp)
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(rows) else rows


class Values(NamedTuple):
    """Unweighted values of the terms, each of the runs that have it."""

    n_runs: int
    terms: list[tuple[str, Rows, Array]]

    def by_name(self) -> dict[str, Array]:
        """Return values (R,) by name, NaN for the runs that lack the term."""
        named: dict[str, Array] = {}
        for name, rows, value in self.terms:
            blank = np.full(self.n_runs, np.nan, dtype=value.dtype)
            named.setdefault(name, blank)[rows] = value
        return named


def check_weight(name: str, weight: float) -> None:
    """Raise `InputError` unless ``weight`` is finite and not negative."""
    if not isinstance(weight, int | float | np.number) or not 0.0 <= weight < float("inf"):
        raise InputError(f"{name} is {weight}; it must be finite and at least 0")
