"""Where training starts: parameters of one run (R = 1) from a random stream.

Starts that are made for prototypes place them, on the domain or at the inputs. The others are
drawn layer by layer, as for any network, and know nothing of prototypes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from mlpspec.arrays import Array
from mlpspec.data.datasets import Uniform
from mlpspec.data.spec import arguments, canonical_form
from mlpspec.errors import InputError
from mlpspec.network.neurons import Params, neuron_of

LLOYD_STEPS = 50
"""Steps of Lloyd's algorithm in `kmeans`; it is at rest before, but for many inputs."""


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


def inputs(
    rng: np.random.Generator,
    n_hidden: int,
    x: Array,
    domain: Uniform,
    neuron: str = "ridge",
    slope: float = 1.0,
) -> Params:
    """Prototypes at inputs x (N, D), slopes ``slope`` times those of `uniform_prototypes`.

    Up to N neurons take inputs without repetition, all N in their order; more neurons take every
    input once, and then again. Prototypes of ridge neurons are p = x but for the share
    epsilon / |w|^2 of it.

    Examples
    --------
    >>> x = np.array([[0.5], [-0.25]])
    >>> params = inputs(np.random.default_rng(0), n_hidden=3, x=x, domain=Uniform(), slope=4.0)
    >>> params.prototypes[0, :, 0].round(6).tolist()
    [0.5, -0.25, 0.5]
    """
    n_samples, n_inputs = x.shape
    chosen = np.arange(n_hidden) % n_samples
    if n_hidden < n_samples:
        chosen = rng.choice(n_samples, n_hidden, replace=False)
    steepness = slope * max(2.0, 0.5 * _density(n_hidden, n_inputs, domain))
    return _placed(rng, x[chosen], steepness, neuron)


def kmeans(
    rng: np.random.Generator, n_hidden: int, x: Array, domain: Uniform, neuron: str = "ridge"
) -> Params:
    """Prototypes at the centres of K clusters of the inputs x (N, D), all else as `inputs`.

    The clusters are k-means', by Lloyd's algorithm from a start by k-means++. If there are no more
    distinct inputs than neurons, as with K = N, each of them is a cluster: in ascending order every
    distinct input gets one neuron, and then again.

    Examples
    --------
    >>> x = np.array([[0.5], [0.75], [-0.5], [-0.25]])
    >>> params = kmeans(np.random.default_rng(0), n_hidden=2, x=x, domain=Uniform())
    >>> sorted(params.prototypes[0, :, 0].round(6).tolist())
    [-0.375, 0.625]
    """
    from scipy.cluster.vq import kmeans2  # here, so that the command line starts at once

    distinct = np.unique(x, axis=0)
    if n_hidden >= len(distinct):
        return inputs(rng, n_hidden, distinct, domain, neuron)
    with warnings.catch_warnings():
        # The centre of a cluster that has lost all inputs stays where it was.
        warnings.filterwarnings("ignore", "One of the clusters is empty")
        centres = kmeans2(x, n_hidden, iter=LLOYD_STEPS, minit="++", rng=rng)[0]
    return inputs(rng, n_hidden, centres, domain, neuron)


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


def xavier(
    rng: np.random.Generator, n_hidden: int, n_inputs: int, domain: Uniform, neuron: str = "ridge"
) -> Params:
    """Weights of a layer ~ U(-a, a) with a = sqrt(6 / (fan-in + fan-out)), biases 0.

    Glorot and Bengio (2010), equation 16. The fans of the first layer are D and K, those of the
    second K and 1. All prototypes are at the origin; see `_unbiased`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> params = xavier(rng, n_hidden=5, n_inputs=1, domain=Uniform())
    >>> bool((abs(params.hidden_weight) <= 1.0).all() and (abs(params.output_weight) <= 1.0).all())
    True
    >>> float(abs(params.prototypes).max())
    0.0
    """
    first, second = (6.0 / (n_inputs + n_hidden)) ** 0.5, (6.0 / (n_hidden + 1)) ** 0.5
    weight = rng.uniform(-first, first, (n_hidden, n_inputs))
    return _unbiased(weight, rng.uniform(-second, second, n_hidden), neuron)


