"""Reverse coverage: every prototype should have an input near it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from mlpspec.arrays import Array, exp_of_negated, squared_distances
from mlpspec.losses.base import StructuralLoss, check_temperature
from mlpspec.network.forward import Forward


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
        nearest = exponent.min(axis=1)  # taken out, so that a far prototype has shares too
        exponent -= nearest[:, None, :]
        s = exp_of_negated(exponent)
        total = s.sum(axis=1)
        s /= total[:, None, :]
        value = tau * (nearest - np.log(total / n_samples)).mean(axis=1)
        pull = p - np.matmul(s.swapaxes(1, 2), x)
        return value, {"prototypes": (2.0 / n_hidden) * pull}
