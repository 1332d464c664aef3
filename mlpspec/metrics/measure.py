"""Measurements of finished runs: did the neurons specialise, can the data be read back?

Every function is pure; measurements take arrays with the run axis R first and are one number a
run (R,). Lengths are in units of the inputs, everything else is dimensionless. ``x`` (R, N, D) are
the inputs, ``p`` (R, K, D) prototypes, ``z`` (R, N, K) preactivations. The definitions are this
project's reconstruction of those behind arXiv:2605.25939, and extensions of them.

SciPy is imported where it is used: its modules take longer to load than all else that a worker
needs, and as many inputs as neurons on a line need none of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlpspec.arrays import Array
from mlpspec.data.datasets import mean_spacing
from mlpspec.losses import StructuralLoss
from mlpspec.metrics.hull import expelled, hull_escape
from mlpspec.metrics.prototypes import (
    activation_usage_ratio,
    distinct_usage_ratio,
    nearest,
    reconstruction,
    spread_ratio,
    usage_ratio,
)
from mlpspec.network.forward import forward
from mlpspec.network.neurons import Params

MERGED_SHARE = 1 / 20
"""Of the mean spacing: prototypes that are closer count as one."""


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
        The columns of ``runs.csv`` that follow from weights and data.

    Raises
    ------
    ValueError
        Shapes that do not fit each other, or numbers that are not finite.
    """
    double = type(params)(*(np.asarray(value, dtype=float) for value in vars(params).values()))
    passed = forward(double, x, y)
    p, z, x, y = passed.prototypes, passed.preactivation, passed.x, passed.y
    mse = np.square(passed.output - y).mean(axis=1)
    return {
        **measure_places(x, p, width=width),
        "activation_usage_ratio": activation_usage_ratio(z),
        "expelled_fraction": expelled(passed).mean(axis=1),
        "silent_fraction": (passed.hidden.max(axis=1) < 0.01).mean(axis=1),
        "vanished_fraction": (double.slopes < 1e-3).mean(axis=1),
        "min_slope": double.slopes.min(axis=1),
        "fit_mse": mse,
        "fit_fvu": mse / y.var(axis=1),
        **{f"{name}_loss": loss.value_and_grad(passed)[0] for name, loss in losses.items()},
    }


def measure_places(x: Array, p: Array, *, width: float) -> dict[str, Array]:
    """Return the measurements that need inputs (R, N, D) and prototypes (R, K, D) alone."""
    merged = MERGED_SHARE * mean_spacing(width, x.shape[1], x.shape[2])
    error, hits = reconstruction(x, p)
    outside, overshoot = hull_escape(x, p)
    distance, winners = nearest(x, p)
    return {
        "reconstruction_error": error,
        "nearest_error": distance.mean(axis=1),
        "hit_rate": hits,
        "usage_ratio": usage_ratio(x, p, winners),
        "distinct_usage_ratio": distinct_usage_ratio(x, p, merged, winners),
        "outside_fraction": outside,
        "overshoot": overshoot,
        "spread_ratio": spread_ratio(x, p),
    }
