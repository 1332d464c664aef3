"""Overlap: no input should be answered by two neurons."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

import numpy as np

from mlpspec.arrays import Array
from mlpspec.losses.base import LATER, StructuralLoss, check_reduction, n_pairs
from mlpspec.network.forward import Forward


@final
@dataclass(frozen=True)
class Overlap(StructuralLoss):
    """Mean product of two neurons' responses to the same input.

        L = mean_n (1/M) sum_{k<l} h_nk h_nl

    M is the number of pairs, unless ``reduction`` says otherwise (`n_pairs`). Repulsive, but a
    neuron that leaves the data pays nothing. Zero for a single neuron.
    dL/dh_nk = (sum_l h_nl - h_nk) / (N M).

    Parameters
    ----------
    reduction : {"mean", "neuron", "sum"}
        Over pairs.

    Examples
    --------
    Both inputs are answered with 1 by one neuron and with exp(-1) by the other.

    >>> from mlpspec import RidgeParams, forward
    >>> params = RidgeParams.placed(np.array([[0.0], [1.0]]), np.ones(2), np.ones(2))
    >>> net = forward(params, np.array([[[0.0], [1.0]]]), np.zeros((1, 2)))
    >>> Overlap().value_and_grad(net)[0].round(4)
    array([0.3679])
    """

    reduction: str = field(default="mean", metadata=LATER)

    def __post_init__(self) -> None:
        check_reduction(self.reduction)

    def value_and_grad(self, forward: Forward) -> tuple[Array, dict[str, Array]]:
        """Return L (R,) and its partial derivatives for both sums of responses.

        With t_n = sum_k h_nk and q_n = sum_k h_nk^2, sum_{k<l} h_nk h_nl = (t_n^2 - q_n) / 2.
        """
        t, q = forward.response, forward.squared_response
        _, n_samples, n_hidden = forward.shape
        scale = 1.0 / (n_samples * n_pairs(n_hidden, self.reduction)) if n_hidden > 1 else 0.0
        value = (np.square(t) - q).sum(axis=1) * (0.5 * scale)
        return value, {"response": scale * t, "squared_response": np.full_like(q, -0.5 * scale)}
