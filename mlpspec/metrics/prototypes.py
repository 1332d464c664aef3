"""What inputs and prototypes alone tell: matching, nearest prototypes, usage and spread.

Every function is pure. Measurements take arrays with the run axis R first and are one number a
run (R,). ``x`` (R, N, D) are the inputs, ``p`` (R, K, D) prototypes, ``z`` (R, N, K)
preactivations.

SciPy is imported where it is used: its modules take longer to load than all else that a worker
needs, and as many inputs as neurons on a line need none of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpspec.arrays import Array
from mlpspec.metrics.statistics import beyond_rounding


def match(x: Array, p: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the Hungarian matching of inputs to prototypes, run by run.

    Parameters
    ----------
    x : (R, N, D)
    p : (R, K, D)

    Returns
    -------
    inputs, prototypes : (R, min(K, N))
        Indices of the matched pairs of the least total distance. In one dimension, where many
        matchings share it, the one that keeps the order.

    Examples
    --------
    >>> x, p = np.array([[[0.0], [1.0]]]), np.array([[[0.9], [7.0], [0.2]]])
    >>> match(x, p)
    (array([[0, 1]]), array([[2, 0]]))
    """
    if x.shape[2] == 1 and x.shape == p.shape:
        # Sorting is the Hungarian algorithm on a line.
        return np.argsort(x[:, :, 0], axis=1), np.argsort(p[:, :, 0], axis=1)
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    pairs = np.array([linear_sum_assignment(cdist(*run)) for run in zip(x, p, strict=True)])
    if x.shape[2] == 1:
        for side, points in enumerate((x, p)):
            for r, chosen in enumerate(pairs[:, side]):
                chosen[:] = chosen[np.argsort(points[r, chosen, 0])]
    return pairs[:, 0], pairs[:, 1]


def reconstruction(x: Array, p: Array) -> tuple[Array, Array]:
    """Return the reconstruction error and the hit rate.

    The error is the mean distance of the min(K, N) pairs of the Hungarian matching (`match`).
    The hit rate is the share of the N inputs whose matched prototype is nearer than half the
    distance to that input's nearest other input.

    Parameters
    ----------
    x : (R, N, D)
    p : (R, K, D)

    Returns
    -------
    error, hit_rate : (R,)

    Examples
    --------
    >>> x, p = np.array([[[0.0], [1.0]]]), np.array([[[0.25], [1.75]]])
    >>> reconstruction(x, p)
    (array([0.5]), array([0.5]))
    """
    inputs, prototypes = match(x, p)
    matched = np.take_along_axis(p, prototypes[:, :, None], axis=1)
    true = np.take_along_axis(x, inputs[:, :, None], axis=1)
    distance = np.linalg.norm(matched - true, axis=2)
    hits = distance < np.take_along_axis(input_gaps(x), inputs, axis=1) / 2
    return np.asarray(distance.mean(axis=1)), hits.sum(axis=1) / x.shape[1]


def input_gaps(x: Array) -> Array:
    """Return the distance (R, N) from each input to its nearest other input.

    Examples
    --------
    >>> input_gaps(np.array([[[0.0], [1.0], [3.0]]]))
    array([[1., 1., 2.]])
    """
    if x.shape[2] > 1:
        from scipy.spatial import cKDTree

        return np.array([cKDTree(points).query(points, k=2)[0][:, 1] for points in x])
    order = np.argsort(x[:, :, 0], axis=1)
    steps = np.diff(np.take_along_axis(x[:, :, 0], order, axis=1), axis=1)
    sides = np.pad(steps, ((0, 0), (1, 1)), constant_values=np.inf)
    gaps = np.empty(x.shape[:2])
    np.put_along_axis(gaps, order, np.minimum(sides[:, :-1], sides[:, 1:]), axis=1)
    return gaps


def nearest(x: Array, p: Array) -> tuple[Array, NDArray[np.intp]]:
    """Return each input's distance (R, N) to its nearest prototype, and which one (R, N).

    The first of equals is the nearest.

    Examples
    --------
    >>> x, p = np.array([[[0.0], [1.0]]]), np.array([[[0.5], [4.0]]])
    >>> nearest(x, p)
    (array([[0.5, 0.5]]), array([[0, 0]]))
    """
    if x.shape[2] == 1:
        gaps = np.abs(x - p.swapaxes(1, 2))
    else:
        from scipy.spatial.distance import cdist

        gaps = np.array([cdist(*run) for run in zip(x, p, strict=True)])
    return gaps.min(axis=2), gaps.argmin(axis=2)


