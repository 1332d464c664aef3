"""The compiled kernel: the textbook's mathematics for one run at a time, in plain numba.

`mlpspec.network` and `mlpspec.losses` say what is computed; here it is again for speed, in float64,
for the fit, coverage, separation and overlap, both neurons and any N, K and D. What makes it fast:

- Neurons are outside, samples inside: a neuron's derivatives are then sums over samples in
  registers, and their loop writes nothing.
- All exponentials of a term are one long loop (`exponentials`). Samples are padded to a multiple of
  eight, so that no loop has a slow tail; what is padded has h = 0, or weight 0.
- On a line the inputs are sorted. From `WINDOWED` samples on, a neuron meets only those for which
  |z| < `REACH`, since h is below 1e-20 elsewhere; likewise pairs of points whose exponent is above
  `NEGLIGIBLE`.

All numbers of a run lie in one array ``a``, and a row of them is known by the place where it begins
(`Layout`). Slices would be counted references, which take longer than short loops. And bits must
not depend on where arrays lie in memory: loops that are compiled for vectors compare addresses, and
take another path where arrays are near; here distances follow from N, K and D alone.

Sums may be reordered and products joined to sums by the compiler; that nothing is NaN or infinite
may not be assumed, since that is how divergence is seen.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic, register_jitable

from mlpspec.network.neurons import PROTOTYPE_EPS
from mlpspec.training.optimizers import RULES

EXACT = {
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "fastmath": {"contract", "nsz", "arcp"},
}
SUMS = EXACT | {"fastmath": {"contract", "nsz", "arcp", "reassoc"}}
"""For functions that sum over an array: in any order, but always in the same."""

EXACT_MATH, SUM_MATH = numba.njit(**EXACT), numba.njit(**SUMS)
adam, gradient_descent = (EXACT_MATH(RULES[name]) for name in ("adam", "gradient_descent"))

CUT = 340.0
"""Largest exponent, as in `mlpspec.arrays.exp_of_negated`."""

REACH, NEGLIGIBLE, WINDOWED = 6.8, 50.0, 32

# ------------------------------------------------------------------------------- exponentials

# exp(-a) = 2^k (1 + r + r^2 q(r)), k the whole number nearest to -a / ln 2, r = -a - k ln 2. A sum
# near 1.5 2^52 is whole and its lowest bits are those of k + 1023, which is the exponent of 2^k.
# ln 2 is taken off in two parts, of which k times the first is exact. q interpolates
# (exp(r) - 1 - r) / r^2 at the Chebyshev nodes of |r| <= 1.0001 ln(2) / 2.
SHIFT = 1.5 * 2.0**52 + 1023.0
PER_LN2 = 1.0 / math.log(2.0)
LN2, LN2_REST = 0.6931471805592082, 7.371002565167799e-13
Q0, Q1, Q2, Q3, Q4 = (
    0.5000000000000001,
    0.16666666666666669,
    0.04166666666662413,
    0.008333333333330062,
    0.0013888888917213717,
)
Q5, Q6, Q7, Q8, Q9 = (
    0.00019841269863053618,
    2.4801521295954376e-05,
    2.7557268459997064e-06,
    2.7620088445409746e-07,
    2.510038549551032e-08,
)


@intrinsic
def power_of_two(_: Any, shifted: Any) -> Any:
    """Compile 2^k from k + `SHIFT`, whose bits are moved to where an exponent is."""

    def generate(_: Any, build: Any, __: Any, arguments: Any) -> Any:
        whole = ir.IntType(64)
        moved = build.shl(build.bitcast(arguments[0], whole), ir.Constant(whole, 52))
        return build.bitcast(moved, ir.DoubleType())

    return shifted(shifted), generate


@EXACT_MATH
def exponential(a: float) -> float:
    """Return exp(-min(a, 340)) for a >= 0, to 1.1 units in the last place; NaN stays NaN."""
    a = CUT if a > CUT else a
    shifted = SHIFT - a * PER_LN2
    k = shifted - SHIFT
    r = (-a - k * LN2) - k * LN2_REST
    q = ((((Q9 * r + Q8) * r + Q7) * r + Q6) * r + Q5) * r + Q4
    q = (((q * r + Q3) * r + Q2) * r + Q1) * r + Q0
    scale = power_of_two(shifted)
    return scale + scale * (r + r * r * q)


@EXACT_MATH
def exponentials(a: Any, row: int, size: int) -> None:
    """Overwrite a row with exp(-min(a, 340))."""
    row = np.uint64(row)  # a signed index might count from the end, which costs the vectors
    for i in range(np.uint64(size)):
        a[row + i] = exponential(a[row + i])


# ------------------------------------------------------------------------------- one run's memory


class Layout(NamedTuple):
    """The sizes of a run, and where its rows begin in ``a``.

    Rows are of P parameters as `Params.flatten` orders them, of N samples (D of them are the
    inputs) or of K neurons, each padded to a multiple of eight.
    """

    n: int
    k: int
    d: int
    radial: int
    windowed: int
    size: int  # P
    n_padded: int
    k_padded: int
    theta: int
    grad: int
    m: int  # moments of the optimiser
    s: int
    before: int  # theta of the last step
    x: int
    y: int
    f: int
    r: int  # residuals, scaled
    t: int  # sums over k
    u: int  # one over them, or a row to work in
    p: int  # prototypes
    q: int  # dL/dp
    sorted: int
    push: int
    h: int  # exponentials, row by row
    end: int


SETTINGS = ("fit", "coverage", "separation", "overlap", "coverage_tau", "separation_tau")
"""What ``a`` begins with: weights, of which 0 leaves a term out, and temperatures."""

VALUES = ("objective", "fit", "coverage", "separation", "overlap")
"""What follows from the ninth number on: unweighted values; coverage's only where it is wanted."""


