"""Coverage: every input should have a prototype near it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from mlpspec.blocks import Array, closeness, exp_of_negated, scaled_distances
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
        p, design, columns = forward.prototypes, forward.design, forward.columns
        n_runs, n_hidden, n_inputs = p.shape
        n_samples = design.shape[1]
        ones = forward.keep("ones", lambda: np.ones((n_hidden, 1), dtype=p.dtype))
        total = np.empty((n_runs, n_samples), dtype=p.dtype)
        moments = np.empty((n_runs, n_inputs + 1, n_hidden), dtype=p.dtype)
        nearest: Array | None = None
        for rows, share in closeness(design, p, self.temperature, forward.buffer):
            sums = total[rows]
            np.matmul(share, ones, out=sums[:, :, None])
            if np.minimum.reduce(sums, axis=None) < FAR[p.dtype.char]:
                nearest = np.zeros_like(p[:, 0, 0]) if nearest is None else nearest
                nearest[rows] = self._take_out_nearest(design[rows], p[rows], share, sums)
                np.matmul(share, ones, out=sums[:, :, None])
            # sum_n r_nk and sum_n r_nk x_n in one product; the normaliser goes to the small factor.
            np.matmul(columns[rows] / sums[:, None, :], share, out=moments[rows])
        value = np.vecdot(np.log(total), columns[:, -1])
        if nearest is not None:
            value -= nearest
        value *= -self.temperature / n_samples
        value += self.temperature * math.log(n_hidden)
        pull = p * moments[:, -1, :, None]
        pull -= moments[:, :-1].swapaxes(1, 2)
        pull *= 2.0 / n_samples
        return value, {"prototypes": pull}

    def _take_out_nearest(self, design: Array, p: Array, share: Array, total: Array) -> Array:
        """Scale the shares of runs that have far inputs by that of the nearest prototype.

        Where all prototypes are far, only differences of distances make exact sums. ``share``
        (r, N, K) is overwritten; the logarithms that were taken out are returned, summed over n.
        """
        far = total.min(axis=1, keepdims=True) < FAR[p.dtype.char]
        cost = scaled_distances(design, p, self.temperature**-0.5, share)
        shift = np.where(far, cost.min(axis=2), 0.0)
        cost -= shift[:, :, None]
        exp_of_negated(cost)
        return np.asarray(shift.sum(axis=1))
