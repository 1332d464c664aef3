"""Perturbed training: at every step the data or the hidden units are a little different.

Dropout and deactivation are of the fit alone, which sees something else in place of the hidden
units (`Seen`). What is drawn comes from streams of the run, so that
neither its neighbours nor the workers change it: one stream for every kind, and from each the same
count of numbers at every step. Runs with the same streams and shapes meet the same perturbations,
whatever their losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from mlpspec.arrays import Array
from mlpspec.errors import expect_number
from mlpspec.losses.base import StructuralLoss
from mlpspec.losses.inhibition import most_monosemantic
from mlpspec.losses.objective import Fit
from mlpspec.network.forward import Forward
from mlpspec.network.neurons import Params

Streams = Callable[[str], np.random.Generator]
"""Returns a run's stream of that name."""


@dataclass(frozen=True)
class Perturbation:
    """What is perturbed at every step, and how much.

    All losses see the perturbed data; dropout and deactivation are of the fit alone. What is
    recorded of a run, and its gradient's norm at the end, is without perturbation.

    Attributes
    ----------
    dropout : float
        Probability with which a hidden unit is left out for a sample; the others count the more,
        by 1 / (1 - dropout) (Srivastava et al. 2014, JMLR 15).
    jitter : float
        Standard deviation of normal noise on the inputs, in their units (augmentation).
    target_noise : float
        Standard deviation of normal noise on the targets, in their units.
    adversarial : float
        Length, in every dimension, of a step of the inputs along the sign of the fit's derivative
        (Goodfellow et al. 2015, arXiv:1412.6572, the fast gradient sign method).
    deactivation : float
        Share of the responses that are deactivated, with their derivative reversed: see
        `deactivated`.

    Raises
    ------
    ValueError
        A number that is negative or not finite, or a share of 1 or more.

    Examples
    --------
    >>> bool(Perturbation()), bool(Perturbation(jitter=0.1))
    (False, True)
    """

    dropout: float = 0.0
    jitter: float = 0.0
    target_noise: float = 0.0
    adversarial: float = 0.0
    deactivation: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            below = 1.0 if name in ("dropout", "deactivation") else math.inf
            expect_number(f"{name} is {value:g}", value, least=0.0, below=below)

    def __bool__(self) -> bool:
        return any(vars(self).values())

    @property
    def drawn(self) -> tuple[str, ...]:
        """What of it is drawn from a stream of its name."""
        return tuple(name for name in ("dropout", "jitter", "target_noise") if getattr(self, name))


PERTURBED = tuple(field.name for field in fields(Perturbation))
"""What may be perturbed."""


@dataclass(frozen=True, eq=False)
class Seen(StructuralLoss):
    """The fit of what it sees in place of the hidden units of one forward pass.

    With s_nk for h_nk: f_n = sum_k v_k s_nk + c, and, with s'_nk for the derivative of s_nk by
    h_nk, dL/dh_nk = dL/df_n v_k s'_nk, where dL/df_n is that of `mlpspec.losses.objective.Fit`.

    Attributes
    ----------
    hidden : (R, N, K)
        s.
    slope : (R, N, K)
        s'.
    """

    hidden: Array
    slope: Array

    def value_and_grad(self, forward: Forward) -> tuple[Array, dict[str, Array]]:
        """Return L (R,) and its partial derivatives for ``"hidden"``, v and c."""
        v, c = forward.params.output_weight, forward.params.output_bias
        gap = np.matmul(self.hidden, v[:, :, None])[:, :, 0] + c[:, None] - forward.y
        of_f = (2.0 / gap.shape[1]) * gap
        return np.square(gap).mean(axis=1), {
            "hidden": of_f[:, :, None] * v[:, None, :] * self.slope,
            "output_weight": np.matmul(of_f[:, None, :], self.hidden)[:, 0],
            "output_bias": of_f.sum(axis=1),
        }


