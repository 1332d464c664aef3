"""Loops over rows of numbers, compiled by numba: what `mlpspec.training.kernel` is made of.

All rows lie in one array ``a``, and a row is known by the index of its first number. ``x`` and
``out`` are such indices, ``j`` one in a row. A loop that writes one row and reads a few is compiled
for vectors; a sum is kept in registers. The compiler may join products to sums, take reciprocals
for divisions and ignore the sign of zero, and in what is marked `compiled_sum` it may reorder sums.
That nothing is NaN or infinite may not be assumed, since that is how divergence is seen. numba
infers types, so that there are no annotations.
"""

from __future__ import annotations

import math
import sys

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from mlpspec.arrays import CUT

MATH = {"nogil": True, "error_model": "numpy", "boundscheck": False}
compiled = numba.njit(**MATH, fastmath={"contract", "nsz", "arcp"})
compiled_sum = numba.njit(**MATH, fastmath={"contract", "nsz", "arcp", "reassoc"})
"""For functions that sum over a row: in any order, but always in the same."""

u = np.uint64  # a signed index might count from the end, and numba would not use vectors

MOST = CUT[np.dtype(np.float64)]  # the largest exponent

LARGEST = sys.float_info.max

# exp(-a) = 2^k (1 + r + r^2 q(r)), k the whole number nearest to -a / ln 2, r = -a - k ln 2. A sum
# near 1.5 2^52 is whole and its lowest bits are those of k + 1023, which is the exponent of 2^k.
# ln 2 is taken off in two parts, of which k times the first is exact. q interpolates
# (exp(r) - 1 - r) / r^2 at the Chebyshev nodes of |r| <= 1.0001 ln(2) / 2.
SHIFT = 1.5 * 2.0**52 + 1023.0
PER_LN2 = 1.0 / math.log(2.0)
LN2, LN2_REST = 0.6931471805592082, 7.371002565167799e-13
Q0, Q1, Q2 = 0.5000000000000001, 0.16666666666666669, 0.04166666666662413
Q3, Q4, Q5 = 0.008333333333330062, 0.0013888888917213717, 0.00019841269863053618
Q6, Q7, Q8 = 2.4801521295954376e-05, 2.7557268459997064e-06, 2.7620088445409746e-07
Q9 = 2.510038549551032e-08


@intrinsic
def power_of_two(_, shifted):
    """Compile 2^k from k + `SHIFT`, whose bits are moved to where an exponent is."""

    def generate(_, build, __, arguments):
        whole = ir.IntType(64)
        moved = build.shl(build.bitcast(arguments[0], whole), ir.Constant(whole, 52))
        return build.bitcast(moved, ir.DoubleType())

    return shifted(shifted), generate


@compiled
def exponential(a):
    """Return exp(-min(a, 340)) for a >= 0, to 1.2 units in the last place; NaN stays NaN."""
    a = MOST if a > MOST else a
    shifted = SHIFT - a * PER_LN2
    k = shifted - SHIFT
    r = (-a - k * LN2) - k * LN2_REST
    q = ((((Q9 * r + Q8) * r + Q7) * r + Q6) * r + Q5) * r + Q4
    q = (((q * r + Q3) * r + Q2) * r + Q1) * r + Q0
    scale = power_of_two(shifted)
    return scale + scale * (r + r * r * q)


@compiled
def exponentials(a, x, size):
    """Overwrite x with exp(-min(x, 340))."""
    for j in range(size):
        a[u(x + j)] = exponential(a[u(x + j)])


@compiled
def fill(a, out, value, size):
    """Write ``value``."""
    for j in range(size):
        a[u(out + j)] = value


@compiled
def add_times(a, x, factor, out, size):
    """Do out += factor x."""
    for j in range(size):
        a[u(out + j)] += factor * a[u(x + j)]


@compiled
def multiply(a, x, out, size):
    """Do out *= x."""
    for j in range(size):
        a[u(out + j)] *= a[u(x + j)]


@compiled
def squared_line(a, x, w, b, out, size):
    """Write (w x + b)^2."""
    for j in range(size):
        z = w * a[u(x + j)] + b
        a[u(out + j)] = z * z