@register_jitable
def padded(size: int) -> int:
    """Return ``size``, rounded up to a multiple of 8."""
    return (size + 7) // 8 * 8


@register_jitable
def layout(n: int, k: int, d: int, radial: int, windowed: int) -> Layout:
    """Return the layout of a run of N samples, K neurons and D inputs."""
    size, ns, ks = k * (d + 2) + 1, padded(n), padded(k)
    theta, step = 16, padded(size)
    x = theta + 5 * step
    y = x + d * ns
    p = y + 5 * ns
    push = p + (2 * d + 1) * ks
    h = push + ks
    return Layout(
        n,
        k,
        d,
        radial,
        windowed,
        size,
        ns,
        ks,
        theta,
        theta + step,
        theta + 2 * step,
        theta + 3 * step,
        theta + 4 * step,
        x,
        y,
        y + ns,
        y + 2 * ns,
        y + 3 * ns,
        y + 4 * ns,
        p,
        p + d * ks,
        push - ks,
        push,
        h,
        h + k * max(ns, ks),
    )


# ------------------------------------------------------------------------------- windows

# marks (K, 5): which samples neuron k responds to, first and last; which are near its prototype;
# and which neuron is in place k when prototypes are sorted.
RESPONDS, NEAR, ORDER = 0, 2, 4


@EXACT_MATH
def move_window(
    a: Any, marks: Any, at: Layout, i: int, which: int, left: float, right: float
) -> None:
    """Mark the samples with left <= x < right; the ones that were marked are seldom far."""
    x, low, high = at.x, marks[i, which], marks[i, which + 1]
    while low > 0 and a[x + low - 1] >= left:
        low -= 1
    while low < at.n and a[x + low] < left:
        low += 1
    while high < at.n and a[x + high] < right:
        high += 1
    while high > 0 and a[x + high - 1] >= right:
        high -= 1
    marks[i, which], marks[i, which + 1] = low, high


@EXACT_MATH
def window(marks: Any, i: int, which: int) -> tuple[int, int]:
    """Return the first of the marked samples, and their number, in whole eights."""
    first = marks[i, which] // 8 * 8
    return first, max(0, padded(marks[i, which + 1]) - first)


# ------------------------------------------------------------------------------- loops


@EXACT_MATH
def squared_line(a: Any, x: int, w: float, b: float, out: int, size: int) -> None:
    """Write (w x + b)^2."""
    x, out = np.uint64(x), np.uint64(out)
    for i in range(np.uint64(size)):
        z = w * a[x + i] + b
        a[out + i] = z * z


