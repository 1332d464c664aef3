"""The primitives of `blocks`, compiled by numba, which is imported here and nowhere else.

Without AVX-512 NumPy takes three to six times as long for exponentials. Every operation of these
loops is one of IEEE 754, as written here: nothing is left to the compiler (no fast-math, no
contraction of its own), so that the bits of an element depend on nothing but its value, neither
on its place in an array nor on the processor.
"""

from __future__ import annotations

import math
import platform
import zlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple, cast

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys
from numba.extending import intrinsic

FEATURES = llvmlite.binding.get_host_cpu_features()

if platform.machine().lower() in ("x86_64", "amd64") and not FEATURES.get("fma"):
    raise ImportError("the processor has no fused multiply-add")


class Format(NamedTuple):
    """A floating-point format, and the constants of `_exponential` in it."""

    bits: int
    mantissa: int
    limit: float
    ln2: tuple[float, float]
    series: tuple[float, ...]


FORMATS = {
    numba.float64: Format(
        64,
        52,
        340.0,
        (0.6931471805592082, 7.371002565167799e-13),
        (
            0.5000000000000001,
            0.16666666666666669,
            0.04166666666662413,
            0.008333333333330062,
            0.0013888888917213717,
            0.00019841269863053618,
            2.4801521295954376e-05,
            2.7557268459997064e-06,
            2.7620088445409746e-07,
            2.510038549551032e-08,
        ),
    ),
    numba.float32: Format(
        32,
        23,
        43.0,
        (0.693115234375, 3.1946184945309415e-05),
        (
            0.5,
            0.16666576989698775,
            0.041666554617204574,
            0.008363179052722578,
            0.0013926183587713494,
        ),
    ),
}
"""What `_exponential` is made of: the first part of ln 2 has few bits, the second the rest."""


# exp(-a) is computed in two steps. With k the whole number nearest to -a / ln 2 and r = -a - k ln 2
# it is 2^k (1 + r + r^2 p(r)): the first step finds r and 2^k, the second the rest. Each is a loop
# of its own over numbers in a core's first cache: a core looks ahead some sixty instructions, and
# sees several numbers at a time if each of them takes few.


def _split_exponent(_: Any, number: Any) -> Any:
    """Compile r and 2^k of min(a, limit); ln 2 is taken off in two parts, k times one is exact."""
    form = FORMATS[number]
    bias = 2 ** (form.bits - form.mantissa - 2) - 1
    pair = numba.types.UniTuple(number, 2)

    def generate(context: Any, build: Any, _: Any, arguments: Any) -> Any:
        (a,) = arguments
        real, whole = a.type, ir.IntType(form.bits)

        def constant(value: float) -> Any:
            return ir.Constant(real, value)

        limit = constant(form.limit)
        a = build.select(build.fcmp_ordered("<", limit, a), limit, a)
        # A sum near 1.5 2^mantissa is whole, and its lowest bits are those of k + bias: there is
        # no instruction for this that vectors of doubles have before AVX-512.
        magic = constant(1.5 * 2.0**form.mantissa + bias)
        sum_ = build.fma(a, constant(-1.0 / math.log(2.0)), magic)
        k = build.fsub(sum_, magic)
        r = build.fneg(a)
        for part in form.ln2:
            r = build.fma(k, constant(-part), r)
        lifted = build.shl(build.bitcast(sum_, whole), ir.Constant(whole, form.mantissa))
        return context.make_tuple(build, pair, [r, build.bitcast(lifted, real)])

    return pair(number), generate


