"""Neurons: the parameters of one-hidden-layer networks, and what a hidden neuron computes.

A subclass of `Params` says what a neuron is: its preactivation z_nk, of which it responds with
h_nk = exp(-z_nk^2); its prototype p_k, the point at which it responds fully; how derivatives with
respect to these two are pulled back to its parameters, and those with respect to z to the inputs;
how steep it is, and how to place and move it. The rest of the network
(`mlpspec.network.forward`) is the same for every neuron.

Axes, here and everywhere: ``R`` runs side by side, ``N`` samples, ``D`` inputs, ``K`` hidden
neurons. ``R`` is always there (one run is ``R = 1``) and nothing is ever reduced over it. Slopes
are in inverse units of the inputs, prototypes in theirs, the rest is dimensionless.

The formulas are this project's reconstruction of the model in arXiv:2605.25939.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Self, cast, final

import numpy as np

from mlpspec.arrays import Array, squared_distances
from mlpspec.data.spec import build, canonical_form
from mlpspec.errors import InputError, expect_number

PROTOTYPE_EPS = 1e-8
"""The epsilon of ridge neurons unless another is chosen (`ridge`)."""


class Params(ABC):
    """Parameters of R networks of K neurons; a subclass is one kind of neuron.

    A subclass is a frozen dataclass of arrays whose last two fields are ``output_weight`` (R, K),
    the heights v_k, and ``output_bias`` (R,), the constant c. A gradient with respect to the
    parameters has the same type.

    Raises
    ------
    ValueError
        A field that is not an array, or whose shape does not fit the others.

    Examples
    --------
    >>> flat = np.arange(1.0, 8.0)[None]  # one run of two neurons on a line: P = 7
    >>> params = RidgeParams.unflatten(flat, n_inputs=1)
    >>> params.shape, params.hidden_bias, params.output_bias
    ((1, 2, 1), array([[3., 4.]]), array([7.]))
    >>> bool((params.flatten() == flat).all())
    True
    """

    AXES: ClassVar[Mapping[str, str]]
    """Axes of every field after R, in the fields' order, such as ``"KD"``."""

    WEIGHTS: ClassVar[tuple[str, ...]]
    """Fields whose size says how steep or high a neuron is (not where it is)."""

    EPSILON: ClassVar[float] = 0.0
    """Added to the squared slope where the prototype is divided by it."""

    DIRECTED: ClassVar[bool]
    """Whether a slope has a direction in space, so that z has a sign above one dimension, too."""

    output_weight: Array
    output_bias: Array

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, np.ndarray):
                raise InputError(f"{name} is a {type(value).__name__}; expected an array")
            if self.AXES[name] == "KD" and value.ndim != 3:
                raise InputError(f"{name} has shape {value.shape}; expected (R, K, D)")
        n_runs, n_hidden, n_inputs = self.shape
        shapes = {"KD": (n_runs, n_hidden, n_inputs), "K": (n_runs, n_hidden), "": (n_runs,)}
        for name, axes in self.AXES.items():
            if getattr(self, name).shape != shapes[axes]:
                expect_shape(name, getattr(self, name), shapes[axes])

    @classmethod
    @abstractmethod
    def placed(cls, prototypes: Array, slope: Array, height: Array) -> Self:
        """Return one network (R = 1) of neurons at ``prototypes`` (K, D), with c = 0.

        ``slope`` and ``height`` are (K,).
        """

    @property
    @abstractmethod
    def slopes(self) -> Array:
        """(R, K): how fast z_nk changes with the input, in inverse units of the inputs."""

    @property
    @abstractmethod
    def prototypes(self) -> Array:
        """(R, K, D): p_k, where neuron k responds fully."""

    @abstractmethod
    def preactivation(self, x: Array) -> Array:
        """Return z (R, N, K) at x (R, N, D)."""

    @abstractmethod
    def pull_back_preactivation(self, x: Array, z: Array, of_z: Array) -> dict[str, Array]:
        """Return what dL/dz (R, N, K) at x adds to the gradient, by field."""

    @abstractmethod
    def pull_back_inputs(self, x: Array, z: Array, of_z: Array) -> Array:
        """Return dL/dx (R, N, D) from dL/dz (R, N, K) at x."""

    @abstractmethod
    def pull_back_prototypes(self, of_p: Array) -> dict[str, Array]:
        """Return what dL/dp (R, K, D) adds to the gradient, by field."""

    @abstractmethod
    def moved(self, shift: float) -> Self:
        """Return the networks that compute at x + shift, in every dimension, what these do at x."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(R, K, D)."""
        wide = next(name for name, axes in self.AXES.items() if axes == "KD")
        return cast("tuple[int, int, int]", getattr(self, wide).shape)

    @property
    def signed(self) -> bool:
        """Whether z has a sign; where it has none, it has no derivative at a prototype."""
        return self.DIRECTED or self.shape[2] == 1

    @property
    def size(self) -> int:
        """P = K (D + 2) + 1: how many parameters a run has."""
        _, n_hidden, n_inputs = self.shape
        return n_hidden * (n_inputs + 2) + 1

    def rows(self, rows: Any) -> Self:
        """Return the networks of some of the runs, by their indices or as a mask (R,)."""
        return type(self)(*(value[rows] for value in vars(self).values()))

    def neurons(self, which: Any) -> Self:
        """Return the networks of some neurons, in the order of indices (K',) or (R, K')."""
        rows, arrays = np.arange(len(self.output_bias))[:, None], vars(self).items()
        some = (array[rows, which] if self.AXES[name] else array for name, array in arrays)
        return type(self)(*some)

    def double(self) -> Self:
        """Return the parameters in double precision."""
        return type(self)(*(np.asarray(value, dtype=float) for value in vars(self).values()))

    def flatten(self) -> Array:
        """Return (R, P): the fields of each run one after the other, as declared."""
        n_runs = len(self.output_bias)
        return np.concatenate([v.reshape(n_runs, -1) for v in vars(self).values()], axis=1)

    @classmethod
    def unflatten(cls, flat: Array, n_inputs: int) -> Self:
        """Return the parameters whose `flatten` is ``flat`` (R, P), as views of it."""
        n_runs, size = flat.shape
        n_hidden, rest = divmod(size - 1, n_inputs + 2)
        if rest:
            raise InputError(f"flat has shape {flat.shape}; expected (R, K ({n_inputs} + 2) + 1)")
        views, end = [], 0
        for axes in cls.AXES.values():
            shape = [{"K": n_hidden, "D": n_inputs}[axis] for axis in axes]
            start, end = end, end + math.prod(shape)
            views.append(flat[:, start:end].reshape(n_runs, *shape))
        return cls(*views)


