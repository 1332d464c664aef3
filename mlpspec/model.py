"""One-hidden-layer Gaussian MLPs: their parameters, forward pass and chain rule.

Axes, here and everywhere: ``R`` runs side by side, ``N`` samples, ``D`` inputs, ``K`` hidden
units. ``R`` is always there (one run is ``R = 1``) and nothing is ever reduced over it.
Slopes are in inverse units of the inputs, prototypes in theirs, the rest is dimensionless.

For run r (index left out) the network is

    z_nk = w_k . x_n + b_k,    h_nk = exp(-z_nk^2),    f_n = sum_k v_k h_nk + c,

and the prototype of neuron k is its minimum-norm point of full response,

    p_k = -b_k w_k / (|w_k|^2 + eps),    eps = 1e-8.

The formulas are this project's reconstruction of the model in arXiv:2605.25939.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from mlpspec.errors import InputError

Array = NDArray[Any]
Rows = slice | NDArray[np.intp]

PROTOTYPE_EPS = 1e-8
"""Added to the squared slope so that a vanished neuron has its prototype at the origin."""


@dataclass(frozen=True, eq=False)
class RidgeParams:
    """Parameters of R networks whose hidden units respond along one direction (ridges).

    A gradient with respect to the parameters has the same type.

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
    """

    hidden_weight: Array
    hidden_bias: Array
    output_weight: Array
    output_bias: Array

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, np.ndarray):
                raise InputError(f"{name} is a {type(value).__name__}; expected an array")
        if self.hidden_weight.ndim != 3:
            raise InputError(
                f"hidden_weight has shape {self.hidden_weight.shape}; expected (R, K, D)"
            )
        n_runs, n_hidden, _ = self.hidden_weight.shape
        _expect("hidden_bias", self.hidden_bias, (n_runs, n_hidden))
        _expect("output_weight", self.output_weight, (n_runs, n_hidden))
        _expect("output_bias", self.output_bias, (n_runs,))

    @property
    def size(self) -> int:
        """P = K (D + 2) + 1: how many parameters a run has."""
        _, n_hidden, n_inputs = self.hidden_weight.shape
        return int(n_hidden * (n_inputs + 2) + 1)

    @property
    def prototypes(self) -> Array:
        """(R, K, D): p_k = -b_k w_k / (|w_k|^2 + eps)."""
        w = self.hidden_weight
        scale = self.hidden_bias / (np.square(w).sum(axis=2) + PROTOTYPE_EPS)
        return cast(Array, -scale[:, :, None] * w)

    def flatten(self) -> Array:
        """(R, P), P = K (D + 2) + 1: the fields of each run one after the other, as declared."""
        slopes = self.hidden_weight.reshape(len(self.output_bias), -1)
        rest = (self.hidden_bias, self.output_weight, self.output_bias[:, None])
        return np.concatenate([slopes, *rest], axis=1)

    @classmethod
    def unflatten(cls, flat: Array, n_inputs: int) -> Self:
        """Return the parameters whose `flatten` is ``flat`` (R, P), as views of it."""
        n_runs, size = flat.shape
        n_hidden, rest = divmod(size - 1, n_inputs + 2)
        if rest:
            raise InputError(f"flat has shape {flat.shape}; expected (R, K ({n_inputs} + 2) + 1)")
        a, b = n_hidden * n_inputs, n_hidden * (n_inputs + 1)
        slopes = flat[:, :a].reshape(n_runs, n_hidden, n_inputs)
        return cls(slopes, flat[:, a:b], flat[:, b:-1], flat[:, -1])

    def take(self, rows: Rows) -> Self:
        """Return the parameters of the runs ``rows``."""
        return type(self)(
            self.hidden_weight[rows],
            self.hidden_bias[rows],
            self.output_weight[rows],
            self.output_bias[rows],
        )


def _lazy(compute: Callable[[Forward], Array]) -> Any:
    """Make ``compute`` a read-only property, computed once, or taken from the whole's rows."""
    name = compute.__name__

    def get(self: Forward) -> Array:
        value = self._computed.get(name)
        if value is None:
            whole = self._whole
            value = compute(self) if whole is None else getattr(whole, name)[self._rows]
            value.flags.writeable = False
            self._computed[name] = value
        return value

    return property(get, doc=compute.__doc__)


