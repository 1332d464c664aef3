"""Coverage, soft or hard: every input should have a prototype near it, or the other way round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from mlpspec.arrays import Array, exp_of_negated, squared_distances
from mlpspec.losses.base import StructuralLoss, check_temperature
from mlpspec.network.forward import Forward


@final
@dataclass(frozen=True)
class Coverage(StructuralLoss):
    """Mean soft-minimum squared distance from the inputs to the prototypes.

        L = -tau mean_n log( (1/K) sum_k exp(-|x_n - p_k|^2 / tau) )

    An attractor. Up to the factor tau and a constant it is the negative log-likelihood of an
    equal-weight Gaussian mixture with variance tau/2, so its equilibria are the fixed points of
    that mixture's EM. Prototypes merge once sqrt(tau) outgrows the spacing of the inputs, and all
    of them collapse onto the mean above tau = 2 lambda_max(Cov x). With the shares
    r_nk = exp(-|x_n - p_k|^2 / tau) / sum_l exp(-|x_n - p_l|^2 / tau),
    dL/dp_k = -(2/N) sum_n r_nk (x_n - p_k).

    The value is rounded to the last bit of tau, the gradient to its own: at tau = 1e12 the value
    has four digits left.

    Parameters
    ----------
    temperature : float
        tau > 0, in squared units of the inputs.

    Examples
    --------
    Two inputs with a prototype at each: -log((1 + exp(-1)) / 2).

    >>> from mlpspec import RidgeParams, forward
    >>> params = RidgeParams.placed(np.array([[0.0], [1.0]]), np.ones(2), np.ones(2))
    >>> net = forward(params, np.array([[[0.0], [1.0]]]), np.zeros((1, 2)))
    >>> Coverage(1.0).value_and_grad(net)[0].round(4)
    array([0.3799])
    """

    temperature: float = 0.01

    def __post_init__(self) -> None:
        check_temperature(self.temperature)

    def value_and_grad(self, forward: Forward) -> tuple[Array, dict[str, Array]]:
        """Return L (R,) and its partial derivative for ``"prototypes"``."""
        x, p = forward.x, forward.prototypes
        value, r = _soft_minimum(x, p, self.temperature, axis=2)
        pull = r.sum(axis=1)[:, :, None] * p - np.matmul(r.swapaxes(1, 2), x)
        return value, {"prototypes": (2.0 / x.shape[1]) * pull}


@final
@dataclass(frozen=True)
class HardCoverage(StructuralLoss):
    """Mean squared distance from the inputs to their nearest prototype.

        L = mean_n min_k |x_n - p_k|^2

    The objective of k-means and the limit of `Coverage` as tau -> 0. An attractor that never merges
    prototypes, but a prototype that is no input's nearest feels nothing and stays where it is.
    With k(n) the nearest (the first of equals), dL/dp_k = (2/N) sum_{n: k(n) = k} (p_k - x_n).

    Examples
    --------
    The input at 0 is 0.5 from the nearest prototype, and so is that at 1.

    >>> from mlpspec import RidgeParams, forward
    >>> params = RidgeParams.placed(np.array([[0.5], [2.0]]), np.ones(2), np.ones(2))
    >>> net = forward(params, np.array([[[0.0], [1.0]]]), np.zeros((1, 2)))
    >>> HardCoverage().value_and_grad(net)[0].round(4)
    array([0.25])
    """

    def value_and_grad(self, forward: Forward) -> tuple[Array, dict[str, Array]]:
        """Return L (R,) and its partial derivative for ``"prototypes"``."""
        x, p = forward.x, forward.prototypes
        winner = squared_distances(x, p).argmin(axis=2)
        run = np.arange(len(x))[:, None]
        gap = p[run, winner] - x
        value = np.square(gap).sum(axis=2).mean(axis=1)
        grad = np.zeros_like(p)
        np.add.at(grad, (run, winner), gap * (2.0 / x.shape[1]))
        return value, {"prototypes": grad}


@final
@dataclass(frozen=True)
class ReverseCoverage(StructuralLoss):
    """Mean soft-minimum squared distance from the prototypes to the inputs.

        L = -tau mean_k log( (1/N) sum_n exp(-|x_n - p_k|^2 / tau) )

    `Coverage` with inputs and prototypes exchanged; the sum of both is a soft Chamfer distance.
    It draws every prototype to the inputs, however far it has strayed (a penalty on expulsion),
    but does not mind if all are drawn to the same one. With the shares
    s_nk = exp(-|x_n - p_k|^2 / tau) / sum_m exp(-|x_m - p_k|^2 / tau),
    dL/dp_k = (2/K) (p_k - sum_n s_nk x_n).

    Parameters
    ----------
    temperature : float
        tau > 0, in squared units of the inputs.

    Examples
    --------
    The prototype at 0 has an input there, that at 2 has the nearest at a distance of 1.

    >>> from mlpspec import RidgeParams, forward
    >>> params = RidgeParams.placed(np.array([[0.0], [2.0]]), np.ones(2), np.ones(2))
    >>> net = forward(params, np.array([[[0.0], [1.0]]]), np.zeros((1, 2)))
    >>> ReverseCoverage(0.01).value_and_grad(net)[0].round(4)
    array([0.5069])
    """

    temperature: float = 0.01

    def __post_init__(self) -> None:
        check_temperature(self.temperature)

    def value_and_grad(self, forward: Forward) -> tuple[Array, dict[str, Array]]:
        """Return L (R,) and its partial derivative for ``"prototypes"``."""
        x, p = forward.x, forward.prototypes
        value, s = _soft_minimum(x, p, self.temperature, axis=1)
        pull = p - np.matmul(s.swapaxes(1, 2), x)
        return value, {"prototypes": (2.0 / p.shape[1]) * pull}


def _soft_minimum(x: Array, p: Array, temperature: float, axis: int) -> tuple[Array, Array]:
    """Return the mean soft-minimum squared distance (R,) and the shares (R, N, K).

    ``axis`` is what the minimum is over: 1, the inputs, or 2, the prototypes.
    """
    exponent = squared_distances(x, p)
    exponent /= temperature
    nearest = exponent.min(axis=axis, keepdims=True)  # taken out, so that far ones have shares too
    exponent -= nearest
    shares = exp_of_negated(exponent)
    total = shares.sum(axis=axis, keepdims=True)
    shares /= total
    gap = nearest - np.log(total / exponent.shape[axis])
    return temperature * gap.reshape(len(x), -1).mean(axis=1), shares
