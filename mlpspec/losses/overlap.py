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
        """Return L (R,) and its partial derivatives for ``"hidden"`` and ``"response"``.

        sum_{k<l} h_nk h_nl is half of (sum_k h_nk)^2 - sum_k h_nk^2: no pass over (R, N, K) is
        spent on sum_l h_nl - h_nk.
        """
        h, s = forward.hidden, forward.response
        n_runs, n_samples, n_hidden = h.shape
        if n_hidden < 2:
            return np.zeros_like(s[:, 0]), {"response": np.zeros_like(s)}
        scale = 1.0 / (n_samples * (n_hidden * (n_hidden - 1) // 2))
        flat = h.reshape(n_runs, 1, -1)
        squares = np.matmul(flat, flat.swapaxes(1, 2))[:, 0, 0]
        value = np.vecdot(s, s)
        value -= squares
        value *= 0.5 * scale
        own = np.multiply(h, -scale, out=forward.buffer("work"))
        return value, {"hidden": own, "response": s * scale}
