"""How much a response stands out from those of its neuron: the score of monosemanticity.

The bare formula, without checks, for losses, training and metrics alike; `mlpspec.monosemanticity`
is the form for anyone's activations.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlpspec.arrays import Array


def scores(h: Array) -> Array:
    """Return phi (..., N, K), how far each response is from the mean of its neuron.

    phi_nk = (h_nk - mean_n h_nk)^2 / S_k^2,    S_k^2 = sum_n (h_nk - mean_n h_nk)^2 / (N - 1),

    in the precision of h. The mean of phi over the inputs is (N - 1)/N, and phi is at most
    (N - 1)^2/N, which it is where a neuron answers one input in its own way and all others alike. A
    neuron that does not respond (`responding`) has no score: it is NaN for all inputs.

    Parameters
    ----------
    h : (..., N, K)
        Responses of K neurons to N inputs, at least two, and finite.

    Examples
    --------
    >>> scores(np.array([[0.0, 0.5], [0.0, 0.5], [0.3, 0.5]]))
    array([[0.33333333,        nan],
           [0.33333333,        nan],
           [1.33333333,        nan]])
    """
    _, _, deviation = deviations(h)
    variance = np.square(deviation).sum(axis=-1) / (h.shape[-2] - 1)
    known = responding(h.min(axis=-2), h.max(axis=-2))
    phi = np.square(deviation) / np.where(known, variance, np.nan)[..., None]
    return np.swapaxes(phi, -1, -2)


def deviations(h: Array) -> tuple[Array, Array, Array]:
    """Return the means of neurons as shift and rest (..., K), and the deviations (..., K, N).

    The shift is the mean but for rounding: responses close to it lose no digits where it is
    subtracted, however large it is, and the rest of the mean is that of the differences. All sums
    are along the last axis of memory, where NumPy adds pairwise.

    Parameters
    ----------
    h : (..., N, K)

    Examples
    --------
    >>> deviations(np.array([[1e8], [1e8 + 2.0]]))
    (array([1.00000001e+08]), array([0.]), array([[-1.,  1.]]))
    """
    by_neuron = np.ascontiguousarray(np.swapaxes(h, -1, -2))
    shift = by_neuron.mean(axis=-1)
    deviation = by_neuron - shift[..., None]
    rest = deviation.mean(axis=-1)
    deviation -= rest[..., None]
    return shift, rest, deviation


def responding(low: Array, high: Array, eps: float | None = None) -> NDArray[np.bool_]:
    """Return which neurons respond, by their least and largest response.

    Their responses differ by more than rounding, 16 eps of the largest magnitude among them, and
    by more than what can be squared without loss (1.5e-150; in single precision 1e-15).

    Parameters
    ----------
    low, high : array of any shape, float64 or float32
    eps : float, optional
        Of the precision that the responses were computed in; by default that of the arrays.

    Examples
    --------
    >>> responding(np.array([0.1, 0.0]), np.array([0.1 + 1e-16, 1e-9]))
    array([False,  True])
    """
    precision = np.finfo(low.dtype)
    rounding = 16 * (eps or precision.eps) * np.maximum(np.abs(low), np.abs(high))
    return np.asarray(high - low > np.maximum(rounding, 1e4 * np.sqrt(precision.tiny)))
