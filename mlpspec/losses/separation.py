"""Separation: prototypes should keep away from each other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from mlpspec.losses.base import StructuralLoss, check_temperature
from mlpspec.model import Array, Forward, exp_of_negated


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
        n_runs, n_hidden, n_inputs = p.shape
        if n_hidden < 2:
            return np.zeros_like(p[:, 0, 0]), {"prototypes": np.zeros_like(p)}
        ahead, behind = _round_table(n_hidden)
        unit = self.temperature**-0.5
        gaps = [p[:, None, :, d] - p[:, :, d][:, ahead] for d in range(n_inputs)]
        cost = np.square(gaps[0] * unit)
        for gap in gaps[1:]:
            cost += np.square(gap * unit)
        close = exp_of_negated(cost)
        if n_hidden % 2 == 0:
            close[:, -1] *= 0.5  # neighbours at half the table are met from both sides
        n_pairs = n_hidden * (n_hidden - 1) / 2
        value = close.reshape(n_runs, -1).sum(axis=1) / n_pairs
        grad = np.empty_like(p)
        for d, gap in enumerate(gaps):
            push = np.multiply(gap, close, out=gap)
            received = push.reshape(n_runs, -1)[:, behind]
            grad[:, :, d] = push.sum(axis=1) - received.sum(axis=1)
        return value, {"prototypes": grad * (-2.0 / (self.temperature * n_pairs))}


@cache
def _round_table(n_hidden: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Index each pair once: seat k meets seats k + 1 ... k + K//2 around a table of K.

    Returns ``ahead`` (S, K), the seat k + s; and ``behind`` (S, K), where in a flattened (S, K)
    array of meetings the one lies in which seat k was met, by seat k - s. With even K the
    meetings of the last row occur twice.
    """
    step = np.arange(1, n_hidden // 2 + 1)[:, None]
    seat = np.arange(n_hidden)
    return (seat + step) % n_hidden, (step - 1) * n_hidden + (seat - step) % n_hidden
