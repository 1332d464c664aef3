"""First-order optimisers: pairs of pure functions, with the state passed explicitly.

An optimiser works on arrays of parameters in any order and treats every entry on its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mlpspec.arrays import Array
from mlpspec.network.blocks import adaptive_step


class State(NamedTuple):
    """What an optimiser remembers: steps taken, and running moments shaped like the parameters."""

    step: int
    moments: tuple[Array, ...]

    def map(self, change: Callable[[Array], Array]) -> State:
        """Return the state with every moment changed."""
        return State(self.step, tuple(map(change, self.moments)))


class Optimizer(NamedTuple):
    """``init(params)`` gives a state; ``update(grad, state)`` the step to add and a new state."""

    init: Callable[[Array], State]
    update: Callable[[Array, State], tuple[Array, State]]


def adam(
    learning_rate: float = 0.01, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
) -> Optimizer:
    """Return Adam (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1).

    With gradient g and t counting from 1:

        m <- beta1 m + (1 - beta1) g,    s <- beta2 s + (1 - beta2) g^2,
        step = -rate (m / (1 - beta1^t)) / (sqrt(s / (1 - beta2^t)) + epsilon).
    """

    def init(params: Array) -> State:
        return State(0, (np.zeros_like(params), np.zeros_like(params)))

    # The moments are kept as sums m / (1 - beta1) and s / (1 - beta2): fewer array operations.
    def update(grad: Array, state: State) -> tuple[Array, State]:
        t = state.step + 1
        mean, square = state.moments
        # Everything over the square root of this, which is applied to scalars.
        unit = math.sqrt((1.0 - beta2) / (1.0 - beta2**t))
        scale = -learning_rate * (1.0 - beta1) / (1.0 - beta1**t) / unit
        decays = beta1, beta2
        change, mean, square = adaptive_step(grad, mean, square, decays, epsilon / unit, scale)
        return change, State(t, (mean, square))

    return Optimizer(init, update)


def gradient_descent(learning_rate: float = 0.01) -> Optimizer:
    """Return plain gradient descent: step = -rate g."""

    def init(params: Array) -> State:
        return State(0, ())

    def update(grad: Array, state: State) -> tuple[Array, State]:
        return -learning_rate * grad, State(state.step + 1, ())

    return Optimizer(init, update)


OPTIMIZERS: dict[str, Callable[[float], Optimizer]] = {
    "adam": adam,
    "gradient_descent": gradient_descent,
}
"""Optimisers by name, as functions of the learning rate."""
