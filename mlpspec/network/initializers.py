"""Where training starts: parameters of one run (R = 1) from a random stream.

Starts that are made for prototypes place them, on the domain or at the inputs. The others are
drawn layer by layer, as for any network, and know nothing of prototypes. A start is a function of a
`Draw`; what else it takes are numbers that have a default.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mlpspec.arrays import Array
from mlpspec.data.datasets import Uniform
from mlpspec.data.spec import arguments, canonical_form
from mlpspec.errors import InputError, expect_number
from mlpspec.network.neurons import Params, RidgeParams

LLOYD_STEPS = 50
"""Steps of Lloyd's algorithm in `kmeans`; it is at rest before, but for many inputs."""


def _no_inputs() -> Array:
    """Raise `InputError`: a start at the inputs was asked for without them."""
    raise InputError("this start is at the inputs; give them, as Draw(..., inputs=lambda: x)")


class Draw(NamedTuple):
    """What a start is drawn from, and for which network.

    Attributes
    ----------
    rng : numpy.random.Generator
    n_hidden : int
    n_inputs : int
    domain : Uniform
        Of the inputs.
    kind : type of the params
    inputs : function
        Returns the inputs (N, D); it is called by the starts that are at them.

    Examples
    --------
    >>> draw = Draw(np.random.default_rng(0), n_hidden=100)
    >>> draw.density, draw.steepness
    (50.0, 25.0)
    """

    rng: np.random.Generator
    n_hidden: int
    n_inputs: int = 1
    domain: Uniform = Uniform()
    kind: type[Params] = RidgeParams
    inputs: Callable[[], Array] = _no_inputs

    @property
    def density(self) -> float:
        """How many neurons there are in a unit of length, K^(1/D) / width."""
        return float(self.n_hidden ** (1.0 / self.n_inputs) / self.domain.width)

    @property
    def steepness(self) -> float:
        """The slope at which neighbours are about one response width apart, at least 2."""
        return max(2.0, 0.5 * self.density)

    def placed(self, prototypes: Array, steepness: float) -> Params:
        """Return neurons at ``prototypes`` (K, D) with slopes +-U(0.5, 1.5) ``steepness``."""
        rng, k = self.rng, self.n_hidden
        slope = rng.uniform(0.5, 1.5, k) * rng.choice([-1.0, 1.0], k) * steepness
        return self.kind.placed(prototypes, slope, rng.standard_normal(k) / np.sqrt(k))

    def layers(self, wide: Array, single: Array, height: Array, bias: Array) -> Params:
        """Return the network whose first layer has ``wide`` (K, D) and ``single`` (K,)."""
        first = (wide, single) if self.kind.DIRECTED else (single, wide)
        return self.kind(*[*(array[None] for array in (*first, height)), bias])

    def unbiased(self, weight: Array, height: Array) -> Params:
        """Return the network whose first layer has ``weight`` (K, D) and biases of 0.

        With b = 0 the prototype of every ridge neuron is the origin, p = -b w / |w|^2 = 0, whatever
        w is. That is what these starts are, not a fault: all prototypes coincide, so that
        separation has no gradient there, and no weight matches its force to the fit's. Radial
        neurons have the same slopes |w| and are at the origin, too: on a line both kinds are the
        same network.
        """
        if self.kind.DIRECTED:
            return self.layers(weight, np.zeros(self.n_hidden), height, np.zeros(1))
        return self.kind.placed(np.zeros_like(weight), np.linalg.norm(weight, axis=1), height)


def uniform_prototypes(draw: Draw) -> Params:
    """Prototypes uniform on the domain, slopes that give neighbours about one response width.

    Slopes are +-U(0.5, 1.5) max(2, K^(1/D) / (2 width)), v ~ N(0, 1) / sqrt(K), c = 0. Both kinds
    of neuron get the same numbers (`RidgeParams.placed`, `RadialParams.placed`).

    Examples
    --------
    >>> params = uniform_prototypes(Draw(np.random.default_rng(0), n_hidden=4))
    >>> bool((abs(params.prototypes) <= 1.0).all()), params.output_bias
    (True, array([0.]))
    """
    return draw.placed(draw.domain.draw(draw.rng, draw.n_hidden, draw.n_inputs), draw.steepness)


