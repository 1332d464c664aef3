"""Penalties on the size of the weights: the usual biases, to compare structural ones with.

The weights of a neuron are the fields that its kind names in ``WEIGHTS``, the slope and the height;
biases, and where a neuron is, are left alone. For ridges, small slopes are wide responses and
prototypes -b w / |w|^2 that run away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from mlpspec.arrays import Array
from mlpspec.losses.base import StructuralLoss
from mlpspec.network.forward import Forward


@final
@dataclass(frozen=True)
class WeightDecay(StructuralLoss):
    """Mean squared size of the neurons' weights.

        L = mean_k ( |w_k|^2 + v_k^2 )

    dL/dw_k = (2/K) w_k, dL/dv_k = (2/K) v_k.

    Examples
    --------
    Two neurons of slope 1 and height 1.

    >>> from mlpspec import RidgeParams, forward
    >>> params = RidgeParams.placed(np.array([[0.0], [1.0]]), np.ones(2), np.ones(2))
    >>> net = forward(params, np.array([[[0.0], [1.0]]]), np.zeros((1, 2)))
    >>> WeightDecay().value_and_grad(net)[0].round(4)
    array([2.])
    """

    def value_and_grad(self, forward: Forward) -> tuple[Array, dict[str, Array]]:
        """Return L (R,) and its partial derivatives for the weights of the params."""
        scale = 1.0 / forward.prototypes.shape[1]
        value, partials = L2().value_and_grad(forward)
        return 2.0 * scale * value, {name: (2.0 * scale) * w for name, w in partials.items()}


@final
@dataclass(frozen=True)
class L1(StructuralLoss):
    """Sum of the absolute weights (Goodfellow et al. 2016, Deep Learning, section 7.1.2).

        L = sum_k ( |w_k|_1 + |v_k| )

    Its derivative by a weight is the weight's sign, and 0 at 0.

    Examples
    --------
    >>> from mlpspec import RidgeParams, forward
    >>> params = RidgeParams.placed(np.array([[0.0], [1.0]]), np.array([-3.0, 3.0]), np.ones(2))
    >>> net = forward(params, np.array([[[0.0], [1.0]]]), np.zeros((1, 2)))
    >>> L1().value_and_grad(net)[0]
    array([8.])
    """

    def value_and_grad(self, forward: Forward) -> tuple[Array, dict[str, Array]]:
        """Return L (R,) and its partial derivatives for the weights of the params."""
        weights = _weights(forward)
        return _total([np.abs(w) for w in weights.values()]), {
            name: np.sign(w) for name, w in weights.items()
        }


@final
@dataclass(frozen=True)
class L2(StructuralLoss):
    """Half the sum of the squared weights (Goodfellow et al. 2016, section 7.1.1).

        L = (1/2) sum_k ( |w_k|^2 + v_k^2 )

    Its derivative by a weight is the weight.

    Examples
    --------
    >>> from mlpspec import RidgeParams, forward
    >>> params = RidgeParams.placed(np.array([[0.0], [1.0]]), np.array([-3.0, 3.0]), np.ones(2))
    >>> net = forward(params, np.array([[[0.0], [1.0]]]), np.zeros((1, 2)))
    >>> L2().value_and_grad(net)[0]
    array([10.])
    """

    def value_and_grad(self, forward: Forward) -> tuple[Array, dict[str, Array]]:
        """Return L (R,) and its partial derivatives for the weights of the params."""
        weights = _weights(forward)
        return 0.5 * _total([np.square(w) for w in weights.values()]), weights


def _weights(forward: Forward) -> dict[str, Array]:
    """Return the weights of the neurons by field."""
    return {name: getattr(forward.params, name) for name in forward.params.WEIGHTS}


def _total(arrays: list[Array]) -> Array:
    """Return the sum (R,) of all numbers of each run."""
    return np.asarray(sum(array.reshape(len(array), -1).sum(axis=1) for array in arrays))