@dataclass(frozen=True, eq=False)
class RidgeParams(Params):
    """Neurons that respond along one direction: z_nk = w_k . x_n + b_k.

    The prototype is the minimum-norm point of full response, p_k = -b_k w_k / (|w_k|^2 + eps). Its
    eps, `PROTOTYPE_EPS`, puts the prototype of a vanished neuron at the origin; `ridge` returns the
    type with another one.

    Parameters
    ----------
    hidden_weight : (R, K, D)
        Slopes w_k.
    hidden_bias : (R, K)
        Offsets b_k.
    output_weight : (R, K)
        Heights v_k.
    output_bias : (R,)
        The constant c.

    Raises
    ------
    ValueError
        A field whose shape does not fit ``hidden_weight``.

    Examples
    --------
    >>> neurons = RidgeParams.placed(np.array([[0.5], [-1.0]]), np.array([4.0, 2.0]), np.ones(2))
    >>> neurons.prototypes.round(6)
    array([[[ 0.5],
            [-1. ]]])
    >>> neurons.preactivation(np.array([[[0.0], [0.5]]]))
    array([[[-2.,  2.],
            [ 0.,  3.]]])
    """

    AXES: ClassVar = {
        "hidden_weight": "KD",
        "hidden_bias": "K",
        "output_weight": "K",
        "output_bias": "",
    }
    WEIGHTS: ClassVar = ("hidden_weight", "output_weight")
    DIRECTED: ClassVar = True
    EPSILON: ClassVar = PROTOTYPE_EPS

    hidden_weight: Array
    hidden_bias: Array
    output_weight: Array
    output_bias: Array

    @classmethod
    def placed(cls, prototypes: Array, slope: Array, height: Array) -> Self:
        """Return one network (R = 1) of neurons at ``prototypes`` (K, D), with c = 0.

        Above one dimension w_k is parallel to p_k, so that p_k is the minimum-norm point, and to
        the first axis where p_k is the origin; ``slope`` and ``height`` are (K,).
        """
        direction = np.zeros_like(prototypes)
        direction[:, 0] = 1.0
        if prototypes.shape[1] > 1:
            norm = np.linalg.norm(prototypes, axis=1, keepdims=True)
            np.divide(prototypes, norm, where=norm > 0.0, out=direction)
        w = slope[:, None] * direction
        b = -(w * prototypes).sum(axis=1)
        return cls(w[None], b[None], height[None], np.zeros(1))

    @property
    def slopes(self) -> Array:
        """(R, K): |w_k|."""
        return cast(Array, np.linalg.norm(self.hidden_weight, axis=2))

    @property
    def prototypes(self) -> Array:
        """(R, K, D): p_k = -b_k w_k / (|w_k|^2 + eps)."""
        w, b = self.hidden_weight, self.hidden_bias
        return np.asarray(-(b / self._squared_size())[:, :, None] * w)

    def _squared_size(self) -> Array:
        """(R, K): |w_k|^2 + eps."""
        return np.asarray(np.square(self.hidden_weight).sum(axis=2) + self.EPSILON)

    def preactivation(self, x: Array) -> Array:
        """Return z_nk = w_k . x_n + b_k (R, N, K)."""
        w, z = self.hidden_weight, np.multiply(x[:, :, None, 0], self.hidden_weight[:, None, :, 0])
        for d in range(1, w.shape[2]):
            z += x[:, :, None, d] * w[:, None, :, d]
        z += self.hidden_bias[:, None, :]
        return np.asarray(z)

    def pull_back_preactivation(self, x: Array, z: Array, of_z: Array) -> dict[str, Array]:
        """Return dL/dw_k = sum_n dL/dz_nk x_n and dL/db_k = sum_n dL/dz_nk."""
        of_w = np.matmul(of_z.swapaxes(1, 2), x)
        return {"hidden_weight": of_w, "hidden_bias": of_z.sum(axis=1)}

    def pull_back_inputs(self, x: Array, z: Array, of_z: Array) -> Array:
        """Return dL/dx_n = sum_k dL/dz_nk w_k."""
        return np.asarray(np.matmul(of_z, self.hidden_weight))

    def pull_back_prototypes(self, of_p: Array) -> dict[str, Array]:
        """Return what q = dL/dp adds: with s = |w|^2 + eps,

        dL/dw = -b q / s + 2 b (q . w) w / s^2 and dL/db = -(q . w) / s.
        """
        w, b, s, q = self.hidden_weight, self.hidden_bias, self._squared_size(), of_p
        along = (q * w).sum(axis=2) / s
        of_w = (b / s)[:, :, None] * (2.0 * along[:, :, None] * w - q)
        return {"hidden_weight": of_w, "hidden_bias": -along}

    def moved(self, shift: float) -> Self:
        """Return the parameters with b_k - shift sum_d w_kd for b_k."""
        b = self.hidden_bias - shift * self.hidden_weight.sum(axis=2)
        return type(self)(self.hidden_weight, b, self.output_weight, self.output_bias)


