"""Arithmetic on large arrays, in blocks that a core's cache holds."""

from __future__ import annotations

import contextlib
import gc
import math
import os
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mlpspec.arrays import Array
from mlpspec.errors import InputError

if TYPE_CHECKING:
    from mlpspec.network.compiled import Kernels

BLOCK = 2**16
"""Numbers of an array, of one run, that are worked on at a time: what a core's cache holds."""


@cache
def row_blocks(n_rows: int, n_columns: int) -> tuple[slice, ...]:
    """Return slices of rows that hold about `BLOCK` numbers each; one where all fit."""
    step = max(1, BLOCK // n_columns)
    return tuple(slice(start, start + step) for start in range(0, n_rows, step))


TOGETHER = 3 * 2**15
"""Numbers of an array, of several runs, that are worked on at a time."""


@cache
def run_blocks(n_runs: int, n_rows: int, n_columns: int) -> tuple[slice, ...]:
    """Return slices of about equally many runs whose arrays hold `TOGETHER` numbers."""
    count = -(-n_runs // max(1, TOGETHER // (n_rows * n_columns)))
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


@cache
def compiled_by() -> str | None:
    """Return the version of numba if it is to compile the primitives here, None if NumPy does all.

    It compiles them where it is installed, unless MLPSPEC_COMPILED is 0 when this is first asked.
    Their bits are not NumPy's.
    """
    if os.environ.get("MLPSPEC_COMPILED") == "0":
        return None
    try:
        return version("numba")
    except PackageNotFoundError:
        return None


@cache
def _compiled(kind: str) -> Kernels | None:
    """Return compiled primitives for numbers of ``kind`` ("d", "f"), None if NumPy does it."""
    if compiled_by() is None or kind not in _LEAST:
        return None
    try:
        with _no_search_for_cycles():
            from mlpspec.network.compiled import Kernels

            kernels = Kernels(kind)
            kernels.load("adaptive_step")  # if this one can be compiled, all can
            return kernels
    except Exception as error:
        raise InputError(
            f"numba {compiled_by()} does not work here ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}); mend it, or set MLPSPEC_COMPILED=0, with "
            "which NumPy does all"
        ) from error


def load_compiled(dtype: str, *, all_of_it: bool = False) -> None:
    """Load the compiled primitives for numbers of ``dtype``, if there are any.

    With ``all_of_it`` none is left to be compiled when it is first used.

    Raises
    ------
    InputError
        numba is installed and does not work.
    """
    kernels = _compiled(np.dtype(dtype).char)
    if kernels is not None and all_of_it:
        kernels.load()


@contextlib.contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Load what has many objects, and all of them to stay, in a quarter less time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def exp_of_negated(exponent: Array) -> Array:
    """Overwrite ``exponent`` (any shape, >= 0) with exp(-exponent) and return it.

    The exponent is cut at 340 (43 in single precision), where the exponential is 1e-148 (2e-19)
    and adds nothing. Products of two such numbers are still normal; arithmetic with denormal
    numbers takes up to a hundred times as long, and so does ``numpy.exp`` below -708.
    """
    kernels = _compiled(exponent.dtype.char)
    if kernels is None:
        _exp_of_negated(exponent)
    elif exponent.flags.carray:
        kernels.exp_of_negated(exponent.reshape(-1))
    elif exponent.ndim > 1 and exponent[0].flags.carray:
        for part in exponent:
            kernels.exp_of_negated(part.reshape(-1))
    else:  # a copy, not NumPy: bits must not depend on how an array lies in memory
        copy = exponent.copy("C")
        kernels.exp_of_negated(copy.reshape(-1))
        exponent[...] = copy
    return exponent


def _exp_of_negated(exponent: Array) -> None:
    least = _LEAST[exponent.dtype.char]
    *_, n_rows, n_columns = (1, 1, *exponent.shape)
    for rows in row_blocks(n_rows, n_columns):
        block = exponent[..., rows, :] if exponent.ndim > 1 else exponent
        np.negative(block, out=block)
        np.maximum(block, least, out=block)
        np.exp(block, out=block)


def gaussian(left: Array, right: Array, out: Array, driven: Array | None = None) -> Array:
    """Overwrite ``out`` with exp(-z^2), z = left @ right, and ``driven`` with z exp(-z^2).

    ``left`` is (R, N, M), ``right`` (R, M, K), the others (R, N, K), none sharing memory with
    another; the exponent is cut as `exp_of_negated` does. Returns ``out``.

    Raises
    ------
    ValueError
        Arrays whose shapes or precisions do not fit each other.
    """
    z = out if driven is None else driven
    n_runs, n_samples, n_hidden = out.shape
    n_terms = left.shape[2]
    shapes = (n_runs, n_samples, n_terms), (n_runs, n_terms, n_hidden), out.shape
    if (left.shape, right.shape, z.shape) != shapes or n_terms < 1:
        raise ValueError(f"{left.shape} times {right.shape} does not fit {out.shape}, {z.shape}")
    if not left.dtype == right.dtype == z.dtype == out.dtype:
        raise ValueError(f"{left.dtype} times {right.dtype} does not fit {out.dtype}, {z.dtype}")
    kernels = _compiled(out.dtype.char)
    if kernels is None:
        _gaussian(left, right, out, z)
    elif out.flags.carray and z.flags.carray:
        left, right = np.ascontiguousarray(left), np.ascontiguousarray(right)
        kernels.gaussian(left, right, out, z, driven is not None)
    else:
        parts = [np.empty(out.shape, out.dtype) for _ in range(1 if driven is None else 2)]
        gaussian(left, right, *parts)
        out[...] = parts[0]
        z[...] = parts[-1]
    return out


def _gaussian(left: Array, right: Array, out: Array, z: Array) -> None:
    for rows in row_blocks(*out.shape[1:]):
        h_rows, z_rows = out[:, rows], z[:, rows]
        np.matmul(left[:, rows], right, out=z_rows)
        _exp_of_negated(np.square(z_rows, out=h_rows))
        if z is not out:
            z_rows *= h_rows


# Compiled, z of two terms is computed twice: that takes less time than to store and read z h. What
# the pairs of functions here and below compute is the same.


def _alike(*arrays: Array | None) -> bool:
    """Return whether arrays are of one precision; kernels read what they get as if they were."""
    return len({array.dtype for array in arrays if array is not None}) == 1


def recomputes(right: Array) -> bool:
    """Return whether `gaussian_rows` and `gaussian_sums` are there for ``right`` (R, M, K)."""
    return right.shape[1] == 2 and _compiled(right.dtype.char) is not None


def gaussian_rows(left: Array, right: Array, heights: Array, out: Array) -> Array:
    """Overwrite ``out`` as `gaussian` does and return sums over k of it (3, R, N).

    They are sum_k heights_k out_nk, sum_k out_nk and sum_k out_nk^2; ``heights`` is (R, K), the
    others are as in `gaussian`, with M = 2.

    Raises
    ------
    ValueError
        Arrays whose shapes or precisions do not fit each other.
    """
    n_runs, n_samples, n_hidden = out.shape
    found = left.shape, right.shape, heights.shape
    kernels = _compiled(out.dtype.char)
    if (
        found != ((n_runs, n_samples, 2), (n_runs, 2, n_hidden), (n_runs, n_hidden))
        or not left.dtype == right.dtype == heights.dtype == out.dtype
        or kernels is None
    ):
        raise ValueError(f"{left.shape} times {right.shape} does not fit {out.shape}")
    sums = np.empty((3, n_runs, n_samples), dtype=out.dtype)
    left, heights = np.ascontiguousarray(left), np.ascontiguousarray(heights)
    kernels.gaussian_rows(left, right, heights, out, sums)
    return sums


def gaussian_sums(
    weights: Array,
    scale: Array,
    left: Array,
    right: Array,
    h: Array,
    times: Array | None,
    slope: Array | None,
    out: Array,
) -> None:
    """Write `weighted_sums` of z h to ``out`` (2, R, K), or (3, R, K) with those of h at the end.

    z = left @ right, ``h`` is what `gaussian_rows` made of it; ``weights`` (R, 2, N), ``scale``,
    and ``times`` are as in `weighted_sums`, but h has no ``times``. With ``slope`` (R, N) it is
    scale_n + slope_n h_nk that z h is multiplied by, and there are no ``times``.

    Raises
    ------
    ValueError
        Arrays whose shapes do not fit each other.
    """
    n_runs, n_samples, n_hidden = h.shape
    kernels = _compiled(h.dtype.char)
    found = weights.shape, scale.shape, left.shape, right.shape, out.shape[1:]
    if (
        found
        != (
            (n_runs, 2, n_samples),
            (n_runs, n_samples),
            (n_runs, n_samples, 2),
            (n_runs, 2, n_hidden),
            (n_runs, n_hidden),
        )
        or (times is not None and (times.shape != h.shape or slope is not None))
        or (slope is not None and slope.shape != scale.shape)
        or len(out) not in (2, 3)
        or not _alike(weights, scale, left, right, h, times, slope, out)
        or kernels is None
    ):
        raise ValueError(f"{left.shape} times {right.shape} does not fit {h.shape}, {out.shape}")
    weights, left, h = map(np.ascontiguousarray, (weights, left, h))
    timed, sloped = times is not None, slope is not None
    times = np.ascontiguousarray(times) if timed else h
    slope = scale if slope is None else slope
    kernels.gaussian_sums(weights, scale, left, right, h, times, timed, slope, sloped, out)


Memory = Callable[[str, tuple[int, ...]], Array]
"""Returns an array of a name and a shape, in which others of that name may have been."""


def row_dots(values: Array, weights: Array) -> Array:
    """Return sum_k values_nk weights_k, or weights_nk (R, N).

    ``values`` is (R, N, K), ``weights`` (R, K) or (R, N, K).
    """
    n_runs, n_samples, n_hidden = values.shape
    of_k = weights.ndim == 2
    expected = (n_runs, n_hidden) if of_k else values.shape
    if weights.shape != expected or weights.dtype != values.dtype:
        raise ValueError(f"{weights.shape} does not fit {values.shape}")
    kernels = _compiled(values.dtype.char)
    if kernels is not None:  # however the arrays lie in memory: bits must not depend on it
        out = np.empty((n_runs, n_samples), dtype=values.dtype)
        values, weights = np.ascontiguousarray(values), np.ascontiguousarray(weights)
        kernels.row_dots(values, weights.reshape(n_runs, -1, n_hidden), out)
        return out
    if of_k:
        return np.asarray(np.matmul(values, weights[:, :, None])[:, :, 0])
    return np.asarray(np.vecdot(values, weights))


def weighted_sums(
    weights: Array,
    scale: Array,
    values: Array,
    times: Array | None,
    others: Array | None,
    out: Array,
    memory: Memory,
) -> None:
    """Write sum_n weights_mn scale_n times_nk values_nk to ``out`` (M, R, K).

    If there are ``others`` (R, N, K), ``out`` (M + 1, R, K) ends with
    sum_n scale_n times_nk others_nk. ``weights`` is (R, M, N), ``scale`` (R, N), ``values`` and
    ``times`` (None stands for 1) are (R, N, K).

    Raises
    ------
    ValueError
        Arrays whose shapes do not fit each other.
    """
    n_runs, n_weights, n_samples = weights.shape
    shape = values.shape
    if (
        shape[:2] != (n_runs, n_samples)
        or scale.shape != shape[:2]
        or (times is not None and times.shape != shape)
        or (others is not None and others.shape != shape)
        or out.shape != (n_weights + (others is not None), n_runs, shape[2])
        or not _alike(weights, scale, values, times, others, out)
    ):
        raise ValueError(f"{weights.shape} times {shape} does not fit {out.shape}")
    kernels = _compiled(values.dtype.char)
    if kernels is not None:
        # What is not there is never read.
        with_times, with_others = times is not None, others is not None
        values = np.ascontiguousarray(values)
        times = np.ascontiguousarray(times) if with_times else values
        others = np.ascontiguousarray(others) if with_others else values
        weights = np.ascontiguousarray(weights)
        kernels.weighted_sums(weights, scale, values, times, with_times, others, with_others, out)
        return
    parts = [(weights * scale[:, None, :], values, out[:n_weights])]
    if others is not None:
        parts.append((scale[:, None, :], others, out[n_weights:]))
    for factors, array, own in parts:
        if times is not None:
            array = np.multiply(times, array, out=memory("work", array.shape))
        np.matmul(factors, array, out=own.swapaxes(0, 1))


FAR = {"d": 1e-100, "f": 1e-10}
"""Sum of exponentials below which the nearest point's distance is taken out, by precision."""


def soft_pulls(
    design: Array, columns: Array, p: Array, temperature: float, memory: Memory
) -> tuple[Array, Array]:
    """Return sum_n log t_n (R,) and sum_n c_nk (p_k - x_n) / t_n (R, K, D).

    t_n = sum_k c_nk with c_nk = exp(-|x_n - p_k|^2 / temperature). ``design`` (R, N, D + 1) holds x
    and a column of ones, ``columns`` is the same transposed, ``p`` is (R, K, D).

    Raises
    ------
    ValueError
        Arrays whose shapes or precisions do not fit each other.
    """
    n_runs, n_hidden, n_inputs = p.shape
    fitting = n_runs, design.shape[1], n_inputs + 1
    if (
        design.shape != fitting
        or columns.swapaxes(1, 2).shape != fitting
        or not _alike(design, columns, p)
    ):
        raise ValueError(f"{design.shape}, {columns.shape} do not fit {p.shape}")
    kernels = _compiled(p.dtype.char)
    if kernels is not None and n_inputs == 1:
        logs, pull = np.empty(n_runs, dtype=p.dtype), np.empty_like(p)
        flat = np.ascontiguousarray(p[:, :, 0])
        unit, far = temperature**-0.5, FAR[p.dtype.char]
        kernels.soft_pulls(columns[:, 0], flat, unit, far, logs, pull[:, :, 0])
        return logs, pull
    total = np.empty(design.shape[:2], dtype=p.dtype)
    moments = np.empty((n_runs, n_inputs + 1, n_hidden), dtype=p.dtype)
    ones = np.ones((n_hidden, 1), dtype=p.dtype)
    for rows, close in _closeness(design, p, temperature, memory):
        sums = total[rows]
        np.matmul(close, ones, out=sums[:, :, None])
        # The normaliser goes to the small factor.
        np.matmul(columns[rows] / sums[:, None, :], close, out=moments[rows])
    taken = np.zeros_like(total[:, 0])
    if np.minimum.reduce(total, axis=None) < FAR[p.dtype.char]:
        # Where all points are far, only differences of distances make exact sums.
        for row in np.flatnonzero(total.min(axis=1) < FAR[p.dtype.char]):
            run = slice(row, row + 1)
            cost = scaled_distances(design[run], p[run], temperature**-0.5)
            shift = cost.min(axis=2)
            cost -= shift[:, :, None]
            share = exp_of_negated(cost)
            total[run] = np.matmul(share, ones)[:, :, 0]
            moments[run] = np.matmul(columns[run] / total[run, None, :], share)
            taken[run] = shift.sum(axis=1)
    logs = np.vecdot(np.log(total), columns[:, -1])
    logs -= taken
    pull = p * moments[:, -1, :, None]
    pull -= moments[:, :-1].swapaxes(1, 2)
    return logs, pull


def pair_pushes(p: Array, temperature: float, memory: Memory) -> tuple[Array, Array]:
    """Return sum_k sum_{l != k} c_kl (R,) and sum_{l != k} c_kl (p_k - p_l) (R, K, D).

    c_kl = exp(-|p_k - p_l|^2 / temperature), ``p`` is (R, K, D).
    """
    kernels = _compiled(p.dtype.char)
    if kernels is not None and p.shape[2] == 1:
        total, push = np.empty(len(p), dtype=p.dtype), np.empty_like(p)
        flat = np.ascontiguousarray(p[:, :, 0])
        kernels.pair_pushes(flat, temperature**-0.5, total, push[:, :, 0])
        return total, push
    points = np.ascontiguousarray(with_ones(p))
    moments = np.empty_like(points)
    least = exp_of_negated(np.full(1, np.inf, dtype=p.dtype))
    # All ordered pairs: twice the exponentials, but whole matrices, without any gathering.
    for rows, close in _closeness(points, p, temperature, memory):
        close.reshape(len(close), -1)[:, :: p.shape[1] + 1] = least  # none is near itself
        np.matmul(close, points[rows], out=moments[rows])
    push = p * moments[:, :, -1:]
    push -= moments[:, :, :-1]
    return np.asarray(np.vecdot(moments[:, :, -1], np.ones_like(p[:, :, 0]))), push


def _closeness(
    design: Array, p: Array, temperature: float, memory: Memory
) -> Iterator[tuple[slice, Array]]:
    """Yield blocks of runs, and exp(-|x_n - p_k|^2 / temperature) (r, N, K) of each."""
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


def adaptive_step(
    grad: Array, mean: Array, square: Array, decays: tuple[float, float], floor: float, scale: float
) -> tuple[Array, Array, Array]:
    """Return scale m / (sqrt(s) + floor), and m and s.

    m = decays[0] ``mean`` + ``grad`` and s = decays[1] ``square`` + ``grad``^2, of one shape.
    """
    kernels = _compiled(grad.dtype.char)
    kinds = {(array.dtype, array.shape, array.flags.c_contiguous) for array in (mean, square)}
    if kernels is not None and grad.ndim == 1 and kinds == {(grad.dtype, grad.shape, True)}:
        grad = np.ascontiguousarray(grad)
        new = np.empty_like(grad), np.empty_like(grad), np.empty_like(grad)
        kernels.adaptive_step(grad, mean, square, *decays, floor, scale, *new)
        return new
    mean = decays[0] * mean
    mean += grad
    square = decays[1] * square
    square += np.square(grad)
    bottom = np.sqrt(square)
    bottom += floor
    change = mean / bottom
    change *= scale
    return change, mean, square


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
