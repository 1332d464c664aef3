"""Where training starts: parameters of one run (R = 1) from a random stream."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlpspec.datasets import Uniform
from mlpspec.model import RidgeParams

Initializer = Callable[[np.random.Generator, int, int, Uniform], RidgeParams]


def uniform_prototypes(
    rng: np.random.Generator, n_hidden: int, n_inputs: int, domain: Uniform
) -> RidgeParams:
    """Prototypes uniform on the domain, slopes that give neighbours about one response width.

    Slopes are +-U(0.5, 1.5) max(2, K^(1/D) / (2 width)), along the prototype for D > 1 (where it
    would else not be the minimum-norm point); b = -w . p, v ~ N(0, 1) / sqrt(K), c = 0.
    """
    prototypes = domain.sample(rng, n_hidden, n_inputs)
    steepness = max(2.0, n_hidden ** (1.0 / n_inputs) / (2.0 * domain.width))
    slope = rng.uniform(0.5, 1.5, n_hidden) * rng.choice([-1.0, 1.0], n_hidden) * steepness
    if n_inputs == 1:
        direction = np.ones_like(prototypes)
    else:
        direction = prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True)
    weight = slope[:, None] * direction
    return RidgeParams(
        weight[None],
        -(weight * prototypes).sum(axis=1)[None],
        rng.standard_normal((1, n_hidden)) / np.sqrt(n_hidden),
        np.zeros(1),
    )


def standard_normal(
    rng: np.random.Generator, n_hidden: int, n_inputs: int, domain: Uniform
) -> RidgeParams:
    """w, b ~ N(0, 1), v ~ N(0, 1) / sqrt(K), c = 0: prototypes are then heavy-tailed."""
    return RidgeParams(
        rng.standard_normal((1, n_hidden, n_inputs)),
        rng.standard_normal((1, n_hidden)),
        rng.standard_normal((1, n_hidden)) / np.sqrt(n_hidden),
        np.zeros(1),
    )


INITIALIZERS: dict[str, Initializer] = {
    "uniform_prototypes": uniform_prototypes,
    "standard_normal": standard_normal,
}
