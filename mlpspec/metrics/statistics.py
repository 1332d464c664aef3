"""Paired statistics: few, and exact where they can be."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from mlpspec.arrays import Array

ALPHA = 0.05
"""Significance level."""

EXACT_PAIRS = 15
"""Up to so many pairs all sign flips are enumerated; above, `SAMPLED_FLIPS` are drawn."""

SAMPLED_FLIPS = 9999


class Interval(NamedTuple):
    """A median with an exact confidence interval."""

    median: float
    low: float
    high: float
    confidence: float


def median_interval(values: Array) -> Interval:
    """Return the median of ``values`` (n,) with its order-statistic interval.

    The k-th smallest and k-th largest value enclose the median of any continuous distribution
    with probability 1 - 2 P(Binomial(n, 1/2) < k); k is the largest with at least 95 %, or 1
    where no interval reaches it (n < 6). NaN are left out.

    Examples
    --------
    >>> median, low, high, confidence = median_interval(np.arange(10.0))
    >>> median, low, high, round(confidence, 4)
    (4.5, 1.0, 8.0, 0.9785)
    """
    ordered = np.sort(values[~np.isnan(values)])
    n = len(ordered)
    if n == 0:
        return Interval(np.nan, np.nan, np.nan, np.nan)
    k, confidence = interval_rank(n)
    return Interval(
        float(np.median(ordered)), float(ordered[k - 1]), float(ordered[n - k]), confidence
    )


@cache
def interval_rank(n: int) -> tuple[int, float]:
    """Return k of the `median_interval` of n values, and the probability that it holds the median.

    Examples
    --------
    >>> interval_rank(6)
    (1, 0.96875)
    """
    from scipy.stats import binom  # here: it takes a quarter of a second, which training is spared

    # The quantile is the first k with P(X <= k) at or above the tail's share.
    k = max(int(binom.ppf((1.0 - 0.95) / 2.0, n, 0.5)), 1)
    return k, max(1.0 - 2.0 * float(binom.cdf(k - 1, n, 0.5)), 0.0)


def sign_flip(differences: Array, alternative: str = "two-sided") -> Array:
    """Return the p-values (M,) of sign-flip permutation tests of paired differences (n, M).

    Under the null hypothesis a difference is as likely as its opposite. The statistic is the sum
    of signed ranks, sum_i sign(d_i) rank(|d_i|), which no single large difference can carry; ties
    share their mean rank, zeros and NaN count for nothing. All 2^n flips are enumerated up to
    `EXACT_PAIRS` pairs; above, `SAMPLED_FLIPS` from a fixed stream, and the observed one.

    Parameters
    ----------
    differences : (n, M)
    alternative : {"two-sided", "less", "greater"}
        ``"less"``: the differences lie below zero.

    Examples
    --------
    >>> sign_flip(np.array([[1.0], [2.0], [4.0]]))
    array([0.25])
    """
    from scipy.stats import rankdata

    d = np.nan_to_num(np.asarray(differences, dtype=float), nan=0.0)
    n, count = d.shape
    if n == 0:
        return np.ones(count)
    ranks = np.where(d == 0.0, 0.0, rankdata(np.abs(d), axis=0))
    observed = (np.sign(d) * ranks).sum(axis=0)
    flipped = _flips(n) @ ranks
    if alternative == "two-sided":
        flipped, observed = -np.abs(flipped), -np.abs(observed)
    elif alternative == "greater":
        flipped, observed = -flipped, -observed
    as_extreme = (flipped <= observed + 1e-9).sum(axis=0)
    if n <= EXACT_PAIRS:
        return np.asarray(as_extreme / len(flipped))
    return np.asarray((as_extreme + 1) / (len(flipped) + 1))


@cache
def _flips(n: int) -> Array:
    if n <= EXACT_PAIRS:
        codes = np.arange(2**n)[:, None] >> np.arange(n)
        return 1.0 - 2.0 * (codes & 1)
    rng = np.random.Generator(np.random.PCG64(n))
    return np.asarray(1.0 - 2.0 * rng.integers(0, 2, (SAMPLED_FLIPS, n)))


def least_p(n_nonzero: Array | int) -> Array:
    """Return the smallest two-sided p-value that so many non-zero pairs can reach.

    Examples
    --------
    >>> least_p(np.array([0, 3, 10]))
    array([1.        , 0.25      , 0.00195312])
    """
    n = np.asarray(n_nonzero)
    sampled = 1.0 / (SAMPLED_FLIPS + 1)
    return np.where(n <= EXACT_PAIRS, np.minimum(2.0 ** (1.0 - n), 1.0), sampled)


def holm(p: Array) -> Array:
    """Return the p-values of Holm's step-down method for a family (m,).

    The i-th smallest is multiplied by m - i + 1, made monotone and cut at 1 (Holm 1979).

    Examples
    --------
    >>> holm(np.array([0.01, 0.5, 0.04]))
    array([0.03, 0.5 , 0.08])
    """
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)
    scaled = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def win_share(differences: Array) -> float:
    """Return the share of differences (n,) below zero, ties at half; NaN are left out.

    Examples
    --------
    >>> win_share(np.array([-1.0, 2.0, 0.0, np.nan]))
    0.5
    """
    d = differences[~np.isnan(differences)]
    return float(((d < 0).mean() + 0.5 * (d == 0).mean()) if len(d) else np.nan)


def hill_index(values: Array) -> float:
    """Return Hill's estimate of the tail index of ``values`` (n,).

    Below 2 the variance is infinite, and a mean says little. The estimate is
    1 / mean_i log(v_(i) / v_(k+1)) over the k largest absolute values, k = max(3, n / 10); NaN
    with fewer than ten values or where the tail is constant or zero.

    Examples
    --------
    >>> round(hill_index(1.0 / np.arange(1.0, 51.0)), 2)
    1.2
    """
    magnitude = np.sort(np.abs(values[np.isfinite(values)]))[::-1]
    k = max(3, len(magnitude) // 10)
    if len(magnitude) < 10 or magnitude[k] <= 0.0 or magnitude[0] == magnitude[k]:
        return np.nan
    return float(1.0 / np.log(magnitude[:k] / magnitude[k]).mean())
