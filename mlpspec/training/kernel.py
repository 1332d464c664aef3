"""The compiled kernel: the textbook's mathematics for one run at a time, in plain numba.

`mlpspec.network` and `mlpspec.losses` say what is computed; here it is again for speed, in float64,
for the fit, coverage (soft or hard), separation, overlap, L1 and L2, both neurons and any N, K and
D. What makes it fast:

- Neurons are outside, samples inside: a neuron's derivatives are then sums over samples in
  registers, and on a line their loop writes nothing.
- All exponentials of a term are one long loop (`exponentials`). Samples are padded to a multiple of
  eight, so that no loop over them has a slow tail; what is padded has h = 0, or weight 0.
- On a line the inputs are sorted. From `layout.WINDOWED` samples on, a neuron meets only those for
  which |z| < `REACH`, since h is below 1e-20 elsewhere. Pairs of points whose exponent is above
  `NEGLIGIBLE` are left out likewise.

All numbers of a run lie in one array (`mlpspec.training.layout`). Slices would be counted
references, which take longer than short loops. And bits must not depend on where arrays lie in
memory: loops that are compiled for vectors compare addresses, and take another path where arrays
are near; here distances follow from N, K and D alone.

Names are the textbook's: z, h, f, v of the network and p of prototypes. ``a`` is the memory of a
run, ``at`` its layout, ``i`` a neuron, ``j`` a sample or an index in a row, ``m`` a dimension,
``c`` the row of a neuron's exponentials in coverage and separation; what takes a row takes the
index of its first number. numba infers types, so that there are no annotations.
"""

from __future__ import annotations

import math

from mlpspec.training.layout import (
    BESIDE,
    COVERAGE,
    EPSILON,
    FIT,
    L1,
    L2,
    NEAR,
    ORDER,
    OVERLAP,
    RESPONDS,
    SEPARATION,
    TAU_COVERAGE,
    TAU_SEPARATION,
    TOTAL,
    TWICE_M_OVERLAP,
    TWICE_M_SEPARATION,
    VALUE,
    lay_out,
)
from mlpspec.training.optimizers import RULES
from mlpspec.training.rows import (
    add_times,
    compiled,
    dot,
    dot_gaps,
    driven,
    driven_line,
    exponentials,
    fill,
    invert,
    is_finite,
    keep_least,
    multiply,
    pushes,
    residuals,
    squared_distance,
    squared_line,
    sum_gaps_where,
    sum_of,
    u,
)

REACH, NEGLIGIBLE = 6.8, 50.0


@compiled
def move_window(a, x, n, marks, i, which, left, right):
    """Mark the numbers of an ascending row with left <= x < right: seldom far from the last."""
    low, high = marks[i, which], marks[i, which + 1]
    while low > 0 and a[x + low - 1] >= left:
        low -= 1
    while low < n and a[x + low] < left:
        low += 1
    while high < n and a[x + high] < right:
        high += 1
    while high > 0 and a[x + high - 1] >= right:
        high -= 1
    marks[i, which], marks[i, which + 1] = low, high


@compiled
def window(marks, i, which):
    """Return the first of the marked samples, and their number, in whole eights."""
    first, last = marks[i, which] // 8 * 8, (marks[i, which + 1] + 7) // 8 * 8
    return first, max(0, last - first)


# ------------------------------------------------------------------------------- coverage