@EXACT_MATH
def squared_gap(a: Any, x: int, p: float, unit: float, out: int, size: int) -> None:
    """Write ((x - p) unit)^2."""
    x, out = np.uint64(x), np.uint64(out)
    for i in range(np.uint64(size)):
        gap = (a[x + i] - p) * unit
        a[out + i] = gap * gap


@EXACT_MATH
def add_squared_gap(a: Any, x: int, p: float, unit: float, out: int, size: int) -> None:
    """Add ((x - p) unit)^2."""
    x, out = np.uint64(x), np.uint64(out)
    for i in range(np.uint64(size)):
        gap = (a[x + i] - p) * unit
        a[out + i] += gap * gap


@EXACT_MATH
def add_times(a: Any, x: int, factor: float, out: int, size: int) -> None:
    """Add ``factor`` x."""
    x, out = np.uint64(x), np.uint64(out)
    for i in range(np.uint64(size)):
        a[out + i] += factor * a[x + i]


@EXACT_MATH
def multiply(a: Any, x: int, out: int, size: int) -> None:
    """Multiply by x."""
    x, out = np.uint64(x), np.uint64(out)
    for i in range(np.uint64(size)):
        a[out + i] *= a[x + i]


@SUM_MATH
def dot(a: Any, x: int, y: int, size: int) -> float:
    """Return sum_i x_i y_i."""
    x, y = np.uint64(x), np.uint64(y)
    total = 0.0
    for i in range(np.uint64(size)):
        total += a[x + i] * a[y + i]
    return total


@SUM_MATH
def sum_of(a: Any, x: int, size: int) -> float:
    """Return sum_i x_i."""
    x, total = np.uint64(x), 0.0
    for i in range(np.uint64(size)):
        total += a[x + i]
    return total


@SUM_MATH
def dot_gaps(a: Any, c: int, u: int, x: int, p: float, size: int) -> float:
    """Return sum_i c_i u_i (p - x_i)."""
    c, u, x = np.uint64(c), np.uint64(u), np.uint64(x)
    total = 0.0
    for i in range(np.uint64(size)):
        total += a[c + i] * a[u + i] * (p - a[x + i])
    return total


@SUM_MATH
def pushes(a: Any, c: int, q: int, p: float, size: int) -> tuple[float, float]:
    """Return sum_l c_l and sum_l c_l (p - q_l)."""
    c, q = np.uint64(c), np.uint64(q)
    total = push = 0.0
    for i in range(np.uint64(size)):
        total += a[c + i]
        push += a[c + i] * (p - a[q + i])
    return total, push


@SUM_MATH
def mutual_pushes(a: Any, c: int, q: int, p: float, out: int, size: int) -> tuple[float, float]:
    """Return what `pushes` does, and take each c_l (p - q_l) off ``out``."""
    c, q, out = np.uint64(c), np.uint64(q), np.uint64(out)
    total = push = 0.0
    for i in range(np.uint64(size)):
        force = a[c + i] * (p - a[q + i])
        total += a[c + i]
        push += force
        a[out + i] -= force
    return total, push


@SUM_MATH
def invert(a: Any, t: int, least: float, out: int, size: int) -> int:
    """Write 1 / t and return how many t are below ``least``."""
    t, out, count = np.uint64(t), np.uint64(out), 0
    for i in range(np.uint64(size)):
        a[out + i] = 1.0 / a[t + i]
        count += a[t + i] < least
    return count


@SUM_MATH
def residuals(a: Any, f: int, y: int, scale: float, out: int, size: int) -> tuple[float, float]:
    """Write scale (f - y) and return its sum, and that of (f - y)^2."""
    f, y, out = np.uint64(f), np.uint64(y), np.uint64(out)
    first = second = 0.0
    for i in range(np.uint64(size)):
        gap = a[f + i] - a[y + i]
        a[out + i] = scale * gap
        first += scale * gap
        second += gap * gap
    return first, second


# With r_n the scaled residual, t_n = sum_k h_nk and o the scaled weight of the overlap,
# dL/dh_nk = r_n v_k + o (t_n - h_nk), and dL/dz_nk = -2 e_n z_nk with e_n = h_nk dL/dh_nk.