def _join_exponent(_: Any, number: Any, scale: Any) -> Any:
    """Compile 2^k (1 + r + r^2 p(r)) from r and 2^k.

    The polynomial p interpolates (exp(r) - 1 - r) / r^2 at the Chebyshev nodes of
    |r| <= 1.0001 ln(2) / 2, in 60 digits, and is of the least degree that leaves less than a tenth
    of the last place; ``tests/test_compiled.py`` compares it with the series. Zero gives exactly 1,
    and what is no number stays none.
    """

    def generate(_: Any, build: Any, __: Any, arguments: Any) -> Any:
        r, scale = arguments
        *terms, p = (ir.Constant(r.type, term) for term in FORMATS[number].series)
        for term in reversed(terms):
            p = build.fma(p, r, term)
        grown = build.fma(p, build.fmul(r, r), r)
        return build.fma(scale, grown, scale)

    return number(number, scale), generate


def _multiply_add(_: Any, a: Any, b: Any, c: Any) -> Any:
    """Compile a b + c, rounded once."""

    def generate(_: Any, build: Any, __: Any, arguments: Any) -> Any:
        return build.fma(*arguments)

    return a(a, b, c), generate


def _sums_of_row(_: Any, values: Any, weights: Any, size: Any) -> Any:
    """Compile sum_i values_i weights_i, sum_i values_i and sum_i values_i^2, i < size.

    Eight sums side by side are halved to one, and the rest of the row is added on the way, four,
    two and one at a time. What is not used of the three is not computed.
    """
    number, lanes = values.dtype, 8
    bits = FORMATS[number].bits

    def generate(context: Any, build: Any, signature: Any, arguments: Any) -> Any:
        real = context.get_value_type(number)
        rows = [
            context.make_array(kind)(context, build, array).data
            for kind, array in zip(signature.args[:2], arguments[:2], strict=True)
        ]
        size = arguments[2]

        def add(sums: list[Any], place: Any, width: int) -> None:
            """Add ``width`` numbers from ``place`` on."""
            vector = ir.VectorType(real, width) if width > 1 else real
            name = f"llvm.fma.v{width}f{bits}" if width > 1 else f"llvm.fma.f{bits}"
            kind = ir.FunctionType(vector, [vector] * 3)
            fma = cgutils.get_or_insert_function(build.module, kind, name)
            places = [build.bitcast(build.gep(row, [place]), vector.as_pointer()) for row in rows]
            v, w = (build.load(place, align=bits // 8) for place in places)
            p, q, r = (build.load(sum_) for sum_ in sums)
            for sum_, value in zip(
                sums,
                (build.call(fma, [v, w, p]), build.fadd(v, q), build.call(fma, [v, v, r])),
                strict=True,
            ):
                build.store(value, sum_)

        def halved(sum_: Any, width: int) -> Any:
            wide = build.load(sum_)
            ends = (
                build.shuffle_vector(
                    wide, wide, ir.Constant(ir.VectorType(ir.IntType(32), width), list(half))
                )
                if width > 1
                else build.extract_element(wide, ir.IntType(32)(half[0]))
                for half in (range(width), range(width, 2 * width))
            )
            return cgutils.alloca_once_value(build, build.fadd(*ends))

        def part(width: int) -> Any:
            return build.and_(size, ir.Constant(size.type, width))

        zero = ir.Constant(ir.VectorType(real, lanes), [0.0] * lanes)
        sums = [cgutils.alloca_once_value(build, zero) for _ in range(3)]
        place = part(-lanes)
        with cgutils.for_range_slice(build, size.type(0), place, size.type(lanes), size.type) as (
            i,
            _,
        ):
            add(sums, i, lanes)
        for width in (lanes // 2, lanes // 4, lanes // 8):
            sums = [halved(sum_, width) for sum_ in sums]
            rest = part(width)
            with build.if_then(build.icmp_unsigned("!=", rest, size.type(0))):
                add(sums, place, width)
            place = build.add(place, rest)
        return context.make_tuple(build, signature.return_type, [build.load(end) for end in sums])

    return numba.types.UniTuple(number, 3)(values, weights, size), generate


_split = intrinsic(_split_exponent)
_join = intrinsic(_join_exponent)
_fma = intrinsic(_multiply_add)
_sums = intrinsic(_sums_of_row)

_0, _1, _2, _3, _4 = (np.uint64(i) for i in range(5))
_CHUNK = np.uint64(1024)
"""Numbers whose exponentials are computed together: they stay in a core's first cache."""

# Indices are unsigned: a signed one might be negative and count from the end, which is looked up
# for every element and keeps loops from being vectorised.


def _exp_of_negated(exponent: Any) -> None:
    size = np.uint64(exponent.size)
    scale = np.empty(min(size, _CHUNK), dtype=exponent.dtype)
    for start in range(_0, size, _CHUNK):
        chunk = exponent[start : min(start + _CHUNK, size)]
        for i in range(np.uint64(len(chunk))):
            chunk[i], scale[i] = _split(chunk[i])
        for i in range(np.uint64(len(chunk))):
            chunk[i] = _join(chunk[i], scale[i])


def _gaussian(left: Any, right: Any, out: Any, driven: Any, drives: Any) -> None:
    """Write exp(-z^2) to ``out`` and, if it ``drives``, z times it to ``driven``."""
    n_runs, n_samples = np.uint64(out.shape[0]), np.uint64(out.shape[1])
    n_hidden, n_terms = np.uint64(out.shape[2]), np.uint64(left.shape[2])
    flat_out, flat_driven = out.reshape(out.size), driven.reshape(driven.size)
    lines = np.empty((n_terms, n_hidden), dtype=out.dtype)
    work = np.empty((_3, _CHUNK + n_hidden), dtype=out.dtype)
    chunk, rest, scale = work[_0], work[_1], work[_2]
    start = end = _0
    for r in range(n_runs):
        for m in range(n_terms):
            for k in range(n_hidden):
                lines[m, k] = right[r, m, k]
        for n in range(n_samples):
            z = chunk[end - start : end - start + n_hidden]
            # As matrix products do: the first term is rounded, each further one is joined to it.
            a = left[r, n, _0]
            if n_terms == _1:
                for k in range(n_hidden):
                    z[k] = a * lines[_0, k]
            else:
                b = left[r, n, _1]
                for k in range(n_hidden):
                    z[k] = _fma(b, lines[_1, k], a * lines[_0, k])
            for m in range(_2, n_terms):
                c = left[r, n, m]
                for k in range(n_hidden):
                    z[k] = _fma(c, lines[m, k], z[k])
            # Rows may be short, chunks of rows are long.
            end += n_hidden
            if end - start >= _CHUNK or (r + _1 == n_runs and n + _1 == n_samples):
                responses = flat_out[start:end]
                for i in range(end - start):
                    rest[i], scale[i] = _split(chunk[i] * chunk[i])
                if drives:
                    products = flat_driven[start:end]
                    for i in range(end - start):
                        response = _join(rest[i], scale[i])
                        responses[i] = response
                        products[i] = chunk[i] * response
                else:
                    for i in range(end - start):
                        responses[i] = _join(rest[i], scale[i])
                start = end


def _gaussian_rows(left: Any, right: Any, heights: Any, out: Any, sums: Any) -> None:
    """See `blocks.gaussian_rows`: as `_gaussian` of two terms, with sums of each row."""
    n_samples, n_hidden = np.uint64(out.shape[1]), np.uint64(out.shape[2])
    n_rows = np.uint64(out.shape[0] * out.shape[1])
    flat = out.reshape(out.size)
    lines = np.empty((_2, n_hidden), dtype=out.dtype)
    work = np.empty((_2, _CHUNK + n_hidden), dtype=out.dtype)
    rest, scale = work[_0], work[_1]
    step = max(_1, _CHUNK // n_hidden)
    for start in range(_0, n_rows, step):
        end = min(start + step, n_rows)
        size = (end - start) * n_hidden
        for row in range(start, end):
            r, n = row // n_samples, row % n_samples
            if n == _0 or row == start:
                for k in range(n_hidden):
                    lines[_0, k], lines[_1, k] = right[r, _0, k], right[r, _1, k]
            a, b = left[r, n, _0], left[r, n, _1]
            z = rest[(row - start) * n_hidden : (row - start + _1) * n_hidden]
            for k in range(n_hidden):
                z[k] = _fma(b, lines[_1, k], a * lines[_0, k])
        # Rows may be short: what takes long is done for all of them in one loop.
        responses = flat[start * n_hidden : end * n_hidden]
        for i in range(size):
            rest[i], scale[i] = _split(rest[i] * rest[i])
        for i in range(size):
            responses[i] = _join(rest[i], scale[i])
        for row in range(start, end):
            r, n = row // n_samples, row % n_samples
            h = flat[row * n_hidden : (row + _1) * n_hidden]
            found = _sums(h, heights[r], n_hidden)
            sums[_0, r, n], sums[_1, r, n], sums[_2, r, n] = found


def _gaussian_sums(
    weights: Any,
    scale: Any,
    left: Any,
    right: Any,
    h: Any,
    times: Any,
    timed: Any,
    slope: Any,
    sloped: Any,
    out: Any,
) -> None:
    """See `blocks.gaussian_sums`; ``times`` count if ``timed``, ``slope`` if ``sloped``."""
    n_samples, n_hidden = np.uint64(h.shape[1]), np.uint64(h.shape[2])
    whole, with_heights = n_samples & ~_1, len(out) > 2
    lines = np.empty((_2, n_hidden), dtype=out.dtype)
    sums = np.empty((_3, n_hidden), dtype=out.dtype)
    for r in range(np.uint64(len(h))):
        for k in range(n_hidden):
            lines[_0, k], lines[_1, k] = right[r, _0, k], right[r, _1, k]
        w, b, of_x, of_1, of_h = lines[_0], lines[_1], sums[_0], sums[_1], sums[_2]
        sums[:] = 0
        # Two samples at a time: sums are then read and written half as often.
        for n in range(_0, whole, _2):
            i, j = n, n + _1
            a0, a1, h0, h1 = left[r, i, _0], left[r, j, _0], h[r, i], h[r, j]
            b0, b1 = left[r, i, _1], left[r, j, _1]
            s0, s1 = scale[r, i], scale[r, j]
            x0, x1, y0, y1 = (
                weights[r, _0, i],
                weights[r, _0, j],
                weights[r, _1, i],
                weights[r, _1, j],
            )
            if not sloped:
                x0, x1, y0, y1 = x0 * s0, x1 * s1, y0 * s0, y1 * s1
            if sloped:
                q0, q1 = slope[r, i], slope[r, j]
                for k in range(n_hidden):
                    d0 = _fma(q0, h0[k], s0) * (_fma(b0, b[k], a0 * w[k]) * h0[k])
                    d1 = _fma(q1, h1[k], s1) * (_fma(b1, b[k], a1 * w[k]) * h1[k])
                    of_x[k] = _fma(x1, d1, _fma(x0, d0, of_x[k]))
                    of_1[k] = _fma(y1, d1, _fma(y0, d0, of_1[k]))
            elif timed:
                t0, t1 = times[r, i], times[r, j]
                for k in range(n_hidden):
                    d0 = t0[k] * (_fma(b0, b[k], a0 * w[k]) * h0[k])
                    d1 = t1[k] * (_fma(b1, b[k], a1 * w[k]) * h1[k])
                    of_x[k] = _fma(x1, d1, _fma(x0, d0, of_x[k]))
                    of_1[k] = _fma(y1, d1, _fma(y0, d0, of_1[k]))
            else:
                for k in range(n_hidden):
                    d0 = _fma(b0, b[k], a0 * w[k]) * h0[k]
                    d1 = _fma(b1, b[k], a1 * w[k]) * h1[k]
                    of_x[k] = _fma(x1, d1, _fma(x0, d0, of_x[k]))
                    of_1[k] = _fma(y1, d1, _fma(y0, d0, of_1[k]))
            if with_heights:
                for k in range(n_hidden):
                    of_h[k] = _fma(s1, h1[k], _fma(s0, h0[k], of_h[k]))
        for n in range(whole, n_samples):
            a0, b0, h0, s0 = left[r, n, _0], left[r, n, _1], h[r, n], scale[r, n]
            x0, y0, q0, t0 = weights[r, _0, n], weights[r, _1, n], slope[r, n], times[r, n]
            if not sloped:
                x0, y0 = x0 * s0, y0 * s0
            for k in range(n_hidden):
                d0 = _fma(b0, b[k], a0 * w[k]) * h0[k]
                if sloped:
                    d0 = _fma(q0, h0[k], s0) * d0
                elif timed:
                    d0 = t0[k] * d0
                of_x[k] = _fma(x0, d0, of_x[k])
                of_1[k] = _fma(y0, d0, of_1[k])
                of_h[k] = _fma(s0, h0[k], of_h[k])
        for m in range(np.uint64(len(out))):
            for k in range(n_hidden):
                out[m, r, k] = sums[m, k]


def _row_dots(values: Any, weights: Any, out: Any) -> None:
    """See `blocks.row_dots`: values (R, N, K), weights (R, 1, K) or (R, N, K)."""
    n_samples, n_hidden = np.uint64(values.shape[1]), np.uint64(values.shape[2])
    for r in range(np.uint64(len(values))):
        for n in range(n_samples):
            own = weights[r, n if weights.shape[1] > 1 else _0]
            out[r, n] = _sums(values[r, n], own, n_hidden)[0]


def _weighted_sums(
    weights: Any,
    scale: Any,
    values: Any,
    times: Any,
    timed: Any,
    others: Any,
    more: Any,
    out: Any,
) -> None:
    """See `blocks.weighted_sums`: ``times`` count if ``timed``, ``others`` if ``more``."""
    n_runs, n_weights = np.uint64(weights.shape[0]), np.uint64(weights.shape[1])
    n_samples, n_hidden = np.uint64(values.shape[1]), np.uint64(values.shape[2])
    whole = n_samples & ~_3
    sums = np.empty((np.uint64(len(out)), n_hidden), dtype=out.dtype)
    for r in range(n_runs):
        sums[:] = 0
        # Four samples at a time: sums are then read and written a quarter as often.
        for n in range(_0, whole, _4):
            t0, t1, t2, t3 = times[r, n], times[r, n + _1], times[r, n + _2], times[r, n + _3]
            for m in range(np.uint64(len(sums))):
                last = m == n_weights
                array = others[r] if last else values[r]
                v0, v1, v2, v3 = array[n], array[n + _1], array[n + _2], array[n + _3]
                a, b, c, d = scale[r, n], scale[r, n + _1], scale[r, n + _2], scale[r, n + _3]
                if not last:
                    a, b = weights[r, m, n] * a, weights[r, m, n + _1] * b
                    c, d = weights[r, m, n + _2] * c, weights[r, m, n + _3] * d
                total = sums[m]
                if timed:
                    for k in range(n_hidden):
                        s = _fma(b, t1[k] * v1[k], _fma(a, t0[k] * v0[k], total[k]))
                        total[k] = _fma(d, t3[k] * v3[k], _fma(c, t2[k] * v2[k], s))
                else:
                    for k in range(n_hidden):
                        s = _fma(b, v1[k], _fma(a, v0[k], total[k]))
                        total[k] = _fma(d, v3[k], _fma(c, v2[k], s))
        for n in range(whole, n_samples):
            t0 = times[r, n]
            for m in range(np.uint64(len(sums))):
                last = m == n_weights
                v0, total, a = others[r, n] if last else values[r, n], sums[m], scale[r, n]
                if not last:
                    a = weights[r, m, n] * a
                for k in range(n_hidden):
                    total[k] = _fma(a, t0[k] * v0[k] if timed else v0[k], total[k])
        for m in range(np.uint64(len(sums))):
            for k in range(n_hidden):
                out[m, r, k] = sums[m, k]


def _soft_pulls(x: Any, p: Any, unit: Any, far: Any, logs: Any, pull: Any) -> None:
    """See `blocks.soft_pulls`: x (R, N), p (R, K), unit^2 = 1 / temperature.

    The distance of the nearest point is taken out where the sum is below ``far``.
    """
    n_runs, n_samples, n_hidden = np.uint64(len(x)), np.uint64(x.shape[1]), np.uint64(p.shape[1])
    # As many samples at a time as make exponentials many; at least four share a sweep of sums.
    step = max(_4, _CHUNK // n_hidden & ~_3)
    work = np.empty((_2, step, n_hidden), dtype=p.dtype)
    close = work[_0]
    flat, scale = close.reshape(close.size), work[_1].reshape(close.size)
    first, second = np.empty(step, dtype=p.dtype), np.empty(step, dtype=p.dtype)
    of_x, of_1 = np.empty_like(p[0]), np.empty_like(p[0])
    for r in range(n_runs):
        logs[r] = 0
        product = p.dtype.type(1)
        of_x[:] = 0
        of_1[:] = 0
        for start in range(_0, n_samples, step):
            size = min(step, n_samples - start)
            for i in range(size):
                place, row = x[r, start + i], close[i]
                for k in range(n_hidden):
                    gap = (place - p[r, k]) * unit
                    row[k] = gap * gap
            for i in range(size * n_hidden):
                flat[i], scale[i] = _split(flat[i])
            for i in range(size * n_hidden):
                flat[i] = _join(flat[i], scale[i])
            for i in range(size):
                place, row = x[r, start + i], close[i]
                total = _sums(row, row, n_hidden)[1]
                if total < far:
                    nearest = p.dtype.type(np.inf)
                    for k in range(n_hidden):
                        gap = (place - p[r, k]) * unit
                        row[k] = gap * gap
                        nearest = min(nearest, row[k])
                    for k in range(n_hidden):
                        row[k] = _join(*_split(row[k] - nearest))
                    total = _sums(row, row, n_hidden)[1]
                    logs[r] -= nearest
                product *= total  # one logarithm for many sums
                if not far <= product <= p.dtype.type(1) / far:
                    logs[r] += math.log(product)
                    product = p.dtype.type(1)
                second[i] = p.dtype.type(1) / total
                first[i] = place * second[i]
            whole = size & ~_3
            for i in range(_0, whole, _4):
                c0, c1, c2, c3 = close[i], close[i + _1], close[i + _2], close[i + _3]
                a0, a1, a2, a3 = first[i], first[i + _1], first[i + _2], first[i + _3]
                b0, b1, b2, b3 = second[i], second[i + _1], second[i + _2], second[i + _3]
                for k in range(n_hidden):
                    s = _fma(a1, c1[k], _fma(a0, c0[k], of_x[k]))
                    of_x[k] = _fma(a3, c3[k], _fma(a2, c2[k], s))
                    s = _fma(b1, c1[k], _fma(b0, c0[k], of_1[k]))
                    of_1[k] = _fma(b3, c3[k], _fma(b2, c2[k], s))
            for i in range(whole, size):
                row, a, b = close[i], first[i], second[i]
                for k in range(n_hidden):
                    of_x[k] = _fma(a, row[k], of_x[k])
                    of_1[k] = _fma(b, row[k], of_1[k])
        logs[r] += math.log(product)
        for k in range(n_hidden):
            pull[r, k] = p[r, k] * of_1[k] - of_x[k]


def _pair_pushes(p: Any, unit: Any, total: Any, push: Any) -> None:
    """See `blocks.pair_pushes`: p (R, K), unit^2 = 1 / temperature.

    Each pair is taken once, for both of its neurons: four neurons with those that follow them.
    """
    n_runs, n_hidden = np.uint64(p.shape[0]), np.uint64(p.shape[1])
    work = np.empty((_2, _4 * n_hidden), dtype=p.dtype)
    flat, scale = work[_0], work[_1]
    pushed = np.empty_like(p[0])
    for r in range(n_runs):
        pushed[:] = 0
        total[r] = 0
        for start in range(_0, n_hidden, _4):
            own, others = p[r, start : start + _4], p[r, start:]
            n_own, n_others = np.uint64(len(own)), np.uint64(len(others))
            close = flat[: n_own * n_others].reshape((n_own, n_others))
            for j in range(n_own):
                row = close[j]
                for k in range(n_others):
                    gap = (own[j] - others[k]) * unit
                    row[k] = gap * gap
            for i in range(n_own * n_others):
                flat[i], scale[i] = _split(flat[i])
            for i in range(n_own * n_others):
                flat[i] = _join(flat[i], scale[i])
            for j in range(n_own):
                for k in range(j + _1):
                    close[j, k] = 0  # itself, and a pair that was taken before
            of_others = pushed[start:]
            if n_own == _4:
                c0, c1, c2, c3 = close[_0], close[_1], close[_2], close[_3]
                p0, p1, p2, p3 = own[_0], own[_1], own[_2], own[_3]
                for k in range(n_others):
                    q = others[k]
                    s = _fma(c1[k], q - p1, _fma(c0[k], q - p0, of_others[k]))
                    of_others[k] = _fma(c3[k], q - p3, _fma(c2[k], q - p2, s))
            else:
                for j in range(n_own):
                    for k in range(n_others):
                        of_others[k] = _fma(close[j, k], others[k] - own[j], of_others[k])
            for j in range(n_own):
                of_p, of_1, _ = _sums(close[j], others, n_others)
                total[r] += of_1
                pushed[start + j] += own[j] * of_1 - of_p
        total[r] *= p.dtype.type(2)
        for k in range(n_hidden):
            push[r, k] = pushed[k]


def _adaptive_step(
    grad: Any,
    mean: Any,
    square: Any,
    of_mean: Any,
    of_square: Any,
    floor: Any,
    scale: Any,
    change: Any,
    new_mean: Any,
    new_square: Any,
) -> None:
    """See `blocks.adaptive_step`: NumPy's operations in its order, so NumPy's bits."""
    for i in range(np.uint64(grad.size)):
        g = grad[i]
        m, s = of_mean * mean[i] + g, of_square * square[i] + g * g
        new_mean[i], new_square[i] = m, s
        change[i] = m / (math.sqrt(s) + floor) * scale


Kernel = Callable[..., None]


class Kernels:
    """The compiled primitives for float64 (kind ``"d"``) or float32 (``"f"``).

    Each is compiled, or loaded from a cache, when it is first asked for; they take C-contiguous
    arrays, mostly. The cache lies beside this file, or in the user's cache directory where that is
    not writable.
    """

    def __init__(self, kind: str) -> None:
        self._number = {"d": numba.float64, "f": numba.float32}[kind]
        # A cache knows its source by size and time only, and holds variants side by side under
        # names that two processes that begin at once could give to different ones: a name for each.
        circumstances = [
            numba.__version__,
            llvmlite.binding.get_host_cpu_name(),
            FEATURES.flatten(),
        ]
        source = Path(__file__).read_bytes() + "".join(circumstances).encode()
        self._name = f"{self._number}_{zlib.crc32(source):08x}"

    def load(self, *names: str) -> None:
        """Load those of these names, by default all."""
        members = vars(type(self)).items()
        every = [name for name, member in members if isinstance(member, cached_property)]
        for name in names or every:
            getattr(self, name)

    @cached_property
    def exp_of_negated(self) -> Kernel:
        """Overwrite (size,) with exp(-min(a, limit))."""
        return self._compile(_exp_of_negated, self._array(1))

    @cached_property
    def gaussian(self) -> Kernel:
        """See `_gaussian`; left (R, N, M), M >= 1, right (R, M, K), out and z (R, N, K)."""
        factors = self._read(3), self._read(3, "A")
        return self._compile(_gaussian, *factors, self._array(3), self._array(3), numba.boolean)

    @cached_property
    def gaussian_rows(self) -> Kernel:
        """See `_gaussian_rows`; right (R, 2, K) of any layout, out (R, N, K), sums (3, R, N)."""
        factors = self._read(3), self._read(3, "A"), self._read(2)
        return self._compile(_gaussian_rows, *factors, self._array(3), self._array(3))

    @cached_property
    def gaussian_sums(self) -> Kernel:
        """See `_gaussian_sums`; scale, right, slope and out of any layout."""
        factors = self._read(3), self._read(2, "A"), self._read(3), self._read(3, "A")
        times = self._read(3), self._read(3), numba.boolean
        slope = self._read(2, "A"), numba.boolean
        return self._compile(_gaussian_sums, *factors, *times, *slope, self._array(3, "A"))

    @cached_property
    def row_dots(self) -> Kernel:
        """See `_row_dots`; values (R, N, K), weights (R, 1 or N, K), out (R, N)."""
        return self._compile(_row_dots, self._read(3), self._read(3), self._array(2))

    @cached_property
    def weighted_sums(self) -> Kernel:
        """See `_weighted_sums`; scale and out of any layout."""
        weights = self._read(3), self._read(2, "A")
        values = self._read(3), self._read(3), numba.boolean, self._read(3), numba.boolean
        return self._compile(_weighted_sums, *weights, *values, self._array(3, "A"))

    @cached_property
    def soft_pulls(self) -> Kernel:
        """See `_soft_pulls`; x (R, N) of any layout, p (R, K), logs (R,), pull (R, K)."""
        points = self._read(2, "A"), self._read(2), self._number, self._number
        return self._compile(_soft_pulls, *points, self._array(1), self._array(2, "A"))

    @cached_property
    def pair_pushes(self) -> Kernel:
        """See `_pair_pushes`; p (R, K), total (R,), push (R, K)."""
        points = self._read(2), self._number
        return self._compile(_pair_pushes, *points, self._array(1), self._array(2, "A"))

    @cached_property
    def adaptive_step(self) -> Kernel:
        """See `_adaptive_step`; arrays (size,)."""
        numbers = [self._number] * 4
        return self._compile(_adaptive_step, *[self._read(1)] * 3, *numbers, *[self._array(1)] * 3)

    def _array(self, dimensions: int, layout: str = "C") -> Any:
        return numba.types.Array(self._number, dimensions, layout)

    def _read(self, dimensions: int, layout: str = "C") -> Any:
        return numba.types.Array(self._number, dimensions, layout, readonly=True)

    def _compile(self, function: Any, *arguments: Any) -> Kernel:
        return _compile(function, self._name, *arguments)


def _compile(function: Any, name: str, *arguments: Any) -> Kernel:
    own = FunctionType(function.__code__, function.__globals__, f"{function.__name__}_{name}")
    own.__qualname__ = own.__name__
    options = {"nogil": True, "error_model": "numpy", "boundscheck": False}
    signature = numba.void(*arguments)
    try:
        kernel = numba.njit(cache=True, **options)(own)
        if FIRST_KNOWN <= numba.version_info.short <= LAST_KNOWN:
            kernel._cache = _LightCache(own)
        kernel.compile(signature)
        kernel.disable_compile()
    except Exception:  # no directory for the cache, a full disk, a damaged cache
        kernel = numba.njit([signature], **options)(own)
    return cast(Kernel, kernel)


FIRST_KNOWN, LAST_KNOWN = (0, 60), (0, 68)
"""Versions of numba that `_LightCache` is known to fit; others load all they have."""


class _LightCache(FunctionCache):  # type: ignore[misc]
    """The cache of numba, which loads machine code without what only compiling needs.

    That is half of numba, and SciPy for its linear algebra: 0.3 of 0.7 s in each worker.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        rtsys.initialize(target_context)
        return self._load_overload(sig, target_context)
