"""Measurements of finished runs: did the neurons specialise, can the data be read back?

Every function is pure, takes arrays with the run axis R first and returns one number a run (R,).
Lengths are in units of the inputs, everything else is dimensionless. ``x`` (R, N, D) are the
inputs, ``p`` (R, K, D) prototypes, ``z`` (R, N, K) preactivations. The definitions are this
project's reconstruction of those behind arXiv:2605.25939, and extensions of them.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment, nnls
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull, QhullError, cKDTree
from scipy.spatial.distance import cdist, pdist

from mlpspec.datasets import mean_spacing
from mlpspec.losses import built_in
from mlpspec.model import Array, Forward, RidgeParams

OUTSIDE_TOLERANCE = 1e-3
"""Of the data's diameter: how far from the hull a prototype must be to count as outside."""

MERGED_SHARE = 1 / 20
"""Of the mean spacing: prototypes that are closer count as one."""


@np.errstate(all="ignore")  # a diverged run may be anywhere among the finite numbers
def measure(
    params: RidgeParams, x: Array, y: Array, *, width: float, temperature: float
) -> dict[str, Array]:
    """Return every measurement of R finished runs.

    Parameters
    ----------
    params : RidgeParams
    x : (R, N, D)
    y : (R, N)
    width : float
        Of the inputs' domain, for the mean spacing.
    temperature : float
        tau at which the structural losses are evaluated, whether or not they were active.

    Returns
    -------
    dict of str to (R,)
        The columns of ``runs.csv`` that follow from weights and data.
    """
    double = RidgeParams(*(np.asarray(value, dtype=float) for value in vars(params).values()))
    passed = Forward(double, np.asarray(x, dtype=float), np.asarray(y, dtype=float))
    p, z, x, y = passed.prototypes, passed.preactivation, passed.x, passed.y
    spacing = mean_spacing(width, x.shape[1], x.shape[2])
    error, hits = reconstruction(x, p)
    outside, overshoot = hull_escape(x, p)
    slope = np.linalg.norm(double.hidden_weight, axis=2)
    mse = np.square(passed.output - y).mean(axis=1)
    return {
        "reconstruction_error": error,
        "nearest_error": nearest_error(x, p),
        "hit_rate": hits,
        "usage_ratio": usage_ratio(x, p),
        "activation_usage_ratio": activation_usage_ratio(z),
        "distinct_usage_ratio": distinct_usage_ratio(x, p, spacing * MERGED_SHARE),
        "outside_fraction": outside,
        "overshoot": overshoot,
        "expelled_fraction": expelled_fraction(z),
        "silent_fraction": (passed.hidden.max(axis=1) < 0.01).mean(axis=1),
        "vanished_fraction": (slope < 1e-3).mean(axis=1),
        "spread_ratio": spread_ratio(x, p),
        "min_slope": slope.min(axis=1),
        "fit_mse": mse,
        "fit_fvu": mse / y.var(axis=1),
        **{
            f"{name}_loss": loss.value_and_grad(passed)[0]
            for name, loss in built_in(temperature).items()
        },
    }


