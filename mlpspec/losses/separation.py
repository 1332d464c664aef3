"""Separation: prototypes should keep away from each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from mlpspec.arrays import Array, exp_of_negated, squared_distances
from mlpspec.losses.base import StructuralLoss, check_temperature
from mlpspec.network.forward import Forward


@final
@dataclass(frozen=True)
class Separation(StructuralLoss):
    """Mean closeness of the pairs of prototypes.

        L = mean_{k<l} exp(-|p_k - p_l|^2 / tau)

    Repulsive; long-range at large tau. Zero for a single neuron, which has no pairs.
    dL/dp_k = -(2 / (tau K (K - 1) / 2)) sum_{l != k} (p_k - p_l) exp(-|p_k - p_l|^2 / tau).

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
        p, tau = forward.prototypes, self.temperature
        n_runs, n_hidden, _ = p.shape
        n_pairs = max(1, n_hidden * (n_hidden - 1) // 2)
        c = squared_distances(p, p)
        c /= tau
        exp_of_negated(c)
        c.reshape(n_runs, -1)[:, :: n_hidden + 1] = 0.0  # a neuron is no pair with itself
        near = c.sum(axis=2)
        value = near.sum(axis=1) / (2.0 * n_pairs)  # every pair is met twice
        push = near[:, :, None] * p - np.matmul(c, p)
        return value, {"prototypes": (-2.0 / (tau * n_pairs)) * push}
