"""The compiled primitives: accuracy, bits that depend on values alone, and what if numba fails."""

import os
import platform
import subprocess
import sys
from copy import copy
from decimal import Decimal, localcontext
from importlib.metadata import PackageNotFoundError
from math import factorial

import numpy as np
import pytest
from helpers import ROOT, same_bits

import mlpspec
from mlpspec.errors import InputError
from mlpspec.network import blocks
from mlpspec.network.blocks import (
    adaptive_step,
    exp_of_negated,
    gaussian,
    gaussian_rows,
    gaussian_sums,
    pair_pushes,
    row_dots,
    soft_pulls,
    weighted_sums,
    with_ones,
)
from mlpspec.running import provenance

needs_numba = pytest.mark.skipif(
    blocks.compiled_by() is None, reason="numba is not installed, or MLPSPEC_COMPILED=0"
)
both_precisions = pytest.mark.parametrize("dtype", [np.float64, np.float32])


@pytest.fixture
def switched(monkeypatch):
    """Let what is set here decide on compiled primitives, and forget it afterwards."""

    def forget():
        blocks.compiled_by.cache_clear()
        blocks._compiled.cache_clear()

    forget()
    yield monkeypatch
    monkeypatch.undo()
    forget()


TINY = mlpspec.studies.paper().replace(seed=(0,), n_samples=(3,), steps=2)


def factors(n_runs, n_samples, n_hidden, n_terms=2, dtype=np.float64):
    rng = np.random.default_rng(n_samples)
    left = rng.uniform(-1.0, 1.0, (n_runs, n_samples, n_terms)).astype(dtype)
    return left, rng.normal(0.0, 4.0, (n_runs, n_terms, n_hidden)).astype(dtype)


def responses(left, right):
    """Return h alone, then h and z h."""
    shape = (*left.shape[:2], right.shape[2])
    alone, out, driven = (np.empty(shape, left.dtype) for _ in range(3))
    gaussian(left, right, alone)
    gaussian(left, right, out, driven)
    return alone, out, driven


@needs_numba
@both_precisions
def test_within_one_and_a_half_units_in_the_last_place(dtype):
    rng = np.random.default_rng(0)
    limit = 340.0 if dtype == np.float64 else 43.0
    a = np.concatenate(
        [
            rng.uniform(0.0, limit, 200_000),
            rng.uniform(0.0, 2.0, 200_000),
            10.0 ** rng.uniform(-20.0, 0.0, 10_000),
            (np.arange(490) + 0.5) * np.log(2.0),  # the ends of what the polynomial is for
        ]
    ).astype(dtype)
    a = a[a <= limit]
    exact = np.exp(-a.astype(np.longdouble))
    unit = np.spacing(exact.astype(dtype)).astype(np.longdouble)
    assert np.abs((exp_of_negated(a.copy()) - exact) / unit).max() <= 1.2


@needs_numba
def test_the_polynomials_are_the_exponential():
    """In fifty digits: 1 + r + r^2 p(r) with the stored terms, against the series."""
    from mlpspec.network.compiled import FORMATS

    with localcontext(prec=50):
        for form in FORMATS.values():
            assert sum(map(Decimal, form.ln2)) - Decimal(2).ln() < Decimal(2) ** -(
                2 * form.mantissa - 15
            )
            for i in range(-101, 102, 2):
                r = Decimal(i) / 101 * Decimal(2).ln() / 2
                p = sum(Decimal(term) * r**j for j, term in enumerate(form.series))
                exact = sum(r**j / factorial(j) for j in range(30))
                error = abs((1 + r + r * r * p) / exact - 1)
                assert error < Decimal(2) ** -form.mantissa / 10


@needs_numba
@both_precisions
def test_special_values(dtype):
    limit = 340.0 if dtype == np.float64 else 43.0
    tiny = np.finfo(dtype).smallest_subnormal
    a = np.array([0.0, -0.0, tiny, limit, limit + 1, 1e30, np.inf, np.nan], dtype=dtype)
    for copies in (1, 9):  # alone, and in the body of a vectorised loop
        result = exp_of_negated(np.repeat(a, copies)).reshape(-1, copies)
        assert (result[:3] == 1.0).all()
        assert (result[4:7] == result[3]).all()
        assert np.isnan(result[7]).all()
    assert result[3, 0] == pytest.approx(np.exp(-limit), rel=1e-6)
    left, right = factors(1, 1, 7, dtype=dtype)
    right[0, 0, 3] = np.nan
    for array in responses(left, right):
        assert np.isnan(array).ravel().tolist() == [False] * 3 + [True] + [False] * 3


