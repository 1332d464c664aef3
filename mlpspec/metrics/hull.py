"""Where prototypes lie beside the convex hull of the inputs, and which neurons left the data.

SciPy is imported where it is used: on a line none of it is needed.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from mlpspec.arrays import Array
from mlpspec.metrics.statistics import ROUNDING
from mlpspec.network.forward import Forward

OUTSIDE_TOLERANCE = 1e-3
"""Of the data's diameter: how far from the hull a prototype must be to count as outside."""

QHULL_INPUTS = 5
"""Dimensions up to which Qhull is asked for the corners of a hull."""


def hull_escape(x: Array, p: Array) -> tuple[Array, Array]:
    """Return the outside fraction and the overshoot.

    A prototype is outside if its distance from the convex hull of the inputs (`hull_distance`)
    exceeds 1e-3 of the data's diameter, the largest distance between two inputs, and rounding
    (16 eps of the largest absolute input), should all inputs be equal. The overshoot is
    the mean distance of those outside, 0 if there are none.

    Parameters
    ----------
    x : (R, N, D)
        Inputs.
    p : (R, K, D)
        Prototypes.

    Returns
    -------
    outside_fraction, overshoot : (R,)

    Examples
    --------
    >>> hull_escape(np.array([[[0.0], [1.0]]]), np.array([[[0.5], [3.0]]]))
    (array([0.5]), array([2.]))
    """
    distance, outside = _outside(x, p)
    overshoot = np.where(outside, distance, 0.0).sum(axis=1) / np.maximum(outside.sum(axis=1), 1)
    return np.asarray(outside.mean(axis=1)), overshoot


def _outside(x: Array, p: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return the distances (R, K) of prototypes from the hull, and which are outside."""
    if x.shape[2] == 1:
        low, high = x.min(axis=1), x.max(axis=1)
        distance = np.maximum(np.maximum(low - p[:, :, 0], p[:, :, 0] - high), 0.0)
    else:
        distance = np.array([hull_distance(*run) for run in zip(x, p, strict=True)])
    return distance, distance > tolerance(x)


def tolerance(x: Array) -> Array:
    """Return how far from the hull of x (R, N, D) a prototype must be to count as outside, (R, 1).

    Examples
    --------
    >>> tolerance(np.array([[[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]]]))
    array([[0.005]])
    """
    if x.shape[2] == 1:
        diameter = np.ptp(x, axis=1)
    else:
        from scipy.spatial.distance import pdist

        diameter = np.array([[pdist(corners(points)).max(initial=0.0)] for points in x])
    rounding = ROUNDING * np.abs(x).max(axis=(1, 2))[:, None]
    return np.asarray(np.maximum(OUTSIDE_TOLERANCE * diameter, rounding))


def hull_distance(x: Array, p: Array) -> Array:
    """Return the distances (K,) of p (K, D) from the convex hull of x (N, D), 0 inside.

    With u_n = x_n - p, the nearest point of the hull is p + sum_n lambda_n u_n / sum_n lambda_n,
    where lambda >= 0 minimises |sum_n lambda_n u_n|^2 + (sum_n lambda_n - 1)^2 (Lawson & Hanson
    1974, chapter 23); this holds for degenerate inputs too (one point, collinear points,
    duplicates).

    Examples
    --------
    >>> triangle = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> hull_distance(triangle, np.array([[0.25, 0.25], [3.0, 0.0]])).round(12)
    array([0., 2.])
    """
    from scipy.optimize import nnls

    spanning = corners(x)
    distance = np.empty(len(p))
    for k, point in enumerate(p):
        toward = spanning - point
        scale = np.abs(toward).max()
        if scale == 0.0:
            distance[k] = 0.0
            continue
        system = np.vstack([toward.T / scale, np.ones(len(spanning))])
        weights = nnls(system, np.append(np.zeros(x.shape[1]), 1.0))[0]
        distance[k] = np.linalg.norm((weights / weights.sum()) @ toward)
    return distance


def corners(x: Array) -> Array:
    """Return the points (C, D) of x (N, D) that span its hull, in the plane in order around it.

    They are the two ends where all lie on a line, in the plane too; and above it all points where
    Qhull finds none, or would need long: time exponential in D, where most points are corners.

    Examples
    --------
    >>> corners(np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])).tolist()
    [[0.0, 0.0], [2.0, 2.0]]
    """
    if x.shape[1] > QHULL_INPUTS:
        return x
    from scipy.spatial import ConvexHull, QhullError

    if x.shape[1] > 1:
        try:
            return cast(Array, x[ConvexHull(x).vertices])
        except QhullError:
            if x.shape[1] > 2:
                return x
    main = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][0]
    along = np.sign(main[np.abs(main).argmax()]) * x @ main
    return cast(Array, x[[along.argmin(), along.argmax()]])


def expelled(net: Forward) -> NDArray[np.bool_]:
    """Return which neurons (R, K) have left the data.

    All of the neuron's z_n have one sign and min_n |z_n| > 1/2: its ridge does not cut the data and
    answers no input with more than exp(-1/4). Above one dimension z of a radial neuron has no sign;
    in place of it, its center must be outside the hull of the inputs (as in `hull_escape`), and
    min_n |z_n| > 1/2 as well.

    Examples
    --------
    >>> from mlpspec import RidgeParams, forward
    >>> weight, bias = np.ones((1, 2, 1)), np.array([[0.0, 3.0]])
    >>> params = RidgeParams(weight, bias, np.ones((1, 2)), np.zeros(1))
    >>> expelled(forward(params, np.array([[[0.0], [1.0]]]), np.zeros((1, 2))))
    array([[False,  True]])
    """
    z = net.preactivation
    left = (z.min(axis=1) > 0.5) | (z.max(axis=1) < -0.5)
    if not net.params.signed:
        left &= _outside(net.x, net.prototypes)[1]
    return np.asarray(left)
