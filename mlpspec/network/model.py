"""One-hidden-layer Gaussian MLPs: their parameters, forward pass and chain rule.

Axes, here and everywhere: ``R`` runs side by side, ``N`` samples, ``D`` inputs, ``K`` hidden
units. ``R`` is always there (one run is ``R = 1``) and nothing is ever reduced over it.
Slopes are in inverse units of the inputs, prototypes in theirs, the rest is dimensionless.

For run r (index left out) the network is

    h_nk = exp(-z_nk^2),    f_n = sum_k v_k h_nk + c,

with K neurons of one kind, a ridge or a radial one (`RidgeParams`, `RadialParams`), which says what
z is and where the prototype p_k lies, the point at which neuron k responds fully.

The formulas are this project's reconstruction of the model in arXiv:2605.25939.
"""

from __future__ import annotations

import math
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self, cast, final

import numpy as np
from numpy.typing import NDArray

from mlpspec.arrays import Array
from mlpspec.errors import InputError
from mlpspec.network.blocks import (
    aligned_empty,
    exp_of_negated,
    gaussian,
    gaussian_rows,
    gaussian_sums,
    recomputes,
    row_dots,
    scaled_distances,
    weighted_sums,
    with_ones,
)

Rows = slice | NDArray[np.intp]

_BIAS = {"output_bias": ""}

PROTOTYPE_EPS = 1e-8
"""Added to the squared slope so that a vanished neuron has its prototype at the origin."""


class Params(ABC):
    """Parameters of R networks of K neurons; a subclass is one kind of neuron.

    A subclass is a frozen dataclass of arrays whose last two fields are ``output_weight`` (R, K),
    the heights v_k, and ``output_bias`` (R,), the constant c. A gradient with respect to the
    parameters has the same type.

    Raises
    ------
    ValueError
        A field that is not an array, or whose shape does not fit the others.
    """

    AXES: ClassVar[Mapping[str, str]]
    """Axes of every field after R, in the fields' order, such as ``"KD"``."""

    WEIGHTS: ClassVar[tuple[str, ...]]
    """Fields whose size says how steep or high a neuron is (not where it is)."""

    output_weight: Array
    output_bias: Array

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, np.ndarray):
                raise InputError(f"{name} is a {type(value).__name__}; expected an array")
        placed = next(name for name, axes in self.AXES.items() if axes == "KD")
        if getattr(self, placed).ndim != 3:
            raise InputError(
                f"{placed} has shape {getattr(self, placed).shape}; expected (R, K, D)"
            )
        n_runs, n_hidden, n_inputs = self.shape
        for name, axes in self.AXES.items():
            sizes = {"K": n_hidden, "D": n_inputs}
            _expect(name, getattr(self, name), (n_runs, *(sizes[axis] for axis in axes)))

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """(R, K, D)."""

    @property
    def prototypes(self) -> Array:
        """(R, K, D): p_k, where neuron k responds fully."""
        return self.place()[0]

    @abstractmethod
    def place(self) -> tuple[Array, ...]:
        """Return the prototypes (R, K, D), and what else their derivatives are made of."""

    @property
    @abstractmethod
    def slopes(self) -> Array:
        """(R, K): how fast z_nk changes with the input, in inverse units of the inputs."""

    @abstractmethod
    def preactivation(self, passed: Forward) -> Array:
        """Return z (R, N, K), of which the response is exp(-z^2)."""

    @abstractmethod
    def respond(self, passed: Forward) -> dict[str, Array]:
        """Return the ``"hidden"`` h (R, N, K) and whatever else of `Forward` comes along."""

    # What follows from dL/dh_nk = of_n of_nk of_k is found in two steps, of which the first alone
    # meets arrays of (R, N, K); what depends on n or k alone is applied to small ones.

    @abstractmethod
    def reduce_hidden(
        self,
        passed: Forward,
        of_n: Array,
        of_nk: Array | None,
        out: Array,
        slope: Array | None = None,
    ) -> None:
        """Write sums over n of dh_nk times ``of_n`` (R, N) and ``of_nk`` (R, N, K; None is 1).

        They are M = `moments` for a neuron, ``out`` (M, R, K). If that has one row more and there
        is no ``of_nk``, it ends with sum_n of_n h_nk. Where it `joins`, of_n + slope h may be in
        the place of both, with ``slope`` (R, N).
        """

    @abstractmethod
    def add_hidden(self, grad: Self, moments: Array, of_k: Array | None) -> None:
        """Add to ``grad`` what follows, with the sums over n and ``of_k`` (R, K) or (R, 1).

        ``moments`` (M, R, K) is overwritten.
        """

    def joins(self, passed: Forward) -> bool:
        """Return whether `reduce_hidden` can take a ``slope``: ``of_n`` + ``slope`` h, in one."""
        return False

    @property
    @abstractmethod
    def moments(self) -> int:
        """How many sums over n a neuron's gradient is made of."""

    # What is added to an entry of the gradient is added at once: its bits then do not depend on
    # whether the gradient is a view of the batch's or has a sum of its own.

    @abstractmethod
    def add_preactivation(self, passed: Forward, grad: Self, partial: Array) -> None:
        """Add to ``grad`` what follows from dL/dz (R, N, K)."""

    @abstractmethod
    def add_prototypes(self, passed: Forward, grad: Self, partial: Array) -> None:
        """Add to ``grad`` what follows from dL/dp (R, K, D)."""

    @abstractmethod
    def moved(self, shift: float) -> Self:
        """Return the networks that compute at x + shift, in every dimension, what these do at x."""

    @property
    def size(self) -> int:
        """P = K (D + 2) + 1: how many parameters a run has."""
        _, n_hidden, n_inputs = self.shape
        return n_hidden * (n_inputs + 2) + 1

    def flatten(self) -> Array:
        """(R, P), P = K (D + 2) + 1: the fields of each run one after the other, as declared."""
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

    # Arithmetic on the columns of a (R, P) array takes four times as long and more, since every run
    # is a loop of its own; training lays the same numbers out in the other order.

    def pack(self) -> Array:
        """(R P,): the fields one after the other, each of all runs and contiguous."""
        return np.concatenate([value.ravel() for value in vars(self).values()])

    @classmethod
    def unpack(cls, packed: Array, n_hidden: int, n_inputs: int) -> Self:
        """Return the parameters whose `pack` is ``packed`` (R P,), as views of it."""
        n_runs = len(packed) // (n_hidden * (n_inputs + 2) + 1)
        views, end = [], 0
        for axes in cls.AXES.values():
            shape = (n_runs, *({"K": n_hidden, "D": n_inputs}[axis] for axis in axes))
            start, end = end, end + math.prod(shape)
            views.append(packed[start:end].reshape(shape))
        return cls(*views)

    def take(self, rows: Rows) -> Self:
        """Return the parameters of the runs ``rows``."""
        return type(self)(*(value[rows] for value in vars(self).values()))