@SUM_MATH
def driven_line(
    a: Any, x: int, w: float, b: float, h: int, r: int, v: float, size: int
) -> tuple[float, float, float]:
    """Return sum_n e_n z_n x_n, sum_n e_n z_n and sum_n r_n h_n of a neuron on a line; o = 0."""
    x, h, r = np.uint64(x), np.uint64(h), np.uint64(r)
    of_x = of_1 = of_h = 0.0
    for i in range(np.uint64(size)):
        rh = a[r + i] * a[h + i]
        rhz = rh * (w * a[x + i] + b)
        of_x += rhz * a[x + i]
        of_1 += rhz
        of_h += rh
    return v * of_x, v * of_1, of_h


@SUM_MATH
def driven_line_overlap(
    a: Any, x: int, w: float, b: float, h: int, r: int, v: float, t: int, o: float, size: int
) -> tuple[float, float, float]:
    """Return what `driven_line` does, with overlap."""
    x, h, r, t = np.uint64(x), np.uint64(h), np.uint64(r), np.uint64(t)
    of_x = of_1 = of_h = 0.0
    for i in range(np.uint64(size)):
        rh = a[r + i] * a[h + i]
        e = v * rh + o * (a[t + i] - a[h + i]) * a[h + i]
        ez = e * (w * a[x + i] + b)
        of_x += ez * a[x + i]
        of_1 += ez
        of_h += rh
    return of_x, of_1, of_h


@SUM_MATH
def driven(
    a: Any, h: int, r: int, v: float, t: int, o: float, out: int, size: int
) -> tuple[float, float]:
    """Write e_n of a neuron and return its sum, and sum_n r_n h_n."""
    h, r, t, out = np.uint64(h), np.uint64(r), np.uint64(t), np.uint64(out)
    of_1 = of_h = 0.0
    for i in range(np.uint64(size)):
        e = a[h + i] * (v * a[r + i] + o * (a[t + i] - a[h + i]))
        a[out + i] = e
        of_1 += e
        of_h += a[r + i] * a[h + i]
    return of_1, of_h


@EXACT_MATH
def fill(a: Any, row: int, value: float, size: int) -> None:
    """Write ``value``."""
    row = np.uint64(row)
    for i in range(np.uint64(size)):
        a[row + i] = value


@EXACT_MATH
def squared_distance(
    a: Any, x: int, x_step: int, p: int, p_step: int, d: int, unit: float, out: int, size: int
) -> None:
    """Write |x_i - p|^2 unit^2; coordinates of points lie a step apart."""
    squared_gap(a, x, a[p], unit, out, size)
    for m in range(1, d):
        add_squared_gap(a, x + m * x_step, a[p + m * p_step], unit, out, size)


# ------------------------------------------------------------------------------- coverage


@EXACT_MATH
def add_coverage(a: Any, marks: Any, at: Layout, want: bool) -> None:
    """Add to dL/dp what follows from coverage; set its value if that is wanted.

    c_nk = exp(-|x_n - p_k|^2 / tau), t_n = sum_k c_nk, L = -tau mean_n log(t_n / K) and
    dL/dp_k = (2 / N) sum_n c_nk (p_k - x_n) / t_n. Where t_n is small, the exponent of the nearest
    prototype is first taken out of all.
    """
    tau, ns, ks = a[4], at.n_padded, at.k_padded
    unit, scale = 1.0 / math.sqrt(tau), 2.0 * a[1] / at.n
    reach, least = math.sqrt(NEGLIGIBLE * tau), 1e-5 if at.windowed else 1e-100
    c = at.h
    for i in range(at.k):
        if at.windowed:
            p = a[at.p + i]
            move_window(a, marks, at, i, NEAR, p - reach, p + reach)
        first, size = window(marks, i, NEAR)
        squared_distance(a, at.x + first, ns, at.p + i, ks, at.d, unit, c, size)
        c += size
    exponentials(a, at.h, c - at.h)
    fill(a, at.t, 0.0, ns)
    c = at.h
    for i in range(at.k):
        first, size = window(marks, i, NEAR)
        add_times(a, c, 1.0, at.t + first, size)
        c += size
    n_far = invert(a, at.t, least, at.u, ns)
    logs = 0.0
    if n_far > 0 or want:
        for j in range(at.n):
            if a[at.t + j] < least:
                a[at.u + j] = 0.0
                logs += add_far(a, at, j, unit, scale)
            else:
                logs += math.log(a[at.t + j])
    fill(a, at.u + at.n, 0.0, ns - at.n)
    c = at.h
    for i in range(at.k):
        first, size = window(marks, i, NEAR)
        for m in range(at.d):
            x, p = at.x + m * ns + first, a[at.p + m * ks + i]
            a[at.q + m * ks + i] += scale * dot_gaps(a, c, at.u + first, x, p, size)
        c += size
    a[10] = tau * (math.log(at.k) - logs / at.n)


