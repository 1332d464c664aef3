"""Separation: prototypes should keep away from each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from mlpspec.arrays import Array
from mlpspec.losses.base import StructuralLoss, check_temperature
from mlpspec.network.blocks import pair_pushes
from mlpspec.network.model import Forward


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
        p = forward.prototypes
        n_hidden = p.shape[1]
        if n_hidden < 2:
            return np.zeros_like(p[:, 0, 0]), {"prototypes": np.zeros_like(p)}
        value, push = pair_pushes(p, self.temperature, forward.buffer)
        mean = 1.0 / (n_hidden * (n_hidden - 1))
        push *= -4.0 / self.temperature * mean
        value *= mean
        return value, {"prototypes": push}