@final
@dataclass(frozen=True, eq=False)
class RidgeParams(Params):
    """Neurons that respond along one direction: z_nk = w_k . x_n + b_k.

    The prototype is the minimum-norm point of full response, p_k = -b_k w_k / (|w_k|^2 + eps).

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

    AXES: ClassVar = {"hidden_weight": "KD", "hidden_bias": "K", "output_weight": "K"} | _BIAS
    WEIGHTS: ClassVar = ("hidden_weight", "output_weight")

    hidden_weight: Array
    hidden_bias: Array
    output_weight: Array
    output_bias: Array

    @classmethod
    def placed(cls, prototypes: Array, slope: Array, height: Array) -> Self:
        """Return one network (R = 1) of neurons at ``prototypes`` (K, D), with c = 0.

        Above one dimension w_k is parallel to p_k, where p_k is the minimum-norm point; ``slope``
        and ``height`` are (K,).
        """
        direction = np.ones_like(prototypes)
        if prototypes.shape[1] > 1:
            direction = prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True)
        weight = slope[:, None] * direction
        bias = -(weight * prototypes).sum(axis=1)
        return cls(weight[None], bias[None], height[None], np.zeros(1))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(R, K, D)."""
        return cast("tuple[int, int, int]", self.hidden_weight.shape)

    def moved(self, shift: float) -> Self:
        """Return the parameters with b_k - shift sum_d w_kd for b_k."""
        bias = self.hidden_bias - shift * self.hidden_weight.sum(axis=2)
        return type(self)(self.hidden_weight, bias, self.output_weight, self.output_bias)

    def place(self) -> tuple[Array, Array, Array]:
        """Return p_k = -b_k w_k / (|w_k|^2 + eps) (R, K, D), |w|^2 + eps and b over it (R, K)."""
        w = self.hidden_weight
        size = _dot(w, w)
        size += PROTOTYPE_EPS
        pull = self.hidden_bias / size
        p = w * pull[:, :, None]
        return np.negative(p, out=p), size, pull

    @property
    def slopes(self) -> Array:
        """(R, K): |w_k|."""
        return cast(Array, np.linalg.norm(self.hidden_weight, axis=2))

    def preactivation(self, passed: Forward) -> Array:
        """Return z_nk = w_k . x_n + b_k (R, N, K)."""
        return cast(Array, np.matmul(passed.design, self._lines()[0]))

    def _lines(self) -> tuple[Array]:
        """(R, D + 1, K): slopes, and offsets below them."""
        w, b = self.hidden_weight, self.hidden_bias
        # The bits of a product may depend on strides, and those of other layouts on R.
        lines = np.empty((w.shape[0], w.shape[2] + 1, w.shape[1]), dtype=w.dtype)
        lines[:, :-1] = w.swapaxes(1, 2)
        lines[:, -1] = b
        return (lines,)

    def respond(self, passed: Forward) -> dict[str, Array]:
        """Return h with its sums over neurons, or with z h, of which dh/dz = -2 z h."""
        hidden = passed.buffer("h")
        (lines,) = passed.shared("lines", RidgeParams._lines)
        if recomputes(lines):
            sums = gaussian_rows(passed.design, lines, self.output_weight, hidden)
            names = "weighted_response", "response", "squared_response"
            return {"hidden": hidden, **dict(zip(names, sums, strict=True))}
        driven = passed.buffer("z h")
        gaussian(passed.design, lines, hidden, driven)
        return {"hidden": hidden, "driven": driven}

    # Every path through z ends in the moments sum_n dL/dz_nk [x_n, 1]: one matrix product each.

    @property
    def moments(self) -> int:
        """D + 1."""
        return self.shape[2] + 1

    def joins(self, passed: Forward) -> bool:
        """Return whether z is computed again rather than stored (`recomputes`)."""
        return recomputes(*passed.shared("lines", RidgeParams._lines))

    def reduce_hidden(
        self,
        passed: Forward,
        of_n: Array,
        of_nk: Array | None,
        out: Array,
        slope: Array | None = None,
    ) -> None:
        """Write sum_n of_n of_nk (dh/dz)_nk [x_n, 1] (D + 1, R, K), where dh/dz = -2 z h."""
        columns = passed.keep("-2 columns", lambda: -2.0 * passed.columns)
        (lines,) = passed.shared("lines", RidgeParams._lines)
        if recomputes(lines):
            gaussian_sums(columns, of_n, passed.design, lines, passed.hidden, of_nk, slope, out)
            return
        assert slope is None
        others = passed.hidden if len(out) > self.moments else None
        weighted_sums(columns, of_n, passed.driven, of_nk, others, out, passed.buffer)

    def add_hidden(self, grad: Self, moments: Array, of_k: Array | None) -> None:
        """Add the moments."""
        if of_k is not None:
            moments *= of_k
        self._add_moments(grad, moments)

    @staticmethod
    def _add_moments(grad: Any, moments: Array) -> None:
        w, b = grad.hidden_weight, grad.hidden_bias
        w += moments[:-1].transpose(1, 2, 0)
        b += moments[-1]

    def add_preactivation(self, passed: Forward, grad: Self, partial: Array) -> None:
        """Back-propagate through dz/dw = x, dz/db = 1."""
        self._add_moments(grad, np.matmul(passed.columns, partial).swapaxes(0, 1))

    def add_prototypes(self, passed: Forward, grad: Self, partial: Array) -> None:
        """Add, with s = |w|^2 + eps and q = dL/dp, -(q . w) / s and -b q / s + 2 b (q . w) w / s^2.

        The one goes to dL/db, the other to dL/dw.
        """
        # With -b w / s = p the second is -b q / s - 2 (q . w) p / s.
        p, size, pull = passed.placed
        along = _dot(partial, self.hidden_weight)
        along /= size
        w, b = grad.hidden_weight, grad.hidden_bias
        b -= along
        along *= 2.0
        along = along[:, :, None] * p
        along += partial * pull[:, :, None]
        w -= along


