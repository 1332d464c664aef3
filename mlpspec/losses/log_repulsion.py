"""Logarithmic repulsion: prototypes push each other away at every distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from mlpspec.arrays import Array, squared_distances
from mlpspec.errors import InputError
from mlpspec.losses.base import StructuralLoss
from mlpspec.network.forward import Forward


@final
@dataclass(frozen=True)
class LogRepulsion(StructuralLoss):
    """Softened logarithmic energy of the pairs of prototypes.

        L = -mean_{k<l} (1/2) log(|p_k - p_l|^2 + s^2)

    Repulsive and long-range: the force of a pair falls with the inverse of its distance, where
    that of `Separation` vanishes beyond a few sqrt(tau). It has no lower bound, so something else
    must hold the prototypes. Zero for a single neuron, which has no pairs.
    dL/dp_k = -(1 / (K (K - 1) / 2)) sum_{l != k} (p_k - p_l) / (|p_k - p_l|^2 + s^2).

    Parameters
    ----------
    softening : float
        s > 0, in units of the inputs: the distance at which a pair's force is largest, 1 / (2 s);
        nearer than that it falls to 0. The default is 1/20 of the mean spacing of 100 inputs on
        [-1, 1], the distance below which prototypes are counted as one there.
    """

    softening: float = 1e-3

    def __post_init__(self) -> None:
        # Squared, and with room for the square of what is divided by it.
        if not 1e-100 <= self.softening <= 1e100:
            raise InputError(f"softening is {self.softening}; it must lie in 1e-100 ... 1e100")

    def value_and_grad(self, forward: Forward) -> tuple[Array, dict[str, Array]]:
        """Return L (R,) and its partial derivative for ``"prototypes"``."""
        p = forward.prototypes
        n_runs, n_hidden, n_inputs = p.shape
        n_pairs = max(1, n_hidden * (n_hidden - 1) // 2)
        softened = squared_distances(p, p)
        softened += self.softening**2
        seat = np.arange(n_hidden)
        softened[:, seat, seat] = 1.0  # a neuron is no pair with itself: log 1 = 0
        # Every pair is met twice.
        value = np.log(softened).reshape(n_runs, -1).sum(axis=1) * (-0.25 / n_pairs)
        grad = np.empty_like(p)
        for d in range(n_inputs):
            gap = p[:, :, None, d] - p[:, None, :, d]
            grad[:, :, d] = (gap / softened).sum(axis=2)
        return value, {"prototypes": grad * (-1.0 / n_pairs)}
