"""Inhibition of monosemantic responses: none should stand out from those of its neuron.

This is our reconstruction. Wang et al., "Learning from Emergence" (arXiv:2312.11560), score how
monosemantic a neuron is, and inhibit those that score most by *reversed deactivation*
(`mlpspec.training.perturbation`), since merely switching them off is said not to do. "Learning
Towards Emergence", L2E (arXiv:2503.23298), has a regulariser in its place and a threshold that
moves. So much say their abstracts, which are all of their text that was at hand, and no code is
published. The formulas here could not be compared with the papers' own.

Left open by that, and decided here: scores are of the whole batch, not of a memory of earlier ones;
the threshold is that of a share of the responses, and those that score the same are selected
together; the selection is a constant, and the mean is not; epsilon and the floor (`Inhibition`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from mlpspec.arrays import Array
from mlpspec.errors import InputError, expect_number
from mlpspec.losses.base import StructuralLoss
from mlpspec.losses.scores import scores
from mlpspec.network.forward import Forward

SILENT = 0.01
"""Largest response to any input below which a neuron is silent."""


def most_monosemantic(h: Array, share: float, floor: float = SILENT) -> NDArray[np.bool_]:
    """Return which responses (R, N, K) are among the share of those of their run that score most.

    The nearest whole number of the N K responses of a run are selected, at least one, and with the
    last of them all that score the same up to rounding (100 eps). So the order of inputs and of
    neurons says nothing; with N = 2, where all scores are 1/2, all responses are selected. What has
    no score is never selected: responses that are all alike, and those of silent neurons. A score
    does not know how large a response is, and the far tail of a neuron that has left the data would
    be among the highest.

    Parameters
    ----------
    h : (R, N, K)
        Responses; of a single input none has a score.
    share : float
        Above 0 and at most 1.
    floor : float
        A neuron whose largest response is below it is silent; with 0 none is.

    Examples
    --------
    >>> h = np.array([[[0.0, 0.0, 0.5], [0.0, 0.5, 0.5], [0.3, 1.0, 0.5]]])
    >>> most_monosemantic(h, 0.1)[0]
    array([[False, False, False],
           [False, False, False],
           [ True, False, False]])
    """
    with np.errstate(invalid="ignore"):  # a single input has no variance, 0/0
        score = scores(h)
    score[np.isnan(score) | (h.max(axis=1, keepdims=True) < floor)] = -1.0
    score = score.reshape(len(h), -1)
    count = max(1, round(share * score.shape[1]))
    least = np.partition(score, -count, axis=1)[:, -count, None]
    same = 1.0 - 100.0 * float(np.finfo(score.dtype).eps)
    return ((score >= same * least) & (score >= 0.0)).reshape(h.shape)


@final
@dataclass(frozen=True)
class Inhibition(StructuralLoss):
    """Mean logarithm of how far the most monosemantic responses are from their neuron's mean.

        L = mean_{nk in A} log( (h_nk - m_k)^2 + epsilon ),    m_k = mean_n h_nk

    A is the ``share`` of the responses that score most by phi_nk = (h_nk - m_k)^2 / S_k^2
    (`most_monosemantic`), a of them. It is held constant, so L jumps where it changes. With
    g_nk = (2/a) (h_nk - m_k) / ((h_nk - m_k)^2 + epsilon) in A, and 0 elsewhere,
    dL/dh_nk = g_nk - mean_n g_nk. Without any response that has a score, L = 0.

    Parameters
    ----------
    share : float
        Of the responses that are inhibited, above 0 and at most 1.
    epsilon : float
        Above 0. A response is at most 1, and one that is closer to its mean than sqrt(epsilon)
        feels the less the closer it is. By default that is 0.01, the response below which the
        measurements call a neuron silent; the force is then at most 100/a.
    floor : float
        At least 0. Responses of a neuron without one of this size, by default a silent one, are not
        selected. With 0 they are, and have no force: at N = 10, of whose responses the default
        share are two, L then ends its work once two neurons are silent.
    promote : bool
        The opposite, the negative of L: the most monosemantic responses should stand out more.

    Examples
    --------
    Of one neuron's responses 1, 1/e and exp(-4), the first is farthest from their mean.

    >>> from mlpspec import RidgeParams, forward
    >>> params = RidgeParams.placed(np.array([[0.0]]), np.ones(1), np.ones(1))
    >>> net = forward(params, np.array([[[0.0], [1.0], [2.0]]]), np.zeros((1, 3)))
    >>> Inhibition().value_and_grad(net)[0].round(4)
    array([-1.2397])
    """

    share: float = 0.02
    epsilon: float = 1e-4
    floor: float = SILENT
    promote: bool = False

    def __post_init__(self) -> None:
        expect_number(f"share is {self.share}", self.share, above=0.0, most=1.0)
        expect_number(f"epsilon is {self.epsilon}", self.epsilon, above=0.0)
        expect_number(f"floor is {self.floor}", self.floor, least=0.0)
        if not isinstance(self.promote, bool):
            raise InputError(f"promote is {self.promote!r}; it must be True or False")

    def value_and_grad(self, forward: Forward) -> tuple[Array, dict[str, Array]]:
        """Return L (R,) and its partial derivative for ``"hidden"``."""
        h = forward.hidden
        selected = most_monosemantic(h, self.share, self.floor)
        count = np.maximum(np.count_nonzero(selected, axis=(1, 2)), 1).astype(h.dtype)
        scale = (-1.0 if self.promote else 1.0) / count
        rest = h - h.mean(axis=1, keepdims=True)
        size = np.square(rest) + self.epsilon
        logs = np.log(size, out=np.zeros_like(size), where=selected)
        g = (2.0 * scale)[:, None, None] * np.where(selected, rest / size, 0.0)
        value = scale * logs.reshape(len(h), -1).sum(axis=1)
        return value, {"hidden": g - g.mean(axis=1, keepdims=True)}
