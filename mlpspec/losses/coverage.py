"""Coverage: every input should have a prototype near it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from mlpspec.losses.base import StructuralLoss, check_temperature
from mlpspec.model import Array, Forward, exp_of_negated, squared_distances


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
        x, p = forward.x, forward.prototypes
        n_samples, n_hidden = x.shape[1], p.shape[1]
        tau = self.temperature
        # Distances in units of sqrt(tau), so that no pass over (R, N, K) is spent on scaling.
        unit = tau**-0.5
        cost = squared_distances(x * unit, p * unit)
        nearest = cost.min(axis=2)
        cost -= nearest[:, :, None]
        share = exp_of_negated(cost)
        total = np.matmul(share, np.ones((n_hidden, 1), dtype=x.dtype))[:, :, 0]
        value = tau * (nearest - np.log(total / n_hidden)).mean(axis=1)
        # sum_n r_nk and sum_n r_nk x_n in one product; the normaliser goes to the small factor.
        moments = np.matmul((forward.design / total[:, :, None]).swapaxes(1, 2), share)
        pull = moments[:, -1, :, None] * p - moments[:, :-1].swapaxes(1, 2)
        return value, {"prototypes": (2.0 / n_samples) * pull}
