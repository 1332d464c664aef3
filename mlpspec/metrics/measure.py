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
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mlpspec.arrays import Array
from mlpspec.data.datasets import mean_spacing
from mlpspec.losses import StructuralLoss
from mlpspec.network.blocks import BLOCK, row_blocks
from mlpspec.network.model import Forward, Params, RadialParams, forward

OUTSIDE_TOLERANCE = 1e-3
"""Of the data's diameter: how far from the hull a prototype must be to count as outside."""

QHULL_INPUTS = 5
"""Dimensions up to which Qhull is asked for the corners of a hull."""

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
    """
    n_runs, n_samples, n_inputs = x.shape
    n_hidden = p.shape[1]
    n_pairs = min(n_samples, n_hidden)
    if n_inputs == 1 and n_samples == n_hidden:
        # Sorting is the Hungarian algorithm on a line.
        return np.argsort(x[:, :, 0], axis=1), np.argsort(p[:, :, 0], axis=1)
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    inputs, prototypes = (np.empty((n_runs, n_pairs), dtype=np.intp) for _ in range(2))
    for r in range(n_runs):
        inputs[r], prototypes[r] = linear_sum_assignment(cdist(x[r], p[r]))
        if n_inputs == 1:
            inputs[r] = inputs[r][np.argsort(x[r, inputs[r], 0])]
            prototypes[r] = prototypes[r][np.argsort(p[r, prototypes[r], 0])]
    return inputs, prototypes


def reconstruction(x: Array, p: Array) -> tuple[Array, Array]:
    """Return the reconstruction error and the hit rate.

    The error is the mean distance of the min(K, N) pairs of the Hungarian matching (`match`).
    The hit rate is the share of the N inputs whose matched prototype is nearer than half the
    distance to that input's nearest other input.
    """
    inputs, prototypes = match(x, p)
    found = np.take_along_axis(p, prototypes[:, :, None], axis=1)
    true = np.take_along_axis(x, inputs[:, :, None], axis=1)
    distance = np.linalg.norm(found - true, axis=2)
    hits = distance < np.take_along_axis(input_gaps(x), inputs, axis=1) / 2
    return np.asarray(distance.mean(axis=1)), hits.sum(axis=1) / x.shape[1]


def input_gaps(x: Array) -> Array:
    """Return the distance (R, N) from each input to its nearest other input."""
    if x.shape[2] > 1:
        from scipy.spatial import cKDTree

        return np.array([cKDTree(points).query(points, k=2)[0][:, 1] for points in x])
    order = np.argsort(x[:, :, 0], axis=1)
    steps = np.diff(np.take_along_axis(x[:, :, 0], order, axis=1), axis=1)
    end = np.full((len(x), 1), np.inf)
    sides = np.concatenate([end, steps], axis=1), np.concatenate([steps, end], axis=1)
    gaps = np.empty(x.shape[:2])
    np.put_along_axis(gaps, order, np.minimum(*sides), axis=1)
    return gaps


def nearest(x: Array, p: Array) -> tuple[Array, NDArray[np.intp]]:
    """Return each input's distance (R, N) to its nearest prototype, and which one (R, N).

    The first of equals is the nearest.
    """
    n_runs, n_samples, n_inputs = x.shape
    distance = np.empty((n_runs, n_samples))
    winner = np.empty((n_runs, n_samples), dtype=np.intp)
    block = max(1, BLOCK // (n_samples * p.shape[1]))
    for start in range(0, n_runs, block):
        runs = slice(start, start + block)
        for rows in row_blocks(n_samples, p.shape[1]):
            if n_inputs == 1:
                gaps = x[runs, rows] - p[runs].swapaxes(1, 2)
                np.abs(gaps, out=gaps)
            else:
                from scipy.spatial.distance import cdist

                pairs = zip(x[runs, rows], p[runs], strict=True)
                gaps = np.array([cdist(*run) for run in pairs])
            first = gaps.argmin(axis=2)
            winner[runs, rows] = first
            distance[runs, rows] = np.take_along_axis(gaps, first[:, :, None], axis=2)[:, :, 0]
    return distance, winner


def nearest_error(x: Array, p: Array) -> Array:
    """Return the mean distance from an input to its nearest prototype."""
    return np.asarray(nearest(x, p)[0].mean(axis=1))


def usage_ratio(x: Array, p: Array, winners: NDArray[np.intp] | None = None) -> Array:
    """Return the prototype-usage specialization ratio.

    The number of distinct prototypes that are some input's nearest (``winners`` (R, N), if they
    are known), over min(K, N).
    """
    winners = nearest(x, p)[1] if winners is None else winners
    return np.asarray(_distinct(winners) / min(x.shape[1], p.shape[1]))


def activation_usage_ratio(z: Array) -> Array:
    """Return the same ratio with "responds most" in place of "is nearest".

    The largest response is the smallest |z|, which does not underflow.
    """
    winners = [np.abs(z[:, rows]).argmin(axis=2) for rows in row_blocks(*z.shape[1:])]
    return np.asarray(_distinct(np.concatenate(winners, axis=1)) / min(z.shape[1:]))


def distinct_usage_ratio(
    x: Array, p: Array, merged: float, winners: NDArray[np.intp] | None = None
) -> Array:
    """Return the usage ratio after prototypes closer than ``merged`` are made one.

    Merging is transitive (single linkage); ``winners`` as in `usage_ratio`.
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


