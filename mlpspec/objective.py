"""What is minimised: the fit plus named, weighted structural losses."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlpspec.blocks import Array
from mlpspec.errors import InputError
from mlpspec.losses import StructuralLoss
from mlpspec.model import (
    SUMS,
    Forward,
    Params,
    Rows,
    add_partial,
    add_sum,
    check_partial,
    empty_sums,
    forward,
    reduce_sum,
)

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
        total, packed, values = ObjectiveBatch([self] * len(passed.x)).value_and_grad(passed)
        return total, params.unpack(packed, *params.shape[1:]), values.by_name()

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

    def value_and_grad(self, passed: Forward) -> tuple[Array, Array, Values]:
        """Return total (R,), gradient (R P,) as `Params.pack` orders it, and values.

        Total and gradient are overwritten by the next call.
        """
        if self._bound is None or self._bound.passed is not passed:
            self._bound = _Bound(self._terms, passed)
        return self._bound.value_and_grad()


class _Runs(NamedTuple):
    """Some runs of the batch, and the part of its forward pass that is theirs."""

    rows: Rows
    passed: Forward


class _Share(NamedTuple):
    """Those runs of a term that a block has, or all of them."""

    term: int
    loss: StructuralLoss | None
    runs: _Runs
    in_term: slice
    weights: tuple[Any, ...]  # (r,), (r, 1) and (r, 1, 1), or numbers; none if all are 1

    def weigh(self, partial: Array) -> Array:
        """Return a partial derivative times the term's weights."""
        return self.weights[partial.ndim - 1] * partial if self.weights else partial


class _Block(NamedTuple):
    """Runs side by side whose arrays of (R, N, K) fit the cache."""

    rows: slice
    passed: Forward
    shares: list[_Share]


class _Said:
    """What the terms of a step were differentiated by, with weighted partial derivatives."""

    def __init__(self) -> None:
        self.sums: dict[str, list[tuple[_Share, Array]]] = {}  # of the block at hand
        self.reduced: dict[str, list[Rows]] = {}  # the runs of all blocks before
        self.small: dict[str, dict[int, list[tuple[slice, Array]]]] = {}  # by term


