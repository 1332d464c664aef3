"""The measurements of finished runs: did the neurons specialise, can the data be read back?

A measurement is declared once, in `MEASUREMENTS`: its name, which is its column in every table;
its label and unit in figures; where a figure's logarithmic axis ends, if it has one; and the
function that computes it. Those `OF_PLACES` need inputs and prototypes alone, so that nulls have
them too; those `OF_NETWORKS` need the whole forward pass, and those `OF_RESPONSES` the responses of
the hidden neurons alone. To add one, write its function, and a line in the one of these three that
it belongs to.

Lengths are in units of the inputs, everything else is dimensionless. The definitions are this
project's reconstruction of those behind arXiv:2605.25939, and extensions of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpspec.arrays import Array
from mlpspec.data.datasets import mean_spacing
from mlpspec.losses import StructuralLoss
from mlpspec.losses.inhibition import SILENT
from mlpspec.losses.scores import scores
from mlpspec.metrics import prototypes
from mlpspec.metrics.hull import expelled, hull_escape
from mlpspec.metrics.monosemanticity import bound, false_killing_rate, threshold
from mlpspec.metrics.statistics import beyond_rounding, defined
from mlpspec.network.forward import Forward, forward
from mlpspec.network.neurons import Params

MERGED_SHARE = 1 / 20
"""Of the mean spacing: prototypes that are closer count as one."""

VANISHED = 1e-3
"""Slope below which a neuron answers all inputs alike."""


class Places:
    """Inputs and prototypes of R runs, with what several measurements read from them.

    Parameters
    ----------
    x : (R, N, D)
        Inputs.
    p : (R, K, D)
        Prototypes.
    width : float
        Of the inputs' domain.

    Examples
    --------
    >>> x = np.array([[[0.0], [1.0]]])
    >>> Places(x, x + 0.25, width=1.0).reconstruction
    (array([0.25]), array([1.]))
    """

    def __init__(self, x: Array, p: Array, width: float) -> None:
        self.x, self.p, self.width = x, p, width

    @cached_property
    def reconstruction(self) -> tuple[Array, Array]:
        """Reconstruction error and hit rate (R,)."""
        return prototypes.reconstruction(self.x, self.p)

    @cached_property
    def nearest(self) -> tuple[Array, NDArray[np.intp]]:
        """Distance (R, N) of each input to its nearest prototype, and which one (R, N)."""
        return prototypes.nearest(self.x, self.p)

    @cached_property
    def hull_escape(self) -> tuple[Array, Array]:
        """Outside fraction and overshoot (R,)."""
        return hull_escape(self.x, self.p)


class Responses:
    """Responses of hidden neurons of R runs, with what several measurements read from them.

    Those of a neuron that does not respond, because it is silent (`SILENT`), because they are equal
    up to rounding or because one is not finite, are left out: they have no score.

    Parameters
    ----------
    hidden : (R, N, K)

    Examples
    --------
    >>> hidden = np.array([[0.0, 0.0], [0.0, 1e-3], [1.0, 0.0]])
    >>> Responses(hidden[None]).largest
    array([[ 1., nan]])
    """

    def __init__(self, hidden: Array) -> None:
        speaking = (hidden.max(axis=1) >= SILENT) & np.isfinite(hidden).all(axis=1)
        self.hidden = np.where(speaking[:, None], hidden, 0.0)

    @cached_property
    def largest(self) -> Array:
        """(R, K): largest score of each neuron, as a share of the bound; NaN where it has none.

        It is 1 for a neuron that answers one input in its own way and all others alike, and
        (N - m)/(m (N - 1)), about 1/m, for one that answers m inputs, up to half of them, alike and
        the others alike. NaN with fewer than three inputs, of which two are always answered so.
        """
        n_inputs = self.hidden.shape[1]
        if n_inputs < 3:
            return np.full(self.hidden.shape[::2], np.nan)
        return np.asarray(scores(self.hidden).max(axis=1) / bound(n_inputs))

    def quantile(self, share: float) -> Array:
        """Return a quantile (R,) of the largest scores of those neurons that have one.

        It interpolates linearly; NaN where no neuron has one.
        """
        ordered, runs = np.sort(self.largest, axis=1), np.arange(len(self.largest))  # NaN is last
        last = np.isfinite(ordered).sum(axis=1) - 1
        place = share * last
        low = np.floor(place).astype(int)
        least, next_one = ordered[runs, low], ordered[runs, np.minimum(low + 1, last)]
        return np.asarray(least + (place - low) * (next_one - least))

    @property
    def monosemantic(self) -> Array:
        """(R,): share of all neurons with a score above the threshold; NaN below three inputs."""
        n_inputs = self.hidden.shape[1]
        if n_inputs < 3:
            return np.full(len(self.hidden), np.nan)
        return np.asarray((self.largest > threshold(n_inputs) / bound(n_inputs)).mean(axis=1))


@dataclass(frozen=True)
class Measurement:
    r"""A number a run, as it is computed and as figures show it.

    Attributes
    ----------
    name : str
        Its column in tables.
    function : callable
        From `Places`, a forward pass or `Responses` to (R,).
    label : str
        What an axis calls it; by default its name in words.
    unit : str
        Empty for what is dimensionless.
    floor : float, optional
        The least value that an axis shows; with one, the axis is logarithmic and anything
        smaller, or zero, is drawn at its end.

    Examples
    --------
    >>> MEASUREMENTS["overshoot"].axis
    'overshoot\n(units of x)'
    """

    name: str
    function: Callable[[Any], Array]
    label: str = ""
    unit: str = ""
    floor: float | None = None

    @property
    def axis(self) -> str:
        """Label and unit, as they stand beside an axis."""
        label = self.label or self.name.replace("_", " ")
        return f"{label}\n({self.unit})" if self.unit else label


def distinct_usage(at: Places) -> Array:
    """Return the usage ratio (R,) after prototypes closer than 1/20 of the spacing are merged."""
    merged = MERGED_SHARE * mean_spacing(at.width, *at.x.shape[1:])
    return prototypes.distinct_usage_ratio(at.x, at.p, merged, at.nearest[1])


def fit_mse(net: Forward) -> Array:
    """Return the mean squared error (R,) of the fit."""
    return np.asarray(np.square(net.output - net.y).mean(axis=1))


def fit_fvu(net: Forward) -> Array:
    """Return the share (R,) of the targets' variance that the fit leaves unexplained.

    NaN where all targets of a run are equal up to rounding: their range is at most 16 eps of the
    largest absolute value among them and the inputs, which they are functions of (sin(pi) is
    1e-16).

    Examples
    --------
    >>> from mlpspec import RidgeParams, forward
    >>> params = RidgeParams(np.ones((2, 1, 1)), np.zeros((2, 1)), np.ones((2, 1)), np.zeros(2))
    >>> x = np.array([[[0.0], [1.0]], [[1.0], [1.0]]])
    >>> fit_fvu(forward(params, x, np.array([[0.0, 2.0], [0.1, 0.1]]))).round(3)
    array([1.832,   nan])
    """
    magnitude = np.maximum(np.abs(net.y).max(axis=1), np.abs(net.x).max(axis=(1, 2)))
    apart = beyond_rounding(np.ptp(net.y, axis=1), magnitude)
    return np.asarray(fit_mse(net) / np.where(np.isnan(apart), np.nan, net.y.var(axis=1)))


def silent(net: Forward) -> NDArray[np.bool_]:
    """Return which neurons (R, K) answer no input with `SILENT` or more.

    Examples
    --------
    >>> from mlpspec import RidgeParams, forward
    >>> weight, bias = np.ones((1, 2, 1)), np.array([[0.0, 9.0]])
    >>> params = RidgeParams(weight, bias, np.ones((1, 2)), np.zeros(1))
    >>> silent(forward(params, np.array([[[0.0], [1.0]]]), np.zeros((1, 2))))
    array([[False,  True]])
    """
    return np.asarray(net.hidden.max(axis=1) < SILENT)


LENGTH: dict[str, Any] = {"unit": "units of x", "floor": 1e-3}

OF_PLACES = (
    Measurement("reconstruction_error", lambda at: at.reconstruction[0], **LENGTH),
    Measurement("nearest_error", lambda at: at.nearest[0].mean(axis=1), **LENGTH),
    Measurement("hit_rate", lambda at: at.reconstruction[1]),
    Measurement("usage_ratio", lambda at: prototypes.usage_ratio(at.x, at.p, at.nearest[1])),
    Measurement("distinct_usage_ratio", distinct_usage),
    Measurement("outside_fraction", lambda at: at.hull_escape[0]),
    Measurement("overshoot", lambda at: at.hull_escape[1], **LENGTH),
    Measurement("spread_ratio", lambda at: prototypes.spread_ratio(at.x, at.p)),
)
"""Measurements of `Places`, in the order of their columns."""

OF_NETWORKS = (
    Measurement(
        "activation_usage_ratio", lambda net: prototypes.activation_usage_ratio(net.preactivation)
    ),
    Measurement("expelled_fraction", lambda net: expelled(net).mean(axis=1)),
    Measurement("silent_fraction", lambda net: silent(net).mean(axis=1)),
    Measurement("vanished_fraction", lambda net: (net.params.slopes < VANISHED).mean(axis=1)),
    Measurement("min_slope", lambda net: net.params.slopes.min(axis=1), "least slope"),
    Measurement("fit_mse", fit_mse, "mean squared error\nof the fit"),
    Measurement("fit_fvu", fit_fvu, "unexplained variance\nof the fit", floor=1e-12),
)
"""Measurements of a forward pass, in the order of their columns."""

OF_RESPONSES = (
    Measurement(
        "monosemanticity_median",
        lambda at: at.quantile(0.5),
        "monosemanticity, median\nof neurons",
    ),
    Measurement(
        "monosemanticity_q90",
        lambda at: at.quantile(0.9),
        "monosemanticity, 90 %\nquantile of neurons",
    ),
    Measurement(
        "monosemantic_fraction", lambda at: at.monosemantic, "monosemantic\nneurons (share)"
    ),
    Measurement("false_killing_rate", lambda at: false_killing_rate(at.hidden)),
)
"""Measurements of `Responses`, in the order of their columns."""

MEASUREMENTS = {
    measurement.name: measurement for measurement in (*OF_PLACES, *OF_NETWORKS, *OF_RESPONSES)
}
"""Every measurement by name."""


@np.errstate(all="ignore")  # a diverged run may be anywhere among the finite numbers
def measure(
    params: Params,
    x: Array,
    y: Array,
    *,
    width: float,
    losses: Mapping[str, StructuralLoss],
) -> dict[str, Array]:
    """Return every measurement of R finished runs.

    Parameters
    ----------
    params : RidgeParams or RadialParams
    x : (R, N, D)
    y : (R, N)
    width : float
        Of the inputs' domain, for the mean spacing.
    losses : mapping of str to StructuralLoss
        The losses to evaluate, whether or not they were active; see `mlpspec.losses.built_in`.

    Returns
    -------
    dict of str to (R,)
        The columns of ``runs.csv`` that follow from weights and data: `MEASUREMENTS`, and
        ``NAME_loss`` for each of the losses. What is undefined or not finite is NaN.

    Raises
    ------
    ValueError
        Shapes that do not fit each other, or numbers that are not finite.

    Examples
    --------
    Two neurons, of which only one has its prototype on an input, so that both inputs share it:

    >>> from mlpspec import RidgeParams
    >>> weight, bias = np.ones((1, 2, 1)), np.array([[0.0, 3.0]])
    >>> params = RidgeParams(weight, bias, np.ones((1, 2)), np.zeros(1))
    >>> x = np.array([[[0.0], [1.0]]])
    >>> measured = measure(params, x, np.zeros((1, 2)), width=1.0, losses={})
    >>> measured["usage_ratio"], measured["outside_fraction"], measured["expelled_fraction"]
    (array([0.5]), array([0.5]), array([0.5]))
    """
    net = forward(params.double(), x, y)
    found = {
        **measure_places(net.x, net.prototypes, width=width),
        **{measurement.name: measurement.function(net) for measurement in OF_NETWORKS},
        **measure_responses(net.hidden),
        **{f"{name}_loss": loss.value_and_grad(net)[0] for name, loss in losses.items()},
    }
    return {name: defined(values) for name, values in found.items()}


@np.errstate(all="ignore")
def measure_places(x: Array, p: Array, *, width: float) -> dict[str, Array]:
    """Return the measurements (R,) that need inputs and prototypes alone.

    NaN for runs of which a prototype is not finite.

    Parameters
    ----------
    x : (R, N, D)
        Inputs.
    p : (R, K, D)
        Prototypes.
    width : float
        Of the inputs' domain, for the mean spacing.

    Examples
    --------
    >>> x = np.array([[[0.0], [1.0]]])
    >>> measure_places(x, x + 0.25, width=1.0)["outside_fraction"]
    array([0.5])
    """
    known = np.asarray(np.isfinite(p).all(axis=(1, 2)))
    places = Places(x, np.where(known[:, None, None], p, 0.0), width)
    found = {measurement.name: measurement.function(places) for measurement in OF_PLACES}
    return {name: defined(np.where(known, values, np.nan)) for name, values in found.items()}


@np.errstate(all="ignore")
def measure_responses(hidden: Array) -> dict[str, Array]:
    """Return the measurements (R,) that need the responses of the hidden neurons alone.

    Parameters
    ----------
    hidden : (R, N, K)

    Examples
    --------
    >>> measure_responses(np.eye(4)[None])["monosemantic_fraction"]
    array([1.])
    """
    responses = Responses(hidden)
    found = {measurement.name: measurement.function(responses) for measurement in OF_RESPONSES}
    return {name: defined(values) for name, values in found.items()}
