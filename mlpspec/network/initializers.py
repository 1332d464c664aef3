"""Where training starts: parameters of one run (R = 1) from a random stream."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlpspec.data.datasets import Uniform
from mlpspec.network.neurons import NEURONS, Params, RadialParams, RidgeParams

Initializer = Callable[[np.random.Generator, int, int, Uniform, str], Params]


def uniform_prototypes(
    rng: np.random.Generator, n_hidden: int, n_inputs: int, domain: Uniform, neuron: str = "ridge"
) -> Params:
    """Prototypes uniform on the domain, slopes that give neighbours about one response width.

    Slopes are +-U(0.5, 1.5) max(2, K^(1/D) / (2 width)), v ~ N(0, 1) / sqrt(K), c = 0. Both kinds
    of neuron get the same numbers (`RidgeParams.placed`, `RadialParams.placed`).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> params = uniform_prototypes(rng, n_hidden=4, n_inputs=1, domain=Uniform())
    >>> bool((abs(params.prototypes) <= 1.0).all()), params.output_bias
    (True, array([0.]))
    """
    prototypes = domain.draw(rng, n_hidden, n_inputs)
    steepness = max(2.0, n_hidden ** (1.0 / n_inputs) / (2.0 * domain.width))
    slope = rng.uniform(0.5, 1.5, n_hidden) * rng.choice([-1.0, 1.0], n_hidden) * steepness
    height = rng.standard_normal(n_hidden) / np.sqrt(n_hidden)
    return NEURONS[neuron].placed(prototypes, slope, height)


def standard_normal(
    rng: np.random.Generator, n_hidden: int, n_inputs: int, domain: Uniform, neuron: str = "ridge"
) -> Params:
    """First-layer parameters ~ N(0, 1), v ~ N(0, 1) / sqrt(K), c = 0.

    The prototypes of ridge neurons, -b w / |w|^2, are then heavy-tailed.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> standard_normal(rng, n_hidden=4, n_inputs=2, domain=Uniform()).shape
    (1, 4, 2)
    """
    wide = rng.standard_normal((1, n_hidden, n_inputs))
    single = rng.standard_normal((1, n_hidden))
    height = rng.standard_normal((1, n_hidden)) / np.sqrt(n_hidden)
    if neuron == "radial":
        return RadialParams(single, wide, height, np.zeros(1))
    return RidgeParams(wide, single, height, np.zeros(1))


INITIALIZERS: dict[str, Initializer] = {
    "uniform_prototypes": uniform_prototypes,
    "standard_normal": standard_normal,
}
