"""The network: its forward pass, and back-propagation.

For run r (index left out) the network is

    h_nk = exp(-z_nk^2),    f_n = sum_k v_k h_nk + c,

where the neurons (`mlpspec.network.neurons`) say what z is: z_nk = w_k . x_n + b_k of ridges. The
gradient of the fit, L = mean_n (f_n - y_n)^2, comes about by the chain rule:

    dL/df_n  = (2 / N) (f_n - y_n)
    dL/dv_k  = sum_n dL/df_n h_nk,    dL/dc = sum_n dL/df_n
    dL/dh_nk = dL/df_n v_k
    dL/dz_nk = -2 z_nk h_nk dL/dh_nk
    dL/dw_k  = sum_n dL/dz_nk x_n,    dL/db_k = sum_n dL/dz_nk.

The first line is the loss's own (`mlpspec.losses.objective.Fit`), the last one the neurons', and
those between are `Forward.pull_back`. Another loss begins with its derivatives by what it reads of
a forward pass, such as h, or the prototypes p, whose derivative the neurons pull back as that of z;
those of several losses are added. Everything is batched over runs, and a run has the same bits
alone and in any batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mlpspec.arrays import Array, exp_of_negated, real_numbers
from mlpspec.errors import InputError
from mlpspec.network.neurons import Params, expect_shape

QUANTITIES = ("output", "response", "squared_response", "hidden", "preactivation", "prototypes")
"""What a loss may read of a forward pass and must then return a partial derivative for, as for the
fields of the params; the data need none."""


@dataclass(frozen=True, eq=False)
class Forward:
    """The forward pass of R networks on their data.

    z, h, f and p are computed when they are first read, and are read-only; the sums over neurons
    are computed whenever they are read.

    Attributes
    ----------
    params : RidgeParams or RadialParams
    x : (R, N, D)
    y : (R, N)

    Examples
    --------
    >>> from mlpspec import RidgeParams
    >>> params = RidgeParams.placed(np.array([[0.0], [0.0]]), np.ones(2), np.ones(2))
    >>> net = forward(params, np.zeros((1, 3, 1)), np.zeros((1, 3)))
    >>> net.shape, net.response
    ((1, 3, 2), array([[2., 2., 2.]]))
    """

    params: Params
    x: Array
    y: Array

    @cached_property
    def preactivation(self) -> Array:
        """(R, N, K): z_nk."""
        return read_only(self.params.preactivation(self.x))

    @cached_property
    def hidden(self) -> Array:
        """(R, N, K): h_nk = exp(-z_nk^2), never below exp(-340), in single precision exp(-43)."""
        return read_only(exp_of_negated(np.square(self.preactivation)))

    @cached_property
    def output(self) -> Array:
        """(R, N): f_n = sum_k v_k h_nk + c."""
        v, c = self.params.output_weight, self.params.output_bias
        return read_only(np.matmul(self.hidden, v[:, :, None])[:, :, 0] + c[:, None])

    @cached_property
    def prototypes(self) -> Array:
        """(R, K, D): p_k."""
        return read_only(self.params.prototypes)

    @property
    def response(self) -> Array:
        """(R, N): sum_k h_nk."""
        return np.asarray(self.hidden.sum(axis=2))

    @property
    def squared_response(self) -> Array:
        """(R, N): sum_k h_nk^2."""
        return np.asarray(np.square(self.hidden).sum(axis=2))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(R, N, K)."""
        n_runs, n_samples = self.y.shape
        return n_runs, n_samples, self.params.shape[1]

    def pull_back(self, partials: Mapping[str, Array]) -> Params:
        """Return the gradient from partial derivatives by quantity, by the chain rule.

        They may be for any of `QUANTITIES`, and for fields of the params, which they are added to.
        Their names and shapes are not checked; `backward` does that.
        """
        params, v = self.params, self.params.output_weight
        grad = {name: np.zeros_like(value) for name, value in vars(params).items()}
        of_h, of_z, pulled = [], [], []
        for name, partial in partials.items():
            if name == "output":
                of_f = partial
                of_h.append(of_f[:, :, None] * v[:, None, :])
                grad["output_weight"] += np.matmul(of_f[:, None, :], self.hidden)[:, 0]
                grad["output_bias"] += of_f.sum(axis=1)
            elif name == "response":
                of_h.append(partial[:, :, None])
            elif name == "squared_response":
                of_h.append(2.0 * partial[:, :, None] * self.hidden)
            elif name == "hidden":
                of_h.append(partial)
            elif name == "preactivation":
                of_z.append(partial)
            elif name in grad:
                grad[name] += partial
        if of_h:
            through_h = self.preactivation * self.hidden  # -2 z h dL/dh
            through_h *= sum(of_h[1:], of_h[0])
            through_h *= -2.0
            of_z.append(through_h)
        if of_z:
            z = self.preactivation
            pulled.append(params.pull_back_preactivation(self.x, z, sum(of_z[1:], of_z[0])))
        if "prototypes" in partials:
            pulled.append(params.pull_back_prototypes(partials["prototypes"]))
        for fields in pulled:
            for name, value in fields.items():
                grad[name] += value
        return type(params)(**grad)