class Perturbed:
    """R runs whose data are perturbed anew at every call.

    Parameters
    ----------
    perturbation : Perturbation
    streams : sequence of R functions
        The streams of each run; may be empty where nothing is drawn.
    x : (R, N, D)
    y : (R, N)

    Examples
    --------
    >>> from mlpspec import RidgeParams
    >>> params = RidgeParams.placed(np.array([[0.5]]), np.ones(1), np.ones(1))
    >>> streams = lambda name: np.random.Generator(np.random.PCG64(1))
    >>> x, y = np.zeros((1, 4, 1)), np.zeros((1, 4))
    >>> net, fit = Perturbed(Perturbation(dropout=0.5), [streams], x, y)(params)
    >>> fit.slope[0, :, 0]
    array([2., 2., 0., 2.])
    """

    def __init__(
        self, perturbation: Perturbation, streams: Sequence[Streams], x: Array, y: Array
    ) -> None:
        self.perturbation, self.x, self.y = perturbation, x, y
        self.streams = {name: [stream(name) for stream in streams] for name in perturbation.drawn}

    def __call__(self, params: Params) -> tuple[Forward, Fit | Seen]:
        """Return the forward pass, and the fit that there is of it."""
        how, x, y = self.perturbation, self.x, self.y
        if how.jitter:
            x = x + how.jitter * self._normal("jitter", x)
        if how.target_noise:
            y = y + how.target_noise * self._normal("target_noise", y)
        if how.adversarial:
            x = x + how.adversarial * np.sign(of_inputs(Forward(params, x, y)))
        net, seen = Forward(params, x, y), None
        if how.deactivation:
            seen = deactivated(net.hidden, how.deactivation)
        if how.dropout:
            shape = net.shape[1:]
            drawn = [stream.random(shape) for stream in self.streams["dropout"]]
            kept = (np.array(drawn) >= how.dropout).astype(y.dtype) / y.dtype.type(1 - how.dropout)
            hidden, slope = (seen.hidden, seen.slope) if seen else (net.hidden, y.dtype.type(1))
            seen = Seen(kept * hidden, kept * slope)
        return net, seen or Fit()

    def _normal(self, name: str, like: Array) -> Array:
        drawn = [stream.standard_normal(like.shape[1:]) for stream in self.streams[name]]
        return np.asarray(drawn, dtype=like.dtype)


def deactivated(h: Array, share: float) -> Seen:
    """Return what the fit sees under reversed deactivation (Wang et al., arXiv:2312.11560).

    In place of the share of responses that are most monosemantic
    (`mlpspec.losses.inhibition.most_monosemantic`) it sees their neuron's mean over the inputs, a
    constant, and the derivative by them has the other sign: s = -h + const(h + mean_n h). So the
    descent goes up where the fit would have such a response larger. Our reconstruction; the module
    of that loss says what of the paper was at hand.

    Parameters
    ----------
    h : (R, N, K)
    share : float
        Above 0 and below 1.

    Examples
    --------
    >>> seen = deactivated(np.array([[[0.0], [0.0], [0.9]]]), 0.02)
    >>> seen.hidden[0, :, 0], seen.slope[0, :, 0]
    (array([0. , 0. , 0.3]), array([ 1.,  1., -1.]))
    """
    selected = most_monosemantic(h, share)
    mean = h.mean(axis=1, keepdims=True)
    return Seen(np.where(selected, mean, h), np.where(selected, h.dtype.type(-1), h.dtype.type(1)))


def of_inputs(net: Forward) -> Array:
    """Return the derivative of the fit with respect to the inputs (R, N, D).

    dL/dx_n = (2 / N) (f_n - y_n) sum_k v_k dh_nk/dx_n.

    Examples
    --------
    One neuron at 0 with slope 1 and height 1; at its prototype the derivative is 0:

    >>> from mlpspec import RidgeParams, forward
    >>> params = RidgeParams.placed(np.array([[0.0]]), np.ones(1), np.ones(1))
    >>> of_inputs(forward(params, np.array([[[0.0], [1.0]]]), np.zeros((1, 2)))).round(4)
    array([[[ 0.    ],
            [-0.2707]]])
    """
    of_f = Fit().value_and_grad(net)[1]["output"]
    of_h = of_f[:, :, None] * net.params.output_weight[:, None, :]
    of_z = -2.0 * net.preactivation * net.hidden * of_h
    return net.params.pull_back_inputs(net.x, net.preactivation, of_z)
