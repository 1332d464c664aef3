"""Does drawing every prototype to an input beat drawing a prototype to every input?

A loss of one's own beside the built-in ones: all sixteen subsets on the grid. Look at ``anchored``
against ``coverage`` in the figure ``outcomes``, and at the subsets with both in ``subsets``. Check
the loss with ``mlpspec check-loss experiments/custom_loss.py:Anchored``.
"""

from dataclasses import dataclass

import numpy as np

import mlpspec


@dataclass(frozen=True)
class Anchored(mlpspec.StructuralLoss):
    """Mean squared distance from a prototype to its nearest input."""

    def value_and_grad(self, forward):
        gap = forward.prototypes[:, None] - forward.x[:, :, None]  # (R, N, K, D)
        nearest = (gap**2).sum(axis=3).argmin(axis=1)  # (R, K)
        gap = np.take_along_axis(gap, nearest[:, None, :, None], axis=1)[:, 0]  # (R, K, D)
        n_hidden = gap.shape[1]
        return (gap**2).sum(axis=(1, 2)) / n_hidden, {"prototypes": 2 * gap / n_hidden}


STUDY = mlpspec.studies.paper().with_losses({"anchored": Anchored()})