def read_only(array: Array) -> Array:
    """Protect an array from being written to, and return it.

    Examples
    --------
    >>> read_only(np.zeros(1)).flags.writeable
    False
    """
    array.flags.writeable = False
    return array


def forward(params: Params, x: Array, y: Array) -> Forward:
    """Return the forward pass of R networks, with its input checked.

    Parameters
    ----------
    params : RidgeParams or RadialParams
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

    Examples
    --------
    One neuron at 0.5 with slope 2 and height 3; at its prototype it responds with 1:

    >>> from mlpspec import RidgeParams
    >>> params = RidgeParams.placed(np.array([[0.5]]), np.array([2.0]), np.array([3.0]))
    >>> forward(params, np.array([[[0.5], [1.0]]]), np.zeros((1, 2))).output.round(4)
    array([[3.    , 1.1036]])
    """
    return Forward(params, *checked(params, x, y))


def checked(params: Params, x: Array, y: Array) -> tuple[Array, Array]:
    """Return inputs and targets in the precision of the parameters, or raise as `forward` does.

    Examples
    --------
    >>> from mlpspec import RidgeParams
    >>> params = RidgeParams.placed(np.array([[0.5]]), np.array([2.0]), np.array([3.0]))
    >>> x, y = checked(params, np.array([[[1]]]), np.array([[0]]))
    >>> x.dtype, x.shape, y.shape
    (dtype('float64'), (1, 1, 1), (1, 1))
    """
    dtype = params.output_weight.dtype
    for name, value in vars(params).items():
        if value.dtype != dtype or dtype not in (np.float64, np.float32):
            raise InputError(f"{name} is {value.dtype}; expected all float64 or all float32")
    x, y = (
        np.require(real_numbers(name, value), dtype, ["C", "A"])
        for name, value in (("x", x), ("y", y))
    )
    if 0 in params.shape or 0 in x.shape:
        raise InputError(
            f"x has shape {x.shape} and the parameters (R, K, D) = {params.shape}; expected at "
            "least one run, sample, input and hidden unit"
        )
    if x.ndim != 3:
        raise InputError(f"x has shape {x.shape}; expected (R, N, D)")
    n_runs, _, n_inputs = params.shape
    expect_shape("x", x, (n_runs, x.shape[1], n_inputs))
    expect_shape("y", y, x.shape[:2])
    for name, value in {**vars(params), "x": x, "y": y}.items():
        if not np.isfinite(value).all():
            raise InputError(f"{name} has NaN or infinite entries; expected finite numbers")
    return x, y


def backward(forward: Forward, partials: Mapping[str, Array]) -> Params:
    """Return the gradient of a scalar per run: back-propagation.

    Parameters
    ----------
    forward : Forward
        Where the scalar was taken.
    partials : mapping of str to array
        The scalar's partial derivatives with respect to what it was computed from, each of that
        quantity's shape: ``"output"``, ``"response"`` and ``"squared_response"`` (R, N),
        ``"hidden"`` and ``"preactivation"`` (R, N, K), ``"prototypes"`` (R, K, D), or a field of
        the params.

    Returns
    -------
    RidgeParams or RadialParams
        dL/dparams.

    Raises
    ------
    ValueError
        A quantity that has no derivative here, or a partial of the wrong shape.

    Examples
    --------
    The derivative of f_1 with respect to the height of its only neuron is its response:

    >>> from mlpspec import RidgeParams
    >>> params = RidgeParams.placed(np.array([[0.5]]), np.array([2.0]), np.array([3.0]))
    >>> net = forward(params, np.array([[[1.0]]]), np.zeros((1, 1)))
    >>> bool(backward(net, {"output": np.ones((1, 1))}).output_weight == net.hidden[0])
    True
    """
    for name, partial in partials.items():
        check_partial(forward, name, partial)
    return forward.pull_back(partials)


def check_partial(forward: Forward, name: str, partial: Array) -> None:
    """Raise `InputError` unless ``name`` has a derivative here and ``partial`` its shape.

    Examples
    --------
    >>> from mlpspec import RidgeParams
    >>> params = RidgeParams.placed(np.array([[0.5]]), np.array([2.0]), np.array([3.0]))
    >>> net = forward(params, np.array([[[0.5]]]), np.zeros((1, 1)))
    >>> check_partial(net, "output", np.zeros(1))
    Traceback (most recent call last):
    mlpspec.errors.InputError: the partial of output has shape (1,); expected (1, 1)
    """
    if name in ("output", "response", "squared_response"):
        shape: tuple[int, ...] = forward.y.shape
    elif name in ("hidden", "preactivation"):
        shape = forward.shape
    elif name == "prototypes":
        shape = forward.prototypes.shape
    elif name in forward.params.AXES:
        shape = getattr(forward.params, name).shape
    else:
        known = ", ".join([*QUANTITIES, *forward.params.AXES])
        raise InputError(f"no derivative is known for {name!r}; known: {known}")
    expect_shape(f"the partial of {name}", partial, shape)
    if name == "preactivation" and not forward.params.signed:
        raise InputError(
            "the preactivation of radial neurons has no derivative at their centers above one "
            "dimension; read 'hidden' or 'prototypes' instead"
        )
