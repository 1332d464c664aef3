"""First-order optimisers, each written once, as a function of numbers.

A rule takes one parameter's gradient g, the two moments m and s that it keeps, the number t of the
step, from 1 on, and the optimiser's numbers; it returns the step to add, and the new moments. NumPy
applies it to arrays as it is, and `mlpspec.training.kernel` compiles it as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Numbers = tuple[float, float, float, float]

Rule = Callable[[Any, Any, Any, float, Numbers], tuple[Any, Any, Any]]


def adam_rule(g: Any, m: Any, s: Any, t: float, numbers: Numbers) -> tuple[Any, Any, Any]:
    """Return a step of Adam (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1).

    m <- beta1 m + (1 - beta1) g,    s <- beta2 s + (1 - beta2) g^2,
    step = -rate (m / (1 - beta1^t)) / (sqrt(s / (1 - beta2^t)) + epsilon).
    """
    rate, beta1, beta2, epsilon = numbers
    m = beta1 * m + (1.0 - beta1) * g
    s = beta2 * s + (1.0 - beta2) * g * g
    step = -rate * (m / (1.0 - beta1**t)) / (np.sqrt(s / (1.0 - beta2**t)) + epsilon)
    return step, m, s


def gradient_descent_rule(
    g: Any, m: Any, s: Any, t: float, numbers: Numbers
) -> tuple[Any, Any, Any]:
    """Return a step of plain gradient descent, -rate g."""
    rate, _, _, _ = numbers
    return -rate * g, m, s


RULES: dict[str, Rule] = {"adam": adam_rule, "gradient_descent": gradient_descent_rule}


class Optimizer(NamedTuple):
    """The name of a rule, and its numbers: the learning rate, and what else it needs."""

    rule: str
    numbers: Numbers


def adam(
    learning_rate: float = 0.01, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
) -> Optimizer:
    """Return Adam; see `adam_rule`.

    Examples
    --------
    The first step is the learning rate against the sign of the gradient:

    >>> rule, numbers = adam(0.01)
    >>> step, m, s = RULES[rule](np.array([4.0, -0.5]), 0.0, 0.0, 1.0, numbers)
    >>> step.round(6)
    array([-0.01,  0.01])
    """
    return Optimizer("adam", (learning_rate, beta1, beta2, epsilon))


def gradient_descent(learning_rate: float = 0.01) -> Optimizer:
    """Return plain gradient descent: step = -rate g."""
    return Optimizer("gradient_descent", (learning_rate, 0.0, 0.0, 0.0))


OPTIMIZERS: dict[str, Callable[[float], Optimizer]] = {
    "adam": adam,
    "gradient_descent": gradient_descent,
}
"""Optimisers by name, as functions of the learning rate."""