class _Bound:
    """The terms of a batch, bound to a forward pass and to memory for what they return.

    Arrays of (R, N, K) are met block by block, and leave sums over neurons or samples behind; what
    follows from those is computed for all runs together.
    """

    def __init__(self, terms: Sequence[_Term], passed: Forward) -> None:
        dtype = passed.y.dtype
        self.terms = [term._replace(weight=term.weight.astype(dtype)) for term in terms]
        self.passed = passed
        self.total = np.empty_like(passed.params.output_bias)
        self.packed, self.grad = _gradient(passed.params)
        # Values and weights of all terms, 0 for runs that lack one.
        self.table, self.weights = np.zeros((2, len(terms), len(passed.y)), dtype=dtype)
        self.values = []
        for row, (_, _, rows, weight) in enumerate(self.terms):
            self.weights[row, rows] = weight
            compact = isinstance(rows, slice)
            self.values.append(self.table[row, rows] if compact else np.empty_like(weight))
        self.residual = np.empty_like(passed.y)
        # The partial derivative for the output, and what was reduced with those for sums.
        self.partial = np.empty_like(passed.y)
        self.moments: dict[str, Array] = {}
        # By the identity of rows, which they hold: no others get it.
        self.unions: dict[tuple[int, ...], tuple[Sequence[Rows], _Runs, list[Rows]]] = {}
        self.targets: dict[int, tuple[Rows, Params, Array | None]] = {}
        blocks = passed.blocks()
        edges = np.cumsum([0, *(len(part.y) for part in blocks)]).tolist()
        self.blocks = []
        for part, first, last in zip(blocks, edges[:-1], edges[1:], strict=True):
            rows = slice(first, last)
            self.blocks.append(_Block(rows, part, self._shares(rows, part, by_blocks=False)))
        self.others = self._shares(slice(0, edges[-1]), passed, by_blocks=True)

    def _shares(self, block: slice, passed: Forward, by_blocks: bool) -> list[_Share]:
        """Return what a block's runs have of the terms of one sort."""
        shares = []
        for index, (_, loss, rows, weight) in enumerate(self.terms):
            members = np.arange(len(self.passed.y))[rows]
            first, last = np.searchsorted(members, (block.start, block.stop)).tolist()
            if first < last and by_blocks == (loss is not None and loss.BY_BLOCKS):
                here = rows if last - first == len(members) else _compact(members[first:last])
                part = _take(passed, _compact(members[first:last] - block.start))
                w = weight[first:last]
                weights: tuple[Any, ...] = (w, w[:, None], w[:, None, None])
                if (w == w[0]).all():  # as most are; an array of them would take longer
                    weights = () if w[0] == 1.0 else (float(w[0]),) * 3
                shares.append(_Share(index, loss, _Runs(here, part), slice(first, last), weights))
        return shares

    def value_and_grad(self) -> tuple[Array, Array, Values]:
        """See `ObjectiveBatch.value_and_grad`."""
        total, packed, residual = self.total, self.packed, self.residual
        packed.fill(0.0)
        total.fill(0.0)
        mean = 1.0 / residual.shape[1]
        said = _Said()
        for block in self.blocks:
            np.subtract(block.passed.output, block.passed.y, out=residual[block.rows])
            for share in block.shares:
                if share.loss is None:
                    partial = residual[share.runs.rows] * (2.0 * mean)
                    said.sums["output"] = [(share, share.weigh(partial))]
                else:
                    self._evaluate(share, share.loss, said)
            self._reduce(block, said)
        for share in self.others:
            assert share.loss is not None
            self._evaluate(share, share.loss, said)
        if said.sums:
            raise InputError(
                f"a loss that is BY_BLOCKS returned a partial of {', '.join(said.sums)}; it may "
                "return those of prototypes and of fields of the params"
            )
        fit = np.vecdot(residual, residual)
        fit *= mean
        values: list[tuple[str, Rows, Array]] = [("fit", slice(None), fit)]
        for row, (name, loss, rows, _) in enumerate(self.terms):
            if loss is not None:
                values.append((name, rows, self.values[row]))
            if loss is None or not isinstance(rows, slice):
                self.table[row, rows] = fit[rows] if loss is None else self.values[row]
        for weighted in self.weights * self.table:
            total += weighted
        # In the order of names, so that a run's sums have one order whatever its neighbours have.
        for quantity in sorted([*said.reduced, *said.small]):
            if quantity in SUMS:
                self._chain_sum(quantity, said.reduced[quantity])
            else:
                self._chain(quantity, said.small[quantity])
        return total, packed, Values(len(fit), values)

    def _evaluate(self, share: _Share, loss: StructuralLoss, said: _Said) -> None:
        """Ask a loss for its value and what it is differentiated by."""
        passed = share.runs.passed
        value, partials = loss.value_and_grad(passed)
        self.values[share.term][share.in_term] = value
        for quantity, partial in partials.items():
            check_partial(passed, quantity, partial)
            if quantity in ("hidden", "preactivation"):
                # Of (R, N, K) arrays the weight is applied to what they are reduced to.
                weight = self.terms[share.term].weight[share.in_term, None]
                grad, own = self._target(share.runs)
                add_partial(passed, grad, quantity, partial, weight)
                self._settle(share.runs, grad, own)
            elif quantity in SUMS:
                said.sums.setdefault(quantity, []).append((share, share.weigh(partial)))
            else:
                pieces = said.small.setdefault(quantity, {}).setdefault(share.term, [])
                pieces.append((share.in_term, share.weigh(partial)))

    def _reduce(self, block: _Block, said: _Said) -> None:
        """Sum over the samples what a block's terms said of sums over neurons."""
        for quantity, parts in said.sums.items():
            (share, partial), *more = parts
            runs = share.runs
            if more:
                runs, places = self._union([share.runs.rows for share, _ in parts], block)
                partial = _sum_of(places, [partial for _, partial in parts], runs.passed)
            rows, passed = runs
            if quantity not in self.moments:
                self.moments[quantity] = empty_sums(self.passed, quantity)
            if quantity == "output":
                self.partial[rows] = partial
            moments = self.moments[quantity]
            if isinstance(rows, slice):
                reduce_sum(passed, quantity, partial, moments[:, rows])
            else:
                part = empty_sums(passed, quantity)
                reduce_sum(passed, quantity, partial, part)
                moments[:, rows] = part
            said.reduced.setdefault(quantity, []).append(rows)
        said.sums.clear()

    # The chain rule is linear: what several terms say of one quantity is added before.

    def _chain_sum(self, quantity: str, pieces: list[Rows]) -> None:
        """Add to the gradient what follows from a sum over neurons."""
        runs, _ = self._union(pieces)
        grad, own = self._target(runs)
        partial, moments = self.partial[runs.rows], self.moments[quantity][:, runs.rows]
        add_sum(runs.passed, grad, quantity, partial, moments)
        self._settle(runs, grad, own)

    def _chain(self, quantity: str, said: dict[int, list[tuple[slice, Array]]]) -> None:
        """Add to the gradient what follows from prototypes or fields of the parameters."""
        indices = sorted(said)
        runs, places = self._union([self.terms[index].rows for index in indices])
        wholes = []
        for index in indices:
            (_, whole), *more = said[index]
            size = len(self.terms[index].weight)
            if more or len(whole) < size:
                whole = np.zeros((size, *whole.shape[1:]), dtype=whole.dtype)
                for in_term, piece in said[index]:
                    whole[in_term] = piece
            wholes.append(whole)
        partial = wholes[0] if len(wholes) == 1 else _sum_of(places, wholes, runs.passed)
        grad, own = self._target(runs)
        add_partial(runs.passed, grad, quantity, partial)
        self._settle(runs, grad, own)

    def _union(
        self, parts: Sequence[Rows], block: _Block | None = None
    ) -> tuple[_Runs, list[Rows]]:
        """Return all runs of several parts, and each part's places among them."""
        key = tuple(map(id, parts))
        if key not in self.unions:
            everyone = np.arange(len(self.passed.y))
            members = [everyone[rows] for rows in parts]
            union = np.unique(np.concatenate(members))
            places = [_compact(np.searchsorted(union, rows)) for rows in members]
            rows = parts[0] if len(parts) == 1 else _compact(union)
            if block is None:
                part = _take(self.passed, rows)
            else:
                part = _take(block.passed, _compact(union - block.rows.start))
            self.unions[key] = parts, _Runs(rows, part), places
        return self.unions[key][1:]

    def _target(self, runs: _Runs) -> tuple[Params, Array | None]:
        """Return where to add the gradient of some runs; an array of its own is then `_settle`d."""
        found = self.targets.get(id(runs.rows))
        if found is None:
            grad, own = self.grad, None
            if isinstance(runs.rows, slice):
                grad = grad.take(runs.rows)
            else:
                own, grad = _gradient(runs.passed.params)
            found = self.targets[id(runs.rows)] = runs.rows, grad, own
        _, grad, own = found
        if own is not None:
            own.fill(0.0)
        return grad, own

    def _settle(self, runs: _Runs, grad: Params, own: Array | None) -> None:
        if own is not None:
            for name, value in vars(grad).items():
                getattr(self.grad, name)[runs.rows] += value


def _take(passed: Forward, rows: Rows) -> Forward:
    """Return the part of a forward pass; itself, if that is all."""
    everyone = isinstance(rows, slice) and rows == slice(0, len(passed.y))
    return passed if everyone else passed.take(rows)


def _sum_of(places: Sequence[Rows], parts: Sequence[Array], passed: Forward) -> Array:
    """Return the sum of arrays that are each of some runs of a forward pass."""
    total = np.zeros((len(passed.y), *parts[0].shape[1:]), dtype=parts[0].dtype)
    for place, part in zip(places, parts, strict=True):
        _add_rows(total, place, part)
    return total


def _gradient(params: Params) -> tuple[Array, Params]:
    """Return an array for a gradient (R P,), and the same as parameters."""
    n_runs, *sizes = params.shape
    packed = np.empty(n_runs * params.size, dtype=params.output_bias.dtype)
    return packed, params.unpack(packed, *sizes)


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
