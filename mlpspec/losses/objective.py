"""What is minimised: the fit plus named, weighted structural losses.

The objective is a sum, so its partial derivatives by f, h, p and so on are sums too; the chain rule
(`mlpspec.network.forward.Forward.pull_back`) is applied once, to those sums.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, final

import numpy as np

from mlpspec.arrays import Array
from mlpspec.errors import InputError, expect_number
from mlpspec.losses.base import StructuralLoss
from mlpspec.losses.weight_decay import L1, L2
from mlpspec.network.forward import Forward, check_partial, forward
from mlpspec.network.neurons import Params

INERT = 1e-6
"""Share of the fit's gradient below which a loss has no force that a weight could scale."""


@final
@dataclass(frozen=True)
class Fit(StructuralLoss):
    """Mean squared error of the outputs.

        L = mean_n (f_n - y_n)^2

    dL/df_n = (2 / N) (f_n - y_n).

    Examples
    --------
    >>> from mlpspec import RidgeParams
    >>> params = RidgeParams.placed(np.array([[0.0]]), np.ones(1), np.ones(1))
    >>> net = forward(params, np.zeros((1, 2, 1)), np.array([[1.0, 3.0]]))
    >>> Fit().value_and_grad(net)
    (array([2.]), {'output': array([[ 0., -2.]])})
    """

    def value_and_grad(self, forward: Forward) -> tuple[Array, dict[str, Array]]:
        """Return L (R,) and its partial derivative for ``"output"``."""
        gap = forward.output - forward.y
        return np.square(gap).mean(axis=1), {"output": (2.0 / gap.shape[1]) * gap}


class Evaluated(NamedTuple):
    """The objective of R runs, its gradient, and the unweighted values of its parts.

    Attributes
    ----------
    total : (R,)
    grad : RidgeParams or RadialParams
    values : dict of str to (R,)
        ``"fit"`` and every active term.
    """

    total: Array
    grad: Params
    values: dict[str, Array]


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
        dataclass), or one that is called ``"fit"`` or ``"objective"``.

    Examples
    --------
    >>> from mlpspec import RidgeParams
    >>> from mlpspec.losses import Overlap
    >>> params = RidgeParams.placed(np.array([[0.0], [0.0]]), np.ones(2), np.ones(2))
    >>> objective = Objective({"overlap": (0.1, Overlap())})
    >>> total, grad, values = objective.value_and_grad(params, np.zeros((1, 1, 1)), np.ones((1, 1)))
    >>> total, values
    (array([1.1]), {'fit': array([1.]), 'overlap': array([1.])})
    """

    terms: Mapping[str, tuple[float, StructuralLoss]] = field(default_factory=dict)
    fit_weight: float = 1.0

    def __post_init__(self) -> None:
        expect_number(f"fit_weight is {self.fit_weight}", self.fit_weight, least=0.0)
        for name, (weight, loss) in self.terms.items():
            expect_number(f"the weight of {name} is {weight}", weight, least=0.0)
            if name in ("fit", "objective"):
                raise InputError(f"a term is called {name!r}; that name is taken, use another")
            if not isinstance(loss, StructuralLoss) or not isinstance(loss, Hashable):
                raise InputError(
                    f"the term {name!r} is {loss!r}; expected a StructuralLoss that is a frozen "
                    "dataclass"
                )

    @property
    def active(self) -> dict[str, tuple[float, StructuralLoss]]:
        """The terms whose weight is above 0, by name in alphabetical order."""
        return {name: self.terms[name] for name in sorted(self.terms) if self.terms[name][0] > 0.0}

    @property
    def parts(self) -> dict[str, tuple[float, StructuralLoss]]:
        """The active terms and, last, the fit, which is one of them by the name ``"fit"``."""
        return {**self.active, "fit": (self.fit_weight, Fit())}

    @property
    def unstructured(self) -> Objective:
        """The fit and the penalties called ``"l1"`` and ``"l2"``, without structural losses."""
        penalties = {"l1": L1, "l2": L2}
        kept = {
            name: term
            for name, term in self.terms.items()
            if isinstance(term[1], penalties.get(name, ()))
        }
        return Objective(kept, self.fit_weight)

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
        return weighted_sum(forward(params, x, y), self.parts)

    def force(self, net: Forward) -> float:
        """Return the Euclidean norm of the gradient of one run (R = 1) over all parameters."""
        return float(np.linalg.norm(weighted_sum(net, self.parts).grad.flatten()))

    def match_forces(self, net: Forward) -> Objective:
        """Return the objective of one run (R = 1) with weights that are shares of force.

        A term of weight w gets the weight with which the root mean square of its gradient, over
        all parameters, is w times that of the fit at ``net``.

        Raises
        ------
        ValueError
            A term of hardly any gradient there (`INERT`), which no weight can give a force.
        """
        fit_force = Objective().force(net)
        terms = {}
        for name, (weight, loss) in self.active.items():
            force = Objective({name: (1.0, loss)}, fit_weight=0.0).force(net)
            if force < INERT * fit_force:
                raise InputError(
                    f"{name} is inert at the start: its gradient is {force:.2g}, less than "
                    f"{INERT:g} of the fit's {fit_force:.2g}, so that no weight gives it a "
                    "meaningful force; use weight_unit=absolute"
                )
            terms[name] = (weight * fit_force / force, loss)
        return Objective(terms, self.fit_weight)


Weight = float | Array
"""Of a term in a batch: one number, or one a run (R,)."""


Terms = Mapping[str, tuple[Weight, StructuralLoss]]


def weighted_sum(net: Forward, terms: Terms) -> Evaluated:
    """Return the weighted sum of losses of R runs and its gradient.

    A loss of weight 0 has no part in the gradient; its value is there.

    Parameters
    ----------
    net : Forward
    terms : mapping of str to (float or (R,), StructuralLoss)
        The runs have the same losses, each with weights of its own.

    Raises
    ------
    InputError
        A partial derivative that `mlpspec.network.forward.backward` refuses.
    """
    total: Array = np.zeros_like(net.y[:, 0])
    partials: dict[str, Array] = {}
    values = {}
    for name, (weight, loss) in terms.items():
        values[name], found = loss.value_and_grad(net)
        total = total + weight * values[name]
        for quantity, partial in found.items() if np.any(weight) else ():
            check_partial(net, quantity, partial)
            weighted = _times(weight, partial)
            before = partials.get(quantity)
            partials[quantity] = weighted if before is None else before + weighted
    # The fit is added last, and named first.
    values = {name: values[name] for name in sorted(values, key=lambda name: name != "fit")}
    return Evaluated(np.asarray(total), net.pull_back(partials), values)


def _times(weight: Weight, partial: Array) -> Array:
    """Return a partial derivative times the weight of its run."""
    if isinstance(weight, np.ndarray):
        weight = weight.reshape(-1, *[1] * (np.ndim(partial) - 1))
    return np.asarray(weight * partial)
