"""What is minimised: the fit plus named, weighted structural losses."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlpspec.arrays import Array
from mlpspec.errors import InputError
from mlpspec.losses import StructuralLoss
from mlpspec.network.model import (
    Forward,
    Params,
    Rows,
    add_partial,
    check_partial,
    forward,
    plain,
)

JOINED = {"response", "squared_response"}
"""Sums over neurons, of whose derivatives one pass takes care where parameters `joins` them."""

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
        packed, values = ObjectiveBatch([self] * len(passed.x)).value_and_grad(passed)
        return values.total(), params.unpack(packed, *params.shape[1:]), values.by_name()

    def force(self, passed: Forward) -> float:
        """Return the Euclidean norm of the gradient of one run (R = 1) over all parameters."""
        return float(np.linalg.norm(ObjectiveBatch([self]).value_and_grad(passed)[0]))

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
        # What lasts as long as the forward pass, whose parameters change in place, is the same.
        self._bound: _Bound | None = None

    def take(self, rows: NDArray[np.intp]) -> ObjectiveBatch:
        """Return the objectives of the runs ``rows``."""
        return ObjectiveBatch([self.objectives[row] for row in rows])

    def value_and_grad(self, passed: Forward) -> tuple[Array, Values]:
        """Return the gradient (R P,) as `Params.pack` orders it, and the values.

        Both are overwritten by the next call.
        """
        if self._bound is None or self._bound.passed is not passed:
            self._bound = _Bound(self._terms, passed)
        return self._bound.value_and_grad()


class _Runs:
    """Some runs of the batch, the part of its forward pass that is theirs, and their gradient."""

    def __init__(self, rows: Rows, passed: Forward, grad: Params) -> None:
        self.rows = rows
        self.passed = passed
        # A view of the batch's gradient, or one of their own that `settle` adds to it.
        self.own: Array | None = None
        if isinstance(rows, slice):
            self.grad = grad.take(rows)
        else:
            self.own, self.grad = _gradient(passed.params)

    def cleared(self) -> Params:
        """Return where to add the gradient of these runs."""
        if self.own is not None:
            self.own.fill(0.0)
        return self.grad

    def settle(self, whole: Params) -> None:
        """Let the batch's gradient have what was added."""
        if self.own is not None:
            for name, value in vars(self.grad).items():
                getattr(whole, name)[self.rows] += value


class _Share(NamedTuple):
    """A term, bound to its runs and to where its value goes."""

    loss: StructuralLoss | None
    runs: _Runs
    value: Array  # (r,)
    weight: Array  # (r, 1)
    weights: tuple[Any, ...]  # (r,), (r, 1) and (r, 1, 1), or numbers; none if all are 1
    checked: dict[str, tuple[int, ...]]  # shapes of partial derivatives

    def check(self, quantity: str, partial: Array) -> Array:
        """Return a partial derivative in the precision of the runs; raise unless it is one."""
        shape = np.shape(partial)
        if self.checked.get(quantity) != shape:
            check_partial(self.runs.passed, quantity, partial)
            self.checked[quantity] = shape
        return plain(partial, self.weight.dtype)

    def weigh(self, partial: Array) -> Array:
        """Return a partial derivative times the term's weights."""
        return self.weights[partial.ndim - 1] * partial if self.weights else partial