def standard_normal(draw: Draw) -> Params:
    """First-layer parameters ~ N(0, 1), v ~ N(0, 1) / sqrt(K), c = 0.

    The prototypes of ridge neurons, -b w / |w|^2, are then heavy-tailed.

    Examples
    --------
    >>> standard_normal(Draw(np.random.default_rng(0), n_hidden=4, n_inputs=2)).shape
    (1, 4, 2)
    """
    k, d, normal = draw.n_hidden, draw.n_inputs, draw.rng.standard_normal
    return draw.layers(normal((k, d)), normal(k), normal(k) / np.sqrt(k), np.zeros(1))


def framework(draw: Draw) -> Params:
    """All parameters of a layer ~ U(-1 / sqrt(fan-in), 1 / sqrt(fan-in)).

    As PyTorch's linear layers draw weights and biases: the fan-in of the first layer is D, that of
    the second K.

    Examples
    --------
    >>> params = framework(Draw(np.random.default_rng(0), n_hidden=100, n_inputs=4))
    >>> bool((abs(params.hidden_weight) <= 0.5).all() and (abs(params.output_weight) <= 0.1).all())
    True
    """
    k, d, uniform = draw.n_hidden, draw.n_inputs, draw.rng.uniform
    first, second = d**-0.5, k**-0.5
    wide, single = uniform(-first, first, (k, d)), uniform(-first, first, k)
    height = uniform(-second, second, k)
    return draw.layers(wide, single, height, uniform(-second, second, 1))


def spaced(draw: Draw) -> Params:
    """Prototypes in the middle of equal cells of the domain, all else as `uniform_prototypes`.

    Examples
    --------
    >>> params = spaced(Draw(np.random.default_rng(0), n_hidden=4))
    >>> params.prototypes[0, :, 0].round(6).tolist()
    [-0.75, -0.25, 0.25, 0.75]
    """
    return draw.placed(draw.domain.cells(draw.n_hidden, draw.n_inputs)[0], draw.steepness)


def steep(draw: Draw) -> Params:
    """Slopes +-U(0.5, 1.5) K^(1/D) / width, all else as `uniform_prototypes`.

    Examples
    --------
    >>> params = steep(Draw(np.random.default_rng(0), n_hidden=100))
    >>> bool((abs(params.hidden_weight) >= 25.0).all())
    True
    """
    return draw.placed(draw.domain.draw(draw.rng, draw.n_hidden, draw.n_inputs), draw.density)


def inputs(draw: Draw, slope: float = 1.0) -> Params:
    """Prototypes at inputs, slopes ``slope`` times those of `uniform_prototypes`.

    Up to N neurons take inputs without repetition, all N in their order; more neurons take every
    input once, and then again. Prototypes of ridge neurons are p = x but for the share
    epsilon / |w|^2 of it.

    Examples
    --------
    >>> x = np.array([[0.5], [-0.25]])
    >>> draw = Draw(np.random.default_rng(0), n_hidden=3, inputs=lambda: x)
    >>> inputs(draw, slope=4.0).prototypes[0, :, 0].round(6).tolist()
    [0.5, -0.25, 0.5]
    """
    expect_number(f"inputs has slope={slope:g}", slope, above=0.0, most=1e6)
    return _at(draw, draw.inputs(), slope)


def kmeans(draw: Draw) -> Params:
    """Prototypes at the centres of K clusters of the inputs, all else as `inputs`.

    The clusters are k-means', by Lloyd's algorithm from a start by k-means++. If there are no more
    distinct inputs than neurons, as with K = N, each of them is a cluster: in ascending order every
    distinct input gets one neuron, and then again.

    Examples
    --------
    >>> x = np.array([[0.5], [0.75], [-0.5], [-0.25]])
    >>> draw = Draw(np.random.default_rng(0), n_hidden=2, inputs=lambda: x)
    >>> sorted(kmeans(draw).prototypes[0, :, 0].round(6).tolist())
    [-0.375, 0.625]
    """
    from scipy.cluster.vq import kmeans2  # here, so that the command line starts at once

    x = draw.inputs()
    centres = np.unique(x, axis=0)
    if draw.n_hidden < len(centres):
        with warnings.catch_warnings():
            # The centre of a cluster that has lost all inputs stays where it was.
            warnings.filterwarnings("ignore", "One of the clusters is empty")
            centres = kmeans2(x, draw.n_hidden, iter=LLOYD_STEPS, minit="++", rng=draw.rng)[0]
    return _at(draw, centres)


