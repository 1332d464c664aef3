import itertools

import numpy as np
import pytest
from scipy import stats

from mlpspec.errors import InputError
from mlpspec.metrics.statistics import (
    average,
    hill_index,
    holm,
    least_p,
    median_interval,
    sign_flip,
    win_share,
)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("n", "rank", "confidence"), [(10, 2, 0.97852), (6, 1, 0.96875)])
def test_median_interval_by_hand(n, rank, confidence):
    values = RNG.permutation(np.arange(1.0, n + 1))
    found = median_interval(values)
    assert found.median == (n + 1) / 2
    assert (found.low, found.high) == (rank, n + 1 - rank)
    assert found.confidence == pytest.approx(confidence, abs=1e-5)


@pytest.mark.parametrize("n", [2, 5, 6, 7, 10, 15, 16, 31, 100])
def test_median_interval_is_the_narrowest_that_is_wide_enough(n):
    found = median_interval(np.arange(1.0, n + 1))
    reached = [1 - 2 * stats.binom.cdf(k - 1, n, 0.5) for k in range(1, n // 2 + 1)]
    good = [k for k, confidence in enumerate(reached, 1) if confidence >= 0.95]
    assert found.low == (max(good) if good else 1)


def test_median_interval_covers():
    draws = RNG.exponential(size=(4000, 10))
    hits = [low <= np.log(2) <= high for _, low, high, _ in map(median_interval, draws)]
    assert np.mean(hits) == pytest.approx(0.9785, abs=0.01)


def test_median_interval_leaves_out_what_is_missing():
    assert median_interval(np.array([np.nan, 1.0, 3.0])).median == 2.0
    assert np.isnan(median_interval(np.array([np.nan])).median)


def by_enumeration(d, alternative):
    d = d[np.isfinite(d) & (d != 0)]
    ranks = stats.rankdata(np.abs(d))
    observed = (np.sign(d) * ranks).sum()
    found = []
    for signs in itertools.product((1, -1), repeat=len(d)):
        value = (np.array(signs) * ranks).sum()
        if alternative == "two-sided":
            found.append(abs(value) >= abs(observed) - 1e-9)
        else:
            found.append(value <= observed if alternative == "less" else value >= observed)
    return np.mean(found)


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
@pytest.mark.parametrize("n", [1, 4, 9])
def test_sign_flip_against_enumeration(n, alternative):
    d = np.round(RNG.normal(0.3, 1, (n, 6)), 1)
    d[0, :3] = 0.0
    found = sign_flip(d, alternative)
    expected = [by_enumeration(column, alternative) for column in d.T]
    np.testing.assert_allclose(found, expected)


def test_sign_flip_against_scipy():
    for n in (8, 10, 12):
        d = RNG.normal(0.5, 1, (n, 1))
        for alternative in ("two-sided", "less", "greater"):
            exact = stats.wilcoxon(d[:, 0], alternative=alternative, method="exact").pvalue
            assert sign_flip(d, alternative)[0] == pytest.approx(exact)


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
@pytest.mark.parametrize("n", [5, 10])
def test_sign_flip_against_scipy_with_ties_zeros_and_missing_pairs(n, alternative):
    d = RNG.integers(-3, 6, (n, 8)).astype(float)
    d[0], d[1, ::2], d[2, 3] = 0.0, np.nan, np.inf
    every_flip = stats.PermutationMethod(n_resamples=2**n)
    for column, found in zip(d.T, sign_flip(d, alternative), strict=True):
        known = column[np.isfinite(column)]
        options = {"zero_method": "wilcox", "alternative": alternative, "method": every_flip}
        assert found == pytest.approx(stats.wilcoxon(known, **options).pvalue, rel=1e-12)


@pytest.mark.parametrize("n", [16, 60, 100, 200])
def test_sign_flip_is_exact_for_many_pairs(n):
    d = RNG.normal(0.2, 1, (n, 1))
    exact = stats.wilcoxon(d[:, 0], method="exact").pvalue
    assert sign_flip(d)[0] == pytest.approx(exact, rel=1e-9)
    padded = np.concatenate([d, np.full((7, 1), np.nan), np.zeros((5, 1))])
    assert sign_flip(padded)[0] == sign_flip(d)[0]


def test_sign_flip_of_very_many_pairs_is_the_asymptotic_one():
    d = np.round(RNG.normal(0.1, 1, (500, 1)), 1)
    options = {"method": "asymptotic", "zero_method": "wilcox", "correction": False}
    for alternative in ("two-sided", "less", "greater"):
        expected = stats.wilcoxon(d[:, 0], alternative=alternative, **options).pvalue
        assert sign_flip(d, alternative)[0] == pytest.approx(expected, rel=1e-9)


def test_sign_flip_is_calibrated():
    for n in (10, 40):
        p = sign_flip(RNG.standard_t(2, (n, 2000)))
        assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.015)


def test_missing_pairs_count_for_nothing():
    d = np.array([[1.0], [2.0], [-0.5], [3.0]])
    padded = np.concatenate([d, [[np.nan]], [[0.0]]])
    assert sign_flip(padded)[0] == sign_flip(d)[0] == 0.25
    assert sign_flip(np.zeros((3, 1)))[0] == 1.0
    assert sign_flip(np.zeros((0, 2))).tolist() == [1.0, 1.0]


def test_least_p():
    for n in (1, 5, 10):
        assert least_p(n) == sign_flip(np.arange(1.0, n + 1)[:, None])[0]
    assert least_p(100) == sign_flip(np.arange(1.0, 101)[:, None])[0] == 2.0**-99
    assert least_p(0) == 1.0


def test_holm_by_hand():
    found = holm(np.array([0.3, 0.01, 0.02, 0.026, 0.5]))
    np.testing.assert_allclose(found, [0.6, 0.05, 0.08, 0.08, 0.6])


@pytest.mark.slow  # to import
def test_holm_against_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    for size in (1, 2, 9, 40):
        p = RNG.uniform(size=size) ** 3
        expected = multitest.multipletests(p, method="holm")[1]
        np.testing.assert_allclose(holm(p), expected)
    assert holm(np.array([])).tolist() == []


def test_wins_by_hand():
    assert win_share(np.array([-1.0, 0.0, 2.0, np.nan, -3.0])) == (2 + 0.5) / 4


def test_hill_index_of_known_tails():
    assert hill_index(RNG.pareto(1.5, 20000) + 1) == pytest.approx(1.5, rel=0.1)
    assert hill_index(RNG.normal(size=20000)) > 3
    assert np.isnan(hill_index(np.ones(50)))
    assert np.isnan(hill_index(np.arange(9.0)))


def test_an_unknown_word_is_refused():
    with pytest.raises(InputError, match="unknown average 'median'; did you mean 'medians'"):
        average(np.ones((2, 1)), "median")
    with pytest.raises(InputError, match="unknown alternative 'two sided'; did you mean"):
        sign_flip(np.ones((2, 1)), "two sided")
