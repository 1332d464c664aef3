"""Hard coverage: the nearest prototype of every input, and no other, is drawn to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from mlpspec.arrays import Array, squared_distances
from mlpspec.losses.base import StructuralLoss
from mlpspec.network.forward import Forward


@final
@dataclass(frozen=True)
class HardCoverage(StructuralLoss):
    """Mean squared distance from the inputs to their nearest prototype.

        L = mean_n min_k |x_n - p_k|^2

    The objective of k-means and the limit of `Coverage` as tau -> 0. An attractor that never merges
    prototypes, but a prototype that is no input's nearest feels nothing and stays where it is.
    With k(n) the nearest (the first of equals), dL/dp_k = (2/N) sum_{n: k(n) = k} (p_k - x_n).
    """

    def value_and_grad(self, forward: Forward) -> tuple[Array, dict[str, Array]]:
        """Return L (R,) and its partial derivative for ``"prototypes"``."""
        x, p = forward.x, forward.prototypes
        winner = squared_distances(x, p).argmin(axis=2)
        run = np.arange(len(x))[:, None]
        gap = p[run, winner] - x
        value = np.square(gap).sum(axis=2).mean(axis=1)
        grad = np.zeros_like(p)
        np.add.at(grad, (run, winner), gap * (2.0 / x.shape[1]))
        return value, {"prototypes": grad}