@EXACT_MATH
def add_far(a: Any, at: Layout, j: int, unit: float, scale: float) -> float:
    """Add to dL/dp what sample j says, which is far from all prototypes; return log t_j."""
    ns, ks, row = at.n_padded, at.k_padded, at.push
    squared_distance(a, at.p, ks, at.x + j, ns, at.d, unit, row, at.k)
    nearest = a[row]
    for i in range(1, at.k):
        nearest = min(nearest, a[row + i])
    for i in range(at.k):
        a[row + i] -= nearest
    exponentials(a, row, at.k)
    total = sum_of(a, row, at.k)
    for m in range(at.d):
        x = a[at.x + m * ns + j]
        for i in range(at.k):
            share = a[row + i] / total
            a[at.q + m * ks + i] += scale * share * (a[at.p + m * ks + i] - x)
    return math.log(total) - nearest


# ------------------------------------------------------------------------------- separation


@EXACT_MATH
def add_separation(a: Any, at: Layout) -> None:
    """Add to dL/dp what follows from separation; set its value.

    c_kl = exp(-|p_k - p_l|^2 / tau), L = mean_{k<l} c_kl and
    dL/dp_k = -(4 / (tau K (K - 1))) sum_{l != k} c_kl (p_k - p_l).
    """
    tau, ks, row = a[5], at.k_padded, at.push
    unit, n_pairs = 1.0 / math.sqrt(tau), at.k * (at.k - 1)
    total = 0.0
    for i in range(at.k):
        squared_distance(a, at.p, ks, at.p + i, ks, at.d, unit, row, at.k)
        exponentials(a, row, at.k)
        for m in range(at.d):
            p = at.p + m * ks
            near, push = pushes(a, row, p, a[p + i], at.k)
            a[at.q + m * ks + i] -= 4.0 * a[2] / (tau * n_pairs) * push
        total += near - 1.0
    a[11] = total / n_pairs


@EXACT_MATH
def add_separation_line(a: Any, marks: Any, at: Layout) -> None:
    """Do what `add_separation` does, on a line, where each pair is met once, by its lower one.

    Prototypes are sorted. A block of eight meets itself whole, so that all rows begin at eights.
    """
    tau, q = a[5], at.sorted
    unit, reach, n_pairs = 1.0 / math.sqrt(tau), math.sqrt(NEGLIGIBLE * tau), at.k * (at.k - 1)
    if not at.windowed:
        reach = math.inf
    sort_prototypes(a, marks, at)
    fill(a, q + at.k, a[q + at.k - 1] + 1e3 * math.sqrt(tau), at.k_padded - at.k)
    fill(a, at.push, 0.0, at.k_padded)
    c, end = at.h, 8
    for i in range(at.k):
        begin, end = lower_block(a, at, i, end, reach)
        squared_gap(a, q + begin, a[q + i], unit, c, end - begin)
        c += end - begin
    exponentials(a, at.h, c - at.h)
    c, end, total = at.h, 8, 0.0
    for i in range(at.k):
        begin, end = lower_block(a, at, i, end, reach)
        p, rest = a[q + i], begin + 8
        near, push = pushes(a, c, q + begin, p, 8)
        far, push_far = mutual_pushes(a, c + 8, q + rest, p, at.push + rest, end - rest)
        total += near - 1.0 + 2.0 * far
        a[at.push + i] += push + push_far
        c += end - begin
    for i in range(at.k):
        a[at.q + marks[i, ORDER]] -= 4.0 * a[2] / (tau * n_pairs) * a[at.push + i]
    a[11] = total / n_pairs