@compiled
def add_coverage(a, marks, at):
    """Add to dL/dp what follows from coverage; set its value.

    c_nk = exp(-|x_n - p_k|^2 / tau), t_n = sum_k c_nk, L = -tau mean_n log(t_n / K) and
    dL/dp_k = (2 / N) sum_n c_nk (p_k - x_n) / t_n. Where t_n is small, the exponent of the nearest
    prototype is first taken out of all.
    """
    tau, logs = a[TAU_COVERAGE], 0.0
    unit, scale = 1.0 / math.sqrt(tau), 2.0 * a[COVERAGE] / at.n
    reach, least = math.sqrt(NEGLIGIBLE * tau), 1e-5 if at.windowed else 1e-100
    c = at.h
    for i in range(at.k):
        p = at.p + i
        if at.windowed:
            move_window(a, at.x, at.n, marks, i, NEAR, a[p] - reach, a[p] + reach)
        first, size = window(marks, i, NEAR)
        squared_distance(a, at.x + first, at.ns, p, at.ks, at.d, unit, c, size)
        c += size
    exponentials(a, at.h, c - at.h)
    fill(a, at.t, 0.0, at.ns)
    c = at.h
    for i in range(at.k):
        first, size = window(marks, i, NEAR)
        add_times(a, c, 1.0, at.t + first, size)
        c += size
    invert(a, at.t, at.e, at.ns)
    fill(a, at.e + at.n, 0.0, at.ns - at.n)
    for j in range(at.n):
        if a[at.t + j] < least:
            a[at.e + j] = 0.0
            logs += add_far(a, at, j, unit, scale)
        else:
            logs += math.log(a[at.t + j])
    c = at.h
    for i in range(at.k):
        first, size = window(marks, i, NEAR)
        for m in range(at.d):
            x, p = at.x + m * at.ns + first, a[at.p + m * at.ks + i]
            a[at.q + m * at.ks + i] += scale * dot_gaps(a, c, at.e + first, x, p, size)
        c += size
    a[VALUE + COVERAGE] = tau * (math.log(at.k) - logs / at.n)


@compiled
def add_far(a, at, j, unit, scale):
    """Add to dL/dp what sample j says, which is far from all prototypes; return log t_j."""
    row = at.sorted
    squared_distance(a, at.p, at.ks, at.x + j, at.ns, at.d, unit, row, at.k)
    nearest = a[row]
    for i in range(1, at.k):
        nearest = min(nearest, a[row + i])
    for i in range(at.k):
        a[row + i] -= nearest
    exponentials(a, row, at.k)
    total = sum_of(a, row, at.k)
    for m in range(at.d):
        for i in range(at.k):
            gap = a[at.p + m * at.ks + i] - a[at.x + m * at.ns + j]
            a[at.q + m * at.ks + i] += scale * a[row + i] / total * gap
    return math.log(total) - nearest


@compiled
def add_hard_coverage(a, at):
    """Add to dL/dp what follows from hard coverage; set its value.

    L = mean_n min_k |x_n - p_k|^2 and, with k(n) the nearest, the first of equals,
    dL/dp_k = (2 / N) sum_{n: k(n) = k} (p_k - x_n).
    """
    least, nearest, scale = at.t, at.e, 2.0 * a[COVERAGE] / at.n
    fill(a, least, math.inf, at.ns)
    fill(a, nearest, 0.0, at.ns)
    for i in range(at.k):
        squared_distance(a, at.x, at.ns, at.p + i, at.ks, at.d, 1.0, at.h, at.ns)
        keep_least(a, at.h, least, nearest, i, at.ns)
    fill(a, nearest + at.n, -1.0, at.ns - at.n)
    for i in range(at.k):
        for m in range(at.d):
            p = a[at.p + m * at.ks + i]
            pull = sum_gaps_where(a, nearest, i, at.x + m * at.ns, p, at.ns)
            a[at.q + m * at.ks + i] += scale * pull
    a[VALUE + COVERAGE] = sum_of(a, least, at.n) / at.n


# ------------------------------------------------------------------------------- separation