def he(
    rng: np.random.Generator, n_hidden: int, n_inputs: int, domain: Uniform, neuron: str = "ridge"
) -> Params:
    """Weights of a layer ~ N(0, 2 / fan-in), biases 0.

    He, Zhang, Ren and Sun (2015), equation 10: made for rectifiers, which these neurons are not.
    The fan-in of the first layer is D, that of the second K. All prototypes are at the origin; see
    `_unbiased`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> params = he(rng, n_hidden=5000, n_inputs=2, domain=Uniform())
    >>> float(params.hidden_weight.std().round(1)), params.output_bias
    (1.0, array([0.]))
    """
    weight = rng.standard_normal((n_hidden, n_inputs)) * (2.0 / n_inputs) ** 0.5
    return _unbiased(weight, rng.standard_normal(n_hidden) * (2.0 / n_hidden) ** 0.5, neuron)


def orthogonal(
    rng: np.random.Generator, n_hidden: int, n_inputs: int, domain: Uniform, neuron: str = "ridge"
) -> Params:
    """Weights of a layer with orthonormal columns, or rows where these are fewer; biases 0.

    Saxe, McClelland and Ganguli (2014): every such matrix is equally likely. On a line the slopes
    are together a unit vector, and so are the heights always. All prototypes are at the origin; see
    `_unbiased`.

    Examples
    --------
    >>> params = orthogonal(np.random.default_rng(0), n_hidden=5, n_inputs=2, domain=Uniform())
    >>> w = params.hidden_weight[0]
    >>> abs(w.T @ w).round(6).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    weight = _orthonormal(rng, n_hidden, n_inputs)
    return _unbiased(weight, _orthonormal(rng, 1, n_hidden)[0], neuron)


def _orthonormal(rng: np.random.Generator, n_rows: int, n_columns: int) -> Array:
    """Return a matrix (rows, columns) with orthonormal columns, or rows where these are fewer."""
    tall = rng.standard_normal((max(n_rows, n_columns), min(n_rows, n_columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))  # else q would depend on how it is computed, and not be uniform
    return q if n_rows >= n_columns else q.T


def _unbiased(weight: Array, height: Array, neuron: str) -> Params:
    """Return the network whose first layer has ``weight`` (K, D) and biases of 0.

    With b = 0 the prototype of every ridge neuron is the origin, p = -b w / |w|^2 = 0, whatever w
    is. That is what these starts are, not a fault: all prototypes coincide, so that separation has
    no gradient there, and no weight matches its force to the fit's. Radial neurons have the same
    slopes |w| and are at the origin, too: on a line both kinds are the same network.
    """
    if not (kind := neuron_of(neuron)).DIRECTED:
        return kind.placed(np.zeros_like(weight), np.linalg.norm(weight, axis=1), height)
    return _of_layers(weight[None], np.zeros((1, len(weight))), height[None], np.zeros(1), neuron)


def _of_layers(wide: Array, single: Array, height: Array, bias: Array, neuron: str) -> Params:
    """Return the network whose first layer has ``wide`` (1, K, D) and ``single`` (1, K)."""
    kind = neuron_of(neuron)
    first = (wide, single) if kind.DIRECTED else (single, wide)
    return kind(*[*first, height, bias])


INITIALIZERS: dict[str, Callable[..., Params]] = {
    "uniform_prototypes": uniform_prototypes,
    "standard_normal": standard_normal,
    "framework": framework,
    "spaced": spaced,
    "steep": steep,
    "inputs": inputs,
    "kmeans": kmeans,
    "xavier": xavier,
    "he": he,
    "orthogonal": orthogonal,
}
"""Every start by name; those of `AT_INPUTS` take the inputs x (N, D) in place of D."""

AT_INPUTS = ("inputs", "kmeans")


def canonical_initializer(text: Any) -> str:
    """Return a description of a start in the one form that equal ones share.

    Raises
    ------
    ValueError
        An unknown name, or numbers that do not fit it.

    Examples
    --------
    >>> canonical_initializer("inputs(4)"), canonical_initializer("inputs(slope=1)")
    ('inputs(slope=4.0)', 'inputs')
    """
    form = _canonical(text)
    _, numbers = arguments(form, INITIALIZERS, "initializer")
    if not 0.0 < numbers.get("slope", 1.0) <= 1e6:
        slope = numbers["slope"]
        raise InputError(f"inputs has slope={slope:g}; it must be above 0 and at most 1e6")
    return form


_canonical = canonical_form(INITIALIZERS, "initializer", "inputs(slope=4)")
