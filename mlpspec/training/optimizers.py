"""Optimisers: first-order rules, each written once as a function of numbers, and L-BFGS.

A rule takes one parameter's gradient g, two numbers m and s that it remembers, the number t of the
step, from 1 on, and the optimiser's numbers; it returns the step to add, and the new m and s. NumPy
applies it to arrays as it is, and `mlpspec.training.kernel` compiles it as it is. L-BFGS is no
function of a parameter alone: SciPy has it, and `mlpspec.training.descent` calls it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from mlpspec.errors import InputError, expect_number

Numbers = tuple[float, float, float, float]
"""The learning rate, the factors by which m and s decay, and epsilon; 0 where a rule has none."""

Rule = Callable[[Any, Any, Any, float, Numbers], tuple[Any, Any, Any]]


def gradient_descent_rule(
    g: Any, m: Any, s: Any, t: float, numbers: Numbers
) -> tuple[Any, Any, Any]:
    """Return a step of plain gradient descent, -rate g."""
    rate, _, _, _ = numbers
    return -rate * g, m, s


def momentum_rule(g: Any, m: Any, s: Any, t: float, numbers: Numbers) -> tuple[Any, Any, Any]:
    """Return a step with momentum (Polyak 1964): m <- beta m + g, step = -rate m."""
    rate, beta, _, _ = numbers
    m = beta * m + g
    return -rate * m, m, s


def nesterov_rule(g: Any, m: Any, s: Any, t: float, numbers: Numbers) -> tuple[Any, Any, Any]:
    """Return a step of Nesterov's momentum in the form of Sutskever et al. (2013, ICML 28).

    m <- beta m + g, step = -rate (g + beta m), in which theta is the point that looks ahead.
    """
    rate, beta, _, _ = numbers
    m = beta * m + g
    return -rate * (g + beta * m), m, s


def adagrad_rule(g: Any, m: Any, s: Any, t: float, numbers: Numbers) -> tuple[Any, Any, Any]:
    """Return a step of Adagrad (Duchi, Hazan & Singer 2011, JMLR 12).

    s <- s + g^2, step = -rate g / (sqrt(s) + epsilon).
    """
    rate, _, _, epsilon = numbers
    s = s + g * g
    return -rate * g / (np.sqrt(s) + epsilon), m, s


def rmsprop_rule(g: Any, m: Any, s: Any, t: float, numbers: Numbers) -> tuple[Any, Any, Any]:
    """Return a step of RMSprop (Tieleman & Hinton 2012).

    s <- beta s + (1 - beta) g^2, step = -rate g / (sqrt(s) + epsilon).
    """
    rate, _, beta, epsilon = numbers
    s = beta * s + (1.0 - beta) * g * g
    return -rate * g / (np.sqrt(s) + epsilon), m, s


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


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "adam": adam_rule,
        "gradient_descent": gradient_descent_rule,
        "momentum": momentum_rule,
        "nesterov": nesterov_rule,
        "adagrad": adagrad_rule,
        "rmsprop": rmsprop_rule,
    }
)
"""The rules by name; the kernel compiles them in this order, so that none can be added later."""


class Optimizer(NamedTuple):
    """The name of a rule, or ``"lbfgs"``, and its numbers.

    Attributes
    ----------
    rule : str
    numbers : tuple of float
    decay : float
        Of weights, decoupled from the gradient (Loshchilov & Hutter 2019, arXiv:1711.05101): before
        each step all parameters shrink by the factor 1 - rate decay.
    memory : int
        Of L-BFGS: the steps that it remembers.

    Examples
    --------
    >>> adam(0.01), adamw(decay=0.1).decay
    (Optimizer(rule='adam', numbers=(0.01, 0.9, 0.999, 1e-08), decay=0.0, memory=0), 0.1)
    """

    rule: str
    numbers: Numbers
    decay: float = 0.0
    memory: int = 0

    @property
    def ignores_tiny_gradients(self) -> bool:
        """Whether a gradient of 1e-20 makes no step, so that the kernel may leave far pairs out.

        Rules that divide a gradient by its own size take a step whatever it is, unless their
        epsilon is larger.
        """
        return self.numbers[3] >= 1e-8 or self.rule not in ("adam", "rmsprop", "adagrad")


def gradient_descent(learning_rate: float = 0.01) -> Optimizer:
    """Return plain gradient descent; see `gradient_descent_rule`.

    Examples
    --------
    >>> rule, numbers, *_ = gradient_descent(0.5)
    >>> RULES[rule](2.0, 0.0, 0.0, 1.0, numbers)[0]
    -1.0
    """
    return Optimizer("gradient_descent", (learning_rate, 0.0, 0.0, 0.0))


def momentum(learning_rate: float = 0.01, beta: float = 0.9) -> Optimizer:
    """Return gradient descent with momentum; see `momentum_rule`.

    Examples
    --------
    >>> rule, numbers, *_ = momentum(0.5, beta=0.5)
    >>> RULES[rule](2.0, 1.0, 0.0, 2.0, numbers)[:2]
    (-1.25, 2.5)
    """
    _check("momentum", beta=beta)
    return Optimizer("momentum", (learning_rate, beta, 0.0, 0.0))


def nesterov(learning_rate: float = 0.01, beta: float = 0.9) -> Optimizer:
    """Return gradient descent with Nesterov's momentum; see `nesterov_rule`.

    Examples
    --------
    >>> rule, numbers, *_ = nesterov(0.5, beta=0.5)
    >>> RULES[rule](2.0, 1.0, 0.0, 2.0, numbers)[:2]
    (-1.625, 2.5)
    """
    _check("nesterov", beta=beta)
    return Optimizer("nesterov", (learning_rate, beta, 0.0, 0.0))


def adagrad(learning_rate: float = 0.01, epsilon: float = 1e-10) -> Optimizer:
    """Return Adagrad; see `adagrad_rule`.

    Examples
    --------
    >>> rule, numbers, *_ = adagrad(0.5, epsilon=0.0)
    >>> float(RULES[rule](3.0, 0.0, 16.0, 2.0, numbers)[0])
    -0.3
    """
    _check("adagrad", epsilon=epsilon)
    return Optimizer("adagrad", (learning_rate, 0.0, 0.0, epsilon))


def rmsprop(learning_rate: float = 0.01, beta: float = 0.99, epsilon: float = 1e-8) -> Optimizer:
    """Return RMSprop; see `rmsprop_rule`.

    Examples
    --------
    >>> rule, numbers, *_ = rmsprop(0.5, beta=0.75, epsilon=0.0)
    >>> float(RULES[rule](2.0, 0.0, 4.0, 2.0, numbers)[0])
    -0.5
    """
    _check("rmsprop", beta=beta, epsilon=epsilon)
    return Optimizer("rmsprop", (learning_rate, 0.0, beta, epsilon))


def adam(
    learning_rate: float = 0.01, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
) -> Optimizer:
    """Return Adam; see `adam_rule`.

    Examples
    --------
    The first step is the learning rate against the sign of the gradient:

    >>> rule, numbers, *_ = adam(0.01)
    >>> step, m, s = RULES[rule](np.array([4.0, -0.5]), 0.0, 0.0, 1.0, numbers)
    >>> step.round(6)
    array([-0.01,  0.01])
    """
    _check("adam", beta1=beta1, beta2=beta2, epsilon=epsilon)
    return Optimizer("adam", (learning_rate, beta1, beta2, epsilon))


def adamw(
    learning_rate: float = 0.01,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    decay: float = 0.01,
) -> Optimizer:
    """Return Adam with decoupled weight decay; see `Optimizer`.

    Examples
    --------
    >>> adamw(decay=0.0) == adam()
    True
    """
    _check("adamw", decay=decay)
    return adam(learning_rate, beta1, beta2, epsilon)._replace(decay=decay)


def lbfgs(learning_rate: float = 0.01, memory: int = 10) -> Optimizer:
    """Return L-BFGS (Liu & Nocedal 1989), whose line search takes no note of a learning rate.

    Examples
    --------
    >>> lbfgs(memory=5).memory
    5
    """
    expect_number(f"lbfgs has memory={memory}", memory, whole=True, least=1, most=1000)
    return Optimizer("lbfgs", (learning_rate, 0.0, 0.0, 0.0), memory=memory)


def _check(name: str, **numbers: float) -> None:
    """Raise `InputError` unless factors are in [0, 1) and others not negative."""
    for key, value in numbers.items():
        below = 1.0 if key.startswith("beta") else math.inf
        expect_number(f"{name} has {key}={value:g}", value, least=0.0, below=below)


def check_line_search(rule: str, scheduled: bool, perturbed: bool) -> None:
    """Raise `InputError` where L-BFGS is asked for what its line search does not know.

    Examples
    --------
    >>> check_line_search("lbfgs", scheduled=True, perturbed=False)
    Traceback (most recent call last):
    mlpspec.errors.InputError: lbfgs searches the length of its steps; leave schedule and warmup out
    """
    if rule == "lbfgs" and scheduled:
        raise InputError("lbfgs searches the length of its steps; leave schedule and warmup out")
    if rule == "lbfgs" and perturbed:
        raise InputError(
            "lbfgs needs the same objective at every step, and its gradient; leave dropout, "
            "deactivation, jitter, target_noise and adversarial out, or take another optimizer"
        )


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    make.__name__: make
    for make in (adam, adamw, gradient_descent, momentum, nesterov, adagrad, rmsprop, lbfgs)
}
"""Optimisers by name, as functions of the learning rate and of numbers that have a default."""