@EXACT_MATH
def sort_prototypes(a: Any, marks: Any, at: Layout) -> None:
    """Write the prototypes in ascending order, and the order, which is seldom far from the last."""
    for i in range(at.k):
        index = marks[i, ORDER]
        value, j = a[at.p + index], i
        while j > 0 and a[at.sorted + j - 1] > value:
            a[at.sorted + j], marks[j, ORDER] = a[at.sorted + j - 1], marks[j - 1, ORDER]
            j -= 1
        a[at.sorted + j], marks[j, ORDER] = value, index


@EXACT_MATH
def lower_block(a: Any, at: Layout, i: int, end: int, reach: float) -> tuple[int, int]:
    """Return which sorted prototypes the i-th one meets: from its block to the last within reach.

    ``end`` is where those of the one before it end.
    """
    begin = i // 8 * 8
    end = max(end, begin + 8)
    while end < at.k_padded and a[at.sorted + end] - a[at.sorted + i] < reach:
        end += 8
    return begin, end


# ------------------------------------------------------------------------------- neurons


@EXACT_MATH
def line(a: Any, at: Layout, i: int) -> tuple[float, float]:
    """Return w and b of z = w x + b; on a line a radial neuron s, c is the ridge s, -s c."""
    w, b = a[at.theta + i], a[at.theta + at.k + i]
    return (w, -w * b) if at.radial else (w, b)


@EXACT_MATH
def preactivation(a: Any, at: Layout, i: int, out: int) -> None:
    """Write z_n = w . x_n + b of a ridge."""
    w = at.theta + i * at.d
    fill(a, out, a[at.theta + at.k * at.d + i], at.n_padded)
    for m in range(at.d):
        add_times(a, at.x + m * at.n_padded, a[w + m], out, at.n_padded)


@EXACT_MATH
def place(a: Any, at: Layout) -> None:
    """Write the prototypes: -b w / (|w|^2 + eps), or the centers."""
    for i in range(at.k):
        w, factor = at.theta + i * at.d, 1.0
        if at.radial:
            w += at.k
        else:
            factor = -a[at.theta + at.k * at.d + i] / (dot(a, w, w, at.d) + PROTOTYPE_EPS)
        for m in range(at.d):
            a[at.p + m * at.k_padded + i] = factor * a[w + m]


@EXACT_MATH
def pull_back(a: Any, at: Layout) -> None:
    """Add to the gradient what follows from q = dL/dp, as `RidgeParams` and `RadialParams` do."""
    for i in range(at.k):
        w, of_w, q = at.theta + i * at.d, at.grad + i * at.d, at.q + i
        if at.radial:
            for m in range(at.d):
                a[of_w + at.k + m] += a[q + m * at.k_padded]
            continue
        b, size, along = a[at.theta + at.k * at.d + i], PROTOTYPE_EPS, 0.0
        for m in range(at.d):
            size += a[w + m] * a[w + m]
            along += a[q + m * at.k_padded] * a[w + m]
        along /= size
        a[at.grad + at.k * at.d + i] -= along
        for m in range(at.d):
            a[of_w + m] -= b / size * (a[q + m * at.k_padded] - 2.0 * along * a[w + m])


@EXACT_MATH
def respond(a: Any, marks: Any, at: Layout) -> None:
    """Write the responses h of all neurons to the samples in their windows."""
    ns, h = at.n_padded, at.h
    for i in range(at.k):
        w, b = line(a, at, i)
        if at.windowed:
            left, right = (-REACH - b) / w, (REACH - b) / w
            move_window(a, marks, at, i, RESPONDS, min(left, right), max(left, right))
        first, size = window(marks, i, RESPONDS)
        if at.d == 1:
            squared_line(a, at.x + first, w, b, h, size)
        elif at.radial:
            squared_distance(a, at.x, ns, at.p + i, at.k_padded, at.d, w, h, size)
        else:
            preactivation(a, at, i, h)
            multiply(a, h, h, size)
        h += size
    exponentials(a, at.h, h - at.h)
    h = at.h
    for i in range(at.k):
        first, size = window(marks, i, RESPONDS)
        fill(a, h + at.n - first, 0.0, max(0, first + size - at.n))  # what is padded
        h += size