def hull_escape(x: Array, p: Array) -> tuple[Array, Array]:
    """Return the outside fraction and the overshoot.

    A prototype is outside if its distance from the convex hull of the inputs (`hull_distance`)
    exceeds 1e-3 of the data's diameter, the largest distance between two inputs. The overshoot is
    the mean distance of those outside, 0 if there are none.
    """
    distance, outside = _escape(x, p)
    overshoot = np.where(outside, distance, 0.0).sum(axis=1) / np.maximum(outside.sum(axis=1), 1)
    return np.asarray(outside.mean(axis=1)), overshoot


def _escape(x: Array, p: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return the distances (R, K) of prototypes from the hull, and which are outside."""
    if x.shape[2] == 1:
        low, high = x.min(axis=1), x.max(axis=1)
        distance = np.maximum(np.maximum(low - p[:, :, 0], p[:, :, 0] - high), 0.0)
        diameter = high - low
    else:
        from scipy.spatial.distance import pdist

        distance = np.array([hull_distance(*run) for run in zip(x, p, strict=True)])
        diameter = np.array([[pdist(_corners(points)).max(initial=0.0)] for points in x])
    return distance, distance > OUTSIDE_TOLERANCE * diameter


def hull_distance(x: Array, p: Array) -> Array:
    """Return the distances (K,) of p (K, D) from the convex hull of x (N, D), 0 inside.

    With u_n = x_n - p, the nearest point of the hull is p + sum_n lambda_n u_n / sum_n lambda_n,
    where lambda >= 0 minimises |sum_n lambda_n u_n|^2 + (sum_n lambda_n - 1)^2 (Lawson & Hanson
    1974, chapter 23); this holds for degenerate inputs too (one point, collinear points,
    duplicates).
    """
    from scipy.optimize import nnls

    corners = _corners(x)
    distance = np.empty(len(p))
    for k, point in enumerate(p):
        toward = corners - point
        scale = np.abs(toward).max()
        if scale == 0.0:
            distance[k] = 0.0
            continue
        system = np.vstack([toward.T / scale, np.ones(len(corners))])
        weights = nnls(system, np.append(np.zeros(x.shape[1]), 1.0))[0]
        nearest = (weights / weights.sum()) @ toward
        distance[k] = np.linalg.norm(nearest)
    return distance


def _corners(x: Array) -> Array:
    """Return the points of x (N, D) that span its hull, or all where Qhull finds none.

    It would need time exponential in D, and saves little there, where most points are corners.
    """
    if x.shape[1] > QHULL_INPUTS:
        return x
    from scipy.spatial import ConvexHull, QhullError

    try:
        return cast(Array, x[ConvexHull(x).vertices])
    except (QhullError, ValueError):
        return x


def expelled(passed: Forward) -> NDArray[np.bool_]:
    """Return which neurons (R, K) have left the data.

    All of the neuron's z_n have one sign and min_n |z_n| > 1/2: its ridge does not cut the data and
    answers no input with more than exp(-1/4). Above one dimension, where z of a radial neuron has
    no sign, its center is outside the hull of the inputs instead (as in `hull_escape`), which on
    a line is the same.
    """
    z = passed.preactivation
    left = (z.min(axis=1) > 0.5) | (z.max(axis=1) < -0.5)
    if isinstance(passed.params, RadialParams) and passed.x.shape[2] > 1:
        left &= _escape(passed.x, passed.prototypes)[1]
    return np.asarray(left)


def spread_ratio(x: Array, p: Array) -> Array:
    """Return the interquartile range of the prototypes over the inputs', mean over dimensions.

    NaN where the inputs have none.
    """
    quartiles = [np.diff(np.quantile(points, (0.25, 0.75), axis=1), axis=0)[0] for points in (p, x)]
    ratio: NDArray[Any] = quartiles[0] / np.where(quartiles[1] == 0.0, np.nan, quartiles[1])
    return np.asarray(ratio.mean(axis=1))