def nearest_error(x: Array, p: Array) -> Array:
    """Return the mean distance (R,) from an input to its nearest prototype.

    Examples
    --------
    >>> nearest_error(np.array([[[0.0], [1.0]]]), np.array([[[0.5], [4.0]]]))
    array([0.5])
    """
    return np.asarray(nearest(x, p)[0].mean(axis=1))


def usage_ratio(x: Array, p: Array, winners: NDArray[np.intp] | None = None) -> Array:
    """Return the prototype-usage specialization ratio (R,).

    The number of distinct prototypes that are some input's nearest, over min(K, N).

    Parameters
    ----------
    x : (R, N, D)
    p : (R, K, D)
    winners : (R, N), optional
        Each input's nearest prototype, if it is known.

    Examples
    --------
    >>> usage_ratio(np.array([[[0.0], [1.0]]]), np.array([[[0.5], [4.0]]]))
    array([0.5])
    """
    winners = nearest(x, p)[1] if winners is None else winners
    return np.asarray(_distinct(winners) / min(x.shape[1], p.shape[1]))


def activation_usage_ratio(z: Array) -> Array:
    """Return the usage ratio (R,) with "responds most" in place of "is nearest".

    The largest response is the smallest |z|, which does not underflow.

    Parameters
    ----------
    z : (R, N, K)
        Preactivations.

    Examples
    --------
    >>> activation_usage_ratio(np.array([[[0.1, -2.0], [3.0, 0.5]]]))
    array([1.])
    """
    return np.asarray(_distinct(np.abs(z).argmin(axis=2)) / min(z.shape[1:]))


def distinct_usage_ratio(
    x: Array, p: Array, merged: float, winners: NDArray[np.intp] | None = None
) -> Array:
    """Return the usage ratio after prototypes closer than ``merged`` are made one.

    Merging is transitive (single linkage).

    Parameters
    ----------
    x : (R, N, D)
    p : (R, K, D)
    merged : float
        Distance below which prototypes count as one.
    winners : (R, N), optional
        Each input's nearest prototype, if it is known.

    Examples
    --------
    >>> x, p = np.array([[[0.0], [1.0]]]), np.array([[[0.4], [0.6]]])
    >>> distinct_usage_ratio(x, p, 0.1), distinct_usage_ratio(x, p, 0.3)
    (array([1.]), array([0.5]))
    """
    winners = nearest(x, p)[1] if winners is None else winners
    group = np.empty(p.shape[:2], dtype=np.intp)
    if p.shape[2] == 1:
        order = np.argsort(p[:, :, 0], axis=1)
        steps = np.diff(np.take_along_axis(p[:, :, 0], order, axis=1), axis=1) >= merged
        ranks = np.concatenate([np.zeros((len(p), 1), dtype=int), steps.cumsum(axis=1)], axis=1)
        np.put_along_axis(group, order, ranks, axis=1)
    else:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components
        from scipy.spatial import cKDTree

        for r, points in enumerate(p):
            closest = np.nextafter(merged, 0.0)  # "closer than" leaves the distance itself out
            pairs = cKDTree(points).query_pairs(closest, output_type="ndarray")
            links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(points),) * 2)
            group[r] = connected_components(links, directed=False)[1]
    groups = np.take_along_axis(group, winners, axis=1)
    return np.asarray(_distinct(groups) / min(x.shape[1], p.shape[1]))


def _distinct(labels: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the number of distinct labels in each row of (R, N)."""
    ordered = np.sort(labels, axis=1)
    return np.asarray(1 + (np.diff(ordered, axis=1) > 0).sum(axis=1))


def spread_ratio(x: Array, p: Array) -> Array:
    """Return the interquartile range of the prototypes over the inputs', mean over dimensions (R,).

    NaN where the inputs have none in some dimension, or no more than rounding: 16 eps of the
    largest absolute input.

    Examples
    --------
    >>> x = np.linspace(0.0, 1.0, 5)[None, :, None]
    >>> spread_ratio(x, 3.0 * x)
    array([3.])
    """
    quartiles = [np.diff(np.quantile(points, (0.25, 0.75), axis=1), axis=0)[0] for points in (p, x)]
    ratio: NDArray[Any] = quartiles[0] / beyond_rounding(quartiles[1], np.abs(x).max(axis=1))
    return np.asarray(ratio.mean(axis=1))