@compiled
def add_separation(a, marks, at):
    """Add to dL/dp what follows from separation; set its value.

    c_kl = exp(-|p_k - p_l|^2 / tau), L = (1/M) sum_{k<l} c_kl and
    dL/dp_k = -(2 / (tau M)) sum_{l != k} c_kl (p_k - p_l).
    """
    tau, twice_m, p = a[TAU_SEPARATION], a[TWICE_M_SEPARATION], at.p
    unit, reach = 1.0 / math.sqrt(tau), math.sqrt(NEGLIGIBLE * tau)
    scale = -4.0 * a[SEPARATION]
    if at.windowed:
        sort_prototypes(a, marks, at)
        p = at.sorted
    c = at.h
    for i in range(at.k):
        if at.windowed:
            move_window(a, p, at.k, marks, i, BESIDE, a[p + i] - reach, a[p + i] + reach)
        first, size = marks[i, BESIDE], marks[i, BESIDE + 1] - marks[i, BESIDE]
        squared_distance(a, p + first, at.ks, p + i, at.ks, at.d, unit, c, size)
        c += size
    exponentials(a, at.h, c - at.h)
    c = at.h
    for i in range(at.k):
        first, size = marks[i, BESIDE], marks[i, BESIDE + 1] - marks[i, BESIDE]
        near = 0.0
        for m in range(0, at.d * at.ks, at.ks):
            near, push = pushes(a, c, p + m + first, a[p + m + i], size)
            a[at.q + m + marks[i, ORDER]] += scale / (tau * twice_m) * push
        a[VALUE + SEPARATION] += (near - 1.0) / twice_m  # a neuron is no pair with itself
        c += size


@compiled
def sort_prototypes(a, marks, at):
    """Write the prototypes in ascending order, and the order, which is seldom far from the last."""
    for i in range(at.k):
        index, j = marks[i, ORDER], i
        value = a[at.p + index]
        while j > 0 and a[at.sorted + j - 1] > value:
            a[at.sorted + j], marks[j, ORDER] = a[at.sorted + j - 1], marks[j - 1, ORDER]
            j -= 1
        a[at.sorted + j], marks[j, ORDER] = value, index


# ------------------------------------------------------------------------------- neurons


@compiled
def line(a, at, i):
    """Return w and b of z = w x + b; on a line a radial neuron s, c is the ridge s, -s c."""
    w, b = a[at.theta + i], a[at.theta + at.k + i]
    return (w, -w * b) if at.radial else (w, b)


@compiled
def preactivation(a, at, i, out):
    """Write z_n = w . x_n + b of ridge neuron i above a line."""
    fill(a, out, a[at.theta + at.k * at.d + i], at.ns)
    for m in range(at.d):
        add_times(a, at.x + m * at.ns, a[at.theta + i * at.d + m], out, at.ns)


@compiled
def write_prototypes(a, at):
    """Write the prototypes: -b w / (|w|^2 + eps), or the centers."""
    for i in range(at.k):
        w, factor = at.theta + i * at.d, 1.0
        if at.radial:
            w += at.k
        else:
            factor = -a[at.theta + at.k * at.d + i] / (dot(a, w, w, at.d) + a[EPSILON])
        for m in range(at.d):
            a[at.p + m * at.ks + i] = factor * a[w + m]


@compiled
def pull_back_prototypes(a, at):
    """Add to the gradient what follows from q = dL/dp, as `RidgeParams` and `RadialParams` say."""
    for i in range(at.k):
        w, grad_w, q = at.theta + i * at.d, at.grad + i * at.d, at.q + i
        if at.radial:
            for m in range(at.d):
                a[grad_w + at.k + m] += a[q + m * at.ks]
            continue
        b, size, along = a[at.theta + at.k * at.d + i], a[EPSILON], 0.0
        for m in range(at.d):
            size += a[w + m] * a[w + m]
            along += a[q + m * at.ks] * a[w + m]
        along /= size
        a[at.grad + at.k * at.d + i] -= along
        for m in range(at.d):
            a[grad_w + m] -= b / size * (a[q + m * at.ks] - 2.0 * along * a[w + m])


