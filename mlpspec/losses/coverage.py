"""Coverage: every input should have a prototype near it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from mlpspec.arrays import Array
from mlpspec.losses.base import StructuralLoss, check_temperature
from mlpspec.network.blocks import soft_pulls
from mlpspec.network.model import Forward


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
        p = forward.prototypes
        value, pull = soft_pulls(
            forward.design, forward.columns, p, self.temperature, forward.buffer
        )
        n_samples = forward.y.shape[1]
        value *= -self.temperature / n_samples
        value += self.temperature * math.log(p.shape[1])
        pull *= 2.0 / n_samples
        return value, {"prototypes": pull}