@compiled
def squared_distance(a, x, x_step, p, p_step, d, unit, out, size):
    """Write |x_j - p|^2 unit^2; coordinates of a point lie a step apart."""
    first = a[p]
    for j in range(size):
        gap = (a[u(x + j)] - first) * unit
        a[u(out + j)] = gap * gap
    for _ in range(1, d):
        x, p = x + x_step, p + p_step
        other = a[p]
        for j in range(size):
            gap = (a[u(x + j)] - other) * unit
            a[u(out + j)] += gap * gap


@compiled_sum
def dot(a, x, y, size):
    """Return sum_j x_j y_j."""
    total = 0.0
    for j in range(size):
        total += a[u(x + j)] * a[u(y + j)]
    return total


@compiled_sum
def sum_of(a, x, size):
    """Return sum_j x_j."""
    total = 0.0
    for j in range(size):
        total += a[u(x + j)]
    return total


@compiled_sum
def dot_gaps(a, c, e, x, p, size):
    """Return sum_j c_j e_j (p - x_j)."""
    total = 0.0
    for j in range(size):
        total += a[u(c + j)] * a[u(e + j)] * (p - a[u(x + j)])
    return total


@compiled
def keep_least(a, x, least, which, number, size):
    """Where x is below ``least``, write it there, and ``number`` in ``which``."""
    for j in range(size):
        less = a[u(x + j)] < a[u(least + j)]
        a[u(which + j)] = number if less else a[u(which + j)]
        a[u(least + j)] = a[u(x + j)] if less else a[u(least + j)]


@compiled_sum
def sum_gaps_where(a, which, number, x, p, size):
    """Return sum_j (p - x_j) over the j at which ``which`` is ``number``."""
    total = 0.0
    for j in range(size):
        total += p - a[u(x + j)] if a[u(which + j)] == number else 0.0
    return total


@compiled_sum
def pushes(a, c, x, p, size):
    """Return sum_j c_j and sum_j c_j (p - x_j)."""
    total = push = 0.0
    for j in range(size):
        total += a[u(c + j)]
        push += a[u(c + j)] * (p - a[u(x + j)])
    return total, push


@compiled
def invert(a, t, out, size):
    """Write 1 / t."""
    for j in range(size):
        a[u(out + j)] = 1.0 / a[u(t + j)]


@compiled_sum
def residuals(a, f, y, scale, out, size):
    """Write scale (f - y) and return its sum, and that of (f - y)^2."""
    first = second = 0.0
    for j in range(size):
        gap = a[u(f + j)] - a[u(y + j)]
        a[u(out + j)] = scale * gap
        first += scale * gap
        second += gap * gap
    return first, second


# With r_n the scaled residual, t_n = sum_k h_nk and o the scaled weight of the overlap,
# dL/dh_nk = r_n v_k + o (t_n - h_nk), and dL/dz_nk = -2 e_n z_nk with e_n = h_nk dL/dh_nk.


@compiled_sum
def driven_line(a, x, w, b, h, r, v, t, o, size):
    """Return sum_n e_n z_n x_n, sum_n e_n z_n and sum_n r_n h_n of a neuron on a line."""
    of_x = of_1 = of_h = 0.0
    for j in range(size):
        rh = a[u(r + j)] * a[u(h + j)]
        e = v * rh + o * (a[u(t + j)] - a[u(h + j)]) * a[u(h + j)]
        ez = e * (w * a[u(x + j)] + b)
        of_x += ez * a[u(x + j)]
        of_1 += ez
        of_h += rh
    return of_x, of_1, of_h


@compiled_sum
def driven(a, h, r, v, t, o, out, size):
    """Write e_n of a neuron and return sum_n r_n h_n."""
    of_h = 0.0
    for j in range(size):
        a[u(out + j)] = a[u(h + j)] * (v * a[u(r + j)] + o * (a[u(t + j)] - a[u(h + j)]))
        of_h += a[u(r + j)] * a[u(h + j)]
    return of_h


@compiled
def is_finite(a, x, size):
    """Return whether all numbers of a row are finite."""
    count = 0
    for j in range(size):
        count += abs(a[u(x + j)]) <= LARGEST
    return count == size
