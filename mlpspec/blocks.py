"""Arithmetic on large arrays, in blocks that a core's cache holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

BLOCK = 2**16
"""Numbers of an array, of one run, that are worked on at a time: what a core's cache holds."""


@cache
def row_blocks(n_rows: int, n_columns: int) -> tuple[slice, ...]:
    """Return slices of rows that hold about `BLOCK` numbers each; one where all fit."""
    step = max(1, BLOCK // n_columns)
    return tuple(slice(start, start + step) for start in range(0, n_rows, step))


@cache
def run_blocks(n_runs: int, n_rows: int, n_columns: int) -> tuple[slice, ...]:
    """Return slices of about equally many runs whose arrays hold about `BLOCK` numbers."""
    count = -(-n_runs // max(1, BLOCK // (n_rows * n_columns)))
    edges = [n_runs * piece // count for piece in range(count + 1)]
    return tuple(slice(a, b) for a, b in pairwise(edges))


def squared_distances(x: Array, p: Array) -> Array:
    """(R, N, K): |x_n - p_k|^2 from x (R, N, D) and p (R, K, D), by direct differences."""
    return scaled_distances(with_ones(x), p)


def scaled_distances(design: Array, p: Array, unit: float = 1.0, out: Array | None = None) -> Array:
    """(R, N, K): unit^2 |x_n - p_k|^2, by direct differences.

    ``design`` (R, N, D + 1) holds x and a column of ones, ``p`` is (R, K, D).
    """
    n_runs, n_hidden, n_inputs = p.shape
    n_samples = design.shape[1]
    if out is None:
        out = aligned_empty((n_runs, n_samples, n_hidden), p.dtype)
    for d in range(n_inputs):
        factor = _differences(p[:, :, d], unit)
        column = design if n_inputs == 1 else np.ascontiguousarray(design[:, :, d :: n_inputs - d])
        for rows in row_blocks(n_samples, n_hidden):
            total = out[:, rows]
            gap = np.matmul(column[:, rows], factor, out=total if d == 0 else None)
            np.square(gap, out=gap)
            if d > 0:
                total += gap
    return out


def _differences(p: Array, unit: float) -> Array:
    """(R, 2, K): of which [x, 1] is the factor that gives unit (x - p), for p (R, K).

    Two exact terms and one rounding, as in a subtraction, but in the blocked loops of the linear
    algebra.
    """
    n_runs, n_hidden = p.shape
    factor = np.empty((n_runs, 2, n_hidden), dtype=p.dtype)
    factor[:, 0] = unit
    np.multiply(p, -unit, out=factor[:, 1])
    return factor


_LEAST = {"d": -340.0, "f": -43.0}


def exp_of_negated(exponent: Array) -> Array:
    """Overwrite ``exponent`` (any shape, >= 0) with exp(-exponent) and return it.

    The exponent is cut at 340 (43 in single precision), where the exponential is 1e-148 (2e-19)
    and adds nothing. Products of two such numbers are still normal; arithmetic with denormal
    numbers takes up to a hundred times as long, and so does ``numpy.exp`` below -708.
    """
    least = _LEAST[exponent.dtype.char]
    *_, n_rows, n_columns = (1, 1, *exponent.shape)
    for rows in row_blocks(n_rows, n_columns):
        block = exponent[..., rows, :] if exponent.ndim > 1 else exponent
        np.negative(block, out=block)
        np.maximum(block, least, out=block)
        np.exp(block, out=block)
    return exponent


def gaussian(left: Array, right: Array, out: Array, driven: Array | None = None) -> Array:
    """Overwrite ``out`` with exp(-z^2), z = left @ right, and ``driven`` with z exp(-z^2).

    ``left`` is (R, N, M), ``right`` (R, M, K), the others (R, N, K); the exponent is cut as
    `exp_of_negated` does.
    """
    for rows in row_blocks(*out.shape[1:]):
        block = out[:, rows]
        z = np.matmul(left[:, rows], right, out=block if driven is None else driven[:, rows])
        exp_of_negated(np.square(z, out=block))
        if driven is not None:
            z *= block
    return out


def closeness(
    design: Array, p: Array, temperature: float, memory: Callable[..., Array]
) -> Iterator[tuple[slice, Array]]:
    """Yield blocks of runs, and exp(-|x_n - p_k|^2 / temperature) (r, N, K) of each.

    ``design`` (R, N, D + 1) holds x and a column of ones, ``p`` is (R, K, D); ``memory`` returns
    an array of a given shape, which the next block may overwrite.
    """
    unit = temperature**-0.5  # so that no pass over (R, N, K) is spent on scaling
    n_samples, n_hidden = design.shape[1], p.shape[1]
    factor = _differences(p[:, :, 0], unit) if p.shape[2] == 1 else None
    for rows in run_blocks(len(p), n_samples, n_hidden):
        out = memory("work", (rows.stop - rows.start, n_samples, n_hidden))
        if factor is not None:
            gaussian(design[rows], factor[rows], out)
        else:
            exp_of_negated(scaled_distances(design[rows], p[rows], unit, out))
        yield rows, out


def aligned_empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return an uninitialised array that begins at a cache line.

    Vector instructions take up to twice as long on arrays that straddle lines.
    """
    line = 64
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.empty(size + line, dtype=np.uint8)
    start = -raw.ctypes.data % line
    return cast(Array, raw[start : start + size].view(dtype).reshape(shape))


def with_ones(x: Array) -> Array:
    """(R, N, D + 1): x (R, N, D) and a column of ones."""
    return np.concatenate([x, np.ones_like(x[:, :, :1])], axis=2)