@EXACT_MATH
def pull_back_line(a: Any, at: Layout, i: int, h: int, first: int, size: int, o: float) -> None:
    """Write the gradient of neuron i on a line."""
    w, b = line(a, at, i)
    v, x, r = a[at.theta + 2 * at.k + i], at.x + first, at.r + first
    if o == 0.0:
        of_x, of_1, of_h = driven_line(a, x, w, b, h, r, v, size)
    else:
        of_x, of_1, of_h = driven_line_overlap(a, x, w, b, h, r, v, at.t + first, o, size)
    of_w, of_b = -2.0 * of_x, -2.0 * of_1
    if at.radial:
        of_w, of_b = of_w - a[at.theta + at.k + i] * of_b, -w * of_b
    a[at.grad + i], a[at.grad + at.k + i], a[at.grad + 2 * at.k + i] = of_w, of_b, of_h


@EXACT_MATH
def pull_back_space(a: Any, at: Layout, i: int, h: int, o: float) -> None:
    """Write the gradient of neuron i above one dimension; its responses are no longer needed."""
    ns, e, v = at.n_padded, at.u, at.k * (at.d + 1) + i
    of_1, a[at.grad + v] = driven(a, h, at.r, a[at.theta + v], at.t, o, e, ns)
    if at.radial:
        s, of_c = a[at.theta + i], at.grad + at.k + i * at.d
        squared_distance(a, at.x, ns, at.p + i, at.k_padded, at.d, 1.0, h, ns)
        a[at.grad + i] = -2.0 * s * dot(a, e, h, ns)
        for m in range(at.d):
            pull = dot(a, e, at.x + m * ns, ns) - a[at.p + m * at.k_padded + i] * of_1
            a[of_c + m] = 2.0 * s * s * pull
        return
    preactivation(a, at, i, h)
    multiply(a, e, h, ns)
    for m in range(at.d):
        a[at.grad + i * at.d + m] = -2.0 * dot(a, h, at.x + m * ns, ns)
    a[at.grad + at.k * at.d + i] = -2.0 * sum_of(a, h, ns)


# ------------------------------------------------------------------------------- the objective


@EXACT_MATH
def evaluate(a: Any, marks: Any, at: Layout, want: bool) -> bool:
    """Set gradient and values at theta; return whether they are finite."""
    n, k = at.n, at.k
    place(a, at)
    fill(a, at.q, 0.0, at.d * at.k_padded)
    fill(a, 8, 0.0, 8)
    if a[1] > 0.0:
        add_coverage(a, marks, at, want)
    if a[2] > 0.0 and k > 1:
        if at.d == 1:
            add_separation_line(a, marks, at)
        else:
            add_separation(a, at)
    respond(a, marks, at)
    overlap = a[3] > 0.0 and k > 1
    v, c, squares = at.theta + k * (at.d + 1), k * (at.d + 2), 0.0
    fill(a, at.f, a[at.theta + c], n)
    fill(a, at.f + n, 0.0, at.n_padded - n)
    fill(a, at.t, 0.0, at.n_padded)
    h = at.h
    for i in range(k):
        first, size = window(marks, i, RESPONDS)
        add_times(a, h, a[v + i], at.f + first, size)
        if overlap:
            add_times(a, h, 1.0, at.t + first, size)
            squares += dot(a, h, h, size)
        h += size
    a[at.grad + c], squared = residuals(a, at.f, at.y, 2.0 * a[0] / n, at.r, at.n_padded)
    a[9], o = squared / n, 0.0
    if overlap:
        o = 2.0 / (n * k * (k - 1))
        a[12] = 0.5 * o * (dot(a, at.t, at.t, at.n_padded) - squares)
        o *= a[3]
    h = at.h
    for i in range(k):
        first, size = window(marks, i, RESPONDS)
        if at.d == 1:
            pull_back_line(a, at, i, h, first, size, o)
        else:
            pull_back_space(a, at, i, h, o)
        h += size
    if a[1] > 0.0 or a[2] > 0.0:
        pull_back(a, at)
    for i in range(4):
        if a[i] > 0.0:
            a[8] += a[i] * a[9 + i]
    return math.isfinite(a[8]) and is_finite(a, at.theta, at.grad, at.size)


