"""Coverage: every input should have a prototype near it."""

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
    """

    temperature: float = 0.01

    def __post_init__(self) -> None:
        check_temperature(self.temperature)

    def value_and_grad(self, forward: Forward) -> tuple[Array, dict[str, Array]]:
        """Return L (R,) and its partial derivative for ``"prototypes"``."""
        x, p, tau = forward.x, forward.prototypes, self.temperature
        n_samples, n_hidden = x.shape[1], p.shape[1]
        exponent = squared_distances(x, p)
        exponent /= tau
        nearest = exponent.min(axis=2)  # taken out, so that a far input has shares too
        exponent -= nearest[:, :, None]
        r = exp_of_negated(exponent)
        total = r.sum(axis=2)
        r /= total[:, :, None]
        value = tau * (nearest - np.log(total / n_hidden)).mean(axis=1)
        pull = r.sum(axis=1)[:, :, None] * p - np.matmul(r.swapaxes(1, 2), x)
        return value, {"prototypes": (2.0 / n_samples) * pull}