@final
@dataclass(frozen=True, eq=False)
class RadialParams(Params):
    """Neurons that respond around a center: z_nk^2 = s_k^2 |x_n - c_k|^2.

    The center is the prototype. On a line z is signed, s_k (x_n - c_k): the ridge neuron w = s,
    b = -s c in other parameters. Above one dimension z = |s_k| |x_n - c_k|.

    Parameters
    ----------
    slope : (R, K)
        s_k; its sign means nothing.
    center : (R, K, D)
        c_k, the prototypes.
    output_weight : (R, K)
        Heights v_k.
    output_bias : (R,)
        The constant c.

    Raises
    ------
    ValueError
        A field whose shape does not fit ``center``.

    Examples
    --------
    >>> neurons = RadialParams.placed(np.array([[3.0, 4.0]]), np.array([0.5]), np.ones(1))
    >>> neurons.preactivation(np.zeros((1, 1, 2)))
    array([[[2.5]]])
    """

    AXES: ClassVar = {"slope": "K", "center": "KD", "output_weight": "K", "output_bias": ""}
    WEIGHTS: ClassVar = ("slope", "output_weight")
    DIRECTED: ClassVar = False

    slope: Array
    center: Array
    output_weight: Array
    output_bias: Array

    @classmethod
    def placed(cls, prototypes: Array, slope: Array, height: Array) -> Self:
        """Return one network (R = 1) of neurons at ``prototypes`` (K, D), with c = 0."""
        return cls(slope[None], prototypes[None], height[None], np.zeros(1))

    @property
    def slopes(self) -> Array:
        """(R, K): |s_k|."""
        return np.abs(self.slope)

    @property
    def prototypes(self) -> Array:
        """(R, K, D): the centers, a copy."""
        return self.center.copy()

    def preactivation(self, x: Array) -> Array:
        """Return z (R, N, K): s_k (x_n - c_k) on a line, |s_k| |x_n - c_k| above."""
        if self.shape[2] == 1:
            return np.asarray((x - self.center.swapaxes(1, 2)) * self.slope[:, None, :])
        return np.asarray(np.sqrt(squared_distances(x, self.center)) * self.slopes[:, None, :])

    def pull_back_preactivation(self, x: Array, z: Array, of_z: Array) -> dict[str, Array]:
        """Return dL/ds_k and dL/dc_k.

        On a line they are sum_n dL/dz_nk (x_n - c_k) and -s_k sum_n dL/dz_nk. Above one dimension
        they are sum_n dL/dz_nk z_nk / s_k and -s_k^2 sum_n dL/dz_nk (x_n - c_k) / z_nk; there what
        has z = 0 adds nothing, since z has no derivative at a center.
        """
        s, c = self.slope, self.center
        if self.shape[2] == 1:
            total = of_z.sum(axis=1)
            of_s = np.matmul(of_z.swapaxes(1, 2), x)[:, :, 0] - c[:, :, 0] * total
            return {"slope": of_s, "center": -(s * total)[:, :, None]}
        of_s = np.divide((of_z * z).sum(axis=1), s, where=s != 0.0, out=np.zeros_like(s))
        share = np.divide(of_z, z, where=z != 0.0, out=np.zeros_like(z))
        pull = np.matmul(share.swapaxes(1, 2), x) - share.sum(axis=1)[:, :, None] * c
        return {"slope": of_s, "center": -np.square(s)[:, :, None] * pull}

    def pull_back_inputs(self, x: Array, z: Array, of_z: Array) -> Array:
        """Return dL/dx_n = sum_k s_k dL/dz_nk on a line, else the reverse of what centers get."""
        s, c = self.slope, self.center
        if self.shape[2] == 1:
            return np.asarray(np.matmul(of_z, s[:, :, None]))
        share = np.divide(of_z, z, where=z != 0.0, out=np.zeros_like(z)) * np.square(s)[:, None]
        return np.asarray(share.sum(axis=2)[:, :, None] * x - np.matmul(share, c))

    def pull_back_prototypes(self, of_p: Array) -> dict[str, Array]:
        """Return dL/dp as dL/dc: they are the same."""
        return {"center": of_p}

    def moved(self, shift: float) -> Self:
        """Return the parameters with c_k + shift for c_k."""
        return type(self)(self.slope, self.center + shift, self.output_weight, self.output_bias)


