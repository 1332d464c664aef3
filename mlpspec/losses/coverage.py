"""Coverage: every input should have a prototype near it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from mlpspec.blocks import Array, exp_of_negated, scaled_distances, soft_sums
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

    BY_BLOCKS: ClassVar = True

    temperature: float = 0.01

    def __post_init__(self) -> None:
        check_temperature(self.temperature)

    def value_and_grad(self, forward: Forward) -> tuple[Array, dict[str, Array]]:
        """Return L (R,) and its partial derivative for ``"prototypes"``."""
        p, columns = forward.prototypes, forward.columns
        n_samples, n_hidden = forward.y.shape[1], p.shape[1]
        total, moments = soft_sums(forward.design, columns, p, self.temperature, forward.buffer)
        nearest: Array | None = None
        if np.minimum.reduce(total, axis=None) < FAR[p.dtype.char]:
            nearest = self._take_out_nearest(forward, total, moments)
        value = np.vecdot(np.log(total), columns[:, -1])
        if nearest is not None:
            value -= nearest
        value *= -self.temperature / n_samples
        value += self.temperature * math.log(n_hidden)
        # Of the moments sum_n r_nk x_n and sum_n r_nk.
        pull = p * moments[-1][:, :, None]
        pull -= moments[:-1].transpose(1, 2, 0)
        pull *= 2.0 / n_samples
        return value, {"prototypes": pull}

    def _take_out_nearest(self, forward: Forward, total: Array, moments: Array) -> Array:
        """Make sums anew without the distance of the nearest prototype, where that is far.

        Where all prototypes are far, only differences of distances make exact sums. ``total`` and
        ``moments`` (`soft_sums`) of such runs are overwritten; returned is what was taken out,
        over the temperature and summed over n (R,).
        """
        nearest = np.zeros_like(total[:, 0])
        for row in np.flatnonzero(total.min(axis=1) < FAR[total.dtype.char]):
            run = slice(row, row + 1)
            design, columns, p = forward.design[run], forward.columns[run], forward.prototypes[run]
            cost = scaled_distances(design, p, self.temperature**-0.5)
            shift = cost.min(axis=2)
            cost -= shift[:, :, None]
            share = exp_of_negated(cost)
            total[run] = np.matmul(share, np.ones((p.shape[1], 1), dtype=p.dtype))[:, :, 0]
            moments[:, row] = np.matmul(columns / total[run, None, :], share)[0]
            nearest[run] = shift.sum(axis=1)
        return nearest