class _Bound:
    """The terms of a batch, bound to a forward pass and to memory for what they return."""

    def __init__(self, terms: Sequence[_Term], passed: Forward) -> None:
        dtype = passed.y.dtype
        terms = [term._replace(weight=term.weight.astype(dtype)) for term in terms]
        self.passed = passed
        self.packed, self.grad = _gradient(passed.params)
        self.residual: Array = np.empty(passed.y.shape, dtype=dtype)
        self.values = Values.of(terms, len(passed.y), dtype)
        self.joins = passed.params.joins(passed)
        self.unions: dict[tuple[int, ...], tuple[Sequence[_Runs], _Runs, list[Rows]]] = {}
        self.shares = []
        for (_, loss, rows, weight), value in zip(terms, self.values.terms, strict=True):
            weights: tuple[Any, ...] = (weight, weight[:, None], weight[:, None, None])
            if (weight == weight[0]).all():  # as most are; an array of them would take longer
                alike = float(weight[0])
                weights = () if alike == 1.0 else (alike, alike, alike)
            runs = self._runs(rows)
            self.shares.append(_Share(loss, runs, value.value, weight[:, None], weights, {}))

    def _runs(self, rows: Rows) -> _Runs:
        everyone = isinstance(rows, slice) and rows == slice(0, len(self.passed.y))
        return _Runs(rows, self.passed if everyone else self.passed.take(rows), self.grad)

    def value_and_grad(self) -> tuple[Array, Values]:
        """See `ObjectiveBatch.value_and_grad`."""
        residual, values = self.residual, self.values
        self.packed.fill(0.0)
        np.subtract(self.passed.output, self.passed.y, out=residual)
        mean = 1.0 / residual.shape[1]
        fit = np.vecdot(residual, residual, out=values.fit)
        fit *= mean
        said: dict[str, list[tuple[_Runs, Array]]] = {}
        for share in self.shares:
            if share.loss is None:
                partial = residual[share.runs.rows] * (2.0 * mean)
                said["output"] = [(share.runs, share.weigh(partial))]
            else:
                self._evaluate(share, share.loss, said)
        # The chain rule is linear: what several terms say of one quantity is added before. In the
        # order of names, so that a run's sums have one order whatever its neighbours have.
        for quantity in sorted(said):
            runs, partial = self._sum(said[quantity])
            add_partial(runs.passed, runs.cleared(), quantity, partial)
            runs.settle(self.grad)
        return self.packed, values

    def _evaluate(
        self, share: _Share, loss: StructuralLoss, said: dict[str, list[tuple[_Runs, Array]]]
    ) -> None:
        """Ask a loss for its value and what it is differentiated by."""
        runs = share.runs
        share.value[...], found = loss.value_and_grad(runs.passed)
        partials = {quantity: share.check(quantity, partial) for quantity, partial in found.items()}
        joined = self.joins and partials.keys() >= JOINED
        for quantity, partial in partials.items():
            if quantity in ("hidden", "preactivation"):
                # Of (R, N, K) arrays the weight is applied to what they are reduced to.
                add_partial(runs.passed, runs.cleared(), quantity, partial, share.weight)
                runs.settle(self.grad)
            elif not (joined and quantity in JOINED):
                said.setdefault(quantity, []).append((runs, share.weigh(partial)))
        if joined:
            single = partials["response"]
            both = np.empty((len(single), 2, *single.shape[1:]), dtype=single.dtype)
            both[:, 0], both[:, 1] = single, partials["squared_response"]
            said.setdefault("responses", []).append((runs, share.weigh(both)))

    def _sum(self, parts: list[tuple[_Runs, Array]]) -> tuple[_Runs, Array]:
        """Return the runs of several parts and the sum of their partial derivatives."""
        (runs, partial), *more = parts
        if not more:
            return runs, partial
        runs, places = self._union([runs for runs, _ in parts])
        total = np.zeros((len(runs.passed.y), *partial.shape[1:]), dtype=partial.dtype)
        total[places[0]] = partial
        for place, (_, partial) in zip(places[1:], more, strict=True):
            if isinstance(place, slice):
                some = total[place]
                some += partial
            else:
                total[place] += partial
        return runs, total

    def _union(self, parts: Sequence[_Runs]) -> tuple[_Runs, list[Rows]]:
        """Return all runs of several parts, and each part's places among them."""
        key = tuple(map(id, parts))  # which the parts that are kept with it keep their own
        found = self.unions.get(key)
        if found is None:
            everyone = np.arange(len(self.passed.y))
            members = [everyone[part.rows] for part in parts]
            union = np.unique(np.concatenate(members))
            places = [_compact(np.searchsorted(union, rows)) for rows in members]
            found = self.unions[key] = parts, self._runs(_compact(union)), places
        return found[1:]


def _gradient(params: Params) -> tuple[Array, Params]:
    """Return an array for a gradient (R P,), and the same as parameters."""
    n_runs, *sizes = params.shape
    packed = np.empty(n_runs * params.size, dtype=params.output_bias.dtype)
    return packed, params.unpack(packed, *sizes)


def _compact(rows: Sequence[int] | NDArray[np.intp]) -> Rows:
    """Return ``rows`` (ascending) as a slice, which copies nothing, if they are contiguous."""
    rows = np.asarray(rows, dtype=np.intp)
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(rows) else rows


class _Value(NamedTuple):
    """The unweighted value of a term, and the weights, of the runs that have it."""

    name: str
    rows: Rows
    value: Array  # (r,)
    weight: Array  # (r,)


class Values(NamedTuple):
    """Unweighted values of the terms; the next step overwrites them."""

    fit: Array  # (R,)
    everything: Array
    """The fit and all terms, one after the other."""
    terms: list[_Value]
    largest: Any
    """The largest weight, at least 1."""

    @classmethod
    def of(cls, terms: Sequence[_Term], n_runs: int, dtype: np.dtype[Any]) -> Values:
        """Return values that are still to be computed."""
        everything = np.zeros(n_runs + sum(len(term.weight) for term in terms), dtype=dtype)
        fit, end = everything[:n_runs], n_runs
        values = []
        for name, loss, rows, weight in terms:
            start, end = end, end + len(weight)
            value = fit[rows] if loss is None else everything[start:end]
            values.append(_Value(name, rows, value, weight))
        largest = dtype.type(max([1.0, *(float(term.weight.max()) for term in terms)]))
        return cls(fit, everything, values, largest)

    def size(self) -> float:
        """Return a number that is finite only if all values and the total are."""
        # In their precision: the total overflows where that does.
        return float(np.vdot(self.everything, self.everything) * self.largest * self.largest)

    def total(self) -> Array:
        """(R,): the objective, the weighted sum of all."""
        total = np.zeros_like(self.fit)
        for name, rows, value, weight in self.terms:
            total[rows] += weight * (self.fit[rows] if name == "fit" else value)
        return total

    def by_name(self) -> dict[str, Array]:
        """Return values (R,) by name, NaN for the runs that lack the term."""
        named = {"fit": self.fit.copy()}
        for name, rows, value, _ in self.terms:
            if name != "fit":
                blank = np.full_like(self.fit, np.nan)
                named.setdefault(name, blank)[rows] = value
        return named


def check_weight(name: str, weight: float) -> None:
    """Raise `InputError` unless ``weight`` is finite and not negative."""
    if not isinstance(weight, int | float | np.number) or not 0.0 <= weight < float("inf"):
        raise InputError(f"{name} is {weight}; it must be finite and at least 0")