def ridge(epsilon: float = PROTOTYPE_EPS) -> type[RidgeParams]:
    """Return the ridge neurons with ``epsilon`` in p_k = -b_k w_k / (|w_k|^2 + epsilon).

    With epsilon = 0 the prototype of a neuron with w_k = 0 is NaN, and what reads it is not finite.

    Raises
    ------
    ValueError
        ``epsilon`` is below 0.

    Examples
    --------
    >>> neurons = ridge(0.25)(np.ones((1, 1, 1)), np.ones((1, 1)), np.ones((1, 1)), np.zeros(1))
    >>> neurons.prototypes
    array([[[-0.8]]])
    >>> ridge() is RidgeParams
    True
    """
    expect_number(f"ridge has epsilon={epsilon:g}", epsilon, least=0.0, below=math.inf)
    return RidgeParams if epsilon == PROTOTYPE_EPS else _other_ridge(float(epsilon))


@cache
def _other_ridge(epsilon: float) -> type[RidgeParams]:
    class OtherRidgeParams(RidgeParams):
        __qualname__ = f"ridge(epsilon={epsilon!r})"
        EPSILON: ClassVar = epsilon

        def __reduce__(self) -> tuple[Any, ...]:  # pickled as what makes it: no module has the type
            return _ridge_params, (epsilon, *vars(self).values())

    return OtherRidgeParams


def _ridge_params(epsilon: float, *values: Array) -> RidgeParams:
    return ridge(epsilon)(*values)


def radial() -> type[RadialParams]:
    """Return the radial neurons, `RadialParams`; they have no epsilon.

    Examples
    --------
    >>> radial()
    <class 'mlpspec.network.neurons.RadialParams'>
    """
    return RadialParams


KINDS: dict[str, Callable[..., type[Params]]] = {"ridge": ridge, "radial": radial}
"""Every kind of neuron by name, as the function that returns it for given numbers."""

NEURONS: dict[str, type[Params]] = {name: kind() for name, kind in KINDS.items()}
"""Every kind of neuron by name, with its numbers at their defaults."""

canonical_neuron = canonical_form(KINDS, "neuron", "ridge(epsilon=1e-4)")
"""Returns a description of a kind of neuron in the one form that equal ones share."""


@cache
def neuron_of(text: str) -> type[Params]:
    """Return the kind of neuron that a description stands for.

    Raises
    ------
    ValueError
        An unknown name, or numbers that do not fit it.

    Examples
    --------
    >>> neuron_of("ridge(epsilon=1e-4)").EPSILON, neuron_of("ridge").EPSILON
    (0.0001, 1e-08)
    """
    return cast(type[Params], build(text, KINDS, "neuron"))


def expect_shape(name: str, value: Any, shape: tuple[int, ...]) -> None:
    """Raise `InputError` unless ``value`` has that shape.

    Examples
    --------
    >>> expect_shape("x", np.zeros(3), (2,))
    Traceback (most recent call last):
    mlpspec.errors.InputError: x has shape (3,); expected (2,)
    """
    if np.shape(value) != shape:
        raise InputError(f"{name} has shape {np.shape(value)}; expected {shape}")