class Forward:
    """The forward pass of R networks on their data: read-only arrays, computed when first read.

    Attributes
    ----------
    params : RidgeParams
    x : (R, N, D)
    y : (R, N)
    design : (R, N, D + 1)
        ``x`` with a column of ones.
    preactivation : (R, N, K)
        z.
    hidden : (R, N, K)
        h = exp(-z^2); never below exp(-700) (exp(-87) in single precision), under which the
        exponential is slower by an order of magnitude and adds nothing.
    output : (R, N)
        f.
    prototypes : (R, K, D)
        p.
    """

    def __init__(self, params: RidgeParams, x: Array, y: Array) -> None:
        self.params = params
        self.x = x
        self.y = y
        self._computed: dict[str, Array] = {}
        self._whole: Forward | None = None
        self._rows: Rows = slice(None)

    def at(self, params: RidgeParams) -> Forward:
        """Return the forward pass of other parameters on the same data."""
        other = Forward(params, self.x, self.y)
        other._computed["design"] = self.design
        return other

    def take(self, rows: Rows) -> Forward:
        """Return the forward pass of the runs ``rows``, sharing what is or will be computed."""
        part = Forward(self.params.take(rows), self.x[rows], self.y[rows])
        part._whole, part._rows = self, rows
        return part

    @_lazy
    def design(self) -> Array:
        """(R, N, D + 1): the inputs and a column of ones."""
        return np.concatenate([self.x, np.ones_like(self.x[:, :, :1])], axis=2)

    @_lazy
    def preactivation(self) -> Array:
        """(R, N, K): z_nk = w_k . x_n + b_k."""
        params = self.params
        slopes = np.concatenate([params.hidden_weight, params.hidden_bias[:, :, None]], axis=2)
        return cast(Array, np.matmul(self.design, slopes.swapaxes(1, 2)))

    @_lazy
    def hidden(self) -> Array:
        """(R, N, K): h_nk = exp(-z_nk^2)."""
        return exp_of_negated(np.square(self.preactivation))

    @_lazy
    def output(self) -> Array:
        """(R, N): f_n = sum_k v_k h_nk + c."""
        params = self.params
        heights = np.matmul(self.hidden, params.output_weight[:, :, None])[:, :, 0]
        return cast(Array, heights + params.output_bias[:, None])

    @_lazy
    def prototypes(self) -> Array:
        """(R, K, D): p_k."""
        return self.params.prototypes

    @_lazy
    def _z_times_h(self) -> Array:
        """(R, N, K): z h, of which dh/dz = -2 z h."""
        return cast(Array, self.preactivation * self.hidden)


def exp_of_negated(exponent: Array) -> Array:
    """Overwrite ``exponent`` (any shape, >= 0) with exp(-exponent) and return it.

    The exponent is cut at 700 (87 in single precision): below that ``numpy.exp`` leaves its
    fast path for denormal numbers, which costs 8 to 45 times as much.
    """
    np.negative(exponent, out=exponent)
    np.maximum(exponent, -87.0 if exponent.dtype == np.float32 else -700.0, out=exponent)
    np.exp(exponent, out=exponent)
    return exponent


def forward(params: RidgeParams, x: Array, y: Array) -> Forward:
    """Return the forward pass of R networks, with its input checked.

    Parameters
    ----------
    params : RidgeParams
    x : (R, N, D)
        Inputs; they and the targets are cast to the precision of the parameters.
    y : (R, N)
        Targets.

    Raises
    ------
    ValueError
        Shapes that do not fit each other, numbers that are not finite, or parameters that are
        not all float64 or all float32; the message names the argument, its shape and the
        expected one.
    """
    dtype = params.hidden_weight.dtype
    for name, value in vars(params).items():
        if value.dtype != dtype or dtype not in (np.float64, np.float32):
            raise InputError(f"{name} is {value.dtype}; expected all float64 or all float32")
    x, y = (_numbers(name, value, dtype) for name, value in (("x", x), ("y", y)))
    if min(params.hidden_weight.shape) < 1 or 0 in x.shape:
        raise InputError(
            f"x has shape {x.shape} and hidden_weight {params.hidden_weight.shape}; expected at "
            "least one run, sample, input and hidden unit"
        )
    if x.ndim != 3:
        raise InputError(f"x has shape {x.shape}; expected (R, N, D)")
    n_runs, _, n_inputs = params.hidden_weight.shape
    _expect("x", x, (n_runs, x.shape[1], n_inputs))
    _expect("y", y, x.shape[:2])
    for name, value in {**vars(params), "x": x, "y": y}.items():
        if not np.isfinite(value).all():
            raise InputError(f"{name} has NaN or infinite entries; expected finite numbers")
    return Forward(params, x, y)


