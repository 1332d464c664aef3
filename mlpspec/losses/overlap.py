"""Overlap: no input should be answered by two neurons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from mlpspec.losses.base import StructuralLoss
from mlpspec.model import Array, Forward


@final
@dataclass(frozen=True)
class Overlap(StructuralLoss):
    """Mean product of two neurons' responses to the same input.

        L = mean_n mean_{k<l} h_nk h_nl

    Repulsive, but a neuron that leaves the data pays nothing. Zero for a single neuron.
    dL/dh_nk = (sum_l h_nl - h_nk) / (N K (K - 1) / 2).
    """

    def value_and_grad(self, forward: Forward) -> tuple[Array, dict[str, Array]]:
        """Return L (R,) and its partial derivative for ``"hidden"``."""
        h = forward.hidden
        n_runs, n_samples, n_hidden = h.shape
        n_terms = n_samples * max(1, n_hidden * (n_hidden - 1) // 2)
        others = np.matmul(h, np.ones((n_hidden, 1), dtype=h.dtype)) - h
        value = np.matmul(others.reshape(n_runs, 1, -1), h.reshape(n_runs, -1, 1))[:, 0, 0]
        others *= 1.0 / n_terms
        return value * (0.5 / n_terms), {"hidden": others}