@compiled
def respond(a, marks, at):
    """Write the responses h of all neurons to the samples in their windows."""
    h = at.h
    for i in range(at.k):
        if at.d > 1 and at.radial:
            s, p = a[at.theta + i], at.p + i
            squared_distance(a, at.x, at.ns, p, at.ks, at.d, s, h, at.ns)
        elif at.d > 1:
            preactivation(a, at, i, h)
            multiply(a, h, h, at.ns)
        if at.d > 1:
            h += at.ns
            continue
        w, b = line(a, at, i)
        if at.windowed:
            one, other = (-REACH - b) / w, (REACH - b) / w
            move_window(a, at.x, at.n, marks, i, RESPONDS, min(one, other), max(one, other))
        first, size = window(marks, i, RESPONDS)
        squared_line(a, at.x + first, w, b, h, size)
        h += size
    exponentials(a, at.h, h - at.h)
    h = at.h
    for i in range(at.k):
        first, size = window(marks, i, RESPONDS)
        h += size
        fill(a, h - (first + size - at.n), 0.0, first + size - at.n)  # what is padded


@compiled
def pull_back(a, at, i, h, first, size, o):
    """Write the gradient of neuron i; above a line its responses are then no longer there."""
    v = at.k * (at.d + 1) + i
    if at.d == 1:
        (w, b), x, r, t = line(a, at, i), at.x + first, at.r + first, at.t + first
        of_x, of_1, a[at.grad + v] = driven_line(a, x, w, b, h, r, a[at.theta + v], t, o, size)
        grad_w, grad_b = -2.0 * of_x, -2.0 * of_1
        if at.radial:
            grad_w, grad_b = grad_w - a[at.theta + at.k + i] * grad_b, -w * grad_b
        a[at.grad + i], a[at.grad + at.k + i] = grad_w, grad_b
        return
    a[at.grad + v] = driven(a, h, at.r, a[at.theta + v], at.t, o, at.e, at.ns)
    if at.radial:
        s, of_1 = a[at.theta + i], sum_of(a, at.e, at.ns)
        squared_distance(a, at.x, at.ns, at.p + i, at.ks, at.d, 1.0, h, at.ns)
        a[at.grad + i] = -2.0 * s * dot(a, at.e, h, at.ns)
        for m in range(at.d):
            pull = dot(a, at.e, at.x + m * at.ns, at.ns) - a[at.p + m * at.ks + i] * of_1
            a[at.grad + at.k + i * at.d + m] = 2.0 * s * s * pull
        return
    preactivation(a, at, i, h)
    multiply(a, at.e, h, at.ns)
    for m in range(at.d):
        a[at.grad + i * at.d + m] = -2.0 * dot(a, h, at.x + m * at.ns, at.ns)
    a[at.grad + at.k * at.d + i] = -2.0 * sum_of(a, h, at.ns)


@compiled
def add_penalties(a, at, first, size):
    """Add value and gradient of L1 and L2 for the weights from parameter ``first`` on."""
    for j in range(size):
        w, grad = a[at.theta + first + j], at.grad + first + j
        a[VALUE + L1] += abs(w)
        a[VALUE + L2] += 0.5 * w * w
        sign = 0.0 if w == 0.0 else math.copysign(1.0, w)
        a[grad] += a[L1] * sign + a[L2] * w


# ------------------------------------------------------------------------------- training