def backward(forward: Forward, partials: Mapping[str, Array]) -> RidgeParams:
    """Return the gradient of a scalar per run: the chain rule of the model.

    Parameters
    ----------
    forward : Forward
        Where the scalar was taken.
    partials : mapping of str to array
        The scalar's partial derivatives with respect to what it was computed from, each of that
        quantity's shape: ``"output"`` (R, N), ``"hidden"`` and ``"preactivation"`` (R, N, K),
        ``"prototypes"`` (R, K, D), or a field of the params.

    Returns
    -------
    RidgeParams
        dL/dparams, as views of one flat array (R, P). With s = |w|^2 + eps and q = dL/dp the
        prototypes contribute -(q . w) / s to dL/db and -b q / s + 2 b (q . w) w / s^2 to dL/dw;
        the rest is the textbook's back-propagation with dh/dz = -2 z h.

    Raises
    ------
    ValueError
        A quantity that has no derivative here, or a partial of the wrong shape.
    """
    flat = backward_flat(forward, partials)
    return RidgeParams.unflatten(flat, forward.x.shape[2])


def backward_flat(forward: Forward, partials: Mapping[str, Array]) -> Array:
    """Return `backward` as one flat array (R, P), ordered as `RidgeParams.flatten` does."""
    params = forward.params
    w, b = params.hidden_weight, params.hidden_bias
    flat = np.zeros((len(w), params.size), dtype=w.dtype)
    grad = RidgeParams.unflatten(flat, w.shape[2])

    # Every path through z ends in the moments sum_n dL/dz_nk [x_n, 1]: one matrix product each,
    # with what depends on n or k alone applied to the small factors.
    def add_moments(weighted_design: Array, factor: Array, scale: Array | float) -> None:
        moments = np.matmul(weighted_design.swapaxes(1, 2), factor)
        moments *= scale
        grad.hidden_weight[...] += moments[:, :-1].swapaxes(1, 2)
        grad.hidden_bias[...] += moments[:, -1]

    for name, partial in partials.items():
        if name == "output":
            _expect("the partial of output", partial, forward.y.shape)
            heights = params.output_weight[:, None, :]
            add_moments(forward.design * partial[:, :, None], forward._z_times_h, -2.0 * heights)
            grad.output_weight[...] += np.matmul(partial[:, None, :], forward.hidden)[:, 0]
            grad.output_bias[...] += partial.sum(axis=1)
        elif name == "hidden":
            _expect("the partial of hidden", partial, forward.hidden.shape)
            add_moments(forward.design, partial * forward._z_times_h, -2.0)
        elif name == "preactivation":
            _expect("the partial of preactivation", partial, forward.preactivation.shape)
            add_moments(forward.design, partial, 1.0)
        elif name == "prototypes":
            _expect("the partial of prototypes", partial, w.shape)
            size = np.square(w).sum(axis=2) + PROTOTYPE_EPS
            along = (partial * w).sum(axis=2) / size
            pull = (b / size)[:, :, None]
            grad.hidden_bias[...] -= along
            grad.hidden_weight[...] += pull * (2.0 * along[:, :, None] * w - partial)
        elif name in vars(params):
            own = getattr(grad, name)
            _expect(f"the partial of {name}", partial, own.shape)
            own[...] += partial
        else:
            known = ["output", "hidden", "preactivation", "prototypes", *vars(params)]
            raise InputError(f"no derivative is known for {name!r}; known: {', '.join(known)}")
    return flat


def _numbers(name: str, value: Any, dtype: np.dtype[Any]) -> Array:
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputError(f"{name} is ragged; expected an array of numbers") from None
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name} is {array.dtype}; expected an array of real numbers")
    return array.astype(dtype, copy=False)


def _expect(name: str, value: Any, shape: tuple[int, ...]) -> None:
    if np.shape(value) != shape:
        raise InputError(f"{name} has shape {np.shape(value)}; expected {shape}")
