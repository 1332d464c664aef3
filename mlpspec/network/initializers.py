"""Where training starts: parameters of one run (R = 1) from a random stream."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlpspec.arrays import Array
from mlpspec.data.datasets import Uniform
from mlpspec.network.neurons import Params, RadialParams, neuron_of

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
    steepness = max(2.0, 0.5 * _density(n_hidden, n_inputs, domain))
    return _placed(rng, prototypes, steepness, neuron)


def spaced(
    rng: np.random.Generator, n_hidden: int, n_inputs: int, domain: Uniform, neuron: str = "ridge"
) -> Params:
    """Prototypes in the middle of equal cells of the domain, all else as `uniform_prototypes`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> params = spaced(rng, n_hidden=4, n_inputs=1, domain=Uniform())
    >>> params.prototypes[0, :, 0].round(6).tolist()
    [-0.75, -0.25, 0.25, 0.75]
    """
    steepness = max(2.0, 0.5 * _density(n_hidden, n_inputs, domain))
    return _placed(rng, domain.cells(n_hidden, n_inputs)[0], steepness, neuron)


def steep(
    rng: np.random.Generator, n_hidden: int, n_inputs: int, domain: Uniform, neuron: str = "ridge"
) -> Params:
    """Slopes +-U(0.5, 1.5) K^(1/D) / width, all else as `uniform_prototypes`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> params = steep(rng, n_hidden=100, n_inputs=1, domain=Uniform())
    >>> bool((abs(params.hidden_weight) >= 25.0).all())
    True
    """
    prototypes = domain.draw(rng, n_hidden, n_inputs)
    return _placed(rng, prototypes, _density(n_hidden, n_inputs, domain), neuron)


def _density(n_hidden: int, n_inputs: int, domain: Uniform) -> float:
    """Return how many neurons there are in a unit of length, K^(1/D) / width."""
    return float(n_hidden ** (1.0 / n_inputs) / domain.width)


def _placed(rng: np.random.Generator, prototypes: Array, steepness: float, neuron: str) -> Params:
    n_hidden = len(prototypes)
    slope = rng.uniform(0.5, 1.5, n_hidden) * rng.choice([-1.0, 1.0], n_hidden) * steepness
    height = rng.standard_normal(n_hidden) / np.sqrt(n_hidden)
    return neuron_of(neuron).placed(prototypes, slope, height)


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
    return _of_layers(wide, single, height, np.zeros(1), neuron)


def framework(
    rng: np.random.Generator, n_hidden: int, n_inputs: int, domain: Uniform, neuron: str = "ridge"
) -> Params:
    """All parameters of a layer ~ U(-1 / sqrt(fan-in), 1 / sqrt(fan-in)).

    As PyTorch's linear layers draw weights and biases: the fan-in of the first layer is D, that of
    the second K.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> params = framework(rng, n_hidden=100, n_inputs=4, domain=Uniform())
    >>> bool((abs(params.hidden_weight) <= 0.5).all() and (abs(params.output_weight) <= 0.1).all())
    True
    """
    first, second = n_inputs**-0.5, n_hidden**-0.5
    wide = rng.uniform(-first, first, (1, n_hidden, n_inputs))
    single = rng.uniform(-first, first, (1, n_hidden))
    height = rng.uniform(-second, second, (1, n_hidden))
    return _of_layers(wide, single, height, rng.uniform(-second, second, 1), neuron)


def _of_layers(wide: Array, single: Array, height: Array, bias: Array, neuron: str) -> Params:
    """Return the network whose first layer has ``wide`` (1, K, D) and ``single`` (1, K)."""
    if issubclass(kind := neuron_of(neuron), RadialParams):
        return kind(single, wide, height, bias)
    return kind(wide, single, height, bias)


INITIALIZERS: dict[str, Initializer] = {
    "uniform_prototypes": uniform_prototypes,
    "standard_normal": standard_normal,
    "framework": framework,
    "spaced": spaced,
    "steep": steep,
}
