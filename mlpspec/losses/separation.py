"""Repulsion, near or at every distance: prototypes should keep away from each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

import numpy as np

from mlpspec.arrays import Array, exp_of_negated, squared_distances
from mlpspec.errors import expect_number
from mlpspec.losses.base import (
    LATER,
    StructuralLoss,
    check_reduction,
    check_temperature,
    n_pairs,
)
from mlpspec.network.forward import Forward


@final
@dataclass(frozen=True)
class Separation(StructuralLoss):
    """Mean closeness of the pairs of prototypes.

        L = (1/M) sum_{k<l} exp(-|p_k - p_l|^2 / tau)

    M is the number of pairs, unless ``reduction`` says otherwise (`n_pairs`). Repulsive; long-range
    at large tau. Zero for a single neuron, which has no pairs.
    dL/dp_k = -(2 / (tau M)) sum_{l != k} (p_k - p_l) exp(-|p_k - p_l|^2 / tau).

    Parameters
    ----------
    temperature : float
        tau > 0, in squared units of the inputs.
    reduction : {"mean", "neuron", "sum"}
        Over pairs.

    Examples
    --------
    One pair of prototypes at a distance of 1: exp(-1).

    >>> from mlpspec import RidgeParams, forward
    >>> params = RidgeParams.placed(np.array([[0.0], [1.0]]), np.ones(2), np.ones(2))
    >>> net = forward(params, np.array([[[0.0], [1.0]]]), np.zeros((1, 2)))
    >>> Separation(1.0).value_and_grad(net)[0].round(4)
    array([0.3679])
    """

    temperature: float = 0.01
    reduction: str = field(default="mean", metadata=LATER)

    def __post_init__(self) -> None:
        check_temperature(self.temperature)
        check_reduction(self.reduction)

    def value_and_grad(self, forward: Forward) -> tuple[Array, dict[str, Array]]:
        """Return L (R,) and its partial derivative for ``"prototypes"``."""
        p, tau = forward.prototypes, self.temperature
        n_runs, n_hidden, _ = p.shape
        m = n_pairs(n_hidden, self.reduction)
        c = squared_distances(p, p)
        c /= tau
        exp_of_negated(c)
        c.reshape(n_runs, -1)[:, :: n_hidden + 1] = 0.0  # a neuron is no pair with itself
        near = c.sum(axis=2)
        value = near.sum(axis=1) / (2.0 * m)  # every pair is met twice
        push = near[:, :, None] * p - np.matmul(c, p)
        return value, {"prototypes": (-2.0 / (tau * m)) * push}


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

    Examples
    --------
    One pair of prototypes at a distance of 2: -log 2.

    >>> from mlpspec import RidgeParams, forward
    >>> params = RidgeParams.placed(np.array([[0.0], [2.0]]), np.ones(2), np.ones(2))
    >>> net = forward(params, np.array([[[0.0], [1.0]]]), np.zeros((1, 2)))
    >>> LogRepulsion().value_and_grad(net)[0].round(4)
    array([-0.6931])
    """

    softening: float = 1e-3

    def __post_init__(self) -> None:
        # Squared, and with room for the square of what is divided by it.
        expect_number(f"softening is {self.softening}", self.softening, least=1e-100, most=1e100)

    def value_and_grad(self, forward: Forward) -> tuple[Array, dict[str, Array]]:
        """Return L (R,) and its partial derivative for ``"prototypes"``."""
        p = forward.prototypes
        n_runs, n_hidden, n_inputs = p.shape
        m = n_pairs(n_hidden, "mean")
        softened = squared_distances(p, p)
        softened += self.softening**2
        seat = np.arange(n_hidden)
        softened[:, seat, seat] = 1.0  # a neuron is no pair with itself: log 1 = 0
        # Every pair is met twice.
        value = np.log(softened).reshape(n_runs, -1).sum(axis=1) * (-0.25 / m)
        grad = np.empty_like(p)
        for d in range(n_inputs):
            gap = p[:, :, None, d] - p[:, None, :, d]
            grad[:, :, d] = (gap / softened).sum(axis=2)
        return value, {"prototypes": grad * (-1.0 / m)}