@final
@dataclass(frozen=True, eq=False)
class RadialParams(Params):
    """Neurons that respond around a center: z_nk^2 = s_k^2 |x_n - c_k|^2.

    The center is the prototype. On a line it is the ridge neuron w = s, b = -s c in other
    parameters; z is then signed, s_k (x_n - c_k), and |s_k| |x_n - c_k| above one dimension.

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
    """

    AXES: ClassVar = {"slope": "K", "center": "KD", "output_weight": "K"} | _BIAS
    WEIGHTS: ClassVar = ("slope", "output_weight")

    slope: Array
    center: Array
    output_weight: Array
    output_bias: Array

    @classmethod
    def placed(cls, prototypes: Array, slope: Array, height: Array) -> Self:
        """Return one network (R = 1) of neurons at ``prototypes`` (K, D), with c = 0."""
        return cls(slope[None], prototypes[None], height[None], np.zeros(1))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(R, K, D)."""
        return cast("tuple[int, int, int]", self.center.shape)

    def moved(self, shift: float) -> Self:
        """Return the parameters with c_k + shift for c_k."""
        return type(self)(self.slope, self.center + shift, self.output_weight, self.output_bias)

    def place(self) -> tuple[Array]:
        """Return the centers (R, K, D), a copy."""
        return (self.center.copy(),)

    @property
    def slopes(self) -> Array:
        """(R, K): |s_k|."""
        return np.abs(self.slope)

    def preactivation(self, passed: Forward) -> Array:
        """Return z (R, N, K): s_k (x_n - c_k) on a line, |s_k| |x_n - c_k| above."""
        if self.shape[2] == 1:
            return (passed.x - self.center.swapaxes(1, 2)) * self.slope[:, None, :]
        distance = np.sqrt(scaled_distances(passed.design, self.center))
        return np.asarray(distance * self.slopes[:, None, :])

    def respond(self, passed: Forward) -> dict[str, Array]:
        """Return h and, to drive its derivatives, |x - c|^2 h (R, N, K)."""
        squared = scaled_distances(passed.design, self.center, out=passed.buffer("d h"))
        h = np.multiply(squared, np.square(self.slope)[:, None, :], out=passed.buffer("h"))
        exp_of_negated(h)
        squared *= h
        return {"hidden": h, "driven": squared}

    @property
    def moments(self) -> int:
        """D + 2."""
        return self.shape[2] + 2

    def reduce_hidden(
        self,
        passed: Forward,
        of_n: Array,
        of_nk: Array | None,
        out: Array,
        slope: Array | None = None,
    ) -> None:
        """Write sum_n of_n of_nk h_nk [x_n, 1, |x_n - c_k|^2] (D + 2, R, K)."""
        assert slope is None
        h, columns, size = passed.hidden, passed.columns, self.moments
        weighted_sums(columns, of_n, h, of_nk, passed.driven, out[:size], passed.buffer)
        if len(out) > size:
            weighted_sums(columns[:, -1:], of_n, h, None, None, out[size:], passed.buffer)

    def add_hidden(self, grad: Self, moments: Array, of_k: Array | None) -> None:
        """Back-propagate through dh/ds = -2 s |x - c|^2 h and dh/dc = 2 s^2 (x - c) h."""
        scale = self.slope if of_k is None else self.slope * of_k
        pull = moments[:-2].transpose(1, 2, 0) - moments[-2][:, :, None] * self.center
        center, slope = grad.center, grad.slope
        center += (2.0 * self.slope * scale)[:, :, None] * pull
        slope -= 2.0 * scale * moments[-1]

    def add_preactivation(self, passed: Forward, grad: Self, partial: Array) -> None:
        """Back-propagate through z = s (x - c), on a line.

        Raises
        ------
        ValueError
            Above one dimension, where z has no derivative at the center.
        """
        if self.shape[2] > 1:
            raise InputError(
                "the preactivation of radial neurons has no derivative at their centers above one "
                "dimension; read 'hidden' or 'prototypes' instead"
            )
        moments = np.matmul(passed.columns, partial)
        slope, center = grad.slope, grad.center
        slope += moments[:, 0] - moments[:, 1] * self.center[:, :, 0]
        center -= (self.slope * moments[:, 1])[:, :, None]

    def add_prototypes(self, passed: Forward, grad: Self, partial: Array) -> None:
        """Add dL/dp to dL/dc: they are the same."""
        center = grad.center
        center += partial


NEURONS: dict[str, type[RidgeParams] | type[RadialParams]] = {
    "ridge": RidgeParams,
    "radial": RadialParams,
}
"""Every kind of neuron by name, as the type of its parameters."""


class _Lazy:
    """A read-only array of a forward pass, computed when first read or taken from the whole's rows.

    It lies where Python looks first, and costs no call when it is read again.
    """

    def __init__(self, compute: Callable[[Any], Any]) -> None:
        self.compute = compute
        self.name = compute.__name__
        self.__doc__ = compute.__doc__

    def __get__(self, passed: Forward | None, owner: type | None = None) -> Any:
        if passed is None:
            return self
        whole = passed._whole
        found = self.compute(passed) if whole is None else getattr(whole, self.name)[passed._rows]
        found.flags.writeable = False
        passed._note(self.name, found)
        return found


class Forward:
    """The forward pass of R networks on their data: read-only arrays, computed when first read.

    With ``reuse`` one object serves many steps of training: parameters change in place, `renew`
    follows, and what is computed then takes the memory of what was computed before.

    Attributes
    ----------
    params : RidgeParams or RadialParams
    x : (R, N, D)
    y : (R, N)
    shape : (R, N, K)
    design : (R, N, D + 1)
        ``x`` with a column of ones.
    columns : (R, D + 1, N)
        The same, transposed.
    preactivation : (R, N, K)
        z.
    hidden : (R, N, K)
        h = exp(-z^2), never below exp(-340) (`exp_of_negated`).
    response, squared_response : (R, N)
        sum_k h_nk and sum_k h_nk^2.
    output : (R, N)
        f.
    prototypes : (R, K, D)
        p.
    """

    def __init__(self, params: Params, x: Array, y: Array, *, reuse: bool = False) -> None:
        self._computed: list[str] = []
        self.__dict__["params"] = params
        self.shape = *y.shape, params.shape[1]
        self.x = x
        self.y = y
        self._reuse = reuse
        self._tuples: dict[str, tuple[Array, ...]] = {}
        self._kept: dict[Any, Any] = {}
        self._parts: list[weakref.ref[Forward]] = []
        self._whole: Forward | None = None
        self._rows: Rows = slice(None)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(vars(type(self)).get(name), _Lazy | cached_property):
            raise AttributeError(f"{name} is computed; it cannot be set")
        super().__setattr__(name, value)

    def _note(self, name: str, value: Any) -> None:
        """Keep what was computed until `renew`."""
        self.__dict__[name] = value
        self._computed.append(name)

    @cached_property
    def params(self) -> Params:
        """The parameters; if they are copies of some rows, those as they are now."""
        assert self._whole is not None
        return self._whole.params.take(self._rows)

    def take(self, rows: Rows) -> Forward:
        """Return the forward pass of the runs ``rows``, sharing what is or will be computed."""
        params, x, y = self.params.take(rows), self.x[rows], self.y[rows]
        part = Forward(params, x, y, reuse=self._reuse)
        part._whole, part._rows = self, rows
        # The part holds the whole; held by it in turn, both would outlive their last use.
        self._parts.append(weakref.ref(part))
        return part

    def shared(self, name: str, make: Callable[[Any], tuple[Array, ...]]) -> tuple[Array, ...]:
        """Return the arrays that ``make`` made of the parameters: once, of all runs together."""
        found = self._tuples.get(name)
        if found is None:
            whole, rows = self._whole, self._rows
            if whole is None:
                found = make(self.params)
            else:
                found = tuple(array[rows] for array in whole.shared(name, make))
            self._tuples[name] = found
        return found

    def renew(self) -> None:
        """Forget what was computed: the parameters have been changed in place.

        Arrays that were read from here before hold other numbers from now on.
        """
        self._renew(copied=False)

    def _renew(self, copied: bool) -> None:
        if copied:  # of what has changed
            self.__dict__.pop("params", None)
        for name in self._computed:
            self.__dict__.pop(name, None)
        self._computed.clear()
        self._tuples.clear()
        for reference in self._parts:
            part = reference()
            if part is not None:
                part._renew(copied or not isinstance(part._rows, slice))

    def keep(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return what ``make`` returned when ``key`` was first asked for.

        For what depends on the data or on shapes alone, and for arrays to work in.
        """
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = make()
        return found

    def buffer(self, name: str, shape: tuple[int, ...] | None = None) -> Array:
        """Return an array of unspecified content to work in, (R, N, K) if no shape is given.

        With ``reuse`` its memory is the same whenever the name is, also for parts of the runs.
        """
        if shape is None:
            shape = self.shape
        if not self._reuse:
            return aligned_empty(shape, self.y.dtype)
        found: Array | None = self._kept.get((name, shape))
        if found is None:
            whole = self
            while whole._whole is not None:
                whole = whole._whole
            size = math.prod(shape)
            memory = whole._kept.get(name)
            if memory is None or memory.size < size:
                memory = whole._kept[name] = aligned_empty((size,), self.y.dtype)
            found = self._kept[name, shape] = memory[:size].reshape(shape)
        return found

    @cached_property
    def design(self) -> Array:
        """(R, N, D + 1): the inputs and a column of ones."""
        return _read_only(with_ones(self.x))

    @cached_property
    def columns(self) -> Array:
        """(R, D + 1, N): `design`, transposed."""
        return _read_only(np.ascontiguousarray(self.design.swapaxes(1, 2)))

    @_Lazy
    def preactivation(self) -> Array:
        """(R, N, K): z."""
        return self.params.preactivation(self)

    @_Lazy
    def hidden(self) -> Array:
        """(R, N, K): h_nk = exp(-z_nk^2)."""
        found = self.params.respond(self)
        for name, value in found.items():
            if name != "hidden":
                self._note(name, _read_only(value))
        return _read_only(found["hidden"])

    def _beside_hidden(self, name: str) -> Array | None:
        """Return what came along with the responses, if it did."""
        _ = self.hidden
        return self.__dict__.get(name)

    @_Lazy
    def driven(self) -> Array:
        """(R, N, K): what the derivatives of h are made of besides h; z h, if none came along."""
        found = self._beside_hidden("driven")
        return self.preactivation * self.hidden if found is None else found

    @_Lazy
    def response(self) -> Array:
        """(R, N): sum_k h_nk."""
        found = self._beside_hidden("response")
        return row_dots(self.hidden, self.keep("ones", self._ones)) if found is None else found

    def _ones(self) -> Array:
        return np.ones((self.shape[0], self.shape[2]), dtype=self.y.dtype)

    @_Lazy
    def squared_response(self) -> Array:
        """(R, N): sum_k h_nk^2."""
        found = self._beside_hidden("squared_response")
        return row_dots(self.hidden, self.hidden) if found is None else found

    @_Lazy
    def output(self) -> Array:
        """(R, N): f_n = sum_k v_k h_nk + c."""
        params, found = self.params, self._beside_hidden("weighted_response")
        if found is None:
            found = row_dots(self.hidden, params.output_weight)
        return np.asarray(found + params.output_bias[:, None])

    @property
    def placed(self) -> tuple[Array, ...]:
        """What `Params.place` returns."""
        return self.shared("placed", lambda params: params.place())

    @_Lazy
    def prototypes(self) -> Array:
        """(R, K, D): p_k."""
        return self.placed[0][...]


