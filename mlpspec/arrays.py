"""The type of arrays, operations that the network and its losses need, and reading of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpspec.errors import InputError

Array = NDArray[Any]
"""Numbers of float64 or float32; docstrings give the shape."""

CUT = {np.dtype(np.float64): 340.0, np.dtype(np.float32): 43.0}
"""The largest exponent, by precision. The exponential is then 2e-148 (2e-19) and adds nothing, but
products of two of them are still normal numbers: arithmetic with denormal ones takes up to a
hundred times as long."""


def exp_of_negated(exponent: Array) -> Array:
    """Overwrite ``exponent`` with exp(-min(exponent, cut)) and return it; `CUT` has the cut.

    Parameters
    ----------
    exponent : array of any shape, at least 0

    Examples
    --------
    >>> exp_of_negated(np.array([0.0, 1e6]))
    array([1.00000000e+000, 2.18713783e-148])
    """
    np.minimum(exponent, CUT[exponent.dtype], out=exponent)
    np.negative(exponent, out=exponent)
    return np.exp(exponent, out=exponent)


def squared_distances(x: Array, p: Array) -> Array:
    """Return |x_n - p_k|^2 (R, N, K) for points x (R, N, D) and p (R, K, D), in squared units.

    Sums of squared differences, not the expanded square, whose terms cancel for near points.

    Examples
    --------
    >>> squared_distances(np.array([[[0.0, 0.0], [3.0, 4.0]]]), np.array([[[3.0, 0.0]]]))
    array([[[ 9.],
            [16.]]])
    """
    total = np.subtract(x[:, :, None, 0], p[:, None, :, 0])
    np.square(total, out=total)
    for d in range(1, x.shape[2]):
        gap = x[:, :, None, d] - p[:, None, :, d]
        total += np.square(gap, out=gap)
    return total


def real_numbers(name: str, value: Any, kinds: str = "fiub") -> Array:
    """Return ``value`` as an array, if it is one of real numbers of certain NumPy kinds.

    Raises
    ------
    InputError
        It is ragged, masked, or of another kind; the message calls it ``name``.

    Examples
    --------
    >>> real_numbers("x", ["a"])
    Traceback (most recent call last):
    mlpspec.errors.InputError: x is <U1; expected an array of real numbers
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise InputError(f"{name} has masked entries; leave them out, or fill them")
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputError(f"{name} is ragged; expected an array of numbers") from None
    if array.dtype.kind not in kinds:
        raise InputError(f"{name} is {array.dtype}; expected an array of real numbers")
    return array