def _at(draw: Draw, points: Array, slope: float = 1.0) -> Params:
    """Return neurons at points (M, D): at some of them, or at all and then again."""
    chosen = np.arange(draw.n_hidden) % len(points)
    if draw.n_hidden < len(points):
        chosen = draw.rng.choice(len(points), draw.n_hidden, replace=False)
    return draw.placed(points[chosen], slope * draw.steepness)


def xavier(draw: Draw) -> Params:
    """Weights of a layer ~ U(-a, a) with a = sqrt(6 / (fan-in + fan-out)), biases 0.

    Glorot and Bengio (2010), equation 16. The fans of the first layer are D and K, those of the
    second K and 1. All prototypes are at the origin; see `Draw.unbiased`.

    Examples
    --------
    >>> params = xavier(Draw(np.random.default_rng(0), n_hidden=5))
    >>> bool((abs(params.hidden_weight) <= 1.0).all() and (abs(params.output_weight) <= 1.0).all())
    True
    >>> float(abs(params.prototypes).max())
    0.0
    """
    k, d, uniform = draw.n_hidden, draw.n_inputs, draw.rng.uniform
    first, second = (6.0 / (d + k)) ** 0.5, (6.0 / (k + 1)) ** 0.5
    return draw.unbiased(uniform(-first, first, (k, d)), uniform(-second, second, k))


def he(draw: Draw) -> Params:
    """Weights of a layer ~ N(0, 2 / fan-in), biases 0.

    He, Zhang, Ren and Sun (2015), equation 10: made for rectifiers, which these neurons are not.
    The fan-in of the first layer is D, that of the second K. All prototypes are at the origin; see
    `Draw.unbiased`.

    Examples
    --------
    >>> params = he(Draw(np.random.default_rng(0), n_hidden=5000, n_inputs=2))
    >>> float(params.hidden_weight.std().round(1)), params.output_bias
    (1.0, array([0.]))
    """
    k, d, normal = draw.n_hidden, draw.n_inputs, draw.rng.standard_normal
    return draw.unbiased(normal((k, d)) * (2.0 / d) ** 0.5, normal(k) * (2.0 / k) ** 0.5)


def orthogonal(draw: Draw) -> Params:
    """Weights of a layer with orthonormal columns, or rows where these are fewer; biases 0.

    Saxe, McClelland and Ganguli (2014): every such matrix is equally likely. On a line the slopes
    are together a unit vector, and so are the heights always. All prototypes are at the origin; see
    `Draw.unbiased`.

    Examples
    --------
    >>> params = orthogonal(Draw(np.random.default_rng(0), n_hidden=5, n_inputs=2))
    >>> w = params.hidden_weight[0]
    >>> abs(w.T @ w).round(6).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    weight = _orthonormal(draw.rng, draw.n_hidden, draw.n_inputs)
    return draw.unbiased(weight, _orthonormal(draw.rng, 1, draw.n_hidden)[0])


def _orthonormal(rng: np.random.Generator, n_rows: int, n_columns: int) -> Array:
    """Return a matrix (rows, columns) with orthonormal columns, or rows where these are fewer."""
    tall = rng.standard_normal((max(n_rows, n_columns), min(n_rows, n_columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))  # else q would depend on how it is computed, and not be uniform
    return q if n_rows >= n_columns else q.T


STARTS = (
    uniform_prototypes,
    standard_normal,
    framework,
    spaced,
    steep,
    inputs,
    kmeans,
    xavier,
    he,
    orthogonal,
)

INITIALIZERS: dict[str, Callable[..., Params]] = {start.__name__: start for start in STARTS}
"""Every start by name, as a function of a `Draw` and of numbers that have a default."""


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
    name, numbers = arguments(form, INITIALIZERS, "initializer")
    if form != name:  # numbers that it cannot have are refused by the start itself
        trial = Draw(np.random.default_rng(0), n_hidden=2, inputs=lambda: np.zeros((2, 1)))
        INITIALIZERS[name](trial, **numbers)
    return form


_canonical = canonical_form(INITIALIZERS, "initializer", "inputs(slope=4)")