def _read_only(array: Array) -> Array:
    view = array[...]
    view.flags.writeable = False
    return view


def _dot(a: Array, b: Array) -> Array:
    """(R, K): sum_d a_kd b_kd."""
    total = a[:, :, 0] * b[:, :, 0]
    for d in range(1, a.shape[2]):
        total += a[:, :, d] * b[:, :, d]
    return np.asarray(total)


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
    """
    dtype = params.output_weight.dtype
    for name, value in vars(params).items():
        if value.dtype != dtype or dtype not in (np.float64, np.float32):
            raise InputError(f"{name} is {value.dtype}; expected all float64 or all float32")
    x, y = (_numbers(name, value, dtype) for name, value in (("x", x), ("y", y)))
    if 0 in params.shape or 0 in x.shape:
        raise InputError(
            f"x has shape {x.shape} and the parameters (R, K, D) = {params.shape}; expected at "
            "least one run, sample, input and hidden unit"
        )
    if x.ndim != 3:
        raise InputError(f"x has shape {x.shape}; expected (R, N, D)")
    n_runs, _, n_inputs = params.shape
    _expect("x", x, (n_runs, x.shape[1], n_inputs))
    _expect("y", y, x.shape[:2])
    for name, value in {**vars(params), "x": x, "y": y}.items():
        if not np.isfinite(value).all():
            raise InputError(f"{name} has NaN or infinite entries; expected finite numbers")
    return Forward(params, x, y)


SUMS = ("output", "response", "squared_response", "responses")
"""Sums over neurons (R, N), of which the derivatives are sums over samples.

