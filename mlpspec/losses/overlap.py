"""Overlap: no input should be answered by two neurons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from mlpspec.arrays import Array
from mlpspec.losses.base import StructuralLoss
from mlpspec.network.model import Forward


@final
@dataclass(frozen=True)
class Overlap(StructuralLoss):
    """Mean product of two neurons' responses to the same input.

        L = mean_n mean_{k<l} h_nk h_nl

    Repulsive, but a neuron that leaves the data pays nothing. Zero for a single neuron.
    dL/dh_nk = (sum_l h_nl - h_nk) / (N K (K - 1) / 2).
    """

    def value_and_grad(self, forward: Forward) -> tuple[Array, dict[str, Array]]:
        """Return L (R,) and its partial derivatives for both sums of responses.

        sum_{k<l} h_nk h_nl is half of (sum_k h_nk)^2 - sum_k h_nk^2, which takes no further array
        of (R, N, K).
        """
        sums, squares = forward.response, forward.squared_response
        _, n_samples, n_hidden = forward.shape
        scale = 0.0 if n_hidden < 2 else 1.0 / (n_samples * (n_hidden * (n_hidden - 1) // 2))
        value = np.vecdot(sums, sums)
        value -= np.vecdot(squares, forward.columns[:, -1])
        value *= 0.5 * scale
        of_squares = forward.keep("of squares", lambda: np.full_like(squares, -0.5 * scale))
        return value, {"response": sums * scale, "squared_response": of_squares}
