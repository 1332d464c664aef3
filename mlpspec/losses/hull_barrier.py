"""Hull barrier: prototypes should not leave the convex hull of the inputs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, final

import numpy as np

from mlpspec.arrays import Array
from mlpspec.errors import InputError
from mlpspec.losses.base import StructuralLoss
from mlpspec.network.forward import Forward

MOST_INPUTS = 5
"""Dimensions up to which a hull has few enough facets to be listed."""

FLAT = 1e-9
"""Of the inputs' largest extent: a direction in which they extend less has no width."""


@final
@dataclass(frozen=True)
class HullBarrier(StructuralLoss):
    """Mean squared escape of the prototypes from the convex hull of their run's inputs.

        L = mean_k ( max(0, max_f (a_f . p_k - b_f))^2 + |Q (p_k - x_0)|^2 )

    with the hull's facets a_f . x <= b_f (|a_f| = 1): zero inside, and outside the square of the
    largest violation of a facet. That is the squared distance from the hull in 1-D and wherever
    the nearest point lies inside a facet; where it is a corner (or an edge), less than that. Inputs
    that fill fewer than D dimensions (one point, points on a line) have their hull there, and Q
    projects on what is left, which adds the squared distance from that line or plane.
    With f the most violated facet, dL/dp_k = (2/K) ( max(0, a_f . p_k - b_f) a_f + Q (p_k - x_0) ).

    Raises
    ------
    ValueError
        Inputs that fill more than 5 dimensions, whose hulls have too many facets.

    Examples
    --------
    The prototype at 0.5 lies among the inputs, that at 3 outside by 2.

    >>> from mlpspec import RidgeParams, forward
    >>> params = RidgeParams.placed(np.array([[0.5], [3.0]]), np.ones(2), np.ones(2))
    >>> net = forward(params, np.array([[[0.0], [1.0]]]), np.zeros((1, 2)))
    >>> HullBarrier().value_and_grad(net)[0].round(4)
    array([2.])
    """

    def value_and_grad(self, forward: Forward) -> tuple[Array, dict[str, Array]]:
        """Return L (R,) and its partial derivative for ``"prototypes"``."""
        p = forward.prototypes
        hull = _hulls(forward.x.tobytes(), forward.x.shape, forward.x.dtype.str)
        away = p - forward.x[:, :1]
        # Sums over d one by one: a product's bits would depend on the neighbours' facets.
        excess = -hull.offset[:, None, :]
        off = np.zeros_like(p)
        for d in range(p.shape[2]):
            excess = excess + away[:, :, None, d] * hull.normal[:, None, :, d]
            off += away[:, :, d, None] * hull.across[:, None, d]
        worst = excess.argmax(axis=2)[:, :, None]
        escape = np.maximum(np.take_along_axis(excess, worst, axis=2), 0.0)
        value = (np.square(escape[:, :, 0]) + np.square(off).sum(axis=2)).mean(axis=1)
        grad = escape * np.take_along_axis(hull.normal, worst, axis=1) + off
        return value, {"prototypes": grad * (2.0 / p.shape[1])}


class _Hull(NamedTuple):
    """Facets ``normal . (x - x_0) <= offset``, and the projection on what x does not fill."""

    normal: Array  # (F, D); (R, F, D) for a batch
    offset: Array  # (F,); (R, F)
    across: Array  # (D, D); (R, D, D)


@lru_cache(maxsize=16)
def _hulls(data: bytes, shape: tuple[int, int, int], dtype: str) -> _Hull:
    """Return the hulls of a batch, the last facet repeated where a run has fewer than another."""
    points = np.frombuffer(data, dtype).reshape(shape)
    hulls = [_hull(x.tobytes(), shape[1:], dtype) for x in points]
    most = max(len(hull.offset) for hull in hulls)
    rows = [np.minimum(np.arange(most), len(hull.offset) - 1) for hull in hulls]
    return _Hull(
        np.stack([hull.normal[row] for hull, row in zip(hulls, rows, strict=True)]).astype(dtype),
        np.stack([hull.offset[row] for hull, row in zip(hulls, rows, strict=True)]).astype(dtype),
        np.stack([hull.across for hull in hulls]).astype(dtype),
    )


@lru_cache(maxsize=1024)
def _hull(data: bytes, shape: tuple[int, int], dtype: str) -> _Hull:
    """Return the hull of one run's inputs (N, D), seen from the first of them."""
    from scipy.spatial import ConvexHull  # here, so that the command line starts at once

    x = np.frombuffer(data, dtype).reshape(shape).astype(float)
    x = x - x[0]
    extent, axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=True)[1:]
    n_filled = int((extent > FLAT * extent.max(initial=0.0)).sum())
    along, across = axes[:n_filled], axes[n_filled:]
    if n_filled > MOST_INPUTS:
        raise InputError(
            f"the inputs fill {n_filled} dimensions; HullBarrier lists the facets of their hull, "
            f"which are too many above {MOST_INPUTS}: use ReverseCoverage"
        )
    if shape[1] == 1:
        along = np.ones((n_filled, 1))  # not -1, nor 1 to rounding: 1-D is exact
    filled = x @ along.T
    if n_filled == 0:
        normal, offset = np.zeros((1, shape[1])), np.zeros(1)
    elif n_filled == 1:
        normal, offset = np.vstack([along, -along]), np.array([filled.max(), -filled.min()])
    else:
        facets = ConvexHull(filled).equations
        normal, offset = facets[:, :-1] @ along, -facets[:, -1]
    return _Hull(normal, offset, across.T @ across)