The last is the two before it, (R, 2, N), for neurons of which one pass gives both (`Params.joins`).
"""


def backward(forward: Forward, partials: Mapping[str, Array]) -> Params:
    """Return the gradient of a scalar per run: the chain rule of the model.

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
        dL/dparams: the textbook's back-propagation, with what depends on the kind of neuron in the
        methods of its parameters.

    Raises
    ------
    ValueError
        A quantity that has no derivative here, or a partial of the wrong shape.
    """
    params = forward.params
    grad = params.unpack(np.zeros_like(params.pack()), *params.shape[1:])
    for name, partial in partials.items():
        check_partial(forward, name, partial)
        add_partial(forward, grad, name, plain(partial, forward.y.dtype))
    return grad


def plain(array: Any, dtype: np.dtype[Any]) -> Array:
    """Return ``array``, or a copy of it if it is of another precision or not aligned."""
    found = np.asarray(array, dtype=dtype)
    return found if found.flags.aligned else found.copy()


def check_partial(forward: Forward, name: str, partial: Array) -> None:
    """Raise `InputError` unless ``name`` has a derivative here and ``partial`` its shape."""
    if name in _SHAPES:
        shape = _SHAPES[name](forward)
    elif name in forward.params.AXES:
        shape = getattr(forward.params, name).shape
    else:
        known = ", ".join([*_SHAPES, *forward.params.AXES])
        raise InputError(f"no derivative is known for {name!r}; known: {known}")
    _expect(f"the partial of {name}", partial, shape)


def add_partial(
    forward: Forward, grad: Params, name: str, partial: Array, weight: Array | None = None
) -> None:
    """Add to ``grad`` what follows from a partial derivative that `check_partial` has passed.

    Those of shape (R, N, K) may have a ``weight`` (R, 1), which is applied to what they are reduced
    to.
    """
    params: Any = forward.params
    if name in SUMS:
        _add_sum(forward, grad, name, partial)
    elif name == "hidden":
        n_runs, _, n_hidden = forward.shape
        moments = np.empty((params.moments, n_runs, n_hidden), dtype=forward.y.dtype)
        params.reduce_hidden(forward, forward.columns[:, -1], partial, moments)
        params.add_hidden(grad, moments, weight)
    elif name == "preactivation":
        if weight is not None:
            partial = partial * weight[:, None]
        params.add_preactivation(forward, grad, partial)
    elif name == "prototypes":
        params.add_prototypes(forward, grad, partial)
    else:
        own = getattr(grad, name)
        own += partial


def _add_sum(forward: Forward, grad: Params, name: str, partial: Array) -> None:
    """Add to ``grad`` what follows from the ``partial`` of one of `SUMS`."""
    params = forward.params
    n_runs, _, n_hidden = forward.shape
    size = params.moments + (name == "output")
    moments = np.empty((size, n_runs, n_hidden), dtype=forward.y.dtype)
    if name == "output":  # of which dL/dh_nk = dL/df_n v_k
        params.reduce_hidden(forward, partial, None, moments)
        params.add_hidden(grad, moments[:-1], params.output_weight)
        heights, constant = grad.output_weight, grad.output_bias
        heights += moments[-1]
        constant += np.vecdot(partial, forward.columns[:, -1])
        return
    if name == "response":
        params.reduce_hidden(forward, partial, None, moments)
    elif name == "squared_response":
        params.reduce_hidden(forward, partial + partial, forward.hidden, moments)
    else:
        params.reduce_hidden(forward, partial[:, 0], None, moments, 2.0 * partial[:, 1])
    params.add_hidden(grad, moments, None)


_SHAPES: dict[str, Callable[[Forward], tuple[int, ...]]] = {
    "output": lambda forward: forward.y.shape,
    "response": lambda forward: forward.y.shape,
    "squared_response": lambda forward: forward.y.shape,
    "hidden": lambda forward: forward.shape,
    "preactivation": lambda forward: forward.shape,
    "prototypes": lambda forward: forward.prototypes.shape,
}
"""What a loss may differentiate with respect to, besides the parameters, and its shape."""


def _numbers(name: str, value: Any, dtype: np.dtype[Any]) -> Array:
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputError(f"{name} is ragged; expected an array of numbers") from None
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name} is {array.dtype}; expected an array of real numbers")
    return np.require(array, dtype, ["C", "A"])


def _expect(name: str, value: Any, shape: tuple[int, ...]) -> None:
    if np.shape(value) != shape:
        raise InputError(f"{name} has shape {np.shape(value)}; expected {shape}")