@needs_numba
@both_precisions
def test_bits_do_not_depend_on_the_place_in_an_array(dtype):
    rng = np.random.default_rng(0)
    a = (rng.uniform(0.0, 5.0, 150) ** 2).astype(dtype)
    alone = np.array([exp_of_negated(value.reshape(1))[0] for value in a.copy()])
    for length in range(1, 71):
        for start in range(70):
            piece = a.copy()[start : start + length]
            assert same_bits(exp_of_negated(piece), alone[start : start + length])


@needs_numba
@both_precisions
@pytest.mark.parametrize("n_terms", [1, 2, 3, 4])
def test_gaussian_bits_do_not_depend_on_the_place_in_an_array(dtype, n_terms):
    left, right = factors(3, 40, 70, n_terms, dtype)
    whole = responses(left, right)
    assert same_bits(whole[0], whole[1])
    for n_hidden in range(1, 71):
        parts = responses(left[1:2, :4], right[1:2, :, 70 - n_hidden :])
        for part, array in zip(parts, whole, strict=True):
            assert same_bits(part, array[1:2, :4, 70 - n_hidden :])
    for n_samples in (1, 29, 30, 40):  # less and more than what is worked on at a time
        for run in range(3):
            parts = responses(left[run : run + 1, :n_samples], right[run : run + 1])
            for part, array in zip(parts, whole, strict=True):
                assert same_bits(part, array[run : run + 1, :n_samples])


@needs_numba
@both_precisions
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 300, 300), (7, 1, 1), (2, 3, 4000), (0, 2, 2)])
@pytest.mark.parametrize("n_terms", [1, 2, 3, 5])
def test_agrees_with_numpy(dtype, shape, n_terms):
    left, right = factors(*shape, n_terms, dtype)
    alone, out, driven = responses(left, right)
    expected = np.empty_like(out), np.empty_like(out)
    blocks._gaussian(left, right, *expected)
    z = np.abs(left) @ np.abs(right)
    # z^2 <= 340 where it matters; it has a few roundings of its own.
    slack = 8 * np.finfo(dtype).eps * (1 + z * z)
    assert (np.abs(out - expected[0]) <= slack * expected[0]).all()
    assert (np.abs(driven - expected[1]) <= slack * (np.abs(expected[1]) + expected[0])).all()
    assert same_bits(alone, out)
    exponent = (np.square(left @ right) / 3).astype(dtype)
    expected = exponent.copy()
    blocks._exp_of_negated(expected)
    np.testing.assert_allclose(exp_of_negated(exponent), expected, rtol=4 * np.finfo(dtype).eps)


@needs_numba
@both_precisions
def test_arrays_in_pieces_give_the_same_bits(dtype):
    a = np.random.default_rng(0).uniform(0.0, 40.0, (4, 6, 10)).astype(dtype)
    expected = exp_of_negated(a.copy())
    for view in (
        np.s_[:, 1:4],
        np.s_[:, :, 2:9],
        np.s_[::2],
        np.s_[:, :, ::3],
        np.s_[::-1],
        np.s_[1, :, 4],
        np.s_[1, 2, 3:5],
    ):
        work = a.copy()
        result = exp_of_negated(work[view])
        assert np.shares_memory(result, work)
        assert same_bits(work[view], expected[view])
        work[view] = a[view]
        assert same_bits(work, a)  # nothing else was touched
    assert same_bits(exp_of_negated(a.copy().T), expected.T)
    assert same_bits(exp_of_negated(np.asfortranarray(a)), expected)
    odd = np.zeros(a.nbytes + 1, np.uint8)[1:].view(dtype).reshape(a.shape)  # not aligned
    odd[:] = a
    assert same_bits(exp_of_negated(odd), expected)
    left, right = factors(2, 5, 6, dtype=dtype)
    _, out, driven = responses(left, right)
    wide = np.zeros((2, 2, 9, 6), dtype)
    gaussian(np.asfortranarray(left), np.asfortranarray(right), *wide[:, :, 2:7])
    assert same_bits(wide[0, :, 2:7], out)
    assert same_bits(wide[1, :, 2:7], driven)
    assert not wide[:, :, :2].any()
    assert not wide[:, :, 7:].any()