def match(x: Array, p: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the Hungarian matching of inputs x (N, D) to prototypes p (K, D) of one run.

    Returns
    -------
    inputs, prototypes : (min(K, N),)
        Indices of the matched pairs, by ascending input, of the least total distance. In one
        dimension, where many matchings share it, the one that keeps the order.
    """
    if x.shape[1] > 1 or len(x) != len(p):
        inputs, prototypes = linear_sum_assignment(cdist(x, p))
    else:
        inputs = prototypes = np.arange(len(x))
    if x.shape[1] == 1:
        by_place = inputs[np.argsort(x[inputs, 0], kind="stable")]
        partner = np.empty(len(x), dtype=np.intp)
        partner[by_place] = prototypes[np.argsort(p[prototypes, 0], kind="stable")]
        prototypes = partner[inputs]
    return inputs, prototypes


def reconstruction(x: Array, p: Array) -> tuple[Array, Array]:
    """Return the reconstruction error and the hit rate.

    The error is the mean distance of the min(K, N) pairs of the Hungarian matching (`match`).
    The hit rate is the share of the N inputs whose matched prototype is nearer than half the
    distance to that input's nearest other input.
    """
    error, hits = np.empty(len(x)), np.empty(len(x))
    for r, (inputs, prototypes) in enumerate(map(match, x, p)):
        distance = np.linalg.norm(x[r, inputs] - p[r, prototypes], axis=1)
        gap = cKDTree(x[r]).query(x[r], k=2)[0][:, 1]
        error[r] = distance.mean()
        hits[r] = (distance < gap[inputs] / 2).sum() / x.shape[1]
    return error, hits


def nearest_error(x: Array, p: Array) -> Array:
    """Return the mean distance from an input to its nearest prototype."""
    return np.array([cdist(*run).min(axis=1).mean() for run in zip(x, p, strict=True)])


def usage_ratio(x: Array, p: Array) -> Array:
    """Return the prototype-usage specialization ratio.

    The number of distinct prototypes that are some input's nearest (the first of equals), over
    min(K, N).
    """
    most = min(x.shape[1], p.shape[1])
    nearest = (cdist(*run).argmin(axis=1) for run in zip(x, p, strict=True))
    return np.array([len(np.unique(winners)) / most for winners in nearest])


def activation_usage_ratio(z: Array) -> Array:
    """Return the same ratio with "responds most" in place of "is nearest".

    The largest response is the smallest |z|, which does not underflow.
    """
    most = min(z.shape[1:])
    winners = np.abs(z).argmin(axis=2)
    return np.array([len(np.unique(winner)) / most for winner in winners])


def distinct_usage_ratio(x: Array, p: Array, merged: float) -> Array:
    """Return the usage ratio after prototypes closer than ``merged`` are made one.

    Merging is transitive (single linkage).
    """
    n_hidden, most = p.shape[1], min(x.shape[1], p.shape[1])
    ratio = np.empty(len(x))
    for r in range(len(x)):
        closest = np.nextafter(merged, 0.0)  # "closer than" leaves the distance itself out
        pairs = cKDTree(p[r]).query_pairs(closest, output_type="ndarray")
        links = coo_array((np.ones(len(pairs)), pairs.T), shape=(n_hidden, n_hidden))
        group = connected_components(links, directed=False)[1]
        ratio[r] = len(np.unique(group[cdist(x[r], p[r]).argmin(axis=1)])) / most
    return ratio


def hull_escape(x: Array, p: Array) -> tuple[Array, Array]:
    """Return the outside fraction and the overshoot.

    A prototype is outside if its distance from the convex hull of the inputs (`hull_distance`)
    exceeds 1e-3 of the data's diameter, the largest distance between two inputs. The overshoot is
    the mean distance of those outside, 0 if there are none.
    """
    outside, overshoot = np.empty(len(x)), np.empty(len(x))
    for r in range(len(x)):
        distance = hull_distance(x[r], p[r])
        out = distance > OUTSIDE_TOLERANCE * pdist(_corners(x[r])).max(initial=0.0)
        outside[r] = out.mean()
        overshoot[r] = distance[out].mean() if out.any() else 0.0
    return outside, overshoot


def hull_distance(x: Array, p: Array) -> Array:
    """Return the distances (K,) of p (K, D) from the convex hull of x (N, D), 0 inside.

    In one dimension the hull is an interval. Else, with u_n = x_n - p, the nearest point of the
    hull is p + sum_n lambda_n u_n / sum_n lambda_n, where lambda >= 0 minimises
    |sum_n lambda_n u_n|^2 + (sum_n lambda_n - 1)^2 (Lawson & Hanson 1974, chapter 23); this holds
    for degenerate inputs too (one point, collinear points, duplicates).
    """
    corners = _corners(x)
    if x.shape[1] == 1:
        low, high = corners.min(), corners.max()
        return cast(Array, np.maximum(np.maximum(low - p[:, 0], p[:, 0] - high), 0.0))
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
    """Return the points of x (N, D) that span its hull, or all where they lie in a plane."""
    if x.shape[1] == 1:
        return np.array([x.min(axis=0), x.max(axis=0)])
    try:
        return cast(Array, x[ConvexHull(x).vertices])
    except (QhullError, ValueError):
        return x


def expelled_fraction(z: Array) -> Array:
    """Return the share of neurons whose ridge has left the data.

    All of the neuron's z_n have one sign and min_n |z_n| > 1/2.
    """
    return np.asarray(((z > 0.5).all(axis=1) | (z < -0.5).all(axis=1)).mean(axis=1))


def spread_ratio(x: Array, p: Array) -> Array:
    """Return the interquartile range of the prototypes over the inputs', mean over dimensions.

    NaN where the inputs have none.
    """
    quartiles = [np.diff(np.quantile(points, (0.25, 0.75), axis=1), axis=0)[0] for points in (p, x)]
    ratio: NDArray[Any] = quartiles[0] / np.where(quartiles[1] == 0.0, np.nan, quartiles[1])
    return np.asarray(ratio.mean(axis=1))