@SUM_MATH
def is_finite(a: Any, theta: int, grad: int, size: int) -> bool:
    """Return whether all of both are finite."""
    theta, grad = np.uint64(theta), np.uint64(grad)
    total = 0.0
    for i in range(np.uint64(size)):
        total += 0.0 * a[theta + i] + 0.0 * a[grad + i]
    return total == 0.0


# ------------------------------------------------------------------------------- training


@EXACT_MATH
def update(a: Any, at: Layout, rule: int, t: float, numbers: Any) -> None:
    """Take step t by the rule of that number."""
    theta, grad, m, s = np.uint64(at.theta), np.uint64(at.grad), np.uint64(at.m), np.uint64(at.s)
    before = np.uint64(at.before)
    for i in range(np.uint64(at.size)):
        a[before + i] = a[theta + i]
    if rule == 0:
        for i in range(np.uint64(at.size)):
            step, a[m + i], a[s + i] = adam(a[grad + i], a[m + i], a[s + i], t, numbers)
            a[theta + i] += step
    else:
        for i in range(np.uint64(at.size)):
            step, a[m + i], a[s + i] = gradient_descent(a[grad + i], a[m + i], a[s + i], t, numbers)
            a[theta + i] += step


@EXACT_MATH
def advance(a: Any, marks: Any, at: Layout, rule: int, numbers: Any, t: int, stop: int) -> int:
    """Train a run from step t to step ``stop``; return -1, or the last step that was finite.

    At t = -1 nothing is known yet. Where objective or gradient are not finite, the parameters
    before are the last, and the gradient is theirs.
    """
    fresh, lost = t < 0, False
    t = max(t, 0)
    while fresh or t < stop:
        if not fresh:
            update(a, at, rule, t + 1.0, numbers)
            t += 1
        finite = evaluate(a, marks, at, fresh or t == stop)
        if lost or (t == 0 and not finite):
            return t
        if not finite:
            for i in range(at.size):
                a[at.theta + i] = a[at.before + i]
            t, lost = t - 1, True
        fresh = lost
    return -1


@EXACT_MATH
def copy_places(a: Any, at: Layout, order: Any, f: Any, p: Any) -> None:
    """Write f (N,) and p (K, D) of a run, its samples in their first ``order``."""
    for j in range(at.n):
        f[order[j]] = a[at.f + j]
    for i in range(at.k):
        for m in range(at.d):
            p[i, m] = a[at.p + m * at.k_padded + i]


@EXACT_MATH
def copy_responses(a: Any, at: Layout, order: Any, z: Any, h: Any) -> None:
    """Write z and h (N, K) of a run, its samples in their first ``order``."""
    for j in range(at.n):
        n = order[j]
        for i in range(at.k):
            if at.d == 1:
                w, b = line(a, at, i)
                z[n, i] = w * a[at.x + j] + b
                continue
            total = 0.0 if at.radial else a[at.theta + at.k * at.d + i]
            for m in range(at.d):
                x = a[at.x + m * at.n_padded + j]
                if at.radial:
                    gap = x - a[at.p + m * at.k_padded + i]
                    total += gap * gap
                else:
                    total += a[at.theta + i * at.d + m] * x
            z[n, i] = abs(a[at.theta + i]) * math.sqrt(total) if at.radial else total
        for i in range(at.k):
            h[n, i] = exponential(z[n, i] * z[n, i])


def run_kernel(
    a: Any,
    marks: Any,
    sizes: tuple[int, int, int, int, int],
    rule: int,
    numbers: Any,
    t: int,
    stop: int,
    ended: Any,
    order: Any,
    f: Any,
    p: Any,
    z: Any,
    h: Any,
) -> None:
    """Advance R runs, a (R, ...) and marks (R, K, 5), from step t to ``stop``.

    ``ended`` (R,) is what `advance` returns. Then f and p, and z and h, are written to arrays of R
    runs, unless these have none.
    """
    at = layout(*sizes)
    for r in range(len(a)):
        ended[r] = advance(a[r], marks[r], at, rule, numbers, t, stop)
        if len(f) > 0:
            copy_places(a[r], at, order[r], f[r], p[r])
        if len(z) > 0:
            copy_responses(a[r], at, order[r], z[r], h[r])