def sums(dtype=np.float64, n_runs=3, n_samples=13, n_hidden=21, n_inputs=1):
    """Return what the sums over samples, neurons and pairs need, with far and equal points."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.0, 1.0, (n_runs, n_samples, n_inputs)).astype(dtype)
    p = rng.uniform(-1.0, 1.0, (n_runs, n_hidden, n_inputs)).astype(dtype)
    p[:, 0], p[:, -1] = 7.0, p[:, n_hidden // 2]
    x[1, 2] = 30.0  # which is far from all points
    values, times, others = rng.normal(size=(3, n_runs, n_samples, n_hidden)).astype(dtype)
    heights = rng.normal(size=(n_runs, n_hidden)).astype(dtype)
    return x, p, values, times, others, heights


def all_sums(x, p, values, times, others, heights):
    """Return every sum of some runs, with the runs first."""
    design = with_ones(x)
    columns = np.ascontiguousarray(design.swapaxes(1, 2))
    n_runs, n_weights, _ = columns.shape
    scale = -2.0 * x[:, :, 0]
    kind = p.dtype

    def memory(name, shape):
        return np.full(shape, np.nan, dtype=kind)

    found = [row_dots(values, heights), row_dots(values, others)]
    for timed in (None, times):
        for more in (None, others):
            shape = (n_weights + (more is not None), n_runs, p.shape[1])
            out = np.full((2, *shape), np.nan, dtype=kind)[0]
            weighted_sums(columns, scale, values, timed, more, out, memory)
            found.append(out.swapaxes(0, 1))
    found += soft_pulls(design, columns, p, 0.05, memory)
    found += pair_pushes(p, 0.05, memory)
    return found


@both_precisions
@pytest.mark.parametrize("n_inputs", [1, 2])
def test_sums_over_samples_neurons_and_pairs(dtype, n_inputs):
    arrays = sums(dtype, n_inputs=n_inputs)
    dots, own_dots, *weighted, logs, pull, total, push = all_sums(*arrays)
    x, p, values, times, others, heights = (part.astype(np.longdouble) for part in arrays)
    near = {"rtol": 1e-12, "atol": 1e-13} if dtype == np.float64 else {"rtol": 2e-5, "atol": 1e-4}
    np.testing.assert_allclose(dots, np.einsum("rnk,rk->rn", values, heights), **near)
    np.testing.assert_allclose(own_dots, (values * others).sum(axis=2), **near)
    scale = -2.0 * x[:, :, :1]
    for timed, pair in ((1.0, weighted[:2]), (times, weighted[2:])):
        expected = [
            (scale * x[:, :, d, None] * timed * values).sum(axis=1) for d in range(n_inputs)
        ]
        expected.append((scale * timed * values).sum(axis=1))
        np.testing.assert_allclose(pair[0], np.stack(expected, axis=1), **near)
        assert same_bits(pair[1][:, :-1], pair[0])
        np.testing.assert_allclose(pair[1][:, -1], (scale * timed * others).sum(axis=1), **near)

    gap = x[:, :, None] - p[:, None]  # (R, N, K, D)
    cost = np.square(gap).sum(axis=3) / np.longdouble(0.05)
    least = cost.min(axis=2, keepdims=True)
    close = np.exp(least - cost)
    sum_ = close.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(logs, (np.log(sum_) - least).sum(axis=(1, 2)), **near)
    expected = -((close / sum_)[..., None] * gap).sum(axis=1)
    np.testing.assert_allclose(pull, expected, **(near | {"atol": 20 * near["atol"]}))
    gap = p[:, :, None] - p[:, None]
    close = np.exp(-np.square(gap).sum(axis=3) / np.longdouble(0.05))
    close[:, np.arange(p.shape[1]), np.arange(p.shape[1])] = 0.0
    np.testing.assert_allclose(total, close.sum(axis=(1, 2)), **near)
    np.testing.assert_allclose(push, (close[..., None] * gap).sum(axis=2), **near)


@needs_numba
@both_precisions
@pytest.mark.parametrize("n_inputs", [1, 2])
@pytest.mark.parametrize("n_hidden", [1, 2, 3, 4, 5, 12, 33])
def test_bits_of_sums_do_not_depend_on_the_other_runs(dtype, n_inputs, n_hidden):
    arrays = sums(dtype, n_samples=9, n_hidden=n_hidden, n_inputs=n_inputs)
    together = all_sums(*arrays)
    for run in range(3):
        alone = all_sums(*(part[run : run + 1] for part in arrays))
        for part, whole in zip(alone, together, strict=True):
            assert same_bits(part, whole[run : run + 1])


@needs_numba
@both_precisions
def test_bits_of_sums_do_not_depend_on_how_arrays_lie_in_memory(dtype):
    arrays = sums(dtype)
    expected = all_sums(*arrays)
    for other in ([np.asfortranarray(part) for part in arrays], [a[::-1][::-1] for a in arrays]):
        for part, whole in zip(all_sums(*other), expected, strict=True):
            assert same_bits(part, whole)


@needs_numba
@pytest.mark.parametrize("n_inputs", [1, 2])
@pytest.mark.parametrize("n_hidden", [1, 2, 3, 4, 5, 12, 33])
def test_sums_agree_with_numpy(n_inputs, n_hidden, monkeypatch):
    arrays = sums(n_inputs=n_inputs, n_hidden=n_hidden)
    compiled = all_sums(*arrays)
    monkeypatch.setattr(blocks, "_compiled", lambda kind: None)
    for part, expected in zip(compiled, all_sums(*arrays), strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-13, atol=1e-13)


def responses_and_sums(left, right, scale, times, heights):
    """Return what `gaussian_rows` and `gaussian_sums` make of some runs, with the runs first."""
    n_runs, _, n_hidden = times.shape
    columns = np.ascontiguousarray(left.swapaxes(1, 2))
    h = np.empty_like(times)
    found = [h, gaussian_rows(left, right, heights, h).swapaxes(0, 1)]
    for size, timed in ((2, None), (3, None), (2, times), (3, times)):
        out = np.full((size, n_runs, n_hidden), np.nan, dtype=left.dtype)
        gaussian_sums(columns, scale, left, right, h, timed, None, out)
        found.append(out.swapaxes(0, 1))
    out = np.full((2, n_runs, n_hidden), np.nan, dtype=left.dtype)
    gaussian_sums(columns, scale, left, right, h, None, left[:, :, 0], out)
    return [*found, out.swapaxes(0, 1)]


@needs_numba
@both_precisions
@pytest.mark.parametrize(
    "shape", [(3, 13, 21), (2, 1, 1), (4, 3, 3), (1, 7, 1500), (2, 600, 4), (3, 8, 8)]
)
def test_z_computed_again_gives_what_z_stored_gives(dtype, shape):
    left, right = factors(*shape, dtype=dtype)
    rng = np.random.default_rng(1)
    times, scale = rng.normal(size=shape).astype(dtype), rng.normal(size=shape[:2]).astype(dtype)
    heights = rng.normal(size=(shape[0], shape[2])).astype(dtype)
    h, dots, *found = responses_and_sums(left, right, scale, times, heights)
    _, out, driven = responses(left, right)
    assert same_bits(h, out)
    ones = np.ones_like(heights)
    for part, weights in zip(dots.swapaxes(0, 1), (heights, ones, out), strict=True):
        assert same_bits(part, row_dots(out, weights))
    columns = np.ascontiguousarray(left.swapaxes(1, 2))
    near = {"rtol": 1e-10, "atol": 1e-12} if dtype == np.float64 else {"rtol": 1e-3, "atol": 1e-4}
    *found, sloped = found
    for (size, timed), part in zip(
        ((2, None), (3, None), (2, times), (3, times)), found, strict=True
    ):
        expected = np.empty((2, shape[0], shape[2]), dtype)
        weighted_sums(columns, scale, driven, timed, None, expected, np.empty)
        np.testing.assert_allclose(part[:, :2], expected.swapaxes(0, 1), **near)
        if size == 3:  # h is not multiplied by times
            expected = np.empty((1, shape[0], shape[2]), dtype)
            weighted_sums(np.ones_like(columns[:, :1]), scale, out, None, None, expected, np.empty)
            np.testing.assert_allclose(part[:, 2], expected[0], **near)
    expected, factor = np.empty((2, shape[0], shape[2]), dtype), left[:, :, :1] * out
    factor += scale[:, :, None]
    weighted_sums(columns, np.ones_like(scale), driven, factor, None, expected, np.empty)
    np.testing.assert_allclose(sloped, expected.swapaxes(0, 1), **near)
    for run in range(shape[0]):
        rows = slice(run, run + 1)
        alone = responses_and_sums(left[rows], right[rows], scale[rows], times[rows], heights[rows])
        for one, whole in zip(alone, (h, dots, *found, sloped), strict=True):
            assert same_bits(one, whole[rows])


def test_arrays_that_do_not_fit_are_refused():
    left, right = factors(2, 3, 4)
    out = np.empty((2, 3, 4))
    for arrays in (
        (left[:1], right, out),
        (left, right[:, :1], out),
        (left[:, :2], right, out),
        (left, right, out, out[:, :, :3]),
        (left.astype(np.float32), right, out),
    ):
        with pytest.raises(ValueError, match="does not fit"):
            gaussian(*arrays)
    weights = left.swapaxes(1, 2)
    ones = weights[:, 0]
    for scale, values, times, others, n_rows in (
        (ones[1:], out, None, None, 2),
        (ones, out[:, 1:], None, None, 2),
        (ones, out, out[:1], None, 2),
        (ones, out, None, out[:, :, 1:], 3),
        (ones, out, None, out, 2),
        (ones, out, None, None, 3),
    ):
        with pytest.raises(ValueError, match="does not fit"):
            weighted_sums(weights, scale, values, times, others, np.empty((n_rows, 2, 4)), np.empty)
    for wrong in (out[:1], out[:, :, 1:], out[:, 0, 1:]):
        with pytest.raises(ValueError, match="does not fit"):
            row_dots(out, wrong)


def test_sums_of_arrays_that_do_not_fit_are_refused():
    x, p, values, times, _, heights = sums()
    design = with_ones(x)
    columns = np.ascontiguousarray(design.swapaxes(1, 2))
    for wrong in (
        (design[:2], columns, p),
        (design, columns[:, :, 1:], p),
        (design, columns, p[:2]),
        (design, columns, p.astype(np.float32)),
        (design.astype(">f8"), columns, p),
    ):
        with pytest.raises(ValueError, match="not fit"):
            soft_pulls(*wrong, 0.1, np.empty)
    with pytest.raises(ValueError, match="not fit"):
        row_dots(values, heights.astype(np.float32))
    out = np.empty((2, 3, 21))
    for part in (values.astype(">f8"), values.astype(np.float32)):
        with pytest.raises(ValueError, match="not fit"):
            weighted_sums(columns, x[:, :, 0], part, times, None, out, np.empty)
    with pytest.raises(ValueError, match="not fit"):
        gaussian(np.empty((2, 3, 0)), np.empty((2, 0, 4)), np.empty((2, 3, 4)))


@needs_numba
def test_arrays_that_do_not_fit_are_refused_where_z_is_computed_again():
    left, right = factors(2, 3, 4)
    h, heights = np.empty((2, 3, 4)), np.empty((2, 4))
    for arrays in (
        (left[:1], right, heights),
        (left[:, :, :1], right[:, :1], heights),
        (left, right[:, :, :3], heights),
        (left, right, heights[:, :3]),
    ):
        with pytest.raises(ValueError, match="does not fit"):
            gaussian_rows(*arrays, h)
    weights = left.swapaxes(1, 2)
    ones = weights[:, 0]
    for w, scale, a, b, times, slope, shape in (
        (weights[:1], ones, left, right, None, None, (2, 2, 4)),
        (weights, ones[:, :2], left, right, None, None, (2, 2, 4)),
        (weights, ones, left[:, :2], right, None, None, (2, 2, 4)),
        (weights, ones, left, right[:, :1], None, None, (2, 2, 4)),
        (weights, ones, left, right, h[:, :2], None, (2, 2, 4)),
        (weights, ones, left, right, None, None, (4, 2, 4)),
        (weights, ones, left, right, None, None, (2, 2, 3)),
        (weights, ones, left, right, None, ones[:, :2], (2, 2, 4)),
        (weights, ones, left, right, h, ones, (2, 2, 4)),
    ):
        with pytest.raises(ValueError, match="does not fit"):
            gaussian_sums(w, scale, a, b, h, times, slope, np.empty(shape))


@needs_numba
@both_precisions
def test_adaptive_steps_have_the_bits_of_numpy(dtype, monkeypatch):
    rng = np.random.default_rng(5)
    grad, mean = (rng.normal(size=101).astype(dtype) for _ in range(2))
    square = np.square(rng.normal(size=101)).astype(dtype)
    grad[:3] = 0.0, np.inf, np.nan
    square[3] = 1e-30
    cases = [
        (grad, mean, square),
        (grad[::2], mean[:51], square[:51]),
        (grad[:51], mean[::2], square[::2]),
        tuple(array[:99].reshape(3, 33) for array in (grad, mean, square)),
        (grad[:1], mean, square),
        (grad, mean.astype(np.float32 if dtype is np.float64 else np.float64), square),
    ]
    calls = []
    kernels = blocks._compiled(np.dtype(dtype).char)

    def counted(*arguments):
        calls.append(len(arguments[0]))
        kernels.adaptive_step(*arguments)

    with_count = copy(kernels)
    with_count.adaptive_step = counted
    monkeypatch.setattr(blocks, "_compiled", lambda kind: with_count)
    with np.errstate(all="ignore"):
        compiled = [adaptive_step(*case, (0.9, 0.999), 1e-8, -0.01) for case in cases]
        assert calls == [101, 51]  # what is not contiguous or differs is left to NumPy
        monkeypatch.setattr(blocks, "_compiled", lambda kind: None)
        by_numpy = [adaptive_step(*case, (0.9, 0.999), 1e-8, -0.01) for case in cases]
    for found, wanted in zip(compiled, by_numpy, strict=True):
        for a, b in zip(found, wanted, strict=True):
            assert a.dtype == b.dtype
            assert same_bits(a, b)


@needs_numba
@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads the assembly of x86-64")
def test_loops_are_vectorised():
    from numba import float64, njit, void

    from mlpspec.network.compiled import _exp_of_negated

    (assembly,) = njit([void(float64[::1])])(_exp_of_negated).inspect_asm().values()
    wide = [line for line in assembly.splitlines() if "ymm" in line or "zmm" in line]
    assert sum("vfmadd" in line or "vfnmadd" in line for line in wide) >= 12


def test_switched_off_by_the_environment(switched):
    switched.setenv("MLPSPEC_COMPILED", "0")
    assert blocks.compiled_by() is None
    assert provenance.versions()["numba"] is None
    a = np.array([0.3, 400.0])
    assert same_bits(exp_of_negated(a.copy()), np.exp(-np.minimum(a, 340.0)))


def test_without_numba_nothing_is_said(switched):
    def missing(name):
        raise PackageNotFoundError(name)

    switched.setattr(blocks, "version", missing)
    switched.delenv("MLPSPEC_COMPILED", raising=False)
    assert blocks.compiled_by() is None
    assert provenance.collect([])["numba"] is None
    blocks.load_compiled("float64")


def without_working_numba(switched):
    switched.delenv("MLPSPEC_COMPILED", raising=False)
    switched.setattr(blocks, "version", lambda name: "0.99.0")
    switched.setitem(sys.modules, "mlpspec.network.compiled", None)
    switched.delattr("mlpspec.network.compiled", raising=False)


def test_numba_that_does_not_work_is_named(switched):
    without_working_numba(switched)
    told = r"numba 0\.99\.0 does not work here \(.*\); mend it, or set MLPSPEC_COMPILED=0"
    with pytest.raises(InputError, match=told):
        exp_of_negated(np.array([0.3, 400.0]))


def test_numba_that_does_not_work_fails_no_run(switched, tmp_path):
    without_working_numba(switched)
    with pytest.raises(InputError, match=r"numba 0\.99\.0 does not work here"):
        mlpspec.run_study(TINY, tmp_path, n_jobs=1)
    assert mlpspec.load(tmp_path).status == {}
    switched.setenv("MLPSPEC_COMPILED", "0")
    blocks.compiled_by.cache_clear()
    assert set(mlpspec.run_study(TINY, tmp_path, n_jobs=1).status.values()) == {"ok"}


@needs_numba
@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["run --jobs 2", "run --dry-run", "check-loss mlpspec.losses:Overlap()"]
)
def test_numba_that_does_not_work_is_told_in_one_line(tmp_path, command):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['llvmlite'] = None")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "mlpspec", *command.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "does not work here (" in done.stderr


def test_numba_that_cannot_compile_says_how_to_do_without(switched):
    switched.delenv("MLPSPEC_COMPILED", raising=False)
    switched.setattr(blocks, "version", lambda name: "0.99.0")
    fake = type(sys)("mlpspec.network.compiled")
    fake.Kernels = {}.__getitem__
    switched.setitem(sys.modules, "mlpspec.network.compiled", fake)
    switched.setattr("mlpspec.network.compiled", fake, raising=False)
    with pytest.raises(InputError, match=r"numba .* does not work here .*MLPSPEC_COMPILED=0"):
        exp_of_negated(np.array([0.3]))


def python(code, **environment):
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_numba_is_not_imported_before_it_is_needed():
    process = python(
        "import sys, mlpspec, mlpspec.cli.command\n"
        "try: mlpspec.cli.command.main(['--help'])\n"
        "except SystemExit: pass\n"
        f"assert mlpspec.cli.command.main(['status', {str(ROOT / 'results' / 'paper')!r}]) == 0\n"
        "assert not {'numba', 'llvmlite', 'mlpspec.network.compiled'} & sys.modules.keys()"
    )
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err


@needs_numba
def test_what_is_asked_for_is_loaded(switched):
    own = set(vars(blocks._compiled("d")))
    assert "adaptive_step" in own
    assert "row_dots" not in own
    blocks.load_compiled("float64", all_of_it=True)
    kernels = blocks._compiled("d")
    functions = {name for name in dir(kernels) if hasattr(blocks, name) and name[0] != "_"}
    assert {"exp_of_negated", "row_dots", "soft_pulls"} <= functions <= set(vars(kernels))


@needs_numba
@pytest.mark.slow
def test_two_processes_may_fill_one_cache_at_once(tmp_path):
    code = "import numpy as np; from mlpspec.network.blocks import *; "
    code += "print(exp_of_negated(np.arange(9.0)).tobytes().hex())"
    processes = [python(code, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(3)]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert out.strip() == exp_of_negated(np.arange(9.0)).tobytes().hex(), err
    kept = sorted(path.name.partition("_float64")[0] for path in tmp_path.rglob("*.nbc"))
    assert kept == ["compiled._adaptive_step", "compiled._exp_of_negated"]  # what was used
    assert not list(tmp_path.rglob("*.tmp*"))


@needs_numba
def test_what_only_compiling_needs_is_loaded_when_something_is_compiled():
    exp_of_negated(np.arange(9.0))  # so that there is a cache
    process = python(
        "import sys, numpy as np\n"
        "from mlpspec.network.blocks import exp_of_negated\n"
        "print(exp_of_negated(np.arange(9.0)).tobytes().hex())\n"
        "assert not {'numba.np.arraymath', 'scipy.linalg'} & sys.modules.keys()\n"
        "import numba\n"
        "assert numba.njit(lambda a: np.dot(a, a))(np.arange(4.0)) == 14.0\n"
        "assert 'scipy.linalg' in sys.modules\n"
        "print(exp_of_negated(np.arange(9.0)).tobytes().hex())"
    )
    out, err = process.communicate(timeout=60)
    assert out.split() == [exp_of_negated(np.arange(9.0)).tobytes().hex()] * 2, err


@needs_numba
@pytest.mark.parametrize("known", [True, False])
def test_a_numba_that_is_not_known_loads_all_it_has(known, switched):
    from mlpspec.network import compiled

    expected = exp_of_negated(np.arange(9.0))  # now there is a cache
    if not known:
        switched.setattr(compiled, "LAST_KNOWN", (0, 59))
    blocks._compiled.cache_clear()
    kernel = blocks._compiled("d").exp_of_negated
    assert isinstance(kernel._cache, compiled._LightCache) == known
    assert sum(kernel.stats.cache_hits.values()) == 1
    assert same_bits(exp_of_negated(np.arange(9.0)), expected)


@needs_numba
@pytest.mark.parametrize("harm", ["no place", "damaged"])
def test_without_a_usable_cache_it_is_compiled_every_time(harm, tmp_path, monkeypatch):
    import numba

    from mlpspec.network import compiled

    def result():
        kernel = compiled._compile(compiled._exp_of_negated, "f", numba.float32[::1])
        a = np.arange(9, dtype=np.float32)
        kernel(a)
        return a

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    if harm == "no place":

        def njit(*arguments, cache=False, **options):
            if cache:
                raise RuntimeError("cannot cache function: no locator available")
            return plain(*arguments, **options)

        plain = numba.njit
        monkeypatch.setattr(numba, "njit", njit)
    else:
        result()
        (file,) = tmp_path.rglob("*.nbc")
        file.write_bytes(file.read_bytes()[:50])
    assert same_bits(result(), exp_of_negated(np.arange(9, dtype=np.float32)))
