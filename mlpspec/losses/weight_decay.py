"""Weight decay: the usual bias, to compare structural ones with."""

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
    """Mean squared size of the neurons' weights, without the biases.

        L = mean_k ( |w_k|^2 + v_k^2 )

    A kind of neuron names its weights in ``WEIGHTS``. For ridges, small slopes are wide responses
    and prototypes -b w / |w|^2 that run away. dL/dw_k = (2/K) w_k, dL/dv_k = (2/K) v_k.

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
        weights = {name: getattr(forward.params, name) for name in forward.params.WEIGHTS}
        n_runs, n_hidden = forward.prototypes.shape[:2]
        squares = [np.square(w).reshape(n_runs, -1).sum(axis=1) for w in weights.values()]
        scale = 1.0 / n_hidden
        return sum(squares) * scale, {name: (2.0 * scale) * w for name, w in weights.items()}