@compiled
def evaluate(a, marks, at):
    """Set gradient and values at theta; return whether they are finite."""
    n, k, c = at.n, at.k, at.k * (at.d + 2)
    write_prototypes(a, at)
    fill(a, at.q, 0.0, at.d * at.ks)
    fill(a, TOTAL, 0.0, EPSILON - TOTAL)
    if a[COVERAGE] > 0.0 and a[TAU_COVERAGE] > 0.0:
        add_coverage(a, marks, at)
    elif a[COVERAGE] > 0.0:
        add_hard_coverage(a, at)
    if a[SEPARATION] > 0.0 and k > 1:
        add_separation(a, marks, at)
    respond(a, marks, at)
    fill(a, at.f, a[at.theta + c], n)
    fill(a, at.f + n, 0.0, at.ns - n)
    fill(a, at.t, 0.0, at.ns)
    overlap, o, h = a[OVERLAP] > 0.0 and k > 1, 0.0, at.h
    for i in range(k):
        first, size = window(marks, i, RESPONDS)
        add_times(a, h, a[at.theta + k * (at.d + 1) + i], at.f + first, size)
        if overlap:
            add_times(a, h, 1.0, at.t + first, size)
            a[VALUE + OVERLAP] -= dot(a, h, h, size)
        h += size
    a[at.grad + c], squared = residuals(a, at.f, at.y, 2.0 * a[FIT] / n, at.r, at.ns)
    a[VALUE + FIT] = squared / n
    if overlap:
        o = 2.0 * a[OVERLAP] / (n * a[TWICE_M_OVERLAP])
        all_pairs = a[VALUE + OVERLAP] + dot(a, at.t, at.t, at.ns)
        a[VALUE + OVERLAP] = all_pairs / (n * a[TWICE_M_OVERLAP])
    h = at.h
    for i in range(k):
        first, size = window(marks, i, RESPONDS)
        pull_back(a, at, i, h, first, size, o)
        h += size
    if a[COVERAGE] > 0.0 or a[SEPARATION] > 0.0:
        pull_back_prototypes(a, at)
    if a[L1] > 0.0 or a[L2] > 0.0:
        slopes = k if at.radial else k * at.d
        add_penalties(a, at, 0, slopes)
        add_penalties(a, at, k * (at.d + 1), k)
    for term in range(FIT, L2 + 1):
        if a[term] > 0.0:
            a[TOTAL] += a[term] * a[VALUE + term]
    both = is_finite(a, at.theta, at.size) and is_finite(a, at.grad, at.size)
    return both and math.isfinite(a[TOTAL])


def update_by(rules):
    """Return the function that takes step t by that of some rules which has a certain number."""
    if not rules:
        return compiled(lambda a, at, number, t, numbers, decay: None)
    rule, other = compiled(rules[0]), update_by(rules[1:])

    @compiled
    def update(a, at, number, t, numbers, decay):
        if number > 0:
            other(a, at, number - 1, t, numbers, decay)
            return
        kept = 1.0 - numbers[0] * decay
        for j in range(at.size):
            theta, grad, m, s = u(at.theta + j), u(at.grad + j), u(at.m + j), u(at.s + j)
            a[u(at.before + j)] = a[theta]
            step, a[m], a[s] = rule(a[grad], a[m], a[s], t, numbers)
            a[theta] = kept * a[theta] + step

    return update


update = update_by([*RULES.values()])


@compiled
def advance(a, marks, at, rule, numbers, rates, t, stop):
    """Train a run from step t to step ``stop``; return -1, or the last step that was finite.

    At t = -1 nothing is known yet. Where objective or gradient are not finite, the run goes back
    one step and ends there, with the gradient there; at 0 if the start is not finite.
    """
    fresh, lost = t < 0, False
    t = max(t, 0)
    while fresh or t < stop:
        if not fresh:
            of_step = (rates[t], numbers[1], numbers[2], numbers[3])
            update(a, at, rule, t + 1.0, of_step, numbers[4])
            t += 1
        finite = evaluate(a, marks, at)
        if lost or (t == 0 and not finite):
            return t
        if not finite:
            fill(a, at.theta, 0.0, at.size)
            add_times(a, at.before, 1.0, at.theta, at.size)
            t, lost = t - 1, True
        fresh = lost
    return -1


layout_of = compiled(lay_out)


def run_kernel(a, marks, sizes, rule, numbers, rates, t, stop, ended):
    """Advance R runs, a (R, ...) and marks (R, K, 7), from step t to ``stop``.

    Step t + 1 has the learning rate ``rates[t]``. ``numbers`` are the optimiser's, of which the
    first, its rate, is not used, and last its weight decay. ``ended`` (R,) is what `advance`
    returns.
    """
    at = layout_of(*sizes)
    for r in range(len(a)):
        ended[r] = advance(a[r], marks[r], at, rule, numbers, rates, t, stop)
