"""Coverage: every input should have a prototype near it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from mlpspec.blocks import Array, exp_of_negated, scaled_distances
from mlpspec.losses.base import StructuralLoss, check_temperature
from mlpspec.model import Forward

FAR = {"d": 1e-100, "f": 1e-10}
"""Sum of exponentials below which the nearest prototype's distance is taken out, by precision."""


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
        n_samples, n_hidden = forward.y.shape[1], p.shape[1]
        ones = forward.keep("ones", lambda: np.ones((n_hidden, 1), dtype=p.dtype))
        share = exp_of_negated(self._cost(forward))
        total = np.matmul(share, ones)[:, :, 0]
        nearest: Array | float = 0.0
        if np.minimum.reduce(total, axis=None) < FAR[p.dtype.char]:
            # Where all prototypes are far, only differences of distances make exact sums.
            far = total.min(axis=1, keepdims=True) < FAR[p.dtype.char]
            cost = self._cost(forward)
            shift = np.where(far, cost.min(axis=2), 0.0)
            cost -= shift[:, :, None]
            share = exp_of_negated(cost)
            total = np.matmul(share, ones)[:, :, 0]
            nearest = shift.sum(axis=1)
        value = np.vecdot(np.log(total), forward.columns[:, -1])
        value -= nearest
        value *= -self.temperature / n_samples
        value += self.temperature * math.log(n_hidden)
        # sum_n r_nk and sum_n r_nk x_n in one product; the normaliser goes to the small factor.
        moments = np.matmul(forward.columns / total[:, None, :], share)
        pull = p * moments[:, -1, :, None]
        pull -= moments[:, :-1].swapaxes(1, 2)
        pull *= 2.0 / n_samples
        return value, {"prototypes": pull}

    def _cost(self, forward: Forward) -> Array:
        """Return |x_n - p_k|^2 / tau (R, N, K)."""
        unit = self.temperature**-0.5  # so that no pass over (R, N, K) is spent on scaling
        return scaled_distances(
            forward.design, forward.prototypes, unit, out=forward.buffer("work")
        )
